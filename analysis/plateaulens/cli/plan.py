"""`plateaulens plan`: how many base prompts the next run needs."""

import argparse
from typing import TYPE_CHECKING

from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError, reading

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands
    from plateaulens.planning import Plan


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("plan", help="say how many base prompts a question needs, from a pilot's summary")
    parser.add_argument("--summary", required=True, help="the pilot's summary, a path or a URL")
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument("--width", type=float, help="wanted width of the interval, in steps (or of the KS distance)")
    goal.add_argument("--power", type=float, help="wanted probability of finding the effect")
    parser.add_argument(
        "--effect",
        type=float,
        help="true effect to be found, in steps or as a distance (default: the pilot's own, a distance less its noise)",
    )
    parser.add_argument("--quantity", choices=("mean_difference", "ks"), default="mean_difference")
    parser.add_argument("--experiment", default="sensitivity")
    parser.add_argument("--statistic", default="max_slope")
    parser.add_argument("--metric", default="l2")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    _check(options)
    from plateaulens.planning import Goal, plans  # noqa: PLC0415  statsmodels takes a second to import
    from plateaulens.store.reading import check_summary, open_summary  # noqa: PLC0415
    from plateaulens.store.verify import blaming_damage  # noqa: PLC0415

    with open_summary(options.summary) as summary, blaming_damage(options.summary):
        check_summary(summary.attrs, options.summary)
        if options.experiment not in summary.children or "step_value" not in summary[options.experiment].data_vars:
            raise UsageError(f"{options.summary} has no experiment {options.experiment!r}: choose one that was run")
        with reading(f"{options.summary}: its settings are damaged, or of another version", "analyse the run again"):
            settings = AnalysisConfig.model_validate_json(str(summary.attrs.get("analysis")))
        rows = plans(
            summary[options.experiment].to_dataset(),
            Goal(options.width, options.power, options.effect),
            statistic=options.statistic,
            metric=options.metric,
            quantity=options.quantity,
            settings=settings,
            margin=settings.margin(options.experiment),
        )
    print(_heading(options, settings.confidence))
    print(_table(rows, options))
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.width is not None and not options.width > 0:
        raise UsageError(f"--width {options.width:g} is no width: give a number above 0")
    if options.power is not None and not 0 < options.power < 1:
        raise UsageError(f"--power {options.power:g} is no power: give a number between 0 and 1")
    if options.effect is not None and (options.power is None or not abs(options.effect) > 0):
        raise UsageError("--effect goes with --power, and is not 0")


def _heading(options: argparse.Namespace, confidence: float) -> str:
    what = "mean difference to real, in steps" if options.quantity == "mean_difference" else "KS distance to real"
    if options.width is not None:
        goal = f"for a {100 * confidence:g} % interval of width {options.width:g}"
    else:
        noise = ", a distance less its noise," if options.quantity == "ks" else ""
        effect = f"the pilot's own effect{noise}" if options.effect is None else f"an effect of {options.effect:g}"
        goal = f"for power {options.power:g} against {effect} at level {1 - confidence:.3g}, adjusted for the types"
    return f"{what} ({options.experiment}, {options.statistic}, {options.metric}): base prompts {goal}"


def _table(rows: "list[Plan]", options: argparse.Namespace) -> str:
    from tabulate import tabulate  # noqa: PLC0415

    columns: dict[str, list[object]] = {
        "type": [row.activation_type for row in rows],
        "pilot pairs": [row.pairs for row in rows],
        "pilot estimate": [row.estimate for row in rows],
        "pilot width": [row.width for row in rows],
    }
    if options.power is not None:
        columns["effect"] = [row.effect for row in rows]
    columns["base prompts"] = [_count(row.prompts) for row in rows]
    if options.power is not None and options.quantity == "ks":
        columns["if equal: equivalent"] = [_count(row.equivalent) for row in rows]
    text = [place for place, head in enumerate(columns) if head in {"type", "base prompts", "if equal: equivalent"}]
    aligned = ("left", *["right"] * (len(columns) - 1))
    return tabulate(columns, "keys", floatfmt=".3g", disable_numparse=text, colalign=aligned)


def _count(prompts: int | None) -> str:
    return "-" if prompts is None else f"{prompts:,}"
