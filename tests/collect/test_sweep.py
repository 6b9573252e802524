"""Sweeps of a tiny model: cells, manifest, resuming, the summary and the page."""

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock, patch

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from tests.tiny import READ, WRITE, make_sae, measured, write_preset, write_sae

from plateaulens.cli import main
from plateaulens.collect import sweep as collecting
from plateaulens.collect.collect import collect, fill
from plateaulens.collect.context import RunContext, open_context
from plateaulens.collect.pool import corpus
from plateaulens.collect.sweep import cells, collect_sweep
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.presets import read_config
from plateaulens.scan.bridge import BridgeForward
from plateaulens.scan.direct import DirectForward
from plateaulens.scan.engine import scan
from plateaulens.scan.whole import WholeForward
from plateaulens.store.manifest import read_manifest
from plateaulens.store.reading import open_run, open_sweep_summary
from plateaulens.store.run import RunStore
from plateaulens.store.spans import Values
from plateaulens.store.verify import verify
from plateaulens.subject.model import load_subject
from plateaulens.subject.sae import load_sae
from plateaulens.subject.sites import parse_site
from plateaulens.summary.analyze import summarize_experiment
from plateaulens.summary.sweep import analyze_sweep
from plateaulens.targets.base import Pool
from plateaulens.targets.fitting import Codes, Fitting, Tokens
from plateaulens.targets.types.code_top import Tops

