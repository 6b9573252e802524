-- What pandoc's typst lacks: alternative texts, pictures no wider than the text, grids of figures, equation numbers,
-- heads of groups of rows.

package.path = pandoc.path.directory(PANDOC_SCRIPT_FILE) .. "/?.lua;" .. package.path
local common = require("common")

local PER_POINT = { px = 0.75, pt = 1, ["in"] = 72, cm = 72 / 2.54, mm = 72 / 25.4 }

local function raw(text)
  return pandoc.RawBlock("typst", text)
end

local function quoted(text)
  return '"' .. text:gsub("%s+", " "):gsub('[\\"]', "\\%0") .. '"'
end

-- Copies an image next to the typst file, since typst reads nothing outside the folder of its document.
local function copied(source)
  if source:match("^%a[%w+.-]*://") then
    common.fail("the image " .. source .. " is on the network; keep a copy beside the document")
  end
  local found, _, content = pcall(pandoc.mediabag.fetch, source)
  if not found or not content then
    common.fail("there is no image " .. source)
  end
  local _, extension = pandoc.path.split_extension(source)
  local name = "image-" .. pandoc.utils.sha1(content) .. extension
  local file = assert(io.open(name, "wb"))
  file:write(content)
  file:close()
  return name
end

local function width(image)
  local value = image.attributes.width
  if not value then
    return ""
  end
  local number, unit = value:match("^([%d.]+)(%%?%a*)$")
  if unit == "%" then
    return ", width: " .. value
  end
  local scale = PER_POINT[unit == "" and "px" or unit]
  if not scale then
    common.fail("the image " .. image.src .. " has the width " .. value .. "; write it in %, px, pt, in, cm or mm")
  end
  return string.format(", width: %.2fpt", tonumber(number) * scale)
end

local function picture(image)
  return string.format("image(%s, alt: %s%s)", quoted(copied(image.src)), quoted(common.alternative(image)), width(image))
end

local function lone_picture(block)
  local image = common.lone_image(block)
  if image then
    return raw("#align(center, " .. picture(image) .. ")")
  end
end

local function inline_picture(image)
  return pandoc.RawInline("typst", "#box(" .. picture(image) .. ")")
end

local function grid(div)
  local columns = tonumber(div.attributes.columns)
  local opening = "#grid(columns: (1fr,) * %d, gutter: 1em, align: center + bottom,"
  local all = pandoc.Blocks({ raw(string.format(opening, columns)) })
  for _, block in ipairs(div.content) do
    all:extend({ raw("["), block, raw("],") })
  end
  all:insert(raw(")"))
  return all
end

-- A formula with its TeX source, which is what a reader of it aloud can read.
local function formula(math)
  local set = pandoc.write(pandoc.Pandoc({ pandoc.Plain({ math }) }), "typst"):gsub("%s+$", "")
  local block = math.mathtype == "DisplayMath" and "true" or "false"
  local source = quoted((math.text:gsub("^%s+", ""):gsub("%s+$", "")))
  return pandoc.RawInline("typst", string.format("#math.equation(block: %s, alt: %s, %s)", block, source, set))
end

local function equation(div)
  local math = pandoc.write(pandoc.Pandoc(div.content), "typst"):gsub("%s+$", "")
  local numbering = string.format("#[#set math.equation(numbering: _ => [(%s)])", div.attributes.number)
  return raw(numbering .. "\n" .. math .. " <" .. div.identifier .. ">]")
end

local function blocks(div)
  if div.classes:includes("layout") then
    return grid(div)
  elseif div.classes:includes("equation") then
    return equation(div)
  end
end

-- Rows of a bold first cell and nothing else name the rows below: heads of their own, which typst repeats on the next
-- page and never leaves alone at the foot of one. pandoc has no way to write them.
local function grouped(tbl)
  local source = pandoc.write(pandoc.Pandoc({ tbl }), "typst", { wrap_text = "none", columns = 10000 })
  local set, count = source:gsub("\n( +)(%[#strong%[[^\n]*%]%], )(%[%],[^\n]*)", function(indent, name, others)
    local is_alone = not name:find("]], [", 1, true)
    if is_alone and others:gsub("%[%],? ?", "") == "" then
      return string.format("\n%stable.header(level: 2, %s%s),", indent, name, others)
    end
  end)
  return count > 0 and raw(set .. "\n") or tbl
end

local function bold_head(tbl)
  for _, row in ipairs(tbl.head.rows) do
    for _, cell in ipairs(row.cells) do
      cell.contents = pandoc.Blocks(cell.contents):walk({
        Plain = function(plain) return pandoc.Plain({ pandoc.Strong(plain.content) }) end,
      })
    end
  end
  return grouped(tbl)
end

return {
  { Para = lone_picture, Plain = lone_picture },
  { Image = inline_picture, Math = formula },
  { Div = blocks, Table = bold_head },
}
