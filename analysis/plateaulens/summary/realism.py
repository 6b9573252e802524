"""How realistic the targets of every type are: detectors, Fréchet distance, novelty, density and coverage."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.detectors import COMPONENTS, Detection, Frame, detect
from plateaulens.compare.distinguish import FOLDS
from plateaulens.compare.intervals import exact_interval
from plateaulens.compare.multiplicity import adjust
from plateaulens.compare.realism import (
    COPY,
    DIMENSIONS,
    HALVINGS,
    NEIGHBOURS,
    expected_coverage,
    fidelity,
    frechet,
    nearest,
    novelty,
    squared_distances,
)
from plateaulens.compare.resampling import Resampling, linked_prompts, percentile_interval, ratio
from plateaulens.names import DETECTORS
from plateaulens.store.reading import source_rows
from plateaulens.summary.attributes import Attributes, attrs, bounds, strings, texts
from plateaulens.summary.distinguish import MAXIMUM_PROMPTS, PERMUTATIONS

SEEN, NOT_SEEN, FALSE_ALARM, UNDEFINED = "seen", "not seen", "false alarm", "undefined"
"""What a detector makes of a type; to tell a control from real is a false alarm."""
NO_DETECTOR = "none"
"""In the place of the best detector of a type that none sees."""
NOVEL = 2.0
"""Targets so much farther from real activations than these are from each other are new."""
_ENCODED = {"active_latents": "target_latents", "sae_error": "target_error"}
"""By detector, the variable of a run that has what the SAE makes of targets."""
_Variables = dict[str, tuple[tuple[str, ...], NDArray[np.generic], Attributes]]


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is compared, of the base prompts of which all is there, and how."""

    base: NDArray[np.float64]
    """(n, d_model)."""
    target: NDArray[np.floating]
    """(type, n, d_model)."""
    rows: NDArray[np.int32]
    """What targets were made of, (source, type, n)."""
    encoded: Mapping[str, NDArray[np.float64]]
    """What the SAE makes of targets, by detector, (type, n)."""
    types: tuple[str, ...]
    reference: str
    controls: Collection[str]
    seed: int
    resamples: int
    confidence: float

    @property
    def n(self) -> int:
        return len(self.base)

    @property
    def real(self) -> int:
        """The place of the reference."""
        return self.types.index(self.reference)

    @cached_property
    def again(self) -> tuple[int, ...]:
        """The places of real targets drawn again."""
        return tuple(p for p, name in enumerate(self.types) if name in self.controls and name != self.reference)

    @property
    def judged(self) -> list[int]:
        """The places of the types that a verdict is about."""
        return [place for place in range(len(self.types)) if place not in {self.real, *self.again}]

    @property
    def permutations(self) -> int:
        """So many that the least p-value can be below the level after its adjustment, in thousands."""
        tests = len(DETECTORS) * len(self.judged)
        return PERMUTATIONS * max(1, ceil(tests / (1 - self.confidence) / PERMUTATIONS))

    def groups(self, places: Sequence[int]) -> NDArray[np.int_]:
        """The groups of base prompts that share a target of some types, (n,)."""
        rows = self.rows[:, list(places)]
        return linked_prompts(rows.reshape(rows.shape[0] * rows.shape[1], self.n))

    def rng(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *purpose.encode()])


