"""SAEs on one scale: how much of the way from random to real the activations come that are made of their latents.

The SAEs of one site are compared with each other on the same base prompts, real targets and random ones, as a sweep
over SAEs has them and `plateaulens.score_sae` makes them; others are refused. What the numbers are is said
in `plateaulens.compare.scale`. Which of two SAEs lies nearer to real is the test of two distances to one reference
(`plateaulens.compare.distances`), adjusted by Holm's method over all pairs of SAEs of one type and metric: the best one
has been chosen by the same data, and a test of the chosen pair alone would be wrong.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.distributions import Comparison, Observations, compare_types
from plateaulens.compare.multiplicity import adjust, both_ways, once_per_pair
from plateaulens.compare.permutation import Swaps
from plateaulens.compare.resampling import Resampling, ratio, shared_targets
from plateaulens.compare.scale import ratio_of_means, share_of_the_way
from plateaulens.compare.survival import restricted
from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.names import CONTROL, REFERENCE, SCALE_START, SCALED
from plateaulens.store.manifest import AXES, NO_SAE, SITE, Entry
from plateaulens.summary.attributes import attrs, bounds, interval_attrs, texts
from plateaulens.summary.sae_evidence import PLATEAU, Evidence, check_paired, scaled_types

GROUP = "sae_scale"
"""The group of a sweep's summary that has the scale."""
DIMS = ("sae", "activation_type", "metric")

UNADJUSTED = "not adjusted for the choice of the best"
"""Said of the intervals of `behind`: the same data have chosen which SAE is the best one."""

Standing = Literal["best", "tied for best", "not shown worse", "worse", "too few", "only one", "undefined"]

_NUMBERS = {
    "share": ("share of the way from random to real, 1 - KS of the type over KS of random, both to real", "band"),
    "ks": ("Kolmogorov-Smirnov distance to real", "uniform band"),
    "behind": ("share of the way by which the SAE lies behind the best", f"hull over the limits, {UNADJUSTED}"),
    "plateau_share": ("mean plateau length over that of real", "studentised"),
}
"""What has an interval `NAME_interval`, and how that is made."""
_OTHERS = {
    "n": "base prompts whose curves are compared",
    "rank": "place by the share, 1 for the best; SAEs with one share have one place",
    "behind_p": "p-value of a distance to real equal to that of the best",
    "behind_p_holm": "the same, adjusted over all pairs of SAEs (Holm)",
}
_SCALE_WORDS = {
    "scale_length": ("Kolmogorov-Smirnov distance of random to real, the length of the scale", "uniform band"),
    "control_share": ("share of the way of a second draw of real, 1 but for chance", "band"),
}
REAL, START, SAES = 0, 1, slice(2, None)
"""Where the reference, the start of the scale and the SAEs are along the axis of types of a comparison."""
_OF_SCALE = {"scale_length": ("ks", START), "control_share": ("share", SAES.start)}
"""What is said of the scale itself: what it is of a comparison in which the second draw of real is the only SAE."""


