"""Runs on a real dask cluster of two worker processes: the same bytes, whatever happens to a worker."""

import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from distributed import Client, Future, KilledWorker, LocalCluster
from distributed.comm.core import CommClosedError
from tests.processes import PATIENCE, environment, start
from tests.s3 import BUCKET, s3_server
from tests.tiny import measured, write_preset

from plateaulens.cli import main
from plateaulens.collect import cluster, worker
from plateaulens.collect.cluster import connected
from plateaulens.collect.collect import collect
from plateaulens.collect.context import attributes, open_context
from plateaulens.collect.sweep import collect_sweep
from plateaulens.collect.worker import TURN, Assignment, TakeTurns, measure
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.presets import read_config
from plateaulens.store.location import locate
from plateaulens.store.manifest import read_manifest
from plateaulens.store.reading import open_run
from plateaulens.store.run import RunStore

pytestmark = pytest.mark.slow

BLOCKS = 6 + 6 + 4 + 5


def collect_on_cluster(config: RunConfig, out: Path | str, *, scheduler: str) -> None:
    with connected(scheduler) as workers:
        workers.collect(config, out)


@pytest.fixture(scope="module", autouse=True)
def no_commit() -> Iterator[None]:
    """Neither here nor in the workers: the tree may change while the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_DIR", os.devnull)
        yield


@pytest.fixture(scope="module")
def preset(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 21 spans of one sample each."""
    return write_preset(tmp_path_factory.mktemp("preset") / "tiny.toml", tiny_files, engine__samples_per_chunk=1)


@pytest.fixture(scope="module")
def config(preset: Path) -> RunConfig:
    return read_config(preset)


