"""The trials: what is done to which command, and what must be true afterwards."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.faults.workplace import STOPPED, Workplace, cli, contents, report, same, without_provenance
from tests.faults.zygote import Child, fork, wait_until
from tests.processes import environment

Draws = np.random.Generator
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Trial:
    """One way of disturbing a command."""

    name: str
    times: int
    """How often, where a hundred commands are killed in all."""
    checked: str
    """What is true afterwards, in words."""
    run: Callable[[Workplace, Draws], None]
    """Does it once, and raises an AssertionError when it is not true."""
    kills: bool = False
    """Whether it counts among the hundred."""
    in_turn: bool = False
    """Whether it may not be made twice at the same time."""


SAME = "continued: same bytes, `verify` sound, nothing left over"


def nothing_beside(path: Path, *others: str) -> None:
    """That nothing stands beside a store that does not belong there."""
    beside = {file.name for file in path.parent.iterdir()} - {path.name, "log", *others}
    assert not beside, f"left over: {sorted(beside)}"


TOLD = ("collecting ", "memory: ", "way of running: ", "finished: ", "cell ")
"""How the lines begin that a command says when nothing is wrong."""


def one_line(said: str, *parts: str) -> None:
    """That an error is one line on standard error, with these words in it."""
    errors = [line for line in said.splitlines() if not line.startswith(TOLD)]
    assert len(errors) == 1, f"{len(errors)} lines: {said[-1500:]}"
    assert errors[0].startswith("plateaulens: error: "), errors[0]
    for part in parts:
        assert part in errors[0], f"{part!r} is not in: {errors[0]}"


def collect(preset: Path, name: str = "run.zarr") -> Callable[[Path], int]:
    """The command that collects into a trial's folder."""
    return lambda folder: cli("collect", "--preset", preset, "--out", folder / name)


def resume(work: Workplace, folder: Path, preset: Path, expected: Path) -> None:
    """Give the same command again: the run is the undisturbed one."""
    path = folder / "run.zarr"
    work.do(lambda: collect(preset)(folder) or cli("verify", path))
    same(without_provenance(contents(path)), without_provenance(contents(expected)))
    nothing_beside(path)


def killed_collect(work: Workplace, rng: Draws) -> None:
    folder, child = work.disturb("collect", collect(work.preset), signal.SIGKILL, rng)
    assert child.status == KILLED, child.said()
    resume(work, folder, work.preset, work.run)


def killed_twice(work: Workplace, rng: Draws) -> None:
    folder, _ = work.disturb("collect", collect(work.preset), signal.SIGKILL, rng)
    again = fork(lambda: collect(work.preset)(folder), folder / "log")
    time.sleep(rng.uniform(0, work.length))
    again.kill()
    resume(work, folder, work.preset, work.run)


def terminated_collect(work: Workplace, rng: Draws) -> None:
    folder, child = work.disturb("collect", collect(work.preset), signal.SIGTERM, rng)
    assert child.status == -signal.SIGTERM, child.said()
    resume(work, folder, work.preset, work.run)


def interrupted_collect(work: Workplace, rng: Draws) -> None:
    folder, child = work.disturb("collect", collect(work.preset), signal.SIGINT, rng)
    assert child.status == 130, f"status {child.status}: {child.said()}"
    said = [line for line in child.said().splitlines(keepends=True) if not line.startswith(TOLD)]
    assert said == [STOPPED], child.said()
    assert not (folder / "run.zarr.lock").exists()
    resume(work, folder, work.preset, work.run)


IMPORTS = """
import sys

from plateaulens.cli import main

print(flush=True)
sys.exit(main())
"""
"""The command, which says when it begins: before that, Python's own start ends in its own way."""


def interrupted_imports(work: Workplace, rng: Draws) -> None:
    folder = work.new_folder()
    command = [sys.executable, "-c", IMPORTS, "collect", "--preset", str(work.preset), "--out", "run.zarr"]
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=-1, stderr=-1, text=True)
    signal.signal(signal.SIGINT, heard)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 2.0))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, f"status {process.returncode}: {said}"
    assert said == STOPPED, said
    assert list(folder.iterdir()) == []


