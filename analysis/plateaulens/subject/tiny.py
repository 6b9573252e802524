"""Tiny random models of many architectures, on which it is seen what runs: three blocks, 32 wide, with large weights.

Kept short on purpose where a checkpoint is long: windows are shorter than the prompts of most tests, so that what sees
too much is found out.
"""

from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 101
BLOCKS = 3

_COMMON: dict[str, Any] = {
    "num_hidden_layers": BLOCKS,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "vocab_size": VOCABULARY,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_INNER = {"intermediate_size": 64}
_GROUPED = _INNER | {"num_key_value_heads": 2, "head_dim": 8}
_PADDED = {"pad_token_id": 0}
_ALTERNATING = {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
_GEMMA2 = _GROUPED | _PADDED | _ALTERNATING | {"sliding_window": 4, "query_pre_attn_scalar": 16}
_GEMMA3 = _GEMMA2 | {"sliding_window": 6}
_EXPERTS = {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
_LINEAR = {
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
_YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 8}
_SHARED_EXPERT = {"shared_expert_intermediate_size": 16}

_OPTIONS: dict[str, dict[str, Any]] = {
    "bloom": {},
    "cohere": _INNER | _PADDED | {"num_key_value_heads": 2, "use_qk_norm": True, "logit_scale": 0.5},
    "cohere2": _GROUPED | _PADDED | _ALTERNATING | {"sliding_window": 4, "logit_scale": 0.5},
    "deepseek_v3": _INNER
    | {"num_key_value_heads": 4, "moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2}
    | {"n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "kv_lora_rank": 8, "q_lora_rank": 16}
    | {"qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8},
    "falcon": {"alibi": False, "new_decoder_architecture": True, "num_kv_heads": 2, "ffn_hidden_size": 64},
    "gemma": _GROUPED | _PADDED,
    "gemma2": _GEMMA2 | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    "gemma3_text": _GEMMA3,
    "gpt2": {},
    "gpt_neo": _INNER | {"attention_types": [[["global", "local", "global"], 1]], "window_size": 4},
    "gpt_neox": _INNER,
    "gpt_oss": _GROUPED
    | _PADDED
    | _ALTERNATING
    | {"sliding_window": 4, "num_local_experts": 4, "num_experts_per_tok": 2}
    | {"rope_parameters": _YARN},
    "gptj": {"rotary_dim": 4},
    "granite": _INNER
    | _PADDED
    | {"num_key_value_heads": 2, "embedding_multiplier": 3.0, "residual_multiplier": 0.4}
    | {"attention_multiplier": 0.2, "logits_scaling": 2.0},
    "hunyuan_v1_dense": _GROUPED | _PADDED,
    "llama": _GROUPED,
    "llama4_text": _GROUPED
    | {"intermediate_size_mlp": 64, "num_local_experts": 4, "num_experts_per_tok": 1, "attention_chunk_size": 4}
    | {"no_rope_layers": [1, 0, 1], "interleave_moe_layer_step": 2, "pad_token_id": 0},
    "mistral": _GROUPED | {"sliding_window": 4},
    "mixtral": _GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "mpt": {"max_seq_len": 64},
    "olmo2": _INNER | _PADDED | {"num_key_value_heads": 2},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": 0.3, "pad_token_id": 1},
    "phi": _INNER | {"num_key_value_heads": 2},
    "phi3": _INNER
    | _PADDED
    | {"num_key_value_heads": 2, "sliding_window": 4}
    | {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
    "phimoe": _INNER | {"num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2": _INNER
    | {"num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 4}
    | {"max_window_layers": 1},
    "qwen3": _GROUPED,
    "qwen3_5_moe_text": _GROUPED | _LINEAR | _EXPERTS | _SHARED_EXPERT,
    "qwen3_5_text": _GROUPED | _LINEAR,
    "qwen3_moe": _GROUPED | _EXPERTS | {"mlp_only_layers": [1]},
    "qwen3_next": _GROUPED | _LINEAR | _EXPERTS | _SHARED_EXPERT,
}
_VISION = {"hidden_size": 16, "intermediate_size": 16, "patch_size": 4}
_QWEN_VISION = _VISION | {"depth": 1, "num_heads": 2, "out_hidden_size": 32, "num_position_embeddings": 16}
_PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "gemma3": (
        "gemma3_text",
        {"mm_tokens_per_image": 4}
        | {"vision_config": _VISION | {"num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16}}
        | {"image_token_index": 100, "boi_token_index": 99, "eoi_token_index": 98},
    ),
    "qwen3_5": ("qwen3_5_text", {"vision_config": _QWEN_VISION}),
    "qwen3_5_moe": ("qwen3_5_moe_text", {"vision_config": _QWEN_VISION}),
}
"""Of models that read pictures as well: the language model, and the other options."""

MODEL_TYPES = (*_OPTIONS, *_PICTURES)


def tiny_config(model_type: str, **changes: Any) -> dict[str, Any]:
    """Options of a tiny configuration.

    Parameters
    ----------
    model_type
        One of `MODEL_TYPES`.
    **changes
        Of the language model's options.

    Returns
    -------
    dict
        As `AutoConfig.for_model` takes them.
    """
    if model_type in _PICTURES:
        language, others = _PICTURES[model_type]
        return others | {"text_config": tiny_config(language, **changes)}
    return _COMMON | _OPTIONS[model_type] | changes


def tiny_model(model_type: str, **changes: Any) -> Any:
    """A language model with random weights, the same ones at every call.

    Parameters
    ----------
    model_type
        One of `MODEL_TYPES`.
    **changes
        Of the language model's options.

    Returns
    -------
    PreTrainedModel
        In float32, on the CPU.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: Any = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(model_type, **tiny_config(model_type, **changes))
        )
    model.config.architectures = [type(model).__name__]  # as every checkpoint names them
    return model


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of one word per token, `w0` to `w100`.

    Returns
    -------
    PreTrainedTokenizerFast
        Without a BOS token.
    """
    tokenizer = Tokenizer(WordLevel({f"w{index}": index for index in range(VOCABULARY)}, unk_token="w0"))  # noqa: S106
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="w0", unk_token="w0")  # noqa: S106
