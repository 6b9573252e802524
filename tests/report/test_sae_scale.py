"""The page of a sweep over SAEs: it shows the summary's numbers in the summary's order, and says what is undefined."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from IPython.display import Markdown
from matplotlib.figure import Figure
from tests.figures.checks import check_readable
from tests.report.pages import shown_by
from tests.report.reading import faults, sentences
from tests.summary.test_sae_scale import CONFIG, SAES, SETTINGS, entry, manifest, write_run

from plateaulens import figures, resources
from plateaulens.cli.report import _document
from plateaulens.report import sae_scale
from plateaulens.report.text import MISSING
from plateaulens.summary.analyze import write_summary
from plateaulens.summary.sweep import summarize_sweep

PAGE = resources.root() / "report" / "saes.qmd"


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    folder = tmp_path_factory.mktemp("saes")
    for sae, seed in zip(SAES, (1, 2, 1), strict=True):
        write_run(folder, entry(sae), seed)
    return summarize_sweep(folder, manifest(), SETTINGS)


def changed(summary: xr.DataTree, **values: Any) -> xr.DataTree:
    """The summary with these values in its scale, by the name of the variable: a value, and where it stands."""
    group = summary["sae_scale"].to_dataset().copy(deep=True)
    for name, (value, where) in values.items():
        group[name].loc[where] = value
    tree = xr.DataTree.from_dict({"sensitivity": summary["sensitivity"].to_dataset(), "sae_scale": group})
    tree.attrs = summary.attrs
    return tree


def faulty(text: str) -> list[tuple[str, list[str]]]:
    """The sentences with faults; `saes/a` ends like an article."""
    said = [each.replace(SAES[0], "first") for each in sentences(text)]
    return [(each, faults(each)) for each in said if faults(each)]


@pytest.mark.slow
def test_the_page(summary: xr.DataTree, tmp_path: Path) -> None:
    write_summary(summary.copy(), tmp_path / "saes.zarr")
    assert _document(tmp_path / "saes.zarr") == "saes.qmd"
    shown = shown_by(PAGE, tmp_path / "saes.zarr")
    (figure,) = (item for item in shown if isinstance(item, Figure))
    check_readable(figure)
    text = "\n".join(str(item.data) if isinstance(item, Markdown) else str(item) for item in shown)
    assert "has 3 SAEs. All 3 of its runs are complete" in text
    assert "share 48 base prompts" in text
    assert "nan" not in text.lower().replace("dominan", "")
    assert text.count("complete |") == 3


@pytest.mark.slow
class TestTables:
    def test_the_ranking_is_the_summary_s(self, summary: xr.DataTree) -> None:
        table = sae_scale.ranking_table(summary, "structured")
        group = summary["sae_scale"].to_dataset().squeeze(["model", "write", "read", "seed"], drop=True)
        frame = table.frame
        assert len(frame) == 9
        for _, row in frame.iterrows():
            metric = {"L2": "l2", "KL": "kl", "JS": "js"}[row["heading"]]
            cell = group.sel(sae=row["sae"], metric=metric, activation_type="structured")
            assert row["share"] == float(cell["share"])
            assert row["standing"] == str(cell["standing"].item())
            np.testing.assert_array_equal([row["share_lower"], row["share_upper"]], cell["share_interval"])
        for _, own in frame.groupby("heading", sort=False):
            assert own["rank"].is_monotonic_increasing
        cells = table.cells()
        assert "**L2**" in set(cells.iloc[:, 0])
        assert sae_scale.ranking_table(summary, "bag").frame.empty

    def test_plateaus_and_lengths(self, summary: xr.DataTree) -> None:
        group = summary["sae_scale"].to_dataset().squeeze(["model", "write", "read", "seed"], drop=True)
        plateaus = sae_scale.plateau_table(summary).frame
        assert set(plateaus["heading"]) == {"L2"}
        one = group["plateau_share"].sel(sae=SAES[1], metric="l2", activation_type="baseline")
        assert plateaus.set_index("sae").loc[SAES[1], "baseline"] == float(one)
        lengths = sae_scale.length_table(summary).frame.set_index("metric")
        assert lengths.loc["kl", "scale_length"] == float(group["scale_length"].sel(metric="kl"))
        assert set(lengths["site"]) == {MISSING}

    def test_a_figure_draws_the_shares(self, summary: xr.DataTree) -> None:
        _, scale = sae_scale.first_site(summary)
        figure = figures.sae_shares(scale, metrics=["kl"])
        (panel,) = figure.axes
        drawn = [np.asarray(line.get_xdata(), dtype=np.float64) for line in panel.lines]
        points = {round(float(x[0]), 9) for x in drawn if x.size == 1}
        wanted = {round(float(each), 9) for each in scale["share"].sel(metric="kl").values.ravel()}
        assert points == {each for each in wanted if each >= -1}
        assert [label.get_text() for label in panel.get_yticklabels()] == list(SAES)
        nothing = scale.assign(share=scale["share"] * np.nan)
        assert figures.sae_shares(nothing).axes[0].get_title(loc="left") == "no share is defined"


@pytest.mark.slow
class TestSentences:
    def test_an_order(self, summary: xr.DataTree) -> None:
        at = {"metric": "kl", "activation_type": "structured"}
        tree = changed(
            summary,
            standing=("worse", at),
            share=(0.5, {**at, "sae": SAES[0]}),
            share_interval=(0.25, {**at, "sae": SAES[0]}),
        )
        words = (("best", SAES[0]), ("not shown worse", SAES[1]), ("worse", SAES[2]))
        for word, sae in words:
            tree = changed(tree, standing=(word, {**at, "sae": sae}))
        said = sae_scale.standing_sentences(tree, "structured").replace("\\", "")
        assert (
            "KL: saes/a comes farthest in this sample, 0.50 [0.25,\u00a00.25] of the way. "
            "It is not shown to be ahead of release:b. Shown to be worse: c."
        ) in said
        tree = changed(tree, standing=("worse", {**at, "sae": SAES[1]}))
        said = sae_scale.standing_sentences(tree, "structured").replace("\\", "")
        assert (
            "KL: saes/a comes farthest, 0.50 [0.25,\u00a00.25] of the way. Shown to be worse: release:b and c." in said
        )

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (
                ("undefined",) * 3,
                "KL: random is not shown to differ from real, and the share of the way is not defined.",
            ),
            (
                ("tied for best", "not shown worse", "tied for best"),
                "saes/a and c come equally far in this sample, ",
            ),
            (("tied for best", "not shown worse", "tied for best"), "They are not shown to be ahead of release:b."),
            (("too few",) * 3, "KL: there are too few base prompts to place saes/a, release:b and c in an order."),
            (("best", "too few", "undefined"), "There are too few base prompts to place release:b in an order."),
            (("best", "worse", "undefined"), "Shown to be worse: release:b. Without a share: c."),
        ],
    )
    def test_words(self, words: tuple[str, ...], said: str, summary: xr.DataTree) -> None:
        tree = summary
        for word, sae in zip(words, SAES, strict=True):
            tree = changed(tree, standing=(word, {"metric": "kl", "activation_type": "baseline", "sae": sae}))
        text = sae_scale.standing_sentences(tree, "baseline")
        assert said in text.replace("\\", "")
        assert faulty(text) == []
        assert faulty(sae_scale.ranking_caption(tree, "baseline")) == []

    def test_many_saes_are_counted(self, summary: xr.DataTree) -> None:
        _, scale = sae_scale.first_site(summary)
        many = scale.isel(sae=[0, *[1] * 9]).assign_coords(sae=[f"release:{number}" for number in range(10)])
        many = many.assign(standing=many["standing"].where(many["sae"] == "release:0", "not shown worse"))
        many["standing"].loc[{"sae": "release:0"}] = "best"
        group = many.expand_dims([axis for axis in ("model", "write", "read", "seed") if axis not in many.dims])
        tree = xr.DataTree.from_dict({"sae_scale": group})
        text = sae_scale.standing_sentences(tree, "baseline")
        assert "It is not shown to be ahead of 9 SAEs." in text
        assert faulty(text) == []

    def test_what_is_not_there_is_said(self, summary: xr.DataTree) -> None:
        assert sae_scale.standing_sentences(summary, "bag") == "The sweep does not have the type bag."
        assert "does not have this type" in sae_scale.ranking_caption(summary, "bag")
        plain = xr.DataTree.from_dict({"sensitivity": summary["sensitivity"].to_dataset()})
        plain.attrs = summary.attrs
        assert "no scale to place them on" in sae_scale.varied_sentences(plain)
        assert sae_scale.length_table(plain).frame.empty
        assert sae_scale.plateau_table(plain).frame.empty


@pytest.mark.slow
def test_several_sites_are_named(tmp_path: Path) -> None:
    """Two seeds are two scales, each with its own ranking."""
    entries = [entry(sae).model_copy(update={"seed": seed, "name": f"{seed}-{i}"}) for seed in (0, 1)
               for i, sae in enumerate(SAES[:2])]  # fmt: skip
    for number, each in enumerate(entries):
        write_run(tmp_path, each, number)
    tree = summarize_sweep(tmp_path, manifest(*entries), SETTINGS)
    scale = sae_scale.scale_of(tree)
    assert scale is not None
    titles = [title for title, _ in sae_scale.sites(scale)]
    assert titles == ["seed 0", "seed 1"]
    assert "Shown is seed 0, the first of 2" in sae_scale.figure_caption(tree)
    headings = sae_scale.ranking_table(tree, "structured").frame["heading"]
    assert headings.drop_duplicates().tolist()[:2] == ["L2, seed 0", "KL, seed 0"]
    assert CONFIG.seed == 0
