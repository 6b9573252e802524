"""What a reader takes out of a page: files beside it, the links to them, and that numbers are those that are drawn."""

import os
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from IPython.display import Markdown
from matplotlib.figure import Figure
from tests.report.pages import shown_by

from plateaulens import figures, resources
from plateaulens.figures.numbers import COLUMNS, NAMES, drawn_numbers
from plateaulens.figures.positions import cumulative
from plateaulens.names import label
from plateaulens.report.build import build
from plateaulens.report.taken import Taken, gather, put
from plateaulens.summary.analyze import write_summary
from qmdrender.document import Cell, read_document

REPORT = resources.root() / "report"
LINK = re.compile(r"\[[^\]]+\]\(([^)]+)\)")


@pytest.fixture
def cdf(sensitivity: xr.Dataset) -> Figure:
    return figures.max_slope_cdf(sensitivity)


def text(made: Markdown) -> str:
    return str(made.data)


class TestNumbers:
    def test_of_distribution_functions(self, sensitivity: xr.Dataset, cdf: Figure) -> None:
        found = drawn_numbers(cdf)
        assert tuple(found) == COLUMNS
        for panel, (ax, metric) in enumerate(zip(cdf.axes, ("l2", "kl"), strict=True), start=1):
            for line in ax.get_lines():
                own = found[(found["panel"] == panel) & (found["series"] == line.get_label())]
                np.testing.assert_array_equal(own["x"], line.get_xdata())
                np.testing.assert_array_equal(own["y"], line.get_ydata())
            x, y = cumulative(sensitivity, "max_slope", metric, "random")
            own = found[(found["panel"] == panel) & (found["series"] == label("random"))]
            np.testing.assert_array_equal(own[["x", "y"]], np.column_stack([x, y]))
            assert set(own["mark"]) == {"line"}

    def test_of_a_forest_with_the_names_of_its_rows_and_the_words_beside_them(self, sensitivity: xr.Dataset) -> None:
        found = drawn_numbers(figures.ks_forest(sensitivity, metrics=["l2"]))
        own = sensitivity.sel(convention="corrected", statistic="max_slope", metric="l2", activation_type="random")
        row = found[found["row"] == label("random")]
        points = row[row["mark"] == "point"]
        assert points["x"].tolist() == [own["ks"].item(), own["ks_upper_bound"].item()]
        assert points["series"].tolist() == ["", "one-sided upper bound"]
        assert row.loc[row["mark"] == "line", "x"].tolist() == own["ks_interval"].values.tolist()
        assert row.loc[row["mark"] == "text", "series"].tolist() == [own["conclusion"].item()]
        assert row.loc[row["mark"] == "bar", "x"].tolist() == [0.0, own["ks_null_upper"].item()]
        assert row.loc[row["mark"] == "text", "x"].isna().all(), "placed beside the panel, at no number"

    def test_of_histograms_and_bands(self, sensitivity: xr.Dataset) -> None:
        found = drawn_numbers(figures.max_slope_histograms(sensitivity))
        steps = found[(found["mark"] == "histogram") & (found["panel"] == 1)]
        assert steps["y"].sum() == pytest.approx(1.0)
        assert steps["x"].is_monotonic_increasing
        band = drawn_numbers(figures.survival_curves(sensitivity, metrics=["l2"])).query("mark == 'band'")
        own = sensitivity["survival_band"].sel(statistic="max_slope", metric="l2", activation_type="real")
        assert set(own.values.ravel()) <= set(band.loc[band["series"] == label("real"), "y"])

    def test_of_a_picture(self) -> None:
        figure = Figure()
        figure.subplots().imshow([[0.25, np.nan], [0.5, 0.75]])
        found = drawn_numbers(figure)
        assert found["mark"].tolist() == ["cell"] * 4
        np.testing.assert_array_equal(found[["x", "y", "value"]].loc[2], [0, 1, 0.5])
        assert np.isnan(found["value"][1])

    def test_of_nothing(self) -> None:
        assert drawn_numbers(Figure()).empty


class TestTaken:
    def test_a_figure_is_kept_as_numbers_and_as_a_picture(self, cdf: Figure, tmp_path: Path) -> None:
        kept = Taken(str(tmp_path))
        assert kept.keep("cdf", cdf) is cdf
        table, picture = (tmp_path / path for path in LINK.findall(text(kept.links("cdf"))))
        expected = drawn_numbers(cdf).drop(columns=["row", "value"])
        pd.testing.assert_frame_equal(pd.read_csv(table).drop(columns=["row", "value"]), expected, check_dtype=False)
        root = ET.parse(picture).getroot()  # noqa: S314 (our own)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not [each for each in root.iter() if each.tag.endswith(("script", "metadata", "foreignObject"))]
        assert not [name for each in root.iter() for name in each.attrib if name.lower().startswith("on")]

    def test_the_same_figure_gives_the_same_bytes(self, sensitivity: xr.Dataset, tmp_path: Path) -> None:
        for name in ("one", "two"):
            Taken(str(tmp_path / name)).keep("cdf", figures.max_slope_cdf(sensitivity))
        first, second = (files_of(tmp_path / name) for name in ("one", "two"))
        assert first.keys() == {"data/figures/cdf.csv", "figures/cdf.svg"}
        assert first == second

    def test_without_a_folder_there_are_neither_files_nor_links(
        self, cdf: Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        kept = Taken("")
        assert kept.keep("cdf", cdf) is cdf
        assert text(kept.links("cdf")) == text(kept.everything()) == ""
        assert list(tmp_path.iterdir()) == []

    def test_what_is_no_figure_has_no_links(self, tmp_path: Path) -> None:
        kept, dash = Taken(str(tmp_path)), Markdown("-")  # type: ignore[no-untyped-call]
        assert kept.keep("cdf", dash) is dash
        assert text(kept.links("cdf")) == ""
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["../../etc/passwd", "", "other"])
    def test_a_name_that_no_page_has(self, cdf: Figure, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValueError, match="no figure is called"):
            Taken(str(tmp_path)).keep(name, cdf)


