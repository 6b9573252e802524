import json
from pathlib import Path

import numpy as np
import xarray as xr
from zarr.storage import LocalStore

from plateaulens.store.schema import RunSpec
from plateaulens.store.template import write_template
from plateaulens.testing import synthetic_spec


def write(path: Path, spec: RunSpec) -> Path:
    write_template(LocalStore(path), spec, {"kind": "test"}, {"created": "now"})
    return path


def test_only_coordinates_have_chunks(tmp_path: Path, spec: RunSpec) -> None:
    store = write(tmp_path / "a.zarr", spec)
    with_chunks = {file.relative_to(store).parts[:2] for file in store.rglob("c/*")}
    assert with_chunks == {(name, c.name) for name, group in spec.groups.items() for c in group.coordinates}


def test_the_extent_does_not_change_the_cost(tmp_path: Path) -> None:
    store = write(tmp_path / "big.zarr", synthetic_spec(1_000_000, samples_per_chunk=96))
    assert sum(file.stat().st_size for file in store.rglob("*") if file.is_file()) < 100_000
    tree = xr.open_datatree(store, engine="zarr", consolidated=False)
    assert tree["sensitivity"].sizes == {"activation_type": 9, "sample": 1_000_000, "step": 101, "metric": 3}


def test_unwritten_values_say_so(tmp_path: Path, spec: RunSpec) -> None:
    tree = xr.open_datatree(write(tmp_path / "a.zarr", spec), engine="zarr", consolidated=False)
    experiment = tree["sensitivity"]
    assert experiment.curve.dtype == np.float32
    assert experiment.curve.isnull().all()
    assert (experiment.top_token == -1).all()
    assert not experiment.completed.any()
    assert (tree["activations"].source_row == -1).all()
    assert (tree["prompts"].text == "").all()


def test_the_checksum_is_the_last_codec_of_every_array(tmp_path: Path, spec: RunSpec) -> None:
    store = write(tmp_path / "a.zarr", spec)
    nodes = [json.loads(file.read_text()) for file in store.rglob("zarr.json")]
    arrays = [node for node in nodes if node["node_type"] == "array"]
    assert len(arrays) > 20
    for array in arrays:
        assert [codec["name"] for codec in array["codecs"]][-2:] == ["zstd", "crc32c"]


def test_a_chunk_spans_everything_but_samples(tmp_path: Path, spec: RunSpec) -> None:
    store = write(tmp_path / "a.zarr", spec)
    metadata = json.loads((store / "sensitivity/curve/zarr.json").read_text())
    assert metadata["dimension_names"] == ["activation_type", "sample", "step", "metric"]
    assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == [2, 2, 11, 3]


def test_every_variable_has_units_and_a_long_name(tmp_path: Path, spec: RunSpec) -> None:
    tree = xr.open_datatree(write(tmp_path / "a.zarr", spec), engine="zarr", consolidated=False)
    for node in tree.descendants:
        for variable in node.variables.values():
            assert set(variable.attrs) == {"long_name", "units"}


def test_coordinates_are_found_as_such(tmp_path: Path, spec: RunSpec) -> None:
    tree = xr.open_datatree(write(tmp_path / "a.zarr", spec), engine="zarr", consolidated=False)
    assert set(tree["sensitivity"].coords) == {"activation_type", "step", "metric", "metric_units", "fraction"}
    assert set(tree["plateau"].coords) == {"activation_type", "step", "metric", "metric_units", "length"}
