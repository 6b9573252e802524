"""A run's numbers beside the authors', and whether they differ by more than sampling does.

The question to each number is: had the authors sampled the distribution that this run has sampled, would they have
printed it? Both errors follow from the run's own base prompts: two samples are drawn from them with replacement, one
as large as the run and one as large as the authors', and the statistic's difference between the two is noted. The
middle part of many such differences is where the authors' number minus the run's lies by chance. For KS distances,
whose bootstrap lies too high, that cancels most of the bias, as both samples have it. Base prompts are drawn whole, so
a type's values and those of the type it is compared with stay paired.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.measured import ACTIVATIONS, Measured, Measurements
from plateaulens.compare.reference import read_activation_reference, read_reference
from plateaulens.compare.sampling_error import PairedSample
from plateaulens.config import AnalysisConfig, RunConfig

ASSUMED_SAMPLES = 1000
"""Base prompts that the authors are taken to have used where they do not say: the paper's number."""
KS_READING_ERROR = 0.01
"""How far a KS distance that was computed from a digitised figure may be off."""

_REFERENCE_TYPE = "real"
_SAE = "gpt2-small-res-jb"
_SITES = ("blocks.1.hook_resid_pre", "blocks.11.hook_resid_post")


class Comparison(NamedTuple):
    """One number of the authors' and the run's."""

    experiment: str
    statistic: str
    metric: str
    activation_type: str
    quantity: str
    """`mean`, `median` or `sd`, in the units of the statistic, or `ks`."""
    authors: float
    here: float
    lower: float
    upper: float
    """Where the authors' number minus the run's lies by sampling alone, with the wanted confidence."""
    inside: bool
    """Whether it does lie there, give or take the reading error."""
    n_authors: int
    n_is_assumed: bool
    n_here: int
    reading_error: float
    source: str
    note: str


def is_replication(config: RunConfig) -> bool:
    """Whether a run has the authors' model, SAE and sites, so that their numbers are to be expected."""
    model = config.model.source.rstrip("/").rpartition("/")[2]
    has_sae = config.sae is not None and _SAE in config.sae.source
    return model == "gpt2" and has_sae and (config.sites.write, config.sites.read) == _SITES


def compare_reference(tree: xr.DataTree, settings: AnalysisConfig) -> list[Comparison]:
    """Every number of data/reference that a run or its summary has as well, beside the run's.

    Step statistics are in the authors' conventions. Of a summary those rows are missing that take single curves (means
    over all steps, pooled distances). Random numbers come from `settings.seed` alone.
    """
    rng = np.random.default_rng([settings.seed, *b"reference"])
    measurements = Measurements(tree, settings)
    rows: list[Comparison] = []
    for authors in _authors():
        found = measurements.get(authors["experiment"], authors["statistic"], authors["metric"])
        sample = None if found is None else _sample(found, authors["activation_type"], authors["dropped_above"])
        if sample is not None:
            rows.extend(_compare(authors, sample, settings, rng))
    return rows


def _authors() -> Iterator[dict[str, Any]]:
    """Every row of data/reference, those on activations under the columns of the others."""
    activations = read_activation_reference().rename(columns={"quantity": "statistic", "value": "mean"})
    place = {"experiment": ACTIVATIONS, "metric": "", "activation_type": "base"}
    table = pd.concat([read_reference(), activations.assign(**place)])
    for row in table.to_dict("records"):
        yield {str(key): value for key, value in row.items()}


def _sample(found: Measured, activation_type: str, dropped_above: float) -> PairedSample | None:
    """The values that a row of the reference is about; None when the run does not have the type."""
    kind, _, other = activation_type.partition(" vs ")
    other = other or _REFERENCE_TYPE
    if kind not in found.types:
        return None
    kept = np.where(found.values > dropped_above, np.nan, found.values)
    values = dict(zip(found.types, kept, strict=True))
    compared = values.get(other) if kind != other else None
    concerned = found.values[[index for index, name in enumerate(found.types) if name in (kind, other)]]
    has_value = np.isfinite(concerned).reshape(*concerned.shape[:2], -1)
    complete: NDArray[np.bool_] = np.all(np.any(has_value, axis=2), axis=0)
    if not complete.any():
        return None
    return PairedSample(values[kind][complete], None if compared is None else compared[complete])


def _compare(
    authors: dict[str, Any], sample: PairedSample, settings: AnalysisConfig, rng: np.random.Generator
) -> Iterator[Comparison]:
    assumed = bool(pd.isna(authors["n"]))
    size = ASSUMED_SAMPLES if assumed else int(authors["n"])
    reading_error = 0.0 if pd.isna(authors["reading_error"]) else float(authors["reading_error"])
    here = sample.statistics(np.ones((1, len(sample))))
    error = sample.error(size, settings.resamples, settings.confidence, rng)
    for quantity, value in here.items():
        if pd.isna(authors[quantity]):
            continue
        read = min(reading_error, KS_READING_ERROR) if quantity == "ks" else reading_error
        yield Comparison(
            experiment=authors["experiment"],
            statistic=authors["statistic"],
            metric=authors["metric"],
            activation_type=authors["activation_type"],
            quantity=quantity,
            authors=float(authors[quantity]),
            here=float(value[0]),
            lower=float(error[quantity][0]),
            upper=float(error[quantity][1]),
            inside=_is_inside(float(authors[quantity]) - float(value[0]), error[quantity], read),
            n_authors=size,
            n_is_assumed=assumed,
            n_here=len(sample),
            reading_error=read,
            source=authors["source"],
            note="" if pd.isna(authors["note"]) else authors["note"],
        )


def _is_inside(difference: float, interval: NDArray[np.float64], reading_error: float) -> bool:
    return bool(interval[0] - reading_error <= difference <= interval[1] + reading_error)
