"""Repositories of a hub: which commit is meant, which files it has, and those files on this disk.

What the hub cannot answer, because there is none or it is switched off (`HF_HUB_OFFLINE`), the hub's own cache on this
machine answers. Everything later works on local files of one commit, so that a run never mixes two.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name

from plateaulens.errors import UsageError, first_line

Kind = Literal["model", "dataset"]
_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PATIENCE = 15.0
"""Seconds that the hub may take to say what a repository holds."""


class NotFoundError(UsageError):
    """One of the things that a run needs is nowhere.

    Parameters
    ----------
    what
        What is missing, in words.
    where
        Where it was looked for, or why it could not be.
    option
        The option of the command line that takes a local copy of it.
    """

    def __init__(self, what: str, where: str, option: str) -> None:
        super().__init__(f"{what} was not found ({where}): point at a local copy with {option}")
        self.what, self.where, self.option = what, where, option


@dataclass(frozen=True)
class Repository:
    """One commit of a hub repository."""

    name: str
    kind: Kind
    revision: str
    """The branch, tag or commit that was asked for."""
    commit: str
    files: tuple[str, ...]
    """What can be had of it, by path: all of its files, or without a hub those that the cache holds."""

    def fetch(self, files: Sequence[str]) -> Path:
        """The folder that holds these files, downloading those that the cache lacks.

        Parameters
        ----------
        files
            Paths within the repository, at least one.

        Returns
        -------
        Path
            The commit's folder in the hub's cache, below which the files lie by their paths.

        Raises
        ------
        UsageError
            When the hub breaks off.
        """
        try:
            paths = [
                hf_hub_download(self.name, file, repo_type=self.kind, revision=self.commit) for file in sorted(files)
            ]
        except (httpx2.HTTPError, OSError, EntryNotFoundError) as error:
            raise UsageError(
                f"{self.kind} {self.name} could not be downloaded ({first_line(error)}): give the same command again"
            ) from error
        self.remember()
        return Path(paths[0]).parents[len(Path(min(files)).parts) - 1]

    def remember(self) -> None:
        """Note in the cache what the revision stands for, as the hub's library does, which only ever saw the commit."""
        if self.revision != self.commit:
            folder = repo_folder_name(repo_id=self.name, repo_type=self.kind)
            note = Path(constants.HF_HUB_CACHE) / folder / "refs" / self.revision
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(self.commit)


def is_id(text: str) -> bool:
    """Whether a hub could have a repository of this name.

    Parameters
    ----------
    text
        A name, or something else that a configuration has in its place.

    Returns
    -------
    bool
        True for one name, or two with a slash between them, that begin with no dot.

    Examples
    --------
    >>> is_id("openai-community/gpt2"), is_id("gpt2"), is_id("./gpt2"), is_id("a/b/c")
    (True, True, False, False)
    """
    return _ID.fullmatch(text) is not None and not text.startswith(".")


@cache
def find(name: str, revision: str | None, kind: Kind) -> Repository:
    """The commit that a name and a revision stand for, the same one for as long as the process lives.

    The hub is asked first, since a name may have moved on, and the cache when it does not answer.

    Parameters
    ----------
    name
        Name of the repository.
    revision
        Branch, tag or commit; None is the newest commit.
    kind
        Which of the hub's kinds of repository it is.

    Returns
    -------
    Repository
        The commit and its files, none of which is downloaded.

    Raises
    ------
    LookupError
        With the reason, when neither has it.
    """
    try:
        ask = HfApi().model_info if kind == "model" else HfApi().dataset_info
        information = ask(name, revision=revision, timeout=_PATIENCE)
    except (httpx2.HTTPError, OSError, HFValidationError) as error:
        return _cached(name, revision, kind, reason=_reason(error))
    assert information.sha is not None
    files = tuple(file.rfilename for file in information.siblings or ())
    return Repository(name, kind, revision or constants.DEFAULT_REVISION, information.sha, files)


def _cached(name: str, revision: str | None, kind: Kind, reason: str) -> Repository:
    try:
        # a folder whose name is the commit; which files it has is known only by looking
        folder = Path(snapshot_download(name, revision=revision, repo_type=kind, local_files_only=True))
    except (EntryNotFoundError, HFValidationError, OSError):
        raise LookupError(f"not in the cache {constants.HF_HUB_CACHE}, and {reason}") from None
    files = tuple(sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()))
    return Repository(name, kind, revision or constants.DEFAULT_REVISION, folder.name, files)


def _reason(error: Exception) -> str:
    """Why the hub had no answer, in few words."""
    match error:
        case OfflineModeIsEnabled():
            return "the hub is switched off by HF_HUB_OFFLINE"
        case GatedRepoError():
            return f"{constants.ENDPOINT} wants its terms accepted and a token (HF_TOKEN)"
        case RevisionNotFoundError():
            return f"{constants.ENDPOINT} has no such revision"
        case RepositoryNotFoundError():
            return f"{constants.ENDPOINT} has no such repository, or only for those who log in (HF_TOKEN)"
        case HFValidationError():
            return "the hub allows no such name"
    return f"{constants.ENDPOINT} cannot be reached ({first_line(error)})"
