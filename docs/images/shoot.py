"""Take the pictures of docs/tour.md, of the rendered pages: `python -m docs.images.shoot` in the project's folder."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.seeing import HEIGHT, opened

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = Path(__file__).parent
REPORT = Path("report/_output/index.html")
LADDER = Path("report/_output/ladder/index.html")
WIDTH = 1200
DRAWN = 1500
"""Milliseconds after which the explorer has unpacked its data and drawn."""


class Shot(NamedTuple):
    """One picture."""

    name: str
    page: Path
    take: Callable[["Page", Path], None]


def screen(page: "Page", file: Path) -> None:
    """What stands in the window."""
    page.screenshot(path=file)


def tall(page: "Page", file: Path) -> None:
    """What would stand in a window half as high again."""
    page.set_viewport_size({"width": WIDTH, "height": 3 * HEIGHT // 2})
    page.screenshot(path=file)


def part(selector: str, height: int) -> Callable[["Page", Path], None]:
    """What begins with an element, as far down as the picture goes."""

    def take(page: "Page", file: Path) -> None:
        page.set_viewport_size({"width": WIDTH, "height": height})
        page.evaluate("([what]) => document.querySelector(what).scrollIntoView()", [selector])
        page.wait_for_timeout(DRAWN)
        page.screenshot(path=file)

    return take


SHOTS = (
    Shot("tour-first-screen", REPORT, screen),
    Shot("tour-figure", REPORT, part("#sec-relative", HEIGHT)),
    Shot("tour-explorer", REPORT, part("#sec-explorer", 1650)),
    Shot("tour-ladder", LADDER, tall),
)


def main() -> None:
    """Take all pictures of the pages that are there."""
    for shot in SHOTS:
        if not shot.page.exists():
            print(f"{shot.name}: there is no {shot.page}, the picture stays as it is")
            continue
        with opened(shot.page, WIDTH) as shown:
            shown.page.wait_for_timeout(DRAWN)
            shot.take(shown.page, FOLDER / f"{shot.name}.png")


if __name__ == "__main__":
    main()