@pytest.fixture(scope="module")
def whole(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as one process makes it."""
    path = tmp_path_factory.mktemp("whole") / "run.zarr"
    collect(config, path)
    return path


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket that the workers see, too."""
    with s3_server():
        yield f"s3://{BUCKET}"


@pytest.fixture(scope="module")
def scheduler(bucket: str) -> Iterator[str]:
    """The address of a scheduler with two workers of one thread each."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster:
        yield str(cluster.scheduler_address)


@pytest.fixture(scope="module")
def assignment(config: RunConfig, whole: Path) -> Assignment:
    """What a worker would be told to go on with the whole run."""
    return Assignment(config, attributes(open_context(config)), str(whole), "tests")


@pytest.fixture
def client(scheduler: str) -> Iterator[Client]:
    """A client of the tests' own, beside that of the run."""
    with Client(scheduler) as client:
        client.register_plugin(TakeTurns())
        yield client


def test_the_run_is_that_of_one_process(scheduler: str, config: RunConfig, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    collect_on_cluster(config, path, scheduler=scheduler)
    assert measured(path) == measured(whole)
    (session,) = json.loads(open_run(path)["provenance"].attrs["sessions"])
    assert session["spans"] == BLOCKS
    assert session["seconds"] > 0
    assert [file.name for file in tmp_path.iterdir()] == ["run.zarr"]


def test_the_cells_of_a_sweep_are_those_of_one_process(
    scheduler: str, tiny_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys: dict[str, Any] = {
        "experiments": ["sensitivity"],
        "targets__types": ["real", "bag"],
        "sweep__read": ["blocks.1.hook_resid_post", "blocks.2.hook_resid_post"],
        "sweep__seed": [1, 2],
    }
    preset = write_preset(tmp_path / "tiny.toml", tiny_files, **keys)
    collect_sweep(read_config(preset), tmp_path / "one")
    arguments = ["collect", "--preset", str(preset), "--scheduler", scheduler, "--out", str(tmp_path / "many")]
    assert main(arguments) == 0
    cells = read_manifest(tmp_path / "many").cells
    assert [entry.state for entry in cells] == ["complete"] * 4
    for entry in cells:
        assert measured(tmp_path / "many" / entry.run) == measured(tmp_path / "one" / entry.run)
    assert "cell 4 of 4: " in capsys.readouterr().out
    assert main(arguments) == 0  # nothing is left
    assert "cell 1" not in capsys.readouterr().out


def test_a_worker_looks_at_files_again_for_another_command(
    tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_files, tmp_path / "files")
    monkeypatch.setattr(worker, "get_worker", lambda: Mock(state=Mock(nthreads=1)))
    monkeypatch.setattr(worker, "_opened", [])
    one, two = (read_config(write_preset(tmp_path / f"{name}.toml", tmp_path / "files")) for name in ("one", "two"))
    first = worker._run_context(one, "first")
    assert worker._run_context(one, "first") is first
    second = worker._run_context(two, "first")
    assert second.target_context.pool is first.target_context.pool
    prompts = dict(np.load(tmp_path / "files" / "prompts.npz"))
    prompts["tokens"] = np.roll(prompts["tokens"], 1, axis=0)
    np.savez(tmp_path / "files" / "prompts.npz", **prompts)
    for config in (one, two, two):
        found = worker._run_context(config, "second")
        np.testing.assert_array_equal(found.activations(slice(0, 2))["base"],
                                      open_context(config).activations(slice(0, 2))["base"])  # fmt: skip
        assert not np.array_equal(found.activations(slice(0, 2))["base"], first.activations(slice(0, 2))["base"])
    assert len(worker._opened) == 1


def test_what_a_sweep_lacks_is_said_of_its_cell_before_the_first_begins(
    scheduler: str, tiny_files: Path, tmp_path: Path
) -> None:
    keys = {"sweep__model": [str(tiny_files / "model"), str(tmp_path / "nowhere")]}
    config = read_config(write_preset(tmp_path / "tiny.toml", tiny_files, experiments=["sensitivity"], **keys))
    with connected(scheduler) as workers, pytest.raises(UsageError, match=r"^sweep cell .*nowhere: worker tcp://"):
        collect_sweep(config, tmp_path / "sweep", workers)
    assert [entry.state for entry in read_manifest(tmp_path / "sweep").cells] == ["pending", "pending"]


def test_at_a_url_too(scheduler: str, tiny_files: Path, bucket: str, tmp_path: Path) -> None:
    import fsspec

    fewer = {"engine__samples_per_chunk": 3, "experiments": ["sensitivity"], "targets__types": ["real", "bag"]}
    config = read_config(write_preset(tmp_path / "tiny.toml", tiny_files, **fewer))
    collect(config, tmp_path / "run.zarr")
    url = f"{bucket}/runs/run.zarr"
    collect_on_cluster(config, url, scheduler=scheduler)
    fs, root = fsspec.url_to_fs(url, use_listings_cache=False)
    names = {name for name in locate(url).files() if not name.startswith("provenance/")}
    assert {name: fs.cat_file(f"{root}/{name}") for name in names} == measured(tmp_path / "run.zarr")


def test_one_process_goes_on_where_a_cluster_stopped_and_the_other_way_round(
    scheduler: str, config: RunConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.zarr"
    stop_after(5, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        collect_on_cluster(config, path, scheduler=scheduler)
    stop_after(5, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        collect(config, path)
    monkeypatch.undo()
    collect_on_cluster(config, path, scheduler=scheduler)
    assert measured(path) == measured(whole)
    assert len(json.loads(open_run(path)["provenance"].attrs["sessions"])) == 3


def stop_after(spans: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Ctrl-C pressed when so many spans have been noted."""
    noted = 0
    note = RunStore.record_session

    def record_or_stop(self: RunStore, seconds: float, spans_done: int = 1) -> None:
        nonlocal noted
        note(self, seconds, spans_done)
        noted += 1
        if noted == spans:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunStore, "record_session", record_or_stop)


def test_a_worker_killed_in_the_middle_costs_nothing_else(
    scheduler: str, client: Client, config: RunConfig, whole: Path, tmp_path: Path
) -> None:
    victim, process = next(iter(client.run(os.getpid).items()))
    with ThreadPoolExecutor(1) as pool:
        try:
            for attempt in range(10):  # as a run may be over before its worker is stopped
                path = tmp_path / str(attempt) / "run.zarr"
                running = pool.submit(collect_on_cluster, config, path, scheduler=scheduler)
                wait_until(lambda path=path, run=running: run.done() or any(path.glob("activations/completed/c/*")))  # type: ignore[misc]
                os.kill(process, signal.SIGSTOP)
                # stopped in the middle of whatever it was doing, it still counts as doing it
                wait_until(lambda run=running: run.done() or bool(client.processing()[victim]))  # type: ignore[misc]
                if not running.done():
                    break
                running.result()
                os.kill(process, signal.SIGCONT)
            assert not running.done()
        finally:
            os.kill(process, signal.SIGKILL)
        running.result(PATIENCE)
    assert measured(path) == measured(whole)
    (session,) = json.loads(open_run(path)["provenance"].attrs["sessions"])
    assert session["spans"] == BLOCKS


def test_workers_of_a_killed_client_are_let_go(
    scheduler: str, client: Client, preset: Path, config: RunConfig, whole: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run.zarr"
    command = ("collect", "--preset", str(preset), "--out", str(path), "--scheduler", scheduler)
    with start(*command, folder=tmp_path) as process:
        wait_until(lambda: process.poll() is not None or any(path.glob("activations/completed/c/*")))
        process.kill()
    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: not any(client.processing().values()))
    collect_on_cluster(config, path, scheduler=scheduler)
    assert measured(path) == measured(whole)
    assert [file.name for file in tmp_path.iterdir()] == ["run.zarr"]


def test_a_scheduler_killed_in_the_middle_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own log of it is twenty lines; here it would come while a span waits for a worker."""
    file = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    command += ["--no-dashboard", "--scheduler-file", str(file)]
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    # the fixture's scheduler lives in this process and may still be saying goodbye to another test's client
    handler.addFilter(lambda record: not record.name.startswith(("distributed.scheduler", "distributed.core")))
    monkeypatch.setattr(logging.getLogger("distributed"), "handlers", [handler])
    monkeypatch.setattr(Client, "wait_for_workers", lambda *_, **__: None)
    monkeypatch.setattr(Client, "register_plugin", lambda *_: None)
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: process.poll() is not None or bool(file.exists() and file.read_text().endswith("}")))
            address = json.loads(file.read_text())["address"]
            with pytest.raises(UsageError, match=r"^the scheduler was lost: the same command goes on from here$"):
                lose(process, address)
        finally:
            process.kill()
    assert said.getvalue() == ""


@pytest.mark.parametrize(
    ("raised", "seen", "message"),
    [
        (CommClosedError("in <TCP (closed) ...>"), UsageError, "the scheduler was lost: the same command goes on"),
        (OSError(28, "No space left on device"), OSError, "No space left"),
    ],
)
def test_a_connection_lost_while_an_answer_comes(
    scheduler: str, raised: OSError, seen: type[Exception], message: str
) -> None:
    with pytest.raises(seen, match=message), cluster._connected(scheduler, None):
        raise raised


def lose(scheduler: "subprocess.Popen[bytes]", address: str) -> None:
    """Kill a scheduler while a client waits for its answer."""
    with cluster._connected(address, None) as client:
        waiting: Future[float | UsageError] = client.submit(float, pure=False, resources=TURN)
        scheduler.kill()
        cluster._answer(waiting)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def group_lives(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_stops_workers_and_client(
    preset: Path, config: RunConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal every process of the command hears it."""
    path = tmp_path / "run.zarr"
    heard = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        command = ("collect", "--preset", str(preset), "--out", str(path), "--workers", "1")
        process = start(*command, folder=tmp_path, start_new_session=True)
    finally:
        signal.signal(signal.SIGINT, heard)
    with process:
        wait_until(lambda: process.poll() is not None or any(path.glob("activations/completed/c/*")))
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (130, "plateaulens: stopped; the same command goes on from here\n")
    assert [file.name for file in tmp_path.iterdir()] == ["run.zarr"]
    wait_until(lambda: not group_lives(process.pid))
    collect(config, path)
    assert measured(path) == measured(whole)


def test_nothing_is_said_of_an_interrupt_that_finds_nothing_to_cancel_yet(tmp_path: Path) -> None:
    """`distributed.utils.sync` has its event loop cancel what may not have begun, which faults there."""
    code = (
        "from distributed.utils import sync\n"
        "from plateaulens.collect import cluster\n"
        "if __name__ == '__main__':\n"
        "    with cluster._connected(None, 1) as client:\n"
        "        client.loop.add_callback(lambda: future)\n"
        "        sync(client.loop, client.scheduler.identity)\n"
        "        print('answered')\n"
    )
    program = tmp_path / "program.py"
    program.write_text(code)
    ended = subprocess.run(
        [sys.executable, str(program)], env=environment(), capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "answered\n", "")


class TestRefusals:
    @staticmethod
    def answer(client: Client, assignment: Assignment) -> str:
        """What a worker says to the first span."""
        found = client.submit(measure, assignment, "activations", slice(0, 1), pure=False, resources=TURN).result()
        assert isinstance(found, UsageError)
        return str(found)

    def test_a_worker_with_other_software(self, client: Client, assignment: Assignment) -> None:
        versions = json.loads(str(assignment.attributes["versions"])) | {"torch": "1.0"}
        other = replace(assignment, attributes={**assignment.attributes, "versions": json.dumps(versions)})
        said = self.answer(client, other)
        assert said.startswith("worker tcp://")
        assert 'would measure something else than the run\'s other workers: versions.torch: stored "1.0", here' in said

    def test_a_run_of_another_configuration(
        self, client: Client, assignment: Assignment, tiny_files: Path, tmp_path: Path
    ) -> None:
        other = read_config(write_preset(tmp_path / "tiny.toml", tiny_files, engine__samples_per_chunk=1, seed=8))
        assert "seed: stored 7, asked 8" in self.answer(client, replace(assignment, config=other))

    def test_a_worker_that_does_not_see_the_run(self, client: Client, assignment: Assignment) -> None:
        assert self.answer(client, replace(assignment, path="/no/such/run.zarr")).endswith(
            "/no/such/run.zarr does not exist"
        )

    def test_workers_that_write_elsewhere(
        self, scheduler: str, config: RunConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A folder of the same name on another machine, here one of another name on this machine."""
        monkeypatch.setattr(
            cluster, "Assignment", lambda config, own, _, command: Assignment(config, own, str(whole), command)
        )
        with pytest.raises(UsageError, match="6 spans of activations were measured and are not here: the run must"):
            collect_on_cluster(config, tmp_path / "run.zarr", scheduler=scheduler)

    def test_a_client_with_other_software(
        self, scheduler: str, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cluster, "commit", lambda: "other")
        with pytest.raises(UsageError, match='run the same software: commit: stored "unknown", here "other"'):
            collect_on_cluster(config, tmp_path / "run.zarr", scheduler=scheduler)
        assert list(tmp_path.iterdir()) == []

    def test_a_second_collector(self, scheduler: str, config: RunConfig, whole: Path) -> None:
        with RunStore.open(whole), pytest.raises(UsageError, match="is being written by process"):
            collect_on_cluster(config, whole, scheduler=scheduler)

    def test_without_the_extra(
        self, preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("plateaulens.collect.cluster", "plateaulens.collect.worker"):
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "distributed", None)
        assert main(["collect", "--preset", str(preset), "--workers", "2", "--out", str(tmp_path / "run.zarr")]) == 1
        needed = "plateaulens: error: this command needs distributed: run `pip install 'plateaulens[cluster]'`\n"
        assert capsys.readouterr().err == needed
        assert list(tmp_path.iterdir()) == []

    def test_no_scheduler(self, config: RunConfig, tmp_path: Path) -> None:
        import dask

        with (
            dask.config.set({"distributed.comm.timeouts.connect": "0.2s"}),
            pytest.raises(UsageError, match=r"^scheduler tcp://127\.0\.0\.1:9 cannot be reached"),
        ):
            collect_on_cluster(config, tmp_path / "run.zarr", scheduler="tcp://127.0.0.1:9")

    @pytest.mark.parametrize(
        ("raised", "message"),
        [
            (KilledWorker("measure-1", Mock(address="tcp://gone"), 3), "a span was given up, because every worker"),
            (CancelledError("measure-1"), "the scheduler was lost: the same command goes on from here"),
        ],
    )
    def test_a_lost_task(self, raised: Exception, message: str) -> None:
        class Lost:
            def result(self) -> Any:
                raise raised

        with pytest.raises(UsageError, match=message):
            cluster._answer(Lost())  # type: ignore[arg-type]
