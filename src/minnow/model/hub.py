"""Downloads from the Hugging Face Hub into its cache, at one commit, and models found there.

Importing this module imports huggingface_hub; `minnow.model.source` does so only for a Hub id.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import HfApi, constants, errors, snapshot_download
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from minnow.errors import (
    MinnowError,
    NetworkError,
    OutputError,
    SourceError,
    SourceNotFoundError,
    UnsupportedModelError,
)
from minnow.files import whole_file
from minnow.model.kinds import refuse_other_kinds
from minnow.model.layout import (
    AUTHOR_GRAPH,
    BEHAVIOUR_FILES,
    README,
    WEIGHTS_INDEX,
    check_folder,
    check_names,
    check_shards,
    list_names,
    needed_files,
    read_shards,
    sharded_weights,
)
from minnow.model.listing import MODULES, PIPELINE, Listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_COMMIT = re.compile(r"[0-9a-f]{40}")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_TELLING = ("config.json", PIPELINE, MODULES, README)
"""Ends of the names of the files that tell what a repository is, all of them small."""
_TELEMETRY_SWITCH = "HF_HUB_DISABLE_TELEMETRY"


@dataclass(frozen=True)
class HubRequest:
    """A request to the Hub.

    Attributes:
        model_id: The model's id, `ORGANISATION/NAME`.
        revision: A branch, tag or commit.
        with_author_graph: Fetch the author's ONNX graph too.
    """

    model_id: str
    revision: str = "main"
    with_author_graph: bool = False


def snapshot_of(request: HubRequest, *, offline: bool = False) -> Path:
    """Return the folder of a model's files; its name is the commit.

    A revision that is a cached commit needs no network.

    Args:
        request: The model.
        offline: Use only what is cached; also in force where HF_HUB_OFFLINE is set.

    Raises:
        SourceNotFoundError: No such model, revision or file.
        NetworkError: The Hub did not answer, or is not allowed and the cache lacks a file.
        UnsupportedModelError: The model has no safetensors weights.
        SourceError: The Hub refuses access, or the index of the weights cannot be read.
        OutputError: The cache cannot be written.
    """
    _check_id(request)
    if offline or constants.HF_HUB_OFFLINE:
        return _cached(request)
    pinned = _COMMIT.fullmatch(request.revision) is not None
    cached = _cached_or_none(request) if pinned else None
    return cached or _download(request)


def _check_id(request: HubRequest) -> None:
    try:
        validate_repo_id(request.model_id)
    except errors.HFValidationError as error:
        raise SourceNotFoundError(
            f"{request.model_id!r} is neither a folder nor a possible name on the Hub: {error}"
        ) from error


def snapshot_with_record(
    request: HubRequest,
    record: str,
    list_files: Callable[[Path], Iterable[str]],
    *,
    offline: bool = False,
) -> Path | None:
    """Return the folder of a repository that lists its files in a record of its own.

    Args:
        request: The repository.
        record: The name of the record.
        list_files: Returns the paths that the record in a folder lists, and raises what it may.
        offline: Use only what is cached; also in force where HF_HUB_OFFLINE is set.

    Returns:
        The folder, whose name is the commit; None where the repository has no such record.

    Raises:
        SourceNotFoundError, NetworkError, SourceError, OutputError: As `snapshot_of`.
    """
    _check_id(request)
    if offline or constants.HF_HUB_OFFLINE:
        try:
            folder = _cached_files(request, [record])
        except NetworkError:
            return None
        return folder if (folder / record).is_file() else None
    commit, names = list_repository(request)
    if record not in names:
        return None
    folder = fetch_files(request, commit, [record])
    fetch_files(request, commit, list(list_files(folder)))
    _remember_commit(folder, request.revision)
    return folder


def snapshot_of_any(request: HubRequest, patterns: Sequence[str], *, offline: bool = False) -> Path:
    """Return the folder of some files of a repository of any kind; its name is the commit.

    Args:
        request: The repository.
        patterns: Patterns of the names of the files, as "*.json".
        offline: Use only what is cached; also in force where HF_HUB_OFFLINE is set.

    Raises:
        SourceNotFoundError, NetworkError, SourceError, OutputError: As `snapshot_of`.
    """
    _check_id(request)
    if offline or constants.HF_HUB_OFFLINE:
        return _cached_files(request, patterns)
    commit, _ = list_repository(request)
    folder = _fetch_matching(request, commit, patterns)
    _remember_commit(folder, request.revision)
    return folder


# --- the cache ---------------------------------------------------------------------------


def _cached(request: HubRequest) -> Path:
    """Find the complete snapshot in the cache, without a network call.

    Raises:
        NetworkError: The revision is not cached, or only in part.
        UnsupportedModelError: It is recognised as something other than an embedding model.
    """
    expected = [*BEHAVIOUR_FILES, "[0-9]_*/config.json"]
    if request.with_author_graph:
        expected += [f"onnx/{name}" for name in AUTHOR_GRAPH]
    folder = _cached_files(request, expected)
    refuse_other_kinds(Listing(request.model_id, list_names(folder), folder))
    try:
        check_folder(folder, "The cached copy")
    except (OSError, SourceNotFoundError, UnsupportedModelError) as error:
        raise _not_cached(request, _first_sentence(error)) from error
    graphs = (folder / "onnx" / AUTHOR_GRAPH[0], folder / AUTHOR_GRAPH[0])
    if request.with_author_graph and not any(graph.is_file() for graph in graphs):
        raise _not_cached(request, f"The cached copy has no {AUTHOR_GRAPH[0]}")
    return folder


def _cached_files(request: HubRequest, patterns: Sequence[str]) -> Path:
    """Find the folder of a cached revision, of which only files of these patterns must be there.

    Raises:
        NetworkError: The revision is not cached, or a file of it that the cache knows is missing.
    """
    try:
        return Path(
            snapshot_download(
                request.model_id,
                revision=request.revision,
                local_files_only=True,
                allow_patterns=list(patterns),
            )
        )
    except OSError as error:
        raise _not_cached(request, _first_sentence(error)) from error


def _first_sentence(error: Exception) -> str:
    return one_line(error).split(". ")[0].rstrip(".")


def _not_cached(request: HubRequest, reason: str) -> NetworkError:
    return NetworkError(
        f"{request.model_id} at revision {request.revision} is not, or not fully, in the cache "
        f"({reason}). Run once without `offline=True`, and without HF_HUB_OFFLINE."
    )


def _cached_or_none(request: HubRequest) -> Path | None:
    try:
        return _cached(request)
    except SourceError:
        return None


def _remember_commit(folder: Path, revision: str) -> None:
    """Record a branch's commit in the cache, which huggingface_hub omits for a pinned commit.

    Without it, an offline run could not find the branch. It is written last, so that it never
    leads to a partial download; this run works even if the cache cannot be written.
    """
    if revision == folder.name:
        return
    ref = folder.parent.parent / "refs" / revision
    with contextlib.suppress(OSError, OutputError):
        ref.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(ref) as staged:
            staged.write_text(folder.name, encoding="ascii")


# --- the network -------------------------------------------------------------------------


def _download(request: HubRequest) -> Path:
    """Pin the revision to a commit, and fetch the files that minnow reads."""
    commit, names = list_repository(request)
    check_names(names, request.model_id)
    needed = needed_files(names, with_author_graph=request.with_author_graph)
    folder = fetch_files(request, commit, [name for name in needed if name.endswith(_TELLING)])
    check_names(names, request.model_id, folder)  # before its weights are fetched
    folder = fetch_files(request, commit, needed)
    for index in sharded_weights(names):
        inside = index.removesuffix(WEIGHTS_INDEX)
        shards = [inside + shard for shard in read_shards(folder / index)]
        check_shards(shards, names, request.model_id)
        fetch_files(request, commit, shards)
    check_folder(folder, request.model_id)
    _remember_commit(folder, request.revision)
    return folder


def list_repository(request: HubRequest) -> tuple[str, set[str]]:
    """Return the commit of a revision, and the names of its files.

    Raises:
        SourceNotFoundError, NetworkError, SourceError: As `snapshot_of`.
    """
    with _hub_call(request):
        info = HfApi().model_info(
            request.model_id, revision=request.revision, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
    if info.sha is None or not _COMMIT.fullmatch(info.sha):
        raise NetworkError(f"{constants.ENDPOINT} does not state the commit of {request.model_id}.")
    return info.sha, {sibling.rfilename for sibling in info.siblings or ()}


def fetch_files(request: HubRequest, commit: str, names: list[str]) -> Path:
    """Download files of a commit into the cache; return their folder.

    Raises:
        SourceNotFoundError, NetworkError, SourceError, OutputError: As `snapshot_of`.
    """
    return _fetch_matching(request, commit, [glob.escape(name) for name in names])


def _fetch_matching(request: HubRequest, commit: str, patterns: Sequence[str]) -> Path:
    with _hub_call(request):
        return Path(
            snapshot_download(request.model_id, revision=commit, allow_patterns=list(patterns))
        )


@contextlib.contextmanager
def _hub_call(request: HubRequest) -> Iterator[None]:
    """Call huggingface_hub without its telemetry, and raise our own errors."""
    with no_telemetry():
        try:
            yield
        except Exception as error:
            raise _our_error(error, request) from error


@contextlib.contextmanager
def no_telemetry() -> Iterator[None]:
    """Turn telemetry off.

    huggingface_hub, which reads the constant, reports AI agents that it runs under to the Hub; its
    download library hf_xet, which reads the environment, reports every transfer.
    """
    constant, environment = constants.HF_HUB_DISABLE_TELEMETRY, os.environ.get(_TELEMETRY_SWITCH)
    constants.HF_HUB_DISABLE_TELEMETRY = True
    os.environ[_TELEMETRY_SWITCH] = "1"
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = constant
        if environment is None:
            os.environ.pop(_TELEMETRY_SWITCH, None)
        else:
            os.environ[_TELEMETRY_SWITCH] = environment


# --- errors ------------------------------------------------------------------------------


def _our_error(error: Exception, request: HubRequest) -> MinnowError:
    """Translate an error of huggingface_hub, or of the HTTP library that it uses."""
    model_id, hub = request.model_id, constants.ENDPOINT
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return SourceError(
            f"{model_id} is gated. Accept its terms at {hub}/{model_id}, then set HF_TOKEN to a "
            "token of that account."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return SourceNotFoundError(
            f"{model_id} has no branch, tag or commit {request.revision!r}. See "
            f"{hub}/{model_id}/commits/main."
        )
    if status in (401, 404):
        return SourceNotFoundError(
            f"{model_id} is neither a folder here nor a model at {hub} that you may read. "
            "If it is private, set HF_TOKEN to a token that may read it."
        )
    if status == 403:
        return SourceError(f"{hub} refuses access to {model_id}: {one_line(error)}")
    if _is_disk_fault(error):
        place = getattr(error, "filename", None) or constants.HF_HUB_CACHE
        return OutputError(
            f"Cannot write {place} while downloading {model_id}: {one_line(error)}. "
            "Make room, or set HF_HOME to a folder elsewhere."
        )
    advice = (
        "`offline=True` uses the cached copy" if _cached_or_none(request) else "then run it again"
    )
    reason = f"HTTP {status}" if status else _root_reason(error)
    return NetworkError(
        f"Could not get {model_id} from {hub} ({reason}). Check the connection; {advice}."
    )


def _is_disk_fault(error: Exception) -> bool:
    """Return whether the disk failed; network errors can be OSErrors too, but name no file."""
    if isinstance(error, OSError) and (error.errno in _DISK_FULL or error.filename is not None):
        return True
    return "No space left on device" in str(error)


def _root_reason(error: Exception) -> str:
    """Return the operating system's message, which HTTP libraries wrap, or else their own."""
    reason = one_line(error)
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.strerror:
            reason = link.strerror
        link = link.__cause__ or link.__context__
    return reason


def one_line(error: Exception) -> str:
    """Return an error's message without line breaks, and not too long."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return textwrap.shorten(text, 240, placeholder="...") or type(error).__name__
