"""SAEs on their scale in the layout of SAEBench's results: a JSON file for each SAE, to lie beside its other metrics.

The layout is that of SAEBench (github.com/adamkarvonen/SAEBench, `sae_bench/evals/base_eval_output.py`, read
2026-11-26): metrics in categories of one level, records as details, and what identifies the SAE under SAELens' names.
Here a category is an activation type. Files are called as SAEBench calls them. `saebench.schema.json`, beside this
file, describes them.
"""

import json
import math
import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

import xarray as xr

from plateaulens import names
from plateaulens.config import stem_of
from plateaulens.errors import UsageError, reading
from plateaulens.names import REFERENCE, SCALE_START
from plateaulens.replacing import publish, scratch
from plateaulens.store.location import Location, check_folder
from plateaulens.store.manifest import SITE
from plateaulens.store.reading import check_summary, open_present_summary
from plateaulens.store.sae_settings import KEY, known_settings, without_settings
from plateaulens.store.schema import SWEEP_SUMMARY_KIND
from plateaulens.store.verify import blaming_damage
from plateaulens.summary.sae_evidence import evidence_of, own_settings
from plateaulens.summary.sae_scale import GROUP, sae_scale_dataset

EVAL_TYPE = "plateaulens_sae_scale"
"""What SAEBench calls the kind of an evaluation."""
CUSTOM = "custom_sae"
"""SAEBench's id of an SAE that is of no release; its name stands for the release then."""
SCHEMA = Path(__file__).with_name("saebench.schema.json")
_NAMESPACE = uuid.UUID("5d3c2f0e-2f6b-5c86-9a0e-3b8e1c6c7d11")
_ENDS = ("lower", "upper")
_NUMBERS = ("share", "ks", "behind", "plateau_share")


def export_saebench(path: Location, folder: Path) -> list[Path]:
    """Write the results of every SAE of a stored summary.

    Parameters
    ----------
    path
        The path or URL of the summary of a sweep over SAEs, or of a run with an SAE.
    folder
        Where the files go.

    Returns
    -------
    list of Path
        A file for each SAE, and of a sweep for each site and seed that has it.

    Raises
    ------
    UsageError
        When there is no such summary, when another version made it, or it has no SAE with random and real targets; when
        the folder is a store.
    """
    with open_present_summary(path) as summary, blaming_damage(path):
        return write_saebench(scale_of(summary), folder)


def scale_of(summary: xr.DataTree) -> xr.Dataset:
    """The scale that a summary has, or that can be made of it.

    Parameters
    ----------
    summary
        Of a sweep over SAEs, or of a run with an SAE.

    Returns
    -------
    Dataset
        As `plateaulens.summary.sae_scale.sae_scale_dataset` gives it, and of a sweep with its dimensions.

    Raises
    ------
    UsageError
        When there is none, or another version made the summary.
    """
    check_summary(summary.attrs)
    if summary.attrs.get("kind") == SWEEP_SUMMARY_KIND:
        if GROUP not in summary.children:
            raise UsageError("the sweep has no SAEs with random and real targets: there is no scale to export")
        return summary[GROUP].to_dataset().load()
    settings = own_settings(summary)
    evidence = evidence_of(summary, settings)
    if evidence.about["source"] is None:
        raise UsageError("the run has no SAE: there is no scale to export")
    return sae_scale_dataset({str(evidence.about["source"]): evidence}, settings)


def write_saebench(scale: xr.Dataset, folder: Path) -> list[Path]:
    """Write the results of every SAE of a scale.

    Parameters
    ----------
    scale
        As `plateaulens.score_sae` gives it (`data`), or the group `sae_scale` of a sweep's summary.
    folder
        Where the files go; it is made where there is none, and files of the same names are replaced.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    UsageError
        When the folder is a store or lies in one, and when what the scale says about its SAEs is damaged.
    """
    check_folder(folder)
    found = list(outputs(scale))
    with scratch("plateaulens-saebench") as place:
        made = []
        for own, (_, output) in zip(_told_apart([name for name, _ in found]), found, strict=True):
            file = place / f"{own}_eval_results.json"
            file.write_text(json.dumps(output, indent=2, allow_nan=False) + "\n", encoding="utf-8")
            made.append(file)
        return publish(made, folder)


def _told_apart(stems: Sequence[str]) -> list[str]:
    """Every name once: those of several SAEs with a number that makes them nobody else's, in upper or lower case."""
    count = Counter(stem.casefold() for stem in stems)
    taken = set(count)
    found = []
    for stem in stems:
        own, number = stem, 0
        while count[stem.casefold()] > 1 and own.casefold() in taken:
            own, number = f"{stem}_{number}", number + 1
        taken.add(own.casefold())
        found.append(own)
    return found


def formula(scale: xr.Dataset) -> str:
    """What a share is.

    Parameters
    ----------
    scale
        As `write_saebench` takes it; its attributes say of what experiment and statistic it is.

    Returns
    -------
    str
        The formula, and the distributions that are meant.
    """
    what = names.statistic(scale.attrs["statistic"]).label
    return (
        f"1 - KS(type, {REFERENCE}) / KS({SCALE_START}, {REFERENCE}), of the distributions of the {what}, "
        f"experiment {scale.attrs['experiment']}"
    )


