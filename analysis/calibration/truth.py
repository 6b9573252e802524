"""What is true of a planted population: the number that each estimate of a comparison is meant to hit."""

import numpy as np

from calibration.population import LAST_STEP, PlantedType, Population

_STEPS = np.arange(LAST_STEP + 1)


def mean(kind: PlantedType) -> float:
    """Mean step of the curves that blow up inside the window.

    Parameters
    ----------
    kind
        A planted type.

    Returns
    -------
    float
        In steps.
    """
    observed = kind.probability[:-1]
    return float(observed @ _STEPS / observed.sum())


def sd(kind: PlantedType) -> float:
    """Standard deviation of the step of the curves that blow up inside the window.

    Parameters
    ----------
    kind
        A planted type.

    Returns
    -------
    float
        In steps.
    """
    observed = kind.probability[:-1]
    return float(np.sqrt(observed @ (_STEPS - mean(kind)) ** 2 / observed.sum()))


def censored_fraction(kind: PlantedType) -> float:
    """Probability that a curve is censored.

    Parameters
    ----------
    kind
        A planted type.

    Returns
    -------
    float
        From 0 to 1.
    """
    return float(kind.probability[-1])


def ks(kind: PlantedType, other: PlantedType) -> float:
    """Largest difference of the two distribution functions, censored observations after every step.

    Parameters
    ----------
    kind, other
        Planted types.

    Returns
    -------
    float
        From 0 to 1.
    """
    return float(np.abs(kind.cumulative - other.cumulative).max())


def wasserstein(kind: PlantedType, other: PlantedType) -> float:
    """Area between the distribution functions up to the end of the window.

    Parameters
    ----------
    kind, other
        Planted types.

    Returns
    -------
    float
        In steps.
    """
    return float(np.abs(kind.cumulative - other.cumulative)[:-1].sum())


def cliffs_delta(kind: PlantedType, other: PlantedType) -> float:
    """P(X > Y) - P(X < Y) for independent X of `kind` and Y of `other`, two censored ones equal.

    Parameters
    ----------
    kind, other
        Planted types.

    Returns
    -------
    float
        From -1 to 1.
    """
    below = np.cumsum(other.probability) - other.probability
    above = 1 - np.cumsum(other.probability)
    return float(kind.probability @ (below - above))


def quantile_shift(kind: PlantedType, other: PlantedType, probability: float) -> float:
    """Difference of the two quantiles.

    Parameters
    ----------
    kind, other
        Planted types.
    probability
        Of the quantiles.

    Returns
    -------
    float
        That of `kind` minus that of `other`, in steps; infinite where one of them lies beyond the window, NaN where
        both do.
    """
    steps = np.append(_STEPS, np.inf)
    own, its = (steps[np.searchsorted(np.cumsum(one.probability), probability)] for one in (kind, other))
    return float("nan") if np.isinf(own) and np.isinf(its) else float(own - its)


class Differences:
    """The paired differences (type minus reference) at one base prompt, and the probability of each.

    A censored observation stands at infinity, and two of them do not differ.

    Parameters
    ----------
    population
        Where the two come from.
    kind
        The type that is compared with the population's reference.
    """

    def __init__(self, population: Population, kind: PlantedType) -> None:
        steps = np.append(_STEPS, np.inf)
        with np.errstate(invalid="ignore"):
            difference = steps[np.newaxis, :] - steps[:, np.newaxis]
        difference[-1, -1] = 0.0
        joint = population.joint(kind)
        self._values, place = np.unique(difference, return_inverse=True)
        self._probability = np.bincount(place.ravel(), weights=joint.ravel())
        both = joint[:-1, :-1]
        self._mean = float((both * difference[:-1, :-1]).sum() / both.sum())

    def mean(self) -> float:
        """Mean difference where both blow up inside the window.

        Returns
        -------
        float
            In steps.
        """
        return self._mean

    def median(self) -> float:
        """Median difference.

        Returns
        -------
        float
            In steps; infinite where it is that of a censored observation.
        """
        return float(self._values[np.searchsorted(np.cumsum(self._probability), 0.5)])

    def delta(self) -> float:
        """P(later) - P(earlier).

        Returns
        -------
        float
            From -1 to 1.
        """
        return float(np.sign(self._values) @ self._probability)


def restricted_mean(kind: PlantedType) -> float:
    """Mean of the step, or of the window's end where the step lies beyond it.

    Parameters
    ----------
    kind
        A planted type.

    Returns
    -------
    float
        In steps.
    """
    return float((1 - kind.cumulative)[:-1].sum())
