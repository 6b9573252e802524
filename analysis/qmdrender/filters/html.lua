-- What pandoc's HTML lacks: folded code, grids of figures, equation numbers, tables that scroll under their caption.

package.path = pandoc.path.directory(PANDOC_SCRIPT_FILE) .. "/?.lua;" .. package.path
local common = require("common")

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

local function raw(text)
  return pandoc.RawBlock("html", text)
end

local function escape(text)
  return (text:gsub('[&<>"]', ESCAPES))
end

local function enclosed(opening, blocks, closing)
  local all = pandoc.Blocks({ raw(opening) })
  all:extend(blocks)
  all:insert(raw(closing))
  return all
end

local function folded_code(div)
  local open = div.attributes.state == "open" and " open" or ""
  local opening = '<details class="code-fold"%s><summary>%s</summary>'
  return enclosed(string.format(opening, open, escape(div.attributes.summary)), div.content, "</details>")
end

local function grid(div)
  local opening = '<div class="layout" style="grid-template-columns: repeat(%d, minmax(0, 1fr))">'
  local cells = pandoc.Blocks({})
  for _, block in ipairs(div.content) do
    cells:extend(block.t == "Figure" and { block } or { pandoc.Div({ block }) })
  end
  return enclosed(string.format(opening, div.attributes.columns), cells, "</div>")
end

local function equation(div)
  local blocks = pandoc.Blocks(div.content)
  local number = div.attributes.number
  blocks:insert(raw(string.format('<span class="equation-number">(%s)</span>', number)))
  -- Focusable, so that the keyboard scrolls it where it is wider than the screen.
  local opening = '<div class="equation" id="%s" role="group" tabindex="0" aria-label="Equation %s">'
  return enclosed(string.format(opening, div.identifier, number), blocks, "</div>")
end

-- A figure with its caption above, as tables have it.
local function captioned_above(identifier, caption, blocks)
  local attribute = identifier ~= "" and string.format(' id="%s"', escape(identifier)) or ""
  local all = pandoc.Blocks({ raw("<figcaption>") })
  all:extend(caption)
  all:insert(raw("</figcaption>"))
  all:extend(blocks)
  return enclosed(string.format('<figure class="tbl-float"%s>', attribute), all, "</figure>")
end

function Image(image)
  if image.src:match("^%a[%w+.-]*://") then
    common.fail("the image " .. image.src .. " is on the network; keep a copy beside the document")
  end
  image.attributes.alt = common.alternative(image)
  image.attributes["fig-alt"] = nil
  return image
end

function Div(div)
  if div.classes:includes("code-fold") then
    return folded_code(div)
  elseif div.classes:includes("layout") then
    return grid(div)
  elseif div.classes:includes("equation") then
    return equation(div)
  end
end

-- What a picture is called where its alternative text would say too much: "Figure 1", or "Picture".
local function short_name(caption)
  local label = caption[1] and caption[1].content[1]
  return label and label.t == "Strong" and pandoc.utils.stringify(label):gsub(":$", "") or "Picture"
end

-- Pictures that scroll on narrow screens, and can be focused, so that the keyboard scrolls them, too.
local function scrolling_pictures(figure)
  local opening = '<div class="picture-scroll" role="group" tabindex="0" aria-label="%s">'
  local all = pandoc.Blocks({})
  for _, block in ipairs(figure.content) do
    all:extend(common.lone_image(block)
      and enclosed(string.format(opening, escape(short_name(figure.caption.long))), { block }, "</div>")
      or { block })
  end
  figure.content = all
  return figure
end

function Figure(figure)
  if figure.classes:includes("tbl-float") then
    return captioned_above(figure.identifier, figure.caption.long, figure.content)
  elseif not figure.classes:includes("subfloat") then
    return scrolling_pictures(figure)
  end
end

function Table(tbl)
  local caption = tbl.caption.long
  local identifier = tbl.identifier
  tbl.caption, tbl.identifier = {}, ""
  local name = escape(#caption > 0 and pandoc.utils.stringify(caption) or "Table")
  -- Focusable, so that the keyboard scrolls it where it is wider than the screen.
  local opening = string.format('<div class="table-scroll" role="region" tabindex="0" aria-label="%s">', name)
  local scrolling = enclosed(opening, { tbl }, "</div>")
  return #caption > 0 and captioned_above(identifier, caption, scrolling) or scrolling
end
