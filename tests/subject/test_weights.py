"""Models that come with code of their own: it is never run, nor asked about; and where weights are read to."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.conftest import tiny_model, tiny_tokenizer
from tests.processes import PATIENCE, environment
from tests.tiny import write_preset
from transformers import AutoModelForCausalLM

from plateaulens.config import ModelConfig, SiteConfig
from plateaulens.errors import UsageError
from plateaulens.subject.model import load_subject
from plateaulens.subject.weights import load_weights, read_config

REFUSAL = "comes with code of its own, and models with code of their own are not run: use one of an architecture"
CODE = """
from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

(Path(__file__).parent / "RAN").touch()
Path({marker!r}).touch()


class OwnConfig(LlamaConfig):
    model_type = "own"


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig


class OwnTokenizer(PreTrainedTokenizerFast):
    pass
"""


def change(file: Path, **changes: Any) -> None:
    """Other values for keys of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What the model's code leaves behind if it is run."""
    return tmp_path / "RAN"


@pytest.fixture
def folder(tmp_path: Path, marker: Path) -> Path:
    """A model that transformers knows, beside code that nothing points at yet."""
    path = tmp_path / "own_model"
    tiny_model("llama").save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    (path / "own.py").write_text(CODE.format(marker=str(marker)))
    return path


def with_own_configuration(folder: Path) -> None:
    classes = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    change(folder / "config.json", model_type="own", auto_map=classes)


def with_own_model(folder: Path) -> None:
    """Of a configuration that transformers knows and has no language model for."""
    known = {"model_type": "clip_text_model", "architectures": ["OwnModel"], "max_position_embeddings": 64}
    auto_map = {"AutoModelForCausalLM": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps({**known, "auto_map": auto_map}))


def with_own_tokenizer(folder: Path) -> None:
    auto_map = {"AutoTokenizer": [None, "own.OwnTokenizer"]}
    change(folder / "tokenizer_config.json", tokenizer_class="OwnTokenizer", auto_map=auto_map)


@pytest.mark.slow
@pytest.mark.parametrize("prepare", [with_own_configuration, with_own_model, with_own_tokenizer])
def test_code_of_a_model_is_not_run_whatever_stdin_says(
    prepare: Any, folder: Path, marker: Path, tiny_files: Path, tmp_path: Path
) -> None:
    prepare(folder)
    write_preset(tmp_path / "mine.toml", tiny_files, model__source=str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "plateaulens", "collect", "--preset", "mine.toml", "--out", "run.zarr"],
        cwd=tmp_path,
        env=environment(HF_HOME=str(tmp_path / "hub")),
        input="y\ny\ny\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert str(folder) in line
    assert REFUSAL in line
    assert "[y/N]" not in done.stdout
    assert not marker.exists()
    assert not list(tmp_path.rglob("RAN"))


def test_the_refusal_is_raised_wherever_something_is_loaded(folder: Path, marker: Path) -> None:
    with_own_configuration(folder)
    for load in (lambda: read_config(folder), lambda: load_weights(ModelConfig(source=str(folder)))):
        with pytest.raises(UsageError, match=REFUSAL):
            load()
    assert not marker.exists()


def test_a_class_of_transformers_goes_before_a_folder_s_code(folder: Path, marker: Path) -> None:
    """Many repositories keep the code from before transformers knew their architecture."""
    classes = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    change(folder / "config.json", auto_map=classes)
    weights = load_weights(ModelConfig(source=str(folder)))
    assert type(weights.model).__module__.startswith("transformers.models.llama")
    assert not marker.exists()


