"""The explorer of a report's web page: from distributions and mean curves to the prompts in them, and to one prompt.

It is one block of HTML with everything in it, so that it works from a file and without a network. Pictures are drawn by
uPlot, whose files lie in `browser/uplot`, as its npm package has them. What a run says is data, packed and written in
base64: nothing in it can end the element that it stands in, and the page puts it in as text alone.
"""

import base64
import gzip
import json
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from plateaulens import names
from plateaulens.errors import UsageError
from plateaulens.figures.positions import positions, step_axis
from plateaulens.figures.style import Dash, TypeStyle, metric_axis, styles
from plateaulens.names import MAIN_METRICS, metric_label
from plateaulens.report.contents import experiments_of, metrics_of, types_of
from plateaulens.resources import DIGESTS
from plateaulens.summary.explored import JUMP, SIDES

LEVELS = 1000
"""A curve of a prompt is on the page to this part of its largest value: less than a picture shows."""
MOST_BYTES = 2_000_000
"""Of the data on the page, as it stands there; of more prompts than that the first ones are taken."""
_FILES = Path(__file__).parent / "browser"
_LIBRARY = ("LICENSE", "uPlot.iife.min.js", "uPlot.min.css")
_ONLY_IDS = (
    "This run stored nothing but the id of the most likely token; with likely_tokens = 5 in [engine] it has the texts "
    "and probabilities of five."
)
_NO_PROMPT = "No base prompt of this run is complete in an experiment, so that there is none to explore."


class OnPage(NamedTuple):
    """The data of the explorer as they stand on the page."""

    prompts: int
    """Of how many prompts of an experiment, at most."""
    text: str
    """Lines of base64; the JSON of `contents` in it is packed by gzip."""


def introduction(on_page: OnPage | None) -> str:
    """What the section of the explorer says, on the page and in print.

    Parameters
    ----------
    on_page
        What `fitting` gives.

    Returns
    -------
    str
        Markdown.
    """
    if on_page is None:
        return _NO_PROMPT
    how = "Choose a range of steps to see which prompts jump in it; choose a prompt to see its curves and next tokens."
    noun = "prompt" if on_page.prompts == 1 else "prompts"
    in_print = (
        f"The web page of this report shows the curves and next tokens of {on_page.prompts:,} {noun} here, one by one."
    )
    return (
        f'::: {{.content-visible when-format="html"}}\n\n{how}\n\n:::\n\n'
        f'::: {{.content-visible unless-format="html"}}\n\n{in_print} For some of them @fig-curves does.\n\n:::'
    )


def explorer(on_page: OnPage | None) -> str:
    """The explorer, for a web page.

    Parameters
    ----------
    on_page
        What `fitting` gives.

    Returns
    -------
    str
        Markdown with a block of HTML for the web page alone; empty where no prompt can be explored.

    Raises
    ------
    UsageError
        When uPlot's files are not those that ship.
    """
    if on_page is None:
        return ""
    licence, code, style = (_library(name) for name in _LIBRARY)
    page, own_style, own_code = (_read(_FILES / f"explorer.{kind}") for kind in ("html", "css", "js"))
    block = (
        f"<style>\n{style}\n{own_style}</style>\n{page}"
        f'<script type="application/octet-stream" id="explorer-data">\n{on_page.text}</script>\n'
        f"<script>\n/*!\n{licence}*/\n{code}\n{own_code}</script>\n"
    )
    return f'::: {{.content-visible when-format="html"}}\n\n````````{{=html}}\n{block}````````\n\n:::'


def fitting(summary: xr.DataTree, most: int = MOST_BYTES) -> OnPage | None:
    """The data of the explorer of as many prompts as fit, packed: what takes seconds, and is made once for a page.

    Parameters
    ----------
    summary
        The summary.
    most
        Bytes.

    Returns
    -------
    OnPage or None
        None where no prompt can be explored: none is complete.
    """
    explored = _explored(summary)
    if not explored:
        return None
    prompts = max(group.sizes["explored"] for group in explored.values())
    while True:
        text = packed(contents(summary, prompts))
        if len(text) <= most or prompts == 1:
            return OnPage(prompts, text)
        prompts = max(1, min(prompts - 1, int(0.98 * prompts * most / len(text))))


