"""The section of a run that also started at the reconstructed base."""

import xarray as xr
from IPython.display import Markdown

from plateaulens.report.contents import experiment_of
from plateaulens.report.result_captions import verdict_table as caption
from plateaulens.report.text import markdown
from plateaulens.report.verdict_tables import verdict_table
from plateaulens.report.verdicts import claim_sentences, control_sentence, verdict_sentences

NAME = "sensitivity_reconstructed"
INTRODUCTION = (
    "These paths start at the base as the SAE sees it, decode(encode(A)), so that base and synthetic targets both lack "
    "the SAE's error."
)


def section(summary: xr.DataTree) -> Markdown:
    """The section, with its heading; nothing when the run does not have the experiment."""
    experiment = experiment_of(summary, NAME)
    text = "" if experiment is None else _text(experiment)
    return Markdown(text)  # type: ignore[no-untyped-call]


def _text(experiment: xr.Dataset) -> str:
    return "\n\n".join(
        [
            "## Relative steps from the reconstruction {#sec-reconstructed}",
            INTRODUCTION,
            verdict_sentences(experiment),
            control_sentence(experiment),
            claim_sentences(experiment),
            f"::: {{#tbl-reconstructed}}\n\n{markdown(verdict_table(experiment))}\n\n{caption(experiment)}\n\n:::",
        ]
    )
