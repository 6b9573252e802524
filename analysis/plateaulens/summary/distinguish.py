"""The tests of `plateaulens.compare.distinguish` between real targets and those of every type of a run."""

from collections.abc import Collection

import numpy as np
import xarray as xr

from plateaulens.compare.distinguish import CLASSIFIERS, FOLDS, distinguish
from plateaulens.compare.multiplicity import adjust
from plateaulens.compare.resampling import linked_prompts
from plateaulens.names import CONTROL
from plateaulens.store.reading import source_rows
from plateaulens.summary.attributes import Attributes, attrs, bounds, strings, texts
from plateaulens.summary.verdicts import word_array

PERMUTATIONS = 1000
MAXIMUM_PROMPTS = 1000
"""Kernels are square in the base prompts: of a larger run the first ones are taken, which nobody has chosen."""
TOLD, BY_DETECTORS, NOT_TOLD = "told apart", "by detectors alone", "not told apart"
"""What the tests of a type's targets say together."""
SEEN, NOT_SEEN, FALSE_ALARM, UNDEFINED = "seen", "not seen", "false alarm", "undefined"
"""What a detector makes of a type; to tell a control from real is a false alarm."""


def distinguish_dataset(
    activations: xr.Dataset,
    *,
    reference: str,
    seed: int,
    resamples: int,
    confidence: float,
    controls: Collection[str] = (CONTROL,),
) -> xr.Dataset:
    """Whether targets of each type can be told from those of the reference.

    The reference against itself is chance by definition. Each type has random numbers of its own, which depend on
    `seed` and its name: a further type changes nothing for the others but the adjustment of their p-values. At most
    `MAXIMUM_PROMPTS` base prompts are looked at.

    Parameters
    ----------
    activations
        A run's `/activations`.
    reference
        The activation type that the others are compared with.
    seed
        The seed of every random number.
    resamples
        The number of resamples behind intervals.
    confidence
        The nominal coverage of intervals, and 1 - alpha of the verdict.
    controls
        The types that are real targets drawn again.

    Returns
    -------
    xarray.Dataset
        - `auc` and `accuracy(classifier, activation_type)` of cross-validated classifiers, with `*_interval(...,
          bound)`, and `classifier_p(classifier, activation_type)`, the permutation p-value of the auc;
        - `mmd(activation_type)`, squared, unbiased, and its permutation p-value `mmd_p`;
        - `prompts(activation_type)`, the base prompts with both targets, and `prompt_groups`, how many groups they form
          when those that share an activation are counted once;
        - `classifier_p_holm` and `mmd_p_holm`, adjusted over types and tests, of a control over its own tests, and
          `told(activation_type)`, the verdict of these tests: "told apart" (of a control "false alarm"), "not told
          apart" or, for the reference, "undefined". `with_detectors` draws the one that a page prints.
    """
    activations = activations.isel(sample=slice(MAXIMUM_PROMPTS))
    types = [str(name) for name in activations["activation_type"].to_numpy()]
    target = activations["target"].transpose("activation_type", "sample", "d_model").load().to_numpy()
    rows = source_rows(activations)
    other = types.index(reference)
    whole = np.isfinite(target).all(axis=-1)
    found, prompts, groups = [], [], []
    for t, name in enumerate(types):
        there = whole[t] & whole[other]
        group = linked_prompts(rows[:, [other, t]].reshape(-1, rows.shape[-1])[:, there])
        prompts.append(int(there.sum()))
        groups.append(len(np.unique(group)))
        found.append(
            distinguish(
                target[other, there],
                target[t, there],
                group,
                np.random.default_rng([seed, *f"distinguish {name}".encode()]),
                permutations=PERMUTATIONS,
                resamples=resamples,
                confidence=confidence,
            )
        )
    per_classifier = ("classifier", "activation_type")
    tested: Attributes = {"permutations": PERMUTATIONS}
    ends: Attributes = {"confidence": confidence, "resamples": resamples}
    auc, accuracy = "area under the ROC curve of type against real", "share of targets told apart correctly"
    described = {
        "auc": (per_classifier, {**attrs(auc, "1"), "folds": FOLDS}),
        "auc_interval": ((*per_classifier, "bound"), {**attrs(f"{100 * confidence:g} % interval: {auc}", "1"), **ends}),
        "accuracy": (per_classifier, {**attrs(accuracy, "1"), "folds": FOLDS}),
        "accuracy_interval": (
            (*per_classifier, "bound"), {**attrs(f"{100 * confidence:g} % interval: {accuracy}", "1"), **ends}),
        "classifier_p": (per_classifier, {**attrs("p-value of the classifier two-sample test", "1"), **tested}),
        "auc_null_upper": (
            per_classifier,
            {
                **attrs("area that exchangeable targets exceed no more often than 1 - confidence", "1"),
                **tested,
                "confidence": confidence,
            },
        ),
        "mmd": (per_classifier[1:], attrs("squared maximum mean discrepancy to real, unbiased", "1")),
        "mmd_p": (per_classifier[1:], {**attrs("p-value of the maximum mean discrepancy", "1"), **tested}),
    }  # fmt: skip
    variables = {}
    for (name, (dims, attributes)), columns in zip(described.items(), zip(*found, strict=True), strict=True):
        stacked = np.array(columns)
        variables[name] = (dims, np.swapaxes(stacked, 0, 1) if "classifier" in dims else stacked, attributes)
    tested_types = xr.Dataset(
        {
            **variables,
            "prompts": ("activation_type", prompts, attrs("base prompts with both targets", "1")),
            "prompt_groups": ("activation_type", groups, attrs("groups of base prompts without a shared target", "1")),
        },
        coords={
            "classifier": texts("classifier", CLASSIFIERS, "kernel of the classifier"),
            "activation_type": activations["activation_type"],
            "bound": bounds(),
        },
    )
    return tested_types.assign(_told(tested_types, reference, controls, alpha=1 - confidence).data_vars)


