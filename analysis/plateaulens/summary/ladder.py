"""The ladder of a summary: how far each rung is from real, what its property adds, and whether it is as good as real.

A rung is an activation type of `plateaulens.names.RUNGS`, or a variant of one that has an SAE error added, which stands
on the rung that it varies. Everything here is read from a summary's comparisons. New are the gains of rungs over those
that they stand on, which are adjusted together, and plateaus as shares of real's.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.intervals import mean_interval
from plateaulens.compare.multiplicity import adjust
from plateaulens.compare.permutation import Swaps, mean_swap_p
from plateaulens.compare.resampling import Resampling
from plateaulens.names import METRICS, REFERENCE, RUNGS, experiment, metric_label
from plateaulens.summary.attributes import Attributes, attrs, bounds, strings, texts
from plateaulens.summary.comparison import variants_of
from plateaulens.summary.realism import NOVEL

RELATIVE, ABSOLUTE, PLATEAU = "sensitivity", "sensitivity_absolute", "plateau"
BLOWUP, LENGTH = (experiment(name).statistic for name in (RELATIVE, PLATEAU))
LEAST_PLATEAU = 0.8
"""Of the mean plateau length of real activations: a type's plateaus that are at least so long are as good as real's."""
LONGER, SHORTER, UNDECIDED = "longer", "shorter", "undecided"
REACHED, NOT_REACHED, UNDEFINED = "reached", "not reached", "undefined"
_ERRORS = {
    "drawn": "an SAE error like real ones",
    "predicted": "an SAE error, predicted from the code",
    "real": "the real target's own SAE error",
}


_Variables = dict[str, tuple[tuple[str, ...], NDArray[np.generic], Attributes]]


class Step(NamedTuple):
    """A rung of one run, and what it has that the one below has not."""

    name: str
    kind: str
    adds: str
    above: str | None

    @property
    def borrows(self) -> bool:
        """Whether its targets have parts of the very real target that they are compared with."""
        return self.kind == "changed" or self.adds == _ERRORS["real"]


def steps_of(targets: Mapping[str, Any], types: Sequence[str]) -> list[Step]:
    """The rungs among some types, from below; variants behind the types that they vary.

    Parameters
    ----------
    targets
        The section of that name of the run's configuration, as JSON.
    types
        Those that were compared.

    Returns
    -------
    list of Step
        A rung whose lower one is not among the types stands on none.
    """
    found: list[Step] = []
    variants = variants_of(targets)
    for rung in RUNGS.values():
        if rung.name in types:
            above = rung.above if rung.above in types else None
            found.append(Step(rung.name, rung.kind, rung.adds, above))
        for name, variant in variants.items():
            error = str(variant.get("sae_error", "none"))
            moved = variant.get("matched") or variant.get("own_token")
            if name in types and variant["type"] == rung.name and error in _ERRORS and not moved:
                above = rung.name if rung.name in types else None
                found.append(Step(name, rung.kind, _ERRORS[error], above))
    return found


def matched_of(targets: Mapping[str, Any], types: Sequence[str]) -> dict[str, str]:
    """The types whose targets were matched to the real ones' norm and distances.

    Parameters
    ----------
    targets, types
        As `steps_of` takes them.

    Returns
    -------
    dict
        From types to the variants that have nothing else changed.
    """
    return _with_only("matched", targets, types)


def own_token_of(targets: Mapping[str, Any], types: Sequence[str]) -> dict[str, str]:
    """The types that were also drawn for the base's own token.

    Parameters
    ----------
    targets, types
        As `steps_of` takes them.

    Returns
    -------
    dict
        From types to the variants that have nothing else changed.
    """
    return _with_only("own_token", targets, types)


def _with_only(setting: str, targets: Mapping[str, Any], types: Sequence[str]) -> dict[str, str]:
    """From types to the variants that have this set, and not another that adds to targets or moves them."""
    others = {"matched", "own_token", "add_error"} - {setting}
    return {
        variant["type"]: name
        for name, variant in variants_of(targets).items()
        if variant.get(setting)
        and not any(variant.get(other) for other in others)
        and variant.get("sae_error", "none") == "none"
        and {name, variant["type"]} <= {*types}
    }


def doses_of(targets: Mapping[str, Any], types: Sequence[str]) -> dict[str, dict[float, str]]:
    """The types that were made with several shares of latents kept.

    Parameters
    ----------
    targets, types
        As `steps_of` takes them.

    Returns
    -------
    dict
        By type, from shares to types and variants, ascending; of types with two shares or more.
    """
    found: dict[str, dict[float, str]] = {}
    for name, variant in variants_of(targets).items():
        share = variant.get("kept_share")
        if name in types and isinstance(share, int | float):
            found.setdefault(variant["type"], {})[float(share)] = name
    for name, doses in found.items():
        if name in types and isinstance(own := targets.get("kept_share"), int | float):
            doses.setdefault(float(own), name)
    return {name: dict(sorted(doses.items())) for name, doses in found.items() if len(doses) > 1}


class PlateauDraws(NamedTuple):
    """What resamples the base prompts of the plateau experiment, and what swaps types within them."""

    resampling: Resampling
    swaps: Swaps


def ladder_dataset(
    groups: Mapping[str, xr.Dataset],
    targets: Mapping[str, Any],
    draws: PlateauDraws | None = None,
    kept: Mapping[str, int] | None = None,
) -> xr.Dataset:
    """The ladder of one run.

    Parameters
    ----------
    groups
        The groups of a summary in relative steps; of absolute steps, plateaus and realism it takes what there is.
    targets
        The section of that name of the run's configuration, as JSON.
    draws
        Of the plateau experiment; None where the run has none, or no type that keeps the base's own token.
    kept
        Of how many base prompts each variant keeps the token, where that is known.

    Returns
    -------
    xarray.Dataset
        With the coordinates `experiment`, `rung` (from below, the control draws in front), `metric` (those that runs
        have by default) and `bound`:

        - `ks(experiment, rung, metric)`, `ks_interval`, `ks_null_upper` and `conclusion`: those of max-slope steps in
          relative and absolute steps, as the summary has them;
        - `gain(rung, metric)`: by how much nearer a rung is in relative steps than the one it stands on,
          `gain_interval` and `gain_p_holm`, adjusted over rungs and metrics; NaN for a rung that stands on none;
        - `plateau_share(rung)`, `plateau_share_interval`: mean plateau length over real's, with the interval of the
          paired difference, real's mean taken as known;
        - `novelty(rung)`, `novelty_interval`, `copies`: `fit_novelty` and the like of `/distinguish`;
        - `best_detector(rung)`: of `/distinguish`;
        - `borrows(rung)`: whether its targets have parts of the very real target that they are compared with;
        - `is_new(rung)`: whether novelty is shown to be `NOVEL` at least, no target is a copy, and none borrows;
        - `worst_ks(rung)`: the largest distance in relative steps; `closest`, an attribute, is the rung that has the
          smallest of those that are new, or of all where none is;
        - `best_gain`, an attribute: the rung whose least gain is the largest of those that are shown to be nearer than
          their lower rung on every metric, empty for none; `best_gain_metric` is where it gains least;
          `best_gain_is_most`, whether it is shown to gain more than any other, as `BestGain` has it;
        - `matched_ks(rung, metric)`, `matched_ks_interval`: the distance in relative steps of the variant whose norm
          and distances were matched; NaN for a rung without one;
        - `dose_ks(dosed_type, share, metric)`, `dose_ks_interval`: the distance of a type over the share of latents
          that are spared the change; NaN for a share that it was not made with. Only where there are such types;
        - `own_token_share(rung)`, `own_token_share_interval`: as `plateau_share`, of the variant that is drawn for the
          prompt's own token; `own_token_gain(rung)`, `own_token_gain_interval`: by how much longer its plateaus are
          than the rung's own, over real's mean, paired within base prompts; `own_token_gain_p_holm`, adjusted over
          rungs; `own_token_verdict(rung)`: "longer" or "shorter" where the interval and the p-value say so, "undecided"
          where not, empty for a rung without one; `own_token_kept(rung)`: for which share of the run's base prompts
          there was such a draw, 1 where that is not known. NaN for a rung without one; only where there are such types;
        - `standing(rung)`: "reached" when its targets are new, plateaus are shown to be at least `LEAST_PLATEAU` of
          real's (as novelty, by the lower end of the interval), and the type is equivalent to real on every metric in
          both kinds of steps; else "not reached"; "undefined" where one of these was not measured.
          `lacks(rung)` says what is missing;
        - the coordinates `kind`, `adds` and `above` (empty for none) of each rung, and `is_control`.
    """
    relative = _compared(groups, RELATIVE)
    assert relative is not None, "a ladder is in relative steps"
    types = [str(name) for name in relative["activation_type"].to_numpy()]
    steps = steps_of(targets, types)
    controls = [name for name in types if bool(relative["is_control"].sel(activation_type=name)) and name != REFERENCE]
    names = [*controls, *(step.name for step in steps)]
    metrics = [name for name, metric in METRICS.items() if metric.is_default and name in relative["metric"].to_numpy()]
    experiments = [name for name in (RELATIVE, ABSOLUTE) if _compared(groups, name) is not None]
    found = _nearness(groups, experiments, names, metrics) | gains(relative, steps, names, metrics)
    found |= _plateaus(groups, names) | _realism(groups, names)
    found |= _matched(relative, matched_of(targets, types), names, metrics)
    found |= _doses(relative, doses_of(targets, types), metrics)
    found |= _own_tokens(groups, own_token_of(targets, types), names, draws, kept or {})
    none = [""] * len(controls)
    coordinates = {
        "experiment": texts("experiment", experiments, "experiment"),
        "rung": texts("rung", names, "activation type, from below"),
        "metric": texts("metric", metrics, "metric"),
        "bound": bounds(),
        "kind": ("rung", strings([*none, *(step.kind for step in steps)]), attrs("what it is made of", "1")),
        "adds": ("rung", strings([*none, *(step.adds for step in steps)]), attrs("its property", "1")),
        "above": ("rung", strings([*none, *(step.above or "" for step in steps)]), attrs("the rung it stands on", "1")),
        "is_control": ("rung", np.isin(names, controls), attrs("whether it is real targets drawn again", "1")),
    }
    borrowing = [step.name for step in steps if step.borrows]
    found["borrows"] = (
        ("rung",),
        np.isin(names, borrowing),
        attrs("whether it has parts of the real target itself", "1"),
    )
    result = xr.Dataset(found, coords=coordinates)
    result.attrs = {
        "margin": {name: float(groups[name]["verdict"].attrs["margin"]) for name in experiments},
        "confidence": float(relative["ks_interval"].attrs["confidence"]),
        "prompts": {name: int(groups[name]["n"].max()) for name in experiments},
    }
    worst = result["ks"].sel(experiment=RELATIVE).max("metric").to_numpy()
    of_types = np.where(result["is_control"], np.inf, np.nan_to_num(worst, nan=np.inf))
    is_new = np.array([not list(_old(result.sel(rung=name))) for name in names], dtype=bool)
    if (is_new & np.isfinite(of_types)).any():  # what is made from the real target itself is near it for nothing
        of_types = np.where(is_new, of_types, np.inf)
    best = best_gain(result)
    result.attrs |= {
        "closest": names[int(of_types.argmin())] if steps else "",
        "best_gain": best.rung,
        "best_gain_is_most": best.is_most,
        "best_gain_metric": metrics[int(result["gain"].sel(rung=best.rung).argmin("metric"))] if best.rung else "",
    }
    judged = [_standing(result, name) for name in names]
    least: Attributes = {"novel": NOVEL, "least_plateau": LEAST_PLATEAU}
    return result.assign(
        is_new=("rung", is_new, attrs("whether its targets are shown to be new, no copies, and borrow nothing", "1")),
        worst_ks=("rung", worst, attrs("largest distance to real over metrics, relative steps", "1")),
        standing=(
            "rung",
            strings(word for word, _ in judged),
            {**attrs("whether it is as good as real", "1"), **least},
        ),
        lacks=("rung", strings(lacks for _, lacks in judged), attrs("what it lacks of real", "1")),
    )


class BestGain(NamedTuple):
    """The property that brings a type nearest."""

    rung: str
    """Whose least gain over metrics is the largest, of those whose gains are all shown; empty for none."""
    is_most: bool
    """Whether its interval lies above that of every other rung's gain, on every metric: the largest of several equal
    gains is one by chance."""


def best_gain(ladder: xr.Dataset) -> BestGain:
    """Which single property brings a type nearest to real, and whether that is more than chance.

    Parameters
    ----------
    ladder
        `gains`, with the coordinates `rung` and `metric`, and the attribute `confidence`.

    Returns
    -------
    BestGain
        Of all rungs that stand on another.
    """
    alpha = 1 - ladder.attrs["confidence"]
    shown = ((ladder["gain_p_holm"] <= alpha) & (ladder["gain"] > 0)).all("metric").to_numpy()
    if not shown.any():
        return BestGain("", is_most=False)
    least = np.where(shown, np.nan_to_num(ladder["gain"].min("metric").to_numpy(), nan=-np.inf), -np.inf)
    best = str(ladder["rung"].to_numpy()[int(least.argmax())])
    lower, upper = (ladder["gain_interval"].sel(bound=bound) for bound in ("lower", "upper"))
    others = upper.drop_sel(rung=best).max("rung").fillna(-np.inf)
    return BestGain(best, bool((lower.sel(rung=best) > others).all()))


def _matched(
    relative: xr.Dataset, matched: Mapping[str, str], names: Sequence[str], metrics: Sequence[str]
) -> _Variables:
    found, interval = np.full((len(names), len(metrics)), np.nan), np.full((len(names), len(metrics), 2), np.nan)
    for name, variant in matched.items():
        if name in names:
            own = relative.sel(activation_type=variant, metric=list(metrics))
            found[names.index(name)] = own["ks"].to_numpy()
            interval[names.index(name)] = own["ks_interval"].transpose("metric", "bound").to_numpy()
    what = "Kolmogorov-Smirnov distance to real with norm and distances matched"
    return {
        "matched_ks": (("rung", "metric"), found, attrs(what, "1")),
        "matched_ks_interval": (("rung", "metric", "bound"), interval, attrs(f"interval: {what}", "1")),
    }


def _doses(relative: xr.Dataset, doses: Mapping[str, Mapping[float, str]], metrics: Sequence[str]) -> dict[str, Any]:
    if not doses:
        return {}
    shares = sorted({share for own in doses.values() for share in own})
    shape = (len(doses), len(shares), len(metrics))
    found, interval = np.full(shape, np.nan), np.full((*shape, 2), np.nan)
    for place, own in enumerate(doses.values()):
        for share, name in own.items():
            at = relative.sel(activation_type=name, metric=list(metrics))
            found[place, shares.index(share)] = at["ks"].to_numpy()
            interval[place, shares.index(share)] = at["ks_interval"].transpose("metric", "bound").to_numpy()
    dims, what = ("dosed_type", "share", "metric"), "Kolmogorov-Smirnov distance to real"
    return {
        "dosed_type": texts("dosed_type", list(doses), "type that was made with several shares kept"),
        "share": ("share", np.array(shares, dtype=np.float64), attrs("share of latents that are kept", "1")),
        "dose_ks": (dims, found, attrs(what, "1")),
        "dose_ks_interval": ((*dims, "bound"), interval, attrs(f"interval: {what}", "1")),
    }


def _own_tokens(
    groups: Mapping[str, xr.Dataset],
    own: Mapping[str, str],
    names: list[str],
    draws: PlateauDraws | None,
    kept: Mapping[str, int],
) -> _Variables:
    own = {name: variant for name, variant in own.items() if name in names}
    plateau = _plateau_lengths(groups)
    if not own or draws is None or plateau is None:
        return {}
    places = [names.index(name) for name in own]
    confidence = float(plateau["mean_difference_interval"].attrs["confidence"])
    real = float(plateau["mean"].sel(activation_type=REFERENCE))
    values = plateau["step_value"].transpose("activation_type", "sample")
    change = np.stack(
        [values.sel(activation_type=b).to_numpy() - values.sel(activation_type=a) for a, b in own.items()]
    )
    there = np.isfinite(change)
    change = np.where(there, change, 0.0)
    mean = mean_interval(change, there, draws.resampling, confidence)
    p = np.where(there.any(axis=1), mean_swap_p(change, draws.swaps), np.nan)
    adjusted_p = adjust(p, "holm")
    words = np.full(len(names), "", dtype=object)
    is_apart = (mean.interval > 0).all(axis=1) | (mean.interval < 0).all(axis=1)
    words[places] = np.where(
        is_apart & (adjusted_p <= 1 - confidence), np.where(mean.estimate > 0, LONGER, SHORTER), UNDECIDED
    )
    share, ends = _plateaus_over_real(plateau, list(own.values()))
    prompts = groups["prompts"].sizes["sample"]
    of = np.array([kept.get(variant, prompts) / prompts for variant in own.values()])

    def placed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        found = np.full((len(names), *values.shape[1:]), np.nan)
        found[places] = values
        return found

    what = "mean plateau length over that of real activations, for the prompt's own token"
    gain = "how much longer plateaus are for the prompt's own token, over real's mean"
    adjusted = {**attrs(f"p-value of none: {gain}", "1"), "adjustment": "Holm"}
    return {
        "own_token_share": (("rung",), placed(share), attrs(what, "1")),
        "own_token_share_interval": (("rung", "bound"), placed(ends), attrs(f"interval: {what}", "1")),
        "own_token_gain": (("rung",), placed(mean.estimate / real), attrs(gain, "1")),
        "own_token_gain_interval": (("rung", "bound"), placed(mean.interval / real), attrs(f"interval: {gain}", "1")),
        "own_token_gain_p_holm": (("rung",), placed(adjusted_p), adjusted),
        "own_token_verdict": (("rung",), strings(words), attrs("how plateaus for the prompt's own token differ", "1")),
        "own_token_kept": (("rung",), placed(of), attrs("share of base prompts whose own token is drawn for", "1")),
    }


def _compared(groups: Mapping[str, xr.Dataset], name: str) -> xr.Dataset | None:
    """An experiment's comparison of max-slope steps; None where it has none."""
    if name not in groups or "ks" not in groups[name]:
        return None
    return groups[name].sel(convention="corrected", statistic=BLOWUP)


