"""The bench's figures as Markdown tables, on the screen and in the documentation alike."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from plateaulens.errors import UsageError
from plateaulens.marks import fill

Result = Mapping[str, Any]

GROWTH_NAMES = {"samples": "samples", "types": "types", "steps": "steps", "length": "prompt length"}


def tables(result: Result) -> dict[str, str]:
    """Every table that a result has figures for.

    Parameters
    ----------
    result
        What `bench.run.bench` gave, or the JSON of it.

    Returns
    -------
    dict of name to table
        In Markdown.
    """
    made = {"settings": _settings(result), "ways": _ways(result), "sweeps": _sweeps(result)}
    if "growth" in result:
        made |= {"growth": _growth(result), "precision": _precision(result), "memory": _memory(result)}
    return made


def gpu_tables(result: Result) -> dict[str, str]:
    """The tables of a GPU.

    Parameters
    ----------
    result
        What `bench.gpu.bench_gpu` gave, or the JSON of it.

    Returns
    -------
    dict of name to table
        In Markdown: `gpu`, `gpu_batches`, `gpu_large` and `gpu_whole`.
    """
    makers = {"gpu": _gpu, "gpu_batches": _gpu_batches, "gpu_large": _gpu_large, "gpu_whole": _gpu_whole}
    return {name: make(result) for name, make in makers.items()}


def insert(document: str, made: Mapping[str, str]) -> str:
    """The document with each table between its marks, `<!-- bench:NAME -->` and `<!-- bench -->`.

    Parameters
    ----------
    document
        In Markdown.
    made
        The tables by name.

    Returns
    -------
    str
        The document with the tables.

    Raises
    ------
    UsageError
        When the document has a place for a table that was not made, but for those of a GPU when the others were, and
        the other way round.

    Examples
    --------
    >>> print(insert("<!-- bench:x -->old<!-- bench -->", {"x": "new"}).replace(chr(10), "|"))
    <!-- bench:x -->||new||<!-- bench -->
    """
    for name in re.findall(r"<!-- bench:(\w+) -->", document):
        if name in made:
            document = fill(document, f"<!-- bench:{name} -->", "<!-- bench -->", made[name])
        elif name.startswith("gpu") == next(iter(made)).startswith("gpu"):
            raise UsageError(f"the document has a place for the table {name!r}: run the whole bench to fill it")
    return document


def _table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    text = [[str(cell) for cell in row] for row in rows]
    return tabulate(text, headers, tablefmt="github", disable_numparse=True, colalign=("left",) * len(headers))


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _settings(result: Result) -> str:
    settings, machine = result["settings"], result["machine"]
    size, precision = settings["size"], settings["precision"]
    rows = [
        ("model", settings["model"]),
        ("write site", f"blocks.{settings['write']}.hook_resid_pre"),
        ("work", _size(size)),
        ("work of the comparison of precisions", _size(precision)),
        ("rounds", settings["rounds"]),
        ("device", f"{machine['device']}, {machine['threads']} threads, {machine['vector_instructions']}"),
        ("PyTorch", machine["torch"]),
    ]
    return _table(rows, ("what", "value"))


def _size(size: Mapping[str, int]) -> str:
    return "{samples} samples x {types} types x {steps} steps, prompts of {length} tokens".format(**size)


def _ways(result: Result) -> str:
    seconds, floor, faster = result["seconds"], result["floor"], result["times_as_fast_as"]
    agreement = result.get("agreement", {})
    rows = [
        ("floor", _seconds(floor["seconds"]), f"{result['share_of_floor']:.2f}", "100%", ""),
        ("engine", _seconds(seconds["engine"]), "1", f"{result['share_of_floor']:.0%}", ""),
    ]
    rows += [
        (
            name,
            _seconds(seconds[name]),
            f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}",
            f"{result['share_of_floor'] / ratio:.0%}",
            f"{agreement[name]:.0e}" if name in agreement else "",
        )
        for name, ratio in faster.items()
    ]
    table = _table(rows, ("way", "seconds", "times the engine's", "share of the floor's speed", "largest difference"))
    return (
        f"{table}\n\nThe floor is {floor['operations'] / 1e9:,.0f} billion operations at "
        f"{floor['rate'] / 1e9:.0f} billion a second, by {floor['library']}. "
        f"The engine measures {result['points_per_second']:,.0f} points a second."
    )


def _growth(result: Result) -> str:
    rows = [
        (
            GROWTH_NAMES.get(axis, axis),
            ", ".join(map(str, growth["values"])),
            ", ".join(_seconds(value) for value in growth["seconds"]),
            f"{growth['exponent']:.2f}",
            f"{1000 * growth['per_unit']:.1f} ms",
            f"{1000 * growth['fixed']:.0f} ms",
        )
        for axis, growth in result["growth"].items()
    ]
    return _table(rows, ("size", "values", "seconds", "exponent", "for one more", "at none"))


def _precision(result: Result) -> str:
    rows = [
        (
            move["statistic"],
            move["metric"],
            f"{move['float32_mean']:.1f}",
            f"{move['mean']:+.2f}",
            f"{move['mean_size']:.2f}",
            f"{move['same']:.0%}",
            f"{move['within_one']:.0%}",
            f"{move['censored_changed']:.1%}",
        )
        for move in result["moves"]
    ]
    headers = (
        "statistic",
        "metric",
        "mean",
        "moved by",
        "size of the move",
        "same step",
        "within one",
        "event lost or won",
    )
    return _table(rows, headers)


def _memory(result: Result) -> str:
    rows = [
        (
            held["command"],
            f"{held['samples']:,}",
            f"{held['peak_bytes'] / 1e6:,.0f} MB",
            f"{held['seconds']:.0f}",
            f"{held['stored_bytes'] / 1e6:,.0f} MB",
        )
        for held in result["memory"]
    ]
    return _table(rows, ("command", "samples", "peak memory", "seconds", "size of the run"))


def _sweeps(result: Result) -> str:
    rows = [
        (
            sweep["model"],
            sweep["layers"],
            f"{sweep['points'] / 1e6:,.0f} million",
            f"{sweep['operations']:.1e}",
            f"{sweep['days']:.1f}" if sweep["days"] < 100 else f"{sweep['days']:,.0f}",
            f"{sweep['machines_for_a_day']:,}",
        )
        for sweep in result["sweeps"]
    ]
    table = _table(
        rows, ("model", "write layers", "points", "operations", "days on this machine", "machines for one day")
    )
    steps = result["settings"]["size"]["steps"]
    day = result["day"]["points"]
    return f"{table}\n\nIn a day this machine measures {day / 1e6:,.0f} million points, {day / steps:,.0f} paths."


def _gpu(result: Result) -> str:
    rows: list[tuple[object, ...]] = []
    for name, model in result["models"].items():
        rate = result["rates"]["float32"]
        for kind, seconds in model["products"].items():
            rows.append(
                (name, f"products alone, {kind}", _seconds(seconds), f"{model['operations'] / seconds / rate:.0%}")
            )
        for precision, own in model["engine"].items():
            seconds = own["seconds"]
            rows.append(
                (
                    name,
                    f"engine, {precision}",
                    _seconds(seconds),
                    f"{model['operations'] / seconds / rate:.0%}",
                    f"{own['bytes'] / 1e9:.1f} GB",
                    *_agreement(own),
                )
            )
        rows += [(name, way, _seconds(seconds)) for way, seconds in model["other"].items()]
        rows.append((name, "engine, float32, beside the CPU's", "", "", "", *_agreement(model["cpu"])))
    headers = ("model", "what", "seconds", "share of the float32 rate", "memory", "differences", "same max slope step")
    width = len(headers)
    table = _table([(*row, *("",) * (width - len(row))) for row in rows], headers)
    rates = ", ".join(f"{rate / 1e12:.0f} in {name}" for name, rate in result["rates"].items())
    return (
        f"{table}\n\nOn {result['card']}, PyTorch {result['torch']}, {result['date']}: {_size(result['size'])}. "
        f"A large matrix product runs at {rates} (trillions of operations a second)."
    )


def _agreement(own: Mapping[str, Any]) -> tuple[str, str]:
    return (
        ", ".join(f"{each:.0e}" for each in own["difference"]),
        ", ".join(f"{each:.1%}" for each in own["same_max_slope"]),
    )


def _gpu_batches(result: Result) -> str:
    batches = next(model["batches"] for model in result["models"].values() if model["batches"])
    return _table(
        [("prompts a second", *(f"{rate:,.0f}" for rate in batches.values()))],
        ("prompts in a batch", *map(str, batches)),
    )


def _gpu_whole(result: Result) -> str:
    whole = result["whole"]
    row = (
        f"{whole['samples']:,} prompts x {whole['types']} types, {whole['likely']} likely tokens a point",
        _seconds(whole["seconds"]),
        _seconds(whole["scan"]),
        f"{whole['seconds'] / whole['scan']:.1f}",
    )
    return _table([row], ("run", "seconds", "scan alone", "times the scan's"))


def _gpu_large(result: Result) -> str:
    rows = [
        (name, own["precision"], f"{own['prompts_per_second']:.1f}", own["at_once"], f"{own['bytes'] / 1e9:.0f} GB")
        for name, own in result["large"].items()
    ]
    return _table(rows, ("shape", "precision", "prompts a second", "prompts in a batch", "memory"))
