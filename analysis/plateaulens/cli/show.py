"""`plateaulens show`: what a run, a sweep or a summary holds, on one screen."""

import argparse
import json
import stat
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plateaulens import names
from plateaulens.cli.interrupt import leaving_at_once
from plateaulens.errors import UsageError, reading, shortened
from plateaulens.names import REFERENCE

if TYPE_CHECKING:
    import xarray as xr
    from rich.console import RenderableType
    from rich.table import Table

    from plateaulens.cli.options import Commands

WIDTH = 100
"""Columns of what is no terminal, such as a file."""
LONGEST = 72
"""Characters of a text from the store that are shown."""
_COLOURS = {
    "equivalent": "green",
    "undecided": "yellow",
    "undefined": "dim",
    "complete": "green",
    "running": "yellow",
    "pending": "dim",
    "false alarm": "magenta",
}
"""Of words; every other conclusion is a difference, which is red."""


def add(commands: "Commands") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("show", help="say on one screen what a run, a sweep or a summary holds")
    parser.add_argument("store", metavar="STORE", help="a path or a URL; of a sweep, its folder")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    with leaving_at_once():
        from rich.console import Console, Group  # noqa: PLC0415  zarr and rich take a second to import

    parts = _parts(options.store)
    console = Console(highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        console.print(Group(*parts))
        return 0
    console.width = WIDTH
    with console.capture() as capture:
        console.print(Group(*parts))
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))
    return 0


def _parts(store: str) -> "list[RenderableType]":
    from plateaulens.store.manifest import is_sweep  # noqa: PLC0415
    from plateaulens.store.reading import check_kind, check_summary, root_attributes  # noqa: PLC0415  zarr takes a second
    from plateaulens.store.schema import RUN_KIND, SUMMARY_KIND, SWEEP_SUMMARY_KIND  # noqa: PLC0415

    if "://" not in store and is_sweep(Path(store)):
        return _sweep(Path(store))
    kind = str(root_attributes(store).get("kind"))  # a list, too, from outside
    shows = {RUN_KIND: _show_run, SUMMARY_KIND: _show_summary, SWEEP_SUMMARY_KIND: _show_sweep_summary}
    if kind not in shows:
        raise UsageError(f"{store} is neither a run nor a summary of PlateauLens: name one that is")
    attributes = check_kind(store, kind)
    if kind != RUN_KIND:
        check_summary(attributes, store)
    return shows[kind](store)


def _show_run(store: str) -> "list[RenderableType]":
    from plateaulens.store.reading import experiment_names, open_run  # noqa: PLC0415
    from plateaulens.store.verify import blaming_damage  # noqa: PLC0415

    sizes = _sizes(store)
    with open_run(store) as run, blaming_damage(store):
        rows = {name: run[name].to_dataset() for name in experiment_names(run)}
        done = {name: group["completed"].to_numpy() for name, group in rows.items()}
        table = _table("experiment", "complete", "of prompts", "types", "points", "metrics", "on disk")
        for name, group in rows.items():
            whole = int(done[name].all(axis=group["completed"].get_axis_num("activation_type")).sum())
            samples = group.sizes["sample"]
            share = 100 * done[name].mean()
            _add(
                table,
                names.experiment(name).title,
                (f"{share:.0f} %" if share in {0, 100} else f"{share:.1f} %", "green" if share == 100 else "yellow"),
                f"{whole:,} of {samples:,}",
                str(group.sizes["activation_type"]),
                str(group.sizes["step"]),
                ", ".join(names.metric_label(str(each)) for each in group["metric"].to_numpy()),
                _size(sizes.get(name)),
            )
        types = [str(name) for name in run["activations"]["activation_type"].to_numpy()]
        facts = _facts(run.attrs) | {"types": ", ".join(map(names.label, types)), "size": _size(sizes.get(""))}
        complete = all(each.all() for each in done.values())
        return [_title("run", run.attrs, "complete" if complete else "pending", complete), _grid(facts), table]


