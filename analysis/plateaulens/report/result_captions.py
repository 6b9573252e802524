"""Captions of verdicts, effect sizes, censoring and robustness: of how many prompts, and what the columns are."""

import xarray as xr

from plateaulens.figures.distributions import TYPES
from plateaulens.figures.style import present
from plateaulens.names import MAIN_TYPES, label, metric_label
from plateaulens.report.captions import prompts
from plateaulens.report.contents import EXPERIMENT_TITLES, alpha_of, confidence_of, experiment_of, level, margin_of
from plateaulens.report.text import listing, number, percent


def overview_table(summary: xr.DataTree) -> str:
    """For `plateaulens.report.verdict_tables.overview_table`."""
    experiment = next(group for name in EXPERIMENT_TITLES if (group := experiment_of(summary, name)) is not None)
    return (
        f"The verdict on every type, by experiment and metric. *Equivalent*: indistinguishable from real within a KS "
        f"distance of {margin_of(experiment)}. *Earlier*, *later*, *shorter*, *longer*: different from real in that "
        f"direction; *different*: in no direction that is shown. All hold together for the types of a column, at a "
        f"level of {percent(alpha_of(experiment))}; real control has a column's level to itself."
    )


def verdict_table(experiment: xr.Dataset, *, explained: bool = False) -> str:
    """For `plateaulens.report.verdict_tables.verdict_table`; `explained` where the columns were, in @tbl-verdicts."""
    if explained:
        return f"Verdicts, {prompts(experiment)}; the columns are those of @tbl-verdicts."
    return (
        f"Verdicts, {prompts(experiment)}. KS to real with its {level(experiment)} uniform band; *chance*: its mean if "
        f"type and real were exchangeable; *p* of equal distributions, raw, and adjusted by Holm's method (types) and "
        f"by Benjamini and Hochberg's (types, metrics, statistics); *bound*: one-sided {level(experiment)} upper bound "
        f"of KS, raw; *p, margin*: of a KS distance of {margin_of(experiment)} or more, Holm."
    )


def pair_table(experiment: xr.Dataset) -> str:
    """For `plateaulens.report.verdict_tables.pair_table`."""
    return (
        f"Which of two types is nearer to real, {prompts(experiment)}: both KS distances, their paired difference with "
        f"its {level(experiment)} interval, and p-values, raw and adjusted as in the table of verdicts, here over all "
        f"pairs of types."
    )


def pair_matrix(experiment: xr.Dataset, *, what: str = "max-slope steps") -> str:
    """For `plateaulens.report.verdict_tables.pair_matrix`; `what` names the statistic."""
    return (
        f"Is the row's type nearer to real than the column's, or farther, by KS distance of {what} "
        f"({prompts(experiment)}; Holm over all pairs, level {percent(alpha_of(experiment))})? A question mark: "
        f"undecided."
    )


def effect_table(experiment: xr.Dataset, *, what: str = "max-slope steps") -> str:
    """For `plateaulens.report.effect_tables.effect_table`; `what` names the statistic."""
    return (
        f"Effect sizes of {what} against real, {prompts(experiment)}, with {level(experiment)} bootstrap intervals in "
        f"brackets: Wasserstein distance in steps, Cliff's delta (-1 all earlier, 1 all later), mean and median paired "
        f"difference in steps, type minus real."
    ).replace("(-1", "(\u22121")


