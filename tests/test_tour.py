"""The tour shows real pages: its pictures are those that the session `tour` takes, and they are not heavy."""

import re
import runpy
from pathlib import Path

import pytest

pytest.importorskip("playwright")
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
SHOWN = re.compile(r"!\[([^\]]*)\]\(images/([\w-]+)\.png\)")
MOST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def shown() -> dict[str, str]:
    """What stands for each picture where it cannot be seen, by its name."""
    return {name: words for words, name in SHOWN.findall((DOCS / "tour.md").read_text(encoding="utf-8"))}


def test_pictures_are_those_that_are_taken(shown: dict[str, str]) -> None:
    shots = runpy.run_path(str(DOCS / "images" / "shoot.py"))["SHOTS"]
    assert list(shown) == [shot.name for shot in shots]
    assert {file.stem for file in (DOCS / "images").glob("tour-*.png")} == set(shown)
    assert all(len(words.split()) > 8 for words in shown.values())


def test_they_are_as_wide_as_a_window_and_light(shown: dict[str, str]) -> None:
    files = [DOCS / "images" / f"{name}.png" for name in shown]
    assert sum(file.stat().st_size for file in files) < MOST_BYTES
    for file in files:
        with Image.open(file) as picture:
            assert picture.width == 1200
            assert picture.height >= 900
