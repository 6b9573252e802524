"""The engine on a GPU: the paper's run in every precision, against the card's own rates, other ways and a CPU."""

import datetime as dt
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig, PretrainedConfig

from bench import ways
from bench.floor import Products, arithmetic
from bench.subjects import GPT2_SIZED, SMOLLM2, load, written_at
from bench.timing import seconds
from bench.work import Size, Work, make_work, walked
from plateaulens.collect.collect import collect
from plateaulens.collect.context import open_context
from plateaulens.config import EngineConfig, PromptConfig
from plateaulens.presets import read_config
from plateaulens.resources import find
from plateaulens.scan.direct import DirectForward
from plateaulens.scan.engine import Forward, PathCurves
from plateaulens.scan.split import Precision
from plateaulens.scan.walk import prompts_per_batch
from plateaulens.store.reading import open_run
from plateaulens.subject.model import Subject
from plateaulens.subject.narrow import narrow
from plateaulens.subject.prompts import load_prompts
from plateaulens.subject.sites import parse_site

PAPER = Size(1000, 4, 101, 10)
"""The paper's run: prompts, types, steps and tokens."""
COMPARED = 96
"""Prompts on which curves are compared, and of which slower ways do a part."""
ON_CPU = 4
"""Prompts of which a CPU does the same."""
SLOW = 4
"""Prompts of which the slow ways are timed."""
BATCHES = (1, 4, 16, 32, 64, 96)
SQUARE = 8192
"""Rows of the square matrices whose product is a card's rate."""
PRECISIONS: tuple[Precision, ...] = ("float32", "fp16x3", "tf32x3", "bf16")
WHOLE = "smollm2"
"""The preset of the run that is timed from end to end."""
LARGE: Mapping[str, Callable[[], PretrainedConfig]] = {
    "Gemma 2 2B": Gemma2Config,
    "Llama 3.1 8B": lambda: LlamaConfig(
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=128256,
    ),
}
"""Published shapes, run with random weights."""


def bench_gpu(
    device: str, say: Callable[[str], object], size: Size = PAPER, models: Mapping[str, Any] = LARGE
) -> dict[str, Any]:
    """Everything of the documentation's table of a GPU.

    Parameters
    ----------
    device
        The card.
    say
        Told what is being measured.
    size
        The work.
    models
        Shapes that are run with random weights in bfloat16, by name.

    Returns
    -------
    dict
        Plain data for JSON.
    """
    place = torch.device(device)
    began = time.perf_counter()
    result: dict[str, Any] = {
        "card": torch.cuda.get_device_name(place) if place.type == "cuda" else "CPU",
        "torch": torch.__version__,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "size": vars(size),
        "rates": _rates(place),
    }
    for name in (SMOLLM2, GPT2_SIZED):
        say(name)
        result.setdefault("models", {})[name] = _model(name, place, size, say)
    say("a whole run")
    result["whole"] = _whole(device, size.samples)
    result["large"] = {}
    for name, config in models.items():
        say(name)
        result["large"][name] = _large(config(), place, size)
    result["seconds"] = time.perf_counter() - began
    return result


def _model(name: str, device: torch.device, size: Size, say: Callable[[str], object]) -> dict[str, Any]:
    subject = written_at(load(name, str(device)), 1)
    vocabulary = subject.vocabulary
    tokens = None
    if name == SMOLLM2:
        tokens = load_prompts(PromptConfig(source="smollm2", length=size.length), vocabulary=vocabulary).tokens
    work = make_work(subject, size, tokens)
    compared = work.first(COMPARED)
    counted = arithmetic(subject, size)
    operations = counted.operations * size.samples
    found: dict[str, Any] = {"operations": operations, "products": {}, "engine": {}, "batches": {}, "other": {}}
    say("the products alone")
    for rate, (dtype, allowed) in _RATES.items():
        of_some = _products(subject, compared.size, device, dtype, tf32=allowed)
        found["products"][rate] = of_some * size.samples / compared.size.samples
    exact: PathCurves | None = None
    for precision in PRECISIONS:
        say(f"engine, {precision}")
        forward = DirectForward(subject, precision)
        curves = _curves(subject, forward, compared, compared.size.samples)
        exact = curves if exact is None else exact
        at_once = _auto(subject, forward, work)
        taken, memory = _timed(subject, forward, work, at_once)
        found["engine"][precision] = {
            "seconds": taken,
            "bytes": memory,
            "at_once": at_once,
            "busy": _busy(subject, forward, work, at_once) / taken,
            **_agreement(curves, exact),
        }
        if precision == "fp16x3" and name == SMOLLM2:
            found["batches"] = {each: _rate(subject, forward, work, each) for each in BATCHES if each <= size.samples}
        del forward
    assert exact is not None
    some = work.first(SLOW)
    for way, run in {"key-value cache": ways.cached_prefix, "plain": ways.plain}.items():
        say(way)
        taken = min(seconds(partial(run, subject, some), device) for _ in range(2))
        found["other"][way] = taken * size.samples / some.size.samples
    say("the same curves on the CPU")
    found["cpu"] = _agreement(_of(exact, ON_CPU), _on_cpu(name, work.first(ON_CPU)))
    return found