def killed_sweep(work: Workplace, rng: Draws) -> None:
    expected = work.cells
    folder, _ = work.disturb("sweep", collect(work.sweep, "cells"), signal.SIGKILL, rng)
    work.do(lambda: collect(work.sweep, "cells")(folder))
    for path in expected.iterdir():
        if path.is_dir():
            found = contents(folder / "cells" / path.name)
            same(without_provenance(found), without_provenance(contents(path)))
    assert (folder / "cells" / "manifest.json").read_bytes() == (expected / "manifest.json").read_bytes()
    assert {path.name for path in (folder / "cells").iterdir()} == {path.name for path in expected.iterdir()}


def analyze_again(work: Workplace) -> Callable[[Path], int]:
    """The command that replaces one summary by another."""
    run = work.brief_run
    return lambda folder: cli("analyze", "--run", run, "--preset", work.other, "--out", folder / "summary.zarr")


def killed_analyze(work: Workplace, rng: Draws) -> None:
    old, new = work.summaries
    folder, _ = work.disturb(
        "analyze",
        analyze_again(work),
        signal.SIGKILL,
        rng,
        prepare=lambda to: shutil.copytree(old, to / "summary.zarr"),
    )
    path = folder / "summary.zarr"
    found = contents(path)
    same(found, contents(old if found["zarr.json"] == contents(old)["zarr.json"] else new))
    work.do(lambda: analyze_again(work)(folder) or cli("verify", path))
    same(contents(path), contents(new))
    nothing_beside(path)


def killed_report(work: Workplace, rng: Draws) -> None:
    old, new = work.pages
    summary = work.summaries[1]

    def prepare(folder: Path) -> None:
        (folder / "out").mkdir()
        for name, content in old.items():
            (folder / "out" / name).write_bytes(content)

    folder, _ = work.disturb("report", lambda to: report(summary, to / "out"), signal.SIGKILL, rng, prepare=prepare)
    found = contents(folder / "out")
    for name in old:
        assert found[name] in (old[name], new[name]), f"{name} is neither the old page nor the new one"
    work.do(lambda: report(summary, folder / "out"))
    same(contents(folder / "out"), new)
    left = list((folder / "meanwhile").iterdir())
    assert not left, f"left over: {left}"


def two_reports(work: Workplace, rng: Draws) -> None:
    folder = work.new_folder()
    summaries, pages = work.summaries, work.pages
    both = []
    for summary in summaries:
        both.append(fork(lambda summary=summary: report(summary, folder / "out"), folder / f"{summary.stem}.log"))  # type: ignore[misc]
        time.sleep(rng.uniform(0, 0.3))
    for child in both:
        assert child.wait() == 0, child.said()
    found = contents(folder / "out")
    assert found.keys() == pages[0].keys()
    for name, content in found.items():
        assert content in (pages[0][name], pages[1][name]), f"{name} is neither page"


def to_s3(work: Workplace, name: str) -> Callable[[], int]:
    """The command that collects at a URL."""
    server = work.server

    def job() -> int:
        server.environ()
        return cli("collect", "--preset", work.coarse, "--out", f"{server.url}/{name}/run.zarr")

    return job


def check_s3(work: Workplace, name: str) -> None:
    """That the store at a URL is the undisturbed one."""
    server = work.server

    def sound() -> int:
        server.environ()
        return cli("verify", f"{server.url}/{name}/run.zarr")

    work.do(sound)
    found = server.objects(f"{name}/")
    store = {key.removeprefix("run.zarr/"): content for key, content in found.items() if key.startswith("run.zarr/")}
    same(without_provenance(store), without_provenance(contents(work.coarse_run)))
    beside = [key for key in found if not key.startswith("run.zarr/")]
    assert not beside, f"left over: {beside}"


