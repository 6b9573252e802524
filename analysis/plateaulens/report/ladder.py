"""What the page of the ladder says and tabulates: which structure makes an activation real, at one site or several."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from plateaulens import names
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.names import DETECTORS, RUNG_KINDS, label, metric_label, site_label
from plateaulens.report import setting
from plateaulens.report.contents import bounds, check, config_of, definitions_of, group_of, values_of
from plateaulens.report.phrases import capital, confidence_of
from plateaulens.report.table import KS_DIGITS, Column, Row, Table, estimated, measured
from plateaulens.report.text import escape, estimate, interval, listing, number, p_equals, percent
from plateaulens.store.location import Location
from plateaulens.store.reading import open_summary

_GROUP = "ladder"
_RELATIVE, _ABSOLUTE = "sensitivity", "sensitivity_absolute"
_LONGER, _SHORTER = "longer", "shorter"
_REACHED, _NOT_REACHED = "reached", "not reached"
_SHARE_DIGITS = 2


@dataclass(frozen=True, eq=False)
class Site:
    """The ladder of one run, and what it was read from."""

    title: str
    """The write site, as texts print it; with the model or the seed where another of the page's has it, too."""
    summary: xr.DataTree
    ladder: xr.Dataset

    @property
    def said(self) -> str:
        """The title in Markdown."""
        return escape(self.title)


def open_sites(*summaries: Location) -> list[Site]:
    """The ladders of some runs.

    Parameters
    ----------
    *summaries
        Paths or URLs of summaries; empty ones are left out.

    Returns
    -------
    list of Site
        In the order given.

    Raises
    ------
    UsageError
        For a summary of another version or without a ladder, and for two of the same model, write site and seed.
    """
    opened: list[tuple[Location, xr.DataTree, xr.Dataset]] = []
    for place in summaries:
        if not place:
            continue
        summary = check(open_summary(place), place)
        group = group_of(summary, _GROUP)
        if group is None:
            raise UsageError(
                f"summary {place} has no ladder: collect a run with fitted types in relative steps, see docs/ladder.md"
            )
        opened.append((place, summary, group))
    titles = _titles([config_of(summary) for _, summary, _ in opened])
    repeated = _repeated(titles)
    for (place, _, _), title in zip(opened, titles, strict=True):
        if title in repeated:
            raise UsageError(f"another summary has the model, the write site and the seed of {place}: leave one out")
    return [Site(title, summary, group) for (_, summary, group), title in zip(opened, titles, strict=True)]


def _titles(configs: Sequence[RunConfig]) -> list[str]:
    """The write site of each, and what is held; where several have it, the first of model and seed that differs."""
    sites = [site_label(config.sites.write) for config in configs]
    titles = [f"block {site}" if site.isdigit() else site for site in sites]
    if len({config.sites.frozen for config in configs}) > 1:
        held = [", ".join(config.sites.frozen) for config in configs]
        titles = [f"{title}, {own} held" if own else title for title, own in zip(titles, held, strict=True)]
    if len({config.model.source for config in configs}) > 1:
        repeated = _repeated(titles)
        titles = [
            f"{title} of {config.model.source}" if title in repeated else title
            for title, config in zip(titles, configs, strict=True)
        ]
    repeated = _repeated(titles)
    return [
        f"{title}, seed {config.seed}" if title in repeated else title
        for title, config in zip(titles, configs, strict=True)
    ]


def _repeated(titles: Sequence[str]) -> Counter[str]:
    """Those that stand there more than once."""
    return Counter(titles) - Counter({*titles})


def ladders(sites: list[Site]) -> dict[str, xr.Dataset]:
    """What the figure draws, by title of the site.

    Parameters
    ----------
    sites
        The ladders.

    Returns
    -------
    dict
        In the order of the sites.
    """
    return {site.title: site.ladder for site in sites}


