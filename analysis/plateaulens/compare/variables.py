"""What a comparison consists of: every variable's dimensions, name and units."""

from typing import NamedTuple

PER_TYPE = ("activation_type",)
PER_PAIR = ("activation_type", "other_type")
PER_QUANTILE = ("activation_type", "quantile")

INTERVAL_METHODS = ("percentile", "bca", "studentised")
"""The coordinate `interval_method`, in order."""


class Described(NamedTuple):
    """A variable of `compare_types`: its own dimensions, its name in words, its units, and its interval's method."""

    dims: tuple[str, ...]
    long_name: str
    units: str
    method: str | None = None


ESTIMATES = {
    "n": Described(PER_TYPE, "base prompts with a value", "1"),
    "n_pairs": Described(PER_TYPE, "base prompts with a value for the type and for real", "1"),
    "mean": Described(PER_TYPE, "mean step", "step", "studentised"),
    "sd": Described(PER_TYPE, "standard deviation of the step", "step", "studentised, logarithm"),
    "censored_fraction": Described(PER_TYPE, "share of curves whose event lies beyond the window", "1", "wilson"),
    "mean_difference": Described(PER_TYPE, "mean paired difference to real", "step", "studentised"),
    "median_difference": Described(PER_TYPE, "median paired difference to real", "step", "percentile, whole draws"),
    "quantile_shift": Described(PER_QUANTILE, "quantile minus that of real", "step", "percentile, whole draws"),
    "cliffs_delta": Described(PER_TYPE, "Cliff's delta to real, P(later) - P(earlier)", "1", "bca"),
    "paired_delta": Described(PER_TYPE, "P(later) - P(earlier) than real within a base prompt", "1", "bca"),
    "wasserstein": Described(PER_TYPE, "Wasserstein distance to real within the window", "step", "uniform band"),
    "ks": Described(PER_TYPE, "Kolmogorov-Smirnov distance to real", "1", "uniform band"),
    "ks_percentile": Described(PER_TYPE, "Kolmogorov-Smirnov distance to real, percentile method", "1", "percentile"),
    "ks_difference": Described(
        PER_PAIR, "difference of two types' Kolmogorov-Smirnov distances to real", "1", "normal, place by place"
    ),
}
"""Quantities with an interval, `NAME_interval`, where a method is named."""

OTHERS = {
    "degenerate": Described(PER_TYPE, "whether the type's values are too few or too equal to resample", "1"),
    "difference_degenerate": Described(
        PER_TYPE, "whether the paired differences are too few or too equal to resample", "1"
    ),
    "ks_bias": Described(PER_TYPE, "bootstrap estimate of the Kolmogorov-Smirnov distance's bias", "1"),
    "ks_null": Described(PER_TYPE, "mean Kolmogorov-Smirnov distance if type and real were exchangeable", "1"),
    "ks_upper_bound": Described(PER_TYPE, "one-sided upper bound of the Kolmogorov-Smirnov distance to real", "1"),
    "ks_p_pooled": Described(PER_TYPE, "p-value of equal distributions, as independent samples", "1"),
}

P_VALUES = {
    "ks_p": Described(PER_TYPE, "p-value of equal distributions, paired", "1"),
    "mean_difference_p": Described(PER_TYPE, "p-value of no mean paired difference", "1"),
    "ks_equivalence_p": Described(PER_TYPE, "p-value of a Kolmogorov-Smirnov distance of the margin or more", "1"),
    "mean_equivalence_p": Described(PER_TYPE, "p-value of a mean paired difference of the margin or more", "1"),
    "ks_difference_p": Described(PER_PAIR, "p-value of equal Kolmogorov-Smirnov distances to real", "1"),
}
"""P-values that are also adjusted: `NAME_holm` over types, `NAME_bh` over types, metrics and statistics."""


def _variables() -> dict[str, Described]:
    intervals = {
        f"{name}_interval": described._replace(dims=(*described.dims, "bound"))
        for name, described in ESTIMATES.items()
        if described.method
    }
    by_method = {
        f"{name}_interval_by_method": ESTIMATES[name]._replace(
            dims=(*PER_TYPE, "interval_method", "bound"), method="that of interval_method"
        )
        for name in ("mean", "mean_difference")
    }
    points = {name: described._replace(method=None) for name, described in ESTIMATES.items() if name != "ks_percentile"}
    return points | OTHERS | P_VALUES | intervals | by_method


VARIABLES = _variables()
"""Everything that `compare_types` returns."""
