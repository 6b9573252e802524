"""Which models can be measured at all, and of which it is known that their points must not be packed.

The points of a packed path all stand at one position of one sequence, at different indices. What goes by index (biases
by distance, recurrent states) would go wrong; such models are run over whole prompts (`plateaulens.scan.choice`).
"""

from typing import Any

from plateaulens.errors import UsageError, reading, shown

BOTH_WAYS = "its attention is not causal, or it has an encoder"
REFUSED = dict.fromkeys(
    ("bert", "roberta", "xlm-roberta", "electra", "deberta-v2", "t5", "mt5", "bart", "xlnet", "prophetnet"), BOTH_WAYS
)
"""By transformers' `model_type`, what cannot be measured in any way, and why."""

ALIBI = "its attention is biased by the distance between token indices (ALiBi)"
RECURRENT = "it carries a state from token to token"
UNPACKABLE: dict[str, str] = {
    **dict.fromkeys(("bloom", "mpt"), ALIBI),
    **dict.fromkeys(
        (
            "mamba",
            "mamba2",
            "falcon_mamba",
            "recurrent_gemma",
            "rwkv",
            "xlstm",
            "jamba",
            "bamba",
            "zamba",
            "zamba2",
            "nemotron_h",
            "granitemoehybrid",
            "falcon_h1",
            "lfm2",
            "lfm2_moe",
            "qwen3_next",
            "qwen3_5",
            "qwen3_5_text",
            "qwen3_5_moe",
            "qwen3_5_moe_text",
            "minimax",
        ),
        RECURRENT,
    ),
}
"""By transformers' `model_type`, architectures whose points are not packed, and why."""

PLAIN, WINDOW = "full_attention", "sliding_attention"
"""The kinds of layers that may be packed."""


EXTENTS = {
    "num_hidden_layers": 1000,
    "num_attention_heads": 10_000,
    "num_key_value_heads": 10_000,
    "hidden_size": 1_000_000,
    "intermediate_size": 10_000_000,
    "vocab_size": 10_000_000,
    "max_position_embeddings": 100_000_000,
}
"""By transformers' names, the largest numbers of a configuration that a model is built for: at worst a building takes
as long, and as much memory, as these are large, whatever the weights are."""


def check_extents(config: Any) -> None:
    """Refuse a configuration whose extents are those of no model.

    Parameters
    ----------
    config
        A transformers configuration; what it does not have is not asked for.

    Raises
    ------
    UsageError
        That names the first extent that is no whole number from 1 to the largest of `EXTENTS`.
    """
    for name, largest in EXTENTS.items():
        extent = getattr(config, name, None)
        each = (
            extent if isinstance(extent, list) else [] if extent is None else [extent]
        )  # some have one for each layer
        if not all(type(one) is int and 1 <= one <= largest for one in each):
            raise UsageError(
                f"the model's configuration says {name} = {shown(extent)}, wanted a whole number from 1 to "
                f"{largest:,}: use a sound checkpoint"
            )


def check_architecture(config: Any, *, length: int) -> None:
    """Refuse, by name, a model that no way of running can measure.

    That a model of another name is causal is measured before a run (`plateaulens.scan.choice`).

    Parameters
    ----------
    config
        The model's transformers configuration.
    length
        Number of tokens of a prompt.

    Raises
    ------
    UsageError
        That names the model type and the reason: its attention sees later tokens, or it has too few positions.
    """
    with reading(
        f"the configuration of model type {shown(config.model_type)} cannot be read", "use a sound checkpoint"
    ):
        reason = REFUSED.get(config.model_type) or _unfit(config, length)
    if reason is not None:
        raise UsageError(
            f"model type {config.model_type!r} cannot be measured: {reason}; use a causal language model"
            if reason == BOTH_WAYS
            else f"model type {config.model_type!r} cannot be measured: {reason}; use shorter prompts"
        )


def _unfit(config: Any, length: int) -> str | None:
    get = getattr(config, "get_text_config", None)
    text = config if get is None else get()
    if getattr(config, "is_encoder_decoder", False) or getattr(text, "use_bidirectional_attention", None) is True:
        return BOTH_WAYS
    positions = getattr(text, "max_position_embeddings", None)
    if positions is not None and positions < length:
        return f"it has {positions} positions, prompts.length is {length}"
    return None


def why_not_packed(config: Any) -> str | None:
    """What is known to make packed points wrong, whatever packs them.

    Parameters
    ----------
    config
        The language model's transformers configuration.

    Returns
    -------
    str or None
        The reason; None where none is known.
    """
    if reason := UNPACKABLE.get(config.model_type):
        return reason
    if getattr(config, "alibi", False) or getattr(config, "position_embedding_type", None) == "alibi":
        return ALIBI
    kinds = set(getattr(config, "layer_types", None) or (PLAIN,))
    if odd := sorted(kinds - {PLAIN, WINDOW}):
        return f"it has layers of the kind {odd[0]!r}"
    return None
