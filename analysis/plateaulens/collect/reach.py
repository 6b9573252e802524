"""How far the project reaches: which architectures run in which way, and which of SAELens' autoencoders that takes in.

A tiny random model of each architecture is made and run, at every site, as a real one is before a run: what these
tables say of it was seen. What a real model takes is decided on the model itself all the same.
"""

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import torch

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.errors import UsageError
from plateaulens.marks import fill
from plateaulens.names import WAYS
from plateaulens.scan.choice import choose
from plateaulens.scan.engine import scan
from plateaulens.scan.walk import relative
from plateaulens.subject.copies import shared_copy
from plateaulens.subject.model import Subject, boot, load_subject
from plateaulens.subject.registry import walk_registry
from plateaulens.subject.sites import parse_site
from plateaulens.subject.tiny import BLOCKS, MODEL_TYPES, tiny_model, tiny_tokenizer
from plateaulens.subject.weights import loading

ENDS = ("hook_resid_pre", "hook_resid_mid", "attn.hook_z", "hook_attn_out", "hook_mlp_out")
"""A site of each kind: what can be written before a block can be written after it."""
GROUPS = {
    "residual stream": ("hook_resid_pre", "hook_resid_mid", "hook_resid_post"),
    "attention": ("attn.hook_z", "hook_attn_out"),
    "MLP": ("hook_mlp_out",),
}
"""Sites as the table of the registry has them, by the end of their hook."""
MODELS: dict[str, str] = {
    r"gpt2": "gpt2",
    r"pythia": "gpt_neox",
    r"gemma-2b": "gemma",
    r"gemma-2-": "gemma2",
    r"google/gemma-3-(270m|1b)": "gemma3_text",
    r"google/gemma-3-": "gemma3",
    r"(meta-llama/|.*R1-Distill-Llama)": "llama",
    r"mistral": "mistral",
    r"Qwen/Qwen2\.5": "qwen2",
    r"Qwen/Qwen3-.*A\d+B": "qwen3_moe",
    r"(Qwen/Qwen3|qwen3)-": "qwen3",
    r"Qwen/Qwen3\.5-.*A\d+B": "qwen3_5_moe",
    r"Qwen/Qwen3\.5-": "qwen3_5",
    r"openai/gpt-oss": "gpt_oss",
}
"""By the beginning of the names that the registry gives models, their `model_type` in transformers."""
NOT_POSSIBLE = "-"
_POINTS = 60
_LENGTH = 9


def model_type_of(name: str) -> str | None:
    """The `model_type` of a model of SAELens' registry.

    Parameters
    ----------
    name
        As the registry calls it.

    Returns
    -------
    str or None
        None for a model that `MODELS` does not know.

    Examples
    --------
    >>> model_type_of("google/gemma-3-27b-it"), model_type_of("my-model")
    ('gemma3', None)
    """
    return next((kind for pattern, kind in MODELS.items() if re.match(pattern, name)), None)


def ways() -> pd.DataFrame:
    """How a tiny model of each architecture is run, by the site that is written.

    Returns
    -------
    DataFrame
        A row for each `model_type`, a column for each of `ENDS`: one of `plateaulens.names.WAYS`, or `NOT_POSSIBLE`
        where the architecture has no such site.
    """
    rows = {kind: {end: _way(kind, end) for end in ENDS} for kind in MODEL_TYPES}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(ENDS)).rename_axis("model_type").sort_index()


def registry(found: pd.DataFrame) -> pd.DataFrame:
    """How many autoencoders of SAELens' registry can be measured, by architecture and site.

    Nothing is downloaded: an entry counts as measurable when its model's architecture runs in some way with that site
    written.

    Parameters
    ----------
    found
        What `ways` returns.

    Returns
    -------
    DataFrame
        A row for each architecture and group of sites, the most frequent first: `model_type`, `site`, `way`, and the
        numbers `entries` and `measurable`.
    """
    entries: Counter[tuple[str, str, str]] = Counter()
    measurable: Counter[tuple[str, str, str]] = Counter()
    for entry in walk_registry():
        if "transcoder" in entry.kind:
            continue
        kind = model_type_of(entry.model) or entry.model
        end = entry.site.hook.split(".", 2)[2]
        site = next(name for name, ends in GROUPS.items() if end in ends)
        written = "hook_resid_pre" if end == "hook_resid_post" else end
        can = entry.is_autoencoder and kind in found.index
        way = str(found.loc[kind, written]) if can else NOT_POSSIBLE
        entries[kind, site, way] += 1
        measurable[kind, site, way] += way != NOT_POSSIBLE
    rows = [(*key, number, measurable[key]) for key, number in entries.most_common()]
    return pd.DataFrame(rows, columns=["model_type", "site", "way", "entries", "measurable"])


