-- Numbers sections, figures, tables and equations, writes the numbers into headings and captions, and resolves
-- references to them (@sec-x, @fig-x, @tbl-x, @eq-x). Both formats get their numbers here, so that they agree.

package.path = pandoc.path.directory(PANDOC_SCRIPT_FILE) .. "/?.lua;" .. package.path
local common = require("common")

local NAMES = { fig = "Figure", tbl = "Table", eq = "Equation", sec = "Section" }
local NBSP = "\u{a0}"
local EN_SPACE = "\u{2002}"

local counts = { fig = 0, tbl = 0, eq = 0 }
local references = {} -- identifier -> { name, number }

local function kind_of(identifier)
  local kind = identifier:match("^(%a+)%-.")
  return NAMES[kind] and kind
end

local function register(identifier, name, number)
  if identifier == "" then
    return
  end
  if references[identifier] then
    common.fail("the label " .. identifier .. " is used twice")
  end
  references[identifier] = { name = name, number = number }
end

local function next_number(kind, identifier)
  counts[kind] = counts[kind] + 1
  register(identifier, NAMES[kind], tostring(counts[kind]))
  return tostring(counts[kind])
end

-- A caption with "Figure 1:" or "(a)" before it.
local function labelled(caption, label)
  local inlines = pandoc.utils.blocks_to_inlines(caption)
  inlines:insert(1, pandoc.Strong(label))
  if #inlines > 1 then
    inlines:insert(2, pandoc.Space())
  end
  return pandoc.Blocks({ pandoc.Plain(inlines) })
end

