"""What was measured and how, in the report's words and with the run's own constants."""

from plateaulens.config import AnalysisConfig, RunConfig, TargetConfig, VariantConfig
from plateaulens.names import label, metric_label
from plateaulens.report.text import escape, listing, number, percent

_PROCESSING = {"none": "its weights as published", "folded": "LayerNorm folded in and its writing weights centred"}


def recipe(activation_type: str, targets: TargetConfig) -> str:
    """How the target T of a type is made from a base A; types that a user has registered say no more than that.

    >>> recipe("real", TargetConfig(types=("real",)))
    "another prompt's activation, drawn uniformly"
    """
    if activation_type in targets.variants:
        return _variant(targets.variants[activation_type])
    recipes = {
        "real": "another prompt's activation, drawn uniformly",
        "real_control": "a second draw like real, independent of it",
        "real_mixture": "A moved by the difference of two other prompts' activations",
        "covariance_mixture": "A moved by the difference of two Gaussian draws like random",
        "random": "Gaussian, with the mean and covariance of the real activations",
        "isotropic": "Gaussian, with their mean and total variance, the same in every direction",
        "reconstruction": "the real target as the SAE sees it, decode(encode(T))",
        "bag": "each active latent of A replaced by a live latent drawn uniformly",
        "baseline": f"each active latent of A replaced by one of the {targets.baseline_pool} nearest in firing "
        "frequency",
        "structured": f"the strongest latent of A replaced by one at a cosine of {targets.anchor_cosine:g}, "
        "the others so that cosines to it are kept",
        "single_latent": "one live latent drawn uniformly, as strong as a real code on average",
    }
    return recipes.get(activation_type, "registered by the user")


def _variant(variant: VariantConfig) -> str:
    changes = [f"{name.replace('_', ' ')} {value:g}" for name, value in variant.constants.items()]
    if variant.dictionary != "trained":
        changes.append(f"{variant.dictionary} decoder directions")
    if variant.add_error:
        changes.append("the SAE error of A added")
    return f"as {label(variant.type)}, " + (listing(changes) if changes else "drawn again")


def synthetic(targets: TargetConfig) -> str:
    """What the recipes of the run's synthetic types have in common, and the part of one that no table has room for."""
    sentences = []
    if {"bag", "baseline", "structured"} & set(targets.types):
        sentences.append(
            "For a synthetic target the base A is encoded by the sparse autoencoder (SAE), its active latents are "
            "replaced by others at the same activations, and the code is decoded."
        )
    if "structured" in targets.types:
        sentences.append(
            f"For {label('structured')}, the strongest latent is replaced by that one of the {targets.anchor_pool} "
            "latents nearest in firing frequency whose decoder cosine to it is nearest "
            f"{targets.anchor_cosine:g}; every other latent by the unused one whose cosine to this replacement is "
            "nearest to its own cosine to the strongest."
        )
    return " ".join(sentences) or "This run has no synthetic types."


def subject(config: RunConfig) -> str:
    """The model, the prompts, the sites and the SAE of a run, as Markdown."""
    sae = f"the SAE is {escape(config.sae.source)}" if config.sae else "there is no SAE"
    return (
        f"the model {escape(config.model.source)}, {_PROCESSING[config.model.processing]}, on prompts of "
        f"{config.prompts.length} tokens ({escape(config.prompts.source)}). The write site is "
        f"{escape(config.sites.write)}, the read site {escape(config.sites.read)}, and {sae}."
    )


def thresholds(settings: AnalysisConfig) -> dict[str, str]:
    """The constants of the step statistics as the report writes them, by name."""
    minimum = [f"{slope:g} on {metric_label(metric)}" for metric, slope in settings.minimum_slope.items()]
    plateau = [f"{value:g} on {metric_label(metric)}" for metric, value in settings.plateau_threshold.items()]
    return {
        "nonlinearity": percent(settings.nonlinearity_tolerance),
        "minimum_slope": listing(minimum),
        "plateau": listing(plateau) if plateau else "no value",
    }


def resampling(settings: AnalysisConfig) -> str:
    """How often was resampled, at which confidence."""
    return f"{number(settings.resamples, 0)} resamples, confidence {percent(settings.confidence)}"


def margin(settings: AnalysisConfig) -> str:
    """The margin of equivalence as a KS distance."""
    return f"{settings.equivalence_margin:g}"


def level(settings: AnalysisConfig) -> str:
    """The level of the tests."""
    return percent(1 - settings.confidence)
