"""The facts of `results.json` as plain Markdown, to paste into an issue or a language model's context.

Headline numbers come first, then what they are of, then tables. What a summary says in texts of its own stands in code
spans, where Markdown and HTML mean nothing; names and words are shown as they are only if they are made of letters,
digits and a few signs.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from plateaulens import names
from plateaulens.errors import shortened
from plateaulens.export.tables import GROUPS
from plateaulens.names import CLAIMS, REFERENCE
from plateaulens.store.manifest import AXES

Record = Mapping[str, Any]

LONGEST = 300
"""Characters of a text that are shown."""
ROUNDING = 1e-12
"""Below it a number is what rounding has left of 0."""
NOTHING = "-"
_DOUBTS = ("degenerate", "difference_degenerate")
_WORDS = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,.+-]*")
_READING = """\
KS is the Kolmogorov-Smirnov distance between the distribution of a type's steps and that of real, from 0 to 1. In
brackets stand intervals. `p equal` is of equal distributions (swaps within base prompts), `p margin` of a distance of
the margin or more, both after Holm's adjustment over types. A type is **equivalent** when the distance is shown to be
below the margin, else **different** when equal distributions are rejected (and **earlier** or **later**, of plateaus
**shorter** or **longer**, when the mean, the median and the signs agree), else **undecided**, which is no verdict of
equality. Differences are the type's steps minus real's, in steps. All numbers, the other conventions, metrics and pairs
are in `results.json`.
"""


def page(results: Mapping[str, Any]) -> str:
    """The page.

    Parameters
    ----------
    results
        What `plateaulens.export.results.results` gives.

    Returns
    -------
    str
        Markdown; the same bytes for the same results.
    """
    found = _Found(results["statistics"])
    title = f"# {code(results['about']['name'])}: does it behave like a real activation?"
    parts = [title, *_headlines(found), *_facts(results["about"]), "## How to read it", _READING.rstrip()]
    for experiment in found.experiments:
        parts += _comparison(found, experiment)
    parts += [*_pooled(found), *_claims(found), *_told(found), *_lengths(found), *_confounds(found), *_constants(found)]
    parts += _scale(found)
    if tables := results["tables"]:
        parts += ["## Tables", "\n".join(f"- {code(name)}" for name in tables)]
    return "\n\n".join(parts) + "\n"


def code(text: object) -> str:
    r"""A text of any origin as a code span, which shows it literally.

    Parameters
    ----------
    text
        Anything.

    Returns
    -------
    str
        On one line, cut where it is too long, and safe within a table.

    Examples
    --------
    >>> print(code("a`b <script> | c"))
    `` a`b <script> \| c ``
    """
    line = shortened(str(text), LONGEST).replace("|", "\\|").strip() or NOTHING
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    blank = " " if "`" in line else ""
    return f"{fence}{blank}{line}{blank}{fence}"


def word(text: object) -> str:
    """A name or a word of a verdict.

    Parameters
    ----------
    text
        Anything; None for none.

    Returns
    -------
    str
        As it is where it is made of letters, digits and a few signs, else a code span.

    Examples
    --------
    >>> word("no longer shown to differ"), word("real_control"), word(None)
    ('no longer shown to differ', '`real_control`', '-')
    """
    if text is None:
        return NOTHING
    return str(text) if _WORDS.fullmatch(str(text)) and "  " not in str(text) else code(text)


def number(value: Any, unit: str = "") -> str:
    """A number to three digits.

    Parameters
    ----------
    value
        A number, None, or a text for infinity.
    unit
        Its unit: without end, a share or a ratio ("1") is unbounded, and a step lies beyond the window.

    Returns
    -------
    str
        As printed, with ASCII signs only.

    Examples
    --------
    >>> number(0.123456), number(-1234.5), number(None), number("Infinity"), number(0.00001)
    ('0.123', '-1234', '-', 'beyond the window', '1e-05')
    >>> number("-Infinity", "1"), number(999.7)
    ('unbounded', '1000')
    """
    if value is None:
        return NOTHING
    if isinstance(value, str) and unit == "1":
        return "unbounded"
    if isinstance(value, str):
        return "before the window" if value.startswith("-") else "beyond the window"
    if abs(value) < ROUNDING:
        return "0"
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


