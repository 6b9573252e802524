"""The whole bench: ways against each other and against the floor, growth, precision, and what follows from them."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import moves, sweeps, ways
from bench.floor import LIBRARIES, Products, arithmetic
from bench.growth import measure_growth
from bench.memory import measure_memory
from bench.subjects import load, written_at
from bench.timing import Task, in_turns, medians, paired_ratio
from bench.work import Size, engine, make_work
from plateaulens.config import PromptConfig
from plateaulens.scan.direct import choose_forward
from plateaulens.scan.split import Precision
from plateaulens.subject.model import Subject
from plateaulens.subject.prompts import load_prompts

ENGINE, HALF = "engine", "engine, bf16"
OTHERS = {"key-value cache": ways.cached_prefix, "plain": ways.plain}
GROWTH_ROUNDS = 3


@dataclass(frozen=True)
class Settings:
    """What is timed, and how often."""

    model: str
    device: str
    write: int
    size: Size
    rounds: int
    others: bool
    """Whether the other ways, growth, precision and memory are measured beside the engine and the floor."""
    growth: dict[str, list[int]]
    """By size of the work, the values at which its growth is measured."""
    precision: Size
    """The work on which bfloat16 is compared with float32."""
    memory: Mapping[str, Sequence[int]]
    """By command, the numbers of samples with which its memory is measured."""


def bench(settings: Settings, say: Callable[[str], object]) -> dict[str, Any]:
    """Measure everything that the settings ask for.

    Parameters
    ----------
    settings
        What is timed, and how often.
    say
        Told what is being measured.

    Returns
    -------
    dict
        Plain data for JSON.

    Raises
    ------
    UsageError
        For a model, device or write site that cannot be had.
    """
    say(f"loading {settings.model}")
    subject = written_at(load(settings.model, settings.device), settings.write)
    device, size = subject.device, settings.size
    work, counted = make_work(subject, size), arithmetic(subject, size)
    precisions: dict[str, Precision] = {ENGINE: "float32", HALF: "bf16"}
    forwards = {name: choose_forward(subject, precision) for name, precision in precisions.items()}
    floors = {name: Products(counted, device, library) for name, library in LIBRARIES.items()}
    tasks: dict[str, Task] = {
        **{name: partial(floor.run, size.samples) for name, floor in floors.items()},
        **{name: partial(engine, subject, forward, work) for name, forward in forwards.items()},
    }
    if settings.others:
        tasks |= {name: partial(way, subject, work) for name, way in OTHERS.items()}
    say(f"timing {len(tasks)} ways of {size.points} points, {settings.rounds} rounds")
    taken = in_turns(tasks, settings.rounds, device)
    times = medians(taken)
    library = min(floors, key=times.__getitem__)
    matrix_operations = sum(product.operations for product in (*counted.blocks, *counted.head)) * size.samples
    operations = counted.operations * size.samples
    rate = matrix_operations / times[library]
    result: dict[str, Any] = {
        "settings": asdict(settings) | {"model": Path(settings.model).name},
        "machine": {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
            "vector_instructions": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        "floor": {
            "operations": operations,
            "library": library,
            "rate": rate,
            "seconds": operations / rate,
        },
        "seconds": times,
        "rounds": taken,
        "share_of_floor": operations / matrix_operations * paired_ratio(taken[library], taken[ENGINE]),
        "times_as_fast_as": {
            name: paired_ratio(taken[name], taken[ENGINE]) for name in tasks if name not in (*floors, ENGINE)
        },
        "points_per_second": size.points / times[ENGINE],
        "sweeps": [sweeps.sweep(shape, operations / times[ENGINE]) for shape in (sweeps.GPT2_SMALL, sweeps.GEMMA2_2B)],
        "day": {"points": size.points / times[ENGINE] * sweeps.SECONDS_PER_DAY},
    }
    if settings.others:
        result["agreement"] = _agreement(subject, size)
        say("growth")
        result["growth"] = measure_growth(subject, size, settings.growth, GROWTH_ROUNDS)
        say("bfloat16 against float32")
        result["moves"] = moves.compare(subject, settings.precision, _prompts(settings))
        say("memory of collect and analyze")
        result["memory"] = measure_memory(settings.memory)
    return result


def _prompts(settings: Settings) -> Tensor | None:
    """Text of the model's own, where there is some: on it curves look as they do in a run."""
    if settings.model != "embedded:smollm2":
        return None
    return load_prompts(PromptConfig(source="smollm2", length=settings.precision.length), vocabulary=49152).tokens


def _agreement(subject: Subject, size: Size) -> dict[str, float]:
    """Largest difference of each way's curves from the engine's, as a share of the metric's largest value."""
    work = make_work(subject, replace(size, samples=1, types=1))
    exact = engine(subject, choose_forward(subject), work)[0].curve
    scale = exact.amax(dim=(0, 1, 2))
    return {
        name: float(((way(subject, work) - exact).abs().amax(dim=(0, 1, 2)) / scale).max())
        for name, way in OTHERS.items()
    }
