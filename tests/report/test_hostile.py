"""Whoever renders somebody else's summary is safe: texts of the store are shown literally, and names are names."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pypandoc
import pytest
import xarray as xr
from IPython.display import Markdown
from matplotlib.figure import Figure
from tests.report.pages import shown_by
from tests.report.test_ladder import with_ladder
from tests.report.test_sweep import CONFIG as LAYERS
from tests.report.test_sweep import READS, WRITES, generate_cell
from tests.summary.test_sae_scale import SAES, SETTINGS, entry, manifest, write_run

from plateaulens import resources
from plateaulens.config import AnalysisConfig, SweepConfig
from plateaulens.errors import UsageError
from plateaulens.names import NAME
from plateaulens.store.manifest import Entry, Manifest
from plateaulens.store.reading import open_run, open_summary
from plateaulens.summary.analyze import write_summary
from plateaulens.summary.sweep import summarize_sweep

INDEX, SAES_PAGE, LADDER, SWEEP = (
    resources.root() / "report" / f"{name}.qmd" for name in ("index", "saes", "ladder", "sweep")
)
PAYLOAD = (
    "<script>alert(1)</script><img src=x onerror=alert(1)> *em* `code` $x_1$ $\\frac$ [a](javascript:alert(1)) "
    "{{< include /etc/passwd >}} `{python} 1+1` #eval(1) ::: {.x} | a | @cite <!-- c --> \\alpha"
)
CONFIG = (("model", "source"), ("sae", "source"), ("prompts", "source"), ("sites", "write"), ("sites", "read"))


class Elements(HTMLParser):
    """What a page is made of, and what its links lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"colgroup", "col"}:  # pandoc's, for long cells
            self.found.append(tag)
        self.found += [f"{name}={value}" for name, value in attrs if name.startswith("on") or "script" in str(value)]
        self.found += [f"class={value}" for name, value in attrs if name == "class"]

    def handle_data(self, data: str) -> None:
        self.text += data


def write(tree: xr.DataTree, path: Path) -> Path:
    write_summary(tree, path)
    return path


def poisoned(summary: xr.DataTree, payload: str) -> xr.DataTree:
    """A summary with the payload in every text of it that is not a name."""
    groups = {name: node.to_dataset().copy(deep=True) for name, node in summary.children.items()}
    for group in groups.values():
        for name in ("metric_units", "statistic_long_name", "metric_definition", "definition"):
            if name in group.coords:
                values = np.full(group[name].shape, payload, dtype=object).astype(np.dtypes.StringDType())
                group[name] = (group[name].dims, values)
        if "jump_text" in group:
            values = np.full(group["jump_text"].shape, payload, dtype=object).astype(np.dtypes.StringDType())
            group["jump_text"] = (group["jump_text"].dims, values)
    groups["prompts"]["text"][:] = payload
    tree = xr.DataTree.from_dict(groups)
    config = json.loads(summary.attrs["config"])
    config["sae"] = {"source": ""}
    for section, key in CONFIG:
        config[section][key] = payload
    types = [str(kind) for kind in summary["geometry"].activation_type.values]
    tree.attrs = summary.attrs | {
        "name": payload,
        "config": json.dumps(config | {"name": payload.replace("/", "").replace("\\", "")}),
        "commit": payload,
        "identity": json.dumps({"model": payload, payload: payload}),
        "versions": json.dumps({payload: payload}),
        "definitions": json.dumps(dict.fromkeys(types, payload)),
    }
    return tree


def page_of(summary: Path, taken: Path, page: Path = INDEX) -> tuple[str, list[Figure]]:
    shown = shown_by(page, summary, taken=taken)
    texts = [item.data if isinstance(item, Markdown) else item for item in shown]
    whole = "\n\n".join(text for text in texts if isinstance(text, str))
    return whole, [item for item in shown if isinstance(item, Figure)]


