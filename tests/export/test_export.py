"""What is taken out of a summary: nothing lost, nothing made up, valid, the same bytes again, and safe to paste."""

import importlib.resources
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import plateaulens
from plateaulens import export
from plateaulens.config import AnalysisConfig, RunConfig, SweepConfig
from plateaulens.errors import UsageError
from plateaulens.export.page import _estimate, code, page
from plateaulens.export.results import FORMAT, VERSION, as_text, results
from plateaulens.export.tables import BOUND, groups, ordered, tables
from plateaulens.store.manifest import Entry, Manifest, config_of
from plateaulens.store.run import RunStore
from plateaulens.summary.analyze import write_summary
from plateaulens.summary.sweep import summarize_sweep
from plateaulens.testing import synthetic_attributes, synthetic_prompts, synthetic_spec, synthetic_values

SCHEMA = json.loads((importlib.resources.files("plateaulens.export") / "results.schema.json").read_text())
DOCUMENT = Path(__file__).parents[2] / "docs" / "results.md"
CURVES = {"sample", "example", "position", "step"}
PAYLOAD = "`` ` <script>alert(1)</script> | a | **b** [x](javascript:1) \n# h \x1b[2J <!--"


@pytest.fixture(scope="module")
def found(synthetic_summary: xr.DataTree) -> dict[str, Any]:
    return results(synthetic_summary, ("data/comparisons.csv",))


@pytest.fixture(scope="module")
def frames(synthetic_summary: xr.DataTree) -> dict[str, pd.DataFrame]:
    return dict(tables(synthetic_summary))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    """The summary of three sites."""
    folder = tmp_path_factory.mktemp("sweep")
    spec = synthetic_spec(12, activation_types=("real", "random"), experiments=("sensitivity",), steps=31)
    config = RunConfig.model_validate_json(str(synthetic_attributes(spec, 0)["config"]))
    writes, entries = [f"blocks.{block}.hook_resid_pre" for block in (1, 4, 8)], []
    for seed, write in enumerate(writes):
        entry = Entry(
            name=f"cell-{seed}", model="syn", sae="none", write=write, read="blocks.11.hook_resid_post", seed=0
        )
        attributes = {**synthetic_attributes(spec, 0, entry.name), "config": config_of(config, entry).model_dump_json()}
        with RunStore.create(folder / entry.run, spec, attributes, synthetic_prompts(spec, 0)) as store:
            for group in ("activations", "sensitivity"):
                for span in store.pending(group):
                    store.write(group, span, synthetic_values(spec, group, span, seed))
            store.seal()
        entries.append(entry.with_state("complete"))
    asked = config.model_copy(update={"name": "layers", "sweep": SweepConfig(write=tuple(writes))})
    return summarize_sweep(folder, Manifest(config=asked, cells=tuple(entries)), AnalysisConfig(resamples=50))


def value(written: Any) -> float:
    return math.nan if written is None else float(written)


