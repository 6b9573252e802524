"""Models to time: those that a run can measure, and one of random weights in the shape of GPT-2 small."""

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.utils import logging

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.errors import UsageError
from plateaulens.subject.model import Subject, load_subject
from plateaulens.subject.sites import parse_site

SMOLLM2 = "embedded:smollm2"
GPT2_SIZED = "gpt2-sized"
"""124 million random weights in the published shape: time depends on shapes, not on what the weights are."""
EVERYWHERE = SiteConfig(write="blocks.0.hook_resid_pre", read="blocks.0.hook_resid_post")


def load(source: str, device: str) -> Subject:
    """A model by name.

    Parameters
    ----------
    source
        `gpt2-sized`, or what a preset's `model.source` may be.
    device
        Where it goes.

    Returns
    -------
    Subject
        With the sites `EVERYWHERE`: see `written_at`.

    Raises
    ------
    UsageError
        As `load_subject` does.
    """
    if source != GPT2_SIZED:
        return load_subject(ModelConfig(source=source, device=device), EVERYWHERE)
    with TemporaryDirectory() as folder:
        write_random(Path(folder), GPT2Config())
        return load_subject(ModelConfig(source=folder, device=device), EVERYWHERE)


def written_at(subject: Subject, block: int) -> Subject:
    """The same model, written before a block and read after the last one.

    Parameters
    ----------
    subject
        The model; it is left as it is.
    block
        Number of the block, from 0.

    Returns
    -------
    Subject
        Over the same weights.

    Raises
    ------
    UsageError
        For a block that the model has not.
    """
    last = subject.blocks - 1
    if not 0 <= block <= last:
        raise UsageError(f"--write {block}: the model has {subject.blocks} blocks, numbered 0 to {last}")
    write, read = f"blocks.{block}.hook_resid_pre", f"blocks.{last}.hook_resid_post"
    return dataclasses.replace(subject, write=parse_site(write, subject.blocks), read=parse_site(read, subject.blocks))


def write_random(folder: Path, config: GPT2Config) -> None:
    """Write a model of random weights, and a tokenizer of one word, as a hub would hold them.

    Parameters
    ----------
    folder
        Where they go.
    config
        The model's shape.
    """
    logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    words = Tokenizer(WordLevel({"a": 0}, unk_token="a"))  # noqa: S106
    special = {"bos_token": "a", "eos_token": "a"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
