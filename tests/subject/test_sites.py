"""Names of sites, and which of them stand for one place."""

from itertools import product

import pytest

from plateaulens.config import SiteConfig
from plateaulens.errors import UsageError
from plateaulens.subject.sites import parse_site, parse_sites

SAME = [
    ("blocks.1.hook_resid_pre", "blocks.0.hook_resid_post", "blocks.1.hook_in", "blocks.0.hook_out", "model.layers.0"),
    ("blocks.2.attn.hook_z", "blocks.2.attn.o.hook_in"),
    ("transformer.h.1", "gpt_neox.layers.1", "model.language_model.layers.1", "blocks.1.hook_resid_post"),
]
IN_ORDER = (
    "blocks.1.hook_resid_pre",
    "blocks.1.attn.hook_z",
    "blocks.1.hook_attn_out",
    "blocks.1.hook_resid_mid",
    "blocks.1.hook_mlp_out",
    "blocks.1.hook_resid_post",
)


@pytest.mark.parametrize("names", SAME)
def test_names_of_one_place(names: tuple[str, ...]) -> None:
    for one, other in product(names, names):
        assert parse_site(one, 3).is_place_of(parse_site(other, 3))


def test_places_come_in_the_order_of_a_block() -> None:
    sites = [parse_site(name, 3) for name in IN_ORDER]
    assert [site.order for site in sites] == sorted({site.order for site in sites})
    assert [site.hook for site in sites] == list(IN_ORDER)


@pytest.mark.parametrize(
    ("name", "boundary"),
    [("blocks.0.hook_resid_pre", 0), ("blocks.0.hook_resid_post", 1), ("blocks.2.hook_mlp_out", 2)],
)
def test_a_boundary_counts_the_blocks_that_have_run(name: str, boundary: int) -> None:
    site = parse_site(name, 3)
    assert (site.name, site.boundary) == (name, boundary)


@pytest.mark.parametrize(
    "name",
    [
        "hook_embed",
        "blocks.-1.hook_resid_pre",
        "blocks.1.hook_resid_pre ",
        "blocks.1.hook_mlp_in",
        "blocks.x.hook_resid_pre",
        "model.layers.1.mlp",
        "blocks.1",
        "",
        "\0",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"is none that can be measured: use blocks\.N\.hook_resid_pre") as raised:
        parse_site(name, 3)
    assert "\n" not in str(raised.value)


def test_a_block_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="the model has 3 blocks, numbered 0 to 2"):
        parse_site("model.layers.3", 3)


@pytest.mark.parametrize(("write", "read"), [(1, 0), (5, 2)])
def test_nothing_is_read_before_it_is_written(write: int, read: int) -> None:
    with pytest.raises(UsageError, match=r"is read before .* is written; choose a later read site"):
        parse_sites(SiteConfig(write=IN_ORDER[write], read=IN_ORDER[read]), 3)
