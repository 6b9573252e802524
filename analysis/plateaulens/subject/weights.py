"""A language model's weights and tokenizer, from wherever the configuration says they are.

Models come from the installation itself (`embedded:NAME`), a GGUF file, a directory, or a hub; the source decides how
weights are found and identified, and nothing after that.
"""

import copy
import functools
import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, cast

import gguf
import torch
from safetensors import safe_open
from safetensors.torch import save_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    modeling_gguf_pytorch_utils,
)
from transformers.utils import logging as transformers_logging

from plateaulens import cache
from plateaulens.config import ModelConfig
from plateaulens.errors import UsageError, reading, shown
from plateaulens.resources import sha256_of
from plateaulens.subject import hub
from plateaulens.subject.anatomy import text_config
from plateaulens.subject.architectures import check_extents
from plateaulens.subject.embedded import EMBEDDED, locate
from plateaulens.subject.narrow import narrow, reading_narrow

OPTION = "--model PATH (a directory or a .gguf file)"
"""What takes a model that is on this machine."""
_CONFIG = "config.json"
_INDEX = "*.index.json"
"""What says which files the weights of a model are in, where they are in several."""
_ADAPTER = "adapter_config.json"
_KIND = "model"
"""What a model is in the cache."""
_SMALLEST_TENSOR, _SMALLEST_FIELD = 24, 13
"""Bytes that the description of a tensor, and a field, have at least in a GGUF file."""
_ALIGNED = 64
"""Bytes to whose multiples PyTorch aligns what it makes."""
_NUMBERS_PER_BYTE = 8
"""More weights than any format has in a byte."""
_OPTIONS: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""For all that transformers loads: nothing is fetched, and code that comes with a model is not run, nor asked about."""


@dataclass(frozen=True)
class Weights:
    """A loaded model, its tokenizer, and what identifies the weights."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: dict[str, str]
    architecture: str
    """What the model is called; TransformerLens records it."""


def find_model(config: ModelConfig) -> Path | hub.Repository:
    """Where a configuration's model is: a GGUF file, a directory, or a hub repository whose files are still there.

    Parameters
    ----------
    config
        Which model.

    Returns
    -------
    Path or Repository
        A file or directory on this machine, or a commit that has a configuration and weights.

    Raises
    ------
    UsageError
        When it is embedded and not installed; a `NotFoundError` when it is nowhere.
    """
    kind, _, name = config.source.partition(":")
    if kind == "embedded":
        if name not in EMBEDDED:
            raise UsageError(f"no embedded model {name!r}: there is {', '.join(EMBEDDED)}")
        return locate(EMBEDDED[name])
    what, path = f"model {config.source!r}", Path(config.source)
    if path.is_dir() or path.is_file():
        return path
    if path.suffix == ".gguf" or not hub.is_id(config.source):
        raise hub.NotFoundError(what, f"{path} does not exist", OPTION)
    try:
        found = hub.find(config.source, config.revision, "model")
    except LookupError as error:
        raise hub.NotFoundError(what, str(error.args[0]), OPTION) from None
    if _CONFIG not in found.files or not _weights(found.files):
        raise hub.NotFoundError(what, f"{_CONFIG} or weights missing among the files that there are of it", OPTION)
    return found


def read_config(place: Path | hub.Repository) -> Any:
    """The transformers configuration of a model in a directory or on a hub, before its weights are touched.

    Parameters
    ----------
    place
        Where the model is, as `find_model` says.

    Returns
    -------
    PretrainedConfig or None
        None for a GGUF file, of which reading it takes as long as loading the model.

    Raises
    ------
    UsageError
        When it cannot be fetched or read.
    """
    if isinstance(place, Path) and place.is_file():
        return None
    folder = place if isinstance(place, Path) else place.fetch([_CONFIG])
    with loading(str(folder)):
        return _configuration(folder, _OPTIONS)