def answer_sentences(sites: list[Site]) -> str:
    """Which rungs are as good as real at each site, and with each seed; else which comes closest, and what it lacks.

    Parameters
    ----------
    sites
        The ladders.

    Returns
    -------
    str
        Markdown, a paragraph for each site, and one where runs of one site differ in the seed alone.
    """
    said = [f"**At {site.said}.** {_answer(site)} {_gain_sentence(site)}" for site in sites]
    return "\n\n".join((*said, *filter(None, [_agreement_sentences(sites)])))


def _answer(site: Site) -> str:
    ladder = site.ladder
    closest, asked = ladder.attrs["closest"], ladder["standing"].attrs
    if not closest:
        return "This run has no type that is a rung of the ladder."
    words = _standings(site)
    if reached := [name for name, word in words.items() if word == _REACHED]:
        behave = "behaves" if len(reached) == 1 else "behave"
        it, has = ("It is", "it has") if len(reached) == 1 else ("They are", "they have")
        found = {name: str(ladder["best_detector"].sel(rung=name).item()) for name in reached}
        told = [label(name) for name, detector in found.items() if detector in DETECTORS]
        seen = f" Detectors that see the targets themselves still tell {listing(told)} from real." if told else ""
        return (
            f"{capital(listing([label(name) for name in reached]))} {behave} like real in all that is asked "
            f"({_prompts(ladder)}). {it} equivalent to real in relative and absolute "
            f"steps on every metric, and {has} plateaus at least {percent(asked['least_plateau'])} as long. Targets "
            f"are new: novelty is {number(asked['novel'], 0)} or more, none is a copy, and none has parts of the real "
            f"target.{seen}"
        )
    own = ladder.sel(rung=closest)
    lacks = str(own["lacks"].item())
    who = f"Of those with new targets {label(closest)}" if bool(own["is_new"]) else capital(label(closest))
    said = f"No type is shown to be as good as real. {who} comes closest"
    said += f" (KS {number(float(own['worst_ks']), KS_DIGITS)} on its worst metric, in relative steps)."
    if lacks:
        said += f" {_lacking('It', lacks)}"
    if lacks or words[closest] == _NOT_REACHED:
        return said
    return f"{said} Not everything that is asked of it was measured."


def _prompts(ladder: xr.Dataset) -> str:
    """How many base prompts there are, by kind of steps where they differ."""
    counted = ladder.attrs["prompts"]
    if len(set(counted.values())) == 1:
        return f"n\u00a0=\u00a0{number(next(iter(counted.values())), 0)}"
    kinds = {_RELATIVE: "relative", _ABSOLUTE: "absolute"}
    each = [f"n\u00a0=\u00a0{number(n, 0)} in {kinds[name]}" for name, n in counted.items()]
    return f"{listing(each)} steps"


def _agreement_sentences(sites: list[Site]) -> str:
    """Which types behave like real with every seed of a model and site; empty where no ladders differ in it alone."""
    groups: dict[tuple[str, str, tuple[str, ...], str], list[Site]] = {}
    for site in sites:
        config = config_of(site.summary)
        sae = "" if config.sae is None else config.sae.source
        groups.setdefault((config.model.source, config.sites.write, config.sites.frozen, sae), []).append(site)
    return " ".join(_agreement(own) for own in groups.values() if len(own) > 1)


def _agreement(sites: list[Site]) -> str:
    """Of one model and site: who reaches real with all seeds, and who with some only."""
    reached = [{name for name, word in _standings(site).items() if word == _REACHED} for site in sites]
    always = [label(name) for name in values_of(sites[0].ladder, "rung") if name in set.intersection(*reached)]
    seeds = [str(config_of(site.summary).seed) for site in sites]
    title = capital(escape(sites[0].title.partition(", seed")[0]))
    behave = "behaves" if len(always) < 2 else "behave"
    who = listing(always) if always else "no type"
    said = [f"{title}: {who} {behave} like real in all that is asked with each of the seeds {listing(seeds)}."]
    for site, own, seed in zip(sites, reached, seeds, strict=True):
        elsewhere = set.union(*reached) - own
        for name in [name for name in values_of(site.ladder, "rung") if name in elsewhere]:
            lacks = str(site.ladder["lacks"].sel(rung=name).item()) or "everything that is asked of it measured"
            said.append(_lacking(f"With seed {seed} {label(name)}", lacks))
    return " ".join(said)


