"""Models in the form that another library reads, each made once and kept in the cache.

Making one takes seconds. It happens when a system is found, so that loading does not include it.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from minnow import cached_folders
from minnow.errors import EngineError
from minnow.processes import python_command, run_child

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXPORT_TIMEOUT = 3600.0
"""Seconds; tracing a large model takes minutes."""

_CHILD = """
from pathlib import Path
from minnow.engines.sentence_transformers import export_model
export_model(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
"""


def made_once(
    form: str, files: Sequence[Path], packages: Sequence[str], write: Callable[[Path], None]
) -> Path:
    """Return the folder of a model in another form, from the cache or written there now.

    The cache key has the paths, sizes and times of the files, so that opening a system need not
    read them all. The folder may be deleted at any time.

    Args:
        form: The name of the form.
        files: The files that it is made of.
        packages: Distributions that make it; their versions are part of the key.
        write: Fills an empty folder.

    Raises:
        OutputError: The cache cannot be written.
        MinnowError: An error of `write`; the cache does not keep anything then.
    """
    return cached_folders.made_once(f"{form}-{_key(files, packages)}", write)


def export_with_sentence_transformers(source: Path, backend: str, destination: Path) -> None:
    """Have a child process write a model for a back end of sentence-transformers.

    Raises:
        EngineError: It failed; the message has the end of its log.
    """
    run_child(
        f"The export of {source} for sentence-transformers' back end {backend}",
        python_command(_CHILD, str(source.absolute()), str(destination.absolute()), backend),
        folder=Path(),  # paths in the environment, as in HF_HOME, may be relative
        environment={"HF_HUB_OFFLINE": "1"},
        timeout=EXPORT_TIMEOUT,
        error=EngineError,
    )


def _key(files: Sequence[Path], packages: Sequence[str]) -> str:
    rows = [f"{name} {version(name)}" for name in ("minnow-embed", *packages)]
    for file in sorted(files):
        status = file.stat()
        rows.append(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:32]
