"""`python -m audit ENVIRONMENT`: what an installation consists of, and whether any of it has a known vulnerability.

The first is a software bill of materials (CycloneDX), the second what pip-audit says of everything that the bill lists.
A package that could not be looked up is a failure: where a vulnerability service is not reached, pip-audit alone says
that it knows of none.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
FAILED = "no verdict on known vulnerabilities"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments
        What stands after the program's name; None takes this process's.

    Returns
    -------
    int
        0 if everything was looked up and nothing is known, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m audit", description=__doc__)
    parser.add_argument("environment", type=Path, help="virtual environment, or interpreter, that has the installation")
    parser.add_argument("--out", type=Path, default=Path("dist/sbom.cdx.json"), help="the bill (default: %(default)s)")
    parser.add_argument("--service", default="pypi", help="whom pip-audit asks: pypi, osv, esms (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not options.environment.exists():
        parser.error(f"there is no {options.environment}")
    write_bill(options.environment, options.out)
    packages = listed(options.out)
    print(f"{options.out} lists {len(packages)} packages")
    problems = ask(packages, "--vulnerability-service", options.service)
    for line in problems:
        print(line, file=sys.stderr)
    if not problems:
        print(f"no known vulnerability in {len(packages)} packages")
    return 1 if problems else 0


def write_bill(environment: Path, path: Path, *options: str) -> None:
    """Write what is installed in an environment as CycloneDX JSON; the same installation gives the same bytes.

    Parameters
    ----------
    environment
        A virtual environment or its interpreter.
    path
        The file to write.
    options
        More of cyclonedx-py's: it holds what it writes against CycloneDX' schema unless told `--no-validate`.

    Raises
    ------
    CalledProcessError
        When there is no such environment.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    project = ("--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "library")
    command = ("environment", *project, "--output-reproducible", "--output-file", str(path), *options, str(environment))
    subprocess.run([sys.executable, "-m", "cyclonedx_py", *command], check=True)


def listed(path: Path) -> list[str]:
    """What a bill lists, the project itself left out.

    Parameters
    ----------
    path
        The bill.

    Returns
    -------
    list of str
        `name==version`, sorted, the versions without a build's suffix (`+cpu`), which no vulnerability service knows.
    """
    components = json.loads(path.read_text())["components"]
    return sorted(f"{component['name']}=={component['version'].partition('+')[0]}" for component in components)


def ask(packages: Sequence[str], *options: str) -> list[str]:
    """Have pip-audit look packages up.

    Parameters
    ----------
    packages
        `name==version`.
    options
        pip-audit's, which say whom to ask.

    Returns
    -------
    list of str
        A line for each known vulnerability, and one if some packages, or all, could not be looked up. Empty only if
        each one was.
    """
    with TemporaryDirectory() as folder:
        wanted, answer = Path(folder) / "packages.txt", Path(folder) / "answer.json"
        wanted.write_text("\n".join(packages))
        what = ("--requirement", str(wanted), "--no-deps", "--disable-pip")
        how = ("--format", "json", "--output", str(answer), "--desc", "off", "--progress-spinner", "off", *options)
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *what, *how], capture_output=True, text=True, check=False
        )
        if not answer.exists():
            reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            return [f"{FAILED}: pip-audit stopped ({reason}): go where the service is reached, or name another"]
        return verdict(packages, json.loads(answer.read_text())["dependencies"])


def verdict(packages: Sequence[str], answers: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong, from what was asked and what was answered.

    Parameters
    ----------
    packages
        What was asked for, `name==version`.
    answers
        The `dependencies` of pip-audit's JSON.

    Returns
    -------
    list of str
        As `ask` returns them.
    """
    found = [
        f"{answer['name']} {answer['version']}: {known['id']}, mended in {', '.join(known['fix_versions']) or 'none'}"
        for answer in answers
        for known in answer.get("vulns", ())
    ]
    skipped = [answer["skip_reason"] for answer in answers if "skip_reason" in answer]
    missing = len(packages) - len(answers) + len(skipped)
    if missing or not packages:
        reason = skipped[0] if skipped else "no answer"
        found.append(
            f"{FAILED}: {missing} of {len(packages)} packages could not be looked up ({reason}): go where the service "
            "is reached, or name another"
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