def _lacking(who: str, lacks: str) -> str:
    """What a rung lacks: what its steps lack in one sentence, everything else in another."""
    parts = lacks.split("; ")
    of_steps = [part for part in parts if part.startswith("equivalence")]
    others = [part for part in parts if part not in of_steps]
    said = f"{who} is not shown to have {listing(of_steps or others)}."
    return f"{said} Nor is it shown to have {listing(others)}." if of_steps and others else said


def _standings(site: Site) -> dict[str, str]:
    return dict(zip(values_of(site.ladder, "rung"), map(str, site.ladder["standing"].to_numpy()), strict=True))


def _gain_sentence(site: Site) -> str:
    """Which property brings a rung nearest to real, of those whose gain is shown on every metric, and if it is most."""
    ladder, best = site.ladder, site.ladder.attrs["best_gain"]
    if not best:
        return "No single property is shown to bring a type nearer to real on every metric."
    own, metric = ladder.sel(rung=best), ladder.attrs["best_gain_metric"]
    at = own.sel(metric=metric)
    gain = estimate(float(at["gain"]), bounds(at["gain_interval"]).tolist(), KS_DIGITS)
    most = "closes more of the gap than any other"
    if not ladder.attrs["best_gain_is_most"]:
        most = "has the largest gain here, which is not shown to exceed every other"
    return (
        f"Of single properties, *{own['adds'].item()}* {most}. It brings {label(best)} nearer to real "
        f"than {label(str(own['above'].item()))} by {gain} in KS on {metric_label(metric)}, where it gains least "
        f"({p_equals(float(at['gain_p_holm']))}, adjusted)."
    )


def control_sentences(sites: list[Site]) -> str:
    """Whether further draws of real targets pass, beside which every verdict stands.

    Parameters
    ----------
    sites
        The ladders.

    Returns
    -------
    str
        Markdown.
    """
    said = []
    for site in sites:
        held = site.ladder.isel(rung=site.ladder["is_control"].to_numpy())
        if not held.sizes["rung"]:
            said.append(f"{capital(site.said)}: no further draw of real targets stands beside the verdicts.")
            continue
        words = [str(word) for word in held["conclusion"].to_numpy().ravel()]
        alarms = words.count("false alarm")
        draws = held.sizes["rung"]
        who = "The further draw of real targets" if draws == 1 else f"All {draws} further draws of real targets"
        verb = "passes" if draws == 1 else "pass"
        undecided = words.count("undecided")
        if alarms:
            are = "is a false alarm" if alarms == 1 else "are false alarms"
            said.append(
                f"{capital(site.said)}: {alarms} of {len(words)} comparisons of further real draws {are}, as chance "
                "gives about one in twenty."
            )
        elif not undecided:
            said.append(f"{capital(site.said)}: {who.lower()} {verb} everywhere.")
        if undecided:
            said.append(
                f"{capital(site.said)}: {undecided} of {len(words)} comparisons of further real draws are undecided. "
                "With these prompts equivalence is not shown there even of real targets, nor of a type as good as they."
            )
    return " ".join(said)


