"""The explorer of the page: its data are the summary's, it is small, safe, and answers to mouse and keyboard."""

import base64
import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pypandoc
import pytest
import xarray as xr
from numpy.typing import NDArray
from tests.report.test_hostile import PAYLOAD, Elements, poisoned
from tests.seeing import DESKTOP, NARROW, TELEPHONE, WIDE, Opened, opened

import qmdrender
from plateaulens.errors import UsageError
from plateaulens.names import label
from plateaulens.report import explorer
from plateaulens.report import text as text_of_report
from plateaulens.report.contents import types_of
from plateaulens.summary.explored import SIDES

CODE = (explorer._FILES / "explorer.js").read_text(encoding="utf-8")
DATA = re.compile(r'<script type="application/octet-stream" id="explorer-data">\n([^<]*)</script>')


def fitted(summary: xr.DataTree, most: int = explorer.MOST_BYTES) -> explorer.OnPage:
    """The data of a summary that has some."""
    found = explorer.fitting(summary, most)
    assert found is not None
    return found


def unpacked(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(text)))
    return found


def curves_of(found: dict[str, Any], experiment: dict[str, Any]) -> NDArray[np.float64]:
    """The curves as the page draws them, (prompt, type, metric, step)."""
    shape = (len(experiment["prompts"]), len(experiment["types"]), len(found["metrics"]), len(experiment["x"]))
    levels = np.cumsum(np.cumsum(np.reshape(experiment["curves"], shape), axis=-1), axis=-1)
    return np.asarray(levels * np.reshape(experiment["tops"], shape[:-1])[..., None] / found["levels"])


@pytest.fixture(scope="module")
def found(summary: xr.DataTree) -> dict[str, Any]:
    return unpacked(fitted(summary).text)


class TestData:
    def test_curves_are_the_store_s(self, summary: xr.DataTree, found: dict[str, Any]) -> None:
        assert [len(each["prompts"]) for each in found["experiments"]] == [24, 24, 24]
        for name, each in zip(("sensitivity", "sensitivity_absolute", "plateau"), found["experiments"], strict=True):
            group = summary[name].to_dataset().sel(metric=[metric["name"] for metric in found["metrics"]])
            types = [kind["name"] for kind in each["types"]]
            stored = group["explored_curve"].sel(activation_type=types)
            expected = stored.transpose("explored", "activation_type", "metric", "step").to_numpy()
            error = np.abs(curves_of(found, each) - expected).max(axis=-1)
            assert (error <= np.abs(expected).max(axis=-1) * (0.5001 / explorer.LEVELS + 1e-5)).all()
            mean = group["curve_mean"].sel(activation_type=types).transpose("activation_type", "metric", "step")
            np.testing.assert_allclose(each["means"], mean, rtol=1e-5, atol=1e-9)

    def test_jumps_are_those_of_the_summary(self, summary: xr.DataTree, found: dict[str, Any]) -> None:
        group, each = summary["sensitivity"].to_dataset(), found["experiments"][0]
        own = group.sel(convention="corrected", statistic="max_slope")
        step = own["step_value"].transpose("sample", "activation_type", "metric").to_numpy()
        jumps = np.reshape(each["jumps"], step.shape)
        np.testing.assert_array_equal(jumps, np.where(np.isfinite(step), step, -1))
        assert (jumps == -1).any()
        for kind, metric in np.ndindex(*step.shape[1:]):
            one = step[:, kind, metric]
            counts = each["counts"][kind][metric]
            assert counts == [int((one == at).sum()) for at in range(101)]
            assert each["totals"][kind][metric] == 24

    def test_tokens_and_texts_are_those_of_the_summary(self, summary: xr.DataTree, found: dict[str, Any]) -> None:
        group, each = summary["plateau"].to_dataset(), found["experiments"][2]
        dims = ("explored", "activation_type", "metric", "side", "rank")
        texts = group["jump_text"].transpose(*dims).to_numpy().ravel().tolist()
        assert [found["tokens"][place] for place in each["tokens"]] == texts
        chance = np.nan_to_num(group["jump_probability"].transpose(*dims).to_numpy().ravel())
        np.testing.assert_allclose(np.array(each["chances"]) / 1000, chance, atol=0.0005001)
        prompts = summary["prompts"]["text"].to_numpy()
        assert {int(sample): text for sample, text in found["texts"].items()} == dict(enumerate(prompts.tolist()))

    def test_it_is_the_same_every_time(self, summary: xr.DataTree) -> None:
        assert fitted(summary) == fitted(summary)