class _Found:
    """Records by the group and the quantity."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.by: dict[tuple[str, str], list[Record]] = {}
        for record in records:
            self.by.setdefault((record["group"], record["quantity"]), []).append(record)
        self.experiments = [group for group, quantity in self.by if quantity == "ks" and group not in GROUPS]

    def get(self, group: str, quantity: str, **at: object) -> list[Record]:
        """Those that stand at these places, in order."""
        own = self.by.get((group, quantity), [])
        return [record for record in own if all(record["at"].get(key) == value for key, value in at.items())]

    def one(self, group: str, quantity: str, like: Record, *but: str) -> Record | None:
        """The record of another quantity at the place of `like`, `but` some of its dimensions."""
        at = {key: value for key, value in like["at"].items() if key not in but}
        return next(iter(self.get(group, quantity, **at)), None)

    def judged(self, experiment: str) -> list[Record]:
        """The distances to real by which an experiment is judged, on every metric."""
        statistic = names.experiment(experiment).statistic
        own = self.get(experiment, "ks", statistic=statistic, convention="corrected")
        return [record for record in own if record["at"]["activation_type"] != REFERENCE]


def _metrics(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(record["at"]["metric"] for record in records))


def _on(records: Sequence[Record], metric: str) -> list[Record]:
    return [record for record in records if record["at"]["metric"] == metric]


def _headlines(found: _Found) -> Iterator[str]:
    """What each experiment says on each main metric, types by their conclusion."""
    lines = []
    for experiment in found.experiments:
        records = found.judged(experiment)
        metrics = _metrics(records)
        for metric in [each for each in metrics if names.metric(each).is_main] or metrics:
            said: dict[str, list[str]] = {}
            for record in _on(records, metric):
                place = [word(value) for key, value in record["at"].items() if key in {"model", "sae", "write", "read"}]
                of = f" at {', '.join(place)}" if place else ""
                text = f"{word(record['at']['activation_type'])}{of} (KS {_estimate(record)})"
                said.setdefault(word(record["conclusion"] or record["verdict"]), []).append(text)
            if "write" in (records[0]["at"] if records else {}):
                text = "; ".join(f"{how}: {len(which)} of {len(_on(records, metric))}" for how, which in said.items())
            else:
                text = "; ".join(f"{how}: {', '.join(which)}" for how, which in said.items())
            what = (
                f"{names.experiment(experiment).title}, {names.statistic(names.experiment(experiment).statistic).label}"
            )
            lines.append(f"- **{word(what)}, {word(names.metric_label(metric))}**: {text}")
    yield "\n".join(lines) if lines else "No experiment has anything to compare."


def _facts(about: Mapping[str, Any]) -> Iterator[str]:
    model, sites, prompts = about["model"], about["sites"], about["prompts"]
    completed = about["completed"] or {}
    analysis = about["analysis"] if isinstance(about["analysis"], dict) else {}
    facts = {
        "model": [model.get("source"), model.get("revision"), model.get("processing"), model.get("dtype")],
        "written at": [sites.get("write")],
        "read at": [sites.get("read")],
        **({"held": sites["frozen"]} if sites.get("frozen") else {}),
        "SAE": [about["sae"]],
        "prompts": [prompts.get("source"), None if prompts.get("length") is None else f"{prompts['length']} tokens"],
        "base prompts": [f"{name} {number}" for name, number in completed.items()],
        "seed": [about["seed"]],
        "commit": [about["commit"]],
        "analysis": [f"{key} {analysis[key]}" for key in ("confidence", "resamples", "seed") if key in analysis],
        "versions": [f"{name} {version}" for name, version in about["versions"].items()],
    }
    lines = []
    for name, values in facts.items():
        present = [code(value) for value in values if value is not None]
        lines.append(f"- {name}: {', '.join(present) or 'none'}")
    yield "## What it is of"
    yield "\n".join(lines)
    if definitions := about["definitions"]:
        yield "## Activation types"
        yield "\n".join(f"- {word(name)}: {code(text)}" for name, text in definitions.items())


def _comparison(found: _Found, experiment: str) -> Iterator[str]:
    own = names.experiment(experiment)
    records = found.judged(experiment)
    for metric in _metrics(records):
        rows = []
        for record in _on(records, metric):
            tests = {test["name"]: test for test in record["tests"]}
            equal, margin = tests.get("ks_p"), tests.get("ks_equivalence_p")
            difference = found.one(experiment, "mean_difference", record)
            censored = found.one(experiment, "censored_fraction", record)
            rows.append(
                {
                    "type": _place(record),
                    "n": number(record["n"]),
                    "KS": _estimate(record),
                    "p equal": number(equal and equal["p_holm"]),
                    f"p margin{_margin(margin)}": number(margin and margin["p_holm"]),
                    "mean difference": _estimate(difference),
                    "share censored": _estimate(censored),
                    "conclusion": word(record["conclusion"] or record["verdict"]),
                }
            )
        yield f"## {word(own.title)}: {word(names.statistic(own.statistic).label)}, {word(names.metric_label(metric))}"
        yield _table(rows)


def _margin(test: Record | None) -> str:
    return f" ({test['margin']:g})" if test and test["margin"] is not None else ""


def _place(record: Record) -> str:
    """The type, and where it was measured, of a sweep."""
    at = record["at"]
    axes = [f"{key} {word(at[key])}" for key in ("model", "sae", "write", "read", "seed") if key in at]
    return ", ".join([word(at["activation_type"]), *axes])


def _pooled(found: _Found) -> Iterator[str]:
    """Over all sites of a sweep."""
    for experiment in found.experiments:
        rows = [
            {
                "metric": word(names.metric_label(record["at"]["metric"])),
                "type": word(record["at"]["activation_type"]),
                "sites": number(record["n"]),
                "mean difference": _estimate(record),
                "over all sites": word(_timed(record["verdict"], names.experiment(experiment).statistic)),
            }
            for record in found.get(experiment, "pooled_difference")
        ]
        if rows:
            yield f"## {word(names.experiment(experiment).title)}: all sites together"
            yield _table(rows)


def _scale(found: _Found) -> Iterator[str]:
    """SAEs on one scale, in the order of the scale."""
    rows = [
        {
            **{axis: code(record["at"][axis]) for axis in AXES if axis in record["at"]},
            "type": word(record["at"]["activation_type"]),
            "metric": word(names.metric_label(record["at"]["metric"])),
            "share of the way": _estimate(found.one("sae_scale", "share", record)),
            "behind the best": _estimate(behind),
            "standing": "undefined" if behind is None else word(behind["verdict"]),
        }
        for record in found.get("sae_scale", "ks")
        for behind in (found.one("sae_scale", "behind", record),)
    ]
    if rows:
        yield "## SAEs: how much of the way from random to real"
        yield _table(rows)


def _claims(found: _Found) -> Iterator[str]:
    """The pairs of the paper's claim."""
    rows = []
    for experiment in found.experiments:
        statistic = names.experiment(experiment).statistic
        for record in found.get(experiment, "ks_difference", statistic=statistic, convention="corrected"):
            one, other = record["at"]["activation_type"], record["at"]["other_type"]
            if not {(one, other), (other, one)} & set(CLAIMS):
                continue
            rows.append(
                {
                    "experiment": word(names.experiment(experiment).title),
                    "metric": word(names.metric_label(record["at"]["metric"])),
                    "first": _place(record),
                    "second": word(other),
                    "KS of first - KS of second": _estimate(record),
                    "p": number(record["tests"][0]["p_holm"] if record["tests"] else None),
                    "the first is": word(record["verdict"]),
                }
            )
    if rows:
        yield "## Which type is nearer to real"
        yield _table(rows)