def rung_table(sites: list[Site]) -> Table:
    """Every rung of every site: distance, verdict, plateau, novelty and detector.

    Parameters
    ----------
    sites
        The ladders.

    Returns
    -------
    Table
        Grouped by site, from the top of the ladder downwards.
    """
    metrics = _metrics(sites)
    columns: dict[str, Column] = {"site": Column(kind="text"), "rung": Column("rung", "type")}
    for metric in metrics:
        columns |= estimated(f"KS, {metric_label(metric)}", "ks", KS_DIGITS, name=f"ks_{metric}")
    columns |= {"verdict": Column("relative", "text"), "absolute": Column("absolute", "text")}
    columns |= estimated("plateau", "plateau_share", _SHARE_DIGITS)
    columns |= estimated("novelty", "novelty", 1)
    columns |= {"copies": Column("copies", "percent"), "detector": Column("given away by", "text")}
    rows = [row for site in sites for row in _rung_rows(site, metrics)]
    return Table(pd.DataFrame(rows), columns, grouped_by="site")


def _metrics(sites: list[Site]) -> list[str]:
    """Those of all sites, each once."""
    return list(dict.fromkeys(name for site in sites for name in values_of(site.ladder, "metric")))


def _rung_rows(site: Site, metrics: list[str]) -> Iterator[Row]:
    for name in reversed(values_of(site.ladder, "rung")):
        own = site.ladder.sel(rung=name)
        row: Row = {"site": site.title, "rung": name}
        for metric in metrics:
            at = own.sel(metric=metric, experiment=_RELATIVE)
            row |= measured(at, "ks", f"ks_{metric}")
        row |= measured(own, "plateau_share") | measured(own, "novelty")
        row |= {"copies": float(own["copies"]), "detector": _detector(str(own["best_detector"].item()))}
        experiments = values_of(site.ladder, "experiment")
        row["verdict"] = _together(own.sel(experiment=_RELATIVE))
        row["absolute"] = _together(own.sel(experiment=_ABSOLUTE)) if _ABSOLUTE in experiments else ""
        yield row


def _detector(word: str) -> str:
    return DETECTORS[word].label if word in DETECTORS else word


def _together(own: xr.Dataset) -> str:
    """The verdicts on all metrics: one word where they agree, else one for each."""
    words = {str(name): str(own["conclusion"].sel(metric=name).item()) for name in own["metric"].to_numpy()}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    by: dict[str, list[str]] = {}
    for metric, word in words.items():
        by.setdefault(word, []).append(metric_label(metric))
    return "; ".join(f"{word} on {listing(own)}" for word, own in by.items())


def gain_table(sites: list[Site]) -> Table:
    """What each property adds: how much nearer a rung is than the one that it stands on.

    Parameters
    ----------
    sites
        The ladders.

    Returns
    -------
    Table
        Grouped by site.
    """
    metrics = _metrics(sites)
    columns: dict[str, Column] = {"site": Column(kind="text"), "adds": Column("property", "text")}
    columns |= {"above": Column("from", "type"), "rung": Column("to", "type")}
    for metric in metrics:
        columns |= estimated(f"gain, {metric_label(metric)}", "gain", KS_DIGITS, name=f"gain_{metric}")
        columns[f"p_{metric}"] = Column("p", "p")
    rows: list[Row] = []
    for site in sites:
        for name in values_of(site.ladder, "rung"):
            own = site.ladder.sel(rung=name)
            if not str(own["above"].item()):
                continue
            row: Row = {"site": site.title, "adds": str(own["adds"].item()), "rung": name}
            row["above"] = str(own["above"].item())
            for metric in metrics:
                at = own.sel(metric=metric)
                row |= measured(at, "gain", f"gain_{metric}") | {f"p_{metric}": float(at["gain_p_holm"])}
            rows.append(row)
    return Table(pd.DataFrame(rows), columns, grouped_by="site")


