"""One answer from many sites that were measured with the same base prompts: their mean, their spread, a new site's.

The change x_ij of base prompt j at site i is its type's step minus real's there. Sites are taken for draws from a
population of sites, and base prompts for draws from theirs: the two are crossed, and x_ij = mu + a_i + b_j + e_ij. The
means y_i of the sites share the b_j, so that they are not the independent estimates that a random-effects
meta-analysis asks for (DerSimonian and Laird 1986; Hartung and Knapp 2001, Statistics in Medicine 20:3875). With their
sampling covariance S, which the base prompts give, and k sites of equal weight,

    var(mean y) = s^2 / k + mean of S off the diagonal,    tau^2 = s^2 - (mean of its diagonal - mean off it),

where s^2 is the variance of the y_i and tau^2 that of the sites' true differences: what base prompts share moves all
y_i alike, adds nothing to s^2, and is added to the error of the mean. The first term has k - 1 degrees of freedom, the
second one less than there are base prompts; the sum's quantile is that of Cochran and Cox (Experimental Designs, 1957),
the mean of the two weighted with their variances. Satterthwaite's degrees of freedom, which grow where s^2 happens to
be small, cover 91 % with three sites. Without shared base prompts S is diagonal, and this is Hartung and Knapp's
interval with equal weights. A new site's true difference is mu + a, with the variance tau^2
beside that of the mean, and k - 2 degrees of freedom (Higgins and others 2009, Journal of the Royal Statistical Society
A 172:137).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from plateaulens.compare.resampling import ratio

FEWEST_SITES = 3
"""Two sites have a mean, but nothing to tell how far a third one may lie."""


class Pooled(NamedTuple):
    """What sites say together; NaN with fewer than `FEWEST_SITES`."""

    sites: int
    """Those with two base prompts or more."""
    mean: float
    """The mean of the sites' mean differences, in the units of the changes."""
    interval: NDArray[np.float64]
    """Of the mean over the population of sites, (2,)."""
    spread: float
    """tau, the standard deviation of the sites' true mean differences; 0 where they vary no more than by chance."""
    prediction: NDArray[np.float64]
    """An interval for the true mean difference at a new site, (2,)."""


def pooled(change: NDArray[np.float64], confidence: float) -> Pooled:
    """Pool the mean differences of sites; see the module's docstring.

    Parameters
    ----------
    change
        Paired differences to the reference, (site, sample), the same base prompts at every site; NaN without a pair.
    confidence
        Of both intervals.

    Returns
    -------
    Pooled
        Each site has the same weight, however many pairs it has.

    Examples
    --------
    >>> found = pooled(np.array([[1.0, 3.0, 2.0], [2.0, 4.0, 3.5], [4.0, 6.0, 5.0]]), confidence=0.95)
    >>> round(found.mean, 2), round(found.spread, 2)
    (3.39, 1.51)
    """
    there = np.isfinite(change)
    kept = there.sum(axis=1) > 1
    change, there = change[kept], there[kept]
    sites, number = len(change), there.sum(axis=1)
    nothing = np.full(2, np.nan)
    if sites < FEWEST_SITES:
        return Pooled(sites, np.nan, nothing, np.nan, nothing)
    means = ratio(np.where(there, change, 0.0).sum(axis=1), number)
    centred = np.where(there, change - means[:, np.newaxis], 0.0)
    # of sums with n - 1 in place of n, as a variance has it
    covariance = centred @ centred.T / np.sqrt(np.outer(number * (number - 1), number * (number - 1)))
    own, all_of_them = np.trace(covariance) / sites, covariance.sum()
    shared = (all_of_them - sites * own) / (sites * (sites - 1))
    between = means.var(ddof=1)
    terms = np.array([between / sites, max(shared, 0.0)])
    variance = terms.sum()
    spread = max(between - (own - shared), 0.0)
    both = np.array([-1.0, 1.0])
    quantiles = student.ppf((1 + confidence) / 2, [sites - 1, number.min() - 1])
    reach = terms @ quantiles / np.sqrt(variance) if variance else 0.0
    new = student.ppf((1 + confidence) / 2, sites - 2) * np.sqrt(spread + variance)
    mean = float(means.mean())
    return Pooled(sites, mean, mean + both * reach, float(np.sqrt(spread)), mean + both * new)
