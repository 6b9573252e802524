"""What a run needs, opened once (model, SAE, prompts, targets), and what comes of it: the values of its store."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plateaulens import names
from plateaulens.collect import experiments
from plateaulens.collect.ahead import Copy
from plateaulens.collect.chosen import chosen
from plateaulens.collect.footprint import check_memory, needs
from plateaulens.collect.pool import MOST_FITTED, corpus, fitted_to, real_activations
from plateaulens.collect.taken import Taken
from plateaulens.config import RunConfig, SaeConfig
from plateaulens.errors import UsageError
from plateaulens.provenance import commit, versions
from plateaulens.scan.choice import choose
from plateaulens.scan.engine import Forward, Telling
from plateaulens.scan.split import Precision, has_kernels
from plateaulens.scan.walk import prompts_per_batch, walk
from plateaulens.store.identity import LEARNED, Attributes
from plateaulens.store.sae_settings import KEY
from plateaulens.store.schema import ExperimentSpec, MetricSpec, RunSpec
from plateaulens.store.spans import Values
from plateaulens.subject import preflight
from plateaulens.subject.architectures import check_architecture
from plateaulens.subject.datasets import DEFAULT_SEQUENCES
from plateaulens.subject.model import Subject, load_subject
from plateaulens.subject.prompts import Prompts, load_prompts
from plateaulens.subject.sae import LoadedSae, load_sae
from plateaulens.subject.sites import Site
from plateaulens.subject.weights import empty_model, loading
from plateaulens.targets import registry
from plateaulens.targets.base import SYNTHETIC, ActivationType, Base, Pool, TargetContext, learns, mixes
from plateaulens.targets.dictionary import Dictionary
from plateaulens.targets.drawing import draw
from plateaulens.targets.files import FileType
from plateaulens.targets.fitting import Corpus, Fitting, SaeError
from plateaulens.targets.randomness import generator
from plateaulens.targets.registry import Variant

NO_SAE = -1
"""Stored number of active latents when there is no SAE to count them."""


NO_KERNELS = (
    "the GPU's kernels do not run here, and PyTorch's operations stand in: they need Triton, a C compiler and a card "
    "with TF32"
)
_FURTHER = "curve at further site "
"""Begins names among batches' values."""


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
    loaded: Subject
    """The model as it was loaded; `subject` may have lost the bridge at its own sites."""
    way: str
    """How points go through the model, one of `plateaulens.names.WAYS`."""
    precision: Precision
    """What the linear layers of the blocks multiply in."""
    notes: tuple[str, ...]
    """What somebody who starts the run wants to know of it, a sentence each."""
    taken: Taken | None = None
    """Another run's bases and targets, where they are walked."""
    _at_once: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    """Prompts in a batch, by experiment."""
    _token_text: dict[int, str] = field(default_factory=dict, init=False, repr=False)
    """Of the tokens that have been likely so far: mostly the same ones are."""

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
            sample), `active_latents` (sample,), which is `NO_SAE` in a run without an SAE, where types mix real
            activations `mixed_row` (activation_type, sample, mixed), in a run with an SAE `target_latents` and
            `target_error` (activation_type, sample), and where types are fitted `fit_distance` (activation_type,
            sample).
        """
        values = self._made(span) if self.taken is None else dict(self.taken.values(span))
        if self.target_context.dictionary is not None and "target_latents" not in values:
            targets = torch.from_numpy(values["target"])
            samples = range(span.start, span.stop)
            seen = [self.target_context.dictionary.residue(own, samples) for own in targets]
            values |= {"target_latents": np.stack([own.latents for own in seen])}
            values |= {"target_error": np.stack([own.error for own in seen])}
        if self.target_context.fitting is not None and "fit_distance" not in values:
            fitted_to = self.target_context.fitting.corpus
            targets = torch.from_numpy(values["target"])
            values["fit_distance"] = fitted_to.distance(targets.flatten(0, 1)).reshape(targets.shape[:2])
        return values

    def _made(self, span: slice) -> dict[str, NDArray[np.generic]]:
        rows = self.base_row[span]
        samples = range(span.start, span.stop)
        bases = self.target_context.bases(self.target_context.pool.at(rows), samples, rows.tolist())
        drawn = [draw(kind, bases, self.target_context) for kind in self.kinds]
        active = [NO_SAE if base.encoded is None else len(base.encoded) for base in bases]
        values: dict[str, NDArray[np.generic]] = {
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

    def curves(
        self, experiment: str, span: slice, stored: Values, advance: Callable[[int], object], likely: int = 0
    ) -> Callable[[], tuple[Values, ...]]:
        """Measure an experiment for a span, from what `/activations` holds of the same samples.

        A GPU has been given all of its work when this returns, and may not have done the last batch of it.

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
        likely
            How many of each point's most likely next tokens are wanted.

        Returns
        -------
        Callable
            Waits for what is under way, in any thread, and gives the values at each read site of `forward`, mostly
            one: `curve` (activation_type, sample, step, metric), `top_token` (activation_type, sample, step), and
            `path_length` (activation_type, sample): from each path's start to where it leads, in units of the residual
            stream. Where likely tokens are wanted also `likely_token`, `likely_text` and `likely_probability`
            (activation_type, sample, step, rank).
        """
        base, target = torch.from_numpy(stored["base"]), torch.from_numpy(stored["target"])
        samples = range(span.start, span.stop)
        start, end = experiments.find(experiment).ends(base, target, samples, self.target_context)
        tokens = self.prompts.tokens[torch.from_numpy(self.base_row[span])]
        walked = partial(
            walk,
            Telling(self.forward, likely) if likely else self.forward,
            make_path=experiments.path_maker(experiment, self.config.experiment(experiment)),
            device=self.subject.device,
            metrics=self.config.metrics,
        )
        by_prompt = (tokens, start.movedim(1, 0), end.movedim(1, 0))
        if experiment not in self._at_once:  # `auto` is seen once: the device would stand still for it at each span
            self._at_once[experiment] = prompts_per_batch(
                self.config.engine.prompts_per_batch,
                self.subject.device,
                lambda: list(walked(*(part[:1] for part in by_prompt), at_once=1)),
            )
        copies: list[Copy] = []
        told = 0

        def wait(upto: int) -> None:
            nonlocal told
            for copy in copies[told:upto]:
                tokens = copy.wait()["top_token"]
                advance(tokens.shape[0] * tokens.shape[1])
            told = max(told, upto)

        for measured in walked(*by_prompt, at_once=self._at_once[experiment]):
            found = {"curve": measured.curve, "top_token": measured.top_token}
            if measured.likely is not None:
                found |= {"likely_token": measured.likely.token, "likely_probability": measured.likely.probability}
            found |= {f"{_FURTHER}{number}": curve for number, curve in enumerate(measured.further)}
            copies.append(Copy(found))
            wait(len(copies) - (not copies[-1].is_here))  # for the batch before, while the device is at this one

        def finish() -> tuple[Values, ...]:
            wait(len(copies))
            batches = [copy.wait() for copy in copies]
            together = {name: torch.cat([batch[name] for batch in batches]).movedim(1, 0) for name in batches[0]}
            values = {name: found.numpy() for name, found in together.items()}
            if likely:
                values["likely_text"] = self._texts(together["likely_token"])
            values["path_length"] = (end - start).norm(dim=-1).numpy()
            curves = [values.pop(name) for name in list(values) if name.startswith(_FURTHER)]
            return values, *({**values, "curve": curve} for curve in curves)

        return finish

    def _texts(self, tokens: Tensor) -> NDArray[np.generic]:
        """What each token is by itself, in the shape of `tokens`."""
        distinct, where = tokens.unique(return_inverse=True)
        new = [token for token in distinct.tolist() if token not in self._token_text]
        self._token_text.update(zip(new, self.subject.text(torch.tensor(new)[:, None]), strict=True))
        texts: NDArray[Any] = np.array(
            [self._token_text[token] for token in distinct.tolist()], dtype=np.dtypes.StringDType()
        )
        return np.asarray(texts[where.numpy()])


def open_context(config: RunConfig, previous: RunContext | None = None) -> RunContext:
    """Load what a configuration names, check that it fits together, and compute the real activations.

    Parameters
    ----------
    config
        The run's configuration.
    previous
        Another configuration's context. What both have in common is taken from it: the model, its activations, or all
        that targets are made from, with what types are fitted to and have learned.

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
    known = preflight.check(config)
    memory = empty = None
    if known is not None:
        with loading(config.model.source):
            empty = empty_model(known)
        memory = needs(config, empty, prompts=config.prompts.sequences or DEFAULT_SEQUENCES)
        check_memory(memory, config)
    if previous is not None and previous.config.model != config.model:
        previous = None
    loaded = load_subject(config.model, config.sites) if previous is None else previous.loaded.at(config.sites)
    subject = replace(loaded, position=config.prompts.position)
    check_architecture(subject.config, length=config.prompts.length)
    prompts = load_prompts(config.prompts, vocabulary=subject.vocabulary, tokenizer=subject.tokenizer)
    if config.samples > len(prompts.tokens):
        raise UsageError(
            f"{config.samples} samples asked for, prompt file {config.prompts.source} has {len(prompts.tokens)}"
        )

    def find_sae(subject: Subject) -> LoadedSae | None:
        return None if config.sae is None else sae_for(config.sae, subject, prompts)

    order = base_rows(config.seed, len(prompts.tokens))
    fitted = any(learns(kind) is not None for kind in kinds)
    judged, set_aside = np.split(order, [len(order) // 2]) if fitted else (order, order[:0])
    if config.samples > len(judged):
        raise UsageError(
            f"{config.samples} samples asked for, and types are fitted to half of the {len(order)} prompts: ask for at "
            f"most {len(judged)}, or supply more prompts"
        )

    rows = np.sort(judged)
    longest = prompts.tokens if prompts.longer is None else prompts.longer
    most = max(config.prompts.length, min(MOST_FITTED, subject.positions))
    aside = longest[torch.from_numpy(np.sort(set_aside)), :most]

    alike = previous if previous is not None and _has_same_activations(previous.config, config) else None
    known_corpus = None
    if alike is not None and alike.target_context.fitting is not None and alike.config.seed == config.seed:
        # the finder of a corpus outlives this call, and is not to keep `previous` alive
        known_corpus = alike.target_context.fitting.corpus
    if fitted and empty is not None:  # what types are fitted to is known now that there are prompts
        errors = any(SaeError in (learns(kind) or ()) for kind in kinds)
        counted = partial(needs, config, empty, fitted_to=fitted_to(*aside.shape), errors=errors)
        memory = counted(prompts=len(prompts.tokens))
        if known_corpus is None:
            check_memory(counted(prompts=len(prompts.tokens), loaded=True), config, loaded=True)

    def find_pool(subject: Subject) -> Pool:
        if alike is not None:
            known = alike.target_context.pool
            if np.array_equal(known.row, rows):
                return known
        found = real_activations(subject, config.model, prompts.tokens)
        own = prompts.tokens[torch.from_numpy(rows), config.prompts.position].numpy()
        return Pool(found[torch.from_numpy(rows)] if fitted else found, rows, own)

    def find_corpus(subject: Subject) -> Corpus:
        if known_corpus is not None:
            return known_corpus
        return corpus(subject, config.model, aside)

    context = assemble(
        config,
        kinds,
        subject,
        prompts,
        base_row=judged[: config.samples],
        find_sae=find_sae,
        find_pool=find_pool,
        find_corpus=find_corpus if fitted else None,
        like=alike if alike is not None and _has_same_targets(alike.config, config) else None,
        from_files=True,
    )
    if config.targets.of_run is not None:
        note = f"bases and targets: those of {config.targets.of_run}"
        context = replace(context, taken=_taken(context), notes=(*context.notes, note))
    return context if memory is None else replace(context, notes=(str(memory), *context.notes))


def _taken(context: RunContext) -> Taken:
    """The activations of the run that the configuration names; raises `UsageError` when they are not this run's."""
    found = Taken.open(
        context.config,
        _identity(context),
        context.prompts.tokens[torch.from_numpy(context.base_row)].numpy(),
        width=context.subject.width,
        mixed=mixed(context.kinds),
    )
    found.check_bases(context.target_context.pool.at(context.base_row).float().numpy())
    return found


def assemble(
    config: RunConfig,
    kinds: tuple[ActivationType, ...],
    subject: Subject,
    prompts: Prompts,
    *,
    base_row: NDArray[np.int64],
    find_sae: Callable[[Subject], LoadedSae | None],
    find_pool: Callable[[Subject], Pool],
    find_corpus: Callable[[Subject], Corpus] | None = None,
    like: RunContext | None = None,
    from_files: bool = False,
) -> RunContext:
    """The context of a run whose parts are there: how its model is run is decided, and what depends on that is made.

    Parameters
    ----------
    config
        The run's configuration.
    kinds
        Its activation types.
    subject
        Its model, at its sites and its position.
    prompts
        Its prompts.
    base_row
        The row among them of each sample, shaped (sample,).
    find_sae, find_pool
        Give the SAE and the real activations, told the model as it will be run.
    find_corpus
        Gives the real activations that types are fitted to; None where none is fitted.
    like
        A run whose SAE, real activations and targets this one has: nothing of them is found anew.
    from_files
        Whether the model is what its files say, so that how it is run may come from the cache. One that was handed over
        may have been changed.

    Returns
    -------
    RunContext
        With notes on how the model is run, on the prompts and on the SAE.

    Raises
    ------
    UsageError
        When prompts have no token at the position, and as `plateaulens.scan.choice.choose` and the two makers do.
    """
    length = prompts.tokens.shape[1]
    if not -length <= config.prompts.position < length:
        raise UsageError(f"prompts.position is {config.prompts.position}, and prompts have {length} tokens")
    _check_reach(subject, length)
    for kind in kinds:
        if isinstance(kind, FileType):
            kind.check(subject.width, samples=config.samples, prompts=len(prompts.tokens))
    choice = (partial(chosen, model=config.model) if from_files else choose)(
        subject,
        tokens=prompts.tokens,
        points=max(len(kinds) * config.experiment(name).steps for name in config.experiments),
        precision=config.engine.precision,
        way=None if config.engine.way == "auto" else config.engine.way,
    )
    if like is not None:
        sae, target_context = like.sae, like.target_context
    else:
        sae = find_sae(choice.subject)
        dictionary = None if sae is None else Dictionary.of(sae.sae, sae.frequency)
        fitting = None
        if find_corpus is not None:
            fitting = Fitting(partial(find_corpus, choice.subject), dictionary, config.seed)
        target_context = TargetContext(find_pool(choice.subject), config.targets, config.seed, dictionary, fitting)
    return RunContext(
        config=config,
        subject=choice.subject,
        sae=sae,
        prompts=prompts,
        base_row=base_row,
        target_context=target_context,
        kinds=kinds,
        forward=choice.forward,
        loaded=subject,
        way=choice.way,
        precision=choice.precision,
        notes=(
            f"way of running: {choice.way} ({names.WAYS[choice.way]})",
            *([] if choice.precision == "float32" else [f"precision of products: {choice.precision}"]),
            *([NO_KERNELS] if subject.device.type == "cuda" and not has_kernels(subject.device) else []),
            *([f"why not a quicker one: {choice.why}"] if choice.why else []),
            *([f"held at what the unperturbed prompt has: {', '.join(config.sites.frozen)}"] if subject.frozen else []),
            *prompts.notes,
            *(() if sae is None else sae.notes),
        ),
    )


def _check_reach(subject: Subject, length: int) -> None:
    """Refuse sites between which nothing carries an effect, as to the end of the prompt from an earlier token."""
    write, read = subject.write, subject.read
    parts = {site.order: site.name for site in subject.frozen}
    if read.order in parts:
        raise UsageError(f"sites: what is read at {read.name} is held; read elsewhere, or hold fewer parts")
    if write.place == "z" and (through := parts.get(Site("", write.block, "attn_out").order)):
        raise UsageError(
            f"sites: what is written at {write.name} goes through {through} alone, which is held; write elsewhere, or "
            "hold fewer parts"
        )
    # attention alone does, and the first that does is that of the block after the write site
    first = write.boundary if write.is_between_blocks else write.block + 1
    held = {site.block for site in subject.frozen if site.place == "attn_out"}
    last = read.block + 1 if read.is_within_block else read.boundary
    carrying = set(range(first, last)) - (held - {read.block} if read.place == "z" else held)
    if range(length)[subject.position] != length - 1 and not carrying:
        raise UsageError(
            f"sites: what is written at {write.name} does not reach the end of the prompt before {read.name}; read "
            f"later, {'hold fewer parts, ' if held else ''}or write earlier"
        )


def sae_for(settings: SaeConfig, subject: Subject, prompts: Prompts) -> LoadedSae:
    """The SAE that is named, for a model at its write site; what has to be measured is measured on the prompts.

    Parameters
    ----------
    settings
        Which SAE.
    subject
        The model, as it will be run.
    prompts
        The run's.

    Returns
    -------
    LoadedSae
        As `plateaulens.subject.sae.load_sae` gives it.
    """
    return load_sae(
        settings,
        width=subject.width,
        write_site=subject.write.name,
        blocks=subject.blocks,
        activations=lambda: subject.last_activations(prompts.tokens).cpu(),
    )


def base_rows(seed: int, prompts: int) -> NDArray[np.int64]:
    """The order in which prompts become base prompts.

    Parameters
    ----------
    seed
        The run's.
    prompts
        How many there are.

    Returns
    -------
    NDArray
        Rows of the prompts, each once, shaped (prompt,): a run has the first of them, as many as it has samples.
    """
    return generator(seed, 0, "base prompts").permutation(prompts)


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
        d_model=run_context.subject.width,
        samples_per_chunk=config.engine.samples_per_chunk,
        metrics=tuple(MetricSpec(name, names.METRICS[name].units) for name in config.metrics),
        mixed=mixed(run_context.kinds),
        encoded=run_context.sae is not None,
        fitted=run_context.target_context.fitting is not None,
        likely=min(config.likely_tokens, run_context.subject.vocabulary),
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
    config = run_context.config
    identity = _identity(run_context)
    if run_context.taken is not None:
        identity["activations_of"] = run_context.taken.identity
    return {
        "name": config.name,
        "config": config.model_dump_json(),
        "identity": json.dumps(identity),
        "definitions": json.dumps({kind.name: registry.definition(kind, config.targets) for kind in run_context.kinds}),
        "seed": config.seed,
        "versions": json.dumps(versions()),
        "commit": commit(),
    }


@dataclass(frozen=True)
class Description:
    """What a run's store is made from."""

    spec: RunSpec
    attributes: Attributes
    prompts: Values
    notes: tuple[str, ...]
    """See `RunContext`."""


def description(run_context: RunContext) -> Description:
    """Everything about a run that only its model and its prompts can tell.

    Parameters
    ----------
    run_context
        That of the run.

    Returns
    -------
    Description
        `specification`, `attributes` and `prompt_values`.
    """
    return Description(
        specification(run_context), attributes(run_context), prompt_values(run_context), run_context.notes
    )


def _identity(run_context: RunContext) -> dict[str, Any]:
    config, subject, sae = run_context.config, run_context.subject, run_context.sae
    fitting = run_context.target_context.fitting
    learned = [what for kind in run_context.kinds for what in learns(kind) or ()]
    own = _own_tokens(run_context)
    return {
        **({} if fitting is None else {LEARNED: fitting.identity(dict.fromkeys(learned))}),
        **({"own_token": own} if own else {}),
        "model": subject.identity,
        "sae": None if sae is None else {**sae.identity, KEY: sae.settings},
        "prompts": run_context.prompts.identity,
        "activation_types": registry.identity(run_context.kinds),
        "write_site": subject.write.name,
        "read_site": subject.read.name,
        "processing": config.model.processing,
        "dtype": config.model.dtype,
        "device": str(subject.device),
        "way": run_context.way,
        "precision": run_context.precision,
    }


def _own_tokens(run_context: RunContext) -> dict[str, int]:
    """Of how many base prompts each variant that is to keep the token does so; it has no other choice for the rest."""
    kinds = [kind for kind in run_context.kinds if isinstance(kind, Variant) and kind.settings.own_token]
    if not kinds:
        return {}
    context, rows = run_context.target_context, run_context.base_row.tolist()
    activations = context.pool.at(run_context.base_row)
    bases = [
        Base(activation, sample, row, token=context.pool.token_of(row))
        for sample, (activation, row) in enumerate(zip(activations, rows, strict=True))
    ]
    return {kind.name: sum(kind.has_own_token(base, context) for base in bases) for kind in kinds}


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
    # whether they come through the bridge is seen at the write site, wherever is read and however paths are run
    return (one.model, one.sites.write, one.prompts) == (other.model, other.sites.write, other.prompts)


def _has_same_targets(one: RunConfig, other: RunConfig) -> bool:
    """Whether two configurations with the same activations differ in nothing else that targets are made from."""
    return (one.sae, one.seed, one.targets) == (other.sae, other.seed, other.targets)
