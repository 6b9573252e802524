"""Places in a language model where an activation is replaced or read, and the names by which they are asked for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from plateaulens.config import SiteConfig
from plateaulens.errors import UsageError, shown

Place = Literal["pre", "z", "attn_out", "mid", "mlp_out", "post", "final"]
"""Where in a block, in the order in which the block comes by; `final` is behind the norm that follows the last one."""

FINAL = "ln_final.hook_out"
"""The name of the last norm's output, which is read and not written."""

_ORDER: tuple[Place, ...] = ("pre", "z", "attn_out", "mid", "mlp_out", "post")
_HOOKS: dict[str, Place] = {
    "hook_resid_pre": "pre",
    "hook_resid_mid": "mid",
    "hook_resid_post": "post",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
    "attn.hook_z": "z",
    # as `TransformerBridge` calls them today
    "hook_in": "pre",
    "hook_out": "post",
    "attn.o.hook_in": "z",
}
"""By the end of their name, TransformerLens' hooks that are sites."""
_LENS = re.compile(r"blocks\.(\d{1,6})\.([a-z_.]+)", re.ASCII)
_MODULE = re.compile(r"(?:model\.|language_model\.|transformer\.|gpt_neox\.)*(?:layers|h)\.(\d{1,6})", re.ASCII)
"""A block as transformers names it; what is meant is what it returns."""
_PARTS = re.compile(r"blocks\.(\d{1,6})(?:-(\d{1,6}))?\.(hook_attn_out|hook_mlp_out)", re.ASCII)
"""What a part of a block adds to the stream, of one block or of all from one to another."""


@dataclass(frozen=True)
class Site:
    """A place in a model: on the residual stream, or what a part of one block adds to it or is about to."""

    name: str
    """As it was asked for."""
    block: int
    place: Place

    @property
    def boundary(self) -> int:
        """How many blocks have run to their end when the site is passed: `post` of block 0 is `pre` of block 1."""
        return self.block + (self.place in ("post", "final"))

    @property
    def is_between_blocks(self) -> bool:
        """Whether it is the residual stream before or after a block."""
        return self.place in ("pre", "post")

    @property
    def is_within_block(self) -> bool:
        """Whether it is what a part of a block works with."""
        return not self.is_between_blocks and self.place != "final"

    @property
    def order(self) -> tuple[int, int]:
        """Sites that are passed later have a larger one; names of one place have the same."""
        if self.is_within_block:
            return self.block, _ORDER.index(self.place)
        return self.boundary, int(self.place == "final")

    @property
    def hook(self) -> str:
        """TransformerLens' name of it."""
        if self.place == "final":
            return FINAL
        ends = {place: end for end, place in reversed(_HOOKS.items())}
        return f"blocks.{self.block}.{ends[self.place]}"

    def is_place_of(self, other: "Site") -> bool:
        """Whether both names stand for one place.

        Parameters
        ----------
        other
            Another site of the same model.

        Returns
        -------
        bool
            True for `post` of a block and `pre` of the next, too.
        """
        return self.order == other.order


def parse_site(name: str, blocks: int) -> Site:
    """The site that a hook name stands for.

    Parameters
    ----------
    name
        A TransformerLens hook (`blocks.N.hook_resid_pre`, `hook_resid_mid`, `hook_resid_post`, `hook_attn_out`,
        `hook_mlp_out` or `attn.hook_z`), its name in a `TransformerBridge` (`blocks.N.hook_in`, `hook_out`,
        `attn.o.hook_in`), or a block as transformers names it (`model.layers.N`), which stands for what it returns.
    blocks
        Number of blocks of the model.

    Returns
    -------
    Site
        Before, in or after block N.

    Raises
    ------
    UsageError
        For another hook, or a block that the model does not have.

    Examples
    --------
    >>> parse_site("blocks.1.hook_resid_pre", blocks=12).boundary
    1
    >>> parse_site("model.layers.0", blocks=12).is_place_of(parse_site("blocks.1.hook_in", blocks=12))
    True
    """
    lens, module = _LENS.fullmatch(name), _MODULE.fullmatch(name)
    place = "post" if module else _HOOKS.get(lens[2]) if lens else None
    number = module or lens
    if place is None or number is None:
        raise UsageError(
            f"site {shown(name)} is none that can be measured: use "
            f"{', '.join(f'blocks.N.{end}' for end in list(_HOOKS)[: len(_ORDER)])}"
        )
    block = int(number[1])
    if block >= blocks:
        raise UsageError(f"site {name!r}: the model has {blocks} blocks, numbered 0 to {blocks - 1}")
    return Site(name, block, place)


