"""Tests of plateaulens.report.steepness."""

import numpy as np
import xarray as xr
from tests.report.words import related

from plateaulens.report.steepness import steepness_sentences, steepness_table, steepness_table_caption
from plateaulens.report.text import number


def test_the_words_follow_the_intervals_of_the_ratios(sensitivity: xr.Dataset) -> None:
    kinds = ["real", "random", "bag", "structured"]
    few = sensitivity.sel(activation_type=kinds).copy(deep=True)
    for name, interval in {"random": (0.5, 0.9), "bag": (0.9, 1.1), "structured": (1.2, 1.4)}.items():
        few["steepness_ratio_interval"].loc[{"metric": "kl", "activation_type": name}] = np.array(interval)
    text = steepness_sentences(related(few), metrics=("kl",))
    assert text.count("less steep than real") == text.count("are steeper than real") == 1
    assert text.count("not shown to differ") == 1
    less, steeper, unknown = text.split(" On KL, ")[1:]
    assert "random" in less
    assert "0.50 to 0.90" in less
    assert "structured" in steeper
    assert "steeper than" in steeper
    assert "bag" in unknown


def test_curves_that_do_not_blow_up_are_counted_and_claim_nothing(sensitivity: xr.Dataset) -> None:
    few = sensitivity.sel(activation_type=["real", "random", "bag"]).copy(deep=True)
    few["steepness_n"].loc[{"metric": "l2"}] = [24, 0, 20]
    few["steepness_n_pairs"].loc[{"metric": "l2"}] = [24, 0, 20]
    few["steepness_ratio_interval"].loc[{"metric": "l2", "activation_type": "random"}] = np.nan
    text = steepness_sentences(related(few), metrics=("l2",))
    assert "curves towards random blow up in no base prompt in which real's do." in text
    assert text.endswith("Curves that do not blow up have none: at most 24 of 24 of a type, those towards random.")
    assert steepness_table(few).frame.set_index("type").loc["bag", "steepness_n_l2"] == 20
    few["steepness_n"].loc[{"metric": "l2", "activation_type": "real"}] = 0
    assert steepness_sentences(few, metrics=("l2",)) == (
        "On L2, no curve towards real targets blows up, so there is no steepness to compare with."
    )
    few["steepness_n"].loc[{"metric": "l2"}] = 24
    assert "have none" not in steepness_sentences(few, metrics=("l2",))


def test_without_another_type_there_is_nothing_to_say(sensitivity: xr.Dataset) -> None:
    assert "no type to compare" in steepness_sentences(sensitivity.sel(activation_type=["real"]))


def test_the_table_holds_the_summary_s_numbers(sensitivity: xr.Dataset) -> None:
    table = steepness_table(sensitivity).cells().set_index("type")
    values = sensitivity.sel(metric="l2", activation_type="random")
    low, high = values["steepness_ratio_interval"].to_numpy()
    expected = f"{number(float(values['steepness_ratio']), 2)} [{number(low, 2)},\u00a0{number(high, 2)}]"
    assert table.loc["random", "L2, to real"] == expected
    assert table.loc["real", "L2, to real"] == "\N{EM DASH}"
    assert "95\xa0%" in steepness_table_caption(sensitivity)