class TestPut:
    def test_an_earlier_reports_tables_and_figures_go_and_other_files_stay(self, tmp_path: Path) -> None:
        made, out = tmp_path / "made", tmp_path / "out"
        old = ("data/gone.csv", "data/own.csv", "figures/cdf.svg", "figures/own.svg", "data/figures/cdf.csv")
        for name in (*old, "results.json"):
            write_text(out / name, '{"tables": ["data/gone.csv", "data/../../x.csv"]}')
        write_text(tmp_path / "x.csv", "not ours")
        for name in ("results.json", "data/pairs.csv", "figures/absolute.svg"):
            write_text(made / name, "new")
        write_text(tmp_path / "index.html", "page")
        assert put(made, [tmp_path / "index.html"], out) == [out / "index.html"]
        new = {"results.json": b"new", "data/pairs.csv": b"new", "figures/absolute.svg": b"new", "index.html": b"page"}
        found = files_of(out)
        assert {name: found[name] for name in new} == new
        assert found.keys() - new.keys() == {"data/own.csv", "figures/own.svg"}
        assert (tmp_path / "x.csv").exists()


@pytest.mark.parametrize("page", ["index", "sweep"])
def test_every_figure_of_a_page_is_kept_under_its_own_name(page: str) -> None:
    source = REPORT / f"{page}.qmd"
    labels = re.findall(r"^::: \{#fig-([\w-]+)\}", source.read_text(encoding="utf-8"), re.MULTILINE)
    cells = [part.source for part in read_document(source).parts if isinstance(part, Cell)]
    assert [name for cell in cells for name in re.findall(r'kept\.keep\("([\w-]+)"', cell)] == labels
    assert [name for cell in cells for name in re.findall(r'kept\.links\("([\w-]+)"\)', cell)] == labels
    assert set(labels) <= set(NAMES)


@pytest.mark.slow
def test_links_of_the_page_resolve_beside_it(summary: xr.DataTree, tmp_path: Path) -> None:
    write_summary(summary, tmp_path / "summary.zarr")
    taken = tmp_path / "taken"
    taken.mkdir()
    shown: list[Any] = shown_by(REPORT / "index.qmd", tmp_path / "summary.zarr", taken=taken)
    gather(tmp_path / "summary.zarr", taken)
    own = [text(item) for item in shown if isinstance(item, Markdown) and "content-visible" in text(item)]
    own = [each for each in own if "{=html}" not in each]  # the explorer has links to nothing, and code
    links = [link for each in own for link in LINK.findall(each)]
    drawn = sum(isinstance(item, Figure) for item in shown)
    assert len(links) == 3 + 2 * drawn > 20
    assert all((taken / link).exists() for link in links)
    assert {f"data/figures/{name}.csv" for name in NAMES} & set(links) == set(
        files_of(taken / "data/figures", "data/figures/")
    )


SMALL = """\
---
title: Small report
---

```{python}
#| tags: [parameters]
summary = "nowhere"
taken = ""
```

```{python}
#| include: false
from plateaulens import figures, open_summary
from plateaulens.report.taken import Taken
kept = Taken(taken)
```

```{python}
kept.everything()
```

::: {#fig-geometry}

```{python}
#| fig-alt: "Rows."
kept.keep("geometry", figures.target_geometry(open_summary(summary)["geometry"].to_dataset()))
```

Where targets lie.

:::

```{python}
kept.links("geometry")
```
"""


@pytest.mark.slow
def test_two_reports_have_the_same_bytes_and_one_without_data_the_page_alone(
    summary: xr.DataTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_summary(summary, tmp_path / "summary.zarr")
    project = tmp_path / "installation" / "report"
    for name, content in {"_quarto.yml": "execute:\n  echo: false\n", "index.qmd": SMALL, "references.bib": ""}.items():
        write_text(project / name, content)
    monkeypatch.setattr(resources, "root", lambda: project.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    for name in ("one", "two", "alone"):
        build(tmp_path / "summary.zarr", tmp_path / name, renderer="builtin", data=name != "alone")
    first, second, alone = (files_of(tmp_path / name) for name in ("one", "two", "alone"))
    assert first == second
    assert {"index.html", "index.pdf", "results.json", "report.md", "data/pairs.csv", "figures/geometry.svg"} <= set(
        first
    )
    page = first["index.html"].decode()
    links = re.findall(r'href="((?!#)[^"]+)"', page)
    assert links == ["results.json", "report.md", "data/", "data/figures/geometry.csv", "figures/geometry.svg"]
    assert all((tmp_path / "one" / link).exists() for link in links)
    assert str(tmp_path) not in page
    assert alone.keys() == {"index.html", "index.pdf"}
    assert not re.findall(r'href="((?!#)[^"]+)"', alone["index.html"].decode())
    assert first["index.pdf"] == alone["index.pdf"], "no links, nor anything else of them"


def write_text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def files_of(folder: Path, before: str = "") -> dict[str, bytes]:
    return {
        before + file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }
