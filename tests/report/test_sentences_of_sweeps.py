"""The sentences of the pages of sweeps, of SAEs and of the ladder, over runs without a model that differ in kind."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from tests.report.pages import shown_by
from tests.report.reading import FRAGMENTS, faults, sentences, texts
from tests.report.test_ladder import with_ladder
from tests.summary.test_ladder import as_good_as_real

from plateaulens import resources
from plateaulens.config import AnalysisConfig, RunConfig, SweepConfig
from plateaulens.report import sweep, sweep_findings
from plateaulens.store.manifest import NO_SAE, Entry, Manifest, config_of
from plateaulens.store.run import RunStore
from plateaulens.summary.analyze import write_summary
from plateaulens.summary.sweep import map_dataset, summarize_sweep
from plateaulens.testing import synthetic_attributes, synthetic_prompts, synthetic_spec, synthetic_values

pytestmark = pytest.mark.slow

REPORT = resources.root() / "report"
TYPES = ("real", "real_control", "random", "reconstruction", "baseline", "structured")
SETTINGS = AnalysisConfig(resamples=99, statistics=("max_slope", "plateau_length"))
PRE, POST = "blocks.{}.hook_resid_pre", "blocks.{}.hook_resid_post"
SAES = ("release:b", "saes/main", "c", "d", "other:f")


def entry(write: int = 1, read: int = 11, *, model: str = "m", sae: str = NO_SAE, seed: int = 0) -> Entry:
    name = f"{model}-{sae.replace('/', '-').replace(':', '-')}-{write}-{read}-{seed}"
    return Entry(name=name, model=model, sae=sae, write=PRE.format(write), read=POST.format(read), seed=seed,
                 state="complete")  # fmt: skip


SWEEPS = {
    "one map": [entry(write, read) for write, read in ((1, 6), (1, 11), (4, 6), (4, 11), (8, 11))],
    "many maps": [entry(write, model=model, seed=seed) for model in ("m", "n") for seed in (0, 1) for write in (1, 4)],
    "one run": [entry()],
    "few prompts": [entry(write) for write in (1, 4)],
    "one SAE": [entry(sae=SAES[0])],
    "two SAEs": [entry(sae=sae) for sae in SAES[:2]],
    "five SAEs": [entry(sae=sae) for sae in SAES],
    "two sites of SAEs": [entry(sae=sae, seed=seed) for seed in (0, 1) for sae in SAES[:2]],
    "SAEs of few prompts": [entry(sae=sae) for sae in SAES[:2]],
}
"""The runs of each sweep."""
PROMPTS = {"few prompts": 4, "SAEs of few prompts": 4}
Change = Callable[[xr.DataTree], xr.DataTree]


@pytest.fixture(scope="module")
def summarized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], xr.DataTree]:
    """The summary of one of `SWEEPS`, made once."""

    @cache
    def made(name: str) -> xr.DataTree:
        folder, cells = tmp_path_factory.mktemp("sweep"), SWEEPS[name]
        spec = synthetic_spec(
            PROMPTS.get(name, 24), activation_types=TYPES, experiments=("sensitivity", "plateau"), steps=31
        )
        config = RunConfig.model_validate_json(str(synthetic_attributes(spec, 0)["config"]))
        for number, cell in enumerate(cells):
            own = {**synthetic_attributes(spec, 0, cell.name), "config": config_of(config, cell).model_dump_json()}
            with RunStore.create(folder / cell.run, spec, own, synthetic_prompts(spec, 0)) as store:
                for group in ("activations", "sensitivity", "plateau"):
                    for span in store.pending(group):
                        store.write(group, span, synthetic_values(spec, group, span, number))
                store.seal()
        saes = tuple(dict.fromkeys(cell.sae for cell in cells if cell.sae != NO_SAE))
        asked = SweepConfig(sae=saes) if saes else SweepConfig(write=tuple(dict.fromkeys(cell.write for cell in cells)))
        changes = {"name": "layers", "sweep": asked, "experiments": ("sensitivity",)}
        return summarize_sweep(folder, Manifest(config=config.model_copy(update=changes), cells=tuple(cells)), SETTINGS)

    return made


def changed(tree: xr.DataTree, group: str, values: dict[str, Any]) -> xr.DataTree:
    """The summary with these values of a group wherever it has any, by the name of the variable."""
    groups = {name: node.to_dataset().copy(deep=True) for name, node in tree.children.items()}
    for name, value in values.items():
        own = groups[group][name]
        is_empty = own.isnull() if own.dtype.kind == "f" else own == ""
        groups[group][name] = own.where(is_empty, value)
    found = xr.DataTree.from_dict(groups)
    found.attrs = tree.attrs
    return found


def said(page: str, tree: xr.DataTree, folder: Path) -> list[str]:
    """The sentences of a page; what stands within a line is there."""
    write_summary(tree.copy(), folder / "summary.zarr")
    inline: list[Any] = []
    shown = shown_by(REPORT / page, folder / "summary.zarr", without=FRAGMENTS, inline=inline)
    assert len(inline) > 3
    assert all(item.data for item in inline), "an empty one is left standing as source by Quarto"
    return [sentence for text in texts(shown) for sentence in sentences(text)]


def faulty(found: Sequence[str]) -> dict[str, list[str]]:
    return {sentence: wrong for sentence in found if (wrong := faults(sentence, TYPES))}


WORDS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "all told": {
        "exceeds_chance": 1.0, "verdict": "different", "nearness": "nearer", "pooled_direction": "later",
        "pooled_new_site": "later",
    },
    "none told": {
        "exceeds_chance": 0.0, "verdict": "equivalent", "nearness": "undecided", "pooled_direction": "undecided",
        "pooled_new_site": "undecided", "told_from": "nowhere",
    },
    "earlier, but not at a new site": {"pooled_direction": "earlier", "pooled_new_site": "undecided"},
    "undefined": {"nearness": "undefined", "pooled_direction": "undefined", "pooled_new_site": "undefined"},
}  # fmt: skip


OTHERS = ("many maps", "one run", "few prompts")


@pytest.mark.parametrize(
    ("name", "words"), [*(("one map", words) for words in WORDS), *((n, "as it is") for n in OTHERS)]
)
def test_of_a_sweep(summarized: Callable[[str], xr.DataTree], name: str, words: str, tmp_path: Path) -> None:
    found = said("sweep.qmd", changed(summarized(name), "sensitivity", WORDS[words]), tmp_path)
    assert len(found) > 15
    assert faults(found[0], TYPES, most=25) == []
    assert faulty(found) == {}


STANDINGS = ("as it is", "undefined", "too few", "tied for best", "not shown worse", "worse")


FEW_OR_MANY = ("one SAE", "five SAEs", "two sites of SAEs", "SAEs of few prompts")


@pytest.mark.parametrize(
    ("name", "standing"), [*(("two SAEs", word) for word in STANDINGS), *((n, "as it is") for n in FEW_OR_MANY)]
)
def test_of_saes(summarized: Callable[[str], xr.DataTree], name: str, standing: str, tmp_path: Path) -> None:
    tree = summarized(name)
    if standing != "as it is":
        tree = changed(tree, "sae_scale", {"standing": standing})
        if standing in {"not shown worse", "worse"}:
            tree["sae_scale"]["standing"].loc[{"sae": SWEEPS[name][0].sae}] = "best"
    found = said("saes.qmd", tree, tmp_path)
    assert len(found) > 12
    assert faults(found[0], TYPES, most=25) == []
    assert faulty(found) == {}


LADDERS: dict[str, Change] = {
    "a rung reaches real": lambda summary: with_ladder(as_good_as_real(summary, "random")),
    "none does": with_ladder,
    "too few prompts": lambda summary: changed(
        with_ladder(summary), "ladder", {"conclusion": "undecided", "ks": 0.3, "gain": np.nan}
    ),
}


@pytest.mark.parametrize("name", LADDERS)
def test_of_the_ladder(synthetic_summary: xr.DataTree, name: str, tmp_path: Path) -> None:
    found = said("ladder.qmd", LADDERS[name](synthetic_summary), tmp_path)
    assert len(found) > 5
    assert faulty(found) == {}


def with_tests(tree: xr.DataTree, rejected: dict[str, Sequence[float]]) -> xr.DataTree:
    """The summary in which the tests of some types on L2 reject in these runs, in order; others do nowhere."""
    own = tree["sensitivity"].to_dataset().copy(deep=True)
    for name in TYPES[1:]:
        place = {"activation_type": name, "metric": "l2", "statistic": "max_slope", "convention": "corrected"}
        values = own["exceeds_chance"].sel(place)
        flat = values.to_numpy().ravel()
        there = np.flatnonzero(np.isfinite(flat))
        flat[there] = rejected.get(name, [0.0] * len(there))
        own["exceeds_chance"].loc[place] = flat.reshape(values.shape)
    return alone(tree, sensitivity=own)


def alone(tree: xr.DataTree, **groups: xr.Dataset) -> xr.DataTree:
    """A summary of these groups, with what another one says of itself."""
    found = xr.DataTree.from_dict(groups)
    found.attrs = tree.attrs
    return found


SOME, ALL = (1.0, 0.0, 1.0, 0.0, 0.0), (1.0,) * 5
HEADLINES: list[tuple[str, dict[str, Sequence[float]], str]] = [
    ("one map", {}, "no synthetic type is told from real in any of 5 runs."),
    ("one map", {"real_control": ALL}, "no synthetic type is told from real in any of 5 runs."),
    ("one map", dict.fromkeys(TYPES[1:], ALL), "every synthetic type differs from real in all 5 runs."),
    (
        "one map",
        dict.fromkeys(TYPES[1:], SOME),
        "every synthetic type differs from real in some of 5 runs but not in all.",
    ),
    (
        "one map",
        {"random": ALL, "structured": SOME},
        "random differs from real in all 5 runs; of the others 1 in some and 2 in none.",
    ),
    (
        "one map",
        {"random": SOME, "baseline": SOME},
        "random and baseline differ from real in some of 5 runs; of the others 2 in none.",
    ),
    ("one run", {}, "no synthetic type is told from real in the only run."),
    ("one run", {"random": (1.0,)}, "random differs from real in the only run; 3 others are not told from it."),
    (
        "one run",
        dict.fromkeys(("random", "baseline", "structured"), (1.0,)),
        "every synthetic type but reconstruction differs from real in the only run.",
    ),
]


@pytest.mark.parametrize(("name", "rejected", "said"), HEADLINES)
def test_the_headline_of_a_sweep_counts_the_runs_own_tests(
    summarized: Callable[[str], xr.DataTree], name: str, rejected: dict[str, Sequence[float]], said: str
) -> None:
    assert sweep_findings.headline(with_tests(summarized(name), rejected)) == f"On L2, {said}"


def of_map(tree: xr.DataTree, told: dict[str, Sequence[float]], near: dict[str, Sequence[float]]) -> str:
    """What is said of the first map where the tests of these types reject, or show equivalence, in these runs."""
    own = with_tests(tree, told)["sensitivity"].to_dataset()
    own["verdict"] = own["verdict"].where(own["verdict"] == "", "undecided")
    for name, values in near.items():
        place = {"activation_type": name, "metric": "l2", "statistic": "max_slope", "convention": "corrected"}
        flat = own["verdict"].sel(place).to_numpy().copy()
        flat[flat != ""] = ["equivalent" if value else "undecided" for value in values]
        own["verdict"].loc[place] = flat
    return sweep.map_sentences(next(sweep.maps(own.assign(map_dataset(own))))[1])


MAPS: list[tuple[str, dict[str, Sequence[float]], dict[str, Sequence[float]], list[str]]] = [
    (
        "one map",
        {},
        {},
        [
            "On L2, no synthetic type is shown to differ from real at any of 5 tested cells of the map.",
            "No synthetic type is shown to be equivalent to real at any of 5 tested cells of the map.",
        ],
    ),
    (
        "one map",
        {"real_control": ALL, "random": ALL, "baseline": SOME, "structured": (1.0, 1.0, 1.0, 0.0, 0.0)},
        {"real_control": ALL, "reconstruction": ALL, "baseline": SOME},
        [
            "On L2, random differs from real at all 5 tested cells of the map.",
            "Both SAE-synthetic types differ from real at 2 (baseline) to 3 (structured) of 5 tested cells of the map.",
            "Reconstruction is not shown to differ from real at any of 5 tested cells of the map.",
            "Reconstruction is equivalent to real at all 5 tested cells of the map.",
            "Baseline is equivalent to real at 2 of 5 tested cells of the map.",
            "Random and structured are not shown to be equivalent to real at any of 5 tested cells of the map.",
        ],
    ),
    (
        "one run",
        dict.fromkeys(TYPES[2:], (1.0,)),
        {"reconstruction": (1.0,)},
        [
            "On L2, every synthetic type differs from real at the only tested cell of the map.",
            "Reconstruction is equivalent to real at the only tested cell of the map.",
            (
                "No synthetic type but reconstruction is shown to be equivalent to real at "
                "the only tested cell of the map."
            ),
        ],
    ),
    (
        "many maps",
        {"random": (1.0, 1.0, 0.0, 0.0, *SOME[:4]), "baseline": (1.0,) * 8},
        dict.fromkeys(TYPES[2:], (0.0,) * 4 + (1.0,) * 4),  # of the other model, whose map is not the first
        [
            "On L2, baseline differs from real at both tested cells of the map.",
            "Random differs from real at 1 of 2 tested cells of the map.",
            "Reconstruction and structured are not shown to differ from real at any of 2 tested cells of the map.",
            "No synthetic type is shown to be equivalent to real at any of 2 tested cells of the map.",
        ],
    ),
    (
        "one map",
        {"random": (np.nan, *ALL[1:]), **dict.fromkeys(TYPES[3:], ALL)},
        {},
        [
            "On L2, random differs from real at all 4 tested cells of the map.",
            "3 of 4 synthetic types differ from real at all 5 tested cells of the map.",
            "Random is not shown to be equivalent to real at any of 4 tested cells of the map.",
            "3 of 4 synthetic types are not shown to be equivalent to real at any of 5 tested cells of the map.",
        ],
    ),
    (
        "one map",
        {"random": (np.nan,) * 5, **dict.fromkeys(TYPES[3:], ALL)},
        {},
        [
            "On L2, 3 of 4 synthetic types differ from real at all 5 tested cells of the map.",
            "3 of 4 synthetic types are not shown to be equivalent to real at any of 5 tested cells of the map.",
            "Random is untested at every cell of the map.",
        ],
    ),
    (
        "one map",
        {"random": (np.nan, *ALL[1:]), "reconstruction": (np.nan,) * 5},
        {},
        [
            "On L2, random differs from real at all 4 tested cells of the map.",
            "Both SAE-synthetic types are not shown to differ from real at any of 5 tested cells of the map.",
            "Random is not shown to be equivalent to real at any of 4 tested cells of the map.",
            "Both SAE-synthetic types are not shown to be equivalent to real at any of 5 tested cells of the map.",
            "Reconstruction is untested at every cell of the map.",
        ],
    ),
]


@pytest.mark.parametrize(("name", "told", "near", "said"), MAPS)
def test_a_map_says_at_how_many_of_its_cells(
    summarized: Callable[[str], xr.DataTree],
    name: str,
    told: dict[str, Sequence[float]],
    near: dict[str, Sequence[float]],
    said: list[str],
) -> None:
    text = of_map(summarized(name), told, near)
    assert sentences(text) == said
    assert faulty(sentences(text)) == {}


def test_a_map_of_the_saes_of_its_sites_counts_them_together(summarized: Callable[[str], xr.DataTree]) -> None:
    """And where SAEs share a site, each has a map of its own; without a test there is nothing to count."""
    own = summarized("two SAEs")["sensitivity"].to_dataset()
    assert [int(layers["map_cells"].max()) for _, layers in sweep.maps(own)] == [1, 1]
    tree = summarized("one map")["sensitivity"].to_dataset()
    apart = xr.concat([tree, tree.assign_coords(sae=["other"])], "sae", data_vars="minimal").drop_vars(
        [name for name in tree if str(name).startswith(("map_", "differs_at", "equivalent_at", "pooled_"))]
    )
    first = xr.DataArray([0, 1, 1], dims="write") == xr.DataArray([0, 1], dims="sae")
    apart["complete"] = apart["complete"] & first
    apart["exceeds_chance"] = apart["exceeds_chance"].where(first)
    ((_, shared),) = sweep.maps(apart.assign(map_dataset(apart)))
    assert int(shared["map_cells"].max()) == 5
    untested = tree.assign(exceeds_chance=tree["exceeds_chance"] * np.nan)
    ((_, layers),) = sweep.maps(untested.assign(map_dataset(untested)))
    assert sweep.map_sentences(layers) == "No cell of the map has a test of a synthetic type against real."


def test_the_types_of_a_sweep_without_a_control_are_types(summarized: Callable[[str], xr.DataTree]) -> None:
    for rejects, said in ((0.0, "no type is told"), (1.0, "every type differs")):
        tests: dict[str, Sequence[float]] = dict.fromkeys(TYPES[2:], (rejects,))
        tree = with_tests(summarized("one run"), tests)
        own = tree["sensitivity"].to_dataset().drop_sel(activation_type="real_control", other_type="real_control")
        assert sweep_findings.headline(alone(tree, sensitivity=own)) == f"On L2, {said} from real in the only run."


def test_a_sweep_without_types_or_tests_has_a_headline(summarized: Callable[[str], xr.DataTree]) -> None:
    tree = summarized("one run")
    own = tree["sensitivity"].to_dataset()
    plain = alone(tree, sensitivity=own.sel(activation_type=["real"]))
    assert sweep_findings.headline(plain) == "The run has no type to compare with real targets."
    untested = alone(tree, sensitivity=own.assign(exceeds_chance=own["exceeds_chance"] * np.nan))
    assert sweep_findings.headline(untested) == (
        "No run of the sweep could test whether a type differs from real on L2."
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["undecided"] * 5,
            "On L2, whether structured or baseline is nearer to real is undecided in all 5 runs (@tbl-",
        ),
        (
            ["nearer", "nearer", "farther", "undecided", "undecided"],
            "On L2, structured is nearer to real than baseline in 2 of 5 runs, and farther from it in 1 (@tbl-nearer).",
        ),
        (["undefined"] * 5, "No run of the sweep could test whether structured or baseline is nearer to real on L2"),
    ],
)
def test_the_claim_of_a_sweep_counts_the_runs_own_verdicts(
    summarized: Callable[[str], xr.DataTree], words: list[str], said: str
) -> None:
    tree = summarized("one map")
    own = tree["sensitivity"].to_dataset().copy(deep=True)
    place = {"activation_type": "structured", "other_type": "baseline", "metric": "l2"}
    place |= {"statistic": "max_slope", "convention": "corrected"}
    values = own["nearness"].sel(place)
    flat = values.to_numpy().ravel()
    flat[flat != ""] = words
    own["nearness"].loc[place] = flat.reshape(values.shape)
    assert said in sweep_findings.points(alone(tree, sensitivity=own))


@pytest.mark.parametrize(
    ("alarms", "said"),
    [({}, "none of 5 tests tells them apart"), ({"real_control": SOME}, "2 of 5 tests tell them apart")],
)
def test_draws_of_real_that_are_told_apart_are_counted(
    summarized: Callable[[str], xr.DataTree], alarms: dict[str, Sequence[float]], said: str
) -> None:
    floor = sweep_findings.points(with_tests(summarized("one map"), alarms)).splitlines()[2]
    assert floor.endswith(f" from the first on L2; {said} (@tbl-summary).")


def test_a_sweep_says_by_how_much_over_all_its_sites(summarized: Callable[[str], xr.DataTree]) -> None:
    values = {"pooled_direction": "earlier", "pooled_difference": -3.0, "pooled_difference_interval": -2.0}
    first = sweep_findings.points(changed(summarized("one map"), "sensitivity", values)).splitlines()[0]
    assert first == (
        "- Over 3 sites, structured blows up earlier than real on L2: by 3.0 steps "
        "(95\u00a0% interval 2.0 to 2.0) (@tbl-pooled)."
    )
    assert "too few sites" in sweep_findings.points(summarized("one run")).splitlines()[0]


def test_the_line_of_facts_has_what_was_varied_by_number(summarized: Callable[[str], xr.DataTree]) -> None:
    line = sweep_findings.facts(summarized("many maps")).replace("\\", "")
    assert line.startswith("Models 2 · SAE none · write sites 2 · read site blocks.11.hook_resid_post · seeds 2 · ")
    assert line.endswith("prompts 24 of 10 tokens · runs 8 of 8 · commit synthetic")


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("one SAE", ["only one"], "release:b comes 0.69 of the way from random to real."),
        ("two SAEs", ["best", "worse"], "release:b comes farthest of 2 SAEs, and the other is shown to be worse."),
        (
            "two SAEs",
            ["not shown worse", "best"],
            "saes/main comes farthest of 2 SAEs, but is not shown to be ahead of the other.",
        ),
        ("two SAEs", ["best", "undefined"], "release:b comes farthest of 2 SAEs, ahead of all that have a share."),
        ("two SAEs", ["too few", "too few"], "there are too few base prompts to tell which SAE comes nearest to real."),
        (
            "five SAEs",
            ["tied for best", "worse", "tied for best", "worse", "worse"],
            "release:b and c come equally far of 5 SAEs: 0.",
        ),
        ("five SAEs", ["tied for best"] * 3 + ["worse"] * 2, "3 SAEs come equally far of 5 SAEs: 0."),
        (
            "five SAEs",
            ["best", "worse", "not shown worse", "worse", "worse"],
            "release:b comes farthest of 5 SAEs, but is not shown to be ahead of every other one.",
        ),
        ("five SAEs", ["best"] + ["worse"] * 4, "release:b comes farthest of 5 SAEs, and every other one is shown to"),
    ],
)
def test_the_headline_of_saes_is_the_stored_order(
    summarized: Callable[[str], xr.DataTree], name: str, words: list[str], said: str
) -> None:
    tree = summarized(name)
    own = tree["sae_scale"].to_dataset().copy(deep=True)
    for word, cell in zip(words, SWEEPS[name], strict=True):
        own["standing"].loc[{"sae": cell.sae}] = word
    steps = tree["sensitivity"].to_dataset()
    found = alone(tree, sensitivity=steps, sae_scale=own)
    text = sweep_findings.sae_headline(found).replace("\\", "")
    assert text.startswith(f"By reconstruction on L2, {said}")
    assert faults(text, TYPES, most=25) == []
    points = sweep_findings.sae_points(found).splitlines()
    assert [line.partition("(@tbl-")[2] for line in points] == ["reconstruction).", "baseline).", "structured)."]
    assert {"interval" in line for line in points} == {"too few" not in words}
    on_kl = own.assign(standing=own["standing"].where(own["metric"] != "l2", "undefined"))
    other = alone(tree, sensitivity=steps, sae_scale=on_kl)
    assert sweep_findings.sae_headline(other).startswith("By reconstruction on KL, ")


def test_of_several_scales_the_first_is_in_the_headline(summarized: Callable[[str], xr.DataTree]) -> None:
    tree = summarized("two sites of SAEs")
    assert sweep_findings.sae_headline(tree).startswith("At the first of 2 sites, by reconstruction on L2, ")
    nothing = changed(tree, "sae_scale", {"standing": "undefined"})
    assert sweep_findings.sae_headline(nothing).startswith("Random is not shown to differ from real on any metric")