def realism_dataset(
    activations: xr.Dataset, *, reference: str, controls: Collection[str], seed: int, resamples: int, confidence: float
) -> xr.Dataset:
    """What gives the targets of each type away, and whether they are new.

    At most `MAXIMUM_PROMPTS` base prompts are looked at, and of these the ones of which every target is there. Each
    type has random numbers of its own, which depend on `seed` and its name. The base activations stand for real ones
    that are none of the draws that are compared: the whole activation is described in their principal components, and
    the distance to the nearest one of another prompt is a feature.

    Parameters
    ----------
    activations
        A run's `/activations`. What an SAE makes of targets is in runs with an SAE, but for old ones.
    reference
        The activation type that the others are compared with.
    controls
        The types that are real targets drawn again.
    seed
        The seed of every random number.
    resamples
        The number of resamples behind intervals.
    confidence
        The nominal coverage of intervals, and 1 - alpha of what is seen.

    Returns
    -------
    xarray.Dataset
        - `detector_auc(detector, activation_type)` with `detector_auc_interval` and `detector_p`, and
          `detector_p_holm`, adjusted over detectors and types, and over detectors for each control; the word
          `detected`: "seen" or "not seen", of a control "false alarm", or "undefined"; `best_detector`: of those that
          tell a type from real the one whose area lies farthest from chance, "none", or "undefined";
        - `floor_auc(detector)`, `floor_auc_interval`, `floor_p`, `floor_p_holm` and `floor_detected`: the same of all
          control draws together;
        - `frechet_ratio`, `novelty`, `copies` (a share), `density` and `coverage(activation_type)`, with intervals;
          `novelty_relation`, the word of `novelty_relation`;
        - `realism_prompts(activation_type)`, how many base prompts that is, for all types the same.

        The coordinate `is_control` marks `controls`.
    """
    kept = activations.isel(sample=slice(MAXIMUM_PROMPTS))
    base = kept["base"].transpose("sample", "d_model").to_numpy().astype(np.float64)
    target = kept["target"].transpose("activation_type", "sample", "d_model").to_numpy()
    there = np.isfinite(base).all(axis=-1) & np.isfinite(target).all(axis=(0, 2))
    encoded = {detector: kept[name] for detector, name in _ENCODED.items() if name in kept}
    asked = _Asked(
        base[there],
        target[:, there],
        source_rows(kept)[:, :, there],
        {
            detector: values.transpose("activation_type", "sample").to_numpy()[:, there].astype(np.float64)
            for detector, values in encoded.items()
        },
        tuple(str(name) for name in kept["activation_type"].to_numpy()),
        reference,
        controls,
        seed,
        resamples,
        confidence,
    )
    return xr.Dataset(
        {
            **_detections(asked),
            **_distances(asked),
            "realism_prompts": (
                "activation_type",
                np.full(len(asked.types), asked.n),
                attrs("base prompts with every target, of which the measures of realism are", "1"),
            ),
        },
        coords={
            "detector": texts("detector", DETECTORS, "score of an activation"),
            "activation_type": activations["activation_type"],
            "bound": bounds(),
            "is_control": (
                "activation_type",
                np.array([place in asked.again for place in range(len(asked.types))]),
                attrs("whether it is real targets drawn again", "1"),
            ),
        },
    )


def _detections(asked: _Asked) -> _Variables:
    """What each type's targets are told by, and what all control draws together are."""
    nothing = Detection(*(np.full((len(DETECTORS), *shape), np.nan) for shape in ((), (2,), ())))
    own = Detection(np.full_like(nothing.auc, 0.5), np.full_like(nothing.auc_interval, 0.5), nothing.p)
    found, floor = [nothing] * len(asked.types), nothing
    if asked.n:
        frame = Frame.fit(asked.base)
        columns = np.stack([frame.columns(target) for target in asked.target])
        features = _features(asked)

        def told(places: Sequence[int], purpose: str) -> Detection:
            return detect(
                features[list(places)],
                columns[list(places)],
                asked.groups(places),
                asked.rng(purpose),
                permutations=asked.permutations,
                resamples=asked.resamples,
                confidence=asked.confidence,
            )

        found = [told((asked.real, place), f"detectors {name}") for place, name in enumerate(asked.types)]
        if asked.again:
            one = asked.again[0]
            floor = found[one] if len(asked.again) == 1 else told((asked.real, *asked.again), "detectors of controls")
    found[asked.real] = own  # chance, by definition

    auc, interval, p = (np.stack(values, axis=1) for values in zip(*found, strict=True))
    adjusted = p.copy()
    adjusted[:, asked.judged] = adjust(p[:, asked.judged], "holm")
    for place in asked.again:
        adjusted[:, place] = adjust(p[:, place], "holm")
    words = [[_word(asked, one, place in asked.again) for place, one in enumerate(row)] for row in adjusted]
    of_floor = adjust(floor.p, "holm")
    drawn = {"control_draws": len(asked.again)}
    dims = ("detector", "activation_type", "bound")
    of_types = _tested(asked, "detector", "type", dims, (auc, interval, p, adjusted))
    of_controls = _tested(asked, "floor", "all control draws", (dims[0], dims[2]), (*floor, of_floor), **drawn)
    said: Attributes = {"alpha": 1 - asked.confidence}
    return {
        **of_types,
        "detected": (
            dims[:2],
            strings(word for row in words for word in row).reshape(auc.shape),
            {**attrs("whether a detector tells the type from real", "1"), **said},
        ),
        "best_detector": (dims[1:2], strings(map(_best, auc.T, zip(*words, strict=True))), attrs(_BEST, "1")),
        **of_controls,
        "floor_detected": (
            dims[:1],
            strings(_word(asked, one, is_control=True) for one in of_floor),
            {**attrs("whether a detector tells all control draws from real", "1"), **said, **drawn},
        ),
    }


