"""Places in a language model where an activation is replaced or read, and the names by which they are asked for."""

import re
from dataclasses import dataclass
from typing import Literal

from plateaulens.config import SiteConfig
from plateaulens.errors import UsageError, shown

Place = Literal["pre", "z", "attn_out", "mid", "mlp_out", "post"]
"""Where in a block, in the order in which the block comes by."""

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
        return self.block + (self.place == "post")

    @property
    def is_between_blocks(self) -> bool:
        """Whether it is the residual stream before or after a block."""
        return self.place in ("pre", "post")

    @property
    def order(self) -> tuple[int, int]:
        """Sites that are passed later have a larger one; names of one place have the same."""
        return (self.boundary, 0) if self.is_between_blocks else (self.block, _ORDER.index(self.place))

    @property
    def hook(self) -> str:
        """TransformerLens' name of it."""
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


def parse_sites(sites: SiteConfig, blocks: int) -> tuple[Site, Site]:
    """The write and the read site.

    Parameters
    ----------
    sites
        Their hook names.
    blocks
        Number of blocks of the model.

    Returns
    -------
    tuple of Site
        The write site, and the read site, which is not before it.

    Raises
    ------
    UsageError
        As `parse_site` does, and when the read site comes first.
    """
    write, read = parse_site(sites.write, blocks), parse_site(sites.read, blocks)
    if read.order < write.order:
        raise UsageError(f"sites: {read.name} is read before {write.name} is written; choose a later read site")
    return write, read
