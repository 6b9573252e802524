-- Quarto's callouts: `::: {.callout-note title="..." collapse="true"}`, or with a heading for a title.

package.path = pandoc.path.directory(PANDOC_SCRIPT_FILE) .. "/?.lua;" .. package.path
local common = require("common")

local KINDS = { note = "Note", tip = "Tip", warning = "Warning", important = "Important", caution = "Caution" }

local function html(kind, title, body, collapse)
  local element = collapse and "details" or "aside"
  local opening = string.format('<%s class="callout callout-%s"', element, kind)
  if collapse == "false" then
    opening = opening .. " open"
  end
  local title_element = collapse and "summary" or "p"
  local blocks = pandoc.Blocks({ pandoc.RawBlock("html", opening .. ">") })
  local before = pandoc.RawInline("html", string.format('<%s class="callout-title">', title_element))
  local after = pandoc.RawInline("html", string.format("</%s>", title_element))
  blocks:insert(pandoc.Plain({ before, pandoc.Span(title), after }))
  blocks:extend(body)
  blocks:insert(pandoc.RawBlock("html", string.format("</%s>", element)))
  return blocks
end

local function typst(kind, title, body)
  local blocks = pandoc.Blocks({ pandoc.RawBlock("typst", string.format('#callout("%s", [', kind)) })
  blocks:insert(pandoc.Plain(title))
  blocks:insert(pandoc.RawBlock("typst", "])["))
  blocks:extend(body)
  blocks:insert(pandoc.RawBlock("typst", "]"))
  return blocks
end

function Div(div)
  if div.classes:includes("panel-tabset") then
    common.fail("tabsets (.panel-tabset) need Quarto itself")
  end
  local kind = div.classes:find_if(function(class) return class:match("^callout%-") end)
  if not kind then
    return nil
  end
  kind = kind:match("^callout%-(.*)$")
  if not KINDS[kind] then
    common.fail("there is no callout of the kind " .. kind)
  end
  local body, title = pandoc.Blocks(div.content), pandoc.Inlines(KINDS[kind])
  if div.attributes.title then
    title = pandoc.utils.blocks_to_inlines(pandoc.read(div.attributes.title, "markdown").blocks)
  elseif body[1] and body[1].t == "Header" then
    title = body:remove(1).content
  end
  if FORMAT == "typst" then
    return typst(kind, title, body)
  end
  return html(kind, title, body, div.attributes.collapse)
end
