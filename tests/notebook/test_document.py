"""The blocks of docs/library.md, run in order on a tiny model; and all of it once on the embedded one."""

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import VOCABULARY, tiny_model, tiny_tokenizer

import plateaulens as pl

DOCUMENT = Path(__file__).parents[2] / "docs" / "library.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
def test_its_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tokens = np.random.default_rng(5).integers(1, VOCABULARY, (40, 6))
    found: dict[str, Any] = {"__name__": "notebook", "tokenizer": tiny_tokenizer(), "tokens": tokens}
    found["model"] = tiny_model("gpt2")
    lasts: list[Any] = []
    for block in BLOCKS:
        *body, last = ast.parse(block).body
        shown = isinstance(last, ast.Expr)
        exec(compile(ast.Module(body if shown else [*body, last], []), str(DOCUMENT), "exec"), found)  # noqa: S102
        lasts.append(eval(ast.unparse(last), found) if shown else None)  # noqa: S307  the document's own
    assert len(BLOCKS) == 6
    table = lasts[0]
    assert set(table.activation_type) == {"mine", "random"}
    assert set(table.conclusion) <= {"equivalent", "earlier", "later", "mixed", "different", "undecided", "too few"}
    assert tuple(lasts[1]) == (2, 32)
    assert lasts[4] == []
    for path in ("mine.zarr", "long.zarr"):
        assert pl.verify(tmp_path / path) == []
    assert set(found["late"].activation_type.values.tolist()) == {"real", "random", "mine"}


@pytest.mark.slow
@pytest.mark.model
def test_the_embedded_model_end_to_end(tmp_path: Path) -> None:
    subject = pl.Subject("embedded:smollm2", write="blocks.1.hook_resid_pre")
    assert "30 blocks, 576 wide" in subject._repr_html_()
    words = ("The sun", "A river", "My friend", "Every book", "This engine", "That old house", "Her answer", "No law")
    texts = [f"{one} and {other.lower()} were here before the war began" for one in words for other in words]
    pool = np.load(Path(__file__).parents[2] / "data" / "prompts" / "smollm2.npz")["tokens"][:600, :10]
    acts = subject.activations(texts, length=10)
    noise = torch.randn(acts.shape, generator=torch.Generator().manual_seed(0)) * acts.std(0)
    curves = pl.walk(
        subject, texts, {"noisy": acts.roll(1, 0) + 3 * noise, "random": "random"}, steps=21, length=10, pool=pool
    )
    assert curves["prompts"].text.values[0].startswith("<|im_start|>")
    verdicts = pl.compare(curves, resamples=300)
    table = verdicts.plateau.summary().set_index(["metric", "activation_type"])
    assert table.loc[("kl", "random"), "mean"] != table.loc[("kl", "noisy"), "mean"]
    assert pl.plot.max_slope_cdf(verdicts).axes
    pl.save(curves, tmp_path / "run.zarr")
    assert pl.verify(tmp_path / "run.zarr") == []
