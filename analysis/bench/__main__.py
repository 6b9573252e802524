"""`python -m bench`: how fast the engine is."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plateaulens.cli.entry import Parser, run
from plateaulens.cli.options import needs

GROWTH = {"samples": (2, 4, 8), "types": (1, 2, 4, 8), "steps": (26, 51, 101, 201), "length": (5, 10, 20, 40)}
"""Sizes at which growth is measured; all of them are left out with `--engine-only`."""
MEMORY = {"collect": (200, 20_000), "analyze": (1_000, 10_000, 100_000)}
"""Numbers of samples with which memory is measured; left out as well."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments
        What stands after the program's name; None takes this process's.

    Returns
    -------
    int
        The exit status.
    """
    parser = Parser(
        prog="python -m bench", description="Time the engine against the arithmetic it does and against other ways."
    )
    parser.add_argument(
        "--model", default="embedded:smollm2", help="gpt2-sized, or what a preset's model.source may be (%(default)s)"
    )
    parser.add_argument(
        "--device",
        default="cpu",
        help="on a GPU, its own table is measured, in all precisions and at the paper's size (default: %(default)s)",
    )
    parser.add_argument("--write", type=int, default=1, help="block that is written before (default: %(default)s)")
    for name, default in (("samples", 2), ("types", 4), ("steps", 101), ("length", 10), ("rounds", 9)):
        parser.add_argument(f"--{name}", type=int, default=default, help="(default: %(default)s)")
    parser.add_argument("--engine-only", action="store_true", help="time the engine and the floor and nothing else")
    parser.add_argument("--precision-samples", type=int, default=32, help="for bf16 (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--document", type=Path, help="write the tables into this Markdown file, between its markers")
    parser.set_defaults(command=_run)
    return run(parser, arguments)


def _run(options: argparse.Namespace) -> int:
    try:
        from bench.run import Settings, bench  # noqa: PLC0415  needs the extra `collect`
    except ImportError as error:
        raise needs(error, "collect") from None
    from bench.gpu import bench_gpu  # noqa: PLC0415
    from bench.tables import gpu_tables, tables  # noqa: PLC0415
    from bench.work import Size  # noqa: PLC0415

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    if options.device != "cpu" and not options.engine_only:
        on_gpu = bench_gpu(options.device, say)
        return _write(options, on_gpu, gpu_tables(on_gpu))
    settings = Settings(
        model=options.model,
        device=options.device,
        write=options.write,
        size=Size(options.samples, options.types, options.steps, options.length),
        rounds=options.rounds,
        others=not options.engine_only,
        growth={name: list(values) for name, values in GROWTH.items()},
        memory={name: list(values) for name, values in MEMORY.items()},
        precision=Size(options.precision_samples, options.types, options.steps, options.length),
    )
    result = bench(settings, say)
    return _write(options, result, tables(result))


def _write(options: argparse.Namespace, result: Mapping[str, Any], made: Mapping[str, str]) -> int:
    from bench.tables import insert  # noqa: PLC0415

    print("\n\n".join(made.values()))
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.document is not None:
        document = options.document.read_text(encoding="utf-8")
        options.document.write_text(insert(document, made), encoding="utf-8")
    return 0


if __name__ == "__main__":  # worker processes import this file, too
    sys.exit(main())