def load_weights(config: ModelConfig, device: str = "cpu") -> Weights:
    """Read the weights and the tokenizer from wherever `config.source` points.

    `embedded:NAME` and local paths never touch the network.

    Parameters
    ----------
    config
        Which model.
    device
        Where weights are wanted. They are read straight to it, and those that shall be in bfloat16 are never held in
        float32; but those of a GGUF file are in this machine's memory, in float32, while they are made.

    Returns
    -------
    Weights
        In float32, the blocks' in bfloat16 where the configuration says so (`plateaulens.subject.narrow`).

    Raises
    ------
    UsageError
        When the source does not exist or cannot be reached or read, and when the device cannot be used.
    """
    with reading(f"model.device {shown(device)} cannot be used here", "name one as PyTorch does"):
        torch.empty(1, device=device)
    found = _load(config, device)
    return replace(found, model=narrow(found.model)) if config.dtype == "bfloat16" else found


def _load(config: ModelConfig, device: str) -> Weights:
    place = find_model(config)
    if isinstance(place, hub.Repository):
        folder = place.fetch(_needed(place.files))
        identity = {"hub_id": place.name, "commit": place.commit}
        return _from_directory(config, folder, identity, device)
    if place.is_file():
        kind, _, name = config.source.partition(":")
        architecture = EMBEDDED[name].architecture if kind == "embedded" else place.stem
        return _from_gguf(config, place, architecture, device)
    with loading(config.source):
        identity = {"directory": place.resolve().name, **{file.name: sha256_of(file) for file in _identifying(place)}}
    return _from_directory(config, place, identity, device)


def _identifying(folder: Path) -> list[Path]:
    """The files of a directory that decide what the weights are, an index and all that it names among them."""
    found = {file for pattern in (_CONFIG, "*.safetensors", "*.bin", _INDEX) for file in folder.glob(pattern)}
    return sorted(found)


def _check_indexes(folder: Path) -> None:
    """Refuse a directory with an index that names files which `_identifying` does not find."""
    for index in sorted(folder.glob(_INDEX)):
        for name in json.loads(index.read_bytes()).get("weight_map", {}).values():
            _check_within(name, ".safetensors", ".bin")


def _check_within(name: object, *ends: str) -> None:
    """Refuse what is no name of a file of weights in the model's own folder."""
    if not isinstance(name, str) or not name.endswith(ends) or any(mark in name for mark in "/\\\0"):
        raise ValueError(
            f"it says that weights are in {shown(name)}, and only files of its own folder are read ({', '.join(ends)})"
        )


def check_real(file: Path) -> None:
    """Refuse complex numbers among weights: the imaginary parts would be dropped without a word.

    Parameters
    ----------
    file
        A safetensors file, or one of pickled tensors, which ends in `.bin`.

    Raises
    ------
    ValueError
        When one of its tensors is complex.
    """
    if file.suffix == ".bin":
        pickled = torch.load(file, map_location="meta", weights_only=True)  # shapes and dtypes alone
        found = [name for name, each in pickled.items() if isinstance(each, torch.Tensor) and each.is_complex()]
    else:
        with safe_open(file, framework="pt") as tensors:
            # it is no mapping
            found = [name for name in tensors.keys() if tensors.get_slice(name).get_dtype().startswith("C")]  # noqa: SIM118
    if found:
        raise ValueError(f"{file.name} has complex numbers in {shown(found[0])}, and only real ones are meant")


@contextmanager
def _refusing_code(source: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, ImportError, OSError) as error:
        if "trust_remote_code" in str(error):  # as transformers refuses what it has no class of its own for
            raise UsageError(
                f"model {source!r} comes with code of its own, and models with code of their own are not run: "
                "use one of an architecture that the installed transformers knows"
            ) from error
        raise


def _weights(files: Sequence[str]) -> list[str]:
    """The files of the weights, in the one format of several that transformers prefers."""
    here = [file for file in files if "/" not in file]
    safe = [file for file in here if file.endswith(".safetensors")]
    return safe or [file for file in here if file.startswith("pytorch_model") and file.endswith(".bin")]


def _needed(files: Sequence[str]) -> list[str]:
    """The files of a repository that a model and its tokenizer are read from."""
    small = [file for file in files if "/" not in file and file.endswith((".json", ".txt", ".model", ".jinja"))]
    return [*small, *_weights(files)]


def _from_gguf(config: ModelConfig, path: Path, architecture: str, device: str) -> Weights:
    with loading(config.source):
        _check_counts(path)
        digest = sha256_of(path)
        key = _key(digest)
        found = _cached(config, key, device)
        if found is None:
            options: dict[str, Any] = {"gguf_file": path.name, **_OPTIONS}
            with _reading_once():
                model = _model(config, path.parent, options, [path])
                # the weights are plain float32 from here on; a stale quantization entry makes other tools refuse them
                model.config.quantization_config = None
                tokenizer = AutoTokenizer.from_pretrained(path.parent, **options)
            if sha256_of(path) == digest:
                _keep(key, model, tokenizer)
            found = model, tokenizer
    return Weights(*found, {"file": path.name, "sha256": digest}, architecture)


