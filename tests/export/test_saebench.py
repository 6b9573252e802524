"""SAEs in SAEBench's layout: what the schema says, the scale's own numbers, names of files, the same bytes again."""

import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import xarray as xr
from tests.summary.test_sae_scale import SAES, SETTINGS, TYPES, entry, write_run

from plateaulens.cli import main
from plateaulens.errors import UsageError
from plateaulens.export.page import page
from plateaulens.export.results import results
from plateaulens.export.saebench import (
    CUSTOM,
    EVAL_TYPE,
    _told_apart,
    export_saebench,
    formula,
    outputs,
    scale_of,
    write_saebench,
)
from plateaulens.export.tables import tables
from plateaulens.store.reading import open_run
from plateaulens.store.sae_settings import KNOWN
from plateaulens.store.schema import SCHEMA_VERSION, SUMMARY_VERSION, SWEEP_SUMMARY_KIND
from plateaulens.store.verify import verify
from plateaulens.summary.analyze import write_summary
from plateaulens.summary.sae_evidence import evidence_of
from plateaulens.summary.sae_scale import GROUP, sae_scale_dataset

SCHEMA = json.loads((importlib.resources.files("plateaulens.export") / "saebench.schema.json").read_text())
FIELDS = {
    "eval_type_id", "eval_config", "eval_id", "datetime_epoch_millis", "eval_result_metrics", "eval_result_details",
    "sae_bench_commit_hash", "sae_lens_id", "sae_lens_release_id", "sae_lens_version", "sae_cfg_dict",
    "eval_result_unstructured",
}  # fmt: skip
"""Those of SAEBench's `BaseEvalOutput`."""


SETTINGS_OF_SAE = {
    "architecture": "jumprelu",
    "d_in": 576,
    "dtype": "float32",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "model_name": "org/model",
    "hook_name": "blocks.10.hook_resid_pre",
    "context_size": 128,
    "training_tokens": 300_000_000,
}