def sae_scale_dataset(
    evidence: Mapping[str, Evidence], settings: AnalysisConfig, *, types: Sequence[str] | None = None
) -> xr.Dataset:
    """The scale of the SAEs of one site.

    Parameters
    ----------
    evidence
        Of each SAE, by its name.
    settings
        Confidence, resamples, seed, and whether base prompts that share a real target are resampled together.
    types
        The activation types to place; None takes `scaled_types`.

    Returns
    -------
    Dataset
        (sae, activation_type, metric):

        - `share`, 1 - KS(type, real) / KS(random, real) of the distributions of steps, with its interval. It is never
          above 1 and is not cut below 0; NaN where random is not shown to differ from real: the scale has no length;
        - `ks` with its interval, and `n`, how many base prompts are compared;
        - `rank`, `behind` (the best one's share minus the SAE's) with its interval, in which the distance of random is
          taken for known, as it is common to both, and which is not adjusted for the choice of the best by the same
          data; `behind_p`, `behind_p_holm`, and the word `standing`, "too few" where base prompts are too few for
          tests;
        - `plateau_share`, the mean plateau length over that of real, plateaus that outlast the window counting as its
          end; NaN where the metric has no threshold, and where no plateau of real ends within the window.

        (metric): `scale_length`, KS(random, real), and `control_share`, the share of a second draw of real targets
        (`real_control`), which lies below 1 by chance alone; both with intervals, NaN where the runs lack that type.

    Raises
    ------
    UsageError
        As `check_paired` does; when the runs have none of the types; and when targets are to be resampled of which
        nothing is known.
    """
    check_paired(evidence)
    placed = scaled_types(evidence, types)
    if not placed:
        raise UsageError(f"there is nothing to place on the scale: have one of {', '.join(types or SCALED)} in the run")
    first = next(iter(evidence.values()))
    metrics = [str(name) for name in first.steps["metric"].to_numpy()]
    rng = np.random.default_rng([settings.seed, *GROUP.encode()])
    resampling, plateau_resampling = (
        Resampling.draw(
            rng,
            samples=each.sizes["sample"],
            resamples=settings.resamples,
            clusters=_clusters(first, each.sizes["sample"], settings),
        )
        for each in (first.steps, first.plateaus)
    )
    swaps = Swaps.draw(rng, samples=first.steps.sizes["sample"], swaps=1, clusters=resampling.unit)
    shape = (len(evidence), len(placed), len(metrics))
    found = {name: np.full(shape, np.nan) for name in (*_NUMBERS, *_OTHERS)}
    ends = {name: np.full((*shape, 2), np.nan) for name in _NUMBERS}
    standing = np.full(shape, "undefined", dtype=np.dtypes.StringDType())
    scale = {name: np.full(len(metrics), np.nan) for name in _OF_SCALE}
    scale_ends = {name: np.full((len(metrics), 2), np.nan) for name in _OF_SCALE}
    for m, metric in enumerate(metrics):
        value, censored = _stacked([first.steps], metric, CONTROL)
        compared = _compare(value, censored, resampling, swaps, settings, last=first.lasts[0], rng=rng)
        for name, (key, place) in _OF_SCALE.items():
            scale[name][m], scale_ends[name][m] = compared[key][place], compared[f"{key}_interval"][place]
        for t, kind in enumerate(placed):
            value, censored = _stacked([each.steps for each in evidence.values()], metric, kind)
            compared = _compare(value, censored, resampling, swaps, settings, last=first.lasts[0], rng=rng)
            for name, number in _ranked(compared, settings).items():
                if name == "standing":
                    standing[:, t, m] = number
                else:
                    (ends[name.removesuffix("_interval")] if name.endswith("_interval") else found[name])[:, t, m] = (
                        number
                    )
            value, censored = _stacked([each.plateaus for each in evidence.values()], metric, kind)
            if np.isfinite(value[REAL]).any():
                cut = restricted(value, censored, first.lasts[1])
                shares = ratio_of_means(cut, plateau_resampling, reference=REAL, confidence=settings.confidence)
                found["plateau_share"][:, t, m] = shares.estimate[SAES]
                ends["plateau_share"][:, t, m] = shares.interval[SAES]
    variables: dict[str, Any] = {}
    for name, (words, method) in _NUMBERS.items():
        own = plateau_resampling if name == "plateau_share" else resampling
        attributes = interval_attrs(words, "1", own, settings.confidence) | {"method": method}
        variables[name] = (DIMS, found[name], attrs(words, "1"))
        variables[f"{name}_interval"] = ((*DIMS, "bound"), ends[name], attributes)
    variables |= {name: (DIMS, found[name], attrs(words, "1")) for name, words in _OTHERS.items()}
    words = "whether the SAE is shown to lie behind the best"
    variables["standing"] = (DIMS, standing, attrs(words, "1") | {"alpha": 1 - settings.confidence})
    for name, (words, method) in _SCALE_WORDS.items():
        attributes = interval_attrs(words, "1", resampling, settings.confidence) | {"method": method}
        variables[name] = (DIMS[2:], scale[name], attrs(words, "1"))
        variables[f"{name}_interval"] = ((*DIMS[2:], "bound"), scale_ends[name], attributes)
    return xr.Dataset(
        variables,
        coords={
            "sae": texts("sae", evidence, "sparse autoencoder"),
            "activation_type": texts("activation_type", placed, "activation type"),
            "metric": texts("metric", metrics, "metric"),
            "bound": bounds(),
        },
        attrs={
            "experiment": first.experiment,
            "statistic": first.statistic,
            "plateaus_of": PLATEAU if PLATEAU in first.about["steps"] else first.experiment,
            "saes": json.dumps([{"sae": name, **each.about} for name, each in evidence.items()]),
        },
    )


def _clusters(evidence: Evidence, samples: int, settings: AnalysisConfig) -> NDArray[np.int_] | None:
    if not settings.resample_targets:
        return None
    if evidence.linked is None:
        raise UsageError("analysis.resample_targets: a summary does not say which targets are shared: give the runs")
    return shared_targets(evidence.linked[:, :samples])