def quantile_shifts(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.quantile_shifts`."""
    shown = listing([label(name) for name in present(experiment, "activation_type", TYPES)] or ["no type"])
    return (
        f"By how many steps the deciles of the max-slope step of {shown} lie behind those of real, "
        f"{prompts(experiment)}, with pointwise {level(experiment)} bootstrap bands. A horizontal line would be a mere "
        f"delay; a line ends where the decile lies beyond the window."
    )


def quantile_table(experiment: xr.Dataset) -> str:
    """For `plateaulens.report.effect_tables.quantile_table`."""
    return (
        f"Quantile of the type minus that of real, max-slope steps, {prompts(experiment)}; *beyond*: the type's "
        f"quantile lies beyond the window."
    )


def survival_curves(experiment: xr.Dataset) -> str:
    """For `plateaulens.figures.survival_curves`."""
    shown = listing([label(name) for name in present(experiment, "activation_type", MAIN_TYPES)])
    confidence = confidence_of(experiment["survival_band"])
    return (
        f"Kaplan-Meier curves of the max-slope step for {shown}, {prompts(experiment)}: the share of curves that have "
        f"not blown up, with simultaneous {confidence} bands. A curve ends at the share that is censored."
    )


def censoring_table(experiment: xr.Dataset) -> str:
    """For `plateaulens.report.effect_tables.censoring_table`."""
    return (
        f"Censoring, max-slope steps, {prompts(experiment)}. *Sentinel mean*: the authors' convention, in which a "
        f"curve that does not blow up has step 99; *restricted mean*: of the step or the window's end, "
        f"whichever is first, with its paired difference to real and {level(experiment)} bootstrap intervals; p-values "
        f"of the log-rank test against real, the pairing ignored (*p*) and respected (*p, paired*), not adjusted."
    )


def adjusted_differences(confounds: xr.Dataset, *, metric: str) -> str:
    """For `plateaulens.figures.adjusted_differences`."""
    return (
        f"Mean difference of the max-slope step to real on {metric_label(metric)}, with {_robust(confounds)} intervals: "
        f"as it is, and by regression at equal path length and at equal geometry (path length, norm, cosine to the "
        f"base, distance from the mean base). *To the target*: both paths of a prompt end at the nearer target."
    )


def confounds_table(confounds: xr.Dataset, *, metric: str) -> str:
    """For `plateaulens.report.effect_tables.confounds_table`."""
    caliper = number(confounds["matched_prompts"].attrs["caliper"], 1)
    return (
        f"Mean difference of the max-slope step to real on {metric_label(metric)}, in steps, a curve without one "
        f"counting as the window's end: as it is; by regression at equal path length and at equal geometry "
        f"({_robust(confounds)} intervals); and over the base prompts whose two paths agree to {caliper} standard "
        f"deviations (matched; bootstrap intervals). *No overlap*: the data hold no equal targets. Intervals are not "
        f"adjusted for their number."
    )


def distinguishability(group: xr.Dataset) -> str:
    """For `plateaulens.figures.distinguishability`."""
    confidence = confidence_of(group["auc_interval"])
    return (
        f"How well cross-validated classifiers tell a type's targets from real ones: area under the ROC curve with "
        f"{confidence} bootstrap intervals, n = {_most(group)} base prompts. Where there is a grey band, it spans the "
        f"intervals of real control."
    )


def distinguish_table(group: xr.Dataset) -> str:
    """For `plateaulens.report.effect_tables.distinguish_table`."""
    return (
        f"Targets against real ones, n = {_most(group)} base prompts: area under the ROC curve (AUC, chance 0.5) and "
        f"share of targets told right, of a linear (L) and a Gaussian (G) classifier; squared maximum mean discrepancy "
        f"(MMD) in thousandths; permutation p-values within base prompts, not adjusted."
    )


def constant_sensitivity(constants: xr.Dataset, *, metric: str) -> str:
    """For `plateaulens.figures.constant_sensitivity`."""
    confidence = confidence_of(constants["mean_difference_interval"])
    return (
        f"Mean paired difference to real on {metric_label(metric)} as each constant is moved, with {confidence} "
        f"bootstrap intervals (bands); the dashed line is the value in use."
    )


def constants_table(constants: xr.Dataset) -> str:
    """For `plateaulens.report.robustness.constants_table`."""
    confidence = confidence_of(constants["mean_difference_interval"])
    return (
        f"What changes when a constant is moved: the order of a type with real (earlier, later, undecided), and "
        f"whether structured or baseline is nearer to it. These are read off single {confidence} intervals, without "
        f"adjustment."
    )


def _robust(confounds: xr.Dataset) -> str:
    return f"robust {confidence_of(confounds['adjusted_difference_interval'])}"


def _most(group: xr.Dataset) -> str:
    return number(int(group["prompts"].max()), 0)
