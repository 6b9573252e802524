"""What is refused of a run before its model is loaded: here there are no weights to load."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.tiny import write_preset

from plateaulens.collect.context import open_context
from plateaulens.config import RunConfig
from plateaulens.errors import UsageError
from plateaulens.presets import read_config
from plateaulens.subject import preflight


@pytest.fixture
def configure(tiny_files: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    model = shutil.copytree(tiny_files / "model", tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))

    def make(**changes: Any) -> RunConfig:
        return read_config(write_preset(tmp_path / "p.toml", tiny_files, model__source=str(model), **changes))

    return make


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sites__write": "blocks.3.hook_resid_pre"}, r"blocks\.3\.hook_resid_pre.*3 blocks"),
        ({"sites__read": "blocks.7.hook_resid_post"}, r"blocks\.7\.hook_resid_post.*3 blocks"),
        ({"sites__read": "blocks.0.hook_resid_pre"}, "choose a later read site"),
        ({"sites__frozen": ["blocks.1-3.hook_mlp_out"]}, r"sites\.frozen.*numbered 0 to 2"),
    ],
)
def test_sites_of_blocks_that_there_are_not(
    changes: dict[str, Any], message: str, configure: Callable[..., RunConfig]
) -> None:
    with pytest.raises(UsageError, match=message):
        preflight.check(configure(**changes))


def test_what_is_right_is_let_through(configure: Callable[..., RunConfig]) -> None:
    assert preflight.check(configure()).model_type == "gpt2"


@pytest.mark.parametrize("model_type", ["bit", "encodec"])
def test_what_is_no_language_model_is_one_line(model_type: str, configure: Callable[..., RunConfig]) -> None:
    config = configure()
    (Path(config.model.source) / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(UsageError) as raised:
        open_context(config)
    assert len(str(raised.value).splitlines()) == 1
