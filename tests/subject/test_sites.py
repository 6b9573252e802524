"""Names of sites, and which of them stand for one place."""

from itertools import product

import pytest

from plateaulens.config import SiteConfig
from plateaulens.errors import UsageError
from plateaulens.subject.sites import FINAL, parse_parts, parse_read_site, parse_site, parse_sites

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


def test_the_last_norm_is_read_behind_everything_and_not_written() -> None:
    last, norm = parse_read_site("blocks.2.hook_resid_post", 3), parse_read_site(FINAL, 3)
    assert norm.order > last.order
    assert (norm.hook, norm.boundary, norm.is_between_blocks, norm.is_within_block) == (FINAL, 3, False, False)
    assert parse_sites(SiteConfig(write=IN_ORDER[0], read=FINAL), 3).read == norm
    with pytest.raises(UsageError, match="is none that can be measured"):
        parse_sites(SiteConfig(write=FINAL, read=FINAL), 3)


@pytest.mark.parametrize(
    ("names", "places"),
    [
        ([], []),
        (["blocks.1.hook_mlp_out"], [(1, "mlp_out")]),
        (["blocks.1-2.hook_attn_out", "blocks.2.hook_attn_out"], [(1, "attn_out"), (2, "attn_out")]),
        (["blocks.1.hook_mlp_out", "blocks.1-1.hook_attn_out"], [(1, "attn_out"), (1, "mlp_out")]),
    ],
)
def test_parts_of_one_block_or_of_several(names: list[str], places: list[tuple[int, str]]) -> None:
    assert [(site.block, site.place) for site in parse_parts(names, 3)] == places


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blocks.2-1.hook_mlp_out", "ends before it begins; use blocks.1-2"),
        ("blocks.0-3.hook_mlp_out", "the model has 3 blocks, numbered 0 to 2"),
        ("blocks.1.hook_resid_mid", "is no part that can be held; use blocks.N.hook_attn_out"),
        ("blocks.*.hook_mlp_out", "is no part that can be held"),
        ("blocks.1-2-3.hook_mlp_out", "is no part that can be held"),
        ("\n", "is no part that can be held"),
    ],
)
def test_parts_that_are_none(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        parse_parts([name], 3)
    assert "\n" not in str(raised.value)


def test_only_parts_behind_the_write_site_are_held() -> None:
    sites = SiteConfig(write="blocks.1.hook_resid_mid", read=FINAL, frozen=("blocks.0-2.hook_attn_out",))
    assert [site.block for site in parse_sites(sites, 3).frozen] == [2]
