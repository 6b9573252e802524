"""Runs without a model: schema-true stores whose curves blow up at planted steps, to test and time what reads runs.

Every curve rises as a logistic function of the step, steepest at its planted step. That step is normally distributed
around a centre that depends on the activation type: on the way to a target (`sensitivity...`) real comes first and
random later, on a `plateau` real comes last. Some curves of some types never blow up: they rise too slowly to count
under the default thresholds of `plateaulens.config.AnalysisConfig`. Everything derives from the seed and from the span
(the range of samples that is written at once), so spans can be generated in any order and in bounded memory.
"""

import json
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from plateaulens.config import RunConfig
from plateaulens.names import DEFAULT_EXPERIMENTS, DEFAULT_METRICS, EXPERIMENTS, label, metric
from plateaulens.store.identity import Attributes
from plateaulens.store.location import Location
from plateaulens.store.run import open_or_create
from plateaulens.store.schema import ExperimentSpec, MetricSpec, RunSpec

ACTIVATION_TYPES = (
    "real",
    "real_control",
    "random",
    "isotropic",
    "reconstruction",
    "bag",
    "baseline",
    "structured",
    "single_latent",
)
"""Those of a synthetic run that names none."""
STEP_LENGTH = 0.5
"""Of the experiments that walk in steps of one length, in the units of the activation."""

_BLOW_UP = {
    "real": (0.50, 0.00),
    "real_control": (0.50, 0.00),
    "random": (0.64, 0.05),
    "isotropic": (0.74, 0.25),
    "reconstruction": (0.53, 0.00),
    "bag": (0.55, 0.02),
    "baseline": (0.58, 0.03),
    "structured": (0.56, 0.02),
    "single_latent": (0.60, 0.10),
}
"""Per type, the centre of the planted steps as a fraction of all steps, and the share that never blows up."""

_SPREAD = 0.07
"""Standard deviation of the planted steps, as a fraction of all steps."""

_WIDTH = 0.03
"""Scale of the logistic rise, as a fraction of all steps."""

_SHAPES = {"l2": (60.0, 0.0, 2e-3), "kl": (5.0, 0.06, 2e-3), "js": (0.8, 0.02, 2e-5)}
_ANOTHER = (1.0, 0.04, 2e-4)
"""Per metric, and for every other one: where curves end, how much later (fraction) they rise than l2, and the rise per
step of flat ones."""


def synthetic_spec(
    samples: int = 24,
    *,
    activation_types: tuple[str, ...] = ACTIVATION_TYPES,
    experiments: tuple[str, ...] = DEFAULT_EXPERIMENTS,
    steps: int = 101,
    d_model: int = 16,
    positions: int = 10,
    samples_per_chunk: int = 8,
    metrics: tuple[str, ...] = DEFAULT_METRICS,
    likely: int = 0,
    encoded: bool = False,
    fitted: bool = False,
) -> RunSpec:
    """A specification whose experiments all have the same types, samples and steps.

    Parameters
    ----------
    samples
        Base prompts.
    activation_types
        Some of `ACTIVATION_TYPES`, in the order in which they are stored.
    experiments
        Names of experiments; steps are of `STEP_LENGTH` where they are not relative.
    steps
        Points on a path, the start included.
    d_model
        Numbers of an activation.
    positions
        Tokens of a prompt.
    samples_per_chunk
        Samples of a span.
    metrics
        Names of metrics; units are those of `plateaulens.names.METRICS`, or 1 of one that is not among them.
    likely
        Most likely next tokens of each point.
    encoded
        Whether there is something in the place of what an SAE makes of the targets.
    fitted
        Whether there is something in the place of how far targets lie from what types were fitted to.

    Returns
    -------
    RunSpec
        For the functions below.
    """
    lengths = {name: None if EXPERIMENTS[name].steps == "relative" else STEP_LENGTH for name in experiments}
    specs = tuple(ExperimentSpec(name, activation_types, samples, steps, lengths[name]) for name in experiments)
    measured = tuple(MetricSpec(name, metric(name).units or "1") for name in metrics)
    return RunSpec(
        specs, samples, positions, d_model, samples_per_chunk, measured, likely=likely, encoded=encoded, fitted=fitted
    )


