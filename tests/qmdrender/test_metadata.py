from pathlib import Path

import pytest
import yaml

from qmdrender.errors import RenderError
from qmdrender.metadata import Project, find_project, for_format, for_pandoc, parse_yaml, read_metadata


def test_front_matter_wins_over_the_project_and_mappings_merge(tmp_path: Path) -> None:
    project = {"toc": True, "lang": "en", "format": {"html": {"toc-depth": 2}}, "execute": {"echo": False}}
    (tmp_path / "_quarto.yml").write_text(yaml.safe_dump(project))
    document = tmp_path / "sub" / "a.qmd"

    found = find_project(document)
    settings = read_metadata("lang: de\nformat:\n  html: {toc-depth: 4}\n  typst: default\n", document, found)

    assert found.folder == tmp_path
    assert settings["lang"] == "de"
    assert settings["execute"] == {"echo": False}
    assert for_format(settings, "html")["toc-depth"] == 4
    assert for_format(settings, "html")["toc"] is True
    assert "toc-depth" not in for_format(settings, "typst")


def test_bibliographies_belong_to_the_folder_of_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "_quarto.yml").write_text("bibliography: [a.bib]\ncsl: style.csl\n")
    document = tmp_path / "sub" / "a.qmd"
    project = find_project(document)
    assert read_metadata("", document, project)["bibliography"] == [str(tmp_path / "a.bib")]
    assert read_metadata("", document, project)["csl"] == str(tmp_path / "style.csl")
    assert read_metadata("bibliography: b.bib", document, project)["bibliography"] == str(tmp_path / "sub" / "b.bib")


def test_without_a_project_there_are_no_settings(tmp_path: Path) -> None:
    assert find_project(tmp_path / "a.qmd") == Project()


@pytest.mark.parametrize(
    ("author", "expected"),
    [
        ("Ada", [{"name": "Ada"}]),
        (["Ada", {"name": "Bob"}], [{"name": "Ada"}, {"name": "Bob", "affiliation": ""}]),
        ({"name": "Ada", "affiliation": "Lab"}, [{"name": "Ada", "affiliation": "Lab"}]),
        (
            [{"name": "Ada", "affiliations": [{"name": "One"}, "Two"]}],
            [{"name": "Ada", "affiliation": "One, Two"}],
        ),
    ],
)
def test_every_form_of_author_becomes_one(author: object, expected: object) -> None:
    assert for_pandoc({"title": "T", "author": author}, "a")["author"] == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"date": "2024-01-05"}, "January 5, 2024"),
        ({"date": "2024-01-05", "date-format": "iso"}, "2024-01-05"),
        ({"date": "Spring 2024"}, "Spring 2024"),
        ({"date": "today"}, "January 2, 1970"),
    ],
)
def test_dates(settings: dict[str, object], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert for_pandoc(settings, "a")["date"] == expected


def test_a_page_without_a_title_is_called_like_its_file_and_speaks_english() -> None:
    assert for_pandoc({"theme": "default"}, "article") == {"lang": "en", "pagetitle": "article"}


def test_citations_are_linked_unless_the_document_says_otherwise() -> None:
    assert for_pandoc({"bibliography": "a.bib"}, "a")["link-citations"] is True
    assert for_pandoc({"bibliography": "a.bib", "link-citations": False}, "a")["link-citations"] is False


@pytest.mark.parametrize("text", ["a: [", "just words"])
def test_bad_yaml_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(RenderError, match=r"^a\.qmd, front matter: "):
        parse_yaml(text, "a.qmd, front matter")