def _show_summary(store: str) -> "list[RenderableType]":
    from plateaulens.export.tables import GROUPS, groups  # noqa: PLC0415
    from plateaulens.store.reading import open_summary  # noqa: PLC0415
    from plateaulens.store.verify import blaming_damage  # noqa: PLC0415

    with open_summary(store) as summary, blaming_damage(store):
        found = {name: group for name, group in groups(summary).items() if name not in GROUPS}
        judged = {name: _judged(group, name) for name, group in found.items() if "conclusion" in group}
        cells = [(name, str(metric)) for name, group in judged.items() for metric in _main(group)]
        table = _table("KS to real", *(f"{names.experiment(n).short}\n{names.metric_label(m)}" for n, m in cells))
        for kind in dict.fromkeys(str(k) for group in judged.values() for k in group["activation_type"].to_numpy()):
            if kind == REFERENCE:
                continue
            row: list[tuple[str, str]] = []
            for name, metric in cells:
                group = judged[name]
                if kind not in group["activation_type"].to_numpy():
                    row.append(("-", "dim"))
                    continue
                one = group.sel(activation_type=kind, metric=metric)
                word = _clean(one["conclusion"].item())
                row.append((f"{float(one['ks']):.2f} {word}", _colour(word)))
            _add(table, names.label(kind), *row)
        looks = _json(summary.attrs, "looks", [])
        completed = looks[-1]["completed"] if looks else {}
        facts = _facts(summary.attrs) | {
            "prompts used": ", ".join(f"{names.experiment(n).short} {c}" for n, c in completed.items()),
            "judged by": ", ".join(dict.fromkeys(names.statistic(names.experiment(n).statistic).label for n in judged)),
            "analysis": _analysis(summary.attrs),
            "size": _size(_sizes(store).get("")),
        }
        return [_title("summary", summary.attrs), _grid(facts), table]


def _show_sweep_summary(store: str) -> "list[RenderableType]":
    from plateaulens.export.tables import GROUPS, groups  # noqa: PLC0415
    from plateaulens.store.manifest import AXES  # noqa: PLC0415
    from plateaulens.store.reading import open_sweep_summary  # noqa: PLC0415
    from plateaulens.store.verify import blaming_damage  # noqa: PLC0415

    with open_sweep_summary(store) as summary, blaming_damage(store):
        found = {name: group for name, group in groups(summary).items() if name not in GROUPS}
        table = _table("experiment", "metric", "type", "conclusions at the sites")
        complete = cells = 0
        for name, group in found.items():
            complete, cells = int(group["complete"].sum()), group["complete"].size
            judged = _judged(group, name)
            for metric in _main(judged):
                for kind in (str(each) for each in judged["activation_type"].to_numpy() if str(each) != REFERENCE):
                    words = judged["conclusion"].sel(metric=metric, activation_type=kind).to_numpy().ravel()
                    counted = Counter(_clean(each) for each in words if each)
                    common = counted.most_common()
                    said = ", ".join(f"{word} {count}" for word, count in common)
                    row = (names.experiment(name).short, names.metric_label(str(metric)), names.label(kind))
                    _add(table, *row, (said or "-", _colour(common[0][0]) if common else "dim"))
        config = _json(summary.attrs, "config", {})
        varied = {axis: next(iter(found.values())).sizes[axis] for axis in AXES} if found else {}
        facts = {
            "varied": ", ".join(f"{size} {axis}" for axis, size in varied.items() if size > 1) or "nothing",
            "runs": f"{complete} of {cells} cells complete",
            **_held(config.get("sites") or {}),
            "prompts": _clean((config.get("prompts") or {}).get("source", "")),
            "analysis": _analysis(summary.attrs),
            "size": _size(_sizes(store).get("")),
        }
        return [_title("summary of a sweep", summary.attrs), _grid(facts), table]


def _sweep(folder: Path) -> "list[RenderableType]":
    from plateaulens.store.manifest import read_manifest  # noqa: PLC0415

    manifest = read_manifest(folder)
    states = Counter(entry.state for entry in manifest.cells)
    table = _table("run", "state", "model", "SAE", "sites", "seed", "on disk")
    for entry in manifest.cells:
        sites = f"{names.site_label(entry.write)} -> {names.site_label(entry.read)}"
        texts = [_clean(each, 16) for each in (entry.model, entry.sae, sites)]
        size = _size(_sizes(str(folder / entry.run)).get(""))
        _add(table, _clean(entry.name, 28), (entry.state, _COLOURS[entry.state]), *texts, str(entry.seed), size)
    facts = {"runs": ", ".join(f"{count} {state}" for state, count in sorted(states.items()))}
    facts |= _held(manifest.config.sites.model_dump(mode="json"))
    return [_title("sweep", {"name": manifest.config.name}), _grid(facts), table]


