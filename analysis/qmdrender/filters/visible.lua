-- Quarto's parts for one format: `.content-visible` and `.content-hidden`, each with `when-format` or `unless-format`.
-- First of the filters, so that nothing is numbered that is not there.

package.path = pandoc.path.directory(PANDOC_SCRIPT_FILE) .. "/?.lua;" .. package.path
local common = require("common")

local KNOWN = { html = "html", typst = "typst" }
local own = FORMAT:match("^html") and "html" or FORMAT

local function is_met(attributes)
  local names = {}
  for key, value in pairs(attributes) do
    if key ~= "when-format" and key ~= "unless-format" then
      common.fail("the condition " .. key .. " of a part needs Quarto itself")
    end
    if not KNOWN[value] then
      common.fail(key .. '="' .. value .. '" is of no format that there is here: html or typst')
    end
    names[#names + 1] = key
  end
  if #names ~= 1 then
    common.fail("a part that is there in some formats has exactly one of when-format and unless-format")
  end
  return (attributes[names[1]] == own) == (names[1] == "when-format")
end

local function part(element)
  local visible = element.classes:includes("content-visible")
  if not visible and not element.classes:includes("content-hidden") then
    return nil
  end
  return is_met(element.attributes) == visible and element.content or {}
end

return { { Div = part, Span = part } }
