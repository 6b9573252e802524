"""How realistic the targets of every type are: detectors, Fréchet distance, novelty, density and coverage."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import ceil

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from plateaulens.compare.detectors import COMPONENTS, Detection, Frame, detect
from plateaulens.compare.distinguish import FOLDS
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
from plateaulens.compare.resampling import Resampling, linked_prompts
from plateaulens.names import DETECTORS
from plateaulens.store.reading import source_rows
from plateaulens.summary.attributes import Attributes, attrs, bounds, strings, texts
from plateaulens.summary.distinguish import FALSE_ALARM, MAXIMUM_PROMPTS, NOT_SEEN, PERMUTATIONS, SEEN, UNDEFINED

NO_DETECTOR = "none"
"""In the place of the best detector of a type that none sees."""
NOVEL = 2.0
"""Targets so much farther from real activations than these are from each other are new."""
MOSTLY_OWN = 0.5
"""The share of targets nearest to the real target of their own prompt above which nearness is to that."""
LEAST_LEFT = 20
"""With fewer base activations that are none of the draws, nothing is measured against them."""
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
    fit_distance: NDArray[np.float64] | None
    """How far targets lie from what types were fitted to, (type, n); None where none was."""
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

    def left(self, places: Sequence[int]) -> NDArray[np.bool_]:
        """The base prompts whose base activation is no target of some types, in any bit of it, (n,).

        A run does not store the rows of its base prompts. A base and a real target of one row are one activation.
        """
        drawn = {point for place in places for point in _points(self.target[place])}
        return np.array([point not in drawn for point in _points(self.base)], dtype=np.bool_)

    def rng(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *purpose.encode()])


def _points(activations: NDArray[np.floating]) -> list[bytes]:
    """The bits of each activation, as runs store them; -0 is 0."""
    return [point.tobytes() for point in activations.astype(np.float32) + np.float32(0)]


def realism_dataset(
    activations: xr.Dataset, *, reference: str, controls: Collection[str], seed: int, resamples: int, confidence: float
) -> xr.Dataset:
    """What gives the targets of each type away, and whether they are new.

    At most `MAXIMUM_PROMPTS` base prompts are looked at, and of these the ones of which every target is there. Each
    type has random numbers of its own, which depend on `seed` and its name. Base activations stand for real ones: the
    whole activation is described in their principal components, and the distance to the nearest one of another prompt
    is a feature. The pool that real targets are drawn from holds them too, so that those which equal a draw that is
    compared are left out for that comparison; nothing is measured against fewer than `LEAST_LEFT`. The base of a prompt
    is not left out where the type only made something of it, nor the parts of a mixture.

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
        - `detector_auc(detector, activation_type)` with `detector_auc_interval` (NaN for classifiers) and `detector_p`,
          and
          `detector_p_holm`, adjusted over detectors and types, and over detectors for each control; the word
          `detected`: "seen" or "not seen", of a control "false alarm", or "undefined"; `best_detector`: of those that
          tell a type from real the one whose area lies farthest from chance, "none", or "undefined";
        - `floor_auc(detector)`, `floor_auc_interval`, `floor_p`, `floor_p_holm` and `floor_detected`: the same of all
          control draws together;
        - `own_source(activation_type)`: the share of targets whose nearest real activation is the real target of their
          own prompt, of which a type may be made; `own_source_most`, whether that is more than half: then novelty says
          that targets stay near their source, and nothing of others;
        - `frechet_ratio` and `novelty(activation_type)` with intervals; `copies` (a share), `density` and
          `coverage(activation_type)` without; `novelty_relation`, the word of `novelty_relation`, of a control that is
          "nearer", "farther" or "novel" "false alarm";
        - in runs with fitted types `fit_novelty(activation_type)` with its interval and `fit_copies`: novelty and
          copies among what types were fitted to, none of which is of a base's or a real target's prompt;
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
        {detector: _of_types(values)[:, there] for detector, values in encoded.items()},
        _of_types(kept["fit_distance"])[:, there] if "fit_distance" in kept else None,
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
            **_from_what_was_fitted(asked),
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
    is_feature = np.array([not detector.is_classifier for detector in DETECTORS.values()])
    own = Detection(
        np.full_like(nothing.auc, 0.5), np.where(is_feature[:, np.newaxis], 0.5, nothing.auc_interval), nothing.p
    )
    found, floor = [nothing] * len(asked.types), nothing
    if asked.n:
        plain = _plain_features(asked)

        @cache
        def frame_of(left: bytes) -> Frame:
            return Frame.fit(asked.base[np.frombuffer(left, dtype=np.bool_)])

        def told(places: Sequence[int], purpose: str) -> Detection:
            features, columns = plain[list(places)].copy(), np.zeros((len(places), asked.n, 1))
            left = asked.left(places)
            if left.sum() >= LEAST_LEFT:
                frame = frame_of(left.tobytes())
                columns = np.stack([frame.columns(asked.target[place]) for place in places])
                features[:, _NEIGHBOUR] = [_neighbour_distance(asked, place, left) for place in places]
            return detect(
                features,
                columns,
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


_FEATURES = [name for name, detector in DETECTORS.items() if not detector.is_classifier]
_NEIGHBOUR = _FEATURES.index("neighbour_distance")


def _plain_features(asked: _Asked) -> NDArray[np.float64]:
    """The features of every target that need no other activation, (type, feature, n), NaN where there is none."""
    found = np.full((len(asked.types), len(_FEATURES), asked.n), np.nan)
    found[:, _FEATURES.index("norm")] = np.linalg.norm(asked.target.astype(np.float64), axis=-1)
    for detector, values in asked.encoded.items():
        found[:, _FEATURES.index(detector)] = values
    return found


def _neighbour_distance(asked: _Asked, place: int, left: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How far each target lies from the nearest base activation of another prompt that is left, (n,)."""
    squared = squared_distances(asked.target[place], asked.base, origin=asked.base.mean(axis=0))
    np.fill_diagonal(squared, np.inf)
    squared[:, ~left] = np.inf
    return nearest(asked.target[place], asked.base, squared, skip_itself=False)


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
        "nearer" than real ones to each other, "farther", "novel" (above `NOVEL`), "undecided", which is not shown to be
        either, or "undefined".

    Examples
    --------
    >>> novelty_relation(0.8, 0.9), novelty_relation(0.9, 1.1), novelty_relation(1.1, 2.5), novelty_relation(9.0, 11.0)
    ('nearer', 'undecided', 'farther', 'novel')
    """
    if not np.isfinite(lower):
        return UNDEFINED
    if lower > 1:
        return "novel" if lower > NOVEL else "farther"
    return "nearer" if upper < 1 else "undecided"


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
        "auc": {**attrs(auc, "1"), "folds": FOLDS, "components": COMPONENTS, "least_left": LEAST_LEFT},
        "auc_interval": {**attrs(f"{100 * asked.confidence:g} % interval, of features: {auc}", "1"), **ends},
        "p": {**attrs(p, "1"), "permutations": asked.permutations},
        "p_holm": {**attrs(f"{p}, Holm", "1"), **adjusted},
    }
    return {
        f"{prefix}_{name}": (dims if name == "auc_interval" else dims[:-1], array, own | more)
        for (name, own), array in zip(described.items(), values, strict=True)
    }


def _distances(asked: _Asked) -> _Variables:
    """What is known of how near targets come to real activations, some with both ends of an interval."""
    width, n = len(asked.types), asked.n
    measured, floor = _measured(asked) if n else (dict.fromkeys(_LONG_NAMES, np.full((width, 3), np.nan)), np.nan)
    made: dict[str, Attributes] = {name: {} for name in _LONG_NAMES}
    made["frechet_ratio"] = {"halvings": HALVINGS, "dimensions": _dimensions(asked.base), "floor": floor}
    made["copies"] = {"tolerance": COPY}
    made["own_source"] = {"most": MOSTLY_OWN}
    made["density"] = {"neighbours": NEIGHBOURS}
    made["coverage"] = {"neighbours": NEIGHBOURS}
    if n > NEIGHBOURS + 1:
        made["coverage"]["expected"] = expected_coverage(n)
    dims, percent = ("activation_type", "bound"), f"{100 * asked.confidence:g} % interval: "
    found: _Variables = {}
    for name, long_name in _LONG_NAMES.items():
        found[name] = (dims[:1], measured[name][:, 0], {**attrs(long_name, "1"), **made[name]})
        if name in _WITHOUT_INTERVAL:
            continue
        ends: Attributes = {**attrs(percent + long_name, "1"), "confidence": asked.confidence}
        found[f"{name}_interval"] = (dims, measured[name][:, 1:], ends)
    new = measured["novelty"]
    words = [UNDEFINED if p == asked.real else novelty_relation(new[p, 1], new[p, 2]) for p in range(width)]
    for place in asked.again:
        words[place] = {UNDEFINED: UNDEFINED, "undecided": "undecided"}.get(words[place], FALSE_ALARM)
    said: Attributes = {**attrs("how far from real activations targets lie", "1"), "novel": NOVEL}
    own = measured["own_source"][:, 0] > MOSTLY_OWN
    mostly = attrs("whether most targets lie nearest to the real target of their own prompt", "1")
    return {
        **found,
        "novelty_relation": (dims[:1], strings(words), said),
        "own_source_most": (dims[:1], own, {**mostly, "most": MOSTLY_OWN}),
    }


_LONG_NAMES = {
    "frechet_ratio": "Fréchet distance to real targets over that of real to real",
    "novelty": "median distance to the nearest real activation over that of real ones",
    "copies": "share of copies of a real activation",
    "own_source": "share of targets whose nearest real activation is the real target of their prompt",
    "density": "balls around real targets that a target lies in, over neighbours",
    "coverage": "share of balls around real targets with a target in them",
}


_WITHOUT_INTERVAL = ("copies", "own_source", "density", "coverage")
"""Resampled targets, with real ones and their balls as they are, vary less than new prompts would."""


def _measured(asked: _Asked) -> tuple[dict[str, NDArray[np.float64]], float]:
    """The estimates of each type with both ends of their intervals, (type, 3); and the Fréchet distance of real ones.

    What is nearest is looked for among all real activations that the run holds: bases, real targets and controls.
    """
    width, n = len(asked.types), asked.n
    found = {name: np.full((width, 3), np.nan) for name in _LONG_NAMES}
    again = [asked.target[place] for place in asked.again]
    others = np.concatenate([asked.target[asked.real], asked.base, *again])
    usual, among, floor = np.empty(n), np.empty((n, n), dtype=np.float32), np.nan
    for place in sorted(range(width), key=lambda place: place != asked.real):  # real first
        target, name, group = asked.target[place], asked.types[place], asked.groups([asked.real, place])
        squared = squared_distances(target, others, origin=asked.base.mean(axis=0))
        to_real = squared[:, :n].copy()
        if place not in {asked.real, *asked.again}:
            # Another row that is the same activation is the same source.
            found["own_source"][place, 0] = (np.diagonal(to_real) <= squared.min(axis=1)).mean()
        distance = nearest(target, others, squared, skip_itself=place in {asked.real, *asked.again})
        if place == asked.real:
            usual, among = distance, to_real
        else:
            balls = fidelity(among, to_real, group)
            found["density"][place, 0], found["coverage"][place, 0] = (each.mean() for each in balls)
        rng = asked.rng(f"novelty {name}")
        counts = Resampling.draw(rng, samples=n, resamples=asked.resamples, clusters=group).of_prompts.T
        new = novelty(distance, usual, counts.astype(np.float32), asked.confidence)
        found["novelty"][place] = (new.novelty, *new.interval)
        found["copies"][place, 0] = new.copies / n
        left = asked.left([asked.real, place])
        if left.sum() < LEAST_LEFT:
            continue
        leading = _leading(asked.base[left], _dimensions(asked.base))
        real, other = asked.target[asked.real] @ leading, target @ leading
        apart = frechet(real, [other], group, asked.rng(f"frechet {name}"), asked.confidence)
        found["frechet_ratio"][place] = (apart.ratio[0], *apart.interval[0])
        floor = apart.floor if place == asked.real else floor
    return found, floor


def _of_types(values: xr.DataArray) -> NDArray[np.float64]:
    return values.transpose("activation_type", "sample").to_numpy().astype(np.float64)


def _from_what_was_fitted(asked: _Asked) -> _Variables:
    """How new targets are beside the activations that types have seen; a new real one is as far from these as any."""
    if asked.fit_distance is None:
        return {}
    ratio, copies = np.full((len(asked.types), 3), np.nan), np.full(len(asked.types), np.nan)
    for place, name in enumerate(asked.types if asked.n else ()):
        rng, group = asked.rng(f"fit novelty {name}"), asked.groups([asked.real, place])
        counts = Resampling.draw(rng, samples=asked.n, resamples=asked.resamples, clusters=group).of_prompts.T
        distance, usual = asked.fit_distance[place], asked.fit_distance[asked.real]
        found = novelty(distance, usual, counts.astype(np.float32), asked.confidence)
        ratio[place], copies[place] = (found.novelty, *found.interval), found.copies / asked.n
    what = "median distance to the nearest activation that types were fitted to over that of real targets"
    ends: Attributes = {"confidence": asked.confidence}
    interval = {**attrs(f"{100 * asked.confidence:g} % interval: {what}", "1"), **ends}
    copied = attrs("share of copies of an activation that types were fitted to", "1")
    return {
        "fit_novelty": (("activation_type",), ratio[:, 0], attrs(what, "1")),
        "fit_novelty_interval": (("activation_type", "bound"), ratio[:, 1:], interval),
        "fit_copies": (("activation_type",), copies, {**copied, "tolerance": COPY}),
    }


def _dimensions(base: NDArray[np.float64]) -> int:
    """Of the space of Fréchet distances: no more than a quarter of the prompts of a half."""
    return min(DIMENSIONS, int(base.shape[1]), max(1, len(base) // 8))


def _leading(base: NDArray[np.float64], dimensions: int) -> NDArray[np.float64]:
    """The leading principal components of base activations, (d_model, dimensions)."""
    centred = base - base.mean(axis=0)
    _, vector = np.linalg.eigh(centred.T @ centred)
    return np.asarray(vector[:, ::-1][:, :dimensions])
