"""`plateaulens collect`: run the experiments of a preset."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plateaulens.cli.options import DEFAULT_PRESET, needs
from plateaulens.config import EXPERIMENT_NAMES, RunConfig, override, read_config
from plateaulens.resources import find

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("collect", help="run the experiments of a preset and store every curve")
    parser.add_argument("--preset", help=f"name of a preset that ships, or a TOML file (default: {DEFAULT_PRESET})")
    parser.add_argument("--samples", type=int, help="base prompts, for every experiment (default: the preset's)")
    parser.add_argument("--seed", type=int, help="seed of every draw (default: the preset's)")
    parser.add_argument("--experiments", help=f"comma-separated, among {','.join(EXPERIMENT_NAMES)}")
    parser.add_argument("--out", type=Path, help="where the run is stored (default: data/runs/NAME.zarr)")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    config = _configuration(options)
    out = options.out or Path("data/runs") / f"{config.name}.zarr"
    try:
        from plateaulens.collect import collect  # noqa: PLC0415  needs the extra `collect`
    except ImportError as error:
        raise needs(error, "collect") from None
    print(f"collecting {', '.join(config.experiments)} into {out}", flush=True)
    collect(config, out)
    print(f"finished: {out}")
    return 0


def _configuration(options: argparse.Namespace) -> RunConfig:
    experiments = None if options.experiments is None else options.experiments.split(",")
    config = read_config(find("presets", options.preset or DEFAULT_PRESET))
    return override(config, samples=options.samples, seed=options.seed, experiments=experiments)
