"""Write what ladders have found into a place of docs/ladder.md: `python docs/findings.py PLACE SUMMARY ...`."""

import re
import sys
from pathlib import Path
from textwrap import wrap

import pandas as pd
import xarray as xr

from plateaulens.marks import fill
from plateaulens.names import REFERENCE, metric_label, site_label
from plateaulens.report import ladder, setting, sweep
from plateaulens.report.contents import compared, compared_types, config_of, main_metrics, values_of
from plateaulens.report.table import KS_DIGITS, TYPE, Column, Table, estimated, measured
from plateaulens.report.text import escape, listing, percent
from plateaulens.store.reading import open_present_summary
from plateaulens.store.schema import SWEEP_SUMMARY_KIND

PAGE = Path(__file__).with_name("ladder.md")
CLOSING = "<!-- findings: end -->"
WIDTH = 120
_LINK = re.compile(r" \(@[\w-]+\)")


def opening(place: str) -> str:
    """The mark behind which the findings of a place stand."""
    return f"<!-- findings: {place}, written by `nox -s findings`, not by hand -->"


def findings(sites: list[ladder.Site]) -> str:
    """The sentences of the page of a ladder, and the table of its rungs, as Markdown."""
    makers = [ladder.answer_sentences, ladder.control_sentences, ladder.token_sentences]
    if any("own_token_verdict" in site.ladder for site in sites):
        makers.append(ladder.own_token_sentences)
    said = [_wrapped(_LINK.sub("", make(sites))) for make in makers]
    return "\n\n".join((*said, ladder.rung_table(sites).markdown().strip()))


def depths(summaries: list[xr.DataTree]) -> str:
    """Where types part from real in some sweeps over read sites, which differ in what is held, and how far they are."""
    said = []
    for summary in summaries:
        held = setting.held_sentence(config_of(summary)) or "All parts of the model answer."
        where = [*sweep.depth_sentences(summary).splitlines(), never_sentence(summary)]
        items = ["\n".join(wrap(item, WIDTH, subsequent_indent="  ", break_long_words=False)) for item in where]
        said.append("\n".join((f"{_wrapped(held)}\n", *items)))
    return "\n\n".join((*said, depth_table(summaries).markdown().strip()))


def never_sentence(summary: xr.DataTree) -> str:
    """How many of the curves towards real targets never blow up, at the last read site within the stream."""
    experiment = sweep.experiment_of(summary)
    at = experiment.sel(read=_last(experiment))
    said = []
    for write in values_of(experiment, "write"):
        shares = [
            f"{percent(float(_of_run(values.sel(write=write, activation_type=REFERENCE))['censored_fraction']))} "
            f"on {metric_label(metric)}"
            for metric, values in compared(at, main_metrics(experiment))
        ]
        said.append(f"{listing(shares)} written at {escape(site_label(write))}")
    return f"- Of the curves towards real targets never blow up: {'; '.join(said)}."


def _last(experiment: xr.Dataset) -> str:
    return [site for site in values_of(experiment, "read") if site.startswith("blocks.")][-1]


def _of_run(values: xr.Dataset) -> xr.Dataset:
    """Of a write site's one run: an SAE belongs to one write site, so one of them has numbers here."""
    own = values.squeeze(["model", "seed"])
    return own.isel(sae=int(own["complete"].argmax("sae")))


def depth_table(summaries: list[xr.DataTree]) -> Table:
    """KS distances to real at the last read site within the stream, by what is held."""
    columns: dict[str, Column] = {"site": Column(kind="text"), "type": TYPE}
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for number, summary in enumerate(summaries):
        experiment = sweep.experiment_of(summary)
        at = experiment.sel(read=_last(experiment))
        for metric, values in compared(at, main_metrics(experiment)):
            name = f"ks_{number}_{metric}"
            columns |= estimated(f"{_held(summary)}, {metric_label(metric)}", "ks", KS_DIGITS, name=name)
            for write in values_of(experiment, "write"):
                for kind in compared_types(experiment):
                    own = _of_run(values.sel(write=write, activation_type=kind))
                    row = rows.setdefault((write, kind), {"site": f"written at {site_label(write)}", "type": kind})
                    row |= measured(own, "ks", name)
    return Table(pd.DataFrame(list(rows.values())), columns, grouped_by="site")


def _held(summary: xr.DataTree) -> str:
    frozen = config_of(summary).sites.frozen
    short = [name.removeprefix("blocks.").replace("hook_", "") for name in frozen]
    return f"{', '.join(short)} held" if short else "nothing held"


def _wrapped(text: str) -> str:
    return "\n\n".join("\n".join(wrap(paragraph, WIDTH, break_long_words=False)) for paragraph in text.split("\n\n"))


if __name__ == "__main__":
    place, *summaries = sys.argv[1:]
    opened = [open_present_summary(summary) for summary in summaries]
    of_sweeps = all(each.attrs["kind"] == SWEEP_SUMMARY_KIND for each in opened)
    found = depths(opened) if of_sweeps else findings(ladder.open_sites(*summaries))
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), opening(place), CLOSING, found), encoding="utf-8")