def _features(asked: _Asked) -> NDArray[np.float64]:
    """The features of every target, (type, feature, n), NaN where there is none."""
    names = [name for name, detector in DETECTORS.items() if not detector.is_classifier]
    found = np.full((len(asked.types), len(names), asked.n), np.nan)
    origin = asked.base.mean(axis=0)
    for place, target in enumerate(asked.target):
        found[place, names.index("norm")] = np.linalg.norm(target.astype(np.float64), axis=1)
        for detector, values in asked.encoded.items():
            found[place, names.index(detector)] = values[place]
        squared = squared_distances(target, asked.base, origin=origin)
        np.fill_diagonal(squared, np.inf)
        found[place, names.index("neighbour_distance")] = nearest(target, asked.base, squared, skip_itself=True)
    return found


def _word(asked: _Asked, p: float, is_control: bool) -> str:
    if np.isnan(p):
        return UNDEFINED
    if p > 1 - asked.confidence:
        return NOT_SEEN
    return FALSE_ALARM if is_control else SEEN


_BEST = "detector that tells the type from real whose area lies farthest from chance"


def _best(auc: NDArray[np.float64], words: Sequence[str]) -> str:
    there = [place for place, word in enumerate(words) if word in {SEEN, FALSE_ALARM}]
    if not there:
        return NO_DETECTOR if NOT_SEEN in words else UNDEFINED
    return list(DETECTORS)[max(there, key=lambda place: abs(auc[place] - 0.5))]


def novelty_relation(lower: float, upper: float) -> str:
    """How far targets lie from real activations, by the interval of their novelty.

    Parameters
    ----------
    lower, upper
        Its ends.

    Returns
    -------
    str
        "nearer" than real ones to each other, "farther", "novel" (above `NOVEL`), "as near", which is not shown to be
        either, or "undefined".

    Examples
    --------
    >>> novelty_relation(0.8, 0.9), novelty_relation(0.9, 1.1), novelty_relation(1.1, 2.5), novelty_relation(9.0, 11.0)
    ('nearer', 'as near', 'farther', 'novel')
    """
    if not np.isfinite(lower):
        return UNDEFINED
    if lower > 1:
        return "novel" if lower > NOVEL else "farther"
    return "nearer" if upper < 1 else "as near"


def _tested(
    asked: _Asked,
    prefix: str,
    what: str,
    dims: tuple[str, ...],
    values: Sequence[NDArray[np.float64]],
    **more: int,
) -> _Variables:
    """Areas, intervals, p-values and adjusted ones, with what they are."""
    auc, p = f"area under the ROC curve of {what} against real", f"p-value that a detector tells {what} from real"
    ends: Attributes = {"confidence": asked.confidence, "resamples": asked.resamples}
    adjusted: Attributes = {"alpha": 1 - asked.confidence, "adjustment": "Holm"}
    described: dict[str, Attributes] = {
        "auc": {**attrs(auc, "1"), "folds": FOLDS, "components": COMPONENTS},
        "auc_interval": {**attrs(f"{100 * asked.confidence:g} % interval: {auc}", "1"), **ends},
        "p": {**attrs(p, "1"), "permutations": asked.permutations},
        "p_holm": {**attrs(f"{p}, Holm", "1"), **adjusted},
    }
    return {
        f"{prefix}_{name}": (dims if name == "auc_interval" else dims[:-1], array, own | more)
        for (name, own), array in zip(described.items(), values, strict=True)
    }