class TestTables:
    def test_every_variable_of_every_group_is_in_one(
        self, synthetic_summary: xr.DataTree, frames: dict[str, pd.DataFrame]
    ) -> None:
        columns = {name for frame in frames.values() for name in frame.columns}
        for group in groups(synthetic_summary).values():
            for name, variable in group.data_vars.items():
                base = str(name).removesuffix("_interval")
                assert {f"{base}_lower", f"{base}_upper"} <= columns if BOUND in variable.dims else name in columns

    def test_every_number_is_where_its_row_says(
        self, synthetic_summary: xr.DataTree, frames: dict[str, pd.DataFrame]
    ) -> None:
        frame = frames["comparisons"]
        assert len(frame) == 3 * 2 * 4 * 3 * 9
        for place in np.random.default_rng(0).choice(len(frame), 60, replace=False):
            row = frame.iloc[place]
            keys = ("convention", "statistic", "metric", "activation_type")
            cell = synthetic_summary[row["experiment"]].to_dataset().sel({key: row[key] for key in keys})
            for name in ("ks", "mean_difference", "ks_p_holm"):
                np.testing.assert_equal(row[name], cell[name].item())
            np.testing.assert_equal([row["ks_lower"], row["ks_upper"]], cell["ks_interval"].values)
            assert row["conclusion"] == cell["conclusion"].item()

    def test_one_prompt_is_one_row(self, synthetic_summary: xr.DataTree, frames: dict[str, pd.DataFrame]) -> None:
        steps = frames["steps"]
        own = steps.query(
            "experiment == 'plateau' and convention == 'corrected' and statistic == 'plateau_length' "
            "and metric == 'l2' and activation_type == 'bag'"
        )
        cell = (
            synthetic_summary["plateau"]
            .to_dataset()
            .step_value.sel(convention="corrected", statistic="plateau_length", metric="l2", activation_type="bag")
        )
        np.testing.assert_array_equal(own["step_value"], cell)
        assert own["sample"].tolist() == list(range(24))
        assert frames["prompts"]["text"].tolist() == [str(each) for each in synthetic_summary["prompts"].text.values]

    def test_prompts_can_be_left_out(self, synthetic_summary: xr.DataTree) -> None:
        for name, frame in tables(synthetic_summary, prompts=False):
            assert not {"sample", "example", "position", "text"} & set(frame.columns), name

    def test_names_are_known_and_of_files(self, frames: dict[str, pd.DataFrame], sweep: xr.DataTree) -> None:
        assert not [name for name in frames if "_by_" in name and name not in SHORT]
        assert {"comparisons", "pairs"} <= {name for name, _ in tables(sweep)}

    def test_the_order_of_storage_is_none_of_its_own(self, synthetic_summary: xr.DataTree) -> None:
        kept = ("plateau", "geometry")
        straight = xr.DataTree.from_dict({name: synthetic_summary[name].to_dataset() for name in kept})
        straight.attrs = synthetic_summary.attrs
        turned = xr.DataTree.from_dict(
            {
                str(name): xr.Dataset(
                    dict(reversed(list(node.to_dataset().data_vars.items()))), node.to_dataset().coords
                )
                for name, node in reversed(list(straight.children.items()))
            }
        )
        turned.attrs = synthetic_summary.attrs
        for (name, one), (other_name, other) in zip(
            tables(straight, prompts=False), tables(turned, prompts=False), strict=True
        ):
            assert name == other_name
            pd.testing.assert_frame_equal(one, other)
        assert as_text(results(turned)) == as_text(results(straight))


SHORT = {"by_metric", "by_type", "prompts_by_metric", "prompts_by_type", "geometry_by_prompt"}


