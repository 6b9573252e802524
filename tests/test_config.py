"""Presets: what they hold, and how their mistakes are named."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from tests.tiny import TYPES, write_preset

from plateaulens import resources
from plateaulens.config import AnalysisConfig, ExperimentConfig, RunConfig, SweepConfig, TargetConfig, Within
from plateaulens.errors import UsageError
from plateaulens.presets import override, read_config
from plateaulens.store.manifest import Manifest
from plateaulens.store.schema import ExperimentSpec, RunSpec
from plateaulens.training.recipe import TrainRecipe

PRESETS = sorted((resources.root() / "data" / "presets").glob("*.toml"))


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    return write_preset(tmp_path / "mine.toml", tmp_path)


def mistake(tmp_path: Path, **changes: Any) -> str:
    """What reading a preset with these changes says, after the name of the file."""
    path = write_preset(tmp_path / "wrong.toml", tmp_path, **changes)
    with pytest.raises(UsageError) as raised:
        read_config(path)
    message = str(raised.value)
    assert "\n" not in message
    assert message.startswith(f"preset {path}")
    return message.removeprefix(f"preset {path}").removeprefix(": ")


class TestReading:
    def test_some_presets_ship(self) -> None:
        assert "smollm2" in [path.stem for path in PRESETS]

    @pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
    def test_a_preset_that_ships(self, path: Path) -> None:
        config = read_config(path)
        assert config.name == path.stem
        assert config.targets.types[0] == "real"
        assert config.samples == max(config.experiment(name).samples for name in config.experiments)

    def test_every_key_arrives(self, preset: Path) -> None:
        config = read_config(preset)
        assert (config.name, config.seed, config.samples) == ("mine", 7, 6)
        assert config.targets.types == TYPES
        assert config.experiment("sensitivity").step_length is None
        plateau = config.experiment("plateau")
        assert (plateau.samples, plateau.steps, plateau.step_length) == (5, 7, 1.5)
        assert config.engine.samples_per_chunk == 2
        assert config.analysis == AnalysisConfig(resamples=150)

    def test_a_preset_may_name_itself(self, tmp_path: Path) -> None:
        assert read_config(write_preset(tmp_path / "file.toml", tmp_path, name="other")).name == "other"

    def test_a_configuration_is_frozen_and_survives_json(self, preset: Path) -> None:
        config = read_config(preset)
        with pytest.raises(ValidationError, match="frozen"):
            config.seed = 3
        assert RunConfig.model_validate_json(config.model_dump_json()) == config

    def test_the_most_samples_are_those_of_the_selected_experiments(self, tmp_path: Path) -> None:
        path = write_preset(tmp_path / "some.toml", tmp_path, experiments=["plateau", "sensitivity_absolute"])
        assert read_config(path).samples == 5


class TestMistakes:
    def test_an_unknown_key(self, tmp_path: Path) -> None:
        assert mistake(tmp_path, smaples=3).startswith(
            "configuration: smaples is neither a key nor an experiment; experiments are sensitivity, "
        )

    def test_an_unknown_key_in_a_section(self, tmp_path: Path) -> None:
        assert mistake(tmp_path, plateau__lenght=3).startswith("plateau.lenght: Extra inputs are not permitted")

    def test_an_unknown_experiment(self, tmp_path: Path) -> None:
        found = mistake(tmp_path, experiments=["plateau", "nonsense"])
        assert found.startswith(
            "experiments.1: there is no experiment of that name, there is sensitivity, sensitivity_abs"
        )

    def test_an_unknown_metric(self, tmp_path: Path) -> None:
        found = mistake(tmp_path, analysis__plateau_threshold__l3=1.0)
        assert found.startswith("analysis.plateau_threshold.l3")

    @pytest.mark.parametrize("samples", [0, -5])
    @pytest.mark.parametrize("experiment", ["sensitivity", "sensitivity_absolute", "plateau"])
    def test_no_samples(self, experiment: str, samples: int, tmp_path: Path) -> None:
        found = mistake(tmp_path, **{f"{experiment}__samples": samples})
        assert found == f"{experiment}.samples: Input should be from 1 to 1,000,000 (got {samples})"

    @pytest.mark.parametrize("experiment", ["sensitivity_absolute", "plateau"])
    def test_a_missing_step_length(self, experiment: str, tmp_path: Path) -> None:
        found = mistake(tmp_path, **{f"{experiment}__step_length": None})
        assert found == f"configuration: {experiment}.step_length is missing"

    def test_a_step_length_where_there_is_none(self, tmp_path: Path) -> None:
        assert "sensitivity.step_length: relative steps" in mistake(tmp_path, sensitivity__step_length=1.0)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_a_number_that_is_not_finite(self, value: float, tmp_path: Path) -> None:
        path = write_preset(tmp_path / "wrong.toml", tmp_path, plateau__step_length=None)
        path.write_text(path.read_text() + f"plateau.step_length = {value}\n")
        with pytest.raises(UsageError, match=r"plateau.step_length: Input should be (a finite number|from 1e-06)"):
            read_config(path)

    @pytest.mark.parametrize("steps", [2, 0, -1, 10.5])
    def test_too_few_steps(self, steps: float, tmp_path: Path) -> None:
        assert mistake(tmp_path, sensitivity__steps=steps).startswith("sensitivity.steps: Input should be")

    def test_types_without_real(self, tmp_path: Path) -> None:
        assert mistake(tmp_path, targets__types=["random"]).startswith("targets: types must hold 'real'")

    def test_a_type_twice(self, tmp_path: Path) -> None:
        assert mistake(tmp_path, targets__types=["real", "bag", "real"]).startswith("targets: types names one type")

    @pytest.mark.parametrize("name", ["", "a|b", "a b", "1st", "-a", "x\n", "größe", "a/b", "<b>", "$x$", "a`"])
    def test_a_name_that_no_type_may_have(self, name: str, tmp_path: Path) -> None:
        wanted = "cannot be the name of an activation type: use ASCII letters, digits and _ . + -, a letter first"
        assert f"{name!r} {wanted}" in mistake(tmp_path, targets__types=["real", name])
        with pytest.raises(ValidationError, match=wanted.replace(".", r"\.").replace("+", r"\+")):
            TargetConfig.model_validate({"types": ["real"], "variants": {name: {"type": "bag"}}})

    def test_names_that_types_may_have(self) -> None:
        kept = TargetConfig(types=("real", "A-1", "b.c+d_e"))
        assert kept.types[1:] == ("A-1", "b.c+d_e")

    def test_a_variant_of_a_type_s_name(self, tmp_path: Path) -> None:
        found = mistake(tmp_path, targets__variants__bag__type="structured")
        assert found.startswith("targets: variants.bag has the name of one of the types")

    def test_an_unknown_constant_of_a_variant(self, tmp_path: Path) -> None:
        changes = {"targets__variants__low__type": "structured", "targets__variants__low__anchor_cosin": 0.1}
        assert mistake(tmp_path, **changes).startswith("targets.variants.low.anchor_cosin: Extra inputs are not")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({}, "sensitivity_reconstructed is selected, and its section is missing"),
            ({"sensitivity_reconstructed__samples": 3, "sae__source": None}, "add an [sae] section"),
            (
                {"sensitivity_reconstructed__samples": 3, "sensitivity_reconstructed__step_length": 1.0},
                "relative steps have no length",
            ),
        ],
    )
    def test_a_walk_from_the_reconstruction(self, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
        assert message in mistake(tmp_path, experiments=["sensitivity_reconstructed"], **changes)

    def test_a_preset_needs_no_section_of_an_experiment_that_it_does_not_use(self, tmp_path: Path) -> None:
        absent = {f"plateau__{key}": None for key in ("samples", "steps", "step_length")}
        path = write_preset(tmp_path / "few.toml", tmp_path, experiments=["sensitivity"], **absent)
        assert list(read_config(path).sections) == ["sensitivity", "sensitivity_absolute"]
        assert mistake(tmp_path, **absent).startswith("configuration: plateau is selected, and its section is missing")

    @pytest.mark.parametrize("given", [["l2", "l2"], [], ["l3"]])
    def test_metrics_are_known_and_each_there_once(self, given: list[str], tmp_path: Path) -> None:
        assert mistake(tmp_path, metrics=given).startswith("metrics")

    def test_statistics_hold_what_the_experiments_are_judged_by(self, tmp_path: Path) -> None:
        found = mistake(tmp_path, analysis__statistics=["max_slope", "half_height"])
        assert found.startswith("configuration: plateau is judged by plateau_length; add it to analysis.statistics")

    @pytest.mark.parametrize("experiments", [[], ["plateau", "plateau"]])
    def test_no_experiment_or_one_twice(self, experiments: list[str], tmp_path: Path) -> None:
        assert "experiments must name at least one of them, and none twice" in mistake(
            tmp_path, experiments=experiments
        )

    def test_a_negative_seed(self, tmp_path: Path) -> None:
        assert mistake(tmp_path, seed=-1) == f"seed: Input should be from 0 to {2**63 - 1:,} (got -1)"
        assert mistake(tmp_path, analysis__seed=-1).startswith("analysis.seed: Input should be from 0 to 9,2")

    @pytest.mark.parametrize("name", ["", "runs/mine", "..\\mine"])
    def test_a_name_that_is_no_file_name(self, name: str, tmp_path: Path) -> None:
        assert mistake(tmp_path, name=name).startswith("name: String should match")

    def test_a_missing_section(self, tmp_path: Path) -> None:
        assert mistake(tmp_path, model__source=None) == "model: Field required"

    def test_several_mistakes_are_counted(self, tmp_path: Path) -> None:
        found = mistake(tmp_path, seed="many", model__smaples=3, plateau__samples=0)
        assert found.startswith("seed: Input should be a valid integer")
        assert found.endswith(", and 2 more")

    def test_no_toml(self, tmp_path: Path) -> None:
        assert mistake(tmp_path, **{"a b": 3}).startswith(" is not valid TOML: ")

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "binary.toml"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(UsageError, match=r"binary.toml is not valid TOML: 'utf-8' codec"):
            read_config(path)

    def test_an_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "empty.toml").touch()
        with pytest.raises(UsageError, match=r"empty.toml: model: Field required, and 3 more"):
            read_config(tmp_path / "empty.toml")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=f"preset {tmp_path} cannot be read: Is a directory"):
            read_config(tmp_path)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"none.toml cannot be read: No such file"):
            read_config(tmp_path / "none.toml")


def numbers(model: type[BaseModel], *, above: str = "") -> Iterator[tuple[str, type, Any]]:
    """Every number that a configuration holds, however deep: where it is, its type, and what it declares."""
    for name, field in model.model_fields.items():
        yield from _numbers(f"{above}{name}", field.annotation, list(field.metadata))


def _numbers(place: str, kind: Any, metadata: list[Any]) -> Iterator[tuple[str, type, Any]]:
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        yield from _numbers(place, inner, [*metadata, *more])
    elif kind in (int, float):
        yield place, kind, next((one for one in metadata if isinstance(one, Within)), None)
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from numbers(kind, above=f"{place}.")
    else:
        for inner in get_args(kind):
            yield from _numbers(place, inner, metadata)


ROOTS = (RunConfig, ExperimentConfig, TrainRecipe, Manifest)
DECLARED = [(root, *found) for root in ROOTS for found in numbers(root, above=f"{root.__name__}.")]


class TestNumbers:
    """Every number has a range, which is found out of when it is read: not by memory that runs out, nor by a curve."""

    def test_there_are_many(self) -> None:
        assert len(DECLARED) > 60
        assert "RunConfig.analysis.plateau_threshold" in [place for _, place, *_ in DECLARED]
        assert "RunConfig.sweep.seed" in [place for _, place, *_ in DECLARED]

    @pytest.mark.parametrize(("place", "kind", "within"), [found for _, *found in DECLARED], ids=str)
    def test_each_declares_a_range(self, place: str, kind: type, within: Within | None) -> None:
        assert within is not None, f"{place} has no range"
        declared: Any = Annotated[kind, within]
        accept = TypeAdapter(declared).validate_python
        step = 1 if kind is int else 1e-9 + abs(within.low) * 1e-9
        assert accept(within.low) == within.low
        assert accept(within.high) == within.high
        beyond = within.high + (1 if kind is int else max(1e-9, within.high * 1e-9))
        for wrong in (within.low - step, beyond):
            with pytest.raises(ValidationError, match="Input should be from"):
                accept(wrong)

    def test_what_a_store_says_of_its_extent_has_ranges_too(self) -> None:
        for holder in (ExperimentSpec, RunSpec):
            for name, kind in get_type_hints(holder, include_extras=True).items():
                for place, _, within in _numbers(name, kind, []):
                    assert within is not None, f"{holder.__name__}.{place} has no range"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"sensitivity__steps": 10**12}, "sensitivity.steps: Input should be from 3 to 10,000 (got 1000000000000)"),
            (
                {"plateau__step_length": 1e308},
                "plateau.step_length: Input should be from 1e-06 to 1,000,000 (got 1e+308)",
            ),
            (
                {"engine__prompts_per_batch": 10**30},
                "engine.prompts_per_batch: Input should be from 1 to 10,000 (got 1000000000000000000",
            ),
            ({"seed": 2**63}, "seed: Input should be from 0 to 9,223,372,036,854,775,807 (got 9223372036854775808)"),
            ({"analysis__resamples": 100_001}, "analysis.resamples: Input should be from 1 to 100,000 (got 100001)"),
            ({"targets__anchor_cosine": 1.5}, "targets.anchor_cosine: Input should be from -1 to 1 (got 1.5)"),
        ],
    )
    def test_a_number_out_of_range(self, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
        assert mistake(tmp_path, **changes).startswith(message)

    @pytest.mark.parametrize("digits", ["1" + "0" * 4999, "0x1" + "0" * 4999])
    def test_a_seed_of_5000_digits(self, digits: str, tmp_path: Path) -> None:
        path = write_preset(tmp_path / "wrong.toml", tmp_path, seed=None)
        path.write_text(f"seed = {digits}\n" + path.read_text())
        with pytest.raises(UsageError, match=r"wrong.toml(: seed: | is not valid TOML: Exceeds the limit)") as raised:
            read_config(path)
        assert len(str(raised.value)) < 400

    def test_a_chunk_that_no_memory_holds(self, tmp_path: Path) -> None:
        changes = {"sensitivity__samples": 10_000, "sensitivity__steps": 10_000, "engine__samples_per_chunk": 10_000}
        found = mistake(tmp_path, **changes)
        assert found.startswith("configuration: sensitivity: a chunk would hold 2,700,000,000 numbers (samples x types")
        assert "lower engine.samples_per_chunk or sensitivity.steps" in found

    def test_more_curves_than_a_disk_holds(self, tmp_path: Path) -> None:
        found = mistake(tmp_path, sensitivity__samples=1_000_000, sensitivity__steps=10_000)
        assert found.startswith(
            "configuration: sensitivity: 270,000,000,000 numbers (samples x types x steps x metrics)"
        )

    def test_a_sweep_of_more_runs_than_anybody_waits_for(self) -> None:
        many = tuple(map(str, range(101)))
        with pytest.raises(ValidationError, match="1,030,301 runs, and a sweep may have 10,000"):
            SweepConfig(model=many, write=many, read=many)


class TestTexts:
    @pytest.mark.parametrize("opening", ["x = " + "[" * 30_000, "x = " + "{a=" * 30_000, "[" + "a." * 30_000 + "a]"])
    def test_toml_that_is_nested_without_end(self, opening: str, tmp_path: Path) -> None:
        (tmp_path / "deep.toml").write_text(opening)
        with pytest.raises(UsageError, match=r"deep.toml") as raised:
            read_config(tmp_path / "deep.toml")
        assert len(str(raised.value)) < 600

    @pytest.mark.parametrize("name", ["a\0b", "a\nb", "\x1b[1m", ".", "..", "x" * 201])
    def test_a_name_that_no_file_may_have(self, name: str, tmp_path: Path) -> None:
        found = mistake(tmp_path, name=name)
        assert found.startswith("name: ")
        assert found.isprintable()


class TestOverride:
    def test_nothing_changes_nothing(self, preset: Path) -> None:
        config = read_config(preset)
        assert override(config, samples=None, seed=None, experiments=None) == config

    def test_samples_are_those_of_every_experiment(self, preset: Path) -> None:
        config = override(read_config(preset), samples=3, seed=None, experiments=None)
        assert [config.experiment(name).samples for name in config.experiments] == [3, 3, 3]
        assert config.experiment("plateau").steps == 7

    def test_seed_0_is_a_seed(self, preset: Path) -> None:
        assert override(read_config(preset), samples=None, seed=0, experiments=None).seed == 0

    def test_experiments_are_taken_in_the_order_given(self, preset: Path) -> None:
        config = override(read_config(preset), samples=None, seed=None, experiments=["plateau", "sensitivity"])
        assert config.experiments == ("plateau", "sensitivity")

    def test_held_parts(self, preset: Path) -> None:
        config = read_config(preset)
        assert config.sites.frozen == ()
        assert override(config, frozen=["blocks.1.hook_mlp_out"]).sites.frozen == ("blocks.1.hook_mlp_out",)
        assert override(config, frozen=None).sites == config.sites

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ({"samples": 0}, r"samples: Input should be from 1 to 1,000,000 \(got 0\), and 2 more"),
            ({"seed": -1}, "seed: Input should be from 0 to 9,223,372,036,854,775,807"),
            ({"experiments": ["nonsense"]}, "experiments.0: there is no experiment .* 'nonsense'"),
            ({"experiments": [""]}, "experiments.0: there is no experiment"),
            ({"experiments": ["plateau", "plateau"]}, "none twice"),
        ],
    )
    def test_options_are_checked_like_presets(self, option: dict[str, Any], message: str, preset: Path) -> None:
        nothing: dict[str, Any] = {"samples": None, "seed": None, "experiments": None}
        with pytest.raises(UsageError, match=message):
            override(read_config(preset), **(nothing | option))


class TestSources:
    @pytest.mark.parametrize(
        ("given", "source", "revision"),
        [
            ("openai-community/gpt2", "openai-community/gpt2", None),
            ("openai-community/gpt2@607a30d", "openai-community/gpt2", "607a30d"),
            ("release:an.id@v2", "release:an.id", "v2"),
        ],
    )
    @pytest.mark.parametrize("section", ["model", "sae", "prompts"])
    def test_the_command_lines_take_the_presets_place(
        self, section: str, given: str, source: str, revision: str | None, preset: Path
    ) -> None:
        config = read_config(preset)
        changed = override(config, sources={"model": None, section: given})
        settings = getattr(changed, section)
        assert (settings.source, settings.revision) == (source, revision)
        rest = {"source": source, "revision": revision}
        assert changed.model_dump() == config.model_dump() | {section: getattr(config, section).model_dump() | rest}

    def test_a_path_may_hold_an_at_sign(self, preset: Path, tmp_path: Path) -> None:
        (tmp_path / "me@home").mkdir()
        config = override(read_config(preset), sources={"model": str(tmp_path / "me@home")})
        assert (config.model.source, config.model.revision) == (str(tmp_path / "me@home"), None)

    def test_an_sae_for_a_preset_without_one(self, tmp_path: Path) -> None:
        config = read_config(write_preset(tmp_path / "bare.toml", tmp_path, sae__source=None, targets__types=["real"]))
        assert config.sae is None
        changed = override(config, sources={"sae": "an/sae:one"})
        assert changed.sae is not None
        assert changed.sae.source == "an/sae:one"