_RATES = {"float32": (torch.float32, False), "TF32": (torch.float32, True), "bf16": (torch.bfloat16, False)}
"""By name: what matrices hold, and whether their product may be in TF32."""


def _rates(device: torch.device) -> dict[str, float]:
    """Operations a second of a large matrix product."""
    count = SQUARE if device.type == "cuda" else 512
    rates = {}
    for name, (dtype, tf32) in _RATES.items():
        one, other = (torch.randn(count, count, device=device, dtype=dtype) for _ in range(2))
        with torch.inference_mode(), _tf32(allowed=tf32):
            rates[name] = 2 * count**3 / min(seconds(lambda: one @ other, device) for _ in range(4))  # noqa: B023
    return rates


@contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _products(subject: Subject, size: Size, device: torch.device, dtype: torch.dtype, *, tf32: bool) -> float:
    """Seconds of the products of all prompts at once, at the scan's shapes, by the card's own library."""
    together = Size(1, size.types * size.samples, size.steps, size.length)

    def plain(layer: torch.nn.Module) -> Callable[[Tensor], Tensor]:
        own: Any = layer
        weight = (own.weight if isinstance(layer, torch.nn.Linear) else own.weight.t()).detach().to(dtype)
        return lambda x: torch.nn.functional.linear(x, weight)

    products = Products(arithmetic(subject, together), device, plain, dtype)
    with _tf32(allowed=tf32):
        return min(seconds(lambda: products.run(1), device) for _ in range(3))


def _curves(subject: Subject, forward: Forward, work: Work, at_once: int) -> PathCurves:
    parts = list(walked(subject, forward, work, at_once))
    return PathCurves(
        torch.cat([part.curve.cpu() for part in parts]), torch.cat([part.top_token.cpu() for part in parts])
    )


def _auto(subject: Subject, forward: Forward, work: Work) -> int:
    """What a run with `prompts_per_batch = "auto"` takes, of a chunk's prompts."""
    one = work.first(1)

    def measure() -> object:
        return list(walked(subject, forward, one, 1))

    return min(prompts_per_batch("auto", subject.device, measure), COMPARED, work.size.samples)


def _timed(subject: Subject, forward: Forward, work: Work, at_once: int) -> tuple[float, int]:
    """Seconds of the quicker of two runs, and the most bytes that tensors held."""
    on_gpu = subject.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(subject.device)
    taken = min(seconds(lambda: list(walked(subject, forward, work, at_once)), subject.device) for _ in range(2))
    return taken, torch.cuda.max_memory_allocated(subject.device) if on_gpu else 0


def _busy(subject: Subject, forward: Forward, work: Work, at_once: int) -> float:
    """Seconds of the work in which a GPU runs a kernel or copies; NaN elsewhere."""
    if subject.device.type != "cuda":
        return math.nan
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        seconds(lambda: list(walked(subject, forward, work, at_once)), subject.device)
    return sum(float(event.self_device_time_total) for event in seen.key_averages()) / 1e6


def _rate(subject: Subject, forward: Forward, work: Work, at_once: int) -> float:
    """Prompts a second in batches of a size; of small ones fewer are run."""
    some = work.first(max(32, 4 * at_once))
    return some.size.samples / _timed(subject, forward, some, at_once)[0]


