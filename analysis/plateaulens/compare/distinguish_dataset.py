"""The tests of `plateaulens.compare.distinguish` between real targets and those of every type of a run."""

import numpy as np
import xarray as xr

from plateaulens.compare.clusters import linked_prompts
from plateaulens.compare.distinguish import CLASSIFIERS, FOLDS, distinguish
from plateaulens.compare.labels import Attributes, bounds, label, strings

PERMUTATIONS = 1000
MAXIMUM_PROMPTS = 1000
"""Kernels are square in the base prompts: of a larger run the first ones are taken, which nobody has chosen."""


def distinguish_dataset(
    activations: xr.Dataset, *, reference: str, seed: int, resamples: int, confidence: float
) -> xr.Dataset:
    """Whether targets of each type can be told from those of `reference`, from a run's `/activations`.

    - `auc` and `accuracy(classifier, activation_type)` of cross-validated classifiers, with `*_interval`, and
      `classifier_p`, the permutation p-value of the auc;
    - `mmd(activation_type)`, squared, unbiased, and its permutation p-value `mmd_p`;
    - `prompts(activation_type)`, the base prompts with both targets, and `prompt_groups`, how many groups they form
      when those that share an activation are counted once.

    The reference against itself is chance by definition. Each type has random numbers of its own, which depend on
    `seed` and its name: a further type changes nothing for the others. At most `MAXIMUM_PROMPTS` are looked at.
    """
    activations = activations.isel(sample=slice(MAXIMUM_PROMPTS))
    types = [str(name) for name in activations["activation_type"].to_numpy()]
    target = activations["target"].transpose("activation_type", "sample", "d_model").load().to_numpy()
    rows = activations["source_row"].transpose("activation_type", "sample").load().to_numpy()
    other = types.index(reference)
    whole = np.isfinite(target).all(axis=-1)
    found, prompts, groups = [], [], []
    for t, name in enumerate(types):
        there = whole[t] & whole[other]
        group = linked_prompts(rows[[other, t]][:, there])
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
        "auc": (per_classifier, {**label(auc, "1"), "folds": FOLDS}),
        "auc_interval": ((*per_classifier, "bound"), {**label(f"{100 * confidence:g} % interval: {auc}", "1"), **ends}),
        "accuracy": (per_classifier, {**label(accuracy, "1"), "folds": FOLDS}),
        "accuracy_interval": (
            (*per_classifier, "bound"), {**label(f"{100 * confidence:g} % interval: {accuracy}", "1"), **ends}),
        "classifier_p": (per_classifier, {**label("p-value of the classifier two-sample test", "1"), **tested}),
        "mmd": (per_classifier[1:], label("squared maximum mean discrepancy to real, unbiased", "1")),
        "mmd_p": (per_classifier[1:], {**label("p-value of the maximum mean discrepancy", "1"), **tested}),
    }  # fmt: skip
    variables = {}
    for (name, (dims, attributes)), columns in zip(described.items(), zip(*found, strict=True), strict=True):
        stacked = np.array(columns)
        variables[name] = (dims, np.swapaxes(stacked, 0, 1) if "classifier" in dims else stacked, attributes)
    return xr.Dataset(
        {
            **variables,
            "prompts": ("activation_type", prompts, label("base prompts with both targets", "1")),
            "prompt_groups": ("activation_type", groups, label("groups of base prompts without a shared target", "1")),
        },
        coords={
            "classifier": (
                "classifier",
                strings(CLASSIFIERS),
                label("kernel of the classifier", "1"),
            ),
            "activation_type": activations["activation_type"],
            "bound": bounds(),
        },
    )  # fmt: skip
