"""Tests of plateaulens.report.pooling, over a summary of a sweep that is made by hand."""

import numpy as np
import pytest
import xarray as xr

from plateaulens.config import RunConfig
from plateaulens.report.pooling import pooled_sentence, pooled_table, pooled_table_caption
from plateaulens.store.manifest import Entry
from plateaulens.summary.pooling import pooled_dataset
from plateaulens.testing import synthetic_attributes, synthetic_spec

TYPES = ("real", "real_control", "random", "bag", "structured")
CENTRES = {"real": 0.0, "real_control": 0.0, "random": 9.0, "bag": -2.0, "structured": 0.1}


def summary_of(sites: int, *, spread: float = 0.2) -> xr.DataTree:
    """So many write sites; bag's difference varies by ten times the spread between them."""
    rng = np.random.default_rng(0)
    shared = 3 * rng.standard_normal(80)
    changes = {}
    for site in range(sites):
        for read in ("a", "b"):
            values = np.stack(
                [
                    np.zeros(80)
                    if name == "real"
                    else CENTRES[name]
                    + (3 if name == "bag" else spread) * rng.standard_normal() * (name != "real_control")
                    + shared
                    + rng.standard_normal(80)
                    for name in TYPES
                ]
            )
            entry = Entry(name=f"{site}{read}", model="m", sae="none", write=f"w{site}", read=read, seed=0)
            changes[entry] = xr.DataArray(
                values[np.newaxis],
                dims=("metric", "activation_type", "sample"),
                coords={"metric": ["l2"], "activation_type": list(TYPES)},
            )
    pooled = pooled_dataset(changes, "sensitivity", 0.95)
    control = ("activation_type", [name == "real_control" for name in TYPES])
    group = pooled.assign_coords(
        metric=["l2"], activation_type=list(TYPES), bound=["lower", "upper"], is_control=control
    )
    spec = synthetic_spec(8, activation_types=TYPES, experiments=("sensitivity",))
    tree = xr.DataTree.from_dict({"sensitivity": group})
    tree.attrs = {"name": "sweep", "config": synthetic_attributes(spec, 0)["config"]}
    assert RunConfig.model_validate_json(str(tree.attrs["config"])).experiments == ("sensitivity",)
    return tree


def test_one_answer_with_what_a_new_site_may_have() -> None:
    summary = summary_of(8)
    group = summary["sensitivity"].to_dataset()
    assert group["pooled_sites"].sel(activation_type="random") == 8, "two runs at a write site are one site"
    assert float(group["pooled_difference"].sel(activation_type="random")[0]) == pytest.approx(9, abs=1.2)
    for name, words in {"real": "undefined", "random": "later", "structured": "undecided"}.items():
        assert group["pooled_direction"].sel(activation_type=name).item() == words
    text = pooled_sentence(summary)
    assert "On L2, over 8 sites together, random blows up later than real. The same is to be expected at a" in text
    assert "structured" not in text
    cells = pooled_table(summary).cells()
    assert len(cells) == 1 + len(TYPES) - 1
    assert "8 of them" in pooled_table_caption(summary)


def test_a_claim_of_the_mean_is_none_of_a_new_site() -> None:
    group = summary_of(8)["sensitivity"].to_dataset()
    changed = group.copy(deep=True)
    changed["pooled_direction"].loc[{"activation_type": "bag"}] = "earlier"
    changed["pooled_new_site"].loc[{"activation_type": "bag"}] = "undecided"
    tree = xr.DataTree.from_dict({"sensitivity": changed})
    tree.attrs = summary_of(8).attrs
    text = pooled_sentence(tree)
    assert "bag blows up earlier than real. At a new site it need not be so." in text
    changed["pooled_direction"].loc[{"activation_type": ["bag", "random"]}] = "later"
    changed["pooled_new_site"].loc[{"activation_type": "random"}] = "later"
    tree = xr.DataTree.from_dict({"sensitivity": changed})
    tree.attrs = summary_of(8).attrs
    assert "At a new site the same is to be expected of random." in pooled_sentence(tree)


def test_two_sites_say_nothing_together() -> None:
    """Two write sites with two read sites each: every run is a site, as there are fewer than three write sites."""
    assert summary_of(2)["sensitivity"]["pooled_sites"].sel(activation_type="random") == 4
    one = summary_of(1)
    assert "too few sites" in pooled_sentence(one)
    assert pooled_table(one).frame["new"].isna().all()