@pytest.mark.slow
def test_texts_of_a_summary_are_shown_literally(summary: xr.DataTree, tmp_path: Path) -> None:
    """The poisoned page has the elements of the plain one, and no other."""
    pages, figures = zip(
        *(
            page_of(write(poisoned(summary, text), tmp_path / f"{i}.zarr"), tmp_path / f"taken-{i}")
            for i, text in enumerate(("plain", PAYLOAD))
        ),
        strict=True,
    )
    plain, hostile = (Elements(pypandoc.convert_text(page, "html", format="markdown")) for page in pages)
    assert hostile.found == plain.found
    assert "<script>alert(1)</script>" in hostile.text
    assert "$x_1$" in hostile.text
    for figure in figures[1]:
        figure.draw_without_rendering()
    kept = [
        sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in sorted(tmp_path.glob("taken-*"))
    ]
    assert kept[0] == kept[1]
    for picture in (tmp_path / "taken-1" / "figures").iterdir():
        elements = list(ET.parse(picture).iter())  # noqa: S314 (matplotlib's)
        assert not [each.tag for each in elements if each.tag.endswith(("script", "foreignObject", "}a"))]
        assert not [name for each in elements for name in each.attrib if name.startswith("on")]


def poisoned_sweep(summary: xr.DataTree, payload: str) -> xr.DataTree:
    """A sweep over SAEs of two sites with the payload in every text of it that is not a name."""
    groups = {name: node.to_dataset().copy(deep=True) for name, node in summary.children.items()}
    scale = groups["sae_scale"]
    scale = xr.concat([scale, scale], "read").copy(deep=True)
    for axis in ("model", "sae", "write", "read"):
        texts = [f"{payload} {number}" for number in range(scale.sizes[axis])]
        scale = scale.assign_coords({axis: np.array(texts, dtype=np.dtypes.StringDType())})
    scale["standing"][{"sae": -1, "metric": 0}] = payload
    groups["sae_scale"] = scale
    tree = xr.DataTree.from_dict(groups)
    config = json.loads(summary.attrs["config"])
    cells = [cell | dict.fromkeys(("name", "model", "sae", "state", "commit"), payload) for cell in
             json.loads(summary.attrs["cells"])]  # fmt: skip
    tree.attrs = summary.attrs | {
        "name": payload,
        "config": json.dumps(config | {"name": payload.replace("/", "").replace("\\", "")}),
        "cells": json.dumps(cells),
        "commit": payload,
        "versions": json.dumps({payload: payload}),
        "definitions": json.dumps(dict.fromkeys(json.loads(summary.attrs["definitions"]), payload)),
    }
    return tree


@pytest.mark.slow
def test_texts_of_a_sweep_over_saes_are_shown_literally(tmp_path: Path) -> None:
    for sae, seed in zip(SAES[:2], (1, 2), strict=True):
        write_run(tmp_path / "saes", entry(sae), seed)
    plain_summary = summarize_sweep(tmp_path / "saes", manifest(*map(entry, SAES[:2])), SETTINGS)
    pages = []
    for number, text in enumerate(("plain", PAYLOAD)):
        path = write(poisoned_sweep(plain_summary, text), tmp_path / f"{number}.zarr")
        page, figures = page_of(path, tmp_path / f"taken-{number}", SAES_PAGE)
        pages.append(Elements(pypandoc.convert_text(page, "html", format="markdown")))
        for figure in figures:
            figure.draw_without_rendering()
    plain, hostile = pages
    assert hostile.found == plain.found
    for elements, text in ((plain, "plain"), (hostile, "<script>alert(1)</script>")):
        assert elements.text.count(text) > 100


def both_pages(page: Path, poison: Callable[[str], xr.DataTree], folder: Path) -> list[Elements]:
    """A page of a summary with harmless texts and of one with the payload; figures are drawn, too."""
    pages = []
    for number, text in enumerate(("plain", PAYLOAD)):
        shown, figures = page_of(write(poison(text), folder / f"{number}.zarr"), folder / f"taken-{number}", page)
        pages.append(Elements(pypandoc.convert_text(shown, "html", format="markdown")))
        for figure in figures:
            figure.draw_without_rendering()
    return pages


