"""Whether a stored run may be continued: what was measured, and how, must be what is asked for now.

Compared are the configuration, without its sections `analysis` and `report`, which change no measurement, and the
identity of model, SAE and prompts. Software versions are not: each session records its own in /provenance. Nor is the
schema version: a run of an earlier one is continued as what it is.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from plateaulens.config import RunConfig
from plateaulens.errors import shown
from plateaulens.store.sae_settings import without_settings

Attributes = Mapping[str, str | int]
"""Root attributes of a run by name, as `plateaulens.store.schema.RUN_ATTRIBUTES` lists them."""

NOT_MEASURED = ("analysis", "report")
"""The sections of a configuration that change no measurement."""


LEARNED = "learned"
"""The key of an identity that has digests of what activation types have learned, whose last digits depend on how many
threads compute it and on which machine."""


def resume_differences(stored: Attributes, asked: Attributes, *, drawn: bool = False) -> list[str]:
    """What forbids to continue the stored run.

    Parameters
    ----------
    stored, asked
        The attributes of the run that is there and of the one that is wanted, of which `config` and `identity` (both
        JSON texts) are read. Keys that an earlier version did not write down yet have today's defaults.
    drawn
        Whether all targets of the stored run are there, so that what types learn now is asked by nobody.

    Returns
    -------
    list of str
        One text per dotted key that differs, with both values; empty when nothing forbids it.

    Raises
    ------
    ValueError
        When `config` or `identity` is missing or is not the JSON text that it should be.

    Examples
    --------
    >>> stored = {"config": '{"sensitivity": {"samples": 300}, "analysis": {}}', "identity": "{}"}
    >>> resume_differences(stored, stored | {"config": '{"sensitivity": {"samples": 200}, "analysis": {"seed": 1}}'})
    ['sensitivity.samples: stored 300, asked 200']
    """
    before, now = _comparable(stored), _comparable(asked)
    if "way" not in before["identity"]:  # an earlier version did not write down how points went through the model
        now["identity"] = {key: value for key, value in now["identity"].items() if key != "way"}
    if drawn:
        for each in (before, now):
            each["identity"] = {key: value for key, value in each["identity"].items() if key != LEARNED}
    return differences(before, now, "asked")


def likely_tokens(asked: Attributes) -> object:
    """How many of the most likely next tokens a configuration has stored.

    Parameters
    ----------
    asked
        Attributes of which `config` is read, which is sound.

    Returns
    -------
    object
        A number, or `auto`.
    """
    return _filled_in(_object(str(asked["config"]))).get("engine", {}).get("likely_tokens", "auto")


def differences(stored: Mapping[str, Any], other: Mapping[str, Any], word: str, prefix: str = "") -> list[str]:
    """The keys at which two nested mappings differ.

    Parameters
    ----------
    stored, other
        What is compared, mappings within them key by key; a list is one value.
    word
        What the texts call the values of `other`.
    prefix
        What stands before every key.

    Returns
    -------
    list of str
        One text per key, dotted, with both values as JSON or `nothing`; keys of `stored` come first.

    Examples
    --------
    >>> differences({"a": {"b": 1}, "c": [1]}, {"a": {"b": 2}, "c": [1], "d": None}, "expected")
    ['a.b: stored 1, expected 2', 'd: stored nothing, expected null']
    """
    found = []
    for key in dict.fromkeys([*stored, *other]):
        if isinstance(stored.get(key), Mapping) and isinstance(other.get(key), Mapping):
            found += differences(stored[key], other[key], word, f"{prefix}{key}.")
        elif key not in stored or key not in other or stored[key] != other[key]:
            found.append(f"{prefix}{key}: stored {_shown(stored, key)}, {word} {_shown(other, key)}")
    return found


def _shown(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "nothing"


def _comparable(attributes: Attributes) -> dict[str, Any]:
    try:
        config = _filled_in(_object(str(attributes["config"])))
        identity = _object(str(attributes["identity"]))
    except KeyError as error:
        raise ValueError(f"root attribute {error} is missing") from None
    if isinstance(config.get("sae"), dict):  # whether frequencies were measured is in the SAE's identity
        config["sae"].pop("frequency", None)
    if isinstance(config.get("targets"), dict):  # what bases and targets were taken is in the identity, wherever it lay
        config["targets"].pop("of_run", None)
    if isinstance(config.get("engine"), dict):  # which way was taken, too; how many tokens are stored is in the layout
        config["engine"].pop("way", None)
        config["engine"].pop("likely_tokens", None)
        # an earlier version did not write down what products were computed in, but asked for it outright
        precision = config["engine"].pop("precision", "float32")
        if isinstance(config.get("model"), dict) and config["model"].get("dtype") == "bfloat16":
            precision = "bf16"
        identity.setdefault("precision", "float32" if precision == "auto" else precision)
        if str(identity.get("device", "cpu")).startswith("cpu") and config["engine"].get("prompts_per_batch") == "auto":
            config["engine"]["prompts_per_batch"] = 1  # as earlier versions did not say
    if "sae" in identity:
        identity["sae"] = without_settings(identity["sae"])
    return {**{key: value for key, value in config.items() if key not in NOT_MEASURED}, "identity": identity}


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError(f"{shown(found)} where there should be a JSON object")  # noqa: TRY004 (of the text)
    return found


def _filled_in(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with today's defaults where an earlier version had no such key yet.

    Sections of experiments that are not selected change nothing, and are left out.
    """
    try:
        read = RunConfig.model_validate(config)
    except ValidationError:
        return config  # another version's: what differs is named key by key
    filled = read.model_dump(mode="json")
    return {key: value for key, value in filled.items() if key not in read.sections or key in read.experiments}
