"""The configuration of a run: frozen, complete, and read from a TOML preset.

Everything that can change a number is here. Unknown keys are refused, so that a misspelt option never passes for a
default.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from plateaulens.errors import UsageError

ExperimentName = Literal["sensitivity", "sensitivity_absolute", "plateau"]
EXPERIMENT_NAMES: tuple[ExperimentName, ...] = ("sensitivity", "sensitivity_absolute", "plateau")

Fraction = Annotated[float, Field(gt=0, lt=1)]
Metric = Annotated[str, Field(pattern="^(l2|kl|js)$")]
FileStem = Annotated[str, Field(pattern=r"^[^/\\]+$")]


class Strict(BaseModel):
    """A frozen model that refuses unknown keys and non-finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


ModelT = TypeVar("ModelT", bound=Strict)


class ModelConfig(Strict):
    """Which language model is measured, and how its weights are processed."""

    source: str
    """`embedded:NAME` for a model that comes with the installation, else a hub id, a directory or a GGUF file."""
    revision: str | None = None
    """Hub revision (branch, tag or commit); None is the hub's default branch."""
    processing: Literal["none", "folded"] = "none"
    """`none` leaves the weights as published; `folded` folds LayerNorm in and centres the writing weights."""
    dtype: Literal["float32"] = "float32"
    device: str = "cpu"


class SiteConfig(Strict):
    """Where an activation is replaced and where the effect is read, as TransformerLens hook names."""

    write: str
    read: str


class SaeConfig(Strict):
    """Which sparse autoencoder makes the synthetic activations."""

    source: str
    """A folder in SAELens' on-disk format: a path, or the name of one that ships in data/saes."""


class PromptConfig(Strict):
    """Which token sequences are the base prompts. Only the last position of each is ever perturbed."""

    source: str
    """A `.npz` of token ids: a path, or the name of one that ships in data/prompts."""
    length: PositiveInt = 10
    """Tokens per prompt; longer sequences are cut after this many."""


class TargetConfig(Strict):
    """The activation types of a run, and the constants of the recipes that have some."""

    types: tuple[str, ...]
    """Names in the order of the `activation_type` coordinate; must hold `real`."""
    anchor_cosine: float = 0.42
    """`structured`: cosine to the top latent that the replacement top latent should have."""
    anchor_pool: PositiveInt = 100
    """`structured`: how many latents nearest in firing frequency the replacement top latent is chosen from."""
    baseline_pool: PositiveInt = 10
    """`baseline`: how many latents nearest in firing frequency a replacement is drawn from."""

    @model_validator(mode="after")
    def _check_types(self) -> Self:
        if "real" not in self.types:
            raise ValueError("types must hold 'real', the type that every other one is compared with")
        if len(set(self.types)) != len(self.types):
            raise ValueError("types names one type twice")
        return self


class ExperimentConfig(Strict):
    """How one experiment walks from a base activation towards a target."""

    samples: PositiveInt
    """Base prompts."""
    steps: Annotated[int, Field(ge=3)] = 101
    """Points on the path, the start included."""
    step_length: PositiveFloat | None = None
    """Distance between two points in units of the activation; None divides the whole path into `steps` points."""


class EngineConfig(Strict):
    """How the work is cut. Sizes change rounding errors at most, but they are part of a run's identity all the same."""

    prompts_per_batch: PositiveInt = 1
    """Base prompts that go through the model at once (on a CPU: on each core), each with its paths to all targets."""
    samples_per_chunk: PositiveInt = 96
    """Base prompts per stored chunk: what one writer owns, and the most that a killed run has to do again."""


class AnalysisConfig(Strict):
    """Constants of the step statistics and of the resampling; may differ between two analyses of one run."""

    resamples: PositiveInt = 2000
    confidence: Fraction = 0.95
    seed: NonNegativeInt = 0
    minimum_slope: dict[Metric, float] = {"l2": 0.02, "kl": 0.02, "js": 0.0002}
    """Per metric, the rise per step below which a curve counts as never having blown up."""
    nonlinearity_tolerance: Fraction = 0.2
    """Relative departure from the line through steps 0 and 9 that counts as nonlinear."""
    plateau_threshold: dict[Metric, PositiveFloat] = {"l2": 20.0}
    """Per metric, the value at which a plateau has ended; metrics without one have no plateau length."""
    examples: PositiveInt = 3
    """Prompts whose single curves the report draws."""


class RunConfig(Strict):
    """One run: subject, targets and experiments."""

    name: FileStem
    seed: NonNegativeInt = 0
    experiments: tuple[ExperimentName, ...] = EXPERIMENT_NAMES
    model: ModelConfig
    sites: SiteConfig
    sae: SaeConfig | None = None
    prompts: PromptConfig
    targets: TargetConfig
    sensitivity: ExperimentConfig
    sensitivity_absolute: ExperimentConfig
    plateau: ExperimentConfig
    engine: EngineConfig = EngineConfig()
    analysis: AnalysisConfig = AnalysisConfig()

    @model_validator(mode="after")
    def _check_experiments(self) -> Self:
        if not self.experiments or len(set(self.experiments)) != len(self.experiments):
            raise ValueError("experiments must name at least one experiment, and none twice")
        if self.sensitivity.step_length is not None:
            raise ValueError("sensitivity.step_length: relative steps have no length; use sensitivity_absolute")
        for name in ("sensitivity_absolute", "plateau"):
            if self.experiment(name).step_length is None:
                raise ValueError(f"{name}.step_length is missing")
        return self

    def experiment(self, name: str) -> ExperimentConfig:
        """The settings of one experiment by name."""
        settings = getattr(self, name)
        assert isinstance(settings, ExperimentConfig)
        return settings

    @property
    def samples(self) -> int:
        """The most base prompts that any selected experiment asks for."""
        return max(self.experiment(name).samples for name in self.experiments)


def explain(error: ValidationError) -> str:
    """The first problem of a validation error, and how many more there are, on one line."""
    first, *more = error.errors()
    place = ".".join(str(part) for part in first["loc"]) or "configuration"
    message = first["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(first["input"], dict | BaseModel) else f" (got {first['input']!r})"
    return f"{place}: {message}{shown}" + (f", and {len(more)} more" if more else "")


def read_config(path: Path) -> RunConfig:
    """Read and check a preset. Raises `UsageError` that names the file, the key and what is wrong."""
    return read_toml("preset", path, RunConfig)


def read_toml(what: str, path: Path, model: type[ModelT]) -> ModelT:
    """Read and check a TOML file as `model`, named after the file unless it says otherwise.

    Raises `UsageError` that names the file, the key and what is wrong; `what` is what the message calls the file.
    """
    try:
        return model.model_validate({"name": path.stem, **tomllib.loads(path.read_text(encoding="utf-8"))})
    except OSError as error:
        raise UsageError(f"{what} {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{what} {path} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise UsageError(f"{what} {path}: {explain(error)}") from None


def override(config: RunConfig, *, samples: int | None, seed: int | None, experiments: list[str] | None) -> RunConfig:
    """The configuration with the command line's options in place of the preset's, checked again."""
    values = config.model_dump()
    if seed is not None:
        values["seed"] = seed
    if experiments is not None:
        values["experiments"] = experiments
    if samples is not None:
        for name in EXPERIMENT_NAMES:
            values[name]["samples"] = samples
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise UsageError(explain(error)) from None