def matched_table(sites: list[Site]) -> Table:
    """Rungs whose norm and distances were matched to real's, beside the same rungs unmatched.

    Parameters
    ----------
    sites
        The ladders.

    Returns
    -------
    Table
        Grouped by site; without rows where no run has such variants.
    """
    metrics = _metrics(sites)
    columns: dict[str, Column] = {"site": Column(kind="text"), "rung": Column("rung", "type")}
    for metric in metrics:
        columns |= estimated(metric_label(metric), "ks", KS_DIGITS, name=f"plain_{metric}")
        columns |= estimated(f"{metric_label(metric)}, matched", "ks", KS_DIGITS, name=f"matched_{metric}")
    rows: list[Row] = []
    for site in sites:
        for name in values_of(site.ladder, "rung"):
            own = site.ladder.sel(rung=name)
            if not own["matched_ks"].notnull().any():
                continue
            row: Row = {"site": site.title, "rung": name}
            for metric in values_of(site.ladder, "metric"):
                at = own.sel(metric=metric)
                row |= measured(at.sel(experiment=_RELATIVE), "ks", f"plain_{metric}")
                row |= measured(at, "matched_ks", f"matched_{metric}")
            rows.append(row)
    return Table(pd.DataFrame(rows), columns, grouped_by="site")


def own_token_table(sites: list[Site]) -> Table:
    """Plateaus of rungs that are drawn for any token, and for the prompt's own.

    Parameters
    ----------
    sites
        The ladders.

    Returns
    -------
    Table
        Grouped by site; without rows where no run has such variants.
    """
    columns: dict[str, Column] = {"site": Column(kind="text"), "rung": Column("rung", "type")}
    columns |= estimated("any token", "plateau_share", _SHARE_DIGITS)
    columns |= estimated("own token", "own_token_share", _SHARE_DIGITS)
    columns |= estimated("longer by", "own_token_gain", _SHARE_DIGITS)
    columns |= {"p": Column("p", "p"), "kept": Column("kept", "percent")}
    rows: list[Row] = []
    for site, own in _with_own_token(sites):
        row: Row = {"site": site.title, "rung": str(own["rung"].item())}
        for name in ("plateau_share", "own_token_share", "own_token_gain"):
            row |= measured(own, name)
        rows.append(row | {"p": float(own["own_token_gain_p_holm"]), "kept": float(own["own_token_kept"])})
    return Table(pd.DataFrame(rows), columns, grouped_by="site")


def own_token_sentences(sites: list[Site]) -> str:
    """Whether plateaus around activations of the prompt's own token are longer than around those of any.

    Parameters
    ----------
    sites
        The ladders.

    Returns
    -------
    str
        Markdown.
    """
    said = []
    for site, own in _with_own_token(sites):
        gain, ends = float(own["own_token_gain"]), bounds(own["own_token_gain_interval"])
        who = f"{capital(site.said)}, {label(str(own['rung'].item()))}"
        word = str(own["own_token_verdict"].item())
        if word in {_LONGER, _SHORTER}:
            size = (gain, ends) if word == _LONGER else (-gain, -ends[::-1])
            said.append(
                f"{who}: plateaus are {word} by {estimate(*size, _SHARE_DIGITS)} of real's with the prompt's own token "
                f"kept ({p_equals(float(own['own_token_gain_p_holm']))}, adjusted)."
            )
        else:
            said.append(
                f"{who}: it is not shown that plateaus differ with the prompt's own token kept (longer by "
                f"{estimate(gain, ends, _SHARE_DIGITS)} of real's)."
            )
    return " ".join(said) or "No run has plateaus of a type that keeps the prompt's own token."


def _with_own_token(sites: list[Site]) -> Iterator[tuple[Site, xr.Dataset]]:
    """Each rung that was also drawn for the prompt's own token."""
    for site in sites:
        if "own_token_verdict" not in site.ladder:
            continue
        for name in values_of(site.ladder, "rung"):
            own = site.ladder.sel(rung=name)
            if str(own["own_token_verdict"].item()):
                yield site, own