def _agreement(found: PathCurves, exact: PathCurves) -> dict[str, Any]:
    """Largest differences by metric as shares of its largest value, and shares of equal steps and tokens."""
    largest = exact.curve.amax(dim=(0, 1, 2))
    steps: list[Int[Tensor, "prompt path metric"]] = [each.curve.diff(dim=2).argmax(dim=2) for each in (found, exact)]
    return {
        "difference": ((found.curve - exact.curve).abs().amax(dim=(0, 1, 2)) / largest).tolist(),
        "same_max_slope": (steps[0] == steps[1]).double().mean(dim=(0, 1)).tolist(),
        "same_top_token": float((found.top_token == exact.top_token).double().mean()),
    }


def _of(curves: PathCurves, samples: int) -> PathCurves:
    return PathCurves(curves.curve[:samples], curves.top_token[:samples])


def _on_cpu(name: str, work: Work) -> PathCurves:
    subject = written_at(load(name, "cpu"), 1)
    return _curves(subject, DirectForward(subject), work, 1)


def _whole(device: str, samples: int) -> dict[str, Any]:
    """Seconds of `collect` in relative steps with all types of the default preset, and of what it walks alone.

    The model is loaded and its kernels are compiled: a run of another seed has come before. The scan is that of the
    run's own bases and targets, with all that the run stores of each point.
    """
    preset = read_config(find("presets", WHOLE))
    config = preset.model_copy(
        update={
            "experiments": ("sensitivity",),
            "sensitivity": preset.experiment("sensitivity").model_copy(update={"samples": samples}),
            "model": preset.model.model_copy(update={"device": device}),
            "engine": EngineConfig(),
        }
    )
    before = open_context(config.model_copy(update={"seed": config.seed + 1}))
    with TemporaryDirectory() as folder:
        collect(before.config, Path(folder) / "before.zarr", before, quiet=True)
        began = time.perf_counter()
        context = open_context(config, before)
        collect(config, Path(folder) / "run.zarr", context, quiet=True)
        whole = time.perf_counter() - began
        with open_run(Path(folder) / "run.zarr") as run:
            stored = {name: run["activations"][name].to_numpy() for name in ("base", "target")}
            likely = run["sensitivity"].sizes.get("rank", 0)
    walked = partial(context.curves, "sensitivity", slice(0, samples), stored, lambda _: None, likely)

    def scan() -> None:
        walked()()

    alone = min(seconds(scan, context.subject.device) for _ in range(3))
    return {"seconds": whole, "scan": alone, "samples": samples, "types": len(context.kinds), "likely": likely}


def _large(config: PretrainedConfig, device: torch.device, size: Size) -> dict[str, Any]:
    """Prompts a second and memory of a shape with random weights in bfloat16."""
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        model = narrow(AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval())
    blocks = config.num_hidden_layers
    ends = ("blocks.1.hook_resid_pre", f"blocks.{blocks - 1}.hook_resid_post")
    write, read = (parse_site(end, blocks) for end in ends)
    no_tokenizer: Any = None
    subject = Subject(None, no_tokenizer, {}, write, read, model, is_narrow=True)
    few = Size(min(32, size.samples), size.types, size.steps, size.length)
    work: Work = _random_work(config, few)
    forward = DirectForward(subject, "bf16")
    at_once = _auto(subject, forward, work)
    _timed(subject, forward, work.first(2), 2)  # what is compiled at first use
    taken, memory = _timed(subject, forward, work, at_once)
    return {"prompts_per_second": few.samples / taken, "bytes": memory, "at_once": at_once, "precision": "bf16"}


def _random_work(config: PretrainedConfig, size: Size) -> Work:
    rng = torch.Generator().manual_seed(0)
    ends: Float[Tensor, "end prompt path d_model"] = torch.randn(
        (2, size.samples, size.types, config.hidden_size), generator=rng
    )
    tokens = torch.randint(0, 1000, (size.samples, size.length), generator=rng)
    return Work(size, tokens, ends[0][:, :1].expand_as(ends[0]), ends[1])
