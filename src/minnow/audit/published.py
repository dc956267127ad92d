"""A published MNN model: its files in a folder or on the Hub, and what they say of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.errors import AmbiguousModelError, SourceError, SourceNotFoundError
from minnow.export.mnn_llm.settings import LLM_CONFIG
from minnow.manifest import MANIFEST, TOKENIZER
from minnow.model.embedding import read_embedding_spec
from minnow.model.layout import README, SENTENCE_CONFIGS
from minnow.model.listing import CONFIG, MODULES, Listing
from minnow.model.source import ModelSource

if TYPE_CHECKING:
    from minnow.model.spec import EmbeddingSpec, EncoderSpec

MODEL = ".mnn"
PATTERNS = (
    f"*{MODEL}", "*.mnn.weight", "*.mtok", "embeddings*.bin", "*.json", "*.txt", "*.model", README,
)  # fmt: skip
"""The files of a repository that an audit reads: models, tables, and small files of text."""
_BASE = "base_model"


@dataclass(frozen=True)
class Published:
    """A published model on this machine.

    Attributes:
        name: What the user named.
        folder: Its folder.
        model: The MNN file.
        revision: The commit, for a repository on the Hub.
        for_mnn_llm: Whether it is a folder for MNN-LLM's embedding engine.
    """

    name: str
    folder: Path
    model: Path
    revision: str | None = None
    for_mnn_llm: bool = False

    @property
    def tokenizer(self) -> Path | None:
        """Its tokenizer.json, if it has one."""
        path = self.folder / TOKENIZER
        return path if path.is_file() else None

    @property
    def lowercase(self) -> bool:
        """Whether its files say that texts are lowercased before they are tokenised."""
        stated = map(self._listing(*SENTENCE_CONFIGS).object, SENTENCE_CONFIGS)
        return next(filter(None, stated), {}).get("do_lower_case") is True

    @property
    def base_model(self) -> str | None:
        """The model that it was made from, as its model card or its config.json states."""
        from huggingface_hub import metadata_load

        try:
            stated: Any = (metadata_load(self.folder / README) or {}).get(_BASE)
        except (ValueError, OSError):
            stated = None
        stated = stated or self._listing(CONFIG).object(CONFIG).get("_name_or_path")
        stated = stated[0] if isinstance(stated, list) and len(stated) == 1 else stated
        return stated if isinstance(stated, str) and stated else None

    def embedding(self, encoder: EncoderSpec) -> EmbeddingSpec | None:
        """Read the pooling that its own files state; None where they state none."""
        if not (self.folder / MODULES).is_file():
            return None
        try:
            own = ModelSource(self.name, "folder", self.folder, None, None)
            return read_embedding_spec(own, encoder)
        except SourceError:
            return None

    def _listing(self, *names: str) -> Listing:
        here = frozenset(name for name in names if (self.folder / name).is_file())
        return Listing(self.name, here, self.folder)


def find_published(name: str, *, revision: str | None = None, offline: bool = False) -> Published:
    """Find a published model, and bring its files onto this machine.

    Args:
        name: A folder, an MNN file, or a repository on the Hub.
        revision: Branch, tag or commit on the Hub.
        offline: Use only what is cached.

    Raises:
        SourceNotFoundError: There is no such folder or repository, or no MNN model in it.
        AmbiguousModelError: It holds several models, or a folder was given a revision.
        SourceError: It is a bundle of minnow's, or the Hub did not answer.
    """
    path = Path(name).expanduser()
    if path.exists():
        if revision is not None:
            raise AmbiguousModelError(f"{name} is a folder and has no revision: leave it out.")
        folder = path if path.is_dir() else path.parent
        return _in_folder(name, folder.absolute(), None, path if path.is_file() else None)
    if name.count("/") != 1 or name.startswith((".", "~", "/")):
        raise SourceNotFoundError(f"There is no folder or MNN file {name}.")
    from minnow.model.hub import HubRequest, snapshot_of_any

    folder = snapshot_of_any(HubRequest(name, revision or "main"), PATTERNS, offline=offline)
    return _in_folder(name, folder, folder.name, None)


def _in_folder(name: str, folder: Path, revision: str | None, file: Path | None) -> Published:
    if (folder / MANIFEST).is_file():
        raise SourceError(f"{name} is a bundle of minnow's own: `minnow verify` repeats its proof.")
    if file is None and (folder / LLM_CONFIG).is_file():
        return Published(name, folder, _llm_model(name, folder), revision, for_mnn_llm=True)
    models = (
        [file] if file else sorted(folder.glob(f"*{MODEL}")) or sorted(folder.glob(f"*/*{MODEL}"))
    )
    if not models:
        raise SourceNotFoundError(f"{name} has no MNN model: no file ends with {MODEL}.")
    if len(models) > 1:
        names = ", ".join(str(model.relative_to(folder)) for model in models)
        raise AmbiguousModelError(f"{name} holds {len(models)} MNN models. Name one file: {names}.")
    return Published(name, folder, models[0].absolute(), revision)


def _llm_model(name: str, folder: Path) -> Path:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        model = folder / str(config.get("llm_model", "llm.mnn"))
    except (OSError, ValueError, AttributeError) as error:
        raise SourceNotFoundError(
            f"{name} has {LLM_CONFIG}, but no {CONFIG} that MNN-LLM reads: {error}."
        ) from error
    if not model.is_file():
        raise SourceNotFoundError(f"{name} has no {model.name}, the model that {CONFIG} names.")
    return model
