"""The configuration of a run: frozen and complete.

Everything that can change a number is here. Unknown keys are refused, so that a misspelt option never passes for a
default.
"""

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from plateaulens import names


@dataclass(frozen=True)
class Within:
    """The range of a number, both ends included. Every number of a configuration declares one.

    Beyond it nobody has meant the number: it would be found out late, by memory that runs out or by a curve that is not
    finite.
    """

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def check(self, number: float) -> float:
        """Refuse a number outside the range.

        Parameters
        ----------
        number
            Any finite number.

        Returns
        -------
        float
            The same number.

        Raises
        ------
        ValueError
            That names both ends.
        """
        if not self.low <= number <= self.high:
            raise ValueError(f"Input should be from {_spelled(self.low)} to {_spelled(self.high)}")
        return number


def _spelled(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


Seed = Annotated[int, Within(0, 2**63 - 1)]
Count = Annotated[int, Within(1, 10_000_000)]
"""Of things that are read from a file, or chosen from those of one."""
Samples = Annotated[int, Within(1, 1_000_000)]
"""Base prompts."""
Length = Annotated[int, Within(1, 100_000)]
"""Tokens of a prompt."""
Steps = Annotated[int, Within(3, 10_000)]
"""Points on a path."""
Chunk = Annotated[int, Within(1, 10_000)]
"""Base prompts that are worked on or stored together."""
Scale = Annotated[float, Within(1e-6, 1_000_000)]
"""A length, a threshold or a weight: its square is still a number in float32."""
Fraction = Annotated[float, Within(1e-6, 1 - 1e-6)]
"""Between 0 and 1, neither included."""
Slope = Annotated[float, Within(0, 1_000_000)]
Cosine = Annotated[float, Within(-1, 1)]
Share = Annotated[float, Within(0, 1)]

LARGEST_CHUNK = 2**28
"""Numbers of a chunk of curves, which are in memory at once: 1 GiB."""
LARGEST_GROUP = 2**35
"""Numbers of all curves of an experiment: 128 GiB."""
MOST_CELLS = 10_000
"""Runs of a sweep."""
MOST_LIKELY = 20
"""Next tokens of a point that are stored."""
LIKELY = 5
"""Next tokens of a point that a small run stores by itself."""
SMALL_RUN = 1_000_000
"""Points of all paths of a small run: five ids and probabilities of each are 40 MB before they are compressed."""


def _known(what: str, known: Iterable[str]) -> AfterValidator:
    """Whether a text is one of the names that there are of `what`."""

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"there is no {what} of that name, there is {', '.join(known)}")
        return name

    return AfterValidator(check)


def _no_folder(name: str) -> str:
    if name in {".", ".."}:
        raise ValueError("the name of a folder")
    if len(name.encode(errors="surrogatepass")) > LONGEST_STEM:
        raise ValueError(f"more than {LONGEST_STEM} bytes, which with its ending is too long for a file")
    return name


MetricName = Annotated[str, _known("metric", names.METRICS)]
StatisticName = Annotated[str, _known("step statistic", names.STATISTICS)]
ExperimentName = Annotated[str, _known("experiment", names.EXPERIMENTS)]
FileStem = Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f\x7f]+$", max_length=200), AfterValidator(_no_folder)]
"""What files are named after: no path, and nothing that a file system or a terminal would stumble over."""
LONGEST_STEM = 200
"""Bytes: file systems take 255, of which endings and what stands beside a store have some."""
_UNFIT_FOR_FILES = re.compile(r"[^\w.=+-]+")


def stem_of(text: str, fill: str = "-") -> str:
    """What a file is named after that is about something with any name: an SAE, or what varies in a sweep.

    Parameters
    ----------
    text
        Any.
    fill
        Stands for every run of characters that file systems or shells would stumble over.

    Returns
    -------
    str
        Letters, digits and `_.=+-`, at most `LONGEST_STEM` bytes: a longer text ends in its digest. Two texts may have
        one stem.

    Examples
    --------
    >>> stem_of("sae=release:my/sae"), stem_of("a b", "_")
    ('sae=release-my-sae', 'a_b')
    """
    stem = _UNFIT_FOR_FILES.sub(fill, text)
    if len(stem.encode()) <= LONGEST_STEM:
        return stem
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
    return f"{stem.encode()[: LONGEST_STEM - 13].decode(errors='ignore')}-{digest}"