def _stacked(steps: Sequence[xr.Dataset], metric: str, kind: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values, and whether they are censored, (real, random and the type of each SAE; sample)."""
    ends = steps[0].sel(metric=metric, activation_type=[REFERENCE, SCALE_START])
    none = ends.isel(activation_type=0)
    own = [
        each.sel(metric=metric, activation_type=kind) if kind in each["activation_type"].to_numpy() else None
        for each in steps
    ]
    value = [
        np.full(none["step_value"].shape, np.nan) if each is None else each["step_value"].to_numpy() for each in own
    ]
    censored = [np.zeros(none["censored"].shape, bool) if each is None else each["censored"].to_numpy() for each in own]
    return (
        np.concatenate([ends["step_value"].to_numpy(), np.stack(value)]),
        np.concatenate([ends["censored"].to_numpy(), np.stack(censored)]),
    )


def _compare(
    value: NDArray[np.float64],
    censored: NDArray[np.bool_],
    resampling: Resampling,
    swaps: Swaps,
    settings: AnalysisConfig,
    *,
    last: int,
    rng: np.random.Generator,
) -> Comparison:
    """What `compare_types` finds, and the shares of the way."""
    # neither the margin nor the swaps have a part in what is taken from it
    found = compare_types(
        value, censored, resampling, swaps, reference=REAL, last_step=last, margin=0.5, settings=settings, rng=rng
    )
    observations = Observations(value, censored, REAL)
    weighted = observations.weigh(resampling)
    differences = weighted.functions - weighted.functions[:, [REAL]]
    reach = weighted.reaches(settings.confidence, resampling.worth).changed
    shares = share_of_the_way(differences, reach, start=START, confidence=settings.confidence)
    compared = (observations.observed & observations.observed[REAL]).sum(axis=1).astype(np.float64)
    return found | {"share": shares.estimate, "share_interval": shares.interval, "compared": compared}


def _ranked(compared: Comparison, settings: AnalysisConfig) -> dict[str, NDArray[Any]]:
    """What is said of each SAE, (SAE, ...)."""
    share, ks = compared["share"][SAES], compared["ks"][SAES]
    result: dict[str, NDArray[Any]] = {
        "share": share,
        "share_interval": compared["share_interval"][SAES],
        "ks": ks,
        "ks_interval": compared["ks_interval"][SAES],
        "n": compared["compared"][SAES],
    }
    there = np.isfinite(share)
    rank = np.where(there, 1.0 + (share[there] > share[:, np.newaxis]).sum(axis=1), np.nan)
    p = compared["ks_difference_p"][SAES, SAES]
    holm = both_ways(adjust(once_per_pair(p), "holm"))
    best = int(np.argmax(rank == 1)) if there.any() else 0
    far = np.full(len(share), compared["ks"][START])
    difference, interval = (compared[name][SAES, SAES][:, best] for name in ("ks_difference", "ks_difference_interval"))
    apart = there & (rank > 1)
    alpha, first = 1 - settings.confidence, int((rank == 1).sum())
    # the best one has no test with itself: it is the first of an order where a test with another says something
    ordered = bool(np.isfinite(np.delete(holm[:, best], best)[np.delete(there, best)]).any())
    return result | {
        "rank": rank,
        "behind": np.where(there, np.where(apart, share[best] - share, 0.0), np.nan),
        "behind_interval": np.where(
            (there & np.isfinite(difference))[:, np.newaxis], ratio(interval, far[:, np.newaxis]), np.nan
        ),
        "behind_p": np.where(apart, p[:, best], np.nan),
        "behind_p_holm": np.where(apart, holm[:, best], np.nan),
        "standing": np.array(
            [
                _standing(float(own), first, int(there.sum()), float(adjusted), alpha, ordered=ordered)
                for own, adjusted in zip(rank, holm[:, best], strict=True)
            ],
            dtype=np.dtypes.StringDType(),
        ),
    }


def _standing(rank: float, first: int, saes: int, p_holm: float, alpha: float, *, ordered: bool) -> Standing:
    """The word on one SAE, from its place, how many have the first one, how many there are, and the test with it.

    `ordered` is whether there is a test of the first one with any other.
    """
    if np.isnan(rank):
        return "undefined"
    if saes == 1:
        return "only one"
    if not ordered:
        return "too few"
    if rank == 1:
        return "best" if first == 1 else "tied for best"
    if np.isnan(p_holm):
        return "too few"
    return "worse" if p_holm <= alpha else "not shown worse"


def sweep_scale_dataset(
    evidence: Mapping[Entry, Evidence], axes: Mapping[str, Sequence[Any]], settings: AnalysisConfig
) -> xr.Dataset | None:
    """The scales of a sweep: one for each model, write site, read site and seed that has SAEs.

    Parameters
    ----------
    evidence
        Of each run that has an SAE, and both ends of the scale.
    axes
        The values of each of `AXES`.
    settings
        As `sae_scale_dataset` takes them.

    Returns
    -------
    Dataset or None
        What `sae_scale_dataset` finds, with the dimensions `AXES`, NaN or empty where there is no run; None where no
        run has an SAE and one of the types that are placed.
    """
    sites: dict[tuple[Any, ...], dict[str, Evidence]] = {}
    for entry, each in evidence.items():
        if entry.sae != NO_SAE and scaled_types({entry.sae: each}):
            sites.setdefault(tuple(getattr(entry, axis) for axis in SITE), {})[entry.sae] = each
    scales = [
        sae_scale_dataset(own, settings).expand_dims({axis: [value] for axis, value in zip(SITE, site, strict=True)})
        for site, own in sites.items()
    ]
    if not scales:
        return None
    whole: dict[str, Any] = {}
    dims = {str(dim): size for dim, size in scales[0].sizes.items()} | {axis: len(axes[axis]) for axis in AXES}
    kinds = list(dict.fromkeys(str(name) for each in scales for name in each["activation_type"].to_numpy()))
    dims["activation_type"] = len(kinds)
    for name, values in scales[0].data_vars.items():
        order = [*(axis for axis in AXES if axis in values.dims), *(dim for dim in values.dims if dim not in AXES)]
        is_word = np.dtypes.StringDType() == values.dtype
        shape = tuple(dims[str(dim)] for dim in order)
        empty: NDArray[Any] = np.full(shape, "", values.dtype) if is_word else np.full(shape, np.nan)
        whole[str(name)] = (order, empty, values.attrs)
    coordinates = {"activation_type": texts("activation_type", kinds, "activation type")} | {
        axis: np.array(axes[axis], dtype=np.int64) if axis == "seed" else texts(axis, axes[axis], axis) for axis in AXES
    }
    about = {"saes": json.dumps([own for each in scales for own in json.loads(each.attrs["saes"])])}
    found = xr.Dataset(whole, coords={**scales[0][["metric", "bound"]].coords, **coordinates})
    for one in scales:
        for name, values in one.data_vars.items():
            where = {dim: one[dim].to_numpy() for dim in values.dims if dim in (*AXES, "activation_type")}
            found[name].loc[where] = values.transpose(*found[name].dims).to_numpy()
    return found.assign_attrs(scales[0].attrs | about)


def ranks_saes(summary: xr.DataTree) -> bool:
    """Whether a sweep has several SAEs of one site.

    Parameters
    ----------
    summary
        Of the sweep.

    Returns
    -------
    bool
        False where it has no scale, too.
    """
    if GROUP not in summary.children:
        return False
    there = (summary[GROUP]["standing"] != "").any(["activation_type", "metric"])
    return bool((there.sum("sae") > 1).any())


def ranking(scale: xr.Dataset) -> pd.DataFrame:
    """The scale as a table that ranks its SAEs.

    Parameters
    ----------
    scale
        As `sae_scale_dataset` gives it, or the group of a sweep's summary.

    Returns
    -------
    DataFrame
        A row for each SAE, type and metric, and of a sweep for each site that has the SAE: those of one type and metric
        together, the best first, those without a share last. An interval is the two columns `NAME_lower` and
        `NAME_upper`.
    """
    others = [axis for axis in SITE if axis in scale.dims]
    dims = (*others, "activation_type", "metric", "sae")
    kept = ["rank", "share", "behind", "behind_p_holm", "standing", "ks", "n", "plateau_share"]
    shape = tuple(scale.sizes[dim] for dim in dims)
    places = np.indices(shape).reshape(len(dims), -1)
    columns: dict[str, Any] = {
        dim: scale[dim].to_numpy().astype(object)[place] for dim, place in zip(dims, places, strict=True)
    }
    for name in kept:
        values = scale[name].transpose(*dims).to_numpy().ravel()
        columns[name] = values.astype(object) if values.dtype.kind == "T" else values
        if name in _NUMBERS:
            ends = scale[f"{name}_interval"].transpose(*dims, "bound").to_numpy().reshape(-1, 2)
            columns |= {f"{name}_lower": ends[:, 0], f"{name}_upper": ends[:, 1]}
    columns["order"] = np.ravel_multi_index(tuple(places[:-1]), shape[:-1])
    frame = pd.DataFrame(columns)
    frame = frame[frame["standing"] != ""].sort_values(["order", "rank"], kind="stable", na_position="last")
    return frame.drop(columns="order").reset_index(drop=True)
