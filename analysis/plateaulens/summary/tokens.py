"""Whether real activations at a site are much more than their tokens: how much of their variance lies between these."""

import numpy as np
import xarray as xr

from plateaulens.compare.resampling import Resampling, percentile_interval
from plateaulens.compare.tokens import token_share
from plateaulens.summary.attributes import attrs, bounds, interval_attrs, strings

MAXIMUM_PROMPTS = 4096
"""Of a larger run the first ones are taken, which nobody has chosen: enough for half a per cent."""
NEARLY_ALL, MOST = 0.9, 0.5
"""Shares above which a word says so."""
MOST_SINGLE = 0.5
"""With a larger share of prompts whose token no other has nothing is said: they do not show the variance within."""


def token_dataset(
    activations: xr.Dataset, token: xr.DataArray, resampling: Resampling, confidence: float
) -> xr.Dataset:
    """The share of the variance of base activations that lies between the tokens that they are of.

    Parameters
    ----------
    activations
        The run's `/activations`; incomplete samples are left out.
    token
        The token of each base activation, (sample,).
    resampling
        Resamples of the base prompts.
    confidence
        The nominal coverage of the interval.

    Returns
    -------
    xarray.Dataset
        - `token_share` and its percentile interval, see `plateaulens.compare.tokens.token_share`; NaN where no token
          occurs twice;
        - `token_relation`, what the interval shows: "nearly all" (it lies above `NEARLY_ALL`), "most" (above `MOST`),
          "less than half" (below `MOST`), "undecided" (also above `MOST_SINGLE`), or "undefined";
        - `token_reason`, why it is undecided: "too few" prompts share a token, or the share is "not shown" to lie on
          one side of `MOST`; "none" where it is not undecided;
        - `distinct_tokens`, `token_prompts` (how many prompts that is) and `single_tokens`, the share of these whose
          token no other has.
    """
    base = activations["base"].isel(sample=slice(MAXIMUM_PROMPTS)).transpose("sample", "d_model").to_numpy()
    there = np.flatnonzero(np.isfinite(base).all(axis=1))
    own = token.isel(sample=there).to_numpy()
    draws = token_share(base[there], own, Resampling(resampling.rows, resampling.unit[there]))
    interval = percentile_interval(draws[1:], confidence)
    found, times = np.unique(own, return_counts=True)
    long_name = "share of the variance of base activations that lies between their tokens"
    single = (times == 1).sum() / len(own) if len(own) else np.nan
    relation, reason = token_relation(interval[0], interval[1], single)
    return xr.Dataset(
        {
            "token_share": ((), draws[0], attrs(long_name, "1")),
            "token_share_interval": ("bound", interval, interval_attrs(long_name, "1", resampling, confidence)),
            "token_relation": (
                (),
                strings([relation]).reshape(()),
                {
                    **attrs("how much of the variance lies between tokens", "1"),
                    "nearly_all": NEARLY_ALL,
                    "most": MOST,
                    "most_single": MOST_SINGLE,
                },
            ),
            "token_reason": ((), strings([reason]).reshape(()), attrs("why that is undecided", "1")),
            "distinct_tokens": ((), len(found), attrs("different tokens of base activations", "1")),
            "token_prompts": ((), len(own), attrs("base prompts whose tokens are compared", "1")),
            "single_tokens": ((), single, attrs("share of base prompts whose token no other has", "1")),
        },
        coords={"bound": bounds()},
    )


def token_relation(lower: float, upper: float, single: float) -> tuple[str, str]:
    """What an interval shows of the share between tokens, and why it may show nothing.

    Parameters
    ----------
    lower, upper
        Its ends.
    single
        The share of prompts whose token no other has.

    Returns
    -------
    tuple of str
        Words of `token_relation` and `token_reason`; see `token_dataset`.

    Examples
    --------
    >>> token_relation(0.95, 0.97, 0.1), token_relation(0.2, 0.3, 0.1)
    (('nearly all', 'none'), ('less than half', 'none'))
    >>> token_relation(0.4, 0.6, 0.1), token_relation(0.95, 0.97, 0.6)
    (('undecided', 'not shown'), ('undecided', 'too few'))
    """
    if not np.isfinite(lower):
        return "undefined", "none"
    if single > MOST_SINGLE:
        return "undecided", "too few"
    if lower > MOST:
        return "nearly all" if lower > NEARLY_ALL else "most", "none"
    return ("less than half", "none") if upper < MOST else ("undecided", "not shown")