def type_name(name: str) -> str:
    """A name that an activation type may have: it becomes a column of tables, a cell of pages and a label of axes.

    Parameters
    ----------
    name
        Any text.

    Returns
    -------
    str
        The same text.

    Raises
    ------
    ValueError
        When it does not begin with an ASCII letter, or has something else than those, digits and `_.+-` in it.
    """
    if not names.NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be the name of an activation type: use ASCII letters, digits and _ . + -, a letter first"
        )
    return name


TypeName = Annotated[str, AfterValidator(type_name)]


class Strict(BaseModel):
    """A frozen model that refuses unknown keys and non-finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelConfig(Strict):
    """Which language model is measured, and how its weights are processed."""

    source: str
    """`embedded:NAME` for a model that comes with the installation, else a hub id, a directory or a GGUF file."""
    revision: str | None = None
    """Hub revision (branch, tag or commit); None is the hub's default branch."""
    processing: Literal["none", "folded"] = "none"
    """`none` leaves the weights as published; `folded` folds LayerNorm in and centres the writing weights."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the weights of the blocks; `bfloat16` halves the memory of a large model and moves the results. The residual
    stream, the unembedding and the metrics are float32 always."""
    device: str = "cpu"
    """As PyTorch names it."""

    @model_validator(mode="after")
    def _check_processing(self) -> Self:
        if self.dtype != "float32" and self.processing != "none":
            raise ValueError(f'processing "{self.processing}" needs dtype "float32"')
        return self


class SiteConfig(Strict):
    """Where an activation is replaced and where the effect is read, as TransformerLens hook names."""

    write: str
    read: str
    """Behind `write`; `ln_final.hook_out` is behind the last norm."""
    frozen: tuple[str, ...] = ()
    """What attention and MLPs of blocks behind `write` add to the stream (`blocks.N.hook_attn_out` and `hook_mlp_out`;
    `blocks.N-M` stands for several blocks), held at what it is in the unperturbed prompt."""


class SaeConfig(Strict):
    """Which sparse autoencoder makes the synthetic activations."""

    source: str
    """A folder in SAELens' on-disk format (a path, or the name of one that ships in data/saes), or `release:id`: an SAE
    of a release that SAELens knows, or of a hub repository with folders in that format."""
    revision: str | None = None
    """Hub revision of a release; None is the hub's default branch."""
    frequency: Literal["auto", "shipped", "measured"] = "auto"
    """Each latent's firing frequency: as it comes with the SAE, or measured on the run's own prompts; `auto` takes what
    comes with it where something does."""
    hook: str | None = None
    """What an SAE reads that does not say so itself, as a hook name; None leaves it to the SAE."""


class PromptConfig(Strict):
    """Which token sequences are the base prompts, and which token of each is perturbed."""

    source: str
    """Token ids: an `.npz` (a path, or the name of one that ships in data/prompts), an `.npy`, or parquet files. Or
    texts, which the model's tokenizer makes tokens of: a `.txt` with one a line, JSON lines, or parquet files. All but
    the arrays may be a file, a directory, or a hub id."""
    revision: str | None = None
    """Hub revision of a data set; None is the hub's default branch."""
    sequences: Count | None = None
    """Sequences to take from the beginning; None takes all of an `.npz` or `.npy`, and the first 8,192 of others."""
    column: str = "text"
    """The column (in JSON lines, the key) that is read: texts, or in parquet files lists of token ids. A parquet file
    with `input_ids` beside `text` is read as token ids unless there is a template."""
    bos: bool = True
    """Whether exactly one BOS stands in front of texts, where the tokenizer has one; token ids stay as they are."""
    template: bool = False
    """Whether texts become a user's messages in the tokenizer's chat template, cut so that the whole has `length`
    tokens. The template alone says whether there is a BOS."""
    position: Annotated[int, Within(-100_000, 100_000)] = -1
    """Which token of a prompt is perturbed, counted from 0, or from the end where it is negative. The effect is read at
    the end of the prompt, whichever it is."""
    length: Length = 10
    """Tokens per prompt; longer sequences are cut after this many, shorter ones of a data set left out."""

    @model_validator(mode="after")
    def _check_bos(self) -> Self:
        if self.template and not self.bos:
            raise ValueError("bos: with template, the chat template says whether there is a BOS; leave bos out")
        return self


