"""Reading presets, and putting the command line's options in their place; mistakes are named on one line."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from plateaulens.config import RunConfig, Strict
from plateaulens.errors import UsageError, explain, reading, reason

ModelT = TypeVar("ModelT", bound=Strict)


def read_config(path: Path) -> RunConfig:
    """Read and check a preset.

    Parameters
    ----------
    path
        The preset, a TOML file.

    Returns
    -------
    RunConfig
        Named after the file unless it says otherwise.

    Raises
    ------
    UsageError
        Names the file, the key and what is wrong.
    """
    return read_toml("preset", path, RunConfig)


def read_toml(what: str, path: Path, model: type[ModelT]) -> ModelT:
    """Read and check a TOML file.

    Parameters
    ----------
    what
        What a message calls the file.
    path
        The file.
    model
        What it must be; has a `name`.

    Returns
    -------
    Strict
        An instance of `model`, named after the file unless it says otherwise.

    Raises
    ------
    UsageError
        Names the file, the key and what is wrong.
    """
    with reading(f"{what} {path} is not valid TOML"):
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{what} {path} cannot be read: {reason(error)}") from None
        given = tomllib.loads(text)
    with reading(f"{what} {path}"):
        return model.model_validate({"name": path.stem, **given})


def override(
    config: RunConfig,
    *,
    samples: int | None = None,
    seed: int | None = None,
    experiments: list[str] | None = None,
    sources: Mapping[str, str | None] | None = None,
    activations: Mapping[str, str] | None = None,
    of_run: str | None = None,
    frozen: Sequence[str] | None = None,
) -> RunConfig:
    """The configuration with the command line's options in place of the preset's, checked again.

    Parameters
    ----------
    config
        The preset. What is not given below stays.
    samples
        Base prompts of every experiment.
    seed
        Of the run.
    experiments
        Names of those that are selected.
    sources
        By section (`model`, `sae`, `prompts`): a path, or a hub's name with `@revision` after it or not. Without one
        the revision is the hub's default branch.
    activations
        Files of activations by the name of the type that they become; see `plateaulens.config.FileConfig`.
    of_run
        A run whose bases and targets are walked; see `plateaulens.config.TargetConfig`.
    frozen
        Parts of blocks that are held; see `plateaulens.config.SiteConfig`.

    Returns
    -------
    RunConfig
        Another one; `config` is left as it is.

    Raises
    ------
    UsageError
        Names the key and what is wrong with the options.
    """
    values = config.model_dump()
    for section, source in (sources or {}).items():
        if source is not None:
            values[section] = {**(values[section] or {}), **_reference(source)}
    if activations:
        values["targets"]["files"] = {**values["targets"]["files"], **activations}
    if of_run is not None:
        values["targets"]["of_run"] = of_run
    if frozen is not None:
        values["sites"]["frozen"] = tuple(frozen)
    if seed is not None:
        values["seed"] = seed
    if experiments is not None:
        values["experiments"] = experiments
    if samples is not None:
        for name in config.sections:
            values[name]["samples"] = samples
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise UsageError(explain(error)) from None


def _reference(source: str) -> dict[str, str | None]:
    """The keys that a source on the command line stands for.

    >>> _reference("openai-community/gpt2@main")
    {'source': 'openai-community/gpt2', 'revision': 'main'}
    """
    name, at, revision = source.rpartition("@")
    if not at or Path(source).exists():
        return {"source": source, "revision": None}
    return {"source": name, "revision": revision}
