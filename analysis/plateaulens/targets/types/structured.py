"""`structured`: other latents that stand to each other as those of the base do."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from plateaulens.config import TargetConfig
from plateaulens.errors import UsageError
from plateaulens.targets.base import Base, CodeType, TargetContext
from plateaulens.targets.dictionary import Code, Dictionary
from plateaulens.targets.registry import register

_MOST_COSINES = 2**22
"""In memory at once, in float64."""


@register
class Structured(CodeType):
    """The active latents of A are replaced so that cosines to the top latent are kept.

    The structured synthetic activation of Giglemiani et al. 2024 (in its code, `homeschooled_v2`). There is no chance
    in it: the target is a function of A and the SAE. Without an active latent the target is decode(0).
    """

    name = "structured"
    definition = (
        "the strongest latent of A replaced by one at a cosine of {anchor_cosine:g}, the others so that "
        "cosines to it are kept"
    )
    needs_sae = True

    def code(self, base: Base, context: TargetContext, generator: np.random.Generator) -> Code:
        """The replacement code; raises `UsageError` when no latent but the top one has a direction.

        See `plateaulens.targets.base.CodeType.code`.
        """
        del generator
        return replace_by_cosine(base.code, context.sae, context.config)

    def codes(
        self, bases: Sequence[Base], context: TargetContext, generators: Sequence[np.random.Generator]
    ) -> list[Code]:
        """Many at once. See `plateaulens.targets.base.CodeType.codes`."""
        del generators
        return replace_each_by_cosine([base.code for base in bases], context.sae, context.config)


def replace_by_cosine(code: Code, dictionary: Dictionary, config: TargetConfig) -> Code:
    """The code with each active latent replaced as follows; all cosines are between decoder rows.

    1. The top latent is the one with the largest activation.
    2. The anchor, which is to replace it, is the latent whose cosine to the top latent is nearest `anchor_cosine`, out
       of the `anchor_pool` latents nearest to the top latent in linear firing frequency (itself excluded, dead ones
       allowed; all others in a smaller dictionary).
    3. Active latents are replaced in ascending order of id, latent i by the unused latent j of the whole dictionary
       with cos(anchor, j) nearest cos(top, i). The top latent goes to the anchor unless that has been used already.

    Ties go to the lowest id everywhere. A latent whose decoder row is zero has no cosine: it is never chosen, and left
    out when active (it added nothing to A).

    Parameters
    ----------
    code
        The active latents of A, ascending.
    dictionary
        What they and their replacements belong to.
    config
        Has the constants `anchor_cosine` and `anchor_pool`.

    Returns
    -------
    Code
        The replacements, each at the activation of the latent that it replaces.

    Raises
    ------
    UsageError
        When no latent but the top one has a direction.
    """
    kept = _with_directions(code, dictionary)
    if not len(kept):
        return kept
    top, anchor = _ends(kept, dictionary, config)
    found = _replaced(kept, top, anchor, dictionary, dictionary.cosines(anchor), error=0.0)
    assert found is not None, "what is exact is never in doubt"
    return found


def replace_each_by_cosine(codes: Sequence[Code], dictionary: Dictionary, config: TargetConfig) -> list[Code]:
    """`replace_by_cosine` of each code, which reads the dictionary's directions once for many of them.

    A code for which rounding could change a choice is replaced by itself.

    Parameters
    ----------
    codes
        Of any number of activations.
    dictionary, config
        As `replace_by_cosine` takes them.

    Returns
    -------
    list of Code
        Those that `replace_by_cosine` gives.

    Raises
    ------
    UsageError
        As `replace_by_cosine` does.
    """
    replaced = [_with_directions(code, dictionary) for code in codes]
    filled = [place for place, kept in enumerate(replaced) if len(kept)]
    at_once = max(1, _MOST_COSINES // len(dictionary.decoder))
    for start in range(0, len(filled), at_once):
        places = filled[start : start + at_once]
        ends = [_ends(replaced[place], dictionary, config) for place in places]
        cosines, error = dictionary.cosines_of_each(np.array([anchor for _, anchor in ends]))
        for place, (top, anchor), offered in zip(places, ends, cosines, strict=True):
            found = _replaced(replaced[place], top, anchor, dictionary, offered, error=error)
            replaced[place] = found or replace_by_cosine(codes[place], dictionary, config)
    return replaced


def _with_directions(code: Code, dictionary: Dictionary) -> Code:
    return code[dictionary.pointing[code.latent]]


def _ends(code: Code, dictionary: Dictionary, config: TargetConfig) -> tuple[int, int]:
    """The top latent, and the anchor that is to replace it."""
    top = code.latent[np.argmax(code.activation)]
    return top, _anchor(top, dictionary, config)


def _replaced(  # noqa: PLR0917
    code: Code,
    top: int,
    anchor: int,
    dictionary: Dictionary,
    cosines: Float64[np.ndarray, " latents"],
    error: float,
) -> Code | None:
    """The replacements by the anchor's cosines; None where these are too inexact for some choice."""
    wanted = dictionary.cosines(top, code.latent)
    offered = np.where(dictionary.pointing, cosines, np.inf)
    replacements = np.empty_like(code.latent)
    for place, (latent, cosine) in enumerate(zip(code.latent, wanted, strict=True)):
        chosen = anchor
        if latent != top or not offered[anchor] < np.inf:
            distance = np.abs(offered - cosine)
            chosen = int(np.argmin(distance))
            if error and np.count_nonzero(distance <= distance[chosen] + 2 * error) > 1:
                return None
        replacements[place] = chosen
        offered[chosen] = np.inf
    return replace(code, latent=replacements)


def _anchor(top: int, dictionary: Dictionary, config: TargetConfig) -> int:
    pool = np.sort(dictionary.nearest_in_frequency(top, config.anchor_pool, excluded=~dictionary.pointing))
    if not pool.size:
        raise UsageError(
            f"no latent but {top} has a decoder direction; use an SAE with more latents, or drop this type"
        )
    return int(pool[np.argmin(np.abs(dictionary.cosines(top, pool) - config.anchor_cosine))])