def killed_s3(work: Workplace, rng: Draws) -> None:
    length = work.duration("s3", to_s3(work, f"undisturbed-{work.runner}"))
    name = f"killed-{rng.integers(10**9)}"
    folder = work.new_folder()
    while True:
        child = fork(to_s3(work, name), folder / "log")
        time.sleep(rng.uniform(0, length))
        if not child.ended():
            break
        name += "x"
    child.kill()
    if "run.zarr.lock" in work.server.objects(f"{name}/"):
        refused = fork(to_s3(work, name), folder / "refused")
        assert refused.wait() == 1, refused.said()
        one_line(refused.said(), f"is being written by process {child.pid}")
        work.server.remove(f"{name}/run.zarr.lock")
    work.do(to_s3(work, name))
    check_s3(work, name)


def two_s3_writers(work: Workplace, rng: Draws) -> None:
    name = f"two-{rng.integers(10**9)}"
    folder = work.new_folder()
    first = fork(to_s3(work, name), folder / "first")
    time.sleep(rng.uniform(0, 0.5))
    second = fork(to_s3(work, name), folder / "second")
    ends = [first.wait(), second.wait()]
    assert 0 in ends, first.said() + second.said()
    for child, end in zip((first, second), ends, strict=True):
        if end:
            assert end == 1, child.said()
            one_line(child.said(), "is being written by process")
    check_s3(work, name)


def sleeping_s3_writer(work: Workplace, rng: Draws) -> None:
    length = work.duration("s3", to_s3(work, f"undisturbed-{work.runner}"))
    name = f"asleep-{rng.integers(10**9)}"
    folder = work.new_folder()
    first = fork(to_s3(work, name), folder / "first")
    time.sleep(rng.uniform(0.3, 0.9) * length)
    first.send(signal.SIGSTOP)
    work.server.remove(f"{name}/run.zarr.lock")
    second = fork(to_s3(work, name), folder / "second")
    if rng.random() < 0.5:
        time.sleep(rng.uniform(0, length))
        first.send(signal.SIGCONT)
    assert second.wait() == 0, second.said()
    first.send(signal.SIGCONT)
    if first.wait():
        one_line(first.said())
    check_s3(work, name)


def on_cluster(work: Workplace, address: str) -> Callable[[Path], int]:
    """The command that has the workers of a scheduler collect."""
    return lambda folder: cli("collect", "--preset", work.preset, "--out", folder / "run.zarr", "--scheduler", address)


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, Child, list[Child]]]:
    """A scheduler and two workers, forked as everything else is: the address, the scheduler, the workers."""
    import asyncio

    from distributed import Scheduler, Worker

    said = folder / "scheduler"

    async def schedule() -> None:
        async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
            (folder / "new").write_text(str(scheduler.address))
            (folder / "new").rename(said)
            await scheduler.finished()

    async def work() -> None:
        async with Worker(said.read_text(), nthreads=1, dashboard=False, local_directory=str(folder)) as worker:
            await worker.finished()

    scheduler = fork(lambda: asyncio.run(schedule()), folder / "scheduler.log")
    children = [scheduler]
    try:
        wait_until(said.exists, 60, scheduler.said)
        children += [fork(lambda: asyncio.run(work()), folder / f"worker-{number}.log") for number in range(2)]
        yield said.read_text(), scheduler, children[1:]
    finally:
        for child in children:
            child.kill()


def disturbed_cluster(work: Workplace, rng: Draws, who: str) -> None:
    folder = work.new_folder()
    place = work.new_folder()
    with cluster(place) as (address, scheduler, workers):
        client = fork(lambda: on_cluster(work, address)(folder), folder / "log")
        length = work.length
        time.sleep(rng.uniform(0.2, 1.2) * length)
        victim = {"client": client, "scheduler": scheduler, "worker": workers[0]}[who]
        victim.kill()
        if who == "worker":
            assert client.wait() == 0, client.said()
        elif who == "scheduler" and client.wait():
            # it may be lost before it has been found, too
            assert client.status == 1, client.said()
            one_line(client.said())
        elif who == "client":
            # the workers that go on running are let go, for whoever comes next
            again = fork(lambda: on_cluster(work, address)(folder), folder / "log")
            assert again.wait() == 0, again.said()
    resume(work, folder, work.preset, work.run)


