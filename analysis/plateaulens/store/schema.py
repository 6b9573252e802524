"""What a run store holds: groups, variables, dimensions, units and fill values, and nothing about how they are written.

A run is one zarr v3 hierarchy: `/prompts`, `/activations`, one group per experiment, and `/provenance`. Along `sample`
every variable of a group is cut into the same spans, ranges of samples that are written at once; a chunk holds one span
and, along every other dimension, the whole extent. An unwritten float is NaN, an unwritten integer -1, and `completed`
says which samples are there.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, TypeAdapter, ValidationError

from plateaulens.config import MOST_LIKELY, Chunk, Length, Samples, Scale, Steps, Within
from plateaulens.errors import explain
from plateaulens.names import NAME

SCHEMA_VERSION = 2
"""Raised when a reader of the version before would misread a store; every earlier version is still read.

2: a run says which metrics it has, and what its activation types are; before, metrics were `METRICS_OF_SCHEMA_1`. Runs
and summaries have the group `/integrity`, with digests of their files.
"""
SUMMARY_VERSION = 1
"""Of what summaries hold (root attribute `summary_version`); raised when a group, a variable or a word of one is added,
renamed, dropped or means something else. A summary is made again from its run: nothing words one of another version.

1: the first that is written down.
"""
RUN_KIND = "plateaulens run"
"""Root attribute `kind` of a run; those of summaries follow."""
SUMMARY_KIND = "plateaulens summary"
SWEEP_SUMMARY_KIND = "plateaulens sweep summary"

COMPLETED = "completed"
"""The variable that says which samples of a group have been written, in groups that are filled span by span."""

RUN_ATTRIBUTES = ("name", "config", "identity", "definitions", "seed", "versions", "commit")
"""What the writer of a run says about it; the store adds `kind`, `schema_version` and `layout`, the specification."""
JSON_ATTRIBUTES = ("config", "identity", "definitions", "versions")
"""Those of them that are JSON texts."""
SINCE = {"definitions": 2}
"""The schema version from which on a run has an attribute, where that is not the first."""


OTHER_GROUPS = ("prompts", "activations", "provenance", "integrity")
"""The groups of a run that are no experiments."""
LONGEST_NAME = 200


def _name(text: str) -> str:
    if not NAME.fullmatch(text) or len(text) > LONGEST_NAME:
        raise ValueError(f"no name, which is letters, digits and _ . + -, {LONGEST_NAME} of them at most")
    return text


def _group_name(text: str) -> str:
    if text in OTHER_GROUPS:
        raise ValueError("the name of another group")
    return text


Name = Annotated[str, AfterValidator(_name)]
"""Of what a run has along its axes."""


@dataclass(frozen=True)
class MetricSpec:
    """One metric of a run: its name and the units of its values."""

    name: Name
    units: str


METRICS_OF_SCHEMA_1 = (MetricSpec("l2", "residual stream"), MetricSpec("kl", "nat"), MetricSpec("js", "1"))
"""Those of a run of schema version 1, which does not name them."""


@dataclass(frozen=True)
class ExperimentSpec:
    """One experiment's extent."""

    name: Annotated[Name, AfterValidator(_group_name)]
    """That of its group, and so of a folder of the store."""
    activation_types: tuple[Name, ...]
    samples: Samples
    """Base prompts, the first ones of the run."""
    steps: Steps
    """Points on a path, the start included."""
    step_length: Scale | None
    """Distance between two points in units of the residual stream, None when steps are relative to the path."""