def outputs(scale: xr.Dataset) -> Iterator[tuple[str, dict[str, Any]]]:
    """The results of every SAE, in SAEBench's layout.

    Parameters
    ----------
    scale
        As `write_saebench` takes it.

    Yields
    ------
    tuple
        What the file is called after, `RELEASE_ID`, and its content, of JSON's types: null for what does not exist;
        of an end of an interval that is infinite `NAME_lower_unbounded` or `NAME_upper_unbounded` is true in the
        details.
    """
    with reading("what the scale says about its SAEs is damaged", "analyse the sweep again"):
        abouts: list[dict[str, Any]] = json.loads(str(scale.attrs["saes"]))
        for about in abouts:
            where = {axis: about[axis] for axis in SITE if axis in scale.dims}
            one = scale.sel({"sae": about["sae"], **where})
            release, sae_id = _names(about)
            yield stem_of(f"{release}_{sae_id}", "_"), _output(one, about, release, sae_id)


def _names(about: Mapping[str, Any]) -> tuple[str, str]:
    """Release and id, as SAELens has them."""
    identity = about.get("identity") or {}
    if "release" in identity:
        return str(identity["release"]), str(identity["id"])
    return PurePath(str(about["sae"])).name or "sae", CUSTOM


def _output(one: xr.Dataset, about: Mapping[str, Any], release: str, sae_id: str) -> dict[str, Any]:
    kinds = [str(name) for name in one["activation_type"].to_numpy()]
    metrics = [str(name) for name in one["metric"].to_numpy()]
    interval = one["share_interval"].attrs
    categories: dict[str, dict[str, Any]] = {}
    details = []
    for kind in kinds:
        flat = categories.setdefault(kind, {})
        for metric in metrics:
            cell = one.sel(activation_type=kind, metric=metric)
            record: dict[str, Any] = {"activation_type": kind, "metric": metric}
            for name in _NUMBERS:
                lower, upper = (cell[f"{name}_interval"].sel(bound=end).item() for end in _ENDS)
                values = {name: cell[name].item(), f"{name}_lower": lower, f"{name}_upper": upper}
                record |= {key: _plain(value) for key, value in values.items()}
                record |= {f"{name}_{end}_unbounded": math.isinf(values[f"{name}_{end}"]) for end in _ENDS}
                if name in {"share", "plateau_share"}:
                    flat |= {f"{key}_{metric}": _plain(value) for key, value in values.items()}
            record |= {name: _plain(cell[name].item()) for name in ("n", "rank", "behind_p_holm")}
            details.append(record | {"standing": str(cell["standing"].item())})
    categories["scale"] = {
        f"{name}_{metric}": _plain(one[name].sel(metric=metric).item())
        for name in ("scale_length", "control_share")
        for metric in metrics
    }
    steps = dict(about["steps"])
    created = about.get("created")
    millis = 0 if created is None else int(datetime.fromisoformat(str(created)).timestamp() * 1000)
    identity = about.get("identity") or {}
    config = {
        "model_name": about["model"],
        "llm_dtype": about["dtype"],
        "write_site": about["write"],
        "read_site": about["read"],
        "prompts": about["prompts"],
        "random_seed": about["seed"],
        "experiment": one.attrs["experiment"],
        "statistic": one.attrs["statistic"],
        "plateaus_of": one.attrs["plateaus_of"],
        "steps": steps,
        "confidence": float(interval["confidence"]),
        "resamples": int(interval["resamples"]),
    }
    result = {
        "eval_type_id": EVAL_TYPE,
        "eval_config": config,
        "eval_result_metrics": categories,
        "eval_result_details": details,
        "sae_bench_commit_hash": f"none: plateaulens {about['versions'].get('plateaulens', '')} {about['commit']}",
        "sae_lens_id": sae_id,
        "sae_lens_release_id": release,
        "sae_lens_version": about["versions"].get("sae-lens"),
        "sae_cfg_dict": _configuration(identity, about["model"]),
        "eval_result_unstructured": {
            "share": formula(one),
            "sae": without_settings(identity),
            "source": about["source"],
            "versions": about["versions"],
        },
    }
    # of the same content the same id, so that an export gives the same bytes whenever it is made
    own = uuid.uuid5(_NAMESPACE, json.dumps(result, sort_keys=True, allow_nan=False))
    return {"eval_id": str(own), "datetime_epoch_millis": millis, **result}


def _configuration(identity: Mapping[str, Any], model: str) -> dict[str, str | int | bool]:
    """The SAE's, flat and under the names that SAEBench's readers look for; what is not known is left out."""
    own = {"model_name": model} | known_settings(identity) | known_settings(identity.get(KEY))
    block = re.match(r"blocks\.(\d{1,6})\.", str(own.get("hook_name", "")), re.ASCII)
    return own if block is None else own | {"hook_layer": int(block[1])}


def _plain(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
