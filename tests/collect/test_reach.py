"""The tables of docs/models.md are what the command finds, and SAELens' registry is within reach."""

from pathlib import Path

import pandas as pd
import pytest

from plateaulens.collect import reach
from plateaulens.errors import UsageError
from plateaulens.names import COPIED, PACKED, WAYS, WHOLE
from plateaulens.scan.direct import VERIFIED
from plateaulens.subject.registry import walk_registry
from plateaulens.subject.tiny import MODEL_TYPES

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return reach.ways()


@pytest.mark.slow
class TestWays:
    def test_every_architecture_runs(self, found: pd.DataFrame) -> None:
        assert set(found.index) == set(MODEL_TYPES)
        assert set(found["hook_resid_pre"]) <= set(WAYS)

    def test_verified_ones_are_packed_wherever_they_have_a_site(self, found: pd.DataFrame) -> None:
        verified = found.loc[[kind for kind in found.index if kind in VERIFIED]]
        assert len(verified) == len(VERIFIED)
        assert set(verified.to_numpy().ravel()) == {PACKED, reach.NOT_POSSIBLE}

    def test_windows_by_index_and_recurrent_states_are_not(self, found: pd.DataFrame) -> None:
        for kind in ("gpt_neo", "bloom", "mpt", "qwen3_next", "qwen3_5"):
            assert found.loc[kind, "hook_resid_pre"] in {WHOLE, COPIED}

    def test_the_page_has_this_table(self, found: pd.DataFrame) -> None:
        assert reach.as_markdown(found) in PAGE.read_text()


@pytest.mark.slow
class TestRegistry:
    def test_at_least_99_percent_of_all_autoencoders(self, found: pd.DataFrame) -> None:
        table = reach.registry(found)
        entries = sum("transcoder" not in entry.kind for entry in walk_registry())
        assert table["entries"].sum() == entries
        assert table["measurable"].sum() >= 0.99 * entries
        missing = table[table["measurable"] < table["entries"]]
        assert set(missing["way"]) <= {reach.NOT_POSSIBLE}

    def test_the_page_has_this_table(self, found: pd.DataFrame) -> None:
        table = reach.registry(found)
        assert f"{reach.as_markdown(table)}\n{reach.told(table)}" in PAGE.read_text()


def test_every_model_of_the_registry_has_an_architecture() -> None:
    kinds = {entry.model: reach.model_type_of(entry.model) for entry in walk_registry() if entry.is_autoencoder}
    assert [name for name, kind in kinds.items() if kind not in MODEL_TYPES] == []
    assert kinds["gemma-2-2b"] == "gemma2"
    assert kinds["gemma-2b"] == "gemma"
    assert kinds["Qwen/Qwen3-30B-A3B-Base"] == "qwen3_moe"


def test_an_unknown_architecture_is_not_counted() -> None:
    nothing = pd.DataFrame({end: {"llama": WHOLE} for end in reach.ENDS})
    table = reach.registry(nothing)
    assert set(table.loc[table["measurable"] > 0, "model_type"]) == {"llama"}
    assert reach.told(table).startswith(f"{table['measurable'].sum():,} of 10,0")


def test_a_page_without_a_place() -> None:
    with pytest.raises(UsageError, match=r"the page has no place .* give it <!-- cost --> and <!-- /cost -->"):
        reach.insert("text", "cost", pd.DataFrame({"a": [1]}))


def test_tables_are_aligned_for_a_terminal() -> None:
    table = pd.DataFrame({"seconds": {"packed": 1.0, "whole": 12.5}}).rename_axis("way")
    assert reach.as_text(table) == "way     seconds\npacked  1\nwhole   12.5\n"


@pytest.mark.model
def test_costs_on_the_embedded_model() -> None:
    table = reach.costs("embedded:smollm2", prompts=1, paths=1, steps=21)
    assert list(table.index) == list(WAYS)
    assert table.loc[PACKED, "times"] == 1
    seconds = {way: float(str(table.loc[way, "seconds"])) for way in WAYS}
    assert seconds[COPIED] > seconds[WHOLE] > 0
