"""Targets drawn ahead and spans written behind: the same bytes as step by step, in an order that no kill can break.

No GPU is needed: here the model runs on the CPU, and only the threads around it are those of a GPU's run.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny import TYPES, measured, write_preset

from plateaulens.collect.ahead import SAMPLES_PER_TASK, SPANS_AHEAD, Ahead, Copy, Writer, drawing_threads
from plateaulens.collect.collect import collect
from plateaulens.collect.context import RunContext, open_context
from plateaulens.config import RunConfig
from plateaulens.presets import read_config
from plateaulens.store.reading import open_run
from plateaulens.store.run import RunStore
from plateaulens.store.schema import ExperimentSpec, RunSpec
from plateaulens.store.spans import Values
from plateaulens.store.verify import verify
from plateaulens.targets import registry

LAYOUT = RunSpec((ExperimentSpec("sensitivity", ("real",), 40, 3, None),), 40, 4, 2, 20, mixed=1).groups["activations"]


@pytest.fixture(autouse=True, scope="module")
def no_commit() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_DIR", os.devnull)
        yield


@pytest.fixture(scope="module")
def config(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    types = (*TYPES, "real_mixture")
    return read_config(write_preset(tmp_path_factory.mktemp("presets") / "tiny.toml", tiny_files, targets__types=types))


@pytest.fixture(scope="module")
def context(config: RunConfig) -> RunContext:
    return open_context(config)


@pytest.fixture(scope="module")
def stepwise(config: RunConfig, context: RunContext, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was collected step by step; read only."""
    path = tmp_path_factory.mktemp("runs") / "stepwise.zarr"
    collect(config, path, context, overlapping=False)
    return path


class StoppedError(Exception):
    """In place of whatever ends a process."""