def _told(found: _Found) -> Iterator[str]:
    rows = [
        {
            "type": word(record["at"]["activation_type"]),
            "n": number(record["n"]),
            **{
                f"accuracy, {word(each['at']['classifier'])}": _estimate(each)
                for each in found.get("distinguish", "accuracy", activation_type=record["at"]["activation_type"])
            },
            "told from real": word(record["verdict"]),
        }
        for record in found.get("distinguish", "mmd")
    ]
    if rows:
        yield "## Can targets be told from real ones, before any curve?"
        yield _table(rows)


def _lengths(found: _Found) -> Iterator[str]:
    rows = [
        {
            "type": word(record["at"]["activation_type"]),
            "path length": _estimate(record),
            "over real's": _estimate(of_pairs),
            "length of the target": _estimate(found.one("geometry", "target_norm_mean", record)),
            "cosine to the base": _estimate(found.one("geometry", "cosine_mean", record)),
            "paths are": NOTHING if of_pairs is None else word(of_pairs["verdict"]),
        }
        for record in found.get("geometry", "path_length_mean")
        for of_pairs in (found.one("geometry", "path_ratio", record),)
    ]
    if rows:
        yield "## Geometry"
        yield _table(rows)


def _confounds(found: _Found) -> Iterator[str]:
    rows = []
    for record in found.get("confounds", "adjusted_difference", adjustment="all"):
        at = record["at"]
        kind = names.experiment(at["path"].removesuffix(names.CUT))
        if (
            at["statistic"] == kind.statistic
            and names.metric(at["metric"]).is_main
            and at["activation_type"] != REFERENCE
        ):
            rows.append(
                {
                    "paths": word(names.path_label(at["path"])),
                    "metric": word(names.metric_label(at["metric"])),
                    "type": word(at["activation_type"]),
                    "difference at equal geometry": _estimate(record),
                    "what becomes of it": word(_timed(record["verdict"], kind.statistic)),
                }
            )
    if rows:
        yield "## At equal path length, norm, cosine and distance from the mean"
        yield _table(rows)


