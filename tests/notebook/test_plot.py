"""`pl.plot`: the figures of the report, by the name that they have there, and how a notebook shows them."""

import inspect
from typing import Any

import pytest
import xarray as xr
from matplotlib.figure import Figure
from tests.processes import run_code

import plateaulens as pl
from plateaulens import figures

OF_A_GROUP = {
    "adjusted_differences": "confounds",
    "constant_sensitivity": "constants",
    "distinguishability": "distinguish",
    "target_geometry": "geometry",
}
OTHERS = {"beside", "doses", "experiment_drawing", "ladder", "layer_map", "sae_shares"}
"""Figures of several runs, and of none."""
NAMES = sorted(set(figures.__all__) - OTHERS)


def test_every_figure_of_one_run_is_there() -> None:
    functions = {
        name
        for name, each in vars(pl.plot).items()
        if inspect.isfunction(each) and each.__module__ == pl.plot.__name__ and not name.startswith("_")
    }
    assert functions - {"show_in_notebooks", "sae_shares"} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_figure_of_that_name(
    name: str, synthetic_summary: xr.DataTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[xr.Dataset, dict[str, Any]]] = []
    drawn = Figure()

    def draw(group: xr.Dataset, **options: Any) -> Figure:
        calls.append((group, options))
        return drawn

    monkeypatch.setattr(figures, name, draw)
    assert getattr(pl.plot, name)(synthetic_summary) is drawn
    group = OF_A_GROUP.get(name, "plateau" if name == "plateaus" else "sensitivity")
    assert calls[0][0].identical(synthetic_summary[group].to_dataset())
    assert calls[0][1] == ({"threshold": 20.0} if name == "plateaus" else {})
    given = {"threshold": 3.0} if name == "plateaus" else {"types": ["real"]}
    getattr(pl.plot, name)(synthetic_summary, **given)
    assert calls[1][1] == given
    if name not in OF_A_GROUP:
        getattr(pl.plot, name)(synthetic_summary, "sensitivity_absolute", **given)
        assert calls[2][0].identical(synthetic_summary["sensitivity_absolute"].to_dataset())


def test_a_figure_is_drawn(synthetic_summary: xr.DataTree) -> None:
    figure = pl.plot.max_slope_cdf(synthetic_summary, metrics=["l2"])
    assert isinstance(figure, Figure)
    (panel,) = figure.axes
    assert len(panel.lines) >= 9


NOTEBOOK = """
import base64
import warnings

warnings.simplefilter("ignore")  # of IPython's own
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
import plateaulens as pl
from matplotlib.figure import Figure

formatter = shell.display_formatter.formatters["image/png"]
assert pl.plot
figure = Figure()
figure.subplots()
assert base64.b64decode(formatter(figure)).startswith(b"\\x89PNG")
assert not pl.plot.show_in_notebooks()
"""


@pytest.mark.slow
def test_a_notebook_shows_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("IPython")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    done = run_code(NOTEBOOK, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_saes_are_drawn_of_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[xr.Dataset] = []

    def draw(scale: xr.Dataset) -> Figure:
        calls.append(scale)
        return Figure()

    monkeypatch.setattr(figures, "sae_shares", draw)
    data = xr.Dataset({"share": ("sae", [0.5])})
    assert isinstance(pl.plot.sae_shares(data), Figure)
    assert calls == [data]
    with pytest.raises(pl.UsageError, match=r"give scores\.data"):
        pl.plot.sae_shares(xr.Dataset())
