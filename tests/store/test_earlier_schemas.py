"""Runs that earlier versions made are opened, verified, analysed and continued; what cannot be says so in one line.

`data/schema-1.zip` was made by version 0.1.0 before there were other metrics: synthetic, five types, 21 steps, 5
samples in spans of 2, the last span of `plateau` not yet written.
"""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.store.reading import experiment_names, open_run
from plateaulens.store.run import RunStore, open_or_create
from plateaulens.store.schema import SCHEMA_VERSION, RunSpec
from plateaulens.store.verify import verify
from plateaulens.summary.analyze import analyze
from plateaulens.testing import generate_run, synthetic_attributes, synthetic_prompts, synthetic_spec

DATA = Path(__file__).parent / "data"
SEED = 3


def spec_of(metrics: tuple[str, ...] = ("l2", "kl", "js")) -> RunSpec:
    """What that run was made from."""
    return synthetic_spec(
        5,
        activation_types=("real", "real_control", "random", "baseline", "structured"),
        steps=21,
        d_model=6,
        positions=4,
        samples_per_chunk=2,
        metrics=metrics,
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with zipfile.ZipFile(DATA / "schema-1.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path / "run.zarr"


def test_there_is_a_run_of_every_earlier_version() -> None:
    assert sorted(path.stem for path in DATA.glob("schema-*.zip")) == [
        f"schema-{version}" for version in range(1, SCHEMA_VERSION)
    ]


def test_it_opens_and_says_what_it_holds(run: Path) -> None:
    tree = open_run(run)
    assert tree.attrs["schema_version"] == 1
    assert experiment_names(tree) == ("sensitivity", "sensitivity_absolute", "plateau")
    assert tree["sensitivity"].metric.values.tolist() == ["l2", "kl", "js"]
    assert tree["sensitivity"].curve.notnull().all()
    assert tree["plateau"].completed.sum("sample").values.tolist() == [4] * 5


def test_it_is_sound(run: Path) -> None:
    assert verify(run) == []


def test_damage_is_found_in_it(run: Path) -> None:
    chunk = run / "sensitivity/curve/c/0/1/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"\0")
    (problem,) = verify(run)
    assert problem.startswith("sensitivity/curve chunk c/0/1/0/0: damaged")


def test_it_is_continued_as_what_it_is(run: Path, tmp_path: Path) -> None:
    """And what is added equals what this version writes."""
    before = {file: file.read_bytes() for file in run.rglob("c/*") if file.is_file()}
    generate_run(run, spec_of(), SEED, name="schema-1")
    generate_run(tmp_path / "today.zarr", spec_of(), SEED, name="schema-1")
    assert verify(run) == []
    assert all(file.read_bytes() == content for file, content in before.items())
    old, new = open_run(run).load(), open_run(tmp_path / "today.zarr").load()
    assert old.attrs["schema_version"] == 1
    assert old["plateau"].completed.all()
    for name in ("prompts", "activations", *experiment_names(new)):
        assert old[name].to_dataset().identical(new[name].to_dataset()), name


@pytest.mark.slow
def test_it_is_analysed(run: Path, tmp_path: Path) -> None:
    summary = analyze(run, tmp_path / "summary.zarr", AnalysisConfig(resamples=150))
    assert summary.attrs["schema_version"] == SCHEMA_VERSION
    assert np.isfinite(summary["sensitivity"]["ks"].sel(convention="corrected", statistic="max_slope")).all()


@pytest.mark.parametrize(
    ("metrics", "difference"),
    [
        (("l2", "kl"), 'metrics: stored ["l2", "kl", "js"], asked ["l2", "kl"]'),
        (("l2", "kl", "js", "cosine"), 'metrics: stored ["l2", "kl", "js"], asked ["l2", "kl", "js", "cosine"]'),
    ],
)
def test_with_other_metrics_it_is_refused_by_name(run: Path, metrics: tuple[str, ...], difference: str) -> None:
    spec = spec_of(metrics)
    with pytest.raises(UsageError) as raised:
        open_or_create(run, spec, synthetic_attributes(spec, SEED, "schema-1"), synthetic_prompts(spec, SEED))
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith(f"use another name, or its own: {difference}")
    RunStore.open(run).close()


@pytest.mark.slow
class TestOtherMetrics:
    """A run of fewer or other metrics is a run like any other."""

    @pytest.fixture(params=[("kl",), ("cosine", "l2")])
    def metrics(self, request: pytest.FixtureRequest) -> tuple[str, ...]:
        return tuple(request.param)

    def test_it_is_written_continued_verified_and_analysed(self, metrics: tuple[str, ...], tmp_path: Path) -> None:
        spec, path = spec_of(metrics), tmp_path / "run.zarr"
        with open_or_create(path, spec, synthetic_attributes(spec, 1), synthetic_prompts(spec, 1)):
            assert verify(path) == []
        generate_run(path, spec, 1)
        assert verify(path) == []
        assert open_run(path)["plateau"].metric.values.tolist() == list(metrics)
        settings = AnalysisConfig(resamples=150, statistics=("max_slope", "plateau_length", "half_height"))
        summary = analyze(path, tmp_path / "summary.zarr", settings)
        group = summary["sensitivity"]
        assert group["ks"].metric.values.tolist() == list(metrics)
        assert group["step_value"].sel(statistic="half_height", convention="corrected").notnull().any()
        assert group["step_value"].sel(statistic="half_height", convention="authors").isnull().all()