@pytest.mark.slow
def test_texts_of_a_ladder_are_shown_literally(synthetic_summary: xr.DataTree, tmp_path: Path) -> None:
    tree = with_ladder(synthetic_summary)

    def poison(text: str) -> xr.DataTree:
        found = poisoned(tree, text)
        group = found["ladder"].to_dataset().copy(deep=True)
        for name in ("adds", "best_detector"):
            group[name] = group[name].copy(data=np.full(group[name].shape, text, dtype=np.dtypes.StringDType()))
        found["ladder"] = xr.DataTree(group)
        return found

    plain, hostile = both_pages(LADDER, poison, tmp_path)
    assert hostile.found == plain.found
    assert "<script>alert(1)</script>" in hostile.text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:constrained_layout not applied")  # labels that are no sites' leave no room
def test_texts_of_a_layer_sweep_are_shown_literally(tmp_path: Path) -> None:
    sites = [(write, read) for write in WRITES[:2] for read in READS]
    entries = []
    for number, (write, read) in enumerate(sites):
        own = Entry(name=f"cell-{number}", model="m", sae="none", write=write, read=read, seed=0)
        generate_cell(tmp_path / "sweep", own, number)
        entries.append(own.with_state("complete"))
    asked = SweepConfig(write=tuple(WRITES[:2]), read=tuple(READS))
    config = LAYERS.model_copy(update={"name": "layers", "sweep": asked})
    whole = Manifest(config=config, cells=tuple(entries))
    found = summarize_sweep(tmp_path / "sweep", whole, AnalysisConfig(resamples=50))

    def poison(text: str) -> xr.DataTree:
        group = found["sensitivity"].to_dataset().copy(deep=True)
        for axis in ("model", "sae", "write", "read"):
            texts = [f"{text} {number}" for number in range(group.sizes[axis])]
            group = group.assign_coords({axis: np.array(texts, dtype=np.dtypes.StringDType())})
        tree = xr.DataTree.from_dict({"sensitivity": group})
        config = json.loads(found.attrs["config"])
        for section, key in (("model", "source"), ("prompts", "source"), ("sites", "write"), ("sites", "read")):
            config[section][key] = text
        config["sites"]["frozen"] = [text]
        cells = [cell | dict.fromkeys(("name", "model", "sae", "write", "read", "commit"), text) for cell in
                 json.loads(found.attrs["cells"])]  # fmt: skip
        types = json.loads(found.attrs["definitions"])
        tree.attrs = found.attrs | {
            "config": json.dumps(config),
            "cells": json.dumps(cells),
            "definitions": json.dumps(dict.fromkeys(types, text)),
        }
        return tree

    plain, hostile = both_pages(SWEEP, poison, tmp_path)
    assert hostile.found == plain.found
    assert "<script>alert(1)</script>" in hostile.text


@pytest.mark.slow
def test_names_that_are_markup_are_not_opened(
    summary: xr.DataTree, run: xr.DataTree, tmp_path: Path, renamed: Callable[[xr.DataTree, str], xr.DataTree]
) -> None:
    for number, name in enumerate(["<script>x</script>", "$x_1$"]):
        for what, tree, open_store in (("run", run, open_run), ("summary", summary, open_summary)):
            path = write(renamed(tree, name), tmp_path / f"{what}-{number}.zarr")
            with pytest.raises(UsageError) as raised:
                open_store(path)
            assert f"has the name {name!r}, which is none" in str(raised.value)


@pytest.mark.parametrize(
    "name", ["<b>", "*b*", "$x_1$", "a b", "", "_hidden", "#eval", "-", "a|b", "a\\nb", "1.", "\u00e4"]
)
def test_what_is_no_name(name: str) -> None:
    assert not NAME.fullmatch(name)


@pytest.fixture
def renamed() -> Callable[[xr.DataTree, str], xr.DataTree]:
    """The store with one of its types under another name."""

    def rename(tree: xr.DataTree, name: str) -> xr.DataTree:
        groups: dict[str, Any] = {key: node.to_dataset() for key, node in tree.children.items()}
        group = groups["sensitivity"]
        types = [name, *map(str, group["activation_type"].values[1:])]
        groups["sensitivity"] = group.assign_coords(activation_type=np.array(types, dtype=np.dtypes.StringDType()))
        groups.pop("integrity", None)
        changed = xr.DataTree.from_dict(groups)
        changed.attrs = tree.attrs
        return changed

    return rename
