"""A quick run: the same measurement on few prompts and types, to see in two minutes what comes of a preset.

It has a name of its own, so that it is never taken for the run itself nor put in its place.
"""

from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.names import CONTROL, REFERENCE

ENDING = "-quick"
"""What the name of such a run ends with."""
EXPERIMENT = "sensitivity"
SAMPLES = 40
"""Base prompts: so few that most types stay undecided, which the statistics say."""
TYPES = (REFERENCE, CONTROL, "random", "baseline", "structured")
"""One type for each answer that there is: as real, far from it, and in between."""
NOTICE = (
    f"This is a quick run of at most {SAMPLES} base prompts and some of the activation types: it shows what a report "
    "looks like, and decides little."
)
"""What whoever reads its numbers must know."""


def quick(config: RunConfig) -> RunConfig:
    """The quick run of a preset.

    Parameters
    ----------
    config
        The preset.

    Returns
    -------
    RunConfig
        Of its first experiment, or of `EXPERIMENT` where it has that, with at most `SAMPLES` base prompts and those of
        `TYPES` that it has; everything else is the preset's.

    Raises
    ------
    UsageError
        For a sweep.
    """
    if config.sweep is not None:
        raise UsageError(f"{config.name} is a sweep, which has no quick run: leave --quick out, or name another preset")
    chosen = EXPERIMENT if EXPERIMENT in config.experiments else config.experiments[0]
    values = config.model_dump()
    for name in config.sections:
        values[name]["samples"] = min(SAMPLES, values[name]["samples"])
    values["name"] += ENDING
    values["experiments"] = [chosen]
    values["targets"]["types"] = [name for name in config.targets.types if name in TYPES]
    values["targets"]["variants"] = {}
    return RunConfig.model_validate(values)


def is_quick(name: str) -> bool:
    """Whether a run is a quick one.

    Parameters
    ----------
    name
        The run's name.

    Returns
    -------
    bool
        By the name's ending.

    Examples
    --------
    >>> is_quick("smollm2-quick"), is_quick("smollm2")
    (True, False)
    """
    return name.endswith(ENDING)