def _judged(group: "xr.Dataset", name: str) -> "xr.Dataset":
    """What an experiment is judged by, of those of its group that it is stored with."""
    return group[["ks", "conclusion"]].sel(convention="corrected", statistic=names.experiment(name).statistic)


def _main(group: "xr.Dataset") -> list[Any]:
    """The metrics that there is room for: the main ones on which there is a number."""
    there = [each for each in group["metric"].to_numpy() if bool(group["ks"].sel(metric=each).notnull().any())]
    return [each for each in there if names.metric(str(each)).is_main] or there


def _facts(attributes: Mapping[Any, Any]) -> dict[str, str]:
    """What a run is of, by the configuration it was made with."""
    config = _json(attributes, "config", {})
    model, sites, prompts, sae = (config.get(key) or {} for key in ("model", "sites", "prompts", "sae"))
    found = {
        "model": ", ".join(str(model[key]) for key in ("source", "revision", "dtype", "processing") if model.get(key)),
        "sites": f"{sites.get('write', '-')} -> {sites.get('read', '-')}",
        **_held(sites),
        "SAE": sae.get("source") or "none",
        "prompts": f"{prompts.get('source', '-')}, {prompts.get('length', '-')} tokens each",
        "seed, commit": f"{attributes.get('seed', '-')}, {attributes.get('commit', '-')}",
    }
    return {name: _clean(value) for name, value in found.items()}


def _held(sites: Mapping[str, Any]) -> dict[str, str]:
    held = sites.get("frozen")
    return {"held": _clean(", ".join(map(str, held)))} if held and isinstance(held, list) else {}


def _analysis(attributes: Mapping[Any, Any]) -> str:
    settings, versions = _json(attributes, "analysis", {}), _json(attributes, "analysis_versions", {})
    made = f", plateaulens {versions['plateaulens']}" if "plateaulens" in versions else ""
    return _clean(
        f"confidence {settings.get('confidence', '-')}, {settings.get('resamples', '-')} resamples, "
        f"seed {settings.get('seed', '-')}{made}"
    )


def _json(attributes: Mapping[Any, Any], name: str, nothing: Any) -> Any:
    """An attribute that is a JSON text, of the type of `nothing`."""
    with reading(f"the store's attribute {name} is damaged", "see `plateaulens verify`"):
        found = json.loads(str(attributes[name])) if name in attributes else nothing
        if not isinstance(found, type(nothing)):
            raise UsageError(f"the store's attribute {name} is damaged: see `plateaulens verify`")
        return found


def _sizes(store: str) -> dict[str, int]:
    """Bytes on disk by group, of all under the empty name; nothing for a URL."""
    folder = Path(store)
    if "://" in store or not folder.is_dir():
        return {}
    found: Counter[str] = Counter()
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a run that is being collected renames and removes files
            there = file.stat()
            if stat.S_ISREG(there.st_mode):
                found[""] += there.st_size
                found[file.relative_to(folder).parts[0]] += there.st_size
    return dict(found)


def _size(count: int | None) -> str:
    """Bytes as a person reads them."""
    if count is None:
        return "-"
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _clean(text: object, longest: int = LONGEST) -> str:
    """A text of any origin, without what a terminal would take for a command."""
    return shortened(str(text), longest) or "-"


def _colour(word: str) -> str:
    return _COLOURS.get(word.partition(",")[0], "red")


def _title(kind: str, attributes: Mapping[Any, Any], state: str = "", whole: bool = True) -> "RenderableType":
    from rich.text import Text  # noqa: PLC0415

    title = Text.assemble((f"{kind} ", "dim"))
    title.append(_clean(attributes.get("name", "-")), style="bold")
    if state:
        title.append(f"  {state}", style="green" if whole else "yellow")
    return title


def _grid(facts: Mapping[str, str]) -> "Table":
    from rich.table import Table  # noqa: PLC0415

    grid = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        _add(grid, (f"  {name}", "dim"), value or "-")
    return grid


def _table(*heads: str) -> "Table":
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True)
    for head in heads:
        table.add_column(Text(head))
    return table


def _add(table: "Table", *cells: str | tuple[str, str]) -> None:
    """A row of texts, perhaps each with its style; what is in them is shown literally."""
    from rich.text import Text  # noqa: PLC0415

    table.add_row(*(Text(cell) if isinstance(cell, str) else Text(*cell) for cell in cells))
