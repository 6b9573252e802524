-- What the filters share: refusing a document, and looking at images.

local common = {}

-- Ends the conversion; the renderer shows the message to the user.
function common.fail(message)
  error("qmdrender: " .. message, 0)
end

-- The image of a paragraph that holds nothing else, or nil.
function common.lone_image(block)
  if (block.t == "Para" or block.t == "Plain") and #block.content == 1 and block.content[1].t == "Image" then
    return block.content[1]
  end
end

-- The text that stands for an image: Quarto's `fig-alt`, pandoc's `alt`, else the image's own description.
function common.alternative(image)
  return image.attributes["fig-alt"] or image.attributes["alt"] or pandoc.utils.stringify(image.caption)
end

return common