class TestSize:
    def test_the_code_is_small(self, summary: xr.DataTree) -> None:
        page = explorer.explorer(fitted(summary))
        (data,) = DATA.findall(page)
        assert len(page) - len(data) < 100_000
        assert len(data) < explorer.MOST_BYTES

    def test_of_too_many_prompts_the_first_are_taken(self, summary: xr.DataTree) -> None:
        whole = fitted(summary).text
        part = fitted(summary, len(whole) // 2).text
        assert len(part) <= len(whole) // 2
        numbers = unpacked(part)["experiments"][0]["prompts"]
        assert numbers == list(range(len(numbers)))
        assert 4 < len(numbers) < 20
        assert unpacked(part)["experiments"][0]["samples"] == 24
        assert len(unpacked(fitted(summary, 10).text)["experiments"][0]["prompts"]) == 1


class TestWords:
    def test_a_run_without_a_complete_prompt_says_that_there_is_none(self, summary: xr.DataTree) -> None:
        groups = {name: node.to_dataset() for name, node in summary.children.items()}
        for name, group in groups.items():
            if "explored" in group.sizes:
                groups[name] = group.isel(explored=slice(0))
        empty = xr.DataTree.from_dict(groups)
        empty.attrs = summary.attrs
        assert explorer.fitting(empty) is None
        assert explorer.explorer(None) == ""
        assert explorer.introduction(None) == (
            "No base prompt of this run is complete in an experiment, so that there is none to explore."
        )
        assert "No base prompt" not in explorer.introduction(fitted(summary))

    def test_a_run_without_texts_shows_ids(self, summary: xr.DataTree) -> None:
        groups = {name: node.to_dataset() for name, node in summary.children.items()}
        for name, group in groups.items():
            if "jump_text" in group:
                groups[name] = group.drop_vars(["jump_text", "jump_probability"]).isel(rank=[0])
        plain = xr.DataTree.from_dict(groups)
        plain.attrs = summary.attrs
        found = unpacked(fitted(plain).text)
        assert "likely_tokens = 5" in found["note"]
        ids = groups["sensitivity"]["jump_token"].transpose("explored", "activation_type", "metric", "side", "rank")
        token = found["tokens"][found["experiments"][0]["tokens"][0]]
        assert token == f"token {int(ids.to_numpy().ravel()[0])}"

    def test_print_has_a_sentence_in_its_place(self, summary: xr.DataTree) -> None:
        text = f"{explorer.introduction(fitted(summary))}\n\n{explorer.explorer(fitted(summary))}"
        assert "24 prompts" in text
        typst = pypandoc.convert_text(text, "typst", format="markdown")
        assert "uPlot" not in typst
        assert "explorer-data" not in typst

    def test_print_says_how_many_prompts_fit(self, summary: xr.DataTree) -> None:
        half = fitted(summary, len(fitted(summary).text) // 2)
        count = len(unpacked(half.text)["experiments"][0]["prompts"])
        assert 4 < count == half.prompts < 20
        assert f"next tokens of {count} prompts here" in explorer.introduction(half)
        assert "next tokens of 1 prompt here" in explorer.introduction(fitted(summary, 10))


class TestSafety:
    def test_what_cannot_be_seen_is_written_as_the_report_writes_it(self) -> None:
        """The code's classes of characters are those of `plateaulens.report.text`, and so is what stands for them."""
        (classes,) = re.findall(r"text\.replace\(/\[([^/]*)\]/gu", CODE)
        assert set(re.findall(r"\\p\{(\w+)\}", classes)) == text_of_report._INVISIBLE
        assert "`[U+${letter.codePointAt(0).toString(16).toUpperCase()" in CODE
        assert text_of_report.escape("\u202e").replace("\\", "") == "[U+202E]"

    def test_what_a_run_says_is_never_markup(self) -> None:
        for code in (CODE, explorer._library("uPlot.iife.min.js")):
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", code)

    def test_nothing_in_the_data_ends_its_element(self, summary: xr.DataTree) -> None:
        """A hostile page has the elements of the plain one, and the texts are in it all the same."""
        pages = [
            pypandoc.convert_text(explorer.explorer(fitted(poisoned(summary, text))), "html", format="markdown")
            for text in ("plain", f"{PAYLOAD}</script><script>alert(1)</script>")
        ]
        assert Elements(pages[0]).found == Elements(pages[1]).found
        (data,) = DATA.findall(pages[1])
        assert re.fullmatch(r"[A-Za-z0-9+/=\n]*", data)
        found = unpacked(data)
        assert any("</script>" in text for text in found["texts"].values())
        assert any("</script>" in text for text in found["tokens"])

    def test_the_library_is_the_one_that_was_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "(v1.6.32)" in explorer._library("uPlot.iife.min.js")
        assert explorer._library("LICENSE").startswith("The MIT License")
        shutil.copytree(explorer._FILES, tmp_path / "browser")
        monkeypatch.setattr(explorer, "_FILES", tmp_path / "browser")
        file = tmp_path / "browser" / "uplot" / "uPlot.min.css"
        file.write_text(file.read_text() + " ")
        with pytest.raises(UsageError, match=r"uPlot.min.css is not the one that ships: install PlateauLens again"):
            explorer._library("uPlot.min.css")


HIGHEST_BLACK = """
(canvas) => {
  const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let place = 0; place < data.length; place += 4) {
    const [red, green, blue, alpha] = data.slice(place, place + 4);
    if (red + green + blue < 12 && alpha > 250) return place / 4 / width / height;
  }
  return 1;
}
"""
"""How far below the top of a picture its highest black point lies, as a share of its height."""


def written(summary: xr.DataTree, folder: Path) -> Path:
    """A page with nothing but the explorer, in the built-in renderer's style."""
    style = (Path(qmdrender.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
    body = pypandoc.convert_text(explorer.explorer(fitted(summary)), "html", format="markdown")
    head = f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>x</title><style>{style}</style></head>'
    page = folder / "page.html"
    page.write_text(f"{head}<body><main><h1>x</h1><h2>One prompt at a time</h2>{body}</main></body></html>")
    return page


@pytest.fixture(scope="module")
def page(summary: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(summary, tmp_path_factory.mktemp("explorer"))


@pytest.mark.browser
class TestInABrowser:
    @staticmethod
    def part(found: Opened, role: str) -> Any:
        return found.page.locator(f"[data-role={role}]")

    def ready(self, found: Opened) -> None:
        found.page.wait_for_selector("#explorer:not([hidden])")
        assert found.page.locator("#explorer-none").is_hidden()

    def listed(self, found: Opened) -> list[int]:
        """The prompts that are listed, in the order of their numbers."""
        values = found.page.evaluate(
            "() => [...document.querySelectorAll('[data-role=prompts] option')].map((o) => o.value)"
        )
        return sorted(map(int, values))

    @staticmethod
    def earliest(summary: xr.DataTree) -> int:
        """The first step at which a prompt jumps towards real."""
        own = summary["sensitivity"]["step_value"].sel(
            convention="corrected", statistic="max_slope", activation_type="real", metric="l2"
        )
        return int(own.min())

    @staticmethod
    def within(summary: xr.DataTree, low: int, high: int, kind: str = "real", metric: str = "l2") -> list[int]:
        own = summary["sensitivity"]["step_value"].sel(
            convention="corrected", statistic="max_slope", activation_type=kind, metric=metric
        )
        return np.flatnonzero((own >= low) & (own <= high)).tolist()

    def test_it_answers_to_the_keyboard(self, page: Path, summary: xr.DataTree) -> None:
        with opened(page, DESKTOP) as found:
            self.ready(found)
            keys = found.page.keyboard
            self.part(found, "experiment").focus()
            for _ in range(60):  # all the way by Tab
                if found.page.evaluate("() => document.activeElement.dataset.role") == "steps":
                    break
                keys.press("Tab")
            assert found.page.evaluate("() => document.activeElement.matches(':focus-visible')")
            keys.press("ArrowRight")
            earliest = self.earliest(summary)
            assert self.part(found, "from").input_value() == str(earliest)
            assert self.listed(found) == self.within(summary, earliest, earliest + 10) != []
            for _ in range(30 - earliest):
                keys.press("ArrowRight")
            for _ in range(earliest - 30):
                keys.press("ArrowLeft")
            assert self.listed(found) == self.within(summary, 30, 40)
            keys.press("PageDown")
            assert self.listed(found) == self.within(summary, 41, 51)
            keys.press("PageUp")
            assert self.listed(found) == self.within(summary, 30, 40)
            for _ in range(5):
                keys.press("Shift+ArrowRight")
            assert self.listed(found) == self.within(summary, 30, 45) != []
            assert "at steps 30 to 45 towards real on L2" in self.part(found, "found").inner_text()
            keys.press("End")
            assert self.listed(found) == self.within(summary, 85, 100)
            keys.press("Home")
            assert self.listed(found) == self.within(summary, 0, 15)
            keys.press("Escape")
            assert self.listed(found) == list(range(24))
            self.part(found, "to").focus()
            for _ in range(60):
                keys.press("ArrowLeft")
            assert self.listed(found) == self.within(summary, 0, 40)
            self.part(found, "prompts").focus()
            keys.press("Home")
            first = self.part(found, "prompt").inner_text()
            keys.press("ArrowDown")
            assert self.part(found, "prompt").inner_text() != first
            assert found.complaints == []
            assert found.asked == []

    def test_it_answers_to_the_mouse(self, page: Path, summary: xr.DataTree) -> None:
        with opened(page, DESKTOP) as found:
            self.ready(found)
            over = self.part(found, "steps").locator(".u-over")
            over.scroll_into_view_if_needed()
            box, mouse = over.bounding_box(), found.page.mouse
            mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 40)
            share = len(self.within(summary, 0, 50)) / 24
            assert 0 < share < 1
            assert self.part(found, "steps-values").inner_text().startswith(f"step 50: real {share:.3f}, ")
            mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 40)
            mouse.down()
            mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 60, steps=5)
            mouse.up()
            assert self.listed(found) == self.within(summary, 30, 50) != []
            assert [self.part(found, each).input_value() for each in ("from", "to")] == ["30", "50"]
            self.part(found, "brushed").select_option(label="random")
            assert self.listed(found) == self.within(summary, 30, 50, "random")
            self.part(found, "all").click()
            assert self.listed(found) == list(range(24))
            assert found.complaints == []

    def test_a_prompt_shows_its_text_and_tokens(self, page: Path, summary: xr.DataTree) -> None:
        group = summary["sensitivity"].to_dataset()
        with opened(page, DESKTOP) as found:
            self.ready(found)
            self.part(found, "metric").select_option(label="KL")
            self.part(found, "prompts").locator("option[value='7']").click()
            assert self.part(found, "prompt").inner_text() == "Prompt 7"
            assert self.part(found, "text").inner_text() == str(summary["prompts"]["text"].to_numpy()[7])
            over = self.part(found, "curves").locator(".u-over")
            over.scroll_into_view_if_needed()
            box = over.bounding_box()
            found.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 40)
            values = dict(re.findall(r"([a-z][a-z ]+) ([0-9.]+)", self.part(found, "curves-values").inner_text()))
            curves = group["explored_curve"].sel(metric="kl").isel(explored=7)
            for kind in types_of(group):
                own = curves.sel(activation_type=kind)
                exact, level = float(own.sel(step=60)), float(own.max()) / explorer.LEVELS
                assert float(values[label(kind)]) == pytest.approx(exact, abs=0.51 * (level + 0.01))
            rows = self.part(found, "jumps").locator("tbody tr")
            types = types_of(group)
            assert rows.locator("th").all_inner_texts() == [label(kind) for kind in types]
            around = group.sel(metric="kl").isel(explored=7)
            step = group["step_value"].sel(convention="corrected", statistic="max_slope", metric="kl").isel(sample=7)
            for place, kind in enumerate(types):
                at = float(step.sel(activation_type=kind))
                cells = rows.nth(place).locator("td")
                assert cells.nth(0).inner_text() == (f"{at:.0f}" if np.isfinite(at) else "none")
                former = None
                for side, cell in zip(SIDES, [cells.nth(place) for place in range(1, 5)], strict=True):
                    tokens = around["jump_text"].sel(activation_type=kind, side=side).values.tolist()
                    chances = around["jump_probability"].sel(activation_type=kind, side=side).values
                    shown = cell.locator(".explorer-token").all_inner_texts()
                    is_there = np.isfinite(at) or side in {"base", "target"}
                    assert [each.replace("␣", " ") for each in shown] == (tokens if is_there else [])
                    assert cell.locator("mark").count() == (is_there and former is not None and tokens[0] != former)
                    former = tokens[0] if is_there else former
                    if is_there:
                        first = cell.locator(".explorer-likely").first.inner_text()
                        assert first.endswith(f"\u00a0{100 * chances[0]:.1f}\u00a0%")

    def test_experiments_and_types_are_chosen(self, page: Path) -> None:
        with opened(page, DESKTOP) as found:
            self.ready(found)
            lines = "() => document.querySelector('[data-role=curves] canvas').toDataURL()"
            before = found.page.evaluate(lines)
            self.part(found, "types").get_by_label("random", exact=True).uncheck()
            without = found.page.evaluate(lines)
            assert without != before
            self.part(found, "experiment").select_option(index=1)
            assert found.page.evaluate(lines) != without
            assert not self.part(found, "types").get_by_label("random", exact=True).is_checked()
            rows = self.part(found, "jumps").locator("tbody th").all_inner_texts()
            assert "random" not in rows
            assert len(rows) == 8
            assert found.complaints == []

    def test_the_prompt_that_is_open_is_in_the_list(self, page: Path, summary: xr.DataTree) -> None:
        with opened(page, DESKTOP) as found:
            self.ready(found)
            self.part(found, "prompts").locator("option").last.click()
            was = int(self.part(found, "prompts").input_value())
            self.part(found, "to").fill(str(self.earliest(summary)))
            listed = self.listed(found)
            assert was not in listed
            assert self.part(found, "prompt").inner_text() == f"Prompt {self.part(found, 'prompts').input_value()}"
            assert int(self.part(found, "prompts").input_value()) in listed

    def test_it_opens_on_a_prompt_whose_next_token_changes(self, page: Path, summary: xr.DataTree) -> None:
        top = summary["sensitivity"]["jump_token"].sel(activation_type="real", metric="l2").isel(rank=0)
        is_there = top.sel(side="after") != -1
        told = np.flatnonzero(is_there & (top.sel(side="before") != top.sel(side="after")))
        ends = np.flatnonzero(is_there & (top.sel(side="base") != top.sel(side="target")))
        expected = [*told, *ends, 0][0]
        with opened(page, DESKTOP) as found:
            self.ready(found)
            assert self.part(found, "prompt").inner_text() == f"Prompt {expected}"
            assert self.part(found, "jumps").locator("tbody tr").first.locator("mark").count() > 0

    def test_a_peak_of_a_few_steps_does_not_set_the_scale(self, summary: xr.DataTree, tmp_path: Path) -> None:
        """Real, which alone is black, rises into the upper half of the picture all the same."""
        groups = {name: node.to_dataset() for name, node in summary.children.items()}
        group = groups["sensitivity"] = groups["sensitivity"].copy(deep=True)
        top = float(group["explored_curve"].sel(metric="l2").max())
        where = {name: group.get_index(name) == value for name, value in (("activation_type", "bag"), ("metric", "l2"))}
        group["explored_curve"][{**where, "step": slice(50, 53)}] = 8 * top
        peaked = xr.DataTree.from_dict(groups)
        peaked.attrs = summary.attrs
        with opened(written(peaked, tmp_path), DESKTOP) as found:
            self.ready(found)
            canvas = self.part(found, "curves").locator("canvas")
            assert canvas.evaluate(HIGHEST_BLACK) < 0.5
            assert found.complaints == []

    def test_steps_in_other_units_are_said_in_both(self, page: Path, summary: xr.DataTree) -> None:
        with opened(page, DESKTOP) as found:
            self.ready(found)
            self.part(found, "experiment").select_option(index=2)
            self.part(found, "to").fill("10")
            length = float(summary["plateau"].to_dataset()["length"][10])
            said = re.fullmatch(r"10 \(([0-9.]+)\)", self.part(found, "to-value").inner_text())
            assert said
            assert float(said[1]) == pytest.approx(length, abs=0.05)

    @pytest.mark.parametrize("width", [DESKTOP, TELEPHONE])
    def test_reading_a_picture_moves_nothing_below_it(self, page: Path, width: int) -> None:
        top = "() => document.querySelector('[data-role=found]').getBoundingClientRect().top + scrollY"
        with opened(page, width) as found:
            self.ready(found)
            before = found.page.evaluate(top)
            over = self.part(found, "steps").locator(".u-over")
            over.scroll_into_view_if_needed()
            box = over.bounding_box()
            for share in (0.3, 0.6, 0.95):
                found.page.mouse.move(box["x"] + share * box["width"], box["y"] + 40)
                assert self.part(found, "steps-values").inner_text().startswith("step ")
                assert found.page.evaluate(top) == before

    def test_a_share_and_its_comma_stay_on_one_line(self, page: Path) -> None:
        of = "(each) => [each.getClientRects().length, each.textContent]"
        tall = f"() => [...document.querySelectorAll('.explorer-share')].map({of})"
        with opened(page, NARROW) as found:
            self.ready(found)
            shares = found.page.evaluate(tall)
        assert len(shares) > 20
        assert {lines for lines, _ in shares} == {1}
        assert any(text.endswith("%,") for _, text in shares)

    def test_one_picture_at_a_time_is_read(self, page: Path) -> None:
        """By keys the one that has the focus, by the mouse the one under it; a ring around it touches no words."""
        names = ("steps", "means", "curves")

        def read(found: Opened) -> list[str]:
            texts = {name: self.part(found, f"{name}-values").inner_text() for name in names}
            return [name for name, text in texts.items() if text.startswith("step ")]

        with opened(page, DESKTOP) as found:
            self.ready(found)
            assert read(found) == []
            for name in ("steps", "means"):
                self.part(found, name).focus()
                found.page.keyboard.press("ArrowRight")
                assert read(found) == [name]
                place = "(each) => [each.getBoundingClientRect().top, each.getBoundingClientRect().bottom]"
                chart, words = (self.part(found, each).evaluate(place) for each in (name, f"{name}-values"))
                assert words[0] - chart[1] >= 5
            for name in ("steps", "curves", "means"):
                self.part(found, name).locator(".u-over").hover()
                assert read(found) == [name]

    def test_the_mark_that_opens_every_prompt_is_left_out_of_the_list(
        self, summary: xr.DataTree, tmp_path: Path
    ) -> None:
        def first(folder: str, edit: Callable[[int, str], str]) -> tuple[str, str]:
            own = xr.DataTree.from_dict({name: node.to_dataset() for name, node in summary.children.items()})
            own.attrs = summary.attrs
            texts = [
                edit(place, str(each)) for place, each in enumerate(own["prompts"].to_dataset()["text"].values.tolist())
            ]
            own["prompts"] = own["prompts"].to_dataset().assign(
                text=(own["prompts"]["text"].dims, np.array(texts, dtype=np.dtypes.StringDType()))
            )  # fmt: skip
            (tmp_path / folder).mkdir()
            with opened(written(own, tmp_path / folder), DESKTOP) as found:
                self.ready(found)
                place = self.part(found, "prompts").input_value()
                option = self.part(found, "prompts").locator(f"option[value='{place}']").inner_text()
                return option.partition(" · ")[2], self.part(found, "text").inner_text()

        in_list, whole = first("all", lambda _, text: f"<|endoftext|>{text}")
        assert whole == f"<|endoftext|>{in_list}"
        in_list, whole = first("some", lambda place, text: text if place == 23 else f"<|endoftext|>{text}")
        assert in_list == whole

    def test_on_a_telephone_the_cells_of_a_row_stand_below_each_other(self, page: Path) -> None:
        with opened(page, TELEPHONE) as found:
            self.ready(found)
            table = self.part(found, "jumps")
            assert table.evaluate("(each) => each.scrollWidth <= each.clientWidth")
            row = table.locator("tbody tr").first
            tops = [row.locator("td").nth(place).bounding_box()["y"] for place in range(5)]
            assert tops == sorted(set(tops))
            heads = row.locator("td").evaluate_all("(cells) => cells.map((each) => each.dataset.head)")
            assert heads == [
                "Jump at step",
                "Next token at the base",
                "Before the jump",
                "After the jump",
                "At the target",
            ]

    def test_hostile_texts_stand_there_as_they_are(self, summary: xr.DataTree, tmp_path: Path) -> None:
        payload = f"{PAYLOAD}</script><script>alert(1)</script>\u202e\n"
        page = written(poisoned(summary, payload), tmp_path)
        with opened(page, DESKTOP) as found:
            dialogs: list[str] = []

            def note(dialog: Any) -> None:
                dialogs.append(dialog.message)
                dialog.dismiss()

            found.page.on("dialog", note)
            self.ready(found)
            shown = payload.replace("\u202e", "[U+202E]").replace("\n", "↵")
            assert self.part(found, "text").inner_text() == shown
            assert self.part(found, "jumps").locator(".explorer-token").first.inner_text() == shown
            assert found.page.locator("#explorer img, #explorer script, #explorer a").count() == 0
            assert dialogs == found.complaints == found.asked == []

    @pytest.mark.parametrize("dark", [False, True])
    @pytest.mark.parametrize("width", [WIDE, TELEPHONE])
    def test_all_can_read_it(self, page: Path, width: int, dark: bool) -> None:
        with opened(page, width, dark=dark) as found:
            self.ready(found)
            assert found.page.evaluate("() => document.documentElement.scrollWidth") <= width
            assert found.violations() == []

    def test_an_old_browser_is_told_and_keeps_the_static_figures(self, page: Path, tmp_path: Path) -> None:
        old = tmp_path / "old.html"
        old.write_text(page.read_text().replace("<head>", "<head><script>delete window.DecompressionStream</script>"))
        with opened(old, DESKTOP) as found:
            found.page.wait_for_timeout(300)
            assert found.page.locator("#explorer").is_hidden()
            assert "static figures" in found.page.locator("#explorer-none").inner_text()

    def test_a_page_in_which_nothing_runs_says_so(self, page: Path) -> None:
        text = page.read_text()
        assert re.search(r'<div class="explorer" id="explorer" hidden(="")?>', text)
        assert re.search(r'<p class="explorer-none" id="explorer-none">The explorer needs JavaScript', text)
