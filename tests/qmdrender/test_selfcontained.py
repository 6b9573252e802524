import pytest

from qmdrender.errors import RenderError
from qmdrender.selfcontained import require_self_contained


@pytest.mark.parametrize(
    "page",
    [
        '<a href="https://example.org">a link</a>',
        '<math xmlns="http://www.w3.org/1998/Math/MathML"></math>',
        '<img src="data:image/png;base64,AAAA">',
        "<style>p { background: url(data:image/png;base64,AA) }</style>",
        "<p>see https://example.org and url(https://example.org/a.png)</p>",
        '<link rel="stylesheet" href="data:text/css,">',
    ],
)
def test_links_and_embedded_resources_are_fine(page: str) -> None:
    require_self_contained(page)


@pytest.mark.parametrize(
    "page",
    [
        '<img src="https://example.org/a.png">',
        '<img alt="" srcset="//example.org/a.png 2x">',
        '<script src="http://example.org/a.js"></script>',
        '<link rel="stylesheet" href="https://example.org/a.css">',
        '<video poster="https://example.org/a.png"></video>',
        "<style>p { background: url('https://example.org/a.png') }</style>",
        '<style>@import "https://example.org/a.css";</style>',
        '<p style="background: url(https://example.org/a.png)">x</p>',
    ],
)
def test_whatever_a_browser_fetches_is_named(page: str) -> None:
    with pytest.raises(RenderError, match=r"would load \S*//example\.org/a\.\S* from the network"):
        require_self_contained(page)
