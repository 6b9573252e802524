"""The ladder: how far from real each rung is, with what chance gives and the margin, and how new it is beside that."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from plateaulens.figures.style import (
    BAND,
    BASE_SIZE,
    GUIDE,
    INK,
    NEAR,
    SMALL_SIZE,
    Page,
    canvas,
    dress,
    figure_of,
    legend,
    literal,
)
from plateaulens.names import RUNG_KINDS, label, metric_label

_COLORS = ("#0266bb", "#d95504", "#0e945d", "#c36fab")
_DASHES = (0, (3, 2))
_ROW = 0.3


def ladder(sites: Mapping[str, xr.Dataset], *, experiment: str, figure: Page | None = None) -> Figure:
    """One panel per metric, and one of novelty: a row for each rung, from the lowest upwards, a mark for each site.

    Marks are KS distances to real with their intervals, filled where the rung's standing is "reached". The grey part is
    what chance gives, the largest over sites and rungs; the dashed line the margin of equivalence. In the panel of
    novelty real activations stand at 1, and the line is what counts as new.

    Parameters
    ----------
    sites
        By title, ladders as `plateaulens.summary.ladder.ladder_dataset` gives them, at least one.
    experiment
        Which of their experiments is drawn.
    figure
        What it is drawn on; a new figure unless given.

    Returns
    -------
    Figure
        What it is drawn in.
    """
    rows = _rows(sites)
    metrics = [str(name) for name in next(iter(sites.values()))["metric"].to_numpy()]
    page = canvas(1.3 + _ROW * len(rows), figure)
    widths = [1.0] * len(metrics) + [0.8]
    axes = list(page.subplots(1, len(widths), sharey=True, squeeze=False, gridspec_kw={"width_ratios": widths})[0])
    for place, values in enumerate(sites.values()):
        shift = 0.0 if len(sites) == 1 else 0.5 * (place / (len(sites) - 1) - 0.5)
        for panel, metric in zip(axes, metrics, strict=False):
            own = values.sel(experiment=experiment, metric=metric)
            _distances(panel, own, rows, shift, _COLORS[place % len(_COLORS)])
        _novelty(axes[-1], values, rows, shift, _COLORS[place % len(_COLORS)])
    margin = next(iter(sites.values())).attrs["margin"][experiment]
    for panel, metric in zip(axes, metrics, strict=False):
        panel.axvspan(0, _chance(sites, experiment, metric), color=BAND, linewidth=0, zorder=0)
        panel.axvline(margin, color=GUIDE, linewidth=1, linestyle=_DASHES)
        dress(panel, title=metric_label(metric), x="KS distance to real")
        panel.set_xlim(left=0)
        panel.locator_params(axis="x", nbins=4)
    dress(axes[-1], title="novelty", x="times real's")
    heads = [literal(word) for word in rows.values()]
    axes[0].set_yticks(range(len(rows)), heads, fontsize=SMALL_SIZE, color=INK)
    for tick, name in zip(axes[0].get_yticklabels(), rows, strict=True):
        if name.startswith("*"):
            tick.set_fontweight("bold")
    axes[0].set_ylim(-0.6, len(rows) - 0.4)
    _legend(page, sites)
    return figure_of(page)


def _chance(sites: Mapping[str, xr.Dataset], experiment: str, metric: str) -> float:
    """How far chance goes at most, over sites and rungs."""
    each = [values["ks_null_upper"].sel(experiment=experiment, metric=metric).max() for values in sites.values()]
    return float(np.nan_to_num(max(map(float, each))))


def _rows(sites: Mapping[str, xr.Dataset]) -> dict[str, str]:
    """What stands beside each row, by rung, from below; headings have a star in front of their kind."""
    found: dict[str, str] = {}
    for values in sites.values():
        for name in values["rung"].to_numpy():
            if bool(values["is_control"].sel(rung=name)):
                found.setdefault(str(name), label(str(name)))
    for kind, title in RUNG_KINDS.items():
        own = {
            str(name): label(str(name))
            for values in sites.values()
            for name in values["rung"].to_numpy()
            if str(values["kind"].sel(rung=name).item()) == kind
        }
        if own:
            found |= own | {f"*{kind}": title}
    return found


def _distances(panel: Axes, own: xr.Dataset, rows: dict[str, str], shift: float, color: str) -> None:
    """The distances of one metric of one experiment."""
    for height, name in enumerate(rows):
        if name not in own["rung"].to_numpy():
            continue
        rung = own.sel(rung=name)
        ends = rung["ks_interval"].sel(bound=["lower", "upper"]).to_numpy()
        panel.plot(ends, [height + shift] * 2, color=color, linewidth=1.6, solid_capstyle="butt", zorder=3)
        reached = str(rung["standing"].item()) == "reached"
        panel.plot([rung["ks"].item()], [height + shift], marker="o", markersize=4.5, color=color, zorder=4,
                   markerfacecolor=color if reached else "white", markeredgewidth=1.2)  # fmt: skip


def _novelty(panel: Axes, values: xr.Dataset, rows: dict[str, str], shift: float, color: str) -> None:
    panel.set_xscale("log")
    for height, name in enumerate(rows):
        if name in values["rung"].to_numpy():
            rung = values.sel(rung=name)
            if not np.isfinite(rung["novelty"].item()):
                continue
            ends = rung["novelty_interval"].sel(bound=["lower", "upper"]).to_numpy()
            panel.plot(ends, [height + shift] * 2, color=color, linewidth=1.6, solid_capstyle="butt", zorder=3)
            panel.plot([rung["novelty"].item()], [height + shift], marker="o", markersize=4.5, color=color, zorder=4)
    panel.axvline(1, color=GUIDE, linewidth=1)
    panel.axvline(values["standing"].attrs["novel"], color=NEAR, linewidth=1, linestyle=_DASHES)
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())


def _legend(page: Page, sites: Mapping[str, xr.Dataset]) -> None:
    marks = [
        Line2D([], [], color=_COLORS[place % len(_COLORS)], marker="o", markersize=4.5, label=title)
        for place, title in enumerate(sites)
    ]
    marks += [
        Line2D([], [], color=BAND, linewidth=8, label="what chance gives"),
        Line2D([], [], color=GUIDE, linewidth=1, linestyle=_DASHES, label="margin of equivalence"),
        Line2D([], [], color=NEAR, linewidth=1, linestyle=_DASHES, label="counts as new"),
    ]
    legend(page, marks, where="outside lower center")


def doses(curves: Mapping[str, Mapping[str, xr.Dataset]], *, metric: str, figure: Page | None = None) -> Figure:
    """One panel per site: the KS distance to real over the share of latents that keep what a type changes of others.

    Parameters
    ----------
    curves
        By title of the site and by type, datasets with `ks(share, metric)` and `ks_interval`.
    metric
        Which metric.
    figure
        What it is drawn on; a new figure unless given.

    Returns
    -------
    Figure
        What it is drawn in.
    """
    page = canvas(2.9, figure)
    axes = list(page.subplots(1, len(curves), sharey=True, squeeze=False)[0])
    names = list(dict.fromkeys(name for own in curves.values() for name in own))
    for panel, (title, own) in zip(axes, curves.items(), strict=True):
        for name, values in own.items():
            at = values.sel(metric=metric)
            color = _COLORS[names.index(name) % len(_COLORS)]
            share, ends = 100 * at["share"].to_numpy(), at["ks_interval"].transpose("bound", "share").to_numpy()
            panel.fill_between(share, *ends, color=color, alpha=0.15, linewidth=0)
            panel.plot(share, at["ks"].to_numpy(), color=color, marker="o", markersize=4)
        dress(panel, title=title, x="share kept (%)")
        panel.set_ylim(bottom=0)
    axes[0].set_ylabel(f"KS distance to real, {metric_label(metric)}", fontsize=BASE_SIZE, color=INK)
    marks = [
        Line2D([], [], color=_COLORS[place % len(_COLORS)], marker="o", markersize=4, label=label(name))
        for place, name in enumerate(names)
    ]
    legend(page, marks, where="outside lower center")
    return figure_of(page)