class Payload:
    """What runs when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_pickled_code_among_the_weights_is_not_run(folder: Path, marker: Path) -> None:
    (weights,) = folder.glob("*.safetensors")
    weights.unlink()
    torch.save({"lm_head.weight": Payload(marker)}, folder / "pytorch_model.bin")
    with pytest.raises(UsageError):
        load_weights(ModelConfig(source=str(folder)))
    assert not marker.exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)  # as whoever trusts it would
    assert marker.exists()


class TestConfigurations:
    """What config.json says that no model is like: one line, before memory is asked for."""

    @pytest.mark.parametrize("content", [b"null", b"[]", b"3", b"{", b"{}", b"\xff", b"[" * 30_000, b'{"a":' * 30_000])
    def test_no_configuration(self, content: bytes, folder: Path) -> None:
        (folder / "config.json").write_bytes(content)
        for read in (lambda: read_config(folder), lambda: load_weights(ModelConfig(source=str(folder)))):
            with pytest.raises(UsageError, match="could not be loaded") as raised:
                read()
            assert len(str(raised.value).splitlines()) == 1

    @pytest.mark.parametrize(
        "changes",
        [
            *({"num_attention_heads": 0}, {"vocab_size": "x"}, {"hidden_size": -1}, {"num_hidden_layers": 10**9}),
            *({"vocab_size": 10**12}, {"max_position_embeddings": None, "num_hidden_layers": 2.5}, {"hidden_size": []}),
            *({"intermediate_size": 10**7}, {"vocab_size": 10**7}, {"hidden_size": 10**6}, {"head_dim": 10**12}),
        ],
        ids=str,
    )
    def test_numbers_of_no_model(self, changes: dict[str, Any], folder: Path) -> None:
        change(folder / "config.json", **changes)
        with pytest.raises(UsageError) as raised:
            load_weights(ModelConfig(source=str(folder)))
        assert len(str(raised.value).splitlines()) == 1

    def test_more_weights_than_the_files_hold(self, folder: Path) -> None:
        """transformers would make random numbers of what does not fit, gigabytes of them, and fail after that."""
        change(folder / "config.json", intermediate_size=10**7)
        with pytest.raises(
            UsageError, match=r"its configuration wants 2,880,\d+,\d+ weights, and its files have \d+,\d+ b"
        ):
            load_weights(ModelConfig(source=str(folder)))

    def test_weights_that_are_no_numbers(self, folder: Path) -> None:
        file = folder / "model.safetensors"
        weights = load_file(file)
        weights["model.layers.1.mlp.up_proj.weight"][3, 5] = float("nan")
        save_file(weights, file, metadata={"format": "pt"})
        with pytest.raises(
            UsageError, match=r"weights that are no finite numbers \(model.layers.1.mlp.up_proj.weight\)"
        ):
            load_weights(ModelConfig(source=str(folder)))


def shard(folder: Path, **places: str) -> None:
    """Cut a model's weights in two, `first` and `second`, each at a place relative to the folder, with an index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {places["first"]: names[::2], places["second"]: names[1::2]}
    for place, part in parts.items():
        (folder / place).parent.mkdir(exist_ok=True)
        save_file({name: weights[name] for name in part}, folder / place, metadata={"format": "pt"})
    named = {name: place for place, part in parts.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": named}))


def test_every_file_that_an_index_names_is_in_the_identity(folder: Path) -> None:
    shard(folder, first="a.safetensors", second="b.safetensors")
    identities = [load_weights(ModelConfig(source=str(folder))).identity]
    assert {"config.json", "a.safetensors", "b.safetensors", "model.safetensors.index.json"} <= identities[0].keys()
    second = load_file(folder / "b.safetensors")
    second[min(second)] += 1
    save_file(second, folder / "b.safetensors", metadata={"format": "pt"})
    identities.append(load_weights(ModelConfig(source=str(folder))).identity)
    changed = {file for file in identities[0] if identities[0][file] != identities[1][file]}
    assert changed == {"b.safetensors"}


@pytest.mark.parametrize("place", ["sub/b.safetensors", "../b.safetensors", "./b.safetensors", "b.weights"])
def test_an_index_that_names_files_elsewhere(place: str, folder: Path) -> None:
    shard(folder, first="a.safetensors", second=place)
    with pytest.raises(UsageError, match=r"says that weights are in '.*', and only files of its own folder are read"):
        load_weights(ModelConfig(source=str(folder)))


@pytest.mark.parametrize("named", ["../x.safetensors", "sub/x.safetensors", 3])
def test_a_configuration_that_names_weights_elsewhere(named: object, folder: Path) -> None:
    change(folder / "config.json", transformers_weights=named)
    with pytest.raises(UsageError, match="only files of its own folder are read"):
        load_weights(ModelConfig(source=str(folder)))


@pytest.mark.parametrize("content", ["[]", "{", '{"weight_map": 3}', '{"weight_map": {"a": ["x"]}}'])
def test_an_index_that_is_none(content: str, folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(UsageError, match="could not be loaded"):
        load_weights(ModelConfig(source=str(folder)))


def test_an_adapter_is_refused_whether_peft_is_installed_or_not(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "gpt2"}))
    with pytest.raises(UsageError, match="it comes with an adapter"):
        load_weights(ModelConfig(source=str(folder)))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_that_are_complex_numbers(name: str, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    first = min(weights)
    changed = weights | {first: weights[first].to(torch.complex64)}
    if name.endswith(".bin"):
        torch.save(changed, folder / name)
    else:
        save_file(changed, folder / name, metadata={"format": "pt"})
    with pytest.raises(UsageError, match=f"{name} has complex numbers in '{first}'"):
        load_weights(ModelConfig(source=str(folder)))


class TestAnotherDevice:
    """`cpu:0` stands for one: whatever is not called `cpu` is loaded as a GPU's weights are."""

    def test_weights_are_read_straight_to_it(self, tiny_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        load, asked = AutoModelForCausalLM.from_pretrained, []

        def noted(*given: Any, **options: Any) -> Any:
            asked.append(options.get("device_map"))
            return load(*given, **options)

        monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", noted)
        config = ModelConfig(source=str(tiny_files / "model"))
        plain, placed = load_weights(config).model, load_weights(config, "cpu:0").model
        assert asked == [None, {"": "cpu:0"}]
        for (name, one), (other, two) in zip(plain.named_parameters(), placed.named_parameters(), strict=True):
            assert name == other
            assert torch.equal(one, two)
        assert not hasattr(placed, "hf_device_map")
        assert not any(hasattr(module, "_hf_hook") for module in placed.modules())

    def test_the_model_is_the_same_one(self, tiny_files: Path) -> None:
        sites = SiteConfig(write="blocks.1.hook_resid_pre", read="blocks.2.hook_resid_post")
        tokens = torch.arange(12).reshape(2, 6)
        found = [
            load_subject(ModelConfig(source=str(tiny_files / "model"), device=device), sites)
            for device in ("cpu", "cpu:0")
        ]
        assert [subject.lens is not None for subject in found] == [True, True]
        assert torch.equal(*(subject.last_activations(tokens) for subject in found))

    def test_one_that_is_not_there_is_named_before_anything_is_read(
        self, tiny_files: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("plateaulens.subject.weights.find_model", lambda _: pytest.fail("read"))
        with pytest.raises(
            UsageError, match=r"model\.device 'cuda:77' cannot be used here .*: name one as PyTorch does"
        ):
            load_weights(ModelConfig(source=str(tiny_files / "model")), "cuda:77")
