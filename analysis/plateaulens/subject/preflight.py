"""What can be known of a run before anything slow happens: that all it needs is there, and that it can be measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.subject.anatomy import text_config
from plateaulens.subject.architectures import check_architecture
from plateaulens.subject.hub import NotFoundError, Repository
from plateaulens.subject.prompts import find_prompts
from plateaulens.subject.sae import find_sae
from plateaulens.subject.sites import parse_sites
from plateaulens.subject.weights import find_model, read_config


def check(config: RunConfig) -> Any:
    """Look for the model, the SAE and the prompts without loading them, and check the model's architecture and sites.

    Of sites it is checked that there are such blocks, and that what is read comes after what is written. Nothing is
    checked of a GGUF file, as reading its configuration takes as long as loading it.

    Parameters
    ----------
    config
        The run's configuration.

    Returns
    -------
    PretrainedConfig or None
        The model's configuration; None for a GGUF file.

    Raises
    ------
    UsageError
        One that names everything that is missing. Where something else is wrong with one of the three, with the
        architecture or with a site, one that names the first such thing.
    """
    sae = config.sae
    model: list[Path | Repository] = []
    searches: list[Callable[[], object]] = [
        lambda: model.append(find_model(config.model)),
        *([] if sae is None else [lambda: find_sae(sae)]),
        lambda: find_prompts(config.prompts),
    ]
    missing: list[NotFoundError] = []
    for search in searches:
        try:
            search()
        except NotFoundError as error:
            missing.append(error)
    if missing:
        raise _together(missing, len(searches))
    known = read_config(*model)
    if known is None:
        return None
    check_architecture(known, length=config.prompts.length)
    blocks = getattr(text_config(known), "num_hidden_layers", None)
    if isinstance(blocks, int):  # what has none is no language model, which loading it says
        parse_sites(config.sites, blocks)
    return known


def _together(missing: list[NotFoundError], wanted: int) -> UsageError:
    if len(missing) == 1:
        return missing[0]
    # where it was looked for is the same for all of them, as a rule
    places = list(dict.fromkeys(error.where for error in missing))
    where = places[0] if len(places) == 1 else "; ".join(f"{error.what}: {error.where}" for error in missing)
    return UsageError(
        f"{len(missing)} of the {wanted} things that this run needs were not found: "
        f"{', '.join(error.what for error in missing)} ({where}): point at local copies with "
        f"{', '.join(error.option for error in missing)}"
    )
