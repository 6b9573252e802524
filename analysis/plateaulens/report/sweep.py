"""What the page of a sweep says and tabulates, all of it from the sweep's summary."""

import json
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.names import label, metric_label, site_label
from plateaulens.report import setting
from plateaulens.report.contents import (
    compared,
    compared_types,
    config_of,
    controls_of,
    main_metrics,
    settings_of,
    synthetic_types,
    types_of,
    values_of,
    word_of,
)
from plateaulens.report.phrases import Subject, alpha_of, capital, margin_of, noun_of, subject
from plateaulens.report.table import KS_DIGITS, TYPE, Column, Row, Table, estimated, measured
from plateaulens.report.text import escape, listing, number
from plateaulens.store.manifest import AXES
from plateaulens.summary.sweep import NOWHERE

_FIXED = ("model", "sae", "seed")
_SITES = {"write": "write site", "read": "read site", "sae": "SAE"}
_COUNTED = ("map_cells", "map_differing", "map_equivalent", "differs_at", "equivalent_at")
_SHOWN = (
    (("differs from real", "differ from real", "differ from real"), "differs_at", "map_differing"),
    (("is equivalent to real", "are equivalent to real", "be equivalent to real"), "equivalent_at", "map_equivalent"),
)
"""What a map says of types: in the singular, the plural and the infinitive, by which word and which count."""
_OWN_SAE = "each write site's own"
"""What stands for the SAE of a map that the SAEs of all write sites share."""


def experiment_of(summary: xr.DataTree) -> xr.Dataset:
    """The experiment that the page is about.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    xarray.Dataset
        The group of the preset's first experiment.
    """
    return summary[config_of(summary).experiments[0]].to_dataset()


