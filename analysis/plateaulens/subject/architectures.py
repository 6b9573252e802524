"""Which architectures may be measured: packed points are right only where attention asks for no more than positions.

The points of a path all stand at one position of one sequence, at different indices. What goes by index (windows,
biases by distance, recurrent states) or changes the logits after the unembedding would go wrong without a word.
"""

from typing import Any

from plateaulens.errors import UsageError, reading, shown

ALIBI = "its attention is biased by the distance between token indices (ALiBi)"
CAPPED = "it caps scores or logits"
SINKS = "its attention has sinks"
RECURRENT = "it carries a state from token to token"
BOTH_WAYS = "its attention is not causal, or it has an encoder"

REFUSED: dict[str, str] = {
    **dict.fromkeys(("bloom", "mpt"), ALIBI),
    **dict.fromkeys(("gemma2", "gemma3n", "gemma3n_text", "recurrent_gemma", "grok"), CAPPED),
    **dict.fromkeys(("gpt_oss",), SINKS),
    **dict.fromkeys(
        (
            "mamba",
            "mamba2",
            "falcon_mamba",
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
            "minimax",
        ),
        RECURRENT,
    ),
    **dict.fromkeys(("bert", "roberta", "t5", "bart", "xlnet", "prophetnet"), BOTH_WAYS),
}
"""By transformers' `model_type`, architectures that cannot be packed, and why."""

PLAIN, WINDOW = "full_attention", "sliding_attention"
"""The kinds of layers that are fit, a window where it is no shorter than the prompts."""


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
    """Refuse, by name, a model whose configuration says that packed points would not be what the whole prompt gives.

    An architecture that this knows nothing against is still measured against the plain way before a run
    (`plateaulens.scan.packing`).

    Parameters
    ----------
    config
        The model's transformers configuration.
    length
        Number of tokens of a prompt.

    Raises
    ------
    UsageError
        That names the model type and the reason: its attention asks for more than positions, it changes the logits
        after the unembedding, or its window or its positions are too few for a prompt.
    """
    with reading(
        f"the configuration of model type {shown(config.model_type)} cannot be read", "use a sound checkpoint"
    ):
        reason = REFUSED.get(config.model_type) or _reason(config, length)
    if reason is not None:
        raise UsageError(
            f"model type {config.model_type!r} cannot be measured: {reason}, which packed steps would get wrong; "
            "GPT-2, GPT-NeoX, Llama, Qwen3 and Gemma 3 can"
        )


def _reason(config: Any, length: int) -> str | None:
    return _unfit_kind(config) or _too_short(config, length)


def _unfit_kind(config: Any) -> str | None:
    if getattr(config, "alibi", False) or getattr(config, "position_embedding_type", None) == "alibi":
        return ALIBI
    if any(getattr(config, f"{what}_logit_softcapping", None) for what in ("attn", "final")):
        return CAPPED
    if getattr(config, "is_encoder_decoder", False) or getattr(config, "use_bidirectional_attention", False):
        return BOTH_WAYS
    kinds = set(getattr(config, "layer_types", None) or (PLAIN,))
    if odd := sorted(kinds - {PLAIN, WINDOW}):
        return f"it has layers of the kind {odd[0]!r}"
    return None


def _too_short(config: Any, length: int) -> str | None:
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    slides = WINDOW in kinds if kinds else getattr(config, "use_sliding_window", True)
    if window is not None and slides and window < length:
        return f"its attention looks back {window} tokens, prompts.length is {length}"
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and positions < length:
        return f"it has {positions} positions, prompts.length is {length}"
    return None