def generate_run(path: Location, spec: RunSpec, seed: int = 0, *, name: str = "synthetic") -> None:
    """Write a complete run, or complete the one that is there, one span at a time.

    Parameters
    ----------
    path
        Where the run is, or will be.
    spec
        Its extent.
    seed
        Where random numbers come from.
    name
        What the run says that it is called.

    Raises
    ------
    UsageError
        When there is another run at `path`, or another process is writing there.
    """
    with open_or_create(path, spec, synthetic_attributes(spec, seed, name), synthetic_prompts(spec, seed)) as store:
        for group in ("activations", *(experiment.name for experiment in spec.experiments)):
            for samples in store.pending(group):
                store.write(group, samples, synthetic_values(spec, group, samples, seed))
                store.record_session(seconds=0.0)
        store.seal()


def synthetic_attributes(spec: RunSpec, seed: int, name: str = "synthetic") -> Attributes:
    """What a synthetic run says about itself.

    Parameters
    ----------
    spec
        The run's extent.
    seed, name
        As `generate_run` takes them.

    Returns
    -------
    dict
        The attributes that `RunStore.create` wants, with a valid `RunConfig` whose extents are those of `spec`.
    """
    settings = {
        experiment.name: {
            "samples": experiment.samples,
            "steps": experiment.steps,
            "step_length": experiment.step_length,
        }
        for experiment in spec.experiments
    }
    config = RunConfig.model_validate(
        {
            "name": name,
            "seed": seed,
            "experiments": tuple(settings),
            "metrics": tuple(metric.name for metric in spec.metrics),
            "model": {"source": "synthetic"},
            "sites": {"write": "blocks.1.hook_resid_pre", "read": "blocks.11.hook_resid_post"},
            "prompts": {"source": "synthetic", "length": spec.positions},
            "targets": {"types": spec.activation_types},
            "engine": {"samples_per_chunk": spec.samples_per_chunk},
            **settings,
        }
    )
    identity = {"model": "synthetic", "prompts": "synthetic", "write": config.sites.write, "read": config.sites.read}
    return {
        "name": name,
        "config": config.model_dump_json(),
        "identity": json.dumps(identity),
        "definitions": json.dumps({name: f"a synthetic stand-in for {label(name)}" for name in spec.activation_types}),
        "seed": seed,
        "versions": json.dumps({"numpy": np.__version__}),
        "commit": "synthetic",
    }


def synthetic_prompts(spec: RunSpec, seed: int) -> dict[str, NDArray[np.generic]]:
    """The base prompts of a synthetic run.

    Parameters
    ----------
    spec
        The run's extent.
    seed
        Where random numbers come from.

    Returns
    -------
    dict of str to ndarray
        `token` (sample, position), uniform token ids below 50,000, and `text` (sample,), which says which sample it is.
    """
    token = _generator(seed, "prompts", 0).integers(0, 50_000, (spec.samples, spec.positions), dtype=np.int32)
    text = np.array([f"synthetic prompt {sample}" for sample in range(spec.samples)], dtype=np.dtypes.StringDType())
    return {"token": token, "text": text}


def synthetic_values(spec: RunSpec, group: str, samples: slice, seed: int) -> dict[str, NDArray[Any]]:
    """The values of one span.

    Parameters
    ----------
    spec
        The run's extent.
    group
        `activations` or an experiment.
    samples
        One span of the group.
    seed
        Where random numbers come from.

    Returns
    -------
    dict of str to ndarray
        What `RunStore.write` takes.
    """
    if group == "activations":
        return _activations(spec, samples, seed)
    experiment = _experiment(spec, group)
    planted = planted_steps(spec, group, samples, seed)
    activations = _activations(spec, samples, seed)
    chosen = [spec.activation_types.index(kind) for kind in experiment.activation_types]
    target = activations["target"][chosen]
    rng = _generator(seed, group, samples.start)
    other_end = _draw(spec, target.shape, rng, seed) if group == "plateau" else activations["base"]
    height = _shapes(spec, 0) * np.clip(rng.normal(1.0, 0.1, planted.shape), 0.6, 1.2)
    tokens = rng.integers(0, 50_000, (2, *target.shape[:2], 1), dtype=np.int32)
    steps = np.arange(experiment.steps)
    top_token = np.where(steps < planted[..., :1], tokens[0], tokens[1])
    values = {
        "curve": _curves(height, planted, _shapes(spec, 2), experiment.steps).astype(np.float32),
        "top_token": top_token,
        "path_length": np.linalg.norm(target - other_end, axis=-1).astype(np.float32),
    }
    return values | _likely(top_token, spec.likely) if spec.likely else values