class TestResults:
    def test_they_are_what_the_schema_says(self, found: dict[str, Any], sweep: xr.DataTree) -> None:
        validator = jsonschema.Draft202012Validator
        validator.check_schema(SCHEMA)
        for every, own in ((50, found), (10, results(sweep))):
            read = json.loads(as_text(own))
            assert read == own
            validator(SCHEMA).validate(read | {"statistics": read["statistics"][::every]})
        assert (found["format"], found["version"]) == (FORMAT, VERSION)

    @pytest.mark.parametrize(
        "change",
        [
            {"estimate": "NaN"},
            {"verdict": ""},
            {"n": -1},
            {"tests": [{"name": "ks_p", "p": 1.5, "p_holm": None, "p_bh": None, "margin": None}]},
            {"quantity": "a b"},
            {"more": 1},
        ],
    )
    def test_the_schema_refuses(self, found: dict[str, Any], change: dict[str, Any]) -> None:
        broken = found | {"statistics": [found["statistics"][0] | change]}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(SCHEMA).validate(broken)

    def test_no_number_is_lost(self, synthetic_summary: xr.DataTree, found: dict[str, Any]) -> None:
        """Every finite number of every variable that is no curve is in a record of its cell, and nothing else is."""
        for name, group in groups(synthetic_summary).items():
            own = [record for record in found["statistics"] if record["group"] == name]
            written = {each for record in own for each in numbers(record)}
            for key, variable in group.data_vars.items():
                if set(variable.dims) & CURVES or variable.dtype.kind not in "fiu":
                    continue
                values = variable.to_numpy()
                if "other_type" in variable.dims:
                    pairs = group.sizes["other_type"]
                    upper = xr.DataArray(
                        np.triu(np.ones((pairs, pairs), bool), 1), dims=("activation_type", "other_type")
                    )
                    values = variable.where(upper).to_numpy()
                stored = set(values[np.isfinite(values)].tolist())
                assert stored <= written, (name, key)

    def test_curves_and_single_prompts_are_in_the_tables_alone(
        self, found: dict[str, Any], frames: dict[str, pd.DataFrame]
    ) -> None:
        assert not [record for record in found["statistics"] if set(record["at"]) & CURVES]
        held = {column for frame in frames.values() for column in frame.columns}
        assert held >= CURVES - {"example"}
        assert as_text(found).count("\n{") == len(found["statistics"]), "one line for each, without spaces"

    def test_every_word_and_flag_is_there(self, synthetic_summary: xr.DataTree, found: dict[str, Any]) -> None:
        for name, group in groups(synthetic_summary).items():
            own = [record for record in found["statistics"] if record["group"] == name]
            words = {record[key] for record in own for key in ("verdict", "conclusion")}
            flags = {flag for record in own for flag in record["flags"]} | {record["quantity"] for record in own}
            for key, variable in group.data_vars.items():
                if set(variable.dims) & CURVES:
                    continue
                if variable.dtype.kind == "T":
                    assert {str(each) for each in variable.values.ravel()} - {"undefined"} <= words, (name, key)
                if variable.dtype.kind == "b":
                    assert key in flags, (name, key)

    def test_a_record_is_its_cell(self, synthetic_summary: xr.DataTree, found: dict[str, Any]) -> None:
        own = [each for each in found["statistics"] if (each["group"], each["quantity"]) == ("sensitivity", "ks")]
        assert len(own) == 180  # 216 cells, of which those of the authors' convention on a metric they lack have none
        for record in own[::7]:
            cell = synthetic_summary["sensitivity"].to_dataset().sel(record["at"])
            np.testing.assert_equal(value(record["estimate"]), cell.ks.item())
            if record["interval"] is not None:
                assert [record["interval"]["lower"], record["interval"]["upper"]] == cell.ks_interval.values.tolist()
                assert record["interval"]["method"] == "uniform band"
                assert record["interval"]["confidence"] == 0.95
            tests = {test["name"]: test for test in record["tests"]}
            assert set(tests) == {"ks_equivalence_p", "ks_p", "ks_p_pooled"}
            for name, key in (("ks_p", "p"), ("ks_p_holm", "p_holm"), ("ks_p_bh", "p_bh")):
                np.testing.assert_equal(value(tests["ks_p"][key]), cell[name].item())
            assert tests["ks_equivalence_p"]["margin"] == 0.15
            assert record["n"] == cell.n_pairs.item()
            assert record["verdict"] == cell.verdict.item()
            assert record["conclusion"] == cell.conclusion.item()
            assert record["flags"] == {"exceeds_chance": cell.exceeds_chance.item()}
            assert record["unit"] == "1"

    def test_what_lies_beyond_the_window_is_said(self, synthetic_summary: xr.DataTree) -> None:
        group = synthetic_summary["sensitivity"].to_dataset().copy(deep=True)
        group["median_difference"][:] = math.inf
        tree = xr.DataTree.from_dict({"sensitivity": group})
        tree.attrs = synthetic_summary.attrs
        own = [each for each in results(tree)["statistics"] if each["quantity"] == "median_difference"]
        assert {each["estimate"] for each in own} == {"Infinity"}

    def test_a_sweep_says_where(self, sweep: xr.DataTree) -> None:
        own = [each for each in results(sweep)["statistics"] if each["quantity"] == "ks"]
        assert {each["at"]["write"] for each in own} == {f"blocks.{block}.hook_resid_pre" for block in (1, 4, 8)}
        pooled = [each for each in results(sweep)["statistics"] if each["quantity"] == "pooled_difference"]
        assert {each["n"] for each in pooled} == {3}

    def test_the_document_describes_every_field(self) -> None:
        text = DOCUMENT.read_text()
        for name in (
            *SCHEMA["properties"],
            *SCHEMA["$defs"]["statistic"]["properties"],
            *SCHEMA["properties"]["about"]["properties"],
        ):
            assert f"`{name}`" in text, name

    def test_the_document_describes_every_table(self, frames: dict[str, pd.DataFrame]) -> None:
        for name in frames:
            assert f"`{name}`" in DOCUMENT.read_text(), name


def numbers(record: dict[str, Any]) -> list[float]:
    found = [record["estimate"], record["n"], record["at"].get("value")]
    found += [] if record["interval"] is None else [record["interval"]["lower"], record["interval"]["upper"]]
    found += [test[key] for test in record["tests"] for key in ("p", "p_holm", "p_bh")]
    return [float(each) for each in found if isinstance(each, int | float)]


