"""The concepts of PlateauLens: what there is, what it is called, and what belongs together. Imports nothing of it.

A metric, a step statistic or an experiment is known because it stands here; what computes it is found by its name:

- a metric in `plateaulens.scan.metrics.NAME`,
- a step statistic as the function `NAME` of `plateaulens.steps.corrected` (and of `plateaulens.steps.authors`, where
  the authors have one),
- an experiment in `plateaulens.collect.experiments.NAME`,
- an activation type in a file of `plateaulens.targets.types`, which says itself what it is.

A stored run says by itself what it holds. Names that a store has and this module lacks are shown as they are.
"""

import re
from dataclasses import dataclass
from typing import Literal

REFERENCE = "real"
"""The activation type that every other one is compared with."""
CONTROL = "real_control"
"""The second draw of real targets. What is tested about it checks the procedure, and is no claim about a type."""
CLAIMS = (("structured", "baseline"), ("structured", "bag"))
"""The paper's claim: the first type of each pair is nearer to real than the second."""
MAIN_TYPES = (REFERENCE, "random", "baseline", "structured")
"""The types of figures that have room for few: the reference, the Gaussian, and the two recipes of the claim."""

SCALE_START = "random"
"""The activation type at which the scale of SAEs has its 0; the reference has the 1."""
SCALED = ("reconstruction", "baseline", "structured")
"""The activation types by which SAEs are placed on that scale."""

CONVENTIONS = ("corrected", "authors")
"""How step statistics are read off a curve: as PlateauLens defines them, and as the authors' notebooks do."""

CUT = "_to_target"
"""What the name of an experiment ends with, as a kind of path, whose paths are cut at the targets."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]*")
"""What the name of a metric, statistic, experiment or type may be: it stands in tables, Markdown and axes."""

PAPER = "paper"
"""The family of tests for multiplicity that the statistics and metrics of the paper form; see `family`."""

EQUIVALENCE_MARGIN = 0.15
"""The margin of equivalence of an experiment that has none of its own: the one of relative steps."""

Place = Literal["read", "output"]
StepRule = Literal["relative", "fixed"]


@dataclass(frozen=True)
class Metric:
    """How far the model's response at a point is from that at the first point of the path."""

    name: str
    """Value of the `metric` coordinate."""
    label: str
    """As panels and tables print it."""
    axis: str
    """In words, for the axis of a figure."""
    units: str
    definition: str
    place: Place = "output"
    """Where it is measured: at the read site, or on the distribution of the next token."""
    minimum_slope: float = 0.02
    """The rise per step below which a curve counts as never having blown up, unless the analysis says otherwise."""
    is_default: bool = True
    """Whether a run has it that names no metrics."""
    is_main: bool = False
    """Whether figures and tables show it that have room for few."""
    family: str | None = None
    """The family of tests that its tests belong to; None keeps them by themselves."""


@dataclass(frozen=True)
class Statistic:
    """A step of a curve at which something happens."""

    name: str
    """Value of the `statistic` coordinate."""
    label: str
    """In words, within a sentence."""
    title: str
    """As columns of tables print it."""
    definition: str
    """What the corrected convention makes of it."""
    authors: str = "not defined"
    """What the authors' convention makes of it."""
    before: str = "earlier"
    after: str = "later"
    """How a type is called whose steps come before, or after, those of real."""
    event: str = "blow up"
    """What a curve does at this step, as a verb."""
    start: int = 1
    """The first step that can be it."""
    constants: tuple[str, ...] = ()
    """The constants of the analysis that it depends on and that a summary moves."""
    is_default: bool = True
    """Whether an analysis has it that names no statistics."""
    family: str | None = None
    """The family of tests that its tests belong to; None keeps them by themselves."""


