"""What a run keeps of its SAE's own configuration, beside what identifies the SAE.

Names are those of SAEBench's `CustomSAEConfig` (github.com/adamkarvonen/SAEBench,
`sae_bench/custom_saes/custom_sae_config.py`, read 2026-11-26) and of SAELens' `SAEConfig` and its metadata. A
configuration is anybody's file, so only these are kept, of their type and no longer than they need to be.
"""

from collections.abc import Mapping
from typing import Any

Settings = dict[str, str | int | bool]

KNOWN: dict[str, type[str] | type[int] | type[bool]] = {
    "architecture": str,
    "d_in": int,
    "d_sae": int,
    "k": int,
    "dtype": str,
    "apply_b_dec_to_input": bool,
    "rescale_acts_by_decoder_norm": bool,
    "normalize_activations": str,
    "reshape_activations": str,
    "model_name": str,
    "hook_name": str,
    "hook_head_index": int,
    "context_size": int,
    "prepend_bos": bool,
    "dataset_path": str,
    "training_tokens": int,
    "training_architecture": str,
    "sae_lens_training_version": str,
    "neuronpedia_id": str,
}
"""The settings that are kept, and of which type each is."""
KEY = "settings"
"""Where they stand in the identity of a run's SAE. They identify nothing: no run is refused for them."""
LONGEST = 200
"""Characters of a text; a longer one names nothing, and is left out."""
LARGEST = 10**15
"""A number that no setting has; JSON's readers know it exactly."""


def known_settings(given: object) -> Settings:
    """What is kept of an SAE's configuration.

    Parameters
    ----------
    given
        Its keys and values, of anybody.

    Returns
    -------
    dict
        Those of `KNOWN` whose values have the type that they must have, in that order; empty of what is no mapping.

    Examples
    --------
    >>> known_settings({"d_in": 576, "training_tokens": 3e8, "prepend_bos": 1, "lr": 0.1, "dtype": "float32"})
    {'d_in': 576, 'dtype': 'float32'}
    """
    if not isinstance(given, Mapping):
        return {}
    return {key: given[key] for key, kind in KNOWN.items() if type(given.get(key)) is kind and _is_sound(given[key])}


def without_settings(sae: Any) -> Any:
    """What identifies an SAE, without the settings that only describe it.

    Parameters
    ----------
    sae
        `sae` of a run's identity.

    Returns
    -------
    Any
        The same without them; what is no mapping as it is.
    """
    return {key: value for key, value in sae.items() if key != KEY} if isinstance(sae, Mapping) else sae


def _is_sound(value: str | int) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= LONGEST and value.isprintable()
    return 0 <= value < LARGEST