def killed_worker(work: Workplace, rng: Draws) -> None:
    disturbed_cluster(work, rng, "worker")


def killed_scheduler(work: Workplace, rng: Draws) -> None:
    disturbed_cluster(work, rng, "scheduler")


def killed_client(work: Workplace, rng: Draws) -> None:
    disturbed_cluster(work, rng, "client")


def full_disk(work: Workplace, rng: Draws) -> None:
    folder = work.new_folder()
    room = int(rng.integers(1, 150))

    def job() -> int:
        replace, left = Path.replace, [room]

        def replace_while_there_is_room(source: Path, target: Path) -> Path:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
            return replace(source, target)

        Path.replace = replace_while_there_is_room  # type: ignore[method-assign,assignment]
        return collect(work.preset)(folder)

    child = fork(job, folder / "log")
    assert child.wait() == 1, child.said()
    one_line(child.said(), "the disk is full")
    resume(work, folder, work.preset, work.run)


def own_copy(work: Workplace) -> Path:
    """A finished run to damage."""
    path: Path = shutil.copytree(work.run, work.new_folder() / "run.zarr")
    return path


MEASURED = ("base", "target", "source_row", "active_latents", "curve", "top_token", "path_length", "completed")


def chunks(run: Path) -> list[Path]:
    """The files of measured values."""
    return sorted(file for name in MEASURED for file in run.glob(f"*/{name}/c/**/*") if file.is_file())


def repaired(work: Workplace, run: Path, *named: str) -> None:
    """That `verify` names what is damaged, and that `--repair` and `collect` make the undisturbed run of it."""
    said = work.do(lambda: cli("verify", run), status=1)
    for name in named:
        assert name in said, f"{name} is not in: {said}"
    work.do(lambda: cli("verify", run, "--repair"))
    resume(work, run.parent, work.preset, work.run)


def in_verify(run: Path, file: Path) -> str:
    """What `verify` calls a chunk."""
    name, _, key = file.relative_to(run).as_posix().partition("/c/")
    return f"{name} chunk c/{key}: "


def damaged_chunk(work: Workplace, rng: Draws) -> None:
    run = own_copy(work)
    file = chunks(run)[rng.integers(len(chunks(run)))]
    content = bytearray(file.read_bytes())
    content[rng.integers(len(content))] ^= int(rng.integers(1, 256))
    file.write_bytes(bytes(content))
    repaired(work, run, in_verify(run, file))


def removed_chunk(work: Workplace, rng: Draws) -> None:
    run = own_copy(work)
    file = chunks(run)[rng.integers(len(chunks(run)))]
    file.unlink()
    if "/completed/" in file.as_posix():
        resume(work, run.parent, work.preset, work.run)
        return
    child = fork(lambda: cli("analyze", "--run", run, "--out", run.parent / "summary.zarr"), run.parent / "analyze.log")
    assert child.wait() == 1, "a run with a hole was analysed"
    one_line(child.said(), file.relative_to(run).as_posix())
    (run.parent / "analyze.log").unlink()
    repaired(work, run, in_verify(run, file))


def exchanged_chunks(work: Workplace, rng: Draws) -> None:
    run = own_copy(work)
    arrays = ["activations/base", "sensitivity/curve", "plateau/curve", "plateau/top_token", "sensitivity/path_length"]
    array = arrays[rng.integers(len(arrays))]
    files = [file for file in chunks(run) if f"/{array}/c/" in file.as_posix()]
    one, other = (files[index] for index in rng.choice(len(files), 2, replace=False))
    contents_of = one.read_bytes(), other.read_bytes()
    if contents_of[0] == contents_of[1]:
        return
    one.write_bytes(contents_of[1])
    other.write_bytes(contents_of[0])
    repaired(work, run, in_verify(run, one), in_verify(run, other))