def _distances(asked: _Asked) -> _Variables:
    """What is known of how near targets come to real activations, each with both ends of its interval."""
    width, n = len(asked.types), asked.n
    measured, floor = _measured(asked) if n else (dict.fromkeys(_LONG_NAMES, np.full((width, 3), np.nan)), np.nan)
    made: dict[str, Attributes] = {name: {} for name in _LONG_NAMES}
    made["frechet_ratio"] = {"halvings": HALVINGS, "dimensions": _dimensions(asked.base), "floor": floor}
    made["copies"] = {"tolerance": COPY}
    made["density"] = {"neighbours": NEIGHBOURS}
    made["coverage"] = {"neighbours": NEIGHBOURS}
    if n > NEIGHBOURS + 1:
        made["coverage"]["expected"] = expected_coverage(n)
    dims, percent = ("activation_type", "bound"), f"{100 * asked.confidence:g} % interval: "
    found: _Variables = {}
    for name, long_name in _LONG_NAMES.items():
        found[name] = (dims[:1], measured[name][:, 0], {**attrs(long_name, "1"), **made[name]})
        ends: Attributes = {**attrs(percent + long_name, "1"), "confidence": asked.confidence}
        found[f"{name}_interval"] = (dims, measured[name][:, 1:], ends)
    new = measured["novelty"]
    words = [UNDEFINED if p == asked.real else novelty_relation(new[p, 1], new[p, 2]) for p in range(width)]
    said: Attributes = {**attrs("how far from real activations targets lie", "1"), "novel": NOVEL}
    return {**found, "novelty_relation": (dims[:1], strings(words), said)}


_LONG_NAMES = {
    "frechet_ratio": "Fréchet distance to real targets over that of real to real",
    "novelty": "median distance to the nearest real activation over that of real ones",
    "copies": "share of copies of a real activation",
    "density": "balls around real targets that a target lies in, over neighbours",
    "coverage": "share of balls around real targets with a target in them",
}


def _measured(asked: _Asked) -> tuple[dict[str, NDArray[np.float64]], float]:
    """The estimates of each type with both ends of their intervals, (type, 3); and the Fréchet distance of real ones.

    What is nearest is looked for among all real activations that the run holds: bases, real targets and controls.
    """
    width, n = len(asked.types), asked.n
    found = {name: np.full((width, 3), np.nan) for name in _LONG_NAMES}
    group = asked.groups([asked.real])
    resampling = Resampling.draw(asked.rng("realism"), samples=n, resamples=asked.resamples, clusters=group)
    counts = resampling.of_prompts.T.astype(np.float32)
    again = [asked.target[place] for place in asked.again]
    others = np.concatenate([asked.target[asked.real], asked.base, *again])
    usual, among = np.empty(n), np.empty((n, n), dtype=np.float32)
    for place in sorted(range(width), key=lambda place: place != asked.real):  # real first
        target = asked.target[place]
        squared = squared_distances(target, others, origin=asked.base.mean(axis=0))
        to_real = squared[:, :n].copy()
        distance = nearest(target, others, squared, skip_itself=place in {asked.real, *asked.again})
        if place == asked.real:
            usual, among = distance, to_real
        else:
            balls = fidelity(among, to_real, asked.groups([asked.real, place]))
            for name, each in zip(("density", "coverage"), balls, strict=True):
                found[name][place] = _mean(each, resampling, asked.confidence)
        new = novelty(distance, usual, counts, asked.confidence)
        found["novelty"][place] = (new.novelty, *new.interval)
        share = exact_interval(np.array(float(new.copies)), np.array(float(n)), asked.confidence)
        found["copies"][place] = (new.copies / n, *share)
    inside = asked.target @ _leading(asked.base)
    apart = frechet(inside[asked.real], list(inside), group, asked.rng("frechet"), asked.confidence)
    found["frechet_ratio"] = np.column_stack([apart.ratio, apart.interval])
    return found, apart.floor


def _mean(values: NDArray[np.float64], resampling: Resampling, confidence: float) -> NDArray[np.float64]:
    """A mean over prompts, and the ends of its percentile interval."""
    draws = ratio(resampling.sums(values), resampling.sums(np.ones(len(values))))
    return np.concatenate([draws[:1], percentile_interval(draws[1:], confidence)])


def _dimensions(base: NDArray[np.float64]) -> int:
    """Of the space of Fréchet distances: no more than a quarter of the prompts of a half."""
    return min(DIMENSIONS, int(base.shape[1]), max(1, len(base) // 8))


def _leading(base: NDArray[np.float64]) -> NDArray[np.float64]:
    """The leading principal components of base activations, (d_model, dimensions)."""
    centred = base - base.mean(axis=0)
    _, vector = np.linalg.eigh(centred.T @ centred)
    return np.asarray(vector[:, ::-1][:, : _dimensions(base)])