class Recorded:
    """A store that notes what is written to it, and fails at the span that it is told to."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.written: list[tuple[str, int]] = []
        self.threads: set[str] = set()
        self.seconds: list[float] = []
        self.fails_at = fails_at

    def is_completed(self, group: str, span: slice) -> bool:
        return (group, span.start) in self.written

    def write(self, group: str, span: slice, values: Values) -> None:
        assert values
        if len(self.written) == self.fails_at:
            raise StoppedError
        self.threads.add(threading.current_thread().name)
        self.written.append((group, span.start))

    def record_session(self, seconds: float) -> None:
        self.seconds.append(seconds)


def some() -> Values:
    return {"base": np.zeros(1, np.float32)}


class TestARunThatOverlaps:
    @pytest.mark.slow
    def test_it_has_the_bytes_of_one_that_does_not(
        self, config: RunConfig, context: RunContext, stepwise: Path, tmp_path: Path
    ) -> None:
        collect(config, tmp_path / "run.zarr", context, overlapping=True)
        assert measured(tmp_path / "run.zarr") == measured(stepwise)
        assert verify(tmp_path / "run.zarr") == []

    @pytest.mark.slow
    @pytest.mark.parametrize("stop", [1, 2, 4, 7])
    def test_stopped_anywhere_it_goes_on_to_the_same_bytes(
        self,
        config: RunConfig,
        context: RunContext,
        stepwise: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        stop: int,
    ) -> None:
        path, write, count = tmp_path / "run.zarr", RunStore.write, 0

        def stopping(store: RunStore, group: str, samples: slice, values: Values) -> None:
            nonlocal count
            if count == stop:
                raise StoppedError
            count += 1
            write(store, group, samples, values)

        with monkeypatch.context() as patch:
            patch.setattr(RunStore, "write", stopping)
            with pytest.raises(StoppedError):
                collect(config, path, context, overlapping=True)
        with open_run(path) as part:  # no curve without its base
            there = part["activations"].completed.values
            for name in config.experiments:
                done = part[name].completed.all("activation_type").values
                assert not (done & ~there[: len(done)]).any()
            assert there.sum() + sum(int(part[name].completed.sum()) for name in config.experiments) > 0
        collect(config, path, context, overlapping=True)
        assert measured(path) == measured(stepwise)
        assert threading.active_count() == 1 + sum(thread.daemon for thread in threading.enumerate())

    @pytest.mark.slow
    def test_a_run_that_was_begun_step_by_step_is_gone_on_with(
        self, config: RunConfig, context: RunContext, stepwise: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "run.zarr"
        collect(config.model_copy(update={"experiments": ("sensitivity",)}), tmp_path / "other.zarr", context)
        assert not path.exists()
        collect(config, path, context, overlapping=False)
        before = measured(path)
        collect(config, path, context, overlapping=True)
        assert measured(path) == before == measured(stepwise)

    def test_recipes_that_do_not_ship_are_followed_by_one_thread(
        self, tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        threads = set()

        def mine(base: Any, context: Any, rng: np.random.Generator) -> Any:
            threads.add(threading.current_thread())
            return base.activation + torch.from_numpy(rng.standard_normal(len(base.activation)))

        registry.names()  # those that ship are registered once, and not in the copy
        monkeypatch.setattr(registry, "_types", dict(registry._types))
        registry.register(mine)
        preset = write_preset(
            tmp_path / "mine.toml", tiny_files, targets__types=["real", "mine"], experiments=["sensitivity"]
        )
        collect(read_config(preset), tmp_path / "mine.zarr", overlapping=True)
        assert threads == {threading.main_thread()}

    def test_torch_has_its_threads_back(self) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            with drawing_threads() as pool:
                inside = {pool.submit(torch.get_num_threads).result() for _ in range(4)}
            assert inside == {1}
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)


class TestAhead:
    SPANS = (slice(0, 20), slice(20, 39), slice(39, 40))

    @staticmethod
    def draw(span: slice) -> Values:
        rows = np.arange(span.start, span.stop, dtype=np.float32)
        return {"base": rows[:, None], "target": rows[None, :, None], "mixed_row": rows[None, :, None].astype(np.int32)}

    @pytest.mark.parametrize("threads", [None, 1, 3])
    def test_spans_come_whole_and_in_order(self, threads: int | None) -> None:
        pool = None if threads is None else ThreadPoolExecutor(threads)
        found = list(Ahead(self.SPANS, self.draw, LAYOUT, pool))
        assert [span for span, _ in found] == list(self.SPANS)
        for span, values in found:
            for name, expected in self.draw(span).items():
                np.testing.assert_array_equal(values[name], expected)
                assert values[name].dtype == expected.dtype

    def test_no_more_is_drawn_than_is_told(self) -> None:
        drawn: list[slice] = []
        spans = tuple(
            slice(start, start + SAMPLES_PER_TASK) for start in range(0, 10 * SAMPLES_PER_TASK, SAMPLES_PER_TASK)
        )

        def draw(span: slice) -> Values:
            drawn.append(span)
            return self.draw(span)

        with ThreadPoolExecutor(4) as pool:
            spans_ahead = iter(Ahead(spans, draw, LAYOUT, pool))
            next(spans_ahead)
            pool.submit(lambda: None).result()
        assert len(drawn) == 1 + SPANS_AHEAD

    def test_what_a_thread_raises_is_raised_where_it_is_asked_for(self) -> None:
        def draw(span: slice) -> Values:
            if span.start >= 20:
                raise StoppedError
            return self.draw(span)

        with ThreadPoolExecutor(2) as pool:
            spans = iter(Ahead(self.SPANS, draw, LAYOUT, pool))
            assert next(spans)[0] == self.SPANS[0]
            with pytest.raises(StoppedError):
                next(spans)


class TestWriter:
    def test_spans_are_written_in_order_by_one_other_thread(self) -> None:
        store: Any = Recorded()
        groups: Sequence[tuple[str, int]] = [("activations", 0), ("sensitivity", 0), ("activations", 2), ("plateau", 0)]
        after: list[int] = []
        with Writer(store) as writer:
            for group, start in groups:
                writer.put(group, slice(start, start + 2), some, partial(after.append, start))
        assert store.written == list(groups)
        assert after == [0, 0, 2, 0]
        assert store.threads == {"plateaulens-writer"}
        assert len(store.seconds) == 4
        assert min(store.seconds) >= 0

    def test_a_span_that_another_process_has_written_is_not_written_again(self) -> None:
        store: Any = Recorded(fails_at=1)
        store.written = [("activations", 0)]
        with Writer(store) as writer:
            writer.put("activations", slice(0, 2), some)

    def test_a_failure_is_raised_by_what_comes_next_and_nothing_is_written_after_it(self) -> None:
        store: Any = Recorded(fails_at=1)

        def fill(writer: Writer) -> None:
            for start in range(0, 20, 2):
                writer.put("activations", slice(start, start + 2), some)

        with pytest.raises(StoppedError), Writer(store) as writer:
            fill(writer)
        assert store.written == [("activations", 0)]

    @pytest.mark.parametrize("flushes", [True, False])
    def test_a_failure_at_the_end_is_raised(self, *, flushes: bool) -> None:
        def give(store: Any) -> None:
            with Writer(store) as writer:
                writer.put("activations", slice(0, 2), some)
                if flushes:
                    writer.flush()

        with pytest.raises(StoppedError):
            give(Recorded(fails_at=0))

    def test_what_cannot_be_finished_is_a_failure_too(self) -> None:
        def finish() -> Values:
            raise StoppedError

        store: Any = Recorded()
        with pytest.raises(StoppedError), Writer(store) as writer:
            writer.put("activations", slice(0, 2), finish)
        assert store.written == []

    def test_flushing_waits_for_everything(self) -> None:
        store: Any = Recorded()
        hold = threading.Event()

        def finish() -> Values:
            assert hold.wait(10)
            return some()

        with Writer(store) as writer:
            writer.put("activations", slice(0, 2), finish)
            threading.Timer(0.05, hold.set).start()
            writer.flush()
            assert store.written == [("activations", 0)]

    def test_no_more_is_held_than_is_told(self) -> None:
        store: Any = Recorded()
        hold, given = threading.Event(), 0

        def finish() -> Values:
            assert hold.wait(10)
            return some()

        def fill(writer: Writer) -> None:
            nonlocal given
            for start in range(0, 12, 2):
                writer.put("activations", slice(start, start + 2), finish)
                given += 1

        with Writer(store) as writer, ThreadPoolExecutor(1) as pool:
            filling = pool.submit(fill, writer)
            while given < SPANS_AHEAD:
                assert not filling.done()
            assert not hold.wait(0.1)
            assert given == SPANS_AHEAD
            hold.set()
            filling.result()
        assert len(store.written) == 6

    def test_leaving_by_an_exception_gives_up_what_waits(self) -> None:
        store: Any = Recorded()
        begun, hold = threading.Event(), threading.Event()

        def finish() -> Values:
            begun.set()
            assert hold.wait(10)
            return some()

        def interrupted() -> None:
            with Writer(store) as writer:
                writer.put("activations", slice(0, 2), finish)
                writer.put("activations", slice(2, 4), some)
                assert begun.wait(10)
                threading.Timer(0.05, hold.set).start()
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert store.written == [("activations", 0)]


def test_a_copy_from_the_cpu_is_there_at_once() -> None:
    values = {"curve": torch.arange(3.0)}
    copy = Copy(values)
    assert copy.is_here
    assert torch.equal(copy.wait()["curve"], values["curve"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_a_copy_from_a_gpu_is_of_what_it_was_given() -> None:
    for _ in range(20):
        made = torch.randn(1000, 1000, device="cuda")
        copy = Copy({"curve": made @ made})
        other = torch.randn(1000, 1000, device="cuda")  # takes the memory of what was freed too early
        assert torch.equal(copy.wait()["curve"].cuda(), made @ made)
        del other


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_on_a_gpu_it_overlaps_by_itself_to_the_same_bytes(config: RunConfig, tmp_path: Path) -> None:
    model = config.model.model_copy(update={"device": "cuda"})
    on_a_gpu = config.model_copy(update={"model": model})
    made = open_context(on_a_gpu)
    for name, overlapping in (("own", None), ("again", True), ("stepwise", False)):
        collect(on_a_gpu, tmp_path / f"{name}.zarr", made, overlapping=overlapping)
    assert measured(tmp_path / "own.zarr") == measured(tmp_path / "again.zarr") == measured(tmp_path / "stepwise.zarr")