def maps(experiment: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """What is drawn as a map each: every model, SAE and seed for which there is a run.

    SAEs that belong to one write site each share a map.

    Parameters
    ----------
    experiment
        Of a sweep's summary.

    Yields
    ------
    tuple
        A title, and the experiment with no other dimension of the sweep than `write` and `read`.
    """
    whole = experiment[["ks", "ks_interval", "complete", *_COUNTED]]
    if "sae" in whole["map_cells"].attrs["over"].split():
        # of the SAEs of a site there is one with a run, and its value; what is counted is the same for all
        ks = whole[["ks", "ks_interval"]].max("sae", skipna=True, keep_attrs=True)
        counted = whole[list(_COUNTED)].isel(sae=0, drop=True)
        whole = ks.assign(counted).assign(complete=whole["complete"].any("sae")).expand_dims(sae=[_OWN_SAE])
    for place in np.ndindex(*(whole.sizes[axis] for axis in _FIXED)):
        chosen = whole.isel(dict(zip(_FIXED, place, strict=True)))
        if chosen["complete"].any():
            varied = [axis for axis in _FIXED if whole.sizes[axis] > 1]
            yield listing([f"{axis} {chosen[axis].item()}" for axis in varied]) if varied else "", chosen


def map_caption(title: str, count: int) -> str:
    """Which of the sweep's maps is shown.

    Parameters
    ----------
    title
        Of `maps`.
    count
        How many maps there are.

    Returns
    -------
    str
        Markdown.
    """
    if count == 1:
        return "It is the only map of the sweep."
    return f"Shown is {escape(title)}, the first of {count}. The summary has all."


def map_sentences(layers: xr.Dataset) -> str:
    """At how many cells of a map types differ from real, and at how many they are equivalent to it.

    Parameters
    ----------
    layers
        One of the `maps`.

    Returns
    -------
    str
        Markdown, sentences of at most 30 words on the first main metric, without the controls.
    """
    held, noun = synthetic_types(layers), noun_of(layers)
    for metric, values in compared(layers[["ks", "ks_interval", *_COUNTED]], main_metrics(layers)[:1]):
        untested = [name for name in held if not word_of(values, "differs_at", name)]
        if len(untested) != len(held):
            said = [
                sentence
                for verbs, word, count in _SHOWN
                for sentence in _at_cells(values, held, noun, verbs=verbs, word=word, count=count)
            ]
            if untested:
                who = subject(untested, held, noun)
                said.append(f"{who.text} {who.agrees('is', 'are')} untested at every cell of the map.")
            return " ".join([f"On {metric_label(metric)}, {said[0]}", *map(capital, said[1:])])
    return f"No cell of the map has a test of a {noun} against real."


def _at_cells(
    values: xr.Dataset, held: list[str], noun: str, *, verbs: tuple[str, str, str], word: str, count: str
) -> Iterator[str]:
    """Sentences without a capital: which types do so at all cells of a map with a test, at some and at none."""
    words = {name: word_of(values, word, name) for name in held}
    kinds: dict[tuple[str, int], list[str]] = {}
    for name in held:
        if words[name]:
            kinds.setdefault((words[name], int(values["map_cells"].sel(activation_type=name))), []).append(name)
    one, several, shown = verbs
    for (how, cells), own in sorted(kinds.items(), key=lambda kind: ("all", "some", "none").index(kind[0][0])):
        who = subject(own, held, noun)
        if who.text.startswith(f"every {noun} but") and {words[name] for name in held if name not in own} & {how, ""}:
            # the one left out does so as well, of other cells, or has no test: it is no exception
            who = Subject(f"{len(own)} of {len(held)} {noun}s", is_plural=True)
        if how == "none":
            every, _, rest = who.text.partition("every ")
            nobody = f"no {rest} is" if rest and not every else f"{who.text} {who.agrees('is not', 'are not')}"
            at = f"any of {cells} tested cells" if cells != 1 else "the only tested cell"
            yield f"{nobody} shown to {shown} at {at} of the map."
            continue
        if how == "all":
            at = {1: "the only tested cell", 2: "both tested cells"}.get(cells, f"all {cells} tested cells")
        else:
            counts = {name: int(values[count].sel(activation_type=name)) for name in own}
            least, *_, most = sorted([*own, own[0]], key=counts.__getitem__)
            at = f"{counts[least]} of {cells} tested cells"
            if counts[least] != counts[most]:
                at = f"{counts[least]} ({label(least)}) to {counts[most]} ({label(most)}) of {cells} tested cells"
        yield f"{who.text} {who.agrees(one, several)} at {at} of the map."


def varied_sentences(summary: xr.DataTree) -> str:
    """What was varied, what was kept, and how much of it is there.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        Markdown.
    """
    config, experiment = config_of(summary), experiment_of(summary)
    cells = json.loads(summary.attrs["cells"])
    done = sum(cell["state"] == "complete" for cell in cells)
    varied = [f"{experiment.sizes[axis]} {_SITES.get(axis, axis)}s" for axis in AXES if experiment.sizes[axis] > 1]
    settings = config.experiment(config.experiments[0])
    what = listing(varied) if varied else "nothing"
    held = setting.held_sentence(config)
    return (
        f"The sweep {escape(config.name)} varies {what}. {capital(completed(done, len(cells)))} "
        f"Each has {number(settings.samples, 0)} base prompts of {config.prompts.length} tokens, the same at every "
        f"site. Paths have {settings.steps} points ({names.experiment(config.experiments[0]).title}). "
        f"{models(experiment)}{f' {held}' if held else ''}"
    )


def completed(done: int, runs: int) -> str:
    """How many runs of a sweep are complete.

    Parameters
    ----------
    done
        Those that are.
    runs
        All of its.

    Returns
    -------
    str
        A sentence without a capital.

    Examples
    --------
    >>> completed(5, 5), completed(1, 6), completed(1, 1)
    ('all 5 of its runs are complete.', '1 of its 6 runs is complete.', 'its only run is complete.')
    """
    if done == runs:
        return {1: "its only run is complete.", 2: "both of its runs are complete."}.get(
            runs, f"all {runs} of its runs are complete."
        )
    return f"{done} of its {runs} runs {'is' if done == 1 else 'are'} complete."


def models(group: xr.Dataset) -> str:
    """Which models a sweep has.

    Parameters
    ----------
    group
        Of its summary.

    Returns
    -------
    str
        Markdown, a sentence.
    """
    found = [escape(name) for name in values_of(group, "model")]
    return f"{'Model' if len(found) == 1 else 'Models'}: {listing(found)}."


def noise_sentence(summary: xr.DataTree) -> str:
    """How far draws of real targets lie apart over the sweep, and how often a test tells them apart, a false alarm.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        Markdown.
    """
    experiment = experiment_of(summary)
    draws = controls_of(experiment)
    if not draws:
        return "The sweep has no second draw of real targets, so its noise floor is not known."
    found = [values.sel(activation_type=draws) for _, values in compared(experiment)]
    least = min(float(values["ks"].min()) for values in found)
    most = max(float(values["ks"].max()) for values in found)
    tests = [values["exceeds_chance"].max("activation_type") for values in found]
    count, alarms = sum(int(test.count()) for test in tests), sum(np.count_nonzero(test == 1) for test in tests)
    alpha = float(experiment["verdict"].attrs["alpha"])
    return (
        f"Independent draws of real targets ({listing([label(name) for name in draws])}) lie KS "
        f"{number(least, KS_DIGITS)} to {number(most, KS_DIGITS)} from the first. Of {count} tests, one for each run "
        f"and metric, {alarms or 'none'} {'rejects' if alarms == 1 else 'reject'} that they are equally distributed. "
        f"{number(count * alpha, 1)} false alarms are expected, as the draws are exchangeable by construction. A type "
        f"differs from real where its own test says so (@tbl-summary). It is nearer to real than another one where "
        f"the test of the pair says so (@tbl-nearer). The distance of two draws is a yardstick of neither. Whether two "
        f"sites differ is not tested here."
    )


def summary_table(summary: xr.DataTree) -> Table:
    """Per type the range of KS over the sweep, and in how many runs it is found to differ, or to be equivalent.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    Table
        A row per type.
    """
    experiment = experiment_of(summary)
    columns = {"type": TYPE}
    found: dict[str, Row] = {name: {"type": name} for name in compared_types(experiment)}
    for metric, values in compared(experiment):
        title, ks, runs = metric_label(metric), f"ks_{metric}", f"runs_{metric}"
        columns[f"{ks}_least"] = Column(f"KS on {title}", "number", KS_DIGITS, also=f"{ks}_most", pattern="{} to {}")
        for what in ("differs", "equivalent"):
            columns[f"{what}_{metric}"] = Column(f"{what} on {title}", "text", also=runs, pattern="{} of {}")
        for name, row in found.items():
            own = values.sel(activation_type=name)
            row.update(
                {
                    f"{ks}_least": float(own["ks"].min()),
                    f"{ks}_most": float(own["ks"].max()),
                    f"differs_{metric}": np.count_nonzero(own["exceeds_chance"] == 1),
                    f"equivalent_{metric}": np.count_nonzero(own["verdict"] == "equivalent"),
                    runs: int(own["exceeds_chance"].count()),
                }
            )
    return Table(pd.DataFrame(list(found.values())), columns)


def summary_table_caption(summary: xr.DataTree) -> str:
    """For `summary_table`.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        Markdown.
    """
    experiment = experiment_of(summary)
    return (
        f"The whole sweep: range of KS over all runs, and in how many of them a type *differs* from real or is "
        f"*equivalent* to it. It *differs* by the swap test at a level of {alpha_of(experiment)}, and is *equivalent* "
        f"within a KS distance of {margin_of(experiment)}. A type can be both. Tests are adjusted for the types of a "
        f"run, not for the number of runs. What a further draw of real targets shows is chance."
    )


def nearness_table(summary: xr.DataTree) -> Table:
    """Of every pair of types, in how many runs the one is nearer to real and in how many the other.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    Table
        A row per pair.
    """
    experiment = experiment_of(summary)
    columns = {"type": Column("pair", "type", also="other_type")}
    pairs = list(combinations(synthetic_types(experiment), 2))
    found: list[Row] = [{"type": first, "other_type": second} for first, second in pairs]
    for metric, values in compared(experiment):
        runs = f"runs_{metric}"
        for what, words in (("nearer", "first nearer"), ("farther", "second nearer")):
            columns[f"{what}_{metric}"] = Column(
                f"{words} on {metric_label(metric)}", "text", also=runs, pattern="{} of {}"
            )
        for row, (first, second) in zip(found, pairs, strict=True):
            own = values["nearness"].sel(activation_type=first, other_type=second)
            row.update({f"{word}_{metric}": np.count_nonzero(own == word) for word in ("nearer", "farther")})
            row[runs] = sum(np.count_nonzero(own == word) for word in ("nearer", "farther", "undecided"))
    return Table(pd.DataFrame(found), columns)


def output_table(layers: xr.Dataset) -> Table:
    """KS by write site and type, with its interval, on the output, which depends on no read site.

    Parameters
    ----------
    layers
        One of the `maps`.

    Returns
    -------
    Table
        A row per write site, and a column per type.
    """
    columns = {"write": Column("write")}
    for name in compared_types(layers):
        columns |= estimated(label(name), "ks", KS_DIGITS, name=name)
    rows = []
    outputs = [metric for metric in main_metrics(layers) if names.metric(metric).place == "output"]
    for _, values in compared(layers[["ks", "ks_interval"]], outputs[:1]):
        # the runs of a write site differ in where they were read, and have the same output
        at_sites = values.max("read")
        for site in values_of(values, "write"):
            row: Row = {"site": site, "write": site_label(site)}
            for name in compared_types(values):
                row |= measured(at_sites.sel(write=site, activation_type=name), "ks", name)
            rows.append(row)
    return Table(pd.DataFrame(rows), columns)


def depth_sentences(summary: xr.DataTree) -> str:
    """From which read site on types are told from real, for every write site that is read at two sites or more.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        A Markdown list with an item for each write site (of a model, an SAE, a seed); a sentence where there is none.
    """
    experiment = experiment_of(summary)
    metrics = [metric for metric in main_metrics(experiment) if names.metric(metric).place != "output"]
    fixed = [axis for axis in _FIXED if experiment.sizes[axis] > 1]
    sites = values_of(experiment, "read")
    found = []
    for metric, values in compared(experiment, metrics[:1]):
        told = values["told_from"].sel(activation_type=compared_types(experiment))
        for place in np.ndindex(*(told.sizes[axis] for axis in (*_FIXED, "write"))):
            own = told.isel(dict(zip((*_FIXED, "write"), place, strict=True)))
            if (own != "").any():
                of = [f"{axis} {escape(str(own[axis].item()))}" for axis in fixed]
                where = ", ".join([f"written at {escape(site_label(str(own['write'].item())))}", *of])
                found.append(f"- On {metric_label(metric)}, {where}: {_parting(own, sites)}")
    return "\n".join(found) or "No write site is read at two sites, so it is not asked where types part from real."


def _parting(told: xr.DataArray, sites: Sequence[str]) -> str:
    """Which types are told from real from which read site on, in sentences of which the first follows a colon."""
    held = list(map(str, told["activation_type"].to_numpy()))
    at: dict[str, list[str]] = {}
    for name in held:
        at.setdefault(str(told.sel(activation_type=name).item()), []).append(name)
    said = [(site, f"told from real from {escape(site_label(site))} on") for site in sites]
    said.append((NOWHERE, "not told from real at the last site"))
    parts: list[str] = []
    for site, words in said:
        if site in at:
            who = subject(at[site], held)
            clause = f"{who.text} {who.agrees('is', 'are')} {words}."
            if site == NOWHERE and len(at[site]) > 1:
                clause = f"no {'other ' if parts else ''}type is told from real at the last site."
            parts.append(capital(clause) if parts else clause)
    return " ".join(parts)


def definition_table(summary: xr.DataTree) -> Table:
    """How every activation type of the sweep makes its targets.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    Table
        A row per type, with a dash for one that the sweep has no words for.
    """
    return setting.definition_table(summary, types_of(experiment_of(summary)))


def resampling(summary: xr.DataTree) -> str:
    """How often was resampled, at which confidence.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    str
        A phrase.
    """
    return setting.resampling(settings_of(summary))


def provenance_table(summary: xr.DataTree) -> Table:
    """Every run of the sweep: its state, and the commit that collected it.

    Parameters
    ----------
    summary
        A sweep's.

    Returns
    -------
    Table
        A row per run.
    """
    rows = [
        {"run": cell["name"], "state": cell["state"], "commit": str(cell.get("commit", ""))[:12]}
        for cell in json.loads(summary.attrs["cells"])
    ]
    columns = {"run": Column("run", "text"), "state": Column("state", "text"), "commit": Column("commit", "text")}
    return Table(pd.DataFrame(rows), columns)