class VariantConfig(Strict):
    """An activation type once more: under a name of its own, with its own draws, and with what is given here changed.

    Without a change it is the same recipe drawn again.
    """

    type: str
    """The activation type whose recipe is followed."""
    anchor_cosine: Cosine | None = None
    """In place of that of `[targets]`, like the two that follow."""
    anchor_pool: Count | None = None
    baseline_pool: Count | None = None
    kept_share: Share | None = None
    dictionary: Literal["trained", "random", "shuffled"] = "trained"
    """Which decoder directions the recipe sees: the SAE's, random ones, or the SAE's dealt out to other latents."""
    add_error: bool = False
    """Whether the base's SAE error, A - SAE(A), is added to the target."""
    sae_error: Literal["none", "drawn", "predicted", "real"] = "none"
    """Which other error of the run's SAE is added: one drawn with the mean and covariance of real ones; one predicted
    from the target by a linear map, with what that leaves drawn; or that of the sample's real target."""
    own_token: bool = False
    """Whether a type that chooses a token chooses the one that the base is the activation of, where it can."""
    matched: bool = False
    """Whether the target is moved as little as gives it the norm, the distance from the base and the distance from the
    mean that the sample's real target has."""

    @property
    def constants(self) -> dict[str, float]:
        """The constants that differ from those of `[targets]`, by name."""
        return self.model_dump(
            include={"anchor_cosine", "anchor_pool", "baseline_pool", "kept_share"}, exclude_none=True
        )


class FileConfig(Strict):
    """An activation type whose activations somebody else made: rows of a file, each as wide as the write site."""

    path: str
    """A .safetensors, .npy or .pt file, or a .zarr array."""
    rows: Literal["pool", "sample", "prompt"] = "pool"
    """Which row is a base prompt's target: one drawn from all of them, the row of the sample's number, or the row of
    the prompt in the prompt file."""

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, given: Any) -> Any:
        return {"path": given} if isinstance(given, str) else given


