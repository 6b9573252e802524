"""What a document says about itself: its front matter, merged with the `_quarto.yml` of its project."""

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from qmdrender.errors import RenderError

Metadata = dict[str, Any]

# What the page templates and pandoc's citation processor read; everything else is for Quarto alone.
_FOR_PANDOC = (
    "abstract",
    "csl",
    "description",
    "keywords",
    "lang",
    "link-citations",
    "nocite",
    "number-sections",
    "papersize",
    "reference-section-title",
    "subtitle",
    "title",
    "toc-title",
)
_PATHS = ("bibliography", "csl")


@dataclass(frozen=True)
class Project:
    """The nearest `_quarto.yml` at or above a document: its folder (None without one) and its settings."""

    folder: Path | None = None
    settings: Metadata = field(default_factory=dict)

    @property
    def runs_in_its_folder(self) -> bool:
        """Whether cells run in the project's folder (`execute-dir: project`) rather than in the document's."""
        return bool((self.settings.get("project") or {}).get("execute-dir") == "project")


def find_project(document: Path) -> Project:
    """The project that a document belongs to.

    Parameters
    ----------
    document
        The document's absolute path.

    Returns
    -------
    Project
        With the paths in its settings made absolute.

    Raises
    ------
    RenderError
        When its settings are no YAML.
    """
    for folder in document.parents:
        file = folder / "_quarto.yml"
        if file.is_file():
            return Project(folder, _absolute_paths(parse_yaml(file.read_text(encoding="utf-8"), str(file)), folder))
    return Project()


def read_metadata(front_matter: str, document: Path, project: Project) -> Metadata:
    """What holds for a document: lists and values of its own replace the project's, mappings merge.

    Parameters
    ----------
    front_matter
        The document's YAML.
    document
        The document's absolute path.
    project
        The project that it belongs to.

    Returns
    -------
    dict
        The front matter's settings over the project's, with paths made absolute.

    Raises
    ------
    RenderError
        When the front matter is no YAML.
    """
    own = parse_yaml(front_matter, f"{document.name}, front matter")
    return _merge(project.settings, _absolute_paths(own, document.parent))


def for_format(metadata: Metadata, name: str) -> Metadata:
    """The settings that hold for one output format.

    Parameters
    ----------
    metadata
        All settings.
    name
        The format's.

    Returns
    -------
    dict
        Those under `format: name` over the general ones.
    """
    section = (metadata.get("format") or {}).get(name)
    return _merge(metadata, section) if isinstance(section, dict) else metadata


def for_pandoc(metadata: Metadata, stem: str) -> Metadata:
    """The part of one format's settings that becomes pandoc metadata.

    Parameters
    ----------
    metadata
        The settings that hold for the format.
    stem
        The document's name without its suffix, which names the page where it has no title.

    Returns
    -------
    dict
        With authors and date in a single form.
    """
    chosen = {key: metadata[key] for key in _FOR_PANDOC if key in metadata}
    chosen.setdefault("lang", "en")
    chosen["author"] = _authors(metadata.get("author"))
    chosen["date"] = _date(metadata)
    if "title" not in chosen:
        chosen["pagetitle"] = stem
    if "bibliography" in metadata:
        chosen["bibliography"] = metadata["bibliography"]
        chosen.setdefault("link-citations", True)
    return {key: value for key, value in chosen.items() if value not in (None, [], "")}


def parse_yaml(text: str, where: str) -> Metadata:
    """A YAML mapping.

    Parameters
    ----------
    text
        The YAML.
    where
        What messages call its place.

    Returns
    -------
    dict
        Empty when there is no text.

    Raises
    ------
    RenderError
        Says where the text stands that is no YAML, or no mapping.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RenderError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict | None):
        raise RenderError(f"{where}: expected `key: value` lines, found {text.strip().splitlines()[0]!r}")
    return value or {}


def _merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> Metadata:
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged


def _absolute_paths(settings: Metadata, folder: Path) -> Metadata:
    """The settings with file names resolved against the folder of the file that names them."""
    for key in _PATHS:
        names = settings.get(key)
        if isinstance(names, str):
            settings[key] = str(folder / names)
        elif isinstance(names, list):
            settings[key] = [str(folder / name) for name in names]
    return settings


def _authors(value: Any) -> list[dict[str, str]]:
    entries = value if isinstance(value, list) else [value] if value else []
    return [_author(entry) for entry in entries]


def _author(entry: Any) -> dict[str, str]:
    if not isinstance(entry, dict):
        return {"name": str(entry)}
    places = entry.get("affiliation") or entry.get("affiliations") or []
    names = [
        str(place.get("name", "")) if isinstance(place, dict) else str(place)
        for place in (places if isinstance(places, list) else [places])
    ]
    return {"name": str(entry.get("name", "")), "affiliation": ", ".join(filter(None, names))}


def _date(metadata: Metadata) -> str:
    """The date in words, as Quarto has it; `today` obeys SOURCE_DATE_EPOCH, and other texts stay as they are."""
    value = str(metadata.get("date") or "")
    if value == "today":
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        now = dt.datetime.fromtimestamp(int(epoch), dt.UTC) if epoch else dt.datetime.now().astimezone()
        value = now.date().isoformat()
    try:
        day = dt.date.fromisoformat(value)
    except ValueError:
        return value
    return value if metadata.get("date-format") == "iso" else f"{day:%B} {day.day}, {day.year}"
