"""How much memory a run will need, said before anything is loaded."""

from typing import NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel

from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.scan.engine import ROWS_PER_HEAD
from plateaulens.subject.anatomy import find_blocks, text_config

_FLOAT, _HALF, _DOUBLE, _INTEGER = 4, 2, 8, 8
_LOGITS = 6
"""Arrays of the size of the logits that metrics hold at once."""
_STREAMS = 12
"""Arrays of the size of the residual stream that a block holds at once, its MLP's counted by their width apart."""

_FITTED, _ERRORS = 5, 8
"""Arrays of float64, as large as the activations that types are fitted to, which the greediest fit holds at once (a
mixture of factor analysers 4.8, tokens' means 3.7), and the one of SAE errors (7.6)."""


class Needs(NamedTuple):
    """Bytes that a run needs."""

    weights: int
    batch: int
    """What one batch of paths passes through the model with."""
    pool: int
    """All prompts' activations at the write site, and their covariance."""
    corpus: int = 0
    """The activations and embeddings that types are fitted to."""
    fitting: int = 0
    """What is held beside them while types are fitted, which is before anything is walked."""

    @property
    def total(self) -> int:
        """The most that is held at once."""
        return self.weights + self.pool + self.corpus + max(self.batch, self.fitting)

    def __str__(self) -> str:
        parts = [
            f"{_spelled(self.weights)} of weights",
            f"{_spelled(self.batch)} for a batch",
            f"{_spelled(self.pool)} for the pool of real activations",
        ]
        if self.corpus:
            parts += [f"{_spelled(self.corpus)} for those that types are fitted to"]
            parts += [f"{_spelled(self.fitting)} while they are fitted, in the place of a batch"]
        return f"memory: about {_spelled(self.total)} ({', '.join(parts)})"


def needs(
    config: RunConfig,
    model: PreTrainedModel,
    *,
    prompts: int,
    loaded: bool = False,
    fitted_to: int = 0,
    errors: bool = False,
) -> Needs:
    """Estimate what a run will hold in memory at once, from the model's shapes alone.

    Parameters
    ----------
    config
        The run's.
    model
        The model, without numbers in it or with them.
    prompts
        How many prompts there are at most.
    loaded
        Whether the model is in memory already, so that its own weights are not counted.
    fitted_to
        How many activations types are fitted to; 0 where none is fitted.
    errors
        Whether the SAE's errors are fitted too.

    Returns
    -------
    Needs
        In bytes. Fast packed runs on a CPU hold their linear layers twice.
    """
    text = text_config(model.config)
    in_blocks = sum(_numbers(block) for block in find_blocks(model))
    others = _numbers(model) - in_blocks
    narrow = config.model.dtype == "bfloat16"
    copies = 1 if loaded else 2  # the engine lays weights out anew
    weights = copies * in_blocks * (_HALF if narrow else _FLOAT) + copies * others * _FLOAT
    at_once = 1 if config.engine.prompts_per_batch == "auto" else config.engine.prompts_per_batch
    cores = torch.get_num_threads() if config.model.device == "cpu" else 1
    points = max(len(config.targets.names) * config.experiment(name).steps for name in config.experiments)
    inner = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    inner = max(inner) if isinstance(inner, list) else inner
    batch = at_once * cores * points * (_STREAMS * text.hidden_size + 3 * inner) * _FLOAT
    batch += cores * _LOGITS * ROWS_PER_HEAD * text.vocab_size * _FLOAT
    pool = prompts * text.hidden_size * _FLOAT + 3 * text.hidden_size**2 * 2 * _FLOAT
    corpus = fitted_to * (2 * text.hidden_size * _FLOAT + _INTEGER)  # of each its embedding and its token, too
    fitting = (_ERRORS if errors else _FITTED) * fitted_to * text.hidden_size * _DOUBLE
    return Needs(weights, batch, pool, corpus, fitting)


def available(device: str) -> int | None:
    """Bytes that are free on a device.

    Parameters
    ----------
    device
        As PyTorch names it.

    Returns
    -------
    int or None
        None where that cannot be told.
    """
    if device.startswith("cuda") and torch.cuda.is_available():
        return int(torch.cuda.mem_get_info(device)[0])
    if device != "cpu":
        return None
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
            kilobytes = next(line.split()[1] for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    return int(kilobytes) * 1024


def check_memory(found: Needs, config: RunConfig, *, loaded: bool = False) -> None:
    """Refuse a run whose weights and batch do not fit.

    Parameters
    ----------
    found
        What it needs.
    config
        The run's configuration.
    loaded
        Whether the model is in memory already, in the numbers that it has.

    Raises
    ------
    UsageError
        That names the options that would help.
    """
    free = available(config.model.device)
    if free is None or found.total <= free:
        return
    options = []
    if config.model.dtype == "float32" and not loaded:
        options.append('dtype = "bfloat16" in [model]')
    if config.engine.prompts_per_batch not in (1, "auto"):
        options.append("prompts_per_batch = 1 in [engine]")
    if found.corpus:
        options.append("fewer prompts (sequences in [prompts]), half of which types are fitted to")
    options += ["fewer activation types or steps", "another device"]
    what = f"a walk through model {config.model.source!r}" if loaded else f"model {config.model.source!r}"
    raise UsageError(
        f"{what} does not fit on {config.model.device}: {found}, and {_spelled(free)} are free; "
        f"use {', '.join(options)}"
    )


def _numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _spelled(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