def _constants(found: _Found) -> Iterator[str]:
    counted: dict[tuple[str, str, str], tuple[Any, Any]] = {}
    for record in found.get("constants", "conclusions"):
        key = tuple(str(record["at"][name]) for name in ("experiment", "statistic", "constant"))
        changed = found.one("constants", "conclusions_changed", record)
        counted[key[0], key[1], key[2]] = record["estimate"], changed and changed["estimate"]
    rows = [
        {
            "experiment": word(names.experiment(experiment).title),
            "statistic": word(names.statistic(statistic).label),
            "constant": word(constant),
            "conclusions": number(asked),
            "changed": number(changed),
        }
        for (experiment, statistic, constant), (asked, changed) in counted.items()
    ]
    if rows:
        yield "## Conclusions drawn again under other constants"
        yield _table(rows)


def _timed(verdict: str | None, statistic: str) -> str | None:
    """A verdict on a difference in the words of a statistic: a plateau is shorter where a step is earlier."""
    said = names.statistic(statistic)
    for stored, own in (("earlier", said.before), ("later", said.after)):
        verdict = verdict and re.sub(rf"\b{stored}\b", own, verdict)
    return verdict


def _estimate(record: Record | None) -> str:
    """An estimate with its interval, and a sign where that cannot be relied on."""
    if record is None or record["estimate"] is None:
        return NOTHING
    ends, unit = record["interval"], record["unit"]
    doubt = " (too few or too equal)" if any(map(record["flags"].get, _DOUBTS)) else ""
    if ends is None:
        return f"{number(record['estimate'], unit)}{doubt}"
    return f"{number(record['estimate'], unit)} [{number(ends['lower'], unit)}, {number(ends['upper'], unit)}]{doubt}"


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    """A pipe table; cells are Markdown already."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    lines = [heads, ["---"] * len(heads), *([row.get(head, NOTHING) for head in heads] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