def costs(source: str, *, prompts: int = 2, paths: int = 4, steps: int = 101) -> pd.DataFrame:
    """How long each way takes for the same paths of one model, on this machine.

    Parameters
    ----------
    source
        The model, which is written before block 1.
    prompts, paths, steps
        How many.

    Returns
    -------
    DataFrame
        By way, the `seconds` for one prompt, and `times` the quickest way's; a way that the model does not run in is
        left out.
    """
    sites = SiteConfig(write="blocks.1.hook_resid_pre", read="blocks.1.hook_resid_post")
    subject = load_subject(ModelConfig(source=source), sites)
    rng = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, subject.vocabulary, (prompts, 10), generator=rng)
    base = subject.last_activations(tokens)
    targets = base[:, None] + torch.randn((prompts, paths, subject.width), generator=rng) * base.std()
    points = relative(base[:, None].expand_as(targets), targets, steps)
    seconds: dict[str, float] = {}
    for way in WAYS:
        try:
            forward = choose(subject, tokens, points=steps, way=way).forward
        except UsageError:
            continue
        scan(forward, tokens[:1], points[:1, :1])  # what is made once
        began = time.perf_counter()
        scan(forward, tokens, points)
        seconds[way] = (time.perf_counter() - began) / prompts
    table = pd.DataFrame({"seconds": seconds})
    return table.assign(times=table["seconds"] / table["seconds"].iloc[0]).rename_axis("way")


def _way(kind: str, end: str) -> str:
    try:
        return choose(_subject(kind, f"blocks.1.{end}"), _tokens(), points=_POINTS).way
    except UsageError:
        return NOT_POSSIBLE


def _tokens() -> torch.Tensor:
    return torch.arange(2 * _LENGTH).reshape(2, _LENGTH) * 5 % 97


def _subject(kind: str, write: str) -> Subject:
    """As `load_subject` makes it of a checkpoint."""
    model = tiny_model(kind).eval()
    plain, tokenizer = shared_copy(model), tiny_tokenizer()
    read = f"blocks.{BLOCKS - 1}.hook_resid_post"
    subject = Subject(None, tokenizer, {}, parse_site(write, BLOCKS), parse_site(read, BLOCKS), plain)
    subject.check_sites()
    if not subject.write.is_between_blocks:
        return subject
    with loading(kind):
        return replace(subject, lens=boot(model, tokenizer, name=f"tiny/{kind}", device="cpu"))


def told(table: pd.DataFrame) -> str:
    """How many autoencoders can be measured, in a sentence.

    Parameters
    ----------
    table
        What `registry` returns.

    Returns
    -------
    str
        With both numbers and their quotient.
    """
    measurable, entries = int(table["measurable"].sum()), int(table["entries"].sum())
    return f"{measurable:,} of {entries:,} autoencoders can be measured ({measurable / entries:.2%})."


def insert(page: str, name: str, table: pd.DataFrame) -> str:
    """A page with a table at its place.

    Parameters
    ----------
    page
        Markdown with the lines `<!-- NAME -->` and `<!-- /NAME -->`.
    name
        What the place is called.
    table
        What is written there; below the registry's stands what it adds up to.

    Returns
    -------
    str
        The page, with whatever else stood there gone.

    Raises
    ------
    UsageError
        When the page has no such place.
    """
    below = f"\n{told(table)}\n" if name == "registry" else ""
    return fill(page, f"<!-- {name} -->", f"<!-- /{name} -->", f"{as_markdown(table)}{below}")


def as_markdown(table: pd.DataFrame) -> str:
    """A table in Markdown.

    Parameters
    ----------
    table
        Its index is left out where it has no name.

    Returns
    -------
    str
        With a line for each row, and a line break at its end.
    """
    shown = table if table.index.name is None else table.reset_index()
    return "".join(f"| {' | '.join(line)} |\n" for line in _lines(shown))


def as_text(table: pd.DataFrame) -> str:
    """A table for a terminal, its columns aligned.

    Parameters
    ----------
    table
        Its index is left out where it has no name.

    Returns
    -------
    str
        With a line break at its end.
    """
    shown = table if table.index.name is None else table.reset_index()
    lines = [line for line in _lines(shown) if set(line) != {"---"}]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def _lines(table: pd.DataFrame) -> Iterator[list[str]]:
    yield [str(column) for column in table.columns]
    yield ["---"] * len(table.columns)
    for row in table.itertuples(index=False):
        yield [
            f"{cell:,.3g}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else str(cell)
            for cell in row
        ]
