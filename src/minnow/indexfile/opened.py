"""An index file together with the model that makes its vectors."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

from minnow.errors import InputError
from minnow.indexfile.fingerprint import check_fingerprint

if TYPE_CHECKING:
    from minnow.indexfile.models import SearchModel
    from minnow.indexfile.store import Store

Self = TypeVar("Self", bound="OpenIndexFile")


class OpenIndexFile:
    """What every class that users open on an index file shares.

    Attributes:
        store: The file.
        fingerprint: The model that made its vectors.
        settings: How its texts are cut and its vectors stored.
    """

    def __init__(self, store: Store, model: SearchModel | None) -> None:
        """Check that a model, if there is one, fits the file.

        Raises:
            IndexFileError: The file is of another model.
        """
        self._stack = ExitStack()
        self.store, self._model = store, model
        self.fingerprint, self.settings = store.fingerprint, store.settings
        if model is not None:
            check_fingerprint(self.fingerprint, model.fingerprint, str(store.path))

    def check(self) -> list[str]:
        """Read the whole file, and return a line for each fault."""
        return self.store.check()

    def close(self) -> None:
        """Close the file, and the model if it was opened with the file."""
        self.store.close()
        self._stack.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_model(self, purpose: str, alternative: str = "") -> SearchModel:
        if self._model is None:
            raise InputError(
                f"{purpose} {self.store.path}, give the bundle it was made with "
                f"({self.fingerprint.shown}){alternative}."
            )
        return self._model
