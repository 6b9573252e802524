"""What the trials disturb: small jobs of every command, and what each leaves behind when nobody disturbs it."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import botocore.session  # type: ignore[import-untyped]
import numpy as np
from tests.faults.zygote import Child, fork, wait_until
from tests.s3 import BUCKET
from tests.tiny import write_model, write_preset, write_prompts, write_sae

Files = dict[str, bytes]

STOPPED = "plateaulens: stopped; the same command goes on from here\n"
SMALL: dict[str, Any] = {
    "experiments": ["sensitivity", "plateau"],
    "targets__types": ["real", "random", "bag"],
    "engine__samples_per_chunk": 1,
}
"""A run of 17 spans, measured in a second."""
BRIEF = SMALL | {"experiments": ["plateau"], "targets__types": ["real", "bag"]}
"""One that is analysed in a second, too."""
PAGE = """\
---
title: Small report
---

```{python}
#| tags: [parameters]
summary = "nowhere"
taken = ""
```

```{python}
from plateaulens import open_summary
run = open_summary(summary)
```

Made from `{python} run.attrs["analysis"]`.
"""
"""In place of the report's own document, which takes half a minute."""


def cli(*arguments: str | Path) -> int:
    """The command line, in this process."""
    from plateaulens.cli import main

    return main([str(argument) for argument in arguments])


@dataclass
class Workplace:
    """A folder with everything that the trials need; each trial has a folder of its own in it."""

    folder: Path
    runner: int = 0
    """Which of the processes it is that share the trials out."""
    _trials: int = 0
    _durations: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        files = self.folder / "tiny"
        self.do(lambda: _write_tiny(files))
        self.preset = write_preset(self.folder / "small.toml", files, **SMALL)
        self.coarse = write_preset(self.folder / "coarse.toml", files, **SMALL | {"engine__samples_per_chunk": 3})
        self.brief = write_preset(self.folder / "brief.toml", files, **BRIEF)
        self.other = write_preset(self.folder / "other.toml", files, **BRIEF, analysis__resamples=21)
        self.sweep = write_preset(
            self.folder / "sweep.toml", files, **SMALL | {"experiments": ["plateau"]}, sweep__seed=[1, 2, 3]
        )
        self.module = self.folder / "own.py"
        self.module.write_text(OWN_TYPE)
        own = SMALL | {"targets__types": ["real", "own"], "targets__modules": [str(self.module)]}
        self.own = write_preset(self.folder / "own.toml", files, **own)

    def new_folder(self) -> Path:
        """An empty folder."""
        self._trials += 1
        made = self.folder / f"trial-{self.runner}-{self._trials}"
        made.mkdir()
        return made

    def do(self, job: Callable[[], int | None], status: int = 0) -> str:
        """Run a job in a process of its own; what it said, if it ended as it should."""
        child = fork(job, self.new_folder() / "log")
        assert child.wait() == status, f"status {child.status} instead of {status}: {child.said()[-900:]}"
        return child.said()

    def duration(self, name: str, job: Callable[[], int | None]) -> float:
        """How long a job takes that nobody disturbs: it is done once, the first time that is asked."""
        if name not in self._durations:
            began = time.monotonic()
            self.do(job)
            self._durations[name] = time.monotonic() - began
        return self._durations[name]

    def disturb(
        self,
        name: str,
        job: Callable[[Path], int | None],
        how: signal.Signals,
        rng: np.random.Generator,
        *,
        prepare: Callable[[Path], object] = lambda _: None,
    ) -> tuple[Path, Child]:
        """Start a job and send it a signal at a random moment of its time; its folder, and how it ended.

        One that has ended before counts for nothing, and another one is disturbed.
        """

        folder = self.new_folder()

        def undisturbed() -> int | None:
            prepare(folder)
            return job(folder)

        length = self.duration(name, undisturbed)
        while True:
            folder = self.new_folder()
            prepare(folder)
            child = fork(lambda folder=folder: job(folder), folder / "log")  # type: ignore[misc]
            moment = rng.uniform(0, length)
            time.sleep(moment)
            child.send(how)
            if child.wait():
                return folder, child
            shutil.rmtree(folder)

    @cached_property
    def run(self) -> Path:
        """The run of `preset` that nobody has disturbed."""
        return self._made("run.zarr", lambda path: cli("collect", "--preset", self.preset, "--out", path))

    @cached_property
    def length(self) -> float:
        """Seconds that the run of `preset` takes."""
        path = self.new_folder() / "run.zarr"
        return self.duration("collect", lambda: cli("collect", "--preset", self.preset, "--out", path))

    @cached_property
    def coarse_run(self) -> Path:
        """The run of `coarse` that nobody has disturbed."""
        return self._made("coarse.zarr", lambda path: cli("collect", "--preset", self.coarse, "--out", path))

    @cached_property
    def brief_run(self) -> Path:
        """The run of `brief` and `other` that nobody has disturbed."""
        return self._made("brief.zarr", lambda path: cli("collect", "--preset", self.brief, "--out", path))

    @cached_property
    def own_run(self) -> Path:
        """The run of `own` that nobody has disturbed."""
        return self._made("own.zarr", lambda path: cli("collect", "--preset", self.own, "--out", path))

    @cached_property
    def cells(self) -> Path:
        """The sweep that nobody has disturbed."""
        return self._made("cells", lambda path: cli("collect", "--preset", self.sweep, "--out", path))

    @cached_property
    def summaries(self) -> tuple[Path, Path]:
        """Two summaries of that run, of different settings."""
        return self._summary("one.zarr", self.brief), self._summary("two.zarr", self.other)

    def _summary(self, name: str, preset: Path) -> Path:
        run = self.brief_run
        return self._made(name, lambda path: cli("analyze", "--run", run, "--preset", preset, "--out", path))

    @cached_property
    def pages(self) -> tuple[Files, Files]:
        """The pages of both summaries, that nobody has disturbed."""
        made = [self._made(f"page-{summary.stem}", lambda out, s=summary: report(s, out)) for summary in self.summaries]  # type: ignore[misc]
        return contents(made[0]), contents(made[1])

    def _made(self, name: str, job: Callable[[Path], int | None]) -> Path:
        path = self.folder / name
        self.do(lambda: job(path))
        return path

    @cached_property
    def server(self) -> "Server":
        """An S3-compatible server."""
        return Server(self.folder)

    def prepare(self) -> None:
        """Make everything that nobody has disturbed, before processes are forked that need it."""
        _ = self.run, self.length, self.coarse_run, self.own_run, self.cells, self.summaries, self.pages, self.server

    def close(self) -> None:
        """End the processes that serve the trials."""
        if "server" in self.__dict__:
            self.server.close()


