"""`plateaulens compare-reference`: a run's numbers beside the authors'."""

import argparse
from typing import TYPE_CHECKING

from plateaulens.cli.options import local_path
from plateaulens.config import AnalysisConfig, RunConfig
from plateaulens.errors import LONGEST_MESSAGE, reading, shortened
from plateaulens.names import STATISTICS

if TYPE_CHECKING:
    from plateaulens.cli.options import Commands
    from plateaulens.replication.comparison import Comparison


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "compare-reference", help="set a run's statistics beside the authors' published ones, with sampling error"
    )
    parser.add_argument("run", help="a run or the summary of one, a path or a URL")
    parser.add_argument("--out", type=local_path, help="a CSV file for the table, with sources and notes")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    import pandas as pd  # noqa: PLC0415  takes a second to import, as zarr does

    from plateaulens.replication.comparison import Comparison, compare_reference  # noqa: PLC0415
    from plateaulens.store.reading import check_summary, open_run, open_summary, root_attributes  # noqa: PLC0415
    from plateaulens.store.schema import SUMMARY_KIND  # noqa: PLC0415
    from plateaulens.store.verify import blaming_damage  # noqa: PLC0415

    attributes = root_attributes(options.run)
    is_summary = attributes.get("kind") == SUMMARY_KIND
    if is_summary:
        check_summary(attributes, options.run)
    with (open_summary if is_summary else open_run)(options.run) as tree, blaming_damage(options.run):
        with reading(f"{options.run}: its configuration is damaged, or of another version", "see `plateaulens verify`"):
            config = RunConfig.model_validate_json(str(attributes.get("config")))
            analysis = str(attributes.get("analysis"))
            settings = AnalysisConfig.model_validate_json(analysis) if is_summary else config.analysis
        rows = compare_reference(tree, settings)
    print(_heading(config, rows, settings))
    print()
    print(_table(rows))
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows, columns=list(Comparison._fields)).to_csv(options.out, index=False)
        print(f"finished: {options.out}")
    return 0


def _heading(config: RunConfig, rows: "list[Comparison]", settings: AnalysisConfig) -> str:
    from plateaulens.replication.comparison import ASSUMED_SAMPLES, is_replication  # noqa: PLC0415
    from plateaulens.steps.authors import POINTS  # noqa: PLC0415

    if is_replication(config):
        title = f"REPLICATION CHECK: run {config.name} has the authors' model, SAE and sites."
    else:
        held = f", with {', '.join(config.sites.frozen)} held" if config.sites.frozen else ""
        texts = (config.model.source, config.sites.write, f"{config.sites.read}{held}")
        source, write, read = (shortened(each, LONGEST_MESSAGE) for each in texts)
        title = (
            f"CONTEXT: run {config.name} is of {source}, written at {write} and read at {read}; the authors' numbers "
            "are for GPT-2 small, so agreement is not expected."
        )
    inside, expected = sum(row.inside for row in rows), settings.confidence * len(rows)
    scales = {row.experiment: row.scale for row in rows if row.statistic in STATISTICS}
    grid = ", ".join(f"{name} {scale:.4g}" for name, scale in scales.items())
    counted = f"Steps are counted on the authors' grid of {POINTS} points: the run's are multiplied by {grid}.\n"
    return (
        f"{title}\n{inside} of {len(rows)} numbers lie inside the {settings.confidence:.0%} sampling interval of the "
        f"difference; {expected:.0f} would if both were samples of one distribution. The rows are not independent.\n"
        f"{counted if scales else ''}"
        f"Columns lower and upper: where authors - here lies by sampling alone. n*: not printed, {ASSUMED_SAMPLES} "
        "assumed."
    )


def _table(rows: "list[Comparison]") -> str:
    from tabulate import tabulate  # noqa: PLC0415

    shown = [
        {
            "measured": " ".join(part for part in (row.experiment, row.statistic, row.metric) if part),
            "type": row.activation_type,
            "of it": row.quantity,
            "authors": row.authors,
            "here": row.here,
            "difference": row.authors - row.here,
            "lower": row.lower,
            "upper": row.upper,
            "inside": "yes" if row.inside else "no",
            "n": f"{row.n_authors}{'*' if row.n_is_assumed else ''} / {row.n_here}",
            "source": row.source,
        }
        for row in rows
    ]
    return (
        tabulate(shown, headers="keys", floatfmt=".4g") if rows else "The run has measured nothing that they printed."
    )