def parse_read_site(name: str, blocks: int) -> Site:
    """The site that a hook name stands for, where it is one to read.

    Parameters
    ----------
    name
        As `parse_site` takes it, or `FINAL`.
    blocks
        Number of blocks of the model.

    Returns
    -------
    Site
        Before, in or after block N, or behind the last norm.

    Raises
    ------
    UsageError
        As `parse_site` does.

    Examples
    --------
    >>> parse_read_site("ln_final.hook_out", blocks=12).place
    'final'
    """
    return Site(name, blocks - 1, "final") if name == FINAL else parse_site(name, blocks)


def parse_parts(names: Sequence[str], blocks: int) -> tuple[Site, ...]:
    """The sites that names of parts of blocks stand for.

    Parameters
    ----------
    names
        Each `blocks.N.hook_attn_out` or `blocks.N.hook_mlp_out`, or with `N-M` in the place of N, which stands for
        blocks N to M.
    blocks
        Number of blocks of the model.

    Returns
    -------
    tuple of Site
        In the order in which they are passed, each once.

    Raises
    ------
    UsageError
        For another name, for blocks that the model does not have, and where M is less than N.

    Examples
    --------
    >>> [site.name for site in parse_parts(["blocks.2-3.hook_mlp_out", "blocks.3.hook_attn_out"], blocks=12)]
    ['blocks.2.hook_mlp_out', 'blocks.3.hook_attn_out', 'blocks.3.hook_mlp_out']
    """
    found: set[Site] = set()
    for name in names:
        matched = _PARTS.fullmatch(name)
        if matched is None:
            raise UsageError(
                f"sites.frozen: {shown(name)} is no part that can be held; use blocks.N.hook_attn_out, "
                "blocks.N.hook_mlp_out, or blocks.N-M for several blocks"
            )
        first, last = int(matched[1]), int(matched[2] or matched[1])
        if last < first:
            raise UsageError(f"sites.frozen: {name!r} ends before it begins; use blocks.{last}-{first}")
        if last >= blocks:
            raise UsageError(f"sites.frozen: {name!r}: the model has {blocks} blocks, numbered 0 to {blocks - 1}")
        found |= {parse_site(f"blocks.{block}.{matched[3]}", blocks) for block in range(first, last + 1)}
    return tuple(sorted(found, key=lambda site: site.order))


class Sites(NamedTuple):
    """Where a run writes, reads, and holds what the unperturbed prompt has."""

    write: Site
    read: Site
    frozen: tuple[Site, ...]
    """The parts of blocks that are held, behind the write site, in order."""


def parse_sites(sites: SiteConfig, blocks: int) -> Sites:
    """The sites of a configuration.

    Parameters
    ----------
    sites
        Their hook names.
    blocks
        Number of blocks of the model.

    Returns
    -------
    Sites
        The read site is not before the write site; of the parts to be held only those behind it, as others are what
        they are in the unperturbed prompt anyway.

    Raises
    ------
    UsageError
        As `parse_site` and `parse_parts` do, and when the read site comes first.
    """
    write, read = parse_site(sites.write, blocks), parse_read_site(sites.read, blocks)
    if read.order < write.order:
        raise UsageError(f"sites: {read.name} is read before {write.name} is written; choose a later read site")
    behind = (site for site in parse_parts(sites.frozen, blocks) if site.order > write.order)
    return Sites(write, read, tuple(behind))
