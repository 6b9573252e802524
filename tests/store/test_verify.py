import json
import os
import re
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from plateaulens.config import AnalysisConfig
from plateaulens.errors import UsageError
from plateaulens.store.reading import open_run, open_summary
from plateaulens.store.run import RunStore
from plateaulens.store.schema import RunSpec
from plateaulens.store.template import COMPRESSORS
from plateaulens.store.verify import blaming_damage, repair, verify
from plateaulens.summary.analyze import analyze
from plateaulens.testing import generate_run, synthetic_attributes, synthetic_prompts, synthetic_values


def chunk_files(store: Path) -> Iterator[tuple[Path, str]]:
    """Every chunk's file, and how a problem names the chunk."""
    for file in sorted(store.rglob("*")):
        chunk = re.fullmatch(r"(.*)/(c(?:/\d+)*)", file.relative_to(store).as_posix())
        if chunk and file.is_file():
            yield file, f"{chunk[1]} chunk {chunk[2]}: damaged: "


def flip_a_byte(file: Path, rng: np.random.Generator, position: int | None = None) -> None:
    content = bytearray(file.read_bytes())
    index = int(rng.integers(len(content))) if position is None else position
    content[index] ^= int(rng.integers(1, 256))
    file.write_bytes(bytes(content))


def assert_flips_are_found(store: Path, seed: int) -> None:
    """Flip the first, the last and three random bytes of every chunk, all chunks at once."""
    rng = np.random.default_rng(seed)
    whole = {file: file.read_bytes() for file, _ in chunk_files(store)}
    expected = [problem for _, problem in chunk_files(store)]
    assert expected
    for position in (0, -1, None, None, None):
        for file in whole:
            flip_a_byte(file, rng, position)
        problems = verify(store)
        for start, problem in zip(expected, sorted(problems), strict=True):
            assert problem.startswith(start)
        for file, content in whole.items():
            file.write_bytes(content)
    assert verify(store) == []


@pytest.mark.slow
def test_a_flipped_byte_of_any_chunk_is_found(run: Path) -> None:
    assert verify(run) == []
    assert_flips_are_found(run, seed=0)


@pytest.mark.slow
def test_a_flipped_byte_of_any_chunk_of_a_summary_is_found(tmp_path: Path) -> None:
    path = tmp_path / "summary.zarr"
    zarr.create_group(path, attributes={"kind": "plateaulens summary", "schema_version": 1})
    labels = np.array(["real", "random"], dtype=np.dtypes.StringDType())
    dataset = xr.Dataset({"mean": ("activation_type", [1.0, np.nan]), "n": ((), 3)}, {"activation_type": labels})
    encoding = {name: {"compressors": COMPRESSORS} for name in dataset.variables}
    dataset.to_zarr(path, group="sensitivity", mode="a", consolidated=False, encoding=encoding)
    assert verify(path) == []
    assert_flips_are_found(path, seed=1)


@pytest.mark.parametrize("content", [b"", b"\0" * 8])
def test_a_torn_chunk_is_found(run: Path, content: bytes) -> None:
    (run / "sensitivity/curve/c/0/1/0/0").write_bytes(content)
    (problem,) = verify(run)
    assert problem.startswith("sensitivity/curve chunk c/0/1/0/0: damaged: ValueError: Stored and computed checksum")