def _told(tests: xr.Dataset, reference: str, controls: Collection[str], *, alpha: float) -> xr.Dataset:
    """Adjusted p-values, and whether a type's targets are told from real ones by any of the tests.

    The family is all tests of all types but the reference and the controls, adjusted by Holm's method. A control's
    tests check the procedure, and are a family of their own.
    """
    types = [str(name) for name in tests["activation_type"].to_numpy()]
    p = np.vstack([tests["classifier_p"].to_numpy(), tests["mmd_p"].to_numpy()])
    judged = np.array([name not in {reference, *controls} for name in types])
    adjusted = np.where(np.array(types) == reference, np.nan, p)
    adjusted[:, judged] = adjust(p[:, judged], "holm")
    for place, name in enumerate(types):
        if name in controls and name != reference:
            adjusted[:, place] = adjust(p[:, place], "holm")
    least = np.fmin.reduce(adjusted, axis=0)
    words = [
        UNDEFINED if np.isnan(one) else NOT_TOLD if one > alpha else FALSE_ALARM if name in controls else TOLD
        for name, one in zip(types, least, strict=True)
    ]
    adjustment: Attributes = {"alpha": alpha, "adjustment": "Holm"}
    described = {
        "classifier_p_holm": "p-value of the classifier two-sample test, Holm over types and tests",
        "mmd_p_holm": "p-value of the maximum mean discrepancy, Holm over types and tests",
        "told": "whether targets are told from real ones by a classifier or the maximum mean discrepancy",
    }
    return xr.Dataset(
        {
            name: (("classifier", "activation_type")[-values.ndim :], values, attrs(described[name], "1") | adjustment)
            for name, values in zip(described, (adjusted[:-1], adjusted[-1], strings(words)), strict=True)
        }
    )


def with_detectors(tests: xr.Dataset) -> xr.Dataset:
    """The group `distinguish` with one verdict over all of its tests, so that no sentence denies what another says.

    Parameters
    ----------
    tests
        What `distinguish_dataset` and `plateaulens.summary.realism.realism_dataset` find.

    Returns
    -------
    xarray.Dataset
        The same, whose `told(activation_type)` is "told apart" by a kernel's classifier or the discrepancy, "by
        detectors alone" where one of these sees a type and they do not, "not told apart" by any, of a control "false
        alarm" where any sees it, or "undefined". Each kind of test is a family of its own.
    """
    detected = (tests["detected"].isel(detector=place) for place in range(tests.sizes["detector"]))
    told = word_array(_with_detector, tests["told"], *detected)
    words = attrs("whether targets are told from real ones by any test of them", "1")
    return tests.assign(told=told.assign_attrs(tests["told"].attrs | words))


def _with_detector(told: str, *detected: str) -> str:
    """The verdict on one type."""
    if FALSE_ALARM in {told, *detected}:
        return FALSE_ALARM
    if told != TOLD and SEEN in detected:
        return BY_DETECTORS
    return NOT_TOLD if told == UNDEFINED and NOT_SEEN in detected else told
