"""What a run needs, loaded once: model, SAE, prompts and targets, and the blocks of values that come of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.provenance import commit, versions
from plateaulens.scan import paths
from plateaulens.scan.direct import choose_forward
from plateaulens.scan.engine import Forward
from plateaulens.scan.packing import check_packing
from plateaulens.scan.walk import walk
from plateaulens.store.schema import ExperimentSpec, RunSpec
from plateaulens.subject import preflight
from plateaulens.subject.families import check_family
from plateaulens.subject.model import Subject, load_subject
from plateaulens.subject.prompts import Prompts, load_prompts
from plateaulens.subject.sae import LoadedSae, load_sae
from plateaulens.targets import registry
from plateaulens.targets.base import ActivationType, Pool, TargetContext, draw
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.randomness import generator

NO_SAE = -1
"""Stored number of active latents when there is no SAE to count them."""

Values = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class Laboratory:
    """Everything that a block of work needs: loaded once, never changed."""

    config: RunConfig
    subject: Subject
    sae: LoadedSae | None
    prompts: Prompts
    base_row: NDArray[np.int64]
    """Row of the prompt file of each sample."""
    context: TargetContext
    kinds: tuple[ActivationType, ...]
    forward: Forward

    def activations(self, samples: slice) -> Values:
        """The block of `/activations` for a range of samples: bases, and one target of each type."""
        rows = self.base_row[samples]
        pool = self.context.pool.activation
        numbers = range(samples.start, samples.stop)
        bases = self.context.bases(pool[torch.from_numpy(rows)], numbers, rows.tolist())
        targets = [draw(kind, bases, self.context) for kind in self.kinds]
        active = [NO_SAE if base.encoded is None else len(base.encoded) for base in bases]
        return {
            "base": torch.stack([base.activation for base in bases]).cpu().numpy(),
            "target": torch.stack([target.activation for target in targets]).cpu().numpy(),
            "source_row": np.stack([target.source_row for target in targets]),
            "active_latents": np.array(active, dtype=np.int32),
        }

    def curves(self, experiment: str, samples: slice, stored: Values, report: Callable[[int], object]) -> Values:
        """The block of an experiment for a range of samples, from what `/activations` holds of them.

        `report` is told how many paths have been walked each time some have.
        """
        settings = self.config.experiment(experiment)
        base, target = torch.from_numpy(stored["base"]), torch.from_numpy(stored["target"])
        if experiment == "plateau":
            start, end = target, self._directions(samples).expand_as(target)
        else:
            origin = self._reconstructions(base) if experiment == "sensitivity_reconstructed" else base
            start, end = origin.expand_as(target), target
        tokens = self.prompts.tokens[torch.from_numpy(self.base_row[samples])]

        def make_path(starts: Tensor, ends: Tensor) -> Tensor:
            if settings.step_length is None:
                return paths.relative(starts, ends, settings.steps)
            return paths.fixed(starts, ends, settings.steps, settings.step_length)

        curves, top = [], []
        for measured in walk(
            self.forward,
            tokens,
            start.movedim(1, 0),
            end.movedim(1, 0),
            make_path,
            device=self.subject.device,
            at_once=self.config.engine.prompts_per_batch,
        ):
            curves.append(measured.curve.cpu())
            top.append(measured.top_token.cpu())
            report(measured.top_token.shape[0] * measured.top_token.shape[1])
        return {
            "curve": torch.cat(curves).movedim(1, 0).numpy(),
            "top_token": torch.cat(top).movedim(1, 0).numpy(),
            "path_length": (end - start).norm(dim=-1).numpy(),
        }

    def _reconstructions(self, base: Float[Tensor, "sample d_model"]) -> Float[Tensor, "sample d_model"]:
        """SAE(A) for each base A."""
        sae = self.context.sae
        return torch.stack([sae.decode(sae.encode(activation)) for activation in base])

    def _directions(self, samples: slice) -> Float[Tensor, "sample d_model"]:
        """A fresh Gaussian activation per sample, towards which all its plateau bases are moved."""
        gaussian, context = self.context.gaussian, self.context
        draws = [
            gaussian.draw(context.generator(sample, "plateau direction"))
            for sample in range(samples.start, samples.stop)
        ]
        return torch.stack(draws).float()


def open_laboratory(config: RunConfig, previous: Laboratory | None = None) -> Laboratory:
    """Load what a configuration names and compute the real activations. Raises `UsageError` for what does not fit.

    What another configuration's laboratory has of it, the model or even its activations, is taken from `previous`.
    """
    # first, as names are checked before anything slow happens
    kinds = registry.create_all(config.targets, has_sae=config.sae is not None)
    preflight.check(config)
    if previous is not None and previous.config.model != config.model:
        previous = None
    subject = load_subject(config.model, config.sites) if previous is None else previous.subject.at(config.sites)
    check_family(subject.bridge.original_model.config, length=config.prompts.length)
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
        pool = previous.context.pool
    else:
        pool = Pool(subject.last_activations(prompts.tokens).cpu(), np.arange(len(prompts.tokens)))
    context = TargetContext(
        pool, config.targets, config.seed, None if sae is None else Dictionary.of(sae.sae, sae.frequency)
    )
    order = generator(config.seed, 0, "base prompts").permutation(len(prompts.tokens))
    return Laboratory(
        config=config,
        subject=subject,
        sae=sae,
        prompts=prompts,
        base_row=order[: config.samples],
        context=context,
        kinds=kinds,
        forward=forward,
    )


def _has_same_activations(one: RunConfig, other: RunConfig) -> bool:
    return (one.model, one.sites.write, one.prompts) == (other.model, other.sites.write, other.prompts)


def specification(laboratory: Laboratory) -> RunSpec:
    """The extent of the run's store."""
    config = laboratory.config
    types = tuple(kind.name for kind in laboratory.kinds)
    experiments = tuple(
        ExperimentSpec(name, types, settings.samples, settings.steps, settings.step_length)
        for name in config.experiments
        for settings in (config.experiment(name),)
    )
    return RunSpec(
        experiments=experiments,
        samples=config.samples,
        positions=config.prompts.length,
        d_model=laboratory.subject.d_model,
        samples_per_chunk=config.engine.samples_per_chunk,
    )


def attributes(laboratory: Laboratory) -> dict[str, str | int]:
    """What the run's store says of itself; nothing in it depends on when or how often the run was started."""
    config, subject, sae = laboratory.config, laboratory.subject, laboratory.sae
    identity = {
        "model": subject.identity,
        "sae": None if sae is None else sae.identity,
        "prompts": laboratory.prompts.identity,
        "activation_types": registry.identity(laboratory.kinds),
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
        "seed": config.seed,
        "versions": json.dumps(versions()),
        "commit": commit(),
    }


def prompt_values(laboratory: Laboratory) -> Values:
    """The block of `/prompts`: token ids and text of every base prompt."""
    tokens = laboratory.prompts.tokens[torch.from_numpy(laboratory.base_row)]
    return {
        "token": tokens.numpy().astype(np.int32),
        "text": np.array(laboratory.subject.text(tokens), dtype=np.dtypes.StringDType()),
    }