def _nearness(
    groups: Mapping[str, xr.Dataset], experiments: list[str], names: list[str], metrics: list[str]
) -> _Variables:
    chosen = []
    for name in experiments:
        compared = _compared(groups, name)
        assert compared is not None
        chosen.append(compared.reindex(activation_type=names, metric=metrics))
    dims = ("experiment", "rung", "metric")

    def stacked(variable: str, *more: str) -> NDArray[np.generic]:
        order = ("activation_type", "metric", *more)
        return np.stack([each[variable].transpose(*order).to_numpy() for each in chosen])

    what = "Kolmogorov-Smirnov distance to real"
    words = strings("" if not isinstance(word, str) else word for word in stacked("conclusion").ravel())
    return {
        "ks": (dims, stacked("ks"), attrs(what, "1")),
        "ks_interval": ((*dims, "bound"), stacked("ks_interval", "bound"), attrs(f"interval: {what}", "1")),
        "ks_null_upper": (dims, stacked("ks_null_upper"), attrs(f"what chance gives: {what}", "1")),
        "conclusion": (dims, words.reshape(stacked("ks").shape), attrs("verdict", "1")),
    }


def gains(relative: xr.Dataset, steps: Sequence[Step], names: Sequence[str], metrics: Sequence[str]) -> _Variables:
    """By how much nearer to real every rung is than the one that it stands on.

    Parameters
    ----------
    relative
        `ks_difference` and the like (activation_type, other_type, metric) of one statistic.
    steps
        The rungs.
    names, metrics
        The coordinates of what is asked; each step's name is among the first.

    Returns
    -------
    dict
        `gain(rung, metric)`, `gain_interval` and `gain_p_holm`, adjusted over rungs and metrics; NaN for a rung that
        stands on none.
    """
    shape = (len(names), len(metrics))
    gain, interval, p = np.full(shape, np.nan), np.full((*shape, 2), np.nan), np.full(shape, np.nan)
    for step in steps:
        if step.above is None:
            continue
        pair = relative.sel(activation_type=step.above, other_type=step.name).sel(metric=[*metrics])
        place = names.index(step.name)
        gain[place] = pair["ks_difference"].to_numpy()
        interval[place] = pair["ks_difference_interval"].transpose("metric", "bound").to_numpy()
        p[place] = pair["ks_difference_p"].to_numpy()
    what = "how much nearer to real than the rung below, in KS distance"
    dims = ("rung", "metric")
    adjusted = adjust(p.ravel(), "holm").reshape(shape)
    return {
        "gain": (dims, gain, attrs(what, "1")),
        "gain_interval": ((*dims, "bound"), interval, attrs(f"interval: {what}", "1")),
        "gain_p_holm": (dims, adjusted, {**attrs(f"p-value of none: {what}", "1"), "adjustment": "Holm"}),
    }


