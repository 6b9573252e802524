"""Text between the marks of a page."""

import pytest

from plateaulens.errors import UsageError
from plateaulens.marks import fill

PAGE = "Before\n\n<!-- a -->\nold\n<!-- end -->\n\nBetween\n\n<!-- b --><!-- end -->\n\nAfter\n"


def test_what_stood_there_is_gone_and_the_rest_stays() -> None:
    one = fill(PAGE, "<!-- a -->", "<!-- end -->", "new\n")
    assert one == PAGE.replace("\nold\n", "\n\nnew\n\n")
    both = fill(one, "<!-- b -->", "<!-- end -->", "other")
    assert both == one.replace("<!-- b -->", "<!-- b -->\n\nother\n\n")


def test_the_same_text_again_changes_nothing() -> None:
    once = fill(PAGE, "<!-- a -->", "<!-- end -->", "    indented\n\n| a |\n")
    assert fill(once, "<!-- a -->", "<!-- end -->", "    indented\n\n| a |\n") == once


@pytest.mark.parametrize("page", ["", "<!-- a -->", "<!-- end --><!-- a -->", "<!-- b --><!-- end -->"])
def test_a_page_without_the_place_is_refused(page: str) -> None:
    with pytest.raises(UsageError, match="the page has no place for what is written there: give it <!-- a --> and"):
        fill(page, "<!-- a -->", "<!-- end -->", "new")


def test_a_page_with_two_such_places_is_refused() -> None:
    with pytest.raises(UsageError, match="the page has <!-- a --> more than once"):
        fill(PAGE + "<!-- a --><!-- end -->", "<!-- a -->", "<!-- end -->", "new")
