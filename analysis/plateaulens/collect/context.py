"""What a run needs, opened once (model, SAE, prompts, targets), and what comes of it: the values of its store."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from plateaulens import names
from plateaulens.collect import experiments
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.provenance import commit, versions
from plateaulens.scan.direct import choose_forward
from plateaulens.scan.engine import Forward
from plateaulens.scan.packing import check_packing
from plateaulens.scan.walk import walk
from plateaulens.store.schema import ExperimentSpec, MetricSpec, RunSpec
from plateaulens.store.spans import Values
from plateaulens.subject import preflight
from plateaulens.subject.architectures import check_architecture
from plateaulens.subject.model import Subject, load_subject
from plateaulens.subject.prompts import Prompts, load_prompts
from plateaulens.subject.sae import LoadedSae, load_sae
from plateaulens.targets import registry
from plateaulens.targets.base import SYNTHETIC, ActivationType, Pool, TargetContext, draw, mixes
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.randomness import generator

NO_SAE = -1
"""Stored number of active latents when there is no SAE to count them."""


@dataclass(frozen=True, eq=False)
class RunContext:
    """Everything that measuring a span needs: loaded once, never changed."""

    config: RunConfig
    subject: Subject
    sae: LoadedSae | None
    prompts: Prompts
    base_row: NDArray[np.int64]
    """Row of the prompt file of each sample, shaped (sample,)."""
    target_context: TargetContext
    """What targets depend on beside their bases."""
    kinds: tuple[ActivationType, ...]
    """In the order of the `activation_type` coordinate."""
    forward: Forward

    def activations(self, span: slice) -> Values:
        """The values of `/activations` for a span: bases, and one target of each type.

        Parameters
        ----------
        span
            The samples, with a start and a stop.

        Returns
        -------
        Values
            `base` (sample, d_model), `target` (activation_type, sample, d_model), `source_row` (activation_type,
            sample), `active_latents` (sample,), which is `NO_SAE` in a run without an SAE, and, where types mix real
            activations, `mixed_row` (activation_type, sample, mixed).
        """
        rows = self.base_row[span]
        pool = self.target_context.pool.activation
        samples = range(span.start, span.stop)
        bases = self.target_context.bases(pool[torch.from_numpy(rows)], samples, rows.tolist())
        drawn = [draw(kind, bases, self.target_context) for kind in self.kinds]
        active = [NO_SAE if base.encoded is None else len(base.encoded) for base in bases]
        values = {
            "base": torch.stack([base.activation for base in bases]).cpu().numpy(),
            "target": torch.stack([target.activation for target in drawn]).cpu().numpy(),
            "source_row": np.stack([target.source_row for target in drawn]),
            "active_latents": np.array(active, dtype=np.int32),
        }
        if width := mixed(self.kinds):
            rows_of = [target.mixed_row for target in drawn]
            padded = [np.pad(own, ((0, 0), (0, width - own.shape[1])), constant_values=SYNTHETIC) for own in rows_of]
            values["mixed_row"] = np.stack(padded)
        return values

    def curves(self, experiment: str, span: slice, stored: Values, advance: Callable[[int], object]) -> Values:
        """The values of an experiment for a span, from what `/activations` holds of the same samples.

        Parameters
        ----------
        experiment
            Its name.
        span
            The samples, with a start and a stop.
        stored
            `base` and `target` of `/activations` for the span.
        advance
            Told how many paths have been walked, each time some have.

        Returns
        -------
        Values
            `curve` (activation_type, sample, step, metric), `top_token` (activation_type, sample, step), and
            `path_length` (activation_type, sample): from each path's start to where it leads, in units of the residual
            stream.
        """
        base, target = torch.from_numpy(stored["base"]), torch.from_numpy(stored["target"])
        samples = range(span.start, span.stop)
        start, end = experiments.find(experiment).ends(base, target, samples, self.target_context)
        tokens = self.prompts.tokens[torch.from_numpy(self.base_row[span])]
        curves, top = [], []
        for measured in walk(
            self.forward,
            tokens,
            start.movedim(1, 0),
            end.movedim(1, 0),
            experiments.path_maker(experiment, self.config.experiment(experiment)),
            device=self.subject.device,
            at_once=self.config.engine.prompts_per_batch,
            metrics=self.config.metrics,
        ):
            curves.append(measured.curve.cpu())
            top.append(measured.top_token.cpu())
            advance(measured.top_token.shape[0] * measured.top_token.shape[1])
        return {
            "curve": torch.cat(curves).movedim(1, 0).numpy(),
            "top_token": torch.cat(top).movedim(1, 0).numpy(),
            "path_length": (end - start).norm(dim=-1).numpy(),
        }


def open_context(config: RunConfig, previous: RunContext | None = None) -> RunContext:
    """Load what a configuration names, check that it fits together, and compute the real activations.

    Parameters
    ----------
    config
        The run's configuration.
    previous
        Another configuration's context. What both have in common, the model or even its activations, is taken from it.

    Returns
    -------
    RunContext
        That of `config`.

    Raises
    ------
    UsageError
        For what is missing or does not fit.
    """
    # first, as names are checked before anything slow happens
    kinds = registry.create_all(config.targets, has_sae=config.sae is not None)
    preflight.check(config)
    if previous is not None and previous.config.model != config.model:
        previous = None
    subject = load_subject(config.model, config.sites) if previous is None else previous.subject.at(config.sites)
    check_architecture(subject.bridge.original_model.config, length=config.prompts.length)
    prompts = load_prompts(config.prompts, vocabulary=int(subject.bridge.cfg.d_vocab))
    if config.samples > len(prompts.tokens):
        raise UsageError(
            f"{config.samples} samples asked for, prompt file {config.prompts.source} has {len(prompts.tokens)}"
        )
    sae = None
    if config.sae is not None:
        sae = load_sae(
            config.sae,
            d_model=subject.d_model,
            write_site=config.sites.write,
            blocks=subject.blocks,
            activations=lambda: subject.last_activations(prompts.tokens).cpu(),
        )
    forward = choose_forward(subject)
    check_packing(subject, forward, prompts.tokens)
    if config.engine.precision != "float32":  # its rounding is more than the check lets pass
        forward = choose_forward(subject, config.engine.precision)
    if previous is not None and _has_same_activations(previous.config, config):
        pool = previous.target_context.pool
    else:
        pool = Pool(subject.last_activations(prompts.tokens).cpu(), np.arange(len(prompts.tokens)))
    target_context = TargetContext(
        pool, config.targets, config.seed, None if sae is None else Dictionary.of(sae.sae, sae.frequency)
    )
    order = generator(config.seed, 0, "base prompts").permutation(len(prompts.tokens))
    return RunContext(
        config=config,
        subject=subject,
        sae=sae,
        prompts=prompts,
        base_row=order[: config.samples],
        target_context=target_context,
        kinds=kinds,
        forward=forward,
    )


def specification(run_context: RunContext) -> RunSpec:
    """The extent of the run's store.

    Parameters
    ----------
    run_context
        That of the run.

    Returns
    -------
    RunSpec
        Samples, types, steps, metrics, and how they are cut into chunks.
    """
    config = run_context.config
    types = tuple(kind.name for kind in run_context.kinds)
    specs = tuple(
        ExperimentSpec(name, types, settings.samples, settings.steps, settings.step_length)
        for name in config.experiments
        for settings in (config.experiment(name),)
    )
    return RunSpec(
        experiments=specs,
        samples=config.samples,
        positions=config.prompts.length,
        d_model=run_context.subject.d_model,
        samples_per_chunk=config.engine.samples_per_chunk,
        metrics=tuple(MetricSpec(name, names.METRICS[name].units) for name in config.metrics),
        mixed=mixed(run_context.kinds),
    )


def mixed(kinds: Sequence[ActivationType]) -> int:
    """Of how many prompts' activations one target is mixed, at most.

    Parameters
    ----------
    kinds
        The activation types of a run.

    Returns
    -------
    int
        0 when none of them mixes any.
    """
    return max((mixes(kind) for kind in kinds), default=0)


def attributes(run_context: RunContext) -> dict[str, str | int]:
    """What the run's store says of itself; nothing in it depends on when or how often the run was started.

    Parameters
    ----------
    run_context
        That of the run.

    Returns
    -------
    dict
        Attributes of the store's root. `config`, `identity`, `definitions` and `versions` are JSON.
    """
    config, subject, sae = run_context.config, run_context.subject, run_context.sae
    identity = {
        "model": subject.identity,
        "sae": None if sae is None else sae.identity,
        "prompts": run_context.prompts.identity,
        "activation_types": registry.identity(run_context.kinds),
        "write_site": subject.write.name,
        "read_site": subject.read.name,
        "processing": config.model.processing,
        "dtype": config.model.dtype,
        "device": str(subject.device),
    }
    return {
        "name": config.name,
        "config": config.model_dump_json(),
        "identity": json.dumps(identity),
        "definitions": json.dumps({kind.name: registry.definition(kind, config.targets) for kind in run_context.kinds}),
        "seed": config.seed,
        "versions": json.dumps(versions()),
        "commit": commit(),
    }


def prompt_values(run_context: RunContext) -> Values:
    """The values of `/prompts`: token ids and text of every base prompt.

    Parameters
    ----------
    run_context
        That of the run.

    Returns
    -------
    Values
        `token` (sample, position) in int32, and `text` (sample,).
    """
    tokens = run_context.prompts.tokens[torch.from_numpy(run_context.base_row)]
    return {
        "token": tokens.numpy().astype(np.int32),
        "text": np.array(run_context.subject.text(tokens), dtype=np.dtypes.StringDType()),
    }


def _has_same_activations(one: RunConfig, other: RunConfig) -> bool:
    return (one.model, one.sites.write, one.prompts) == (other.model, other.sites.write, other.prompts)
