"""`plateaulens collect`: run the experiments of a preset."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from plateaulens import cache, names
from plateaulens.cli.interrupt import leaving_at_once
from plateaulens.cli.options import DEFAULT_PRESET, add_quick, local_path, needs, preset
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError, shown
from plateaulens.presets import override
from plateaulens.progress import print_notes
from plateaulens.quick import NOTICE
from plateaulens.subject.embedded import notice

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands
    from plateaulens.collect.cluster import Cluster

_MOST_WORKERS = 256
"""Processes that are started on this machine at most: each of them holds a model."""


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("collect", help="run the experiments of a preset and store every curve")
    parser.add_argument("--preset", help=f"name of a preset that ships, or a TOML file (default: {DEFAULT_PRESET})")
    add_quick(parser, "few prompts, one experiment and some types, as a run of its own (NAME-quick)")
    parser.add_argument("--samples", type=int, help="base prompts, for every experiment (default: the preset's)")
    parser.add_argument("--seed", type=int, help="seed of every draw (default: the preset's)")
    parser.add_argument("--experiments", help=f"comma-separated, among {','.join(names.EXPERIMENTS)}")
    parser.add_argument("--model", help="hub id (with @revision or not), directory, or .gguf file")
    parser.add_argument("--sae", help="folder in SAELens' format, or RELEASE:ID (with @revision or not)")
    parser.add_argument(
        "--prompts", help="token ids (.npz, .npy, .parquet), texts (.txt, .jsonl, .parquet), a folder, or hub id"
    )
    parser.add_argument(
        "--activations",
        action="append",
        default=[],
        type=_named_file,
        metavar="NAME=FILE",
        help="a type of one's own: rows of a .safetensors, .npy, .pt or .zarr file, one drawn for each base prompt",
    )
    parser.add_argument(
        "--activations-of",
        metavar="RUN",
        help="walk the bases and targets that this run has stored, to compare devices or precisions curve by curve",
    )
    parser.add_argument(
        "--frozen",
        metavar="PARTS",
        help="what is held at the unperturbed prompt's values, comma-separated: blocks.N.hook_attn_out and "
        "blocks.N.hook_mlp_out, N-M for several blocks",
    )
    parser.add_argument("--out", help="where the run is stored, a path or a URL (default: data/runs/NAME.zarr)")
    parser.add_argument(
        "--no-cache", action="store_true", help=f"read and compute all anew, and keep nothing (see {cache.VARIABLE})"
    )
    machines = parser.add_mutually_exclusive_group()
    machines.add_argument("--workers", type=_workers, metavar="N", help="share the work out to N processes")
    machines.add_argument("--scheduler", metavar="ADDRESS", help="share it out to the workers of this dask scheduler")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    with cache.switched_off() if options.no_cache else nullcontext():
        return _collect(options)


def _collect(options: argparse.Namespace) -> int:
    config = _configuration(options)
    out = options.out or Path("data/runs") / f"{config.name}.zarr"
    if (terms := notice(config.model.source)) is not None:
        print(terms, flush=True)
    try:
        with leaving_at_once():
            from plateaulens.collect.collect import collect  # noqa: PLC0415  needs the extra `collect`
            from plateaulens.collect.context import open_context  # noqa: PLC0415
            from plateaulens.store.location import locate  # noqa: PLC0415
    except ImportError as error:
        raise needs(error, "collect") from None
    if config.sweep is not None:
        return _collect_sweep(config, options)
    place = locate(out)
    if options.quick:
        print(NOTICE, flush=True)
    print(f"collecting {', '.join(config.experiments)} into {out}", flush=True)
    with _cluster(options) as cluster:
        if cluster is None:
            run_context = open_context(config)
            print_notes(run_context.notes)
            collect(config, place, run_context)
        else:
            cluster.collect(config, place)
    print(f"finished: {out}")
    return 0


def _collect_sweep(config: RunConfig, options: argparse.Namespace) -> int:
    from plateaulens.collect.sweep import collect_sweep  # noqa: PLC0415

    try:
        folder = Path("data/runs") / config.name if options.out is None else local_path(options.out)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"a sweep is a folder of runs: {error}") from None
    print(f"collecting the sweep {config.name} into {folder}", flush=True)
    with _cluster(options) as cluster:
        collect_sweep(config, folder, cluster)
    print(f"finished: {folder}")
    return 0


@contextmanager
def _cluster(options: argparse.Namespace) -> Iterator["Cluster | None"]:
    """The workers that the options name; None for this process."""
    if options.scheduler is None and options.workers is None:
        yield None
        return
    try:
        with leaving_at_once():
            from plateaulens.collect.cluster import connected  # noqa: PLC0415  needs the extra `cluster`
    except ImportError as error:
        raise needs(error, "cluster") from None
    with connected(options.scheduler, options.workers) as cluster:
        yield cluster


def _named_file(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not NAME=FILE")
    return name, path


def _workers(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no whole number") from None
    if not 1 <= number <= _MOST_WORKERS:
        raise argparse.ArgumentTypeError(
            f"{shown(number)} is not between 1 and {_MOST_WORKERS}; for more than one machine there is --scheduler"
        )
    return number


def _configuration(options: argparse.Namespace) -> RunConfig:
    experiments = None if options.experiments is None else options.experiments.split(",")
    return override(
        preset(options),
        samples=options.samples,
        seed=options.seed,
        experiments=experiments,
        sources={section: getattr(options, section) for section in ("model", "sae", "prompts")},
        activations=dict(options.activations),
        of_run=options.activations_of,
        frozen=None if options.frozen is None else [part.strip() for part in options.frozen.split(",") if part.strip()],
    )