def _plateaus(groups: Mapping[str, xr.Dataset], names: list[str]) -> _Variables:
    plateau = _plateau_lengths(groups)
    if plateau is None:
        share, interval = np.full(len(names), np.nan), np.full((len(names), 2), np.nan)
    else:
        share, interval = _plateaus_over_real(plateau, names)
    what = "mean plateau length over that of real activations"
    return {
        "plateau_share": (("rung",), share, attrs(what, "1")),
        "plateau_share_interval": (("rung", "bound"), interval, attrs(f"interval: {what}", "1")),
    }


def _plateau_lengths(groups: Mapping[str, xr.Dataset]) -> xr.Dataset | None:
    """The comparison of plateau lengths, on the first metric that has any; None where none has."""
    if PLATEAU not in groups or "mean" not in groups[PLATEAU]:
        return None
    every = groups[PLATEAU].sel(convention="corrected")
    if LENGTH not in every["statistic"].to_numpy():
        return None
    lengths = every.sel(statistic=LENGTH)
    there = [m for m in lengths["metric"].to_numpy() if lengths["mean"].sel(metric=m).notnull().any()]
    return lengths.sel(metric=there[0]) if there else None


def _plateaus_over_real(plateau: xr.Dataset, names: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean plateau lengths over real's, with the intervals of their differences."""
    real = float(plateau["mean"].sel(activation_type=REFERENCE))
    own = plateau.reindex(activation_type=list(names))
    ends = own["mean_difference_interval"].transpose("activation_type", "bound").to_numpy()
    return 1 + own["mean_difference"].to_numpy() / real, 1 + ends / real


def _realism(groups: Mapping[str, xr.Dataset], names: list[str]) -> _Variables:
    found = {
        "novelty": np.full(len(names), np.nan),
        "novelty_interval": np.full((len(names), 2), np.nan),
        "copies": np.full(len(names), np.nan),
    }
    detector = strings("" for _ in names)
    if "distinguish" in groups:
        own = groups["distinguish"].reindex(activation_type=names)
        for name in found:
            if f"fit_{name}" in own:
                dims = ("activation_type", "bound") if name.endswith("interval") else ("activation_type",)
                found[name] = own[f"fit_{name}"].transpose(*dims).to_numpy()
        detector = strings(word if isinstance(word, str) else "" for word in own["best_detector"].to_numpy())
    what = "distance to the nearest activation that types were fitted to, over real's"
    return {
        "novelty": (("rung",), found["novelty"], attrs(what, "1")),
        "novelty_interval": (("rung", "bound"), found["novelty_interval"], attrs(f"interval: {what}", "1")),
        "copies": (("rung",), found["copies"], attrs("share of copies", "1")),
        "best_detector": (("rung",), detector, attrs("what most clearly gives it away", "1")),
    }


def _standing(ladder: xr.Dataset, rung: str) -> tuple[str, str]:
    """Whether a rung is as good as real, and what it lacks, in words."""
    own = ladder.sel(rung=rung)
    lacking = [*_unequal(own), *_unlike(own)]
    measured = [bool(own[name].notnull()) for name in ("novelty", "plateau_share")]
    if not all(measured) or ladder.sizes["experiment"] < 2 or (own["conclusion"] == "undefined").any():
        return UNDEFINED, "; ".join(lacking)
    return (NOT_REACHED, "; ".join(lacking)) if lacking else (REACHED, "")


def _unequal(own: xr.Dataset) -> Iterator[str]:
    for name in own["experiment"].to_numpy():
        words = own["conclusion"].sel(experiment=name)
        wrong = [
            str(m) for m in own["metric"].to_numpy() if not str(words.sel(metric=m).item()).startswith("equivalent")
        ]
        if wrong:
            kind = {RELATIVE: "relative", ABSOLUTE: "absolute"}[str(name)]
            *others, last = map(metric_label, wrong)
            where = f"{', '.join(others)} and {last}" if others else last
            yield f"equivalence in {kind} steps on {where}"


def _unlike(own: xr.Dataset) -> Iterator[str]:
    if not own["plateau_share_interval"].sel(bound="lower") >= LEAST_PLATEAU:
        yield f"plateaus at least {LEAST_PLATEAU:g} as long as real's"
    yield from _old(own)


def _old(own: xr.Dataset) -> Iterator[str]:
    """What is missing to call a rung's targets new."""
    if not own["novelty_interval"].sel(bound="lower") >= NOVEL:
        yield f"a novelty of {NOVEL:g}"
    if own["copies"] != 0:
        yield "freedom from copies"
    if own["borrows"]:
        yield "targets of its own"
