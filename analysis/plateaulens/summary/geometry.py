"""Where targets lie: how long they are, how far from the base, at what angle, and how far from the average base."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.resampling import Resampling, percentile_interval, ratio
from plateaulens.compare.scale import ratio_of_means
from plateaulens.store.reading import sample_ranges
from plateaulens.summary.attributes import attrs, bounds, interval_attrs
from plateaulens.summary.verdicts import length_relation, word_array

PATH_TOLERANCE = 0.05
"""Relative difference of mean path lengths from which a report warns."""

_DESCRIPTIONS = {
    "target_norm": ("length of the target", "residual stream"),
    "path_length": ("distance from base to target", "residual stream"),
    "cosine": ("cosine between base and target", "1"),
    "distance_from_mean": ("distance of the target from the mean base", "residual stream"),
}


def target_geometry(
    base: NDArray[np.floating], target: NDArray[np.floating], mean: NDArray[np.floating]
) -> dict[str, NDArray[np.float64]]:
    """Geometry of targets T and bases A: |T|, |T - A|, T.A / (|T| |A|) and |T - mean|, in double precision.

    Parameters
    ----------
    base
        The bases A, (sample, d_model).
    target
        The targets T, (..., sample, d_model).
    mean
        The mean base, (d_model,).

    Returns
    -------
    dict[str, NDArray[np.float64]]
        `target_norm`, `path_length`, `cosine` and `distance_from_mean`, each (..., sample). Lengths are those of the
        residual stream. NaN where T or A is, and for the cosine where either has no length.

    Examples
    --------
    >>> found = target_geometry(np.array([[3.0, 0.0]]), np.array([[3.0, 4.0]]), np.array([0.0, 0.0]))
    >>> {name: float(value[0]) for name, value in found.items()}
    {'target_norm': 5.0, 'path_length': 4.0, 'cosine': 0.6, 'distance_from_mean': 5.0}
    """
    base, target, mean = (array.astype(np.float64) for array in (base, target, mean))
    target_norm = np.linalg.norm(target, axis=-1)
    return {
        "target_norm": target_norm,
        "path_length": np.linalg.norm(target - base, axis=-1),
        "cosine": ratio((target * base).sum(axis=-1), target_norm * np.linalg.norm(base, axis=-1)),
        "distance_from_mean": np.linalg.norm(target - mean, axis=-1),
    }


def geometry_dataset(
    activations: xr.Dataset, resampling: Resampling, confidence: float, *, reference: str
) -> xr.Dataset:
    """The geometry of a run's targets, its means over base prompts and their intervals.

    The mean base is that of the run's own complete samples, and the resamples keep it. Targets are read in ranges of
    base prompts.

    Parameters
    ----------
    activations
        The run's `/activations`.
    resampling
        Resamples of its base prompts.
    confidence
        The nominal coverage of intervals.
    reference
        The activation type that paths are compared with.

    Returns
    -------
    xarray.Dataset
        - every quantity of `target_geometry` as (activation_type, sample), with `*_mean(activation_type)` and the
          percentile interval of that mean, `*_interval(activation_type, bound)`. Incomplete samples are NaN and left
          out of means;
        - `base_norm(sample)` and `active_latents(sample)`;
        - `path_ratio(activation_type)`: the mean path over that to the reference, of the base prompts that have both,
          with its interval, of pairs; and `path_n_pairs`, how many these are;
        - `path_relation(activation_type)`: whose mean paths are clearly longer, or shorter, than those to the
          reference, by more than `PATH_TOLERANCE`: the word on each ratio.
    """
    base = activations["base"].transpose("sample", "d_model").to_numpy()
    complete = np.isfinite(base).all(axis=1)
    mean_base = ratio(base.sum(axis=0, dtype=np.float64, where=complete[:, np.newaxis]), complete.sum(keepdims=True))
    parts = []
    for rows in sample_ranges(len(base)):
        target = activations["target"].isel(sample=rows).transpose("activation_type", "sample", "d_model").to_numpy()
        parts.append(target_geometry(base[rows], target, mean_base))
    variables: dict[str, xr.Variable] = {
        "base_norm": xr.Variable(
            "sample", np.linalg.norm(base, axis=1), attrs("length of the base", "residual stream")
        ),
        "active_latents": activations["active_latents"].variable.load(),
    }
    dims = ("activation_type", "sample")
    for name, (long_name, units) in _DESCRIPTIONS.items():
        value = np.concatenate([part[name] for part in parts], axis=-1)
        there = np.isfinite(value)
        mean = ratio(resampling.sums(np.where(there, value, 0.0).T), resampling.sums(there.T))
        interval = percentile_interval(mean[1:], confidence)
        described = (f"mean {long_name}", units)
        variables |= {
            name: xr.Variable(dims, value, attrs(long_name, units)),
            f"{name}_mean": xr.Variable(dims[:1], mean[0], attrs(*described)),
            f"{name}_interval": xr.Variable(
                (*dims[:1], "bound"), interval, interval_attrs(*described, resampling, confidence)
            ),
        }
    found = xr.Dataset(variables, coords={"activation_type": activations["activation_type"], "bound": bounds()})
    length = found["path_length"].to_numpy()
    real = [str(name) for name in found["activation_type"].to_numpy()].index(reference)
    scaled = ratio_of_means(length, resampling, reference=real, confidence=confidence)
    words = (f"mean distance from base to target over that of {reference}", "1")
    found = found.assign(
        path_ratio=(dims[:1], scaled.estimate, attrs(*words)),
        path_ratio_interval=(
            (*dims[:1], "bound"), scaled.interval, interval_attrs(*words, resampling, confidence)
        ),
        path_n_pairs=(
            dims[:1],
            (np.isfinite(length) & np.isfinite(length[real])).sum(axis=-1),
            attrs("base prompts with both targets", "1"),
        ),
    )  # fmt: skip
    relation = word_array(
        lambda ends, pairs: length_relation(ends, pairs, PATH_TOLERANCE),
        found["path_ratio_interval"],
        found["path_n_pairs"],
    ).assign_attrs(attrs(f"whether paths are longer than those to {reference}", "1"), tolerance=PATH_TOLERANCE)
    return found.assign(path_relation=relation)