def _likely(top_token: NDArray[np.int32], count: int) -> dict[str, NDArray[Any]]:
    """The tokens that follow a most likely one, each half as likely as the one before."""
    token = top_token[..., None] + np.arange(count, dtype=np.int32)
    texts = np.array([f" token {each}" for each in token.ravel()], dtype=np.dtypes.StringDType())
    probability = np.broadcast_to(0.5 ** np.arange(1, count + 1), token.shape)
    return {
        "likely_token": token,
        "likely_text": texts.reshape(token.shape),
        "likely_probability": probability.astype(np.float32),
    }


def planted_steps(spec: RunSpec, group: str, samples: slice, seed: int) -> NDArray[np.float64]:
    """Where the curves of one span of an experiment are steepest.

    Parameters
    ----------
    spec
        The run's extent.
    group
        An experiment.
    samples
        One span of it.
    seed
        Where random numbers come from.

    Returns
    -------
    ndarray
        (activation_type, sample, metric), in steps, not whole ones; of a curve's differences the largest is the one
        that arrives at the planted step rounded up. Positive infinity for a curve that never blows up.
    """
    experiment = _experiment(spec, group)
    rng = _generator(seed, f"{group}/planted", samples.start)
    count = samples.stop - samples.start
    centre, never = np.array([_BLOW_UP[kind] for kind in experiment.activation_types]).T
    if group == "plateau":
        centre = 0.9 - centre
    # Half of the variance belongs to the base prompt, so that types are correlated within a sample as in real runs.
    common, own = rng.standard_normal(count), rng.standard_normal((len(centre), count))
    fraction = np.clip(centre[:, None] + _SPREAD * (common + own) / np.sqrt(2), 0.05, 0.85)
    fraction[rng.random(fraction.shape) < never[:, None]] = np.inf
    planted: NDArray[np.float64] = (fraction[..., None] + _shapes(spec, 1)) * (experiment.steps - 1)
    return planted


def _shapes(spec: RunSpec, which: int) -> NDArray[np.float64]:
    return np.array([_SHAPES.get(metric.name, _ANOTHER)[which] for metric in spec.metrics])


def _curves(
    height: NDArray[np.float64], planted: NDArray[np.float64], slope_of_flat: NDArray[np.float64], steps: int
) -> NDArray[np.float64]:
    width = _WIDTH * (steps - 1)
    planted = planted[:, :, None]
    step = np.arange(steps)[:, None]
    rise = expit((step - planted) / width) - expit(-planted / width)
    curves: NDArray[np.float64] = height[:, :, None] * rise + slope_of_flat * step
    return curves


def _activations(spec: RunSpec, samples: slice, seed: int) -> dict[str, NDArray[Any]]:
    # Always a whole span: experiments of fewer samples must see the same activations.
    rng = _generator(seed, "activations", samples.start)
    count, types = spec.samples_per_chunk, spec.activation_types
    real = np.array([kind.startswith("real") for kind in types])
    rows = rng.integers(0, 10_000, (len(types), count), dtype=np.int32)
    base = _draw(spec, (count, spec.d_model), rng, seed)
    target = _draw(spec, (len(types), count, spec.d_model), rng, seed)
    active_latents = rng.poisson(30, count).astype(np.int32)
    kept = slice(0, samples.stop - samples.start)
    beside: dict[str, NDArray[Any]] = {}
    if spec.encoded:
        rng = _generator(seed, "encoded", samples.start)
        beside["target_latents"] = rng.poisson(30, (len(types), count)).astype(np.int32)[:, kept]
        beside["target_error"] = rng.gamma(20.0, 0.5, (len(types), count)).astype(np.float32)[:, kept]
    if spec.fitted:
        rng = _generator(seed, "fitted", samples.start)
        beside["fit_distance"] = rng.gamma(20.0, 2.0, (len(types), count)).astype(np.float32)[:, kept]
    return beside | {
        "base": base[kept],
        "target": target[:, kept],
        "source_row": np.where(real[:, None], rows, np.int32(-1))[:, kept],
        "active_latents": active_latents[kept],
    }


def _draw(spec: RunSpec, shape: tuple[int, ...], rng: np.random.Generator, seed: int) -> NDArray[np.float32]:
    mean = _generator(seed, "mean", 0).normal(0.0, 20.0 / np.sqrt(spec.d_model), spec.d_model)
    return (mean + rng.normal(0.0, 40.0 / np.sqrt(spec.d_model), shape)).astype(np.float32)


def _experiment(spec: RunSpec, name: str) -> ExperimentSpec:
    return next(experiment for experiment in spec.experiments if experiment.name == name)


def _generator(seed: int, purpose: str, start: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), start])
