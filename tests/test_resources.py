"""Files that ship are found beside the code in a clone, and inside the package in an installed wheel."""

import hashlib
import tomllib
from pathlib import Path

import pytest

import plateaulens
from plateaulens import resources
from plateaulens.errors import UsageError

CLONE = Path(plateaulens.__file__).parents[2]
NOTHING = hashlib.sha256(b"").hexdigest()
WEIGHTS = hashlib.sha256(b"weights").hexdigest()


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package as the wheel lays it out; returns the folder of its resources."""
    package = tmp_path / "lib" / "site-packages" / "plateaulens"
    data = package / "_resources" / "data"
    for folder in ("presets", "prompts", "saes/small-site"):
        (data / folder).mkdir(parents=True)
    (data / "presets" / "small.toml").touch()
    (data / "prompts" / "small.npz").touch()
    (data / "saes" / "small-site" / "weights").write_bytes(b"weights")
    (data / "SHA256SUMS").write_text(f"# a comment\n{NOTHING}  prompts/small.npz\n{WEIGHTS}  saes/small-site/weights\n")
    monkeypatch.setattr(resources, "_PACKAGE", package)
    return package / "_resources"


def test_a_clone_is_its_own_root() -> None:
    assert resources.root() == CLONE
    assert (resources.root() / "report" / "index.qmd").is_file()


def test_the_wheel_brings_every_folder_that_is_looked_into() -> None:
    wheel = tomllib.loads((CLONE / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    kinds = ("presets", "recipes", "saes", "prompts", "reference")
    assert {f"data/{kind}" for kind in kinds} <= set(wheel["only-include"])
    assert wheel["sources"]["data"] == "plateaulens/_resources/data"
    for name in ("_quarto.yml", "index.qmd", "references.bib"):
        assert wheel["force-include"][f"report/{name}"] == f"plateaulens/_resources/report/{name}"


class TestInAWheel:
    def test_the_root_is_inside_the_package(self, wheel: Path) -> None:
        assert resources.root() == wheel

    @pytest.mark.parametrize(
        ("kind", "name", "place"),
        [
            ("presets", "small", "presets/small.toml"),
            ("prompts", "small", "prompts/small.npz"),
            ("saes", "small-site", "saes/small-site"),
        ],
    )
    def test_names_are_found(self, kind: str, name: str, place: str, wheel: Path) -> None:
        assert resources.find(kind, name) == wheel / "data" / place

    @pytest.mark.parametrize("content", [b"other", None])
    @pytest.mark.parametrize(
        ("kind", "name", "file"),
        [("prompts", "small", "prompts/small.npz"), ("saes", "small-site", "saes/small-site/weights")],
    )
    def test_what_has_changed_is_refused(
        self, kind: str, name: str, file: str, content: bytes | None, wheel: Path
    ) -> None:
        path = wheel / "data" / file
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        elif kind == "prompts":
            with pytest.raises(UsageError, match="no prompt 'small'"):
                resources.find(kind, name)
            return
        with pytest.raises(UsageError) as raised:
            resources.find(kind, name)
        found = "none" if content is None else hashlib.sha256(content).hexdigest()
        assert f"{path} is not the one that ships (its SHA-256 is {found}, expected " in str(raised.value)
        assert "or give the path of what you made yourself" in str(raised.value)

    def test_a_path_is_the_user_s_own(self, wheel: Path) -> None:
        path = wheel / "data" / "prompts" / "small.npz"
        path.write_bytes(b"other")
        assert resources.find("prompts", str(path)) == path

    def test_what_else_lies_there_is_not_what_changed(self, wheel: Path) -> None:
        (wheel / "data" / "saes" / "small-site" / "weights").write_bytes(b"other")
        (wheel / "data" / "prompts" / "mine.npz").write_bytes(b"mine")
        assert resources.find("prompts", "small").name == "small.npz"
        assert resources.find("prompts", "mine").name == "mine.npz"

    def test_without_the_digests_nothing_is_trusted(self, wheel: Path) -> None:
        (wheel / "data" / "SHA256SUMS").unlink()
        with pytest.raises(UsageError, match=r"SHA256SUMS is missing: install PlateauLens again"):
            resources.find("prompts", "small")

    @pytest.mark.usefixtures("wheel")
    def test_what_there_is_is_listed(self) -> None:
        with pytest.raises(UsageError, match=r"no preset 'large': .* \(small\)$"):
            resources.find("presets", "large")

    @pytest.mark.usefixtures("wheel")
    def test_nothing_there(self) -> None:
        with pytest.raises(UsageError, match=r"no recipe 'large': .* \(none\)$"):
            resources.find("recipes", "large")


def test_a_preset_of_the_clone() -> None:
    assert resources.find("presets", "smollm2") == CLONE / "data" / "presets" / "smollm2.toml"


def test_the_list_names_the_presets_of_the_clone() -> None:
    with pytest.raises(UsageError, match=r"no preset 'nonsense': neither a path nor one of those .*smollm2"):
        resources.find("presets", "nonsense")


def test_a_path_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "smollm2"
    own.touch()
    monkeypatch.chdir(tmp_path)
    assert resources.find("presets", "smollm2") == own
