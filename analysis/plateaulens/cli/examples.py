"""Examples that stand below each `--help`: by subcommand, a command line and what it is for."""

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("plateaulens collect --quick", "measure a little, in a minute or two"),
        ("plateaulens analyze --quick", "make statistics of it"),
        ("plateaulens report --quick --open", "and a page, in the browser"),
    ),
    "collect": (
        ("plateaulens collect", "the default run, which a stopped one goes on with"),
        ("plateaulens collect --quick", "40 prompts of one experiment, into data/runs/smollm2-quick.zarr"),
        (
            "plateaulens collect --preset gpt2 --samples 100 --experiments sensitivity,plateau",
            "another preset, less of it",
        ),
        (
            "plateaulens collect --preset gpu.toml --activations-of data/runs/smollm2.zarr --out gpu.zarr",
            "a run's own bases and targets on another device; see `differ`",
        ),
        ("plateaulens collect --preset my.toml --workers 4 --out runs/mine.zarr", "one's own, by four processes"),
    ),
    "analyze": (
        ("plateaulens analyze", "the default run, also one that is not complete"),
        ("plateaulens analyze --run runs/mine.zarr --out mine-summary.zarr", "any run"),
        ("plateaulens analyze --run runs/mine.zarr --preset my.toml", "the same with the preset's analysis settings"),
    ),
    "report": (
        ("plateaulens report --open", "page and PDF of the default run, the page in the browser"),
        ("plateaulens report --summary mine-summary.zarr --out pages --to html", "the page of any summary"),
        ("plateaulens report --preset gemma3-270m --beside data/summaries/smollm2.zarr", "two models side by side"),
    ),
    "show": (
        ("plateaulens show data/runs/smollm2.zarr", "how much of a run is there"),
        ("plateaulens show data/summaries/smollm2.zarr", "what its summary concludes"),
    ),
    "export": (
        ("plateaulens export data/summaries/smollm2.zarr", "CSV tables, results.json and report.md"),
        ("plateaulens export data/summaries/smollm2.zarr --to parquet --out tables", "tables for pandas or polars"),
        (
            "plateaulens export data/summaries/smollm2.zarr --to saebench",
            "its SAE on a scale, as SAEBench's results are",
        ),
    ),
    "compare-reference": (
        ("plateaulens compare-reference data/summaries/gpt2.zarr", "a replication beside the paper's numbers"),
        ("plateaulens compare-reference data/runs/gpt2.zarr --out beside.csv", "with sources, as a table"),
    ),
    "differ": (
        ("plateaulens differ data/runs/smollm2.zarr gpu.zarr", "how far the curves of two devices agree"),
        ("plateaulens differ data/runs/smollm2.zarr gpu.zarr --out curves.csv", "with the table in a file"),
    ),
    "train": (
        ("plateaulens train", "the prompts and the SAE that ship; takes hours"),
        ("plateaulens train --recipe my.toml --out mine", "those of one's own recipe"),
    ),
    "verify": (
        ("plateaulens verify data/runs/smollm2.zarr", "whether every file is as it was written"),
        ("plateaulens verify data/runs/smollm2.zarr --repair", "drop what is not; `collect` measures it again"),
    ),
    "plan": (
        ("plateaulens plan --summary data/summaries/smollm2.zarr --width 2", "prompts for an interval of two steps"),
        (
            "plateaulens plan --summary data/summaries/smollm2.zarr --power 0.9 --quantity ks --metric kl",
            "prompts to find a distance as large as the pilot's",
        ),
    ),
    "models": (
        ("plateaulens models", "which architectures can be measured, and how"),
        ("plateaulens models --cost embedded:smollm2", "how fast the ways are on a model"),
    ),
    "cache": (
        ("plateaulens cache", "what is kept, where, and how large it is"),
        ("plateaulens cache --clear", "remove it; the next run makes again what it needs"),
    ),
}


def as_text(examples: tuple[tuple[str, str], ...]) -> str:
    """The examples as they stand below the options, each with what it is for on the line before."""
    return "\n".join(["examples:", *(f"  # {what}\n  {line}" for line, what in examples)])
