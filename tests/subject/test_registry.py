"""SAELens' table of pretrained SAEs, as the installed version has it."""

from collections import Counter

import pytest
from sae_lens.loading import pretrained_sae_loaders
from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

from plateaulens.errors import UsageError
from plateaulens.subject.registry import RULES, WITHOUT_FILES, describe_entry, walk_registry


@pytest.mark.slow
def test_every_entry() -> None:
    """Totals of SAELens 6.54.12; those of another version are to be counted again, and looked at."""
    entries = list(walk_registry())
    assert len(entries) == len({(entry.release, entry.id) for entry in entries}) == 13_857
    assert len({entry.release for entry in entries}) == 170
    usable = [entry for entry in entries if entry.is_autoencoder]
    places = Counter(entry.site.place for entry in usable)
    assert places["pre"] + places["mid"] + places["post"] == 4_846
    assert places["z"] + places["attn_out"] == 2_574
    assert places["mlp_out"] == 2_598
    assert len(usable) == 10_018
    kinds = Counter(entry.kind for entry in entries if not entry.is_autoencoder)
    assert kinds["temporal"] == 3
    assert kinds.total() - kinds["temporal"] == 3_836


@pytest.mark.parametrize(
    ("release", "sae_id", "model", "kind", "hook"),
    [
        ("gpt2-small-res-jb", "blocks.1.hook_resid_pre", "gpt2-small", "autoencoder", "blocks.1.hook_resid_pre"),
        (
            "gpt2-small-res-jb-feature-splitting",
            "blocks.8.hook_resid_pre_768",
            "gpt2-small",
            "autoencoder",
            "blocks.8.hook_resid_pre",
        ),
        ("gpt2-small-hook-z-kk", "blocks.3.hook_z", "gpt2-small", "autoencoder", "blocks.3.attn.hook_z"),
        ("llama_scope_lxm_8x", "l31m_8x", "meta-llama/Llama-3.1-8B", "autoencoder", "blocks.31.hook_mlp_out"),
        (
            "gemma-scope-2b-pt-res",
            "embedding/width_4k/average_l0_6",
            "gemma-2-2b",
            "autoencoder",
            "hook_embed",
        ),
        (
            "gemma-scope-2b-pt-att-canonical",
            "layer_25/width_16k/canonical",
            "gemma-2-2b",
            "autoencoder",
            "blocks.25.attn.hook_z",
        ),
        (
            "temporal-sae-gemma-2-2b",
            "blocks.12.hook_resid_post",
            "gemma-2-2b",
            "temporal",
            "blocks.12.hook_resid_post",
        ),
        ("mwhanna-qwen3-4b-transcoders", "layer_7", "qwen3-4b", "transcoder", "blocks.7.mlp.hook_in"),
    ],
)
def test_by_hand(release: str, sae_id: str, model: str, kind: str, hook: str) -> None:
    entry = describe_entry(release, sae_id)
    assert (entry.model, entry.kind, entry.hook) == (model, kind, hook)


def test_the_embedding_comes_into_the_first_block() -> None:
    entry = describe_entry("gemma-scope-2b-pt-res", "embedding/width_4k/average_l0_6")
    assert entry.site.name == "blocks.0.hook_resid_pre"


def test_every_conversion_of_the_table_has_a_rule() -> None:
    named = {known.conversion_func or "sae_lens" for known in get_pretrained_saes_directory().values()}
    assert named == {*RULES, *WITHOUT_FILES}
    assert named <= {*pretrained_sae_loaders.NAMED_PRETRAINED_SAE_LOADERS}


@pytest.mark.parametrize("sae_id", ["blocks.1.hook_resid_pre", "nothing"])
def test_what_the_table_does_not_have(sae_id: str) -> None:
    with pytest.raises(UsageError, match=r"it is not in SAELens' table of pretrained SAEs"):
        describe_entry("someone/saes", sae_id)
    with pytest.raises(UsageError, match="table of pretrained SAEs"):
        describe_entry("gpt2-small-res-jb", "nothing")