class TestPage:
    def test_numbers_come_first(self, found: dict[str, Any], synthetic_summary: xr.DataTree) -> None:
        title, _, first, *_ = page(found).splitlines()
        assert title == "# `synthetic`: does it behave like a real activation?"
        cell = (
            synthetic_summary["sensitivity"]
            .to_dataset()
            .sel(convention="corrected", statistic="max_slope", metric="l2", activation_type="isotropic")
        )
        low, high = cell.ks_interval.values
        assert first.startswith("- **relative steps, max-slope step, L2**: ")
        assert f"isotropic (KS {cell.ks.item():.3g} [{low:.3g}, {high:.3g}])" in first

    @pytest.mark.parametrize(("steps", "plateaus"), [("earlier", "shorter"), ("later", "longer")])
    def test_a_plateau_is_shorter_or_longer_and_no_step_is(
        self, found: dict[str, Any], steps: str, plateaus: str
    ) -> None:
        """The words of a difference at equal geometry, and over the sites of a sweep, are those of the page."""
        records = [
            {**each, "verdict": f"still {steps}"} if each["quantity"] == "adjusted_difference" else each
            for each in found["statistics"]
        ]
        pooled = [
            {**each, "quantity": "pooled_difference", "verdict": steps}
            for each in records
            if each["group"] in {"sensitivity", "plateau"} and each["quantity"] == "mean_difference"
        ]
        text = page({**found, "statistics": [*records, *pooled]})
        parts = {
            title: rest.strip().splitlines()[2:] for title, _, rest in (p.partition("\n") for p in text.split("## "))
        }
        equal = parts["At equal path length, norm, cosine and distance from the mean"]
        for title, word in (("relative steps", steps), ("plateaus", plateaus)):
            own = [line for line in equal if line.startswith(f"| {title} |")]
            assert {line.split(" | ")[-1] for line in own} == {f"still {word} |"}
            assert {line.split(" | ")[-1] for line in parts[f"{title}: all sites together"]} == {f"{word} |"}

    def test_tables_are_square(self, found: dict[str, Any], sweep: xr.DataTree) -> None:
        for text in (page(found), page(results(sweep))):
            blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
            assert len(blocks) >= 3
            for block in blocks:
                assert len({line.replace("\\|", "").count("|") for line in block}) == 1
                assert set(block[1]) == set("|- ")

    def test_an_end_that_there_is_not(self, found: dict[str, Any]) -> None:
        share = {"estimate": 0.5, "interval": {"lower": "-Infinity", "upper": 0.7}, "flags": {}, "unit": "1"}
        assert _estimate(share) == "0.5 [unbounded, 0.7]"
        assert _estimate({**share, "unit": "step"}) == "0.5 [before the window, 0.7]"
        units = {each["quantity"]: each["unit"] for each in found["statistics"]}
        assert (units["ks"], units["mean"]) == ("1", "step")

    def test_what_a_summary_says_means_nothing(self, found: dict[str, Any]) -> None:
        about = found["about"] | {
            "name": PAYLOAD,
            "model": {"source": PAYLOAD},
            "commit": PAYLOAD,
            "definitions": {"real": PAYLOAD},
            "versions": {PAYLOAD: PAYLOAD},
        }
        records = [
            record
            | {"conclusion": PAYLOAD, "verdict": PAYLOAD}
            | {"at": record["at"] | {axis: PAYLOAD for axis in ("classifier", "detector") if axis in record["at"]}}
            for record in found["statistics"]
        ]
        assert sum(PAYLOAD in record["at"].values() for record in records) > 2
        text = page(found | {"about": about, "statistics": records})
        from markdown_it import MarkdownIt

        page_html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
        for forbidden in ("<script", "<a ", "<!--", "<strong>b", 'javascript:1"', "\x1b"):
            assert forbidden not in page_html
        assert page_html.count("<h1>") == 1

    @pytest.mark.parametrize("text", ["", "`", "``a``", "a|b", "  x ", "\n\t", "x" * 5000])
    def test_a_code_span_is_one(self, text: str) -> None:
        from markdown_it import MarkdownIt

        (token,) = MarkdownIt("commonmark").parseInline(code(text))[0].children or []
        assert token.type == "code_inline"