@pytest.mark.slow
def test_damaged_metadata_is_reported_by_name(run: Path) -> None:
    for i, file in enumerate(sorted(run.rglob("zarr.json"))):
        name = file.parent.relative_to(run).as_posix().replace(".", "/")
        whole = file.read_bytes()
        file.write_bytes((b"", whole[: len(whole) // 2], b"\xff" + whole[1:])[i % 3])
        assert verify(run)[0].startswith(f"{name}: zarr.json is damaged: ")
        file.write_bytes(whole)


@pytest.mark.slow
def test_no_flipped_byte_of_metadata_is_a_crash(run: Path) -> None:
    rng = np.random.default_rng(0)
    files = sorted(run.rglob("zarr.json"))
    for _ in range(20):
        file = files[rng.integers(len(files))]
        whole = file.read_bytes()
        flip_a_byte(file, rng)
        verify(run)
        file.write_bytes(whole)


@pytest.mark.parametrize("missing", ["sensitivity/curve", "plateau/metric_units", "prompts", "provenance"])
def test_a_missing_node_is_found(run: Path, missing: str) -> None:
    for file in sorted((run / missing).rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    assert f"{missing}: missing" in verify(run)


def edit(node: Path, *path: str | int, value: object) -> None:
    document = json.loads((node / "zarr.json").read_text())
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (node / "zarr.json").write_text(json.dumps(document))


def test_a_changed_attribute_is_found(run: Path) -> None:
    edit(run / "sensitivity/path_length", "attributes", "units", value="metre")
    edit(run / "plateau/step", "attributes", value={})
    assert verify(run) == [
        'plateau/step: attributes.long_name: stored nothing, expected "step"',
        'plateau/step: attributes.units: stored nothing, expected "1"',
        'sensitivity/path_length: attributes.units: stored "metre", expected "residual stream"',
    ]


def test_changed_dimensions_are_found(run: Path) -> None:
    edit(run / "sensitivity/top_token", "dimension_names", 2, value="position")
    (problem,) = verify(run)
    assert problem == (
        'sensitivity/top_token: dimension_names: stored ["activation_type", "sample", "position"], '
        'expected ["activation_type", "sample", "step"]'
    )


def test_a_changed_extent_and_dtype_are_found(run: Path) -> None:
    edit(run / "sensitivity/top_token", "data_type", value="int64")
    edit(run / "plateau/path_length", "shape", 1, value=4)
    problems = verify(run)
    assert 'sensitivity/top_token: data_type: stored "int64", expected "int32"' in problems
    assert "plateau/path_length: shape: stored [2, 4], expected [2, 5]" in problems


def test_changed_labels_are_found(run: Path) -> None:
    labels = zarr.open_array(run, path="sensitivity/metric", mode="r+")
    labels[:] = np.array(["kl", "l2", "js"], dtype=np.dtypes.StringDType())
    assert verify(run) == ["sensitivity/metric chunk c/0: values are not those of the schema"]


def test_what_does_not_belong_is_named(run: Path) -> None:
    zarr.create_group(run / "notes")
    (run / "sensitivity/curve/c/0/1/0/0.0123456789abcdef0123456789abcdef.partial").write_bytes(b"")
    (run / "plateau/curve/c/0/9/0").mkdir(parents=True)
    (run / "plateau/curve/c/0/9/0/0").write_bytes(b"")
    stray = "belongs to nothing; an interrupted write leaves such files, and continuing removes them"
    assert verify(run) == [
        f"plateau/curve/c/0/9/0/0: {stray}",
        f"sensitivity/curve/c/0/1/0/0.0123456789abcdef0123456789abcdef.partial: {stray}",
        "notes: not part of a run",
    ]


def test_a_missing_chunk_of_a_completed_block_is_found(run: Path) -> None:
    (run / "sensitivity/top_token/c/0/2/0").unlink()
    (run / "activations/active_latents/c/0").unlink()
    (run / "prompts/text/c/1").unlink()
    (run / "plateau/length/c/0").unlink()
    assert verify(run) == [
        "prompts/text chunk c/1: missing from a completed span",
        "activations/active_latents chunk c/0: missing from a completed span",
        "sensitivity/top_token chunk c/0/2/0: missing from a completed span",
        "plateau/length chunk c/0: missing",
    ]


def test_completed_curves_are_whole_and_start_at_zero(run: Path) -> None:
    curve = zarr.open_array(run, path="sensitivity/curve", mode="r+")
    curve[0, 1, 4:, 2] = np.nan
    curve[1, 2, 0, 0] = 0.5
    target = zarr.open_array(run, path="activations/target", mode="r+")
    target[:, 4, 2] = np.nan
    assert verify(run) == [
        "activations/target chunk c/0/2/0: NaN in 1 completed entries",
        "sensitivity/curve chunk c/0/0/0/0: NaN in 1 completed entries",
        "sensitivity/curve chunk c/0/1/0/0: step 0 is not 0 in 1 curves",
    ]


def test_values_that_are_not_completed_are_found(run: Path) -> None:
    (run / "sensitivity/completed/c/0/0").unlink()
    remedy = "that are not completed; continuing the run writes them again"
    assert verify(run) == [
        f"sensitivity/curve chunk c/0/0/0/0: values in 4 entries {remedy}",
        f"sensitivity/path_length chunk c/0/0: values in 4 entries {remedy}",
    ]


def test_metadata_of_no_kind_is_found(run: Path) -> None:
    """zarr takes it for a group, xarray for nothing."""
    file = run / "provenance/zarr.json"
    metadata = json.loads(file.read_text())
    del metadata["node_type"]
    file.write_text(json.dumps(metadata))
    assert verify(run) == ["provenance: zarr.json is damaged: KeyError: 'node_type'"]


def test_damaged_root_attributes_are_found(run: Path) -> None:
    zarr.open_group(run, mode="r+").update_attributes({"config": "{", "schema_version": 0, "layout": "{}"})
    zarr.open_group(run, path="provenance", mode="r+").update_attributes({"sessions": "["})
    starts = ["schema_version is 0 instead of 1", "config is not JSON", "sessions is not JSON", "layout is damaged"]
    for problem, start in zip(verify(run), starts, strict=True):
        assert f"attribute {start}" in problem


def test_an_unfinished_run_is_sound(tmp_path: Path, spec: RunSpec, seed: int) -> None:
    path = tmp_path / "run.zarr"
    with RunStore.create(path, spec, synthetic_attributes(spec, seed), synthetic_prompts(spec, seed)) as store:
        assert verify(path) == []
        store.write("sensitivity", slice(2, 4), synthetic_values(spec, "sensitivity", slice(2, 4), seed))
        assert verify(path) == []


def test_what_is_no_store_is_a_usage_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no.zarr"):
        with pytest.raises(UsageError, match="does not exist or is not a zarr v3 store"):
            verify(path)


def exchange(first: Path, second: Path) -> None:
    aside = first.with_suffix(".aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


class TestDigests:
    """A chunk's checksum does not know its place, and metadata has none: `/integrity` says what belongs where."""

    @pytest.mark.parametrize("name", ["activations/base", "sensitivity/curve", "plateau/path_length"])
    def test_two_chunks_exchanged(self, name: str, run: Path) -> None:
        chunks = sorted(path for path in (run / name / "c").rglob("*") if path.is_file())
        exchange(*chunks[:2])
        problems = verify(run)
        assert [problem.partition(" chunk ")[0] for problem in problems] == [name, name]
        assert all(problem.endswith("not the chunk that was written there") for problem in problems)

    def test_whole_spans_exchanged_with_their_digests(self, run: Path) -> None:
        for path in sorted(run.glob("sensitivity/*/c/0")) + sorted(run.glob("integrity/sensitivity/c")):
            if (path / "1").exists():
                exchange(path / "0", path / "1")
        for path in run.glob("sensitivity/*/c"):
            assert path.exists()
        assert "integrity: not the digests that the run was sealed with" in verify(run)

    @pytest.mark.parametrize("key", ["config", "identity", "seed", "definitions", "commit", "name"])
    def test_a_changed_attribute(self, key: str, run: Path) -> None:
        metadata = json.loads((run / "zarr.json").read_text())
        value = metadata["attributes"][key]
        metadata["attributes"][key] = value + 1 if isinstance(value, int) else value.replace("synthetic", "Synthetic")
        if metadata["attributes"][key] == value:
            metadata["attributes"][key] = f"{value} "
        (run / "zarr.json").write_text(json.dumps(metadata))
        assert verify(run) == ["zarr.json: not what was written there"]

    def test_a_changed_prompt(self, run: Path) -> None:
        file = run / "prompts/text/c/0"
        file.write_bytes((run / "prompts/text/c/1").read_bytes())
        assert verify(run) == ["prompts/text/c/0: not what was written there"]

    @pytest.mark.slow
    def test_every_missing_file_of_a_summary(self, run: Path, tmp_path: Path) -> None:
        path = tmp_path / "summary.zarr"
        analyze(run, path, AnalysisConfig(resamples=150))
        assert verify(path) == []
        chunks = [file for file, _ in chunk_files(path) if "integrity" not in str(file)]
        for file in chunks[::40]:
            content = file.read_bytes()
            file.unlink()
            name = file.relative_to(path).as_posix()
            assert verify(path) == [f"{name}: missing"]
            # what is read on opening is missed while it is read, and the rest is counted afterwards
            with pytest.raises(
                UsageError, match=re.escape(name) + " (is missing: make the summary again|among them: analyse the run)"
            ):
                open_summary(path)
            file.write_bytes(content)
        assert len(chunks[::40]) > 5

    @pytest.mark.slow
    def test_a_changed_summary(self, run: Path, tmp_path: Path) -> None:
        path = tmp_path / "summary.zarr"
        analyze(run, path, AnalysisConfig(resamples=150))
        (path / "geometry/cosine/zarr.json").write_text(
            (path / "geometry/cosine/zarr.json").read_text().replace("cosine between", "sine between")
        )
        assert verify(path) == ["geometry/cosine/zarr.json: not what was written there"]

    def test_damaged_digests_are_no_traceback(self, run: Path) -> None:
        edit(run / "integrity", "attributes", value={"sha256": [1, 2]})
        assert "integrity: attribute sha256 is damaged" in verify(run)


class TestRepair:
    """`verify --repair` drops what is damaged, so that `collect` makes it again, to the same bytes."""

    def test_what_is_damaged_is_measured_again(self, run: Path, spec: RunSpec, seed: int) -> None:
        whole = {file: file.read_bytes() for file, _ in chunk_files(run)}
        flip_a_byte(run / "sensitivity/curve/c/0/1/0/0", np.random.default_rng(0))
        (run / "activations/target/c/0/0/0").unlink()
        exchange(run / "plateau/path_length/c/0/0", run / "plateau/path_length/c/0/2")
        (run / "plateau/stray.partial").write_bytes(b"x")
        assert len(verify(run)) == 5
        assert repair(run) == [
            "activations: samples 0 to 2 dropped",
            "sensitivity: samples 2 to 4 dropped",
            "plateau: samples 0 to 2 dropped",
            "plateau: samples 4 to 5 dropped",
            "plateau/stray.partial: removed",
        ]
        assert verify(run) == []
        generate_run(run, spec, seed)
        assert {file: file.read_bytes() for file, _ in chunk_files(run)} == whole
        assert verify(run) == []

    def test_a_sound_run_is_left_alone(self, run: Path) -> None:
        before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
        assert repair(run) == []
        assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before

    def test_metadata_cannot_be_mended(self, run: Path) -> None:
        (run / "sensitivity/curve/zarr.json").write_bytes(b"{")
        before = verify(run)
        assert repair(run) == []
        assert verify(run) == before != []

    def test_a_run_that_is_being_written(self, run: Path) -> None:
        with RunStore.open(run), pytest.raises(UsageError, match="is being written by process"):
            repair(run)


@pytest.mark.parametrize(
    "name", ["sensitivity/curve", "activations/target", "plateau/completed", "plateau/path_length"]
)
def test_analysing_a_flipped_chunk_is_one_line(name: str, run: Path, tmp_path: Path) -> None:
    chunk = next(path for path in sorted((run / name / "c").rglob("*")) if path.is_file())
    flip_a_byte(chunk, np.random.default_rng(0))
    with pytest.raises(UsageError) as raised:
        analyze(run, tmp_path / "summary.zarr", AnalysisConfig(resamples=150))
    message = str(raised.value)
    assert "\n" not in message
    assert "damaged" in message
    assert "verify" in message
    assert not (tmp_path / "summary.zarr").exists()


def test_a_chunk_that_is_missing_is_not_read_as_fill_values(run: Path) -> None:
    (run / "sensitivity/top_token/c/0/1/0").unlink()
    with pytest.raises(UsageError) as raised:
        open_run(run)
    assert str(raised.value).endswith(
        "lacks 1 of its files, sensitivity/top_token/c/0/1/0 among them: "
        "run `plateaulens verify --repair`, then `collect`"
    )


def files_of(store: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in store.rglob("*") if file.is_file()}


def forge(run: Path, **experiment: object) -> None:
    """Change what a run says of its first experiment, with a digest that says that this was written."""
    document = json.loads((run / "zarr.json").read_text())
    layout = json.loads(document["attributes"]["layout"])
    layout["experiments"][0].update(experiment)
    edit(run, "attributes", "layout", value=json.dumps(layout))
    digest = sha256((run / "zarr.json").read_bytes()).hexdigest()
    edit(run / "integrity", "attributes", "sha256", "zarr.json", value=digest)


class TestHostileStores:
    """Whoever can write a store can write all of it: what they make is no reason to touch anything else."""

    @pytest.fixture
    def victim(self, finished: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(finished, tmp_path / "victim.zarr"))

    @pytest.mark.parametrize("name", ["{victim}/sensitivity", "../victim.zarr/sensitivity", "..", "", "a/b", "prompts"])
    def test_an_experiment_called_like_files_elsewhere(self, name: str, run: Path, victim: Path) -> None:
        before = files_of(victim)
        forge(run, name=name.format(victim=victim))
        assert any("root attribute layout is damaged, the rest is unchecked" in line for line in verify(run))
        with pytest.raises(UsageError, match="root attribute layout is damaged"):
            repair(run)
        assert files_of(victim) == before

    def test_digests_of_files_elsewhere(self, run: Path, victim: Path) -> None:
        before = files_of(victim)
        names = [*before, "../victim.zarr/zarr.json", "../run.zarr/sensitivity/curve/c/0/0/0/0"]
        digests = json.loads((run / "integrity/zarr.json").read_text())["attributes"]["sha256"]
        edit(run / "integrity", "attributes", "sha256", value={**digests, **dict.fromkeys(names, "0" * 64)})
        own = files_of(run)
        assert f"{names[0]}: missing" in verify(run)
        assert repair(run) == []
        assert files_of(victim) == before
        assert files_of(run) == own

    @pytest.mark.parametrize("folder", ["sensitivity/curve/c", "sensitivity/curve/c/0/1", "sensitivity"])
    def test_folders_that_are_links(self, folder: str, run: Path, victim: Path) -> None:
        before = files_of(victim)
        shutil.rmtree(run / folder)
        (run / folder).symlink_to(victim / folder)
        assert f"{folder}: a symbolic link to a folder or to nothing, which is neither read nor written" in verify(run)
        with pytest.raises(UsageError, match=f"{folder} is a symbolic link to a folder"):
            repair(run)
        assert files_of(victim) == before

    def test_a_root_that_is_not_what_was_written(self, run: Path) -> None:
        zarr.open_group(run, mode="r+").attrs["commit"] = "another"
        (run / "sensitivity/top_token/c/0/2/0").unlink()
        before = files_of(run)
        with pytest.raises(UsageError, match=r"root attributes are damaged \(zarr\.json is not what was"):
            repair(run)
        assert files_of(run) == before

    def test_extents_without_end(self, run: Path) -> None:
        for name in ("sensitivity/curve", "plateau/activation_type", "integrity/plateau"):
            extent = json.loads((run / name / "zarr.json").read_text())["shape"]
            edit(run / name, "shape", value=[10**12] * len(extent))
        problems = verify(run)
        assert any(line.startswith("sensitivity/curve: shape: stored [1000000000000,") for line in problems)
        assert any(line.startswith("plateau/activation_type: shape: ") for line in problems)

    def test_extents_without_end_of_digests_of_a_run_that_says_nothing(self, run: Path) -> None:
        edit(run, "attributes", "layout", value="{}")
        edit(run / "integrity/plateau", "shape", value=[10**12, 10**6, 32])
        assert any("root attribute layout is damaged" in line for line in verify(run))

    @pytest.mark.parametrize(
        ("dtype", "fill"),
        [
            ("float64", "NaN"),
            ("string", "x"),
            ({"name": "fixed_length_utf32", "configuration": {"length_bytes": 4}}, ""),
            ("int32", 0),
        ],
    )
    @pytest.mark.parametrize("name", ["plateau/completed", "plateau/curve"])
    def test_other_dtypes(self, dtype: object, fill: object, name: str, run: Path) -> None:
        edit(run / name, "data_type", value=dtype)
        edit(run / name, "fill_value", value=fill)
        shutil.rmtree(run / name / "c")
        assert any(
            line.startswith((f"{name}: data_type: stored", f"{name}: zarr.json is damaged")) for line in verify(run)
        )

    @pytest.mark.parametrize("name", [b"\xff", b"x\n\x1b[31mred", b"a\r", b"n" * 200])
    def test_names_of_strays_are_one_line(self, name: bytes, run: Path) -> None:
        (run / os.fsdecode(name)).write_bytes(b"")
        (line,) = verify(run)
        assert line.isprintable()
        assert "belongs to nothing" in line
        line.encode()
        (done,) = repair(run)
        assert done.isprintable()
        assert verify(run) == []

    @pytest.mark.parametrize("inside", [(), ("deep/file",)])
    def test_a_folder_in_the_place_of_a_chunk(self, inside: tuple[str, ...], run: Path, victim: Path) -> None:
        before = files_of(victim)
        chunk = run / "sensitivity/curve/c/0/1/0/0"
        chunk.unlink()
        chunk.mkdir()
        for name in inside:
            (chunk / name).parent.mkdir(parents=True)
            (chunk / name).write_text("x")
        assert "sensitivity/curve chunk c/0/1/0/0: missing from a completed span" in verify(run)
        assert repair(run)[0] == "sensitivity: samples 2 to 4 dropped"
        assert not chunk.exists()
        assert verify(run) == []
        assert files_of(victim) == before


class TestBlamingDamage:
    def test_a_sound_store_that_is_not_as_it_is_read(self, run: Path) -> None:
        with pytest.raises(UsageError) as caught, blaming_damage(run):
            raise KeyError("censored")
        assert str(caught.value) == (
            f"{run} cannot be used (KeyError: 'censored'): every file is as it was written, but not as this version "
            "writes it: make it again"
        )

    @pytest.mark.parametrize("error", [MemoryError("no memory"), OSError("no space left")])
    def test_what_is_no_fault_of_the_store(self, error: Exception, run: Path) -> None:
        with pytest.raises(type(error)) as caught, blaming_damage(run):
            raise error
        assert caught.value is error

    def test_a_damaged_store(self, run: Path) -> None:
        (run / "sensitivity/top_token/c/0/2/0").unlink()
        with pytest.raises(UsageError, match=r"is damaged: sensitivity/top_token chunk c/0/2/0"), blaming_damage(run):
            raise KeyError("x")