@dataclass(frozen=True)
class Experiment:
    """A way of walking from one activation towards another."""

    name: str
    """Name of its group in a run, and of its section in a preset."""
    title: str
    """Within a sentence."""
    short: str
    """As columns of tables print it."""
    steps: StepRule
    """Whether the path is divided into equal parts, or walked in steps of one length."""
    statistic: str = "max_slope"
    """The statistic that verdicts and claims are about."""
    concluded: tuple[str, ...] = ()
    """The statistics whose conclusions a summary draws again under other constants."""
    equivalence_margin: float = EQUIVALENCE_MARGIN
    """The KS distance below which a type counts as equivalent to real, unless the analysis says otherwise."""
    margin_reason: str = "that of relative steps, for want of another"
    """Why this one, as a clause."""
    needs_sae: bool = False
    is_cut: bool = False
    """Whether its types are also compared on paths that are cut at their targets, as the paper cuts them."""
    is_default: bool = False
    """Whether a preset has it that names no experiments."""


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "l2",
            label="L2",
            axis="L2 distance",
            units="residual stream",
            definition="L2 distance at the read site",
            place="read",
            is_main=True,
            family=PAPER,
        ),
        Metric(
            "kl",
            label="KL",
            axis="KL divergence",
            units="nat",
            definition="KL(reference || perturbed) of the next token, in the authors' published runs too",
            is_main=True,
            family=PAPER,
        ),
        Metric(
            "js",
            label="JS",
            axis="Jensen-Shannon distance",
            units="1",
            definition="Jensen-Shannon distance of the next token, root of the divergence in bits",
            minimum_slope=0.0002,
            family=PAPER,
        ),
        Metric(
            "cosine",
            label="cosine",
            axis="1 - cosine",
            units="1",
            definition="1 minus the cosine at the read site",
            place="read",
            minimum_slope=0.0002,
            is_default=False,
        ),
    )
}
"""Every metric, in the order in which a run stores them."""

STATISTICS = {
    statistic.name: statistic
    for statistic in (
        Statistic(
            "max_slope",
            label="max-slope step",
            title="max slope",
            definition="step that the steepest rise of the window arrives at; censored below the minimum slope",
            authors="step that the steepest rise before the target arrives at; 99 when none exceeds 0.02",
            constants=("minimum_slope", "step_size"),
            family=PAPER,
        ),
        Statistic(
            "first_nonlinearity",
            label="first nonlinear step",
            title="nonlinearity",
            definition="first step that leaves the line; censored when there is none",
            authors="step before the first that leaves the line; the number of points when there is none",
            event="leave the line",
            constants=("nonlinearity_tolerance", "minimum_slope"),
            family=PAPER,
        ),
        Statistic(
            "auc_ratio",
            label="step of the largest triangle-to-area ratio",
            title="AUC ratio",
            definition="triangle and area on one base, whole window; censored when no ratio exceeds 1",
            authors="triangle one step wider than the area, points before the target",
            event="bend upwards",
            start=5,  # before it, rounding noise around 0 makes ratios of any size
            family=PAPER,
        ),
        Statistic(
            "plateau_length",
            label="plateau length",
            title="plateau length",
            definition="first step at the threshold; censored when there is none",
            authors="first step at 20, L2 only; 100 when there is none",
            before="shorter",
            after="longer",
            event="leave the plateau",
            constants=("plateau_threshold", "step_size"),
            family=PAPER,
        ),
        Statistic(
            "half_height",
            label="half-height step",
            title="half height",
            definition="first step at or above half of the curve's end; censored below the minimum slope",
            event="reach half of their end",
            constants=("minimum_slope",),
            is_default=False,
        ),
        Statistic(
            "steepest_point",
            label="steepest point",
            title="steepest point",
            definition="max-slope step with the vertex of the parabola through the three rises around it",
            constants=("minimum_slope",),
            is_default=False,
        ),
        Statistic(
            "max_slope_error",
            label="error of the max-slope step",
            title="max-slope error",
            definition="how far the max-slope step may be off, when values are by 0.05 % of the curve's largest",
            before="smaller",
            after="larger",
            constants=("minimum_slope",),
            is_default=False,
        ),
    )
}
"""Every step statistic, in the order in which a summary stores them. All are counted in steps."""

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "sensitivity",
            title="relative steps",
            short="relative",
            steps="relative",
            concluded=("max_slope", "first_nonlinearity"),
            margin_reason="between the authors' reconstructions (0.11) and nearest synthetic types (0.17 to 0.21)",
            is_default=True,
        ),
        Experiment(
            "sensitivity_absolute",
            title="absolute steps",
            short="absolute",
            steps="fixed",
            concluded=("max_slope",),
            equivalence_margin=0.075,
            margin_reason=(
                "as large beside the authors' structured type (0.10 on L2, 0.13 on KL) as the margin of relative steps "
                "is, and beyond what two samples of their size lie apart by chance (0.04 at 5 %)"
            ),
            is_cut=True,
            is_default=True,
        ),
        Experiment(
            "plateau",
            title="plateaus",
            short="plateau",
            steps="fixed",
            statistic="plateau_length",
            concluded=("plateau_length",),
            margin_reason=(
                "that of relative steps: the authors have no reconstructions here, and all their types lie beyond 0.5"
            ),
            is_default=True,
        ),
        Experiment(
            "sensitivity_reconstructed",
            title="relative steps from the reconstruction",
            short="reconstructed",
            steps="relative",
            margin_reason="that of relative steps: the authors print no distance for this base",
            needs_sae=True,
        ),
    )
}
"""Every experiment, in the order in which reports show them."""


