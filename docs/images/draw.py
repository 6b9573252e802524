"""Draw the README's picture from the summary of the default run."""

from pathlib import Path

from plateaulens import figures, open_summary

summary = open_summary("data/summaries/smollm2.zarr")
figure = figures.max_slope_cdf(summary["sensitivity"].to_dataset())
figure.savefig(Path(__file__).with_name("max-slope-cdf.png"), dpi=160, bbox_inches="tight", metadata={"Software": None})