class TargetConfig(Strict):
    """The activation types of a run, and the constants of the recipes that have some."""

    types: tuple[TypeName, ...]
    """Names in the order of the `activation_type` coordinate; must hold `real`."""
    variants: dict[TypeName, VariantConfig] = {}
    """Further types, by name, which follow those of `types` in the `activation_type` coordinate."""
    files: dict[TypeName, FileConfig] = {}
    """Types whose activations are in files, by name; they follow the variants. A text is the path of a pool."""
    modules: tuple[str, ...] = ()
    """Python files (`my_types.py`) or importable modules that register activation types of one's own."""
    of_run: str | None = None
    """Path or URL of a run of the same prompts, types and constants whose stored bases and targets are walked; None has
    them made. Another device or precision is compared curve by curve so."""
    anchor_cosine: Cosine = 0.42
    """`structured`: cosine to the top latent that the replacement top latent should have."""
    anchor_pool: Count = 100
    """`structured`: how many latents nearest in firing frequency the replacement top latent is chosen from."""
    baseline_pool: Count = 10
    """`baseline`: how many latents nearest in firing frequency a replacement is drawn from."""
    kept_share: Share = 0.5
    """`latents_kept`, `latents_swapped`, `strengths_kept`, `strengths_redrawn`: share of the real target's active
    latents that keep what the type changes of the others."""

    @model_validator(mode="after")
    def _check_types(self) -> Self:
        if names.REFERENCE not in self.types:
            raise ValueError(f"types must hold {names.REFERENCE!r}, the type that every other one is compared with")
        if len(set(self.types)) != len(self.types):
            raise ValueError("types names one type twice")
        if both := [name for name in self.variants if name in self.types]:
            raise ValueError(f"variants.{both[0]} has the name of one of the types; choose another")
        if both := [name for name in self.files if name in (*self.types, *self.variants)]:
            raise ValueError(f"files.{both[0]} has the name of another type; choose another")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The values of the `activation_type` coordinate."""
        return (*self.types, *self.variants, *self.files)


class ExperimentConfig(Strict):
    """How one experiment walks from a base activation towards a target."""

    samples: Samples
    """Base prompts."""
    steps: Steps = 101
    """Points on the path, the start included."""
    step_length: Scale | None = None
    """Distance between two points in units of the activation; None divides the whole path into `steps` points."""


class EngineConfig(Strict):
    """How the work is cut. Sizes change rounding errors at most, but they are part of a run's identity all the same."""

    prompts_per_batch: Chunk | Literal["auto"] = "auto"
    """Base prompts that go through the model at once (on a CPU: on each core), each with its paths to all targets.
    `auto` is as many as fit into what is free of a GPU's memory, and 1 on a CPU."""
    precision: Literal["auto", "float32", "fp16x3", "tf32x3", "bf16"] = "auto"
    """What the linear layers of the blocks multiply in; residual stream and metrics are float32 always. `fp16x3` and
    `tf32x3` make each product of float32 numbers from three narrower ones and are as accurate. `bf16` is faster and
    moves the results: docs/performance.md says by how much. `auto` is `fp16x3` on a GPU that can, else `float32`."""
    way: Annotated[str, _known("way of running", ("auto", *names.WAYS))] = "auto"
    """How points go through the model, one of `plateaulens.names.WAYS`; `auto` is the quickest of them that gives what
    whole prompts give on this model and machine, which is seen before the run."""
    samples_per_chunk: Chunk = 96
    """Base prompts per stored chunk: what one writer owns, and the most that a killed run has to do again."""
    likely_tokens: Annotated[int, Within(0, MOST_LIKELY)] | Literal["auto"] = "auto"
    """The most likely next tokens of every point that are stored with their probabilities, for the report to show; 0
    stores none. `auto` stores 5 in a run of at most 1,000,000 points, and none in a larger one. No curve depends on
    it, and it does not keep a run from being continued: that goes on with what the run has."""


