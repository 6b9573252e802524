"""Where sites are in transformers' modules: what is found adds up, and what cannot be found is refused by name."""

from collections.abc import Callable

import pytest
import torch
from tests.architectures import MODEL_TYPES
from tests.conftest import tiny_model
from transformers import DynamicCache

from plateaulens.errors import UsageError
from plateaulens.subject.anatomy import (
    Anatomy,
    check_site,
    find_anatomy,
    find_blocks,
    kept_in,
    reading_sites,
    run,
    site_width,
)
from plateaulens.subject.model import Subject
from plateaulens.subject.sites import Place, Site

PARALLEL = {"gpt_neox", "cohere", "cohere2", "falcon", "gptj", "phi"}
NOT_IN_PARTS = {"bloom", "mpt", "opt", "falcon", "llama4_text"}
"""Architectures whose modules change the stream themselves, or return something of another shape."""
TOKENS = torch.arange(10, 19)[None]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_parts_of_every_block_add_up(model_type: str) -> None:
    """`post = pre + multiplier (attn_out + mlp_out)`, on other tokens than those that the search ran on."""
    model = tiny_model(model_type).eval()
    anatomy = find_anatomy(model)
    assert (anatomy.parts is None) == (model_type in NOT_IN_PARTS)
    assert len(anatomy.blocks) == 3
    if anatomy.parts is None:
        return
    assert anatomy.parallel == (model_type in PARALLEL)
    places: tuple[Place, ...] = ("pre", "attn_out", "mlp_out", "post")
    sites = {(block, place): Site("", block, place) for block in range(3) for place in places}
    with torch.inference_mode(), reading_sites(anatomy, sites) as kept:
        run(model, TOKENS)
    for block in range(3):
        pre, attention, mlp, post = (kept[block, place] for place in places)
        torch.testing.assert_close(pre + anatomy.multiplier * (attention + mlp), post, rtol=1e-4, atol=1e-4)
        assert attention.abs().max() > 0 < mlp.abs().max()
        if block < 2:
            torch.testing.assert_close(post, kept[block + 1, "pre"])


def test_granite_scales_what_its_parts_add() -> None:
    assert find_anatomy(tiny_model("granite").eval()).multiplier == 0.4


@pytest.mark.parametrize(("model_type", "width"), [("gpt2", 32), ("llama", 32), ("qwen3_moe", 32), ("gemma2", 32)])
def test_the_width_of_z_is_that_of_all_heads(model_type: str, width: int) -> None:
    anatomy = find_anatomy(tiny_model(model_type).eval())
    assert site_width(anatomy, Site("", 1, "z"), 32) == width
    assert site_width(anatomy, Site("", 1, "mlp_out"), 32) == 32


def test_the_width_of_z_where_heads_are_wider_than_the_stream() -> None:
    anatomy = find_anatomy(tiny_model("llama", head_dim=16).eval())
    assert site_width(anatomy, Site("", 1, "z"), 32) == 64


def test_no_middle_where_attention_and_mlp_are_parallel() -> None:
    with pytest.raises(UsageError, match="site 'm': in this model attention and MLP read the same stream"):
        check_site(find_anatomy(tiny_model("gpt_neox").eval()), Site("m", 1, "mid"))


def test_no_parts_where_none_add_up() -> None:
    anatomy = find_anatomy(tiny_model("bloom").eval())
    with pytest.raises(UsageError, match=r"site 'a': attention and MLP of this model do not add up to its blocks; use"):
        check_site(anatomy, Site("a", 1, "attn_out"))
    check_site(anatomy, Site("b", 1, "post"))


def test_blocks_that_are_not_to_be_found() -> None:
    model = tiny_model("llama")
    model.config.num_hidden_layers = 7
    with pytest.raises(UsageError, match="model type 'llama': its blocks are not where they can be found"):
        find_blocks(model)


def test_a_subject_refuses_a_site_that_its_model_lacks(subject_at: Callable[..., Subject]) -> None:
    with pytest.raises(UsageError, match="there is none between them"):
        subject_at("gpt_neox", write="blocks.1.hook_resid_mid", lens=False).check_sites()


def test_anatomy_of_sites_between_blocks_runs_nothing(subject_at: Callable[..., Subject]) -> None:
    found = subject_at("llama", lens=False).anatomy
    assert isinstance(found, Anatomy)
    assert found.parts is None


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_a_cache_is_given_by_the_name_that_the_model_knows(name: str) -> None:
    def before(*, past_key_values: object) -> object:
        return past_key_values

    def since(*, cache: object) -> object:
        return cache

    forwards: dict[str, Callable[..., object]] = {"cache": since, "past_key_values": before}
    model = tiny_model("gpt2")
    model.forward = forwards[name]
    assert kept_in(model, "what was kept") == {name: "what was kept"}


def test_what_was_run_into_a_cache_is_there_for_the_rest() -> None:
    model = tiny_model("gpt2").eval()
    cache = DynamicCache(config=model.config)
    run(model, TOKENS[:, :5], cache)
    assert cache.get_seq_length() == 5
    whole = run(model, TOKENS).logits[:, -1]
    torch.testing.assert_close(run(model, TOKENS[:, 5:], cache).logits[:, -1], whole, atol=1e-5, rtol=1e-5)