class TestFiles:
    @pytest.fixture
    def small(self, synthetic_summary: xr.DataTree) -> xr.DataTree:
        tree = xr.DataTree.from_dict({"geometry": synthetic_summary["geometry"].to_dataset()})
        tree.attrs = synthetic_summary.attrs
        return tree

    @pytest.mark.parametrize("to", export.FORMATS)
    def test_the_same_bytes_again(self, small: xr.DataTree, tmp_path: Path, to: Any) -> None:
        one, other = (export.write_all(small, tmp_path / name, to=to, prompts=True) for name in ("one", "other"))
        assert [file.relative_to(tmp_path / "one") for file in one] == [
            file.relative_to(tmp_path / "other") for file in other
        ]
        assert [file.read_bytes() for file in one] == [file.read_bytes() for file in other]
        written = {
            file.relative_to(tmp_path / "one").as_posix() for file in (tmp_path / "one").rglob("*") if file.is_file()
        }
        assert written == {
            "results.json",
            "report.md",
            *(f"data/{name}.{to}" for name in ("geometry", "geometry_by_prompt", "bases", "token_share")),
        }

    @pytest.mark.parametrize("to", export.FORMATS)
    def test_they_are_read_back_as_they_were(self, small: xr.DataTree, tmp_path: Path, to: Any) -> None:
        export.write_all(small, tmp_path, to=to, prompts=True)
        read: Any = pd.read_csv if to == "csv" else pd.read_parquet
        for name, frame in tables(small):
            pd.testing.assert_frame_equal(read(tmp_path / "data" / f"{name}.{to}"), frame, check_dtype=False)

    def test_tables_of_an_earlier_call_go_and_others_stay(self, small: xr.DataTree, tmp_path: Path) -> None:
        export.write_all(small, tmp_path, prompts=True)
        own = tmp_path / "data" / "mine.csv"
        own.write_text("1")
        victim = tmp_path / "victim.csv"
        victim.write_text("1")
        found = json.loads((tmp_path / "results.json").read_text())
        found["tables"] += ["data/../victim.csv", "victim.csv", 7]
        (tmp_path / "results.json").write_text(json.dumps(found))
        export.write_all(small, tmp_path)
        assert {file.name for file in (tmp_path / "data").iterdir()} == {"geometry.csv", "token_share.csv", "mine.csv"}
        assert victim.exists()

    @pytest.mark.parametrize("to", ["csv", "parquet"])
    def test_an_experiment_that_has_not_begun_is_no_hindrance(self, to: Any, tmp_path: Path) -> None:
        spec = synthetic_spec(24, activation_types=("real", "random"), experiments=("sensitivity", "plateau"), steps=21)
        attributes, prompts = synthetic_attributes(spec, 1), synthetic_prompts(spec, 1)
        with RunStore.create(tmp_path / "run.zarr", spec, attributes, prompts) as store:
            for group in ("activations", "sensitivity"):
                for span in store.pending(group):
                    store.write(group, span, synthetic_values(spec, group, span, 1))
        plateaulens.analyze(tmp_path / "run.zarr", tmp_path / "summary.zarr", AnalysisConfig(resamples=50))
        with plateaulens.open_summary(tmp_path / "summary.zarr") as summary:
            assert summary["plateau"].sizes["explored"] == 0
        export.export(tmp_path / "summary.zarr", tmp_path / "out", to=to)
        found = json.loads((tmp_path / "out" / "results.json").read_text())
        assert {"sensitivity", "plateau"} <= {each["group"] for each in found["statistics"]}
        frame = pd.read_csv if to == "csv" else pd.read_parquet
        assert set(frame(tmp_path / "out" / "data" / f"comparisons.{to}")["experiment"]) == {"sensitivity", "plateau"}

    def test_a_folder_of_a_store_is_refused(self, small: xr.DataTree, tmp_path: Path) -> None:
        write_summary(small, tmp_path / "s.zarr")
        for folder in (tmp_path / "s.zarr", tmp_path / "s.zarr" / "in"):
            with pytest.raises(UsageError, match="choose another"):
                export.write_all(small, folder)
        assert plateaulens.verify(tmp_path / "s.zarr") == []

    def test_a_format_is_one_that_there_is(self, small: xr.DataTree, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no format 'xml': there is csv, parquet"):
            export.write_all(small, tmp_path / "out", to="xml")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("attribute", "text"),
        [("config", "{"), ("config", '{"model": [1]}'), ("definitions", "[]"), ("looks", "[{}]"), ("layout", "[]")],
    )
    def test_what_a_damaged_summary_says_is_one_line(
        self, small: xr.DataTree, tmp_path: Path, attribute: str, text: str
    ) -> None:
        small.attrs = small.attrs | {attribute: text}
        with pytest.raises(UsageError, match="damaged") as caught:
            export.write_all(small, tmp_path / "out")
        assert len(str(caught.value).splitlines()) == 1
        assert not (tmp_path / "out").exists()

    def test_without_pyarrow_it_says_what_to_install(
        self, small: xr.DataTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(UsageError, match=r"plateaulens\[parquet\]"):
            export.write_all(small, tmp_path / "out", to="parquet")
        assert not (tmp_path / "out").exists()


def test_dimensions_have_one_order() -> None:
    assert ordered(("bound", "activation_type", "metric", "experiment")) == ("experiment", "metric", "activation_type")
