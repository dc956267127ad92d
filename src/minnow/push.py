"""Publishes a bundle on the Hugging Face Hub, in one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from minnow.bundle import Bundle
from minnow.errors import InputError, MinnowError, NetworkError, OutputError, SourceNotFoundError
from minnow.manifest import CARD, MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from huggingface_hub import CommitOperationCopy

    Progress = Callable[[str], None]

_HARMLESS = (".gitattributes", ".gitignore", CARD, "LICENSE", "LICENSE.txt", "LICENSE.md")
"""Files that a new repository may have; a push replaces those that the bundle has too."""


@dataclass(frozen=True)
class Push:
    """What a push does, or would do.

    Attributes:
        repository: The repository, `USER/NAME`.
        is_new: Whether it is made first.
        private: Whether it is made private.
        uploaded: Path -> bytes of each file that is new there or has changed.
        unchanged: Paths of files that are there already.
        removed: Paths of files of the older bundle that is replaced.
        front_matter: The lines of the model card that the Hub reads.
        notes: What the card does not say, as sentences.
        commit: The commit that was made; None where nothing was uploaded.
    """

    repository: str
    is_new: bool
    private: bool
    uploaded: Mapping[str, int]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    front_matter: str
    notes: tuple[str, ...]
    commit: str | None = None


def push(
    bundle: str | Path | Bundle,
    repository: str,
    *,
    private: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda _: None,
) -> Push:
    """Upload a bundle's files, each only if the repository does not have it.

    All changes are one commit, so that nobody downloads half of a bundle. The token is the one
    that `hf auth login` stored, or HF_TOKEN.

    Args:
        bundle: The bundle; the hashes of its files are checked first.
        repository: `USER/NAME`; made if there is none.
        private: Make a new repository private.
        dry_run: Change nothing; the result is what would happen.
        progress: Receives a line of text before each step.

    Raises:
        BundleError: It is no intact bundle.
        InputError: The repository's name is not `USER/NAME`.
        OutputError: The Hub refuses to write, or the repository holds something else.
        NetworkError: The Hub did not answer.
    """
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    if repository.count("/") != 1:
        raise InputError(f"A repository on the Hub is named USER/NAME, not {repository!r}.")
    progress("checking the hash of every file")
    bundle.check_files()
    progress(f"comparing with {repository}")
    plan = _plan(bundle, repository, private=private)
    if dry_run or not (plan.uploaded or plan.removed):
        return plan
    total = sum(plan.uploaded.values()) / 1e6
    progress(f"uploading {len(plan.uploaded)} files, {total:.1f} MB")
    return _upload(bundle, plan)


def _plan(bundle: Bundle, repository: str, *, private: bool) -> Push:
    from minnow.model.hub import HubRequest, fetch_files, list_repository

    request = HubRequest(repository)
    ours, theirs = bundle.manifest.files, {}
    is_new, same_manifest = False, False
    try:
        commit, names = list_repository(request)
        if MANIFEST in names:
            there = Bundle.open(fetch_files(request, commit, [MANIFEST]))
            theirs = {name: r for name, r in there.manifest.files.items() if name in names}
            same_manifest = there.manifest == bundle.manifest
        elif others := sorted(set(names) - {*_HARMLESS}):
            raise OutputError(
                f"{repository} holds {others[0]} and no {MANIFEST}: it is no bundle. Give the name "
                "of a new repository."
            )
    except SourceNotFoundError:
        is_new = True
    unchanged = [name for name, record in ours.items() if theirs.get(name) == record]
    uploaded = {name: record.size for name, record in ours.items() if name not in unchanged}
    if not same_manifest:
        uploaded[MANIFEST] = (bundle.folder / MANIFEST).stat().st_size
    card = (bundle.folder / CARD).read_text(encoding="utf-8") if CARD in ours else ""
    front = card.split("---\n")[1] if card.startswith("---\n") else ""
    return Push(
        repository=repository,
        is_new=is_new,
        private=private and is_new,
        uploaded=uploaded,
        unchanged=tuple(unchanged),
        removed=tuple(sorted(theirs.keys() - ours.keys())),
        front_matter=front,
        notes=tuple(_notes(bundle)),
    )


def _notes(bundle: Bundle) -> list[str]:
    source, notes = bundle.manifest.source, []
    if source.model_id is None:
        notes.append("The card names no base_model: the bundle was not made from a Hub id.")
    if source.license is None:
        notes.append("The card states no licence: the source's files state none.")
    return notes


def _upload(bundle: Bundle, plan: Push) -> Push:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    from minnow.model.hub import no_telemetry

    if get_token() is None:
        raise OutputError(
            "There is no token of the Hub. Log in with `hf auth login`, or set HF_TOKEN to a token "
            "that may write."
        )
    api = HfApi()
    operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
        *(CommitOperationAdd(name, str(bundle.folder / name)) for name in plan.uploaded),
        *(CommitOperationDelete(name) for name in plan.removed),
    ]
    title = f"{bundle.manifest.source.title} for MNN, by minnow"
    try:
        with no_telemetry():
            if plan.is_new:
                api.create_repo(plan.repository, private=plan.private, exist_ok=True)
            made = api.create_commit(plan.repository, operations, commit_message=title)
    except Exception as error:
        raise _write_error(error, plan.repository) from error
    return replace(plan, commit=made.oid)


def _write_error(error: Exception, repository: str) -> MinnowError:
    from minnow.model.hub import one_line

    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403, 404):
        return OutputError(
            f"The Hub refuses to write {repository} (HTTP {status}). HF_TOKEN, or the token of `hf "
            "auth login`, must be one that may write there."
        )
    reason = f"HTTP {status}" if status else one_line(error)
    return NetworkError(f"Could not upload {repository} ({reason}). Run it again: files that are "
                        "there are not uploaded twice.")  # fmt: skip