@dataclass(frozen=True)
class Detector:
    """A score of one activation by which a type's targets may be told from real ones."""

    name: str
    """Value of the `detector` coordinate."""
    label: str
    """As columns of tables and lists within sentences print it."""
    definition: str
    """As a phrase that needs no other; `{features}` stands for the labels of the features that a run has."""
    is_classifier: bool = False
    """Whether the score is learned, so that more of it always means: less like real."""


DETECTORS = {
    detector.name: detector
    for detector in (
        Detector("norm", label="norm", definition="the length of an activation"),
        Detector("active_latents", label="latents", definition="the number of active SAE latents"),
        Detector(
            "sae_error",
            label="SAE error",
            definition="the distance of an activation from its reconstruction by the SAE",
        ),
        Detector(
            "neighbour_distance",
            label="neighbour distance",
            definition="the distance to the nearest real activation of another prompt",
        ),
        Detector(
            "features",
            label="features together",
            definition="a classifier of {features} together",
            is_classifier=True,
        ),
        Detector(
            "activation",
            label="whole activation",
            definition="a classifier of whole activations",
            is_classifier=True,
        ),
    )
}
"""Every detector, in the order in which a summary stores them: features, then the two classifiers."""

DEFAULT_METRICS = tuple(metric.name for metric in METRICS.values() if metric.is_default)
MAIN_METRICS = tuple(metric.name for metric in METRICS.values() if metric.is_main)
DEFAULT_STATISTICS = tuple(statistic.name for statistic in STATISTICS.values() if statistic.is_default)
DEFAULT_EXPERIMENTS = tuple(experiment.name for experiment in EXPERIMENTS.values() if experiment.is_default)


@dataclass(frozen=True)
class Rung:
    """An activation type on the ladder of what makes an activation real: what it has that a lower one has not."""

    name: str
    """Value of the `activation_type` coordinate."""
    kind: Literal["whole", "drawn", "changed"]
    """What it is made of: moments of whole activations, a code that is drawn, or a real target's own code."""
    adds: str
    """Its property, as a noun phrase."""
    above: str | None = None
    """The rung that it stands on, which has all but this property."""


RUNG_KINDS = {
    "whole": "from whole activations",
    "drawn": "from codes that are drawn",
    "changed": "from the real target's code",
}
"""The parts of the ladder, by `Rung.kind`."""

RUNGS = {
    rung.name: rung
    for rung in (
        Rung("isotropic", "whole", "the mean and the total variance"),
        Rung("random", "whole", "the covariance", above="isotropic"),
        Rung("factor_mixture", "whole", "several clusters in place of one", above="random"),
        Rung("token_mean", "whole", "which token it is", above="isotropic"),
        Rung("token_gaussian", "whole", "a departure from the token's mean", above="token_mean"),
        Rung("token_elliptical", "whole", "departures as unequal as real ones", above="token_gaussian"),
        Rung("interpolation", "whole", "lying between two real neighbours"),
        Rung("code_size", "drawn", "how many latents are active"),
        Rung("code_frequency", "drawn", "how often each latent is active", above="code_size"),
        Rung("code_strengths", "drawn", "how strong latents are, rank by rank", above="code_frequency"),
        Rung("structured", "drawn", "a real code's strengths and cosines to its top latent", above="code_size"),
        Rung("code_gram", "drawn", "all cosines between active latents", above="structured"),
        Rung("code_pairs", "drawn", "which pairs of latents are active together", above="code_frequency"),
        Rung("code_top", "drawn", "which latents are active with the top one", above="code_frequency"),
        Rung("code_copula", "drawn", "strengths that go together", above="code_top"),
        Rung("code_network", "drawn", "which latents are active with all others", above="code_top"),
        Rung("latents_swapped", "changed", "half of the latents, the others a neighbour's"),
        Rung("latents_kept", "changed", "half of the latents, the others by frequency"),
        Rung("strengths_kept", "changed", "all latents, half of the strengths exchanged"),
        Rung("strengths_redrawn", "changed", "all latents, half of the strengths drawn anew"),
        Rung("reconstruction", "changed", "all latents and strengths", above="strengths_redrawn"),
    )
}
"""The ladder, from below; a run has those of them that are among its types."""


def metric(name: str) -> Metric:
    """The metric of that name; one that only a store knows is called by its name.

    Parameters
    ----------
    name
        Value of a `metric` coordinate.

    Returns
    -------
    Metric
        From `METRICS`, or one whose words are its name and whose units are left to the store.

    Examples
    --------
    >>> metric("kl").label, metric("my_metric").label
    ('KL', 'my_metric')
    """
    return METRICS.get(name) or Metric(name, label=name, axis=name, units="", definition=name)