EDITS: tuple[tuple[str, Callable[[dict[str, Any]], object]], ...] = (
    ("sensitivity/curve", lambda node: node["chunk_grid"]["configuration"]["chunk_shape"].__setitem__(1, 2)),
    ("sensitivity/curve", lambda node: node.update({"data_type": "int32", "fill_value": 0})),
    ("plateau/top_token", lambda node: node.__setitem__("data_type", "float32")),
    ("activations/base", lambda node: node.__setitem__("fill_value", 0.0)),
    ("plateau/curve", lambda node: node["codecs"].pop()),
    ("plateau/curve", lambda node: node["codecs"][0]["configuration"].__setitem__("endian", "big")),
    ("activations/target", lambda node: node["shape"].__setitem__(1, 5)),
    ("plateau/completed", lambda node: node.__setitem__("fill_value", True)),
    ("sensitivity/step", lambda node: node.__setitem__("dimension_names", ["steps"])),
    ("plateau/metric", lambda node: node["attributes"].__setitem__("units", "metre")),
    (
        "sensitivity/curve",
        lambda node: node.__setitem__(
            "codecs",
            [
                {
                    "name": "sharding_indexed",
                    "configuration": {
                        "chunk_shape": node["chunk_grid"]["configuration"]["chunk_shape"],
                        "codecs": node["codecs"],
                        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
                        "index_location": "end",
                    },
                }
            ],
        ),
    ),
)
"""Edits of an array's `zarr.json` by hand, each of which zarr itself takes for another array."""


def edited_layout(work: Workplace, rng: Draws) -> None:
    run = own_copy(work)
    name, change = EDITS[rng.integers(len(EDITS))]
    file = run / name / "zarr.json"
    node = json.loads(file.read_text())
    change(node)
    file.write_text(json.dumps(node))
    said = work.do(lambda: cli("verify", run), status=1)
    assert name in said, said
    for command in (
        lambda: cli("analyze", "--run", run, "--out", run.parent / "summary.zarr"),
        lambda: collect(work.preset)(run.parent),
    ):
        child = fork(command, work.new_folder() / "log")
        assert child.wait() == 1, f"{name} was edited, and nobody noticed: {child.said()}"
        one_line(child.said(), name)


def removed_group(work: Workplace, rng: Draws) -> None:
    folder = work.new_folder()
    child = fork(lambda: collect(work.preset)(folder), folder / "log")
    run = folder / "run.zarr"
    group = ("activations", "sensitivity", "plateau", "prompts", "provenance", "integrity", "")[rng.integers(7)]
    wait_until(lambda: run.exists() or child.ended(), 60, child.said)
    time.sleep(rng.uniform(0, 0.5) * work.length)
    was_over = child.ended()
    shutil.rmtree(run / group, ignore_errors=True)
    if not was_over and child.wait():
        one_line(child.said())
        return
    # it was removed after the last look: whoever comes next must notice
    child = fork(lambda: cli("verify", run), folder / "verify.log")
    assert child.wait() == 1, f"{group} is gone, and nobody noticed: {child.said()}"
    assert was_over or "finished" in (folder / "log").read_text()


def changed_module(work: Workplace, rng: Draws) -> None:
    expected = work.own_run
    source = work.module.read_text()
    folder, _ = work.disturb("own", collect(work.own), signal.SIGKILL, rng)
    try:
        work.module.write_text(source.replace("2.0", "3.0"))
        child = fork(lambda: collect(work.own)(folder), folder / "again")
        if (folder / "run.zarr").exists():
            assert child.wait() == 1, child.said()
            one_line(child.said(), "identity.activation_types.own.sha256: stored ", ", asked ")
        else:  # there was nothing yet to be continued
            assert child.wait() == 0, child.said()
            shutil.rmtree(folder / "run.zarr")
    finally:
        work.module.write_text(source)
    (folder / "again").unlink()
    resume(work, folder, work.own, expected)


def jump(rng: Draws) -> None:
    """Have this process's clock jump by up to a year, back and forth, whenever it is read."""
    clock = time.time
    time.time = lambda: clock() + rng.uniform(-366, 366) * 86400