-- Cuts the caption, the last paragraph, off the blocks of a float.
local function take_caption(blocks)
  local last = blocks[#blocks]
  if #blocks > 1 and (last.t == "Para" or last.t == "Plain") and not common.lone_image(last) then
    return pandoc.Blocks({ blocks:remove(#blocks) })
  end
  return pandoc.Blocks({})
end

-- A paragraph of one image loses its paragraph, as in pandoc's own figures.
local function unwrap_images(blocks)
  return blocks:map(function(block) return common.lone_image(block) and pandoc.Plain(block.content) or block end)
end

-- Images of a float that nobody described are described by its caption.
local function describe_images(blocks, caption)
  return pandoc.Blocks(blocks):walk({
    Image = function(image)
      if common.alternative(image) == "" then
        image.attributes.alt = pandoc.utils.stringify(caption)
        return image
      end
    end,
  })
end

local function is_part(block)
  return block.t == "Figure" or (block.t == "Div" and (block.classes:includes("subfloat") or kind_of(block.identifier)))
end

-- A part of a float with its letter, which references give after the float's number: "Figure 1 (a)".
local function part(block, index, float_name, float_number)
  local letter = "(" .. string.char(96 + index) .. ")"
  register(block.identifier, float_name, float_number .. NBSP .. letter)
  local blocks = pandoc.Blocks(block.content)
  local caption = block.t == "Figure" and block.caption.long or take_caption(blocks)
  blocks = describe_images(blocks, caption)
  local attributes = pandoc.Attr(block.identifier, { "subfloat" })
  return pandoc.Figure(unwrap_images(blocks), { long = labelled(caption, letter) }, attributes)
end

local function layout(blocks, columns)
  return pandoc.Div(blocks, pandoc.Attr("", { "layout" }, { columns = columns }))
end

local function float_kind(div)
  local kind = kind_of(div.identifier)
  if kind == "fig" or kind == "tbl" then
    return kind
  end
  return div.classes:includes("fig-float") and "fig" or div.classes:includes("tbl-float") and "tbl"
end

local function float(div, kind)
  local blocks = pandoc.Blocks(div.content)
  local caption = take_caption(blocks)
  local description = caption
  local number
  if kind_of(div.identifier) then
    if #caption == 0 then
      common.fail(div.identifier .. " needs a caption: the last paragraph of its block")
    end
    number = next_number(kind, div.identifier)
    caption = labelled(caption, NAMES[kind] .. NBSP .. number .. ":")
  end
  local parts = 0
  blocks = blocks:map(function(block)
    if not is_part(block) then
      return block
    end
    parts = parts + 1
    return part(block, parts, NAMES[kind], number or "")
  end)
  if kind == "tbl" and #blocks == 1 and blocks[1].t == "Table" then
    local tbl = blocks[1]
    tbl.identifier, tbl.caption = div.identifier, { long = caption }
    return tbl
  end
  blocks = describe_images(unwrap_images(blocks), description)
  local columns = div.attributes["layout-ncol"]
  if columns then
    blocks = pandoc.Blocks({ layout(blocks, columns) })
  end
  return pandoc.Figure(blocks, { long = caption }, pandoc.Attr(div.identifier, { kind .. "-float" }))
end

local function number_div(div)
  local kind = float_kind(div)
  if kind then
    return float(div, kind), false
  end
  local columns = div.attributes["layout-ncol"]
  if columns then
    return layout(unwrap_images(div.content), columns), false
  end
end

-- A figure or a table with a label of its own.
local function number_captioned(kind)
  return function(element)
    if kind_of(element.identifier) == kind then
      local label = NAMES[kind] .. NBSP .. next_number(kind, element.identifier) .. ":"
      element.caption.long = labelled(element.caption.long, label)
      return element
    end
  end
end

-- `$$ ... $$ {#eq-x}` inside a paragraph cuts it in two around a numbered equation.
local function number_equations(para)
  local blocks, rest, i = pandoc.Blocks({}), pandoc.Inlines({}), 1
  local inlines = para.content
  while i <= #inlines do
    local math, label = inlines[i], inlines[i + 2]
    local id, tail
    if math.t == "Math" and math.mathtype == "DisplayMath" and label and label.t == "Str" then
      id, tail = label.text:match("^{#(eq%-[%w_-]+)}(.*)$")
    end
    if id then
      if #rest > 0 then
        blocks:insert(pandoc.Para(rest))
      end
      local attributes = pandoc.Attr(id, { "equation" }, { number = next_number("eq", id) })
      blocks:insert(pandoc.Div({ pandoc.Plain({ math }) }, attributes))
      rest = pandoc.Inlines(tail ~= "" and tail or {})
      i = i + 3
    else
      if #rest > 0 or not (math.t == "Space" or math.t == "SoftBreak") then
        rest:insert(math)
      end
      i = i + 1
    end
  end
  if #blocks == 0 then
    return nil
  end
  if #rest > 0 then
    blocks:insert(pandoc.Para(rest))
  end
  return blocks
end

-- Headings begin at the level that suits the format, whichever the document begins with; `top` is that of its own.
local function section_numberer(top, first, numbered)
  local sections = {}
  return function(header)
    local depth = header.level - top + 1
    header.level = depth + first - 1
    local number = ""
    if not header.classes:includes("unnumbered") then
      sections[depth] = (sections[depth] or 0) + 1
      for level = 1, 6 do
        sections[level] = level <= depth and (sections[level] or 0) or nil
      end
      number = numbered and table.concat(sections, ".") or ""
    end
    if kind_of(header.identifier) == "sec" then
      local shown = number ~= "" and number or pandoc.utils.stringify(header.content)
      register(header.identifier, NAMES.sec, shown)
    end
    if number ~= "" then
      header.content:insert(1, pandoc.Span(number .. EN_SPACE, { class = "header-section-number" }))
    end
    return header
  end
end

local function top_level(doc)
  local top = 6
  doc:walk({ Header = function(header) top = math.min(top, header.level) end })
  return top
end

local function link(citation)
  local target = references[citation.id]
  local before = pandoc.Inlines(target.name .. NBSP)
  if citation.mode == "SuppressAuthor" then
    before = pandoc.Inlines({})
  elseif #citation.prefix > 0 then
    before = pandoc.Inlines(citation.prefix) .. pandoc.Inlines(NBSP)
  end
  return pandoc.Link(before .. pandoc.Inlines(target.number), "#" .. citation.id, "", { class = "crossref" })
end

local function resolver(has_bibliography, unresolved)
  return function(cite)
    local crossrefs = cite.citations:filter(function(citation) return kind_of(citation.id) end)
    if #crossrefs == 0 then
      if not has_bibliography then
        common.fail("the citation @" .. cite.citations[1].id .. " needs a bibliography in the document's settings")
      end
      return nil
    end
    if #crossrefs < #cite.citations then
      common.fail("@" .. crossrefs[1].id .. " stands in one bracket with a citation; give each its own")
    end
    local inlines = pandoc.Inlines({})
    for i, citation in ipairs(crossrefs) do
      if references[citation.id] then
        inlines:extend(i > 1 and pandoc.Inlines(", ") or {})
        inlines:insert(link(citation))
        inlines:extend(citation.suffix)
      elseif not unresolved:includes("@" .. citation.id) then
        unresolved:insert("@" .. citation.id)
      end
    end
    return inlines
  end
end

function Pandoc(doc)
  local numbered = doc.meta["number-sections"] == true
  local first = (FORMAT ~= "typst" and doc.meta.title) and 2 or 1 -- the page's title is its only <h1>
  doc = doc:walk({
    traverse = "topdown",
    Header = section_numberer(top_level(doc), first, numbered),
    Div = number_div,
    Figure = number_captioned("fig"),
    Table = number_captioned("tbl"),
    Para = number_equations,
  })
  local unresolved = pandoc.List({})
  doc = doc:walk({ Cite = resolver(doc.meta.bibliography ~= nil, unresolved) })
  if #unresolved > 0 then
    common.fail("nothing is labelled " .. table.concat(unresolved, ", ") .. " (unresolved cross reference)")
  end
  return doc
end