def metric_label(name: str) -> str:
    """The short name of a metric as panels, tables and sentences print it.

    Parameters
    ----------
    name
        Value of a `metric` coordinate.

    Returns
    -------
    str
        The metric's label.

    Examples
    --------
    >>> metric_label("l2")
    'L2'
    """
    return metric(name).label


def statistic(name: str) -> Statistic:
    """The step statistic of that name; one that only a store knows is called by its name.

    Parameters
    ----------
    name
        Value of a `statistic` coordinate.

    Returns
    -------
    Statistic
        From `STATISTICS`, or one whose words are made of its name.

    Examples
    --------
    >>> statistic("my_step").label
    'my step'
    """
    words = _spelled_out(name)
    return STATISTICS.get(name) or Statistic(name, label=words, title=words, definition=words)


def experiment(name: str) -> Experiment:
    """The experiment of that name; one that only a store knows is called by its name.

    Parameters
    ----------
    name
        Name of an experiment's group.

    Returns
    -------
    Experiment
        From `EXPERIMENTS`, or one whose words are made of its name.
    """
    words = _spelled_out(name)
    return EXPERIMENTS.get(name) or Experiment(name, title=words, short=words, steps="relative")


def path_label(path: str) -> str:
    """The kind of path of a comparison at equal geometry, as panels, tables and sentences print it.

    Parameters
    ----------
    path
        Value of a `path` coordinate: the name of an experiment, with `CUT` where its paths are cut at the targets.

    Returns
    -------
    str
        The experiment's title, or its short name with what is done to its paths.

    Examples
    --------
    >>> path_label("sensitivity_absolute"), path_label("sensitivity_absolute_to_target")
    ('absolute steps', 'absolute, to the target')
    """
    if path.endswith(CUT):
        return f"{experiment(path.removesuffix(CUT)).short}, to the target"
    return experiment(path).title


def label(activation_type: str) -> str:
    """The name of an activation type as figures, tables and sentences print it.

    Parameters
    ----------
    activation_type
        Value of an `activation_type` coordinate.

    Returns
    -------
    str
        The name with spaces.

    Examples
    --------
    >>> label("single_latent")
    'single latent'
    """
    return _spelled_out(activation_type)


_LONGEST_LABEL = 24
"""Characters of a site's name that axes have room for."""


def site_label(site: str) -> str:
    """A site of the residual stream as the axes and rows of layer maps print it.

    Parameters
    ----------
    site
        Name of a hook in the model.

    Returns
    -------
    str
        The number of the block that it lies before or after; the last norm; the name of a site that is none of these,
        its end where it is long.

    Examples
    --------
    >>> site_label("blocks.1.hook_resid_pre"), site_label("blocks.29.hook_resid_post"), site_label("embed")
    ('1', '29', 'embed')
    >>> site_label("ln_final.hook_out"), site_label("model.language_model.layers.12")
    ('last norm', '…anguage_model.layers.12')
    """
    if site == "ln_final.hook_out":
        return "last norm"
    match = re.fullmatch(r"blocks\.(\d+)\.hook_resid_(pre|post)", site)
    if match:
        return match[1]
    return site if len(site) <= _LONGEST_LABEL else f"…{site[1 - _LONGEST_LABEL :]}"


def family(statistic_name: str, metric_name: str) -> str:
    """The family of tests that a statistic on a metric belongs to, for the Benjamini-Hochberg adjustment.

    Where both declare the same family it is that one. Else the two are a family by themselves, so that a new metric or
    statistic moves no p-value that has been published.

    Parameters
    ----------
    statistic_name, metric_name
        Values of the `statistic` and `metric` coordinates.

    Returns
    -------
    str
        The family's name.

    Examples
    --------
    >>> family("max_slope", "l2"), family("max_slope", "my_metric")
    ('paper', 'max_slope on my_metric')
    """
    declared = statistic(statistic_name).family
    if declared is not None and declared == metric(metric_name).family:
        return declared
    return f"{statistic_name} on {metric_name}"


def _spelled_out(name: str) -> str:
    return name.replace("_", " ")


PACKED, BRIDGE, WHOLE, COPIED = "packed", "bridge", "whole", "copied"
WAYS = {
    PACKED: "all points of a prompt in one sequence through the model's own blocks, one token of work for each",
    BRIDGE: "all points of a path in one sequence through TransformerLens, which also compares them with each other",
    WHOLE: "the end of the prompt once for each point, the tokens before it from a cache",
    COPIED: "the whole prompt once for each point",
}
"""The ways of running a model over points, the quickest first. `plateaulens.scan.choice` decides which is right."""
