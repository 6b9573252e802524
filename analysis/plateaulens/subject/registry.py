"""What SAELens' table of pretrained SAEs says of each of them before anything is downloaded: its model, kind and hook.

The table itself names no hooks: a conversion function for each family of releases makes them, some of it from files of
the release. Where those are needed, the hook is told from the names here.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from sae_lens.loading.pretrained_sae_loaders import (
    NAMED_PRETRAINED_SAE_CONFIG_GETTERS,
    get_conversion_loader_name,
)
from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

from plateaulens.errors import UsageError
from plateaulens.subject.sites import Site, parse_site

NOT_ROW_BY_ROW = {
    "temporal": "its codes depend on the tokens before",
    **dict.fromkeys(
        ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"),
        "it writes to another place than it reads",
    ),
}
"""SAELens architectures that are no autoencoder of single activations, and why."""
AUTOENCODER = "autoencoder"
"""The kind of every architecture that is not in `NOT_ROW_BY_ROW`."""
_FIRST = "blocks.0.hook_resid_pre"
_MOST_BLOCKS = 10**6

WITHOUT_FILES = frozenset({"gemma_2", "qwen_scope", "deepseek_r1", "goodfire", "gemma_2_transcoder"})
"""Conversion functions that make the hook of names alone; they are asked."""
RULES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "sae_lens": (
        (AUTOENCODER, r"blocks\.(\d+)\.(hook_resid_(?:pre|mid|post)|hook_(?:attn|mlp)_out|attn\.hook_z)", r"\2"),
    ),
    "connor_rob_hook_z": ((AUTOENCODER, r"blocks\.(\d+)\.hook_z", "attn.hook_z"),),
    # as SAELens takes them in turn; what the release calls attn_out is what goes into the output projection
    "gemma_3": (
        (AUTOENCODER, r"resid_post\w*/layer_(\d+)", "hook_resid_post"),
        (AUTOENCODER, r"attn_out\w*/layer_(\d+)", "attn.hook_z"),
        (AUTOENCODER, r"mlp_out\w*/layer_(\d+)", "hook_mlp_out"),
        ("jumprelu_skip_transcoder", r"(?:transcoder|clt)\w*/layer_(\d+)\w*_affine", "hook_mlp_in"),
        ("jumprelu_transcoder", r"(?:transcoder|clt)\w*/layer_(\d+)", "hook_mlp_in"),
    ),
    "llama_scope": (
        (AUTOENCODER, r"-L(\d+)R-", "hook_resid_post"),
        (AUTOENCODER, r"-L(\d+)A-", "hook_attn_out"),
        (AUTOENCODER, r"-L(\d+)M-", "hook_mlp_out"),
    ),
    "llama_scope_r1_distill": ((AUTOENCODER, r"/L(\d+)R", "hook_resid_post"),),
    "dictionary_learning_1": ((AUTOENCODER, r"resid_post_layer_(\d+)", "hook_resid_post"),),
    "mwhanna_transcoder": (("transcoder", r"layer_(\d+)", "mlp.hook_in"),),
    # a file names the end of the hook; the layer before the MLP is what these read
    "mntss_clt_layer_transcoder": (("transcoder", r"layer_(\d+)", "hook_mlp_in"),),
    "temporal": (("temporal", r"blocks\.(\d+)\.(hook_resid_post)", r"\2"),),
}
"""By conversion function: the kind, what is looked for in `id path`, and the end of the hook in block `\\1`."""


class Entry(NamedTuple):
    """One line of the table."""

    release: str
    id: str
    model: str
    kind: str
    """`AUTOENCODER`, or the SAELens architecture of what is none of single activations."""
    hook: str
    """TransformerLens' name of what it reads."""

    @property
    def is_autoencoder(self) -> bool:
        """Whether it can be used row by row."""
        return self.kind == AUTOENCODER

    @property
    def site(self) -> Site:
        """Where it reads; raises `UsageError` for what a transcoder reads.

        The token embedding is what comes into block 0, as none of these models adds anything to it.
        """
        return parse_site(_FIRST if self.hook == "hook_embed" else self.hook, _MOST_BLOCKS)


def describe_entry(release: str, sae_id: str) -> Entry:
    """What SAELens' table and loaders say of one SAE, without a download.

    Parameters
    ----------
    release, sae_id
        As the table names them.

    Returns
    -------
    Entry
        Its model, kind and hook.

    Raises
    ------
    UsageError
        When the table has no such SAE, or its conversion function is one that `RULES` does not know.

    Examples
    --------
    >>> entry = describe_entry("llama_scope_lxa_8x", "l5a_8x")
    >>> entry.model, entry.kind, entry.hook
    ('meta-llama/Llama-3.1-8B', 'autoencoder', 'blocks.5.hook_attn_out')
    """
    known = get_pretrained_saes_directory().get(release)
    if known is None or sae_id not in known.saes_map:
        raise UsageError(f"SAE '{release}:{sae_id}': it is not in SAELens' table of pretrained SAEs")
    way, path = get_conversion_loader_name(release), known.saes_map[sae_id]
    if way in WITHOUT_FILES:
        given = NAMED_PRETRAINED_SAE_CONFIG_GETTERS[way](known.repo_id, path, "cpu", False, None)
        kind = given["architecture"]
        # of Gemma Scope's instruction-tuned models the table has one under the name of the base model
        model = given["model_name"] if way == "gemma_2" else known.model
        return Entry(release, sae_id, model, kind if kind in NOT_ROW_BY_ROW else AUTOENCODER, given["hook_name"])
    for kind, pattern, end in RULES.get(way, ()):
        if found := re.search(pattern, f"{sae_id} {path}", re.ASCII):
            return Entry(release, sae_id, known.model, kind, f"blocks.{found[1]}.{found.expand(end)}")
    raise UsageError(f"SAE '{release}:{sae_id}': its hook cannot be told from its names (conversion {way!r})")


def known_entry(release: str, sae_id: str) -> Entry | None:
    """What `describe_entry` says of an SAE.

    Parameters
    ----------
    release, sae_id
        Any names.

    Returns
    -------
    Entry or None
        None of a repository that is not in the table, and of a conversion function that there is no rule for.
    """
    try:
        return describe_entry(release, sae_id)
    except UsageError:
        return None


def walk_registry() -> Iterator[Entry]:
    """Every SAE of SAELens' table, in its order.

    Yields
    ------
    Entry
        As `describe_entry` has it.
    """
    for release, known in get_pretrained_saes_directory().items():
        for sae_id in known.saes_map:
            yield describe_entry(release, sae_id)