class AnalysisConfig(Strict):
    """Constants of the step statistics and of the resampling; may differ between two analyses of one run."""

    resamples: Annotated[int, Within(1, 100_000)] = 2000
    """Bootstrap resamples, and random swaps of the permutation tests."""
    confidence: Fraction = 0.95
    """Of every interval; tests are at level 1 - confidence."""
    seed: Seed = 0
    """Of everything random in an analysis."""
    resample_targets: bool = False
    """Whether base prompts that share a real target are resampled together, rather than each for itself."""
    equivalence_margin: Annotated[dict[ExperimentName, Fraction], Field(validate_default=True)] = {}
    """Per experiment, the KS distance below which a type counts as equivalent to real; one number is that of all, and
    the experiment's own (`plateaulens.names.EXPERIMENTS`, each with its reason) stands where none is given."""
    guard_looks: bool = False
    """Whether the level is spent with the base prompts that are there, so that looks at a growing run share it."""
    family_wise: bool = False
    """Whether Holm's adjustment is over everything that the tables of verdicts say (types, metrics, statistics and
    experiments together), so that the chance of any wrong rejection among them is at most 1 - `confidence`; else it is
    over the types of each metric and statistic by themselves."""
    equivalence_steps: Scale = 3.0
    """The mean difference, in steps, below which a type counts as simultaneous with real: less than the 4 steps by
    which the authors' structured type comes later in relative steps."""
    statistics: tuple[StatisticName, ...] = names.DEFAULT_STATISTICS
    """The step statistics that are computed of every curve."""
    minimum_slope: Annotated[
        dict[MetricName, Annotated[float, Within(0, 1_000_000)]], Field(validate_default=True)
    ] = {}
    """Per metric, the rise per step below which a curve counts as never having blown up; the metric's own threshold
    (`plateaulens.names.METRICS`) where none is given."""
    nonlinearity_tolerance: Fraction = 0.2
    """Relative departure from the line through steps 0 and 9 that counts as nonlinear."""
    plateau_threshold: dict[MetricName, Scale] = {"l2": 20.0}
    """Per metric, the value at which a plateau has ended; metrics without one have no plateau length."""
    examples: Annotated[int, Within(1, 1000)] = 3
    """Prompts whose single curves the report draws."""

    @field_validator("statistics")
    @classmethod
    def _check_statistics(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return _each_once("statistics", given)

    @field_validator("equivalence_margin", mode="before")
    @classmethod
    def _for_all(cls, given: Any) -> Any:
        return given if isinstance(given, dict) else dict.fromkeys(names.EXPERIMENTS, given)

    @field_validator("equivalence_margin", mode="after")
    @classmethod
    def _fill_in_margins(cls, given: dict[str, float]) -> dict[str, float]:
        return {name: each.equivalence_margin for name, each in names.EXPERIMENTS.items()} | given

    @field_validator("minimum_slope", mode="after")
    @classmethod
    def _fill_in(cls, given: dict[str, float]) -> dict[str, float]:
        return {name: metric.minimum_slope for name, metric in names.METRICS.items()} | given

    def margin(self, experiment: str) -> float:
        """The margin of equivalence of an experiment.

        Parameters
        ----------
        experiment
            Its name.

        Returns
        -------
        float
            A KS distance; of an experiment that only a store knows, what `plateaulens.names.experiment` has for it.
        """
        return self.equivalence_margin.get(experiment, names.experiment(experiment).equivalence_margin)


class ReportConfig(Strict):
    """What the report shows beside the run itself; changes no number."""

    beside: FileStem | None = None
    """The name of a run, of another model as a rule, whose summary is set beside this one's."""


class SweepConfig(Strict):
    """What a sweep varies: it is one run for every combination, the preset's own value standing where nothing is named.

    An SAE belongs to one write site: where both are named they are pairs, in order, and of equal number.
    """

    model: tuple[str, ...] = ()
    """Sources of models."""
    sae: tuple[str, ...] = ()
    """Sources of SAEs."""
    write: tuple[str, ...] = ()
    """Write sites."""
    read: tuple[str, ...] = ()
    """Read sites; one that is not behind a write site is left out for that one."""
    seed: tuple[Seed, ...] = ()
    """Seeds of runs."""

    @model_validator(mode="after")
    def _check_axes(self) -> Self:
        if not any(values for _, values in self):
            raise ValueError("names nothing to vary: give write, read, sae, model or seed a list")
        if self.sae and self.write and len(self.sae) != len(self.write):
            raise ValueError(f"sae and write are pairs, but there are {len(self.sae)} and {len(self.write)} of them")
        placements = max(len(self.sae), len(self.write), 1)
        cells = placements * math.prod(max(len(axis), 1) for axis in (self.model, self.read, self.seed))
        if cells > MOST_CELLS:
            raise ValueError(f"{cells:,} runs, and a sweep may have {MOST_CELLS:,}; name fewer values")
        return self


class RunConfig(Strict):
    """One run: subject, targets and experiments.

    Beside the sections below, a preset has a section for each of its experiments, under the experiment's name.
    """

    model_config = ConfigDict(extra="allow")  # experiments; `_check_sections` refuses everything else
    __pydantic_extra__: dict[str, ExperimentConfig]

    name: FileStem
    """What the run's files are called after."""
    seed: Seed = 0
    """Of every random choice that is measured: prompts, targets and their draws."""
    experiments: tuple[ExperimentName, ...] = names.DEFAULT_EXPERIMENTS
    """Those that are run, of the ones that have a section."""
    metrics: tuple[MetricName, ...] = names.DEFAULT_METRICS
    """What every point of a path is measured by."""
    model: ModelConfig
    sites: SiteConfig
    sae: SaeConfig | None = None
    prompts: PromptConfig
    targets: TargetConfig
    engine: EngineConfig = EngineConfig()
    analysis: AnalysisConfig = AnalysisConfig()
    report: ReportConfig = ReportConfig()
    sweep: SweepConfig | None = None
    """With it, a preset stands for many runs."""

    @model_validator(mode="before")
    @classmethod
    def _check_sections(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        extra = [str(name) for name in given if name not in cls.model_fields]
        if unknown := [name for name in extra if name not in names.EXPERIMENTS]:
            raise ValueError(f"{unknown[0]} is neither a key nor an experiment; experiments are {_listed()}")
        # earlier versions wrote down the sections that a run did not have
        return {name: value for name, value in given.items() if name not in extra or value is not None}

    @field_validator("experiments", "metrics")
    @classmethod
    def _check_names(cls, given: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return _each_once(str(info.field_name), given)

    @model_validator(mode="after")
    def _check_experiments(self) -> Self:
        for name in self.experiments:
            if name not in self.sections:
                raise ValueError(f"{name} is selected, and its section is missing: add [{name}]")
            if (judged := names.EXPERIMENTS[name].statistic) not in self.analysis.statistics:
                raise ValueError(f"{name} is judged by {judged}; add it to analysis.statistics")
            if names.EXPERIMENTS[name].needs_sae and self.sae is None:
                raise ValueError(f"{name} needs an SAE; add an [sae] section")
        for name, section in self.sections.items():
            if names.EXPERIMENTS[name].steps == "relative" and section.step_length is not None:
                raise ValueError(f"{name}.step_length: relative steps have no length; leave it out")
            if names.EXPERIMENTS[name].steps == "fixed" and section.step_length is None:
                raise ValueError(f"{name}.step_length is missing")
        return self

    @model_validator(mode="after")
    def _check_extent(self) -> Self:
        for name, section in self.sections.items():
            each = len(self.targets.names) * section.steps * (len(self.metrics) + 2 * self.likely_tokens)
            chunk = min(section.samples, self.engine.samples_per_chunk) * each
            if chunk > LARGEST_CHUNK:
                raise ValueError(
                    f"{name}: a chunk would hold {chunk:,} numbers (samples x types x steps x metrics), at most "
                    f"{LARGEST_CHUNK:,} may be; lower engine.samples_per_chunk or {name}.steps"
                )
            if (every := section.samples * each) > LARGEST_GROUP:
                raise ValueError(
                    f"{name}: {every:,} numbers (samples x types x steps x metrics) would be measured, at most "
                    f"{LARGEST_GROUP:,} may be; lower {name}.samples or {name}.steps"
                )
        return self

    @property
    def sections(self) -> dict[str, ExperimentConfig]:
        """The settings of every experiment that the preset has a section for, selected or not."""
        return self.__pydantic_extra__ or {}

    def experiment(self, name: str) -> ExperimentConfig:
        """The settings of one experiment.

        Parameters
        ----------
        name
            One that the preset has a section for.

        Returns
        -------
        ExperimentConfig
            That section.
        """
        return self.sections[name]

    @property
    def samples(self) -> int:
        """The most base prompts that any selected experiment asks for."""
        return max(self.experiment(name).samples for name in self.experiments)

    @property
    def likely_tokens(self) -> int:
        """How many of the most likely next tokens of every point are stored; 0 stores none."""
        if self.engine.likely_tokens != "auto":
            return self.engine.likely_tokens
        settings = [self.experiment(name) for name in self.experiments]
        points = sum(len(self.targets.names) * each.samples * each.steps for each in settings)
        return LIKELY if points <= SMALL_RUN else 0


def _each_once(what: str, given: tuple[str, ...]) -> tuple[str, ...]:
    if not given or len(set(given)) != len(given):
        raise ValueError(f"{what} must name at least one of them, and none twice")
    return given


def _listed() -> str:
    return ", ".join(names.EXPERIMENTS)