def jumping_clock(work: Workplace, rng: Draws) -> None:
    def job(folder: Path) -> int:
        jump(rng)
        return collect(work.preset)(folder)

    folder, child = work.disturb("collect", job, signal.SIGKILL, rng)
    assert child.status == KILLED, child.said()
    path = folder / "run.zarr"
    work.do(lambda: job(folder) or cli("verify", path))
    same(without_provenance(contents(path)), without_provenance(contents(work.run)))
    sessions = json.loads(json.loads((path / "provenance" / "zarr.json").read_text())["attributes"]["sessions"])
    assert all(session["seconds"] >= 0 for session in sessions), sessions
    nothing_beside(path)


def jumping_s3_clocks(work: Workplace, rng: Draws) -> None:
    name = f"clock-{rng.integers(10**9)}"
    folder = work.new_folder()

    def writer() -> int:
        jump(rng)
        return to_s3(work, name)()

    first = fork(writer, folder / "first")
    wait_until(lambda: first.ended() or "run.zarr.lock" in work.server.objects(f"{name}/"), 60, first.said)
    second = fork(writer, folder / "second")
    if second.wait():
        one_line(second.said(), "is being written by process")
    assert first.wait() == 0, first.said()
    check_s3(work, name)


TRIALS: tuple[Trial, ...] = (
    Trial("`collect`, kill -9", 34, SAME, killed_collect, kills=True),
    Trial("`collect`, kill -9, then its continuation too", 5, SAME, killed_twice, kills=True),
    Trial("`collect` of a sweep, kill -9", 4, "continued: same bytes, same manifest", killed_sweep, kills=True),
    Trial(
        "`collect` to S3, kill -9",
        6,
        f"refused as long as the dead writer's lock is there; {SAME}",
        killed_s3,
        kills=True,
    ),
    Trial("dask worker, kill -9", 5, SAME.replace("continued", "the others finish"), killed_worker, kills=True),
    Trial("dask scheduler, kill -9", 5, f"one line; {SAME}", killed_scheduler, kills=True),
    Trial("dask client, kill -9", 5, f"the workers are let go; {SAME}", killed_client, kills=True),
    Trial(
        "`analyze`, kill -9",
        26,
        "the old summary or the new one, whole; again: the new one, nothing left over",
        killed_analyze,
        kills=True,
    ),
    Trial(
        "`report`, kill -9",
        10,
        "each page the old one or the new one, whole; again: the new ones, nothing left over",
        killed_report,
        kills=True,
    ),
    Trial("`collect`, SIGTERM", 3, SAME, terminated_collect),
    Trial("`collect`, Ctrl-C", 6, f"one line, status 130; {SAME}", interrupted_collect),
    Trial("`collect`, Ctrl-C during imports", 8, "one line, status 130, no traceback", interrupted_imports),
    Trial("two `report`s into one folder at once", 3, "both succeed, each page whole", two_reports),
    Trial(
        "two writers at one S3 URL at once", 2, "one is refused in one line, or both end; same bytes", two_s3_writers
    ),
    Trial(
        "an S3 writer that slept while another took over",
        2,
        "it stops in one line, or both end; same bytes",
        sleeping_s3_writer,
    ),
    Trial("clock that jumps by up to a year, with kill -9", 3, f"no negative duration; {SAME}", jumping_clock),
    Trial("clocks of two S3 writers that jump", 1, "the second is refused in one line; same bytes", jumping_s3_clocks),
    Trial("disk full", 4, f"one line; {SAME}", full_disk),
    Trial("group or run removed during `collect`", 5, "one line, status 1; later: `verify` names it", removed_group),
    Trial(
        "user's module changed, then continued",
        2,
        "named in one line, with both hashes; changed back: same bytes",
        changed_module,
        in_turn=True,
    ),
    Trial("byte flipped in a chunk", 6, "`verify` names it; `--repair` and `collect`: same bytes", damaged_chunk),
    Trial("chunk removed", 4, "`analyze` and `verify` name it; `--repair` and `collect`: same bytes", removed_chunk),
    Trial("two chunks exchanged", 4, "`verify` names both; `--repair` and `collect`: same bytes", exchanged_chunks),
    Trial(
        "`zarr.json` of an array edited",
        11,
        "`verify` names it; `analyze` and `collect` refuse it in one line",
        edited_layout,
    ),
)