def _key(digest: str) -> cache.Key:
    """All that the weights depend on which a GGUF file comes to."""
    distributions = ("gguf", "numpy", "safetensors", "tokenizers", "torch", "transformers")
    return {
        "sha256": digest,
        "versions": {name: version(name) for name in distributions},
        "code": cache.code_digest("subject"),
    }


def _cached(config: ModelConfig, key: cache.Key, device: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase] | None:
    """The model of a GGUF file as an earlier process left it, de-quantised."""
    place = cache.find(_KIND, key)
    if place is None:
        return None
    try:
        model = _model(config, place, _OPTIONS, list(place.glob("*.safetensors")), device)
        return model, AutoTokenizer.from_pretrained(place, **_OPTIONS)
    except Exception:  # noqa: BLE001  removed at this moment, or not what was written: the file itself is there
        cache.forget(_KIND, key)
        return None


def _keep(key: cache.Key, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Keep a model for the next process, unless its tokenizer would come back as another one."""

    def write(part: Path) -> None:
        model.config.save_pretrained(part)
        if model.generation_config is not None:
            model.generation_config.save_pretrained(part)
        # not as the model itself would be saved, which refuses as it was quantized
        save_model(model, str(part / "model.safetensors"), metadata={"format": "pt"})
        tokenizer.save_pretrained(part)
        if _spoken(AutoTokenizer.from_pretrained(part, **_OPTIONS)) != _spoken(tokenizer):
            raise ValueError("another tokenizer")

    cache.keep(_KIND, key, sum(tensor.nbytes for tensor in model.parameters()), write)


def _spoken(tokenizer: Any) -> tuple[Any, ...]:
    """All by which tokenizers differ in what they make of a text and of tokens."""
    parts = ("special_tokens_map", "chat_template", "padding_side", "model_max_length", "clean_up_tokenization_spaces")
    return (type(tokenizer), tokenizer.backend_tokenizer.to_str(), *(getattr(tokenizer, name, None) for name in parts))


@contextmanager
def _reading_once() -> Iterator[None]:
    """Have transformers read a GGUF file once: it does so for the configuration, the weights and the tokenizer each.

    Every reading takes seconds, as each token of the vocabulary is an object of its own; so does making the table of
    the tensors' names, once for each module of the model.
    """
    module = vars(gguf)
    before = {name: module[name] for name in ("GGUFReader", "get_tensor_name_map")}
    module |= {name: functools.cache(made) for name, made in before.items()}
    try:
        yield
    finally:
        module |= before


def _check_counts(path: Path) -> None:
    """Refuse a GGUF file that says that it holds more than there is room for, before anything counts so far."""
    with path.open("rb") as file:
        magic, version = struct.unpack("<4sI", file.read(8))
        if magic != b"GGUF":
            raise ValueError("it does not begin as a GGUF file does")
        # a file of the other byte order has its version in the upper bytes
        tensors, fields = struct.unpack("<QQ" if version & 0xFFFF else ">QQ", file.read(16))
    size = path.stat().st_size
    if tensors * _SMALLEST_TENSOR > size or fields * _SMALLEST_FIELD > size:
        raise ValueError(f"{tensors:,} tensors and {fields:,} fields do not fit into a file of {size:,} bytes")


def _from_directory(config: ModelConfig, folder: Path, identity: dict[str, str], device: str) -> Weights:
    with loading(config.source):
        if (folder / _ADAPTER).exists():  # which weights are meant would depend on whether peft is installed
            raise ValueError(f"it comes with an adapter ({_ADAPTER}), which only a model that it is merged into has")
        _check_indexes(folder)
        safe, pickled = list(folder.glob("*.safetensors")), list(folder.glob("*.bin"))
        for file in safe or list(folder.glob("pytorch_model*.bin")):
            check_real(file)
        model = _model(config, folder, _OPTIONS, [*safe, *pickled], device)
        tokenizer = AutoTokenizer.from_pretrained(folder, **_OPTIONS)
    return Weights(model, tokenizer, identity, config.source)


def _configuration(folder: Path, options: dict[str, Any]) -> Any:
    """A transformers configuration whose extents are those of a model that there could be."""
    config = AutoConfig.from_pretrained(str(folder), **options)
    for each in (config, text_config(config)):
        check_extents(each)
    if (named := getattr(config, "transformers_weights", None)) is not None:
        _check_within(named, ".safetensors", ".safetensors.index.json")
    return config


_empty: dict[str, PreTrainedModel] = {}
"""The last model that was made without weights, by its configuration."""


def empty_model(config: Any) -> PreTrainedModel:
    """A model's modules without numbers in them: how large it is, before its weights are read.

    Parameters
    ----------
    config
        Of transformers.

    Returns
    -------
    PreTrainedModel
        On PyTorch's device `meta`; the same one for the same configuration, which is asked for twice for each run. Not
        to be changed.
    """
    key = f"{type(config).__qualname__} {config.to_json_string(use_diff=False)}"
    if key not in _empty:
        with torch.device("meta"):
            made = AutoModelForCausalLM.from_config(copy.deepcopy(config), trust_remote_code=False)
        _empty.clear()
        _empty[key] = made
    return _empty[key]


def _check_size(config: Any, files: Sequence[Path]) -> None:
    """Refuse a configuration of a model that its files cannot hold, of which transformers would make random numbers."""
    empty = empty_model(config)
    numbers = sum(tensor.numel() for tensor in chain(empty.parameters(), empty.buffers()))
    size = sum(file.stat().st_size for file in files)
    if numbers > _NUMBERS_PER_BYTE * size:
        raise ValueError(f"its configuration wants {numbers:,} weights, and its files have {size:,} bytes")


def _model(
    wanted: ModelConfig, folder: Path, options: dict[str, Any], files: Sequence[Path], device: str = "cpu"
) -> PreTrainedModel:
    source, config = wanted.source, _configuration(folder, options)
    if files:
        _check_size(config, files)
    if device != "cpu":
        options = {**options, "device_map": {"": device}}
    # what a GGUF file comes to is kept for other runs as well, in float32
    is_narrow = wanted.dtype == "bfloat16" and "gguf_file" not in options
    with reading_narrow() if is_narrow else nullcontext():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=torch.float32, output_loading_info=True, **options
        )
    model, report = loaded
    vars(model).pop("hf_device_map", None)  # it is all in one place, and others read more into it
    # transformers fills what a checkpoint lacks with random numbers, and only warns
    if lacking := sorted(report["missing_keys"]):
        raise UsageError(
            f"model {source!r} lacks weights ({lacking[0]}, one of {len(lacking)}): use a whole checkpoint"
        )
    for weight in model.parameters():
        if weight.data_ptr() % _ALIGNED:  # as a file or numpy has it; rounding is not to depend on where a model was
            weight.data = weight.data.clone()
    if odd := next((name for name, weight in model.named_parameters() if not _is_finite(weight)), None):
        raise UsageError(f"model {source!r} has weights that are no finite numbers ({odd}): use a sound checkpoint")
    # a GGUF file names none, and TransformerLens goes by it
    model.config.architectures = model.config.architectures or [type(model).__name__]
    return cast("PreTrainedModel", model)


def _is_finite(weight: torch.Tensor) -> bool:
    # a sum has no need of memory; that of finite numbers may overflow, while one that is finite has no other in it
    return bool(weight.sum().isfinite() or weight.isfinite().all())


@contextmanager
def loading(source: str) -> Iterator[None]:
    """Keep progress bars and advice off the screen while a model loads, and say what is wrong on one line.

    Parameters
    ----------
    source
        What the model is called in the message.

    Yields
    ------
    None
        While the model loads.

    Raises
    ------
    UsageError
        When loading fails, or would run code that comes with the model.
    """
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    module = vars(modeling_gguf_pytorch_utils)
    gguf_bar = module["tqdm"]
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    module["tqdm"] = functools.partial(gguf_bar, disable=True)  # heeds no setting
    remedy = "give a hub id that can be reached, a directory that holds the model, or a .gguf file"
    try:
        with reading(f"model {source!r} could not be loaded", remedy), _refusing_code(source):
            yield
    finally:
        module["tqdm"] = gguf_bar
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