def packed(found: dict[str, Any]) -> str:
    """JSON, packed and in letters that mean nothing to a browser.

    Parameters
    ----------
    found
        What `contents` gives.

    Returns
    -------
    str
        The same text for the same contents.
    """
    text = json.dumps(found, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()
    return base64.encodebytes(gzip.compress(text, compresslevel=6, mtime=0)).decode()


def contents(summary: xr.DataTree, prompts: int) -> dict[str, Any]:
    """The data of the explorer.

    Distributions and mean curves are of all prompts, single curves of the first ones. Lists of prompts are flat, in the
    order prompt, type, metric, and then step or side and rank. Curves are whole numbers, of the `LEVELS` parts of each
    curve's largest value, of which the second differences along the steps are written: most are 0 or nearly so.

    Parameters
    ----------
    summary
        The summary.
    prompts
        How many prompts of each experiment, at most.

    Returns
    -------
    dict
        For JSON.
    """
    found = {name: group.isel(explored=slice(prompts)).load() for name, group in _explored(summary).items()}
    metrics = metrics_of(summary)
    first = next(iter(found.values()))
    tokens: dict[str, int] = {}
    text = summary["prompts"]["text"].to_numpy()
    numbers = sorted({int(sample) for group in found.values() for sample in group["explored_sample"].values})
    return {
        "levels": LEVELS,
        "ranks": first.sizes.get("rank", 0),
        "sides": _sides(first),
        "metric": next((metrics.index(name) for name in MAIN_METRICS if name in metrics), 0),
        "metrics": [{"name": name, "label": metric_label(name)} for name in metrics],
        "experiments": [_experiment(name, group, metrics, tokens) for name, group in found.items()],
        "texts": {sample: str(text[sample]) for sample in numbers},
        "tokens": list(tokens),
        "note": "" if "jump_text" in first or "jump_token" not in first else _ONLY_IDS,
    }


def _explored(summary: xr.DataTree) -> dict[str, xr.Dataset]:
    """The experiments of which single prompts can be explored, by name."""
    return {name: group for name, group in experiments_of(summary).items() if group.sizes["explored"]}


def _sides(group: xr.Dataset) -> list[str]:
    """Where along a path tokens are known: nowhere where jumps are not among the statistics."""
    return [*SIDES] if "side" in group.coords else []


def _experiment(name: str, group: xr.Dataset, metrics: list[str], tokens: dict[str, int]) -> dict[str, Any]:
    types = types_of(group)
    group = group.sel(metric=metrics, activation_type=types)
    curve = group["explored_curve"].transpose("explored", "activation_type", "metric", "step").to_numpy()
    largest = np.abs(curve).max(axis=-1)
    tops = _rounded(largest)
    levels = np.rint(curve * (LEVELS / np.where(tops > 0, tops, 1.0))[..., None]).astype(np.int64)
    bends = np.diff(levels, n=2, axis=-1, prepend=np.zeros((*levels.shape[:-1], 2), np.int64))
    mean = group["curve_mean"].transpose("activation_type", "metric", "step").to_numpy()
    return {
        "title": names.experiment(name).title,
        "axis": step_axis(group),
        "axes": [metric_axis(group, metric) for metric in metrics],
        "x": _numbers(positions(group, group["step"])),
        "samples": group.sizes["sample"],
        "types": [_look(style) for style in styles(types).values()],
        "means": [[_numbers(one) for one in own] for own in mean],
        "prompts": group["explored_sample"].values.tolist(),
        "tops": tops.ravel().tolist(),
        "curves": bends.ravel().tolist(),
        **_jumps(group, tokens),
    }


def _jumps(group: xr.Dataset, tokens: dict[str, int]) -> dict[str, Any]:
    """How jumps are distributed over all prompts, where they are in the first ones, and the tokens there."""
    steps, shape = group.sizes["step"], (group.sizes["activation_type"], group.sizes["metric"])
    if "jump_token" not in group:
        nothing = np.zeros((*shape, steps), np.int64)
        return {"counts": nothing.tolist(), "totals": nothing[..., 0].tolist(), "jumps": None, "tokens": []}
    own = group.sel(statistic=JUMP, convention="corrected")
    step = own["step_value"].transpose("activation_type", "metric", "sample").to_numpy()
    censored = own["censored"].transpose("activation_type", "metric", "sample").to_numpy()
    is_there = np.isfinite(step)
    counts = (step[..., None, :] == np.arange(steps)[:, None]).sum(axis=-1)
    along = group.sel(side=[*SIDES]).transpose("explored", "activation_type", "metric", "side", "rank", ...)
    if "jump_text" in group:
        texts = [str(each) for each in along["jump_text"].to_numpy().ravel()]
    else:
        texts = [f"token {token}" for token in along["jump_token"].to_numpy().ravel()]
    jumps = np.where(is_there, step, -1).astype(np.int64)[..., group["explored_sample"].to_numpy()]
    found = {
        "counts": counts.tolist(),
        "totals": (is_there | censored).sum(axis=-1).tolist(),
        "jumps": jumps.transpose(2, 0, 1).ravel().tolist(),
        "tokens": [tokens.setdefault(each, len(tokens)) for each in texts],
    }
    if "jump_probability" in group:
        chance = along["jump_probability"].to_numpy().ravel()
        found["chances"] = np.rint(1000 * np.nan_to_num(chance)).astype(np.int64).tolist()
    return found


def _look(style: TypeStyle) -> dict[str, Any]:
    return {
        "name": style.name,
        "label": style.label,
        "light": style.color,
        "dark": on_dark(style.color),
        "width": style.width,
        "dash": _pixels(style.dash, style.width),
    }


def _pixels(dash: Dash, width: float) -> list[float]:
    """A pattern of dashes; matplotlib measures them in widths of the line."""
    return [] if isinstance(dash, str) else [round(part * width, 2) for part in dash[1]]


def on_dark(color: str) -> str:
    """A colour of figures on a dark page: greys the other way round, other colours no darker than half way to white.

    Parameters
    ----------
    color
        As `#rrggbb`.

    Returns
    -------
    str
        In the same form.

    Examples
    --------
    >>> on_dark("#000000"), on_dark("#0266bb"), on_dark("#e69f00")
    ('#ffffff', '#4e94cf', '#e69f00')
    """
    channels = [int(color[start : start + 2], 16) for start in (1, 3, 5)]
    if len(set(channels)) == 1:
        channels = [255 - channels[0]] * 3
    share = 0.3 if np.dot(channels, (0.2126, 0.7152, 0.0722)) < 130 and len(set(channels)) > 1 else 0.0
    return "#" + "".join(f"{round(each + share * (255 - each)):02x}" for each in channels)


def _rounded(values: ArrayLike) -> NDArray[np.float64]:
    """To six significant digits, as text has them."""
    return np.array([float(f"{value:.6g}") for value in np.ravel(values)]).reshape(np.shape(values))


def _numbers(values: ArrayLike) -> list[float | None]:
    """For JSON, which has no NaN."""
    return [float(value) if np.isfinite(value) else None for value in _rounded(values)]


def _library(name: str) -> str:
    """One of uPlot's files, whose digest is seen to."""
    folder = _FILES / "uplot"
    lines = [line.split() for line in _read(folder / DIGESTS).splitlines() if not line.startswith("#")]
    expected = {file: digest for digest, file in lines}
    content = (folder / name).read_bytes()
    if sha256(content).hexdigest() != expected[name]:
        raise UsageError(f"{folder / name} is not the one that ships: install PlateauLens again")
    return content.decode()


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