OWN_TYPE = '''
"""A type of the user's own."""

from plateaulens.targets.base import Target
from plateaulens.targets.registry import register


@register
class Own:
    """Twice the base."""

    name = "own"
    needs_sae = False

    def target(self, base, context, generator):
        return Target(2.0 * base.activation)
'''


def _write_tiny(files: Path) -> None:
    files.mkdir()
    write_model(files / "model")
    write_sae(files / "sae")
    write_prompts(files / "prompts.npz")


def report(summary: Path, out: Path) -> int:
    """The report command on a document of one paragraph, with its temporary files in a folder of its own."""
    import tempfile

    from plateaulens import resources

    project = out.parent / f"installation-{os.getpid()}" / "report"
    project.mkdir(parents=True)
    (project / "_quarto.yml").write_text("execute:\n  echo: false\n")
    (project / "index.qmd").write_text(PAGE)
    (project / "references.bib").write_text("")
    resources.root = lambda: project.parent  # this process ends with the report
    meanwhile = out.parent / "meanwhile"
    meanwhile.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(meanwhile)
    return cli("report", "--summary", summary, "--out", out, "--renderer", "builtin")


def contents(folder: Path) -> Files:
    """Every file of a folder by its relative path."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def same(found: Files, expected: Files) -> None:
    """That two stores or folders hold the same files and bytes; the names of those that they do not, otherwise."""
    lacking, more = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    other = sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name])
    differences = [*lacking, *more, *other]
    assert not differences, f"lacking {lacking[:3]}, too much {more[:3]}, different {other[:3]}"


def without_provenance(files: Files) -> Files:
    """The files of a store that do not say who worked on it when."""
    return {name: content for name, content in files.items() if not name.startswith("provenance/")}


class Server:
    """An S3-compatible server in a process of its own, and a client without threads."""

    def __init__(self, folder: Path) -> None:
        said = folder / "server.json"
        self._process = fork(lambda: _serve(said), folder / "server.log")
        wait_until(lambda: said.exists() and said.read_text().endswith("}"), 60, self._process.said)
        self.variables: dict[str, str] = json.loads(said.read_text())
        self.url = f"s3://{BUCKET}"
        self._clients: dict[int, Any] = {}

    @property
    def _client(self) -> Any:
        """The client of this process: a fork must not share its connections."""
        if os.getpid() not in self._clients:
            self._clients[os.getpid()] = botocore.session.get_session().create_client(
                "s3",
                endpoint_url=self.variables["AWS_ENDPOINT_URL"],
                region_name=self.variables["AWS_DEFAULT_REGION"],
                aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
            )
        return self._clients[os.getpid()]

    def environ(self) -> None:
        """Tell this process, and whatever it starts, where the server is."""
        os.environ.update(self.variables)

    def objects(self, prefix: str) -> Files:
        """All objects below a prefix, by what follows it."""
        listed = self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        assert not listed["IsTruncated"]
        names = [each["Key"] for each in listed.get("Contents", [])]
        found = {name: self._client.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in names}
        return {name.removeprefix(prefix): content for name, content in found.items()}

    def remove(self, name: str) -> None:
        """Remove an object."""
        self._client.delete_object(Bucket=BUCKET, Key=name)

    def close(self) -> None:
        """End it."""
        self._process.kill()


def _serve(said: Path) -> int:
    from tests.s3 import s3_server

    with s3_server() as variables:
        said.write_text(json.dumps(variables))
        while True:
            signal.pause()
