"""Small tokenizers that treat BOS as those of real models do."""

from typing import Any

BOS, END, TURN = "<s>", "</s>", "<|turn|>"
TEMPLATE = (
    "{% for message in messages %}<|turn|>{{ message['role'] }}\n{{ message['content'] | trim }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
"""In ChatML's manner; it has no BOS, and strips blanks around the message."""


def make_tokenizer(*, bos: str | None = BOS, adds: bool = False, template: str | None = None) -> Any:
    """A byte-level tokenizer with a few merges, as GPT-2's; special tokens first, then the 256 bytes.

    It has a BOS or none, and adds it by itself or not.
    """
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    special = [END, TURN, *([] if bos is None else [bos])]
    merged = ["th", "the", "Ġthe", "in"]
    names = [*special, *sorted(ByteLevel.alphabet()), *merged]
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n")]
    tokenizer = Tokenizer(BPE(vocab={name: index for index, name in enumerate(names)}, merges=merges))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens(special)
    if adds:
        assert bos is not None
        tokenizer.post_processor = TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, names.index(bos))]
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=END, additional_special_tokens=[TURN], model_max_length=16
    )
    made.chat_template = template
    return made
