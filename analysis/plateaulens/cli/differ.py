"""`plateaulens differ`: two runs of the same paths curve by curve."""

import argparse
from typing import TYPE_CHECKING

from plateaulens.cli.interrupt import leaving_at_once
from plateaulens.cli.options import local_path

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("differ", help="compare two runs of the same prompts curve by curve")
    parser.add_argument("run", help="a run, complete or not, a path or a URL")
    parser.add_argument("other", help="one of another device or precision: `collect --activations-of RUN`")
    parser.add_argument("--out", type=local_path, help="a CSV file for the table of curves")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    with leaving_at_once():
        from tabulate import tabulate  # noqa: PLC0415

        from plateaulens.steps.agreement import agreement, ends  # noqa: PLC0415  zarr takes a second to import

    activations, curves = ends(options.run, options.other), agreement(options.run, options.other)
    rows = [
        {
            "of": each.what,
            "activations": each.activations,
            "largest difference": f"{each.largest_difference:.2g}",
            "same bytes": _percent(each.same),
        }
        for each in activations
    ]
    print(tabulate(rows, headers="keys", disable_numparse=True))
    print()
    rows = [
        {
            "experiment": each.experiment,
            "metric": each.metric,
            "curves": each.curves,
            "largest difference": f"{each.largest_difference:.2g}",
            "same max-slope step": _percent(each.same_max_slope),
            "same top token": _percent(each.same_top_token),
        }
        for each in curves
    ]
    print(tabulate(rows, headers="keys", disable_numparse=True))
    if options.out is not None:
        import pandas as pd  # noqa: PLC0415

        options.out.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(curves).to_csv(options.out, index=False)
        print(f"finished: {options.out}")
    return 0


def _percent(share: float) -> str:
    """A share in percent, rounded down, lest one curve in a million that differs pass for none."""
    return f"{int(round(share * 10_000, 6)) / 100:g} %"  # 0.57 times 100 is below 57