@dataclass(frozen=True)
class RunSpec:
    """The whole extent of a run."""

    experiments: tuple[ExperimentSpec, ...]
    samples: Samples
    """Base prompts of `/prompts` and `/activations`, the most that any experiment has."""
    positions: Length
    """Tokens of a prompt."""
    d_model: Annotated[int, Within(1, 1_000_000)]
    """Numbers of an activation."""
    samples_per_chunk: Chunk
    """Samples of a span; a group that has fewer is one span."""
    metrics: tuple[MetricSpec, ...] = METRICS_OF_SCHEMA_1
    mixed: Annotated[int, Within(0, 1000)] = 0
    """Prompts that the activations of one target are mixed of, at most; 0 where no type mixes any, or where it was not
    written down which."""
    likely: Annotated[int, Within(0, MOST_LIKELY)] = 0
    """Most likely next tokens of every point that are written down with their probabilities."""
    encoded: bool = False
    """Whether it is written down what the run's SAE makes of every target."""
    fitted: bool = False
    """Whether types were fitted to real activations, and it is written down how far targets lie from those."""

    def __post_init__(self) -> None:
        names = [experiment.name for experiment in self.experiments]
        assert names, "a run has at least one experiment"
        assert len(set(names)) == len(names), f"experiments {names} name one twice"
        assert self.metrics, "a run has at least one metric"
        assert len({metric.name for metric in self.metrics}) == len(self.metrics), "no metric comes twice"
        assert all(0 < experiment.samples <= self.samples for experiment in self.experiments), (
            "0 < samples <= the run's"
        )
        assert min(self.samples, self.positions, self.d_model, self.samples_per_chunk) > 0, "extents are positive"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`.

        Parameters
        ----------
        text
            A run's root attribute `layout`.

        Returns
        -------
        RunSpec
            The specification.

        Raises
        ------
        ValueError
            When the text is no specification.
        """
        try:
            return TypeAdapter(cls).validate_json(text)
        except ValidationError as error:
            raise ValueError(f"not a run specification: {explain(error)}") from None

    def to_json(self) -> str:
        """The specification as text.

        Returns
        -------
        str
            JSON, as a run's root attribute `layout` holds it.
        """
        return json.dumps(asdict(self))

    @cached_property
    def activation_types(self) -> tuple[str, ...]:
        """The types of all experiments, in the order in which they are first named: those of `/activations`."""
        return tuple(dict.fromkeys(kind for experiment in self.experiments for kind in experiment.activation_types))

    @cached_property
    def groups(self) -> Mapping[str, "GroupSpec"]:
        """Every group that holds arrays, by name."""
        groups = {
            "prompts": GroupSpec(PROMPTS, (), {"sample": self.samples, "position": self.positions}, self),
            "activations": GroupSpec(
                (
                    *ACTIVATIONS,
                    *([MIXED] if self.mixed else []),
                    *(ENCODED if self.encoded else []),
                    *([FIT_DISTANCE] if self.fitted else []),
                ),
                (_activation_type(self.activation_types),),
                {
                    "activation_type": len(self.activation_types),
                    "sample": self.samples,
                    "d_model": self.d_model,
                    "mixed": self.mixed,
                },
                self,
            ),
        }
        for experiment in self.experiments:
            sizes = {
                "activation_type": len(experiment.activation_types),
                "sample": experiment.samples,
                "step": experiment.steps,
                "metric": len(self.metrics),
                "rank": self.likely,
            }
            variables = (*CURVES, *(LIKELY if self.likely else ()))
            groups[experiment.name] = GroupSpec(variables, _curve_coordinates(experiment, self.metrics), sizes, self)
        return groups


@dataclass(frozen=True)
class Variable:
    """One array with a `sample` dimension."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    """As NumPy names it; `string` for text."""
    fill: float | bool | str
    """Its value where nothing has been written."""
    long_name: str
    units: str


@dataclass(frozen=True)
class Coordinate:
    """One coordinate with its values."""

    name: str
    dims: tuple[str, ...]
    values: NDArray[Any]
    """In the shape of `dims`; strings as an object array."""
    long_name: str
    units: str


@dataclass(frozen=True)
class GroupSpec:
    """One group of a run: its variables, its coordinates and the size of every dimension. Indexed by variable."""

    variables: tuple[Variable, ...]
    coordinates: tuple[Coordinate, ...]
    sizes: Mapping[str, int]
    """By dimension."""
    run: RunSpec
    """The run that the group belongs to."""

    @property
    def samples_per_chunk(self) -> int:
        """Samples in one chunk, which is also one span; the last one may have fewer."""
        return min(self.run.samples_per_chunk, self.sizes["sample"])

    @property
    def spans(self) -> tuple[slice, ...]:
        """The sample ranges that are written at once, in order; the last may be short.

        Examples
        --------
        >>> spec = RunSpec((ExperimentSpec("plateau", ("real",), 5, 3, 0.5),), 5, 10, 4, 2)
        >>> spec.groups["plateau"].spans
        (slice(0, 2, None), slice(2, 4, None), slice(4, 5, None))
        """
        size, samples = self.samples_per_chunk, self.sizes["sample"]
        return tuple(slice(start, min(start + size, samples)) for start in range(0, samples, size))

    @property
    def has_completed(self) -> bool:
        """Whether the group is filled span by span; otherwise it is written whole when the run is created."""
        return any(variable.name == COMPLETED for variable in self.variables)

    def __getitem__(self, variable: str) -> Variable:
        return next(candidate for candidate in self.variables if candidate.name == variable)

    def chunk_key(self, variable: Variable, span: slice) -> str:
        """The name of a variable's chunk that holds a span, below the variable's own.

        Parameters
        ----------
        variable
            One of the group's.
        span
            One of `spans`.

        Returns
        -------
        str
            As zarr v3 names chunks.

        Examples
        --------
        >>> spec = RunSpec((ExperimentSpec("plateau", ("real",), 5, 3, 0.5),), 5, 10, 4, 2)
        >>> group = spec.groups["plateau"]
        >>> group.chunk_key(group["top_token"], slice(2, 4))
        'c/0/1/0'
        """
        index = span.start // self.samples_per_chunk
        return "/".join(["c", *(str(index if dim == "sample" else 0) for dim in variable.dims)])

    def shape(self, variable: Variable, samples: slice | None = None) -> tuple[int, ...]:
        """How large a variable is.

        Parameters
        ----------
        variable
            One of the group's.
        samples
            A range of samples; None stands for all of them.

        Returns
        -------
        tuple of int
            The sizes of its dimensions, `sample` with the length of the range.
        """
        count = self.sizes["sample"] if samples is None else samples.stop - samples.start
        return tuple(count if dim == "sample" else self.sizes[dim] for dim in variable.dims)


_TYPED = ("activation_type", "sample")

PROMPTS = (
    Variable("token", ("sample", "position"), "int32", -1, "token ids of the base prompt", "1"),
    Variable("text", ("sample",), "string", "", "text of the base prompt", "1"),
)
"""The variables of `/prompts`."""

ACTIVATIONS = (
    Variable("base", ("sample", "d_model"), "float32", np.nan, "activation at the write site", "residual stream"),
    Variable("target", (*_TYPED, "d_model"), "float32", np.nan, "activation moved towards", "residual stream"),
    Variable("source_row", _TYPED, "int32", -1, "row of the prompt file that a real target came from", "1"),
    Variable("active_latents", ("sample",), "int32", -1, "SAE latents active in the base activation", "1"),
    Variable(COMPLETED, ("sample",), "bool", False, "whether the sample has been written", "1"),
)
"""The variables of `/activations`."""
MIXED = Variable("mixed_row", (*_TYPED, "mixed"), "int32", -1, "rows of the prompt file that a target is mixed of", "1")
"""One more, in runs with types that mix real activations."""
ENCODED = (
    Variable("target_latents", _TYPED, "int32", -1, "SAE latents active in the target", "1"),
    Variable(
        "target_error",
        _TYPED,
        "float32",
        np.nan,
        "distance of the target from the SAE's reconstruction of it",
        "residual stream",
    ),
)
"""Two more, in runs with an SAE."""
FIT_DISTANCE = Variable(
    "fit_distance",
    _TYPED,
    "float32",
    np.nan,
    "distance of the target from the nearest activation that types were fitted to",
    "residual stream",
)
"""One more, in runs with types that are fitted to real activations."""

CURVES = (
    Variable("curve", (*_TYPED, "step", "metric"), "float32", np.nan, "distance from step 0", "see metric_units"),
    Variable("top_token", (*_TYPED, "step"), "int32", -1, "most likely next token", "1"),
    Variable("path_length", _TYPED, "float32", np.nan, "distance from base to target", "residual stream"),
    Variable(COMPLETED, _TYPED, "bool", False, "whether the curve has been written", "1"),
)
"""The variables of an experiment's group."""
LIKELY = (
    Variable("likely_token", (*_TYPED, "step", "rank"), "int32", -1, "most likely next tokens, the first first", "1"),
    Variable("likely_text", (*_TYPED, "step", "rank"), "string", "", "their texts", "1"),
    Variable("likely_probability", (*_TYPED, "step", "rank"), "float32", np.nan, "their probabilities", "1"),
)
"""Three more, in runs that write down more than the most likely token."""


def _strings(values: tuple[str, ...]) -> NDArray[np.object_]:
    return np.array(values, dtype=object)


def _activation_type(types: tuple[str, ...]) -> Coordinate:
    return Coordinate("activation_type", ("activation_type",), _strings(types), "activation type", "1")


def _curve_coordinates(experiment: ExperimentSpec, metrics: tuple[MetricSpec, ...]) -> tuple[Coordinate, ...]:
    steps = np.arange(experiment.steps)
    if experiment.step_length is None:
        fraction = np.linspace(0.0, 1.0, experiment.steps)
        distance = Coordinate("fraction", ("step",), fraction, "fraction of the way from base to target", "1")
    else:
        length = steps * experiment.step_length
        distance = Coordinate("length", ("step",), length, "distance moved from the base", "residual stream")
    return (
        _activation_type(experiment.activation_types),
        Coordinate("step", ("step",), steps, "step", "1"),
        Coordinate("metric", ("metric",), _strings(tuple(metric.name for metric in metrics)), "metric", "1"),
        Coordinate(
            "metric_units", ("metric",), _strings(tuple(metric.units for metric in metrics)), "units of the metric", "1"
        ),
        distance,
    )