@pytest.fixture(scope="module")
def scale(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    folder = tmp_path_factory.mktemp("saes")
    evidence = {}
    for sae, seed in zip(SAES, (1, 2, 1), strict=True):
        write_run(folder, entry(sae), seed)
        with open_run(folder / entry(sae).run) as run:
            evidence[sae] = evidence_of(run.load(), SETTINGS)
    evidence[SAES[1]].about["identity"] = {
        "release": "release",
        "id": "b/16k",
        "architecture": "jumprelu",
        "hook_name": "blocks.10.hook_resid_pre",
        "settings": SETTINGS_OF_SAE | {"lr": 0.1, "d_sae": "many", "dataset_path": "x" * 1000},
    }
    return sae_scale_dataset(evidence, SETTINGS)


@pytest.fixture(scope="module")
def written(scale: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bench")
    return {path.name: json.loads(path.read_text()) for path in write_saebench(scale, folder / "out")}


def test_files_are_called_as_saebench_calls_them(written: dict[str, Any]) -> None:
    assert sorted(written) == [
        "a_custom_sae_eval_results.json",
        "c_custom_sae_eval_results.json",
        "release_b_16k_eval_results.json",
    ]


def test_they_are_what_the_schema_says(written: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator
    validator.check_schema(SCHEMA)
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"]) == FIELDS
    for output in written.values():
        validator(SCHEMA).validate(output)
        assert set(output) == FIELDS
        assert output["eval_type_id"] == EVAL_TYPE
    one = json.loads(json.dumps(written["a_custom_sae_eval_results.json"]))
    one["eval_result_metrics"]["structured"]["share_l2"] = {"nested": 1}
    assert not validator(SCHEMA).is_valid(one)


def test_numbers_are_those_of_the_scale(written: dict[str, Any], scale: xr.Dataset) -> None:
    output, own = written["release_b_16k_eval_results.json"], scale.sel(sae=SAES[1])
    metrics = output["eval_result_metrics"]
    assert set(metrics) == {*TYPES[3:], "scale"}
    for kind in TYPES[3:]:
        for metric in ("l2", "kl", "js"):
            cell = own.sel(activation_type=kind, metric=metric)
            assert metrics[kind][f"share_{metric}"] == float(cell["share"])
            lower, upper = (metrics[kind][f"share_{end}_{metric}"] for end in ("lower", "upper"))
            np.testing.assert_array_equal([lower, upper], cell["share_interval"])
            (record,) = (
                each
                for each in output["eval_result_details"]
                if (each["activation_type"], each["metric"]) == (kind, metric)
            )
            assert (record["rank"], record["standing"]) == (float(cell["rank"]), cell["standing"].item())
    assert metrics["reconstruction"]["plateau_share_kl"] is None
    assert metrics["scale"]["scale_length_kl"] == float(scale["scale_length"].sel(metric="kl"))
    assert output["sae_lens_release_id"] == "release"
    assert output["sae_lens_id"] == "b/16k"
    assert written["c_custom_sae_eval_results.json"]["sae_lens_id"] == CUSTOM
    assert output["eval_config"]["resamples"] == SETTINGS.resamples
    assert output["sae_bench_commit_hash"].startswith("none: plateaulens")


def test_the_configuration_is_the_sae_s_own(written: dict[str, Any]) -> None:
    """Under the names that SAEBench's readers look for, and nothing that a stored summary says besides."""
    output = written["release_b_16k_eval_results.json"]
    assert output["sae_cfg_dict"] == SETTINGS_OF_SAE | {"hook_layer": 10}
    assert set(output["eval_result_unstructured"]["sae"]) == {"release", "id", "architecture", "hook_name"}
    # of a run that has not kept it there is what identifies the SAE, and the run's model
    assert written["a_custom_sae_eval_results.json"]["sae_cfg_dict"] == {
        "model_name": output["eval_config"]["model_name"]
    }


def test_the_schema_has_every_setting(written: dict[str, Any]) -> None:
    kinds = {str: "string", int: "integer", bool: "boolean"}
    described = {key: each["type"] for key, each in SCHEMA["properties"]["sae_cfg_dict"]["properties"].items()}
    assert described == {key: kinds[kind] for key, kind in KNOWN.items()} | {"hook_layer": "integer"}


def test_the_same_scale_gives_the_same_bytes(scale: xr.Dataset, tmp_path: Path) -> None:
    one, other = (write_saebench(scale, tmp_path / name) for name in ("one", "other"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]
    ids = [output["eval_id"] for _, output in outputs(scale)]
    assert len(set(ids)) == 3


def test_what_is_not_defined_is_null(scale: xr.Dataset) -> None:
    nothing = scale.assign(share=scale["share"] * np.nan, share_interval=scale["share_interval"] * np.nan)
    for _, output in outputs(nothing):
        jsonschema.Draft202012Validator(SCHEMA).validate(output)
        assert output["eval_result_metrics"]["structured"]["share_l2"] is None
        json.dumps(output, allow_nan=False)


def test_two_saes_of_one_name_have_two_files(scale: xr.Dataset, tmp_path: Path) -> None:
    again = scale.assign_coords(sae=["x/same", "release:b", "y/same"])
    abouts = [
        {**each, "sae": sae} for each, sae in zip(json.loads(scale.attrs["saes"]), again["sae"].values, strict=True)
    ]
    made = write_saebench(again.assign_attrs(saes=json.dumps(abouts)), tmp_path)
    assert len({path.name for path in made}) == 3
    assert all(re.fullmatch(r"[\w.-]+_eval_results\.json", path.name) for path in made)


def test_a_number_does_not_make_the_name_of_another(scale: xr.Dataset, tmp_path: Path) -> None:
    stems = ["same", "Same", "same_0", "other", "same"]
    apart = _told_apart(stems)
    assert apart == ["same_1", "Same_2", "same_0", "other", "same_3"]
    assert _told_apart(["a", "b"]) == ["a", "b"]
    saes = ["x/same", "release:b", "y/same"]
    again = scale.assign_coords(sae=saes)
    identities = [{}, {"release": "same_custom_sae", "id": "0"}, {}]
    abouts = [
        {**each, "sae": sae, "identity": identity}
        for each, sae, identity in zip(json.loads(scale.attrs["saes"]), saes, identities, strict=True)
    ]
    made = write_saebench(again.assign_attrs(saes=json.dumps(abouts)), tmp_path)
    assert len({path.name for path in made}) == len(list(tmp_path.iterdir())) == 3


def test_an_infinite_end_is_told_from_one_that_is_not_there(scale: xr.Dataset) -> None:
    open_ended = scale.copy(deep=True)
    at = {"sae": SAES[0], "metric": "kl", "activation_type": "structured"}
    open_ended["share_interval"].loc[at] = [-np.inf, 0.5]
    at = {"sae": SAES[0], "metric": "js", "activation_type": "structured"}
    open_ended["share_interval"].loc[at] = np.nan
    (_, output), *_ = outputs(open_ended)
    jsonschema.Draft202012Validator(SCHEMA).validate(output)
    by = {each["metric"]: each for each in output["eval_result_details"] if each["activation_type"] == "structured"}
    assert [by[metric]["share_lower"] for metric in ("kl", "js")] == [None, None]
    assert [by[metric]["share_lower_unbounded"] for metric in ("kl", "js")] == [True, False]
    assert not by["kl"]["share_upper_unbounded"]


def test_the_formula_is_that_of_the_scale(scale: xr.Dataset, written: dict[str, Any]) -> None:
    said = written["a_custom_sae_eval_results.json"]["eval_result_unstructured"]["share"]
    assert said == formula(scale)
    assert said.endswith("of the distributions of the max-slope step, experiment sensitivity")
    other = scale.assign_attrs(statistic="plateau_length", experiment="plateau")
    assert formula(other).endswith("of the distributions of the plateau length, experiment plateau")


def as_sweep(scale: xr.Dataset, path: Path) -> None:
    """A stored summary of a sweep that has this scale and nothing else."""
    tree = xr.DataTree.from_dict({GROUP: scale})
    versions = {"schema_version": SCHEMA_VERSION, "summary_version": SUMMARY_VERSION}
    tree.attrs = {"kind": SWEEP_SUMMARY_KIND, **versions, "name": "saes", "cells": "[]"}
    write_summary(tree, path)


def test_the_command(scale: xr.Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_sweep(scale, tmp_path / "saes.zarr")
    arguments = ["export", str(tmp_path / "saes.zarr"), "--to", "saebench", "--out", str(tmp_path / "bench")]
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("finished: ") == 3
    first = (tmp_path / "bench" / "a_custom_sae_eval_results.json").read_bytes()
    assert main(arguments) == 0
    assert (tmp_path / "bench" / "a_custom_sae_eval_results.json").read_bytes() == first


def test_a_folder_of_a_store_is_refused(scale: xr.Dataset, tmp_path: Path) -> None:
    as_sweep(scale, tmp_path / "saes.zarr")
    for folder in (tmp_path / "saes.zarr", tmp_path / "saes.zarr" / "in"):
        with pytest.raises(UsageError, match="choose another"):
            write_saebench(scale, folder)
    assert verify(tmp_path / "saes.zarr") == []


def test_a_run_without_an_sae_has_nothing_to_export(synthetic_summary: xr.DataTree, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the run has no SAE"):
        scale_of(synthetic_summary)
    with pytest.raises(UsageError, match="does not exist"):
        export_saebench(tmp_path / "nothing.zarr", tmp_path)
    empty = xr.DataTree(xr.Dataset(attrs={"kind": SWEEP_SUMMARY_KIND, "summary_version": SUMMARY_VERSION}))
    with pytest.raises(UsageError, match="no SAEs with random and real targets"):
        scale_of(empty)
    with pytest.raises(UsageError, match="damaged"):
        list(outputs(xr.Dataset(attrs={"saes": "{"})))


def test_a_run_with_an_sae_has_a_scale_of_its_own(synthetic_summary: xr.DataTree) -> None:
    tree = synthetic_summary.copy()
    config = json.loads(str(tree.attrs["config"]))
    tree.attrs = {**tree.attrs, "config": json.dumps(config | {"sae": {"source": "mine"}})}
    found = scale_of(tree)
    assert found["sae"].values.tolist() == ["mine"]
    (only,) = outputs(found)
    jsonschema.Draft202012Validator(SCHEMA).validate(only[1])
    assert set(found["standing"].values.ravel()) <= {"only one", "undefined"}


def test_the_other_export_has_the_scale_too(scale: xr.Dataset) -> None:
    """A record for each number with its interval and word, a table, lines of the page; what is undefined too."""
    undefined = scale.copy(deep=True)
    place = {"sae": SAES[2], "metric": "kl", "activation_type": "structured"}
    for name in ("share", "share_interval", "behind", "behind_interval", "behind_p", "behind_p_holm", "rank"):
        undefined[name].loc[place] = np.nan
    undefined["standing"].loc[place] = "undefined"
    tree = xr.DataTree.from_dict({GROUP: undefined})
    tree.attrs = {"kind": SWEEP_SUMMARY_KIND, "name": "saes"}
    found = results(tree)
    at = {"sae": SAES[1], "metric": "kl", "activation_type": "structured"}
    by = {each["quantity"]: each for each in found["statistics"] if each["at"] == at}
    cell = scale.sel(at)
    assert by["share"]["estimate"] == float(cell["share"])
    assert by["share"]["interval"]["lower"] == float(cell["share_interval"][0])
    assert by["share"]["n"] == 48
    assert by["behind"]["verdict"] == cell["standing"].item()
    assert by["behind"]["tests"][0]["name"] == "behind_p"
    (frame,) = (frame for name, frame in tables(tree) if name == "sae_scale")
    assert len(frame) == 27
    assert {"share", "share_lower", "share_upper", "standing"} <= set(frame.columns)
    lines = page(found).partition("## SAEs: how much of the way")[2].splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    assert len(rows) == 27
    (odd,) = (line for line in rows if "undefined" in line)
    assert odd.startswith("| `c` | structured | KL | - | - | undefined |")