TYPES = ["real", "real_control", "covariance_mixture", "isotropic"]
WRITES = [WRITE, "blocks.2.hook_resid_pre"]
READS = ["blocks.1.hook_resid_post", READ]
SWEEP: dict[str, Any] = {
    "experiments": ["sensitivity"],
    "sae__source": None,
    "targets__types": TYPES,
    "sweep__write": WRITES,
    "sweep__read": READS,
}
SEEDS: dict[str, Any] = {
    "targets__types": ["real", "isotropic"],
    "sensitivity__samples": 6,
    "sweep__write": None,
    "sweep__read": None,
    "sweep__seed": [0, 1],
}
Configure = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def configure(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Configure:
    folder = tmp_path_factory.mktemp("presets")

    def make(**changes: Any) -> RunConfig:
        return read_config(write_preset(folder / "tiny.toml", tiny_files, **{**SWEEP, **changes}))

    return make


@pytest.fixture(scope="module")
def folder(configure: Configure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole sweep; read only."""
    folder = tmp_path_factory.mktemp("sweep") / "tiny"
    collect_sweep(configure(), folder)
    return folder


@pytest.fixture(scope="module")
def summary(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    out = tmp_path_factory.mktemp("summaries") / "tiny.zarr"
    analyze_sweep(folder, out)
    return open_sweep_summary(out).load()


class TestCells:
    def test_every_read_site_behind_its_write_site(self, configure: Configure) -> None:
        found = [(cell.config.sites.write, cell.config.sites.read) for cell in cells(configure())]
        assert found == [(WRITE, READS[0]), (WRITE, READS[1]), (WRITES[1], READS[1])]
        names = [cell.entry.name for cell in cells(configure())]
        assert names[0] == "write=blocks.1.hook_resid_pre+read=blocks.1.hook_resid_post"

    def test_a_cell_is_the_run_that_a_preset_of_its_own_would_have(self, configure: Configure) -> None:
        plain = configure(sweep__write=None, sweep__read=None, sites__write=WRITES[1], seed=3)
        (cell,) = cells(configure(sweep__write=[WRITES[1]], sweep__read=None, sweep__seed=[3]))
        assert cell.entry.name == "only"
        assert cell.config.model_copy(update={"name": plain.name}) == plain

    def test_seeds_and_models_and_saes(self, configure: Configure) -> None:
        changes = {"sweep__seed": [1, 2], "sweep__model": ["some/one", "other"], "sweep__read": None}
        found = cells(configure(**changes, sweep__sae=["a", "b"]))
        got = [(c.config.model.source, c.config.sites.write, c.config.seed, c.config.sae) for c in found]
        assert len(set(map(str, got))) == 8
        assert [str(c.config.sae.source) for c in found if c.config.sae][:4] == ["a", "a", "b", "b"]
        assert found[0].entry.name == "model=some-one+sae=a+write=blocks.1.hook_resid_pre+seed=1"
        assert found[0].entry.model == "some/one"

    def test_a_long_name_ends_in_its_digest(self, configure: Configure) -> None:
        models = [f"/home/somebody/{'models/' * 30}{end}" for end in ("one", "two")]
        found = [cell.entry.name for cell in cells(configure(sweep__model=models, sweep__write=None, sweep__read=None))]
        assert [len(name) for name in found] == [200, 200]
        assert len(set(found)) == 2
        assert all(name.startswith("model=-home-somebody-models-models-") for name in found)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"sweep__write": [], "sweep__read": []}, "names nothing to vary"),
            ({"sweep__sae": ["a"]}, "sae and write are pairs, but there are 1 and 2"),
            ({"sweep__width": [1]}, "sweep.width: Extra inputs"),
        ],
    )
    def test_mistakes(self, changes: dict[str, Any], message: str, configure: Configure) -> None:
        with pytest.raises(UsageError, match=message):
            configure(**changes)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"sweep__read": ["blocks.0.hook_resid_post"]}, "no read site comes after a write site"),
            ({"sweep__seed": [1, 1]}, "the sweep has 2 cells of the name"),
            ({"sweep__read": ["blocks.1.mlp"]}, "is none that can be measured"),
        ],
    )
    def test_no_cells(self, changes: dict[str, Any], message: str, configure: Configure) -> None:
        with pytest.raises(UsageError, match=message):
            cells(configure(**changes))


@pytest.mark.slow
class TestCollecting:
    def test_one_store_per_cell_and_a_manifest(self, folder: Path, configure: Configure) -> None:
        manifest = read_manifest(folder)
        assert manifest.config == configure()
        assert [entry.state for entry in manifest.cells] == ["complete"] * 3
        for entry in manifest.cells:
            assert verify(folder / entry.run) == []
            with open_run(folder / entry.run) as run:
                config = RunConfig.model_validate_json(run.attrs["config"])
                assert (config.sites.write, config.sites.read) == (entry.write, entry.read)
        assert json.loads((folder / "manifest.json").read_text())["kind"] == "plateaulens sweep"

    def test_cells_are_what_runs_alone_are(self, folder: Path, configure: Configure, tmp_path: Path) -> None:
        """To the byte, though model and activations are taken over from cell to cell."""
        for cell in cells(configure()):
            collect(cell.config, tmp_path / cell.entry.run)
            assert measured(tmp_path / cell.entry.run) == measured(folder / cell.entry.run)

    def test_a_model_is_loaded_once_and_activations_once_per_write_site(
        self, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loading = Mock(wraps=load_subject)
        pooling = Mock(wraps=Pool)
        monkeypatch.setattr("plateaulens.collect.context.load_subject", loading)
        monkeypatch.setattr("plateaulens.collect.context.Pool", pooling)
        collect_sweep(configure(), tmp_path / "sweep")
        assert (loading.call_count, pooling.call_count) == (1, 2)

    def test_what_types_are_fitted_to_is_made_once_and_learned_from_once_per_write_site(
        self, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also in cells that no walk serves together, as read sites within a block have one of their own."""
        for place, site in enumerate(WRITES):
            write_sae(tmp_path / f"sae{place}", make_sae(hook=site))
        fitted = configure(
            targets__types=["real", "token_gaussian", "code_top"],
            sweep__sae=[str(tmp_path / "sae0"), str(tmp_path / "sae1")],
            sweep__read=[READ, "blocks.2.hook_mlp_out", "blocks.2.hook_attn_out"],
        )
        finding, opening = Mock(wraps=corpus), Mock(wraps=load_sae)
        monkeypatch.setattr("plateaulens.collect.context.corpus", finding)
        monkeypatch.setattr("plateaulens.collect.context.load_sae", opening)
        fits = Counter[str]()
        for what in (Tokens, Codes, Tops):

            def counted(fitting: Fitting, what: Any = what, fit: Any = what.fit) -> Any:
                fits[what.__name__] += 1
                return fit(fitting)

            monkeypatch.setattr(what, "fit", counted)
        collect_sweep(fitted, tmp_path / "sweep")
        assert (finding.call_count, opening.call_count) == (2, 2)
        assert fits == {"Tokens": 2, "Codes": 2, "Tops": 2}
        learned: dict[str, list[Any]] = {site: [] for site in WRITES}
        for cell in cells(fitted):
            collect(cell.config, tmp_path / cell.entry.run)
            assert measured(tmp_path / cell.entry.run) == measured(tmp_path / "sweep" / cell.entry.run)
            with open_run(tmp_path / "sweep" / cell.entry.run) as run:
                learned[cell.entry.write].append(json.loads(run.attrs["identity"])["learned"])
        one, two = learned.values()
        assert len(one) == len(two) == 3
        assert one == one[:1] * 3
        assert two == two[:1] * 3
        assert not set(one[0].values()) & set(two[0].values())

    def test_a_run_of_before_a_key_was_written_down_is_complete(self, folder: Path, configure: Configure) -> None:
        (first, *_) = cells(configure())
        path = folder / first.entry.run
        assert collecting._differences(first.config, path) == []
        sites = first.config.sites.model_copy(update={"frozen": ("blocks.2.hook_mlp_out",)})
        assert collecting._differences(first.config.model_copy(update={"sites": sites}), path) != []
        earlier = json.loads(first.config.model_dump_json())
        del earlier["sites"]["frozen"]
        with open_run(path) as run:
            attributes = run.attrs | {"config": json.dumps(earlier)}
        with patch("plateaulens.store.reading.check_kind", lambda *_: attributes):
            assert collecting._differences(first.config, path) == []

    def test_only_what_differs_is_made_anew(self, configure: Configure, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae", make_sae("jumprelu"))
        plain: dict[str, Any] = {"sweep__write": None, "sweep__read": [READ], "targets__types": ["real", "code_top"]}
        plain["sae__source"] = str(tmp_path / "sae")
        (cell,) = cells(configure(**plain, engine__way="packed"))
        first = open_context(cell.config)
        made = first.target_context
        assert made.corpus is open_context(cell.config, first).target_context.corpus

        def then(**changes: Any) -> Any:
            return open_context(cells(configure(**{**plain, "engine__way": "packed", **changes}))[0].config, first)

        assert then(sweep__read=[READS[0]]).target_context is made
        write_sae(tmp_path / "other", make_sae())
        other = then(sae__source=str(tmp_path / "other")).target_context
        assert other.corpus is made.corpus
        assert other.pool is made.pool
        assert other.learned(Codes) is not made.learned(Codes)
        assert other.sae is not made.sae
        assert then(targets__types=["real", "token_mean"]).target_context.corpus is made.corpus
        seeded = then(seed=8).target_context
        assert seeded.corpus is not made.corpus
        assert seeded.corpus.token.tolist() != made.corpus.token.tolist()
        assert then(engine__way="bridge").target_context is made
        moved = then(sweep__write=[WRITES[1]], sae__source=None, targets__types=["real", "token_mean"]).target_context
        assert moved.corpus is not made.corpus

    def test_going_on_after_a_stop(
        self, folder: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(collecting, "collect", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            collect_sweep(configure(), tmp_path / "sweep")
        states = [entry.state for entry in read_manifest(tmp_path / "sweep").cells]
        assert states == ["complete", "complete", "running"]  # the first two by one walk
        opening = Mock(wraps=open_context)
        monkeypatch.setattr(collecting, "collect", collect)
        monkeypatch.setattr(collecting, "open_context", opening)
        collect_sweep(configure(), tmp_path / "sweep")
        assert opening.call_count == 1
        assert {entry.state for entry in read_manifest(tmp_path / "sweep").cells} == {"complete"}
        for entry in read_manifest(folder).cells:
            assert measured(tmp_path / "sweep" / entry.run) == measured(folder / entry.run)
        collect_sweep(configure(), tmp_path / "sweep")
        assert opening.call_count == 1

    def test_another_setting_is_refused_by_the_cell_s_name(self, folder: Path, configure: Configure) -> None:
        before = {entry.run: measured(folder / entry.run) for entry in read_manifest(folder).cells}
        with pytest.raises(UsageError, match=r"run .write=.* has other settings: sensitivity\.samples: stored 6"):
            collect_sweep(configure(sensitivity__samples=5), folder)
        assert {name: measured(folder / name) for name in before} == before
        collect_sweep(configure(), folder)

    def test_a_part_that_one_model_has_not_is_refused_before_the_first_cell(
        self, configure: Configure, tiny_files: Path, tmp_path: Path
    ) -> None:
        shallow = shutil.copytree(tiny_files / "model", tmp_path / "shallow")
        settings = json.loads((shallow / "config.json").read_text())
        (shallow / "config.json").write_text(json.dumps(settings | {"n_layer": 2}))
        models = [str(tiny_files / "model"), str(shallow)]
        config = configure(
            sweep__model=models, sweep__read=["blocks.1.hook_resid_post"], sites__frozen=["blocks.2.hook_mlp_out"]
        )
        with pytest.raises(UsageError, match=r"sweep cell .*shallow.*: the model has 2 blocks, numbered 0 to 1"):
            collect_sweep(config, tmp_path / "sweep")
        assert [path.name for path in (tmp_path / "sweep").iterdir()] == ["manifest.json"]

    def test_an_sae_of_another_site_is_refused(self, configure: Configure, tmp_path: Path) -> None:
        write_sae(tmp_path / "sae")
        pair = {"sweep__sae": [str(tmp_path / "sae")] * 2, "sweep__read": [READ]}
        with pytest.raises(UsageError, match=r"sweep cell sae=.*blocks\.2.*belongs to blocks\.1"):
            collect_sweep(configure(**pair), tmp_path / "sweep")


MANY: dict[str, Any] = {
    "metrics": ["cosine", "kl", "l2", "js"],
    "targets__types": ["real", "isotropic"],
    "sites__write": "blocks.0.hook_resid_pre",
    "sweep__write": None,
    "sweep__read": [READ, "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"],
}
"""A sweep over read sites, the last one first; its walk is of 6 prompts, in spans of 2."""


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the model was run over paths, added up at each call of `collect` and `fill`; batches are one prompt."""
    counted: list[int] = []
    scanning = Mock(wraps=scan)
    monkeypatch.setattr("plateaulens.scan.walk.scan", scanning)
    running = Mock()
    for way in (DirectForward, BridgeForward, WholeForward):
        monkeypatch.setattr(way, "run", lambda *given, run=way.run: (running(), run(*given))[1])

    def counting(collecting: Callable[..., None], *given: Any) -> None:
        running.reset_mock()
        scanning.reset_mock()
        collecting(*given)
        assert running.call_count == scanning.call_count  # each scan runs the model once, whatever it is asked for
        counted.append(running.call_count)

    monkeypatch.setattr(collecting, "collect", partial(counting, collect))
    monkeypatch.setattr(collecting, "fill", partial(counting, fill))
    return counted


@pytest.mark.slow
class TestManyReadSites:
    """One walk for all of them, and every run is the one that it would have been alone."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"engine__way": "packed", "experiments": ["sensitivity", "plateau"]},
            {"engine__way": "packed", "sites__write": "blocks.0.hook_attn_out"},
            {"engine__way": "bridge"},
            {"engine__way": "whole"},
            {"engine__way": "copied"},
            {"engine__way": "auto", "prompts__position": 2},
        ],
    )
    def test_one_walk(self, changes: dict[str, Any], passes: list[int], configure: Configure, tmp_path: Path) -> None:
        config = configure(**{**MANY, "engine__samples_per_chunk": 6, **changes})
        collect_sweep(config, tmp_path / "sweep")
        assert passes == [sum(config.experiment(name).samples for name in config.experiments)]
        curves = set()
        for cell in cells(config):
            collect(cell.config, tmp_path / cell.entry.run)
            assert measured(tmp_path / "sweep" / cell.entry.run) == measured(tmp_path / cell.entry.run)
            with open_run(tmp_path / cell.entry.run) as run:
                curves.add(run["sensitivity/curve"].to_numpy().tobytes())
        assert len(curves) == 3

    def test_a_site_within_a_block_has_a_walk_of_its_own(
        self, passes: list[int], configure: Configure, tmp_path: Path
    ) -> None:
        reads = [READ, "blocks.1.hook_mlp_out", "blocks.1.hook_resid_post"]
        config = configure(**{**MANY, "sweep__read": reads, "engine__samples_per_chunk": 6})
        collect_sweep(config, tmp_path / "sweep")
        assert passes == [6, 6]
        for cell in cells(config):
            collect(cell.config, tmp_path / cell.entry.run)
            assert measured(tmp_path / "sweep" / cell.entry.run) == measured(tmp_path / cell.entry.run)

    def test_runs_that_have_come_far_and_less_far(
        self, passes: list[int], configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first is complete, the second has its activations and 2 prompts, the third 4, and one is not begun."""
        reads = [*MANY["sweep__read"], "blocks.1.hook_resid_pre"]
        config = configure(**{**MANY, "sweep__read": reads})
        for cell, spans in zip(cells(config), (6, 4, 5), strict=False):
            _begin(cell.config, tmp_path / "sweep" / cell.entry.run, spans, monkeypatch)
        collect_sweep(config, tmp_path / "sweep")
        assert passes == [6]
        for cell in cells(config):
            collect(cell.config, tmp_path / cell.entry.run)
            assert measured(tmp_path / "sweep" / cell.entry.run) == measured(tmp_path / cell.entry.run)
            assert verify(tmp_path / "sweep" / cell.entry.run) == []
        shutil.rmtree(tmp_path / "sweep" / cells(config)[3].entry.run)
        for cell, spans in zip(cells(config)[1:], (4, 5, 4), strict=False):
            shutil.rmtree(tmp_path / "sweep" / cell.entry.run, ignore_errors=True)
            _begin(cell.config, tmp_path / "sweep" / cell.entry.run, spans, monkeypatch)
        collect_sweep(config, tmp_path / "sweep")
        assert passes == [6, 4]  # nobody lacks the first span
        for cell in cells(config):
            assert measured(tmp_path / "sweep" / cell.entry.run) == measured(tmp_path / cell.entry.run)

    @pytest.mark.parametrize("other", ["bases", "likely tokens"])
    def test_a_run_that_was_begun_otherwise_goes_on_as_it_would_alone(
        self, other: str, passes: list[int], configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = configure(**MANY)
        second = cells(config)[1]
        path = tmp_path / "sweep" / second.entry.run
        if other == "bases":
            made = RunContext.activations

            def moved(context: RunContext, span: slice) -> Values:
                found = made(context, span)
                return {**found, "base": np.float32(1.01) * np.asarray(found["base"], np.float32)}

            with monkeypatch.context() as patch:
                patch.setattr(RunContext, "activations", moved)
                _begin(second.config, path, 3, monkeypatch)
        else:
            engine = second.config.engine.model_copy(update={"likely_tokens": 2})
            _begin(second.config.model_copy(update={"engine": engine}), path, 3, monkeypatch)
        shutil.copytree(path, tmp_path / second.entry.run)
        collect_sweep(config, tmp_path / "sweep")
        assert passes == [12]
        for cell in cells(config):
            collect(cell.config, tmp_path / cell.entry.run)
            assert measured(tmp_path / "sweep" / cell.entry.run) == measured(tmp_path / cell.entry.run)

    def test_runs_in_another_way_are_not_walked_together(
        self, passes: list[int], configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(collecting, "_way", lambda context: context.subject.read.name == READ)
        collect_sweep(configure(**MANY), tmp_path / "sweep")
        assert passes == [6, 6]

    def test_a_gpu_walks_for_each(self, configure: Configure) -> None:
        context = open_context(cells(configure(**MANY))[0].config)
        sites = [context.subject.read, parse_site("blocks.1.hook_resid_post", 3)]
        assert collecting._is_shared(context, sites)
        elsewhere = SimpleNamespace(forward=context.forward, subject=SimpleNamespace(device=torch.device("cuda")))
        assert not collecting._is_shared(cast("RunContext", elsewhere), sites)


def _begin(config: RunConfig, path: Path, spans: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Collect a run until it has so many spans, those of activations among them."""
    write, left = RunStore.write, iter(range(spans))

    def stop(*given: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(*given)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(RunStore, "write", stop)
        collect(config, path)


class TestWhatIsThere:
    """Another sweep into the folder of one: its runs stay in a manifest, and nothing is lost."""

    @pytest.fixture
    def small(self, configure: Configure, tmp_path: Path) -> Path:
        collect_sweep(configure(**SEEDS), tmp_path / "sweep")
        return tmp_path / "sweep"

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            (
                {"sweep__seed": [0]},
                "with the run 'seed=1', which this one lacks: keep it there, or collect into another",
            ),
            ({"sweep__seed": [1, 2]}, "with the run 'seed=0', which this one lacks"),
            (
                {"sensitivity__samples": 4},
                r"whose run 'seed=0' has other settings: sensitivity.samples: stored 6, asked 4",
            ),
        ],
    )
    def test_another_sweep_is_refused_before_anything_is_written(
        self, changes: dict[str, Any], said: str, small: Path, configure: Configure
    ) -> None:
        before = (small / "manifest.json").read_bytes()
        with pytest.raises(UsageError, match=said):
            collect_sweep(configure(**SEEDS | changes), small)
        assert (small / "manifest.json").read_bytes() == before

    def test_more_cells_and_what_is_not_measured_are_no_other_sweep(
        self, small: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
    ) -> None:
        others = {"analysis__resamples": 77, "report__beside": "another"}
        collect_sweep(configure(**SEEDS | {"sweep__seed": [0, 1, 2], **others}), small)
        assert [entry.state for entry in read_manifest(small).cells] == ["complete"] * 3
        assert "cell 1 of 1: seed=2" in capsys.readouterr().out

    def test_other_likely_tokens_are_refused_before_the_manifest_says_so(
        self, small: Path, configure: Configure
    ) -> None:
        before = (small / "manifest.json").read_bytes()
        with pytest.raises(UsageError, match=r"has other settings: engine.likely_tokens: stored 5, asked 0"):
            collect_sweep(configure(**SEEDS | {"engine__likely_tokens": 0}), small)
        assert (small / "manifest.json").read_bytes() == before
        collect_sweep(configure(**SEEDS | {"engine__likely_tokens": 5}), small)

    def test_a_list_that_grows_from_one_value_keeps_the_run_that_is_there(
        self, configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder, runs = tmp_path / "sweep", []
        for seeds, reads in (([0], None), ([0, 1], None), ([0, 1], READS), ([1, 0], READS[::-1])):
            collect_sweep(configure(**SEEDS | {"sweep__seed": seeds, "sweep__read": reads}), folder)
            runs.append({(entry.seed, entry.read): entry.run for entry in read_manifest(folder).cells})
            assert all(entry.state == "complete" for entry in read_manifest(folder).cells)
        assert runs[0] == {(0, READ): "only.zarr"}
        assert all(earlier.items() <= later.items() for earlier, later in pairwise(runs))
        assert len(set(runs[3].values())) == 4 == len(list(folder.glob("*.zarr")))
        assert capsys.readouterr().out.count("cell ") == 4
        tree = analyze_sweep(folder, tmp_path / "summary.zarr")
        assert bool(tree["sensitivity"].complete.all())

    def test_cells_that_never_began_can_be_left_out(self, small: Path, configure: Configure) -> None:
        shutil.rmtree(small / "seed=1.zarr")
        collect_sweep(configure(**SEEDS | {"sweep__seed": [0, 2]}), small)
        assert [entry.name for entry in read_manifest(small).cells] == ["seed=0", "seed=2"]

    def test_a_run_that_was_stopped_before_its_seal_is_sealed(
        self, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "sweep"
        with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
            patched.setattr(RunStore, "seal", Mock(side_effect=KeyboardInterrupt))
            collect_sweep(configure(**SEEDS), folder)
        with open_run(folder / "seed=0.zarr") as run:
            assert bool(run["sensitivity"].completed.all())
            assert "seal" not in run["provenance"].attrs
        collect_sweep(configure(**SEEDS), folder)
        for entry in read_manifest(folder).cells:
            with open_run(folder / entry.run) as run:
                assert "seal" in run["provenance"].attrs

    def test_a_run_that_lost_a_span_is_not_analysed_as_complete(self, small: Path, tmp_path: Path) -> None:
        store = zarr.open_group(small / "seed=0.zarr", mode="r+")
        del store["provenance"].attrs["seal"]
        (small / "seed=0.zarr/sensitivity/completed/c/0/0").unlink()
        with pytest.raises(UsageError, match=r"seed=0.zarr is not complete, as the sweep's manifest says that it is"):
            analyze_sweep(small, tmp_path / "summary.zarr")
        assert not (tmp_path / "summary.zarr").exists()


class TestSummary:
    def test_the_sweep_is_dimensions(self, summary: xr.DataTree) -> None:
        group = summary["sensitivity"].to_dataset()
        assert group["ks"].dims[:5] == ("model", "sae", "write", "read", "seed")
        assert group["ks"].dims[5:] == ("convention", "statistic", "metric", "activation_type")
        assert group["ks_interval"].dims[-1] == "bound"
        assert group["complete"].squeeze(drop=True).values.tolist() == [[True, True], [False, True]]
        assert all({"long_name", "units"} <= set(values.attrs) for values in group.variables.values())

    def test_its_numbers_are_those_of_the_runs(self, summary: xr.DataTree, folder: Path, configure: Configure) -> None:
        group = summary["sensitivity"].to_dataset()
        entry = read_manifest(folder).cells[1]
        with open_run(folder / entry.run) as run:
            alone = summarize_experiment(run["sensitivity"].to_dataset(), "sensitivity", configure().analysis)
        found = group.sel(write=entry.write, read=entry.read).squeeze(drop=True)
        for name in ("ks", "ks_interval", "mean", "mean_difference", "mean_difference_interval", "n"):
            np.testing.assert_array_equal(found[name], alone[name])
        np.testing.assert_allclose(found["path_length"], alone["path_length"].mean("sample"))
        assert group.sel(write=WRITES[1], read=READS[0])["ks"].isnull().all()

    def test_an_unfinished_sweep_has_gaps(self, folder: Path, tmp_path: Path) -> None:
        manifest = read_manifest(folder)
        name = manifest.cells[0].name
        part = tmp_path / "part"
        part.mkdir()
        for entry in manifest.cells[1:]:
            (part / entry.run).symlink_to(folder / entry.run)
        manifest.with_state(name, "pending").write(part)
        group = analyze_sweep(part, tmp_path / "summary.zarr")["sensitivity"].to_dataset()
        assert int(group["complete"].sum()) == 2
        for entry in manifest.cells:
            manifest = manifest.with_state(entry.name, "pending")
        manifest.write(part)
        with pytest.raises(UsageError, match=r"no run of the sweep .* is complete"):
            analyze_sweep(part, tmp_path / "summary.zarr")

    def test_no_sweep(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no sweep at"):
            analyze_sweep(tmp_path, tmp_path / "summary.zarr")


@pytest.mark.slow
def test_the_commands(
    tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    write_preset(tmp_path / "mine.toml", tiny_files, **SWEEP)
    preset = ["--preset", "mine.toml"]
    assert main(["collect", *preset]) == 0
    assert main(["analyze", *preset]) == 0
    assert main(["report", *preset, "--to", "html", "--renderer", "builtin"]) == 0
    said = capsys.readouterr().out
    assert "cell 3 of 3: write=blocks.2.hook_resid_pre+read=blocks.2.hook_resid_post" in said
    page = (tmp_path / "report" / "_output" / "index.html").read_text(encoding="utf-8")
    assert "Where do synthetic activations behave like real ones?" in page
    assert "All 3 of its runs are complete" in page.replace("\n", " ")
    assert main(["collect", *preset, "--out", "s3://bucket/runs/mine"]) == 1
    assert "a sweep is a folder of runs: 's3://bucket/runs/mine' is a URL" in capsys.readouterr().err
    assert not (tmp_path / "s3:").exists()