def dose_curves(sites: list[Site]) -> dict[str, dict[str, xr.Dataset]]:
    """KS distances to real over the share of latents that keep a property.

    Parameters
    ----------
    sites
        The ladders.

    Returns
    -------
    dict
        By title of the site and by type, `ks` and `ks_interval`; without the sites that have none.
    """
    found: dict[str, dict[str, xr.Dataset]] = {}
    for site in sites:
        for name in values_of(site.ladder, "dosed_type") if "dose_ks" in site.ladder else []:
            own = site.ladder[["dose_ks", "dose_ks_interval"]].sel(dosed_type=name).dropna("share", how="all")
            own = own.rename(dose_ks="ks", dose_ks_interval="ks_interval")
            found.setdefault(site.title, {})[name] = own
    return found


def dose_sentences(sites: list[Site]) -> str:
    """How far from real each type is with the fewest of its latents spared and with the most.

    Parameters
    ----------
    sites
        The ladders.

    Returns
    -------
    str
        Markdown.
    """
    said = []
    for title, own in dose_curves(sites).items():
        for name, values in own.items():
            metric = values_of(values, "metric")[0]
            at = values.sel(metric=metric)
            ends = [
                f"{number(float(end['ks']), KS_DIGITS)} {interval(bounds(end['ks_interval']), KS_DIGITS)} at "
                f"{percent(float(end['share']))}"
                for end in (at.isel(share=0), at.isel(share=-1))
            ]
            said.append(
                f"{capital(escape(title))}, {label(name)}: KS on {metric_label(metric)} is {ends[0]}, and {ends[1]}."
            )
    return " ".join(said) or "No run has a type with several shares kept."


def token_sentences(sites: list[Site]) -> str:
    """How much of the variance of real activations is their token, at each site.

    Parameters
    ----------
    sites
        The ladders.

    Returns
    -------
    str
        Markdown.
    """
    said = []
    for site in sites:
        group = site.summary["geometry"].to_dataset()
        share = float(group["token_share"])
        if np.isfinite(share):
            ends = bounds(group["token_share_interval"]).tolist()
            level = confidence_of(group["token_share_interval"])
            said.append(
                f"At {site.said}, {percent(share, 1)} of the variance of real activations lies between tokens "
                f"({level} interval {percent(ends[0], 1)} to {percent(ends[1], 1)})."
            )
    return " ".join(said) or "How much of the variance lies between tokens was not measured."


def definition_table(sites: list[Site]) -> Table:
    """What each rung is, and its property.

    Parameters
    ----------
    sites
        The ladders.

    Returns
    -------
    Table
        Grouped by what rungs are made of.
    """
    rows: dict[str, Row] = {}
    for site in sites:
        told = definitions_of(site.summary)
        for name in values_of(site.ladder, "rung"):
            own = site.ladder.sel(rung=name)
            if not bool(own["is_control"]):
                kind = RUNG_KINDS[str(own["kind"].item())]
                row: Row = {"kind": kind, "rung": name, "adds": str(own["adds"].item()), "made": told.get(name, "")}
                rows.setdefault(name, row)
    columns = {
        "kind": Column(kind="word"),
        "rung": Column("rung", "type"),
        "adds": Column("its property", "text"),
        "made": Column("target", "prose"),
    }
    return Table(pd.DataFrame(list(rows.values())), columns, grouped_by="kind")


def setting_sentences(sites: list[Site]) -> str:
    """The model, the sites, and how many prompts.

    Parameters
    ----------
    sites
        The ladders.

    Returns
    -------
    str
        Markdown.
    """
    said = []
    for site in sites:
        config = config_of(site.summary)
        done = ", ".join(f"{names.experiment(name).title}" for name in values_of(site.ladder, "experiment"))
        said.append(
            f"Run {escape(config.name)} writes at {escape(config.sites.write)} and reads at "
            f"{escape(config.sites.read)} of {escape(config.model.source)}: {done} ({_prompts(site.ladder)})."
        )
        said += [held] if (held := setting.held_sentence(config)) else []
    return " ".join(said)
