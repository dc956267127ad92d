"""export.json, the record of an exported folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import msgspec

from minnow.errors import BundleError
from minnow.files import restore_if_missing
from minnow.manifest import SourceRecord
from minnow.parity import Parity
from minnow.recipe import Recipe
from minnow.record_json import from_json
from minnow.sealing import (
    FileRecord,
    check_record,
    check_replaceable,
    file_faults,
    read_record,
)
from minnow.vectors import Similarity

FORMAT = 1
RECORD = "export.json"
MNN_LLM = "mnn-llm"


@dataclass(frozen=True)
class ExportRecord:
    """The record of an exported folder; `export.json` is its JSON form.

    Attributes:
        target: Who reads the folder.
        source: Where the model came from.
        recipe: How its layers were made small; `words` replaces the recipe's word table.
        words: How the word table is stored: fp16, bf16, int8 or int4.
        width: The length of a vector, in numbers.
        pooling: How the graph makes one vector of token states.
        normalize: Whether the graph scales it to length 1.
        similarity: How vectors are meant to be compared.
        max_tokens: The longest text, special tokens included; the app cuts off the rest.
        lowercase: Whether the tokenizer lowers the text itself, where the source's does not.
        prompts: Name -> what the app puts before a text.
        default_prompt_name: The prompt of a text without a role, or None.
        limits: Descriptions of what the engine does not do.
        normal_form: The normal form of Unicode that the app gives texts in: NFC, or None.
        parity: The figures of the proof.
        tools: Name -> version of each tool that made the folder.
        files: Path in the folder -> size and hash; all files except the record itself.
        format: The version of this form.
    """

    target: str
    source: SourceRecord
    recipe: Recipe
    words: str
    width: int
    pooling: str
    normalize: bool
    similarity: Similarity
    max_tokens: int
    lowercase: bool
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    limits: tuple[str, ...]
    parity: Parity
    tools: Mapping[str, str]
    normal_form: str | None = None
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True)
class Export:
    """An exported folder.

    Attributes:
        folder: The folder.
        record: The content of its export.json.
    """

    folder: Path
    record: ExportRecord

    @classmethod
    def open(cls, folder: str | Path) -> Export:
        """Read a folder's record; `check_files` compares the files with it.

        Raises:
            BundleError: The record is missing, broken, or of another format.
        """
        path = Path(folder) / RECORD
        restore_if_missing(Path(folder))
        try:
            content = read_record(path)
            check_record(content, {each.name for each in fields(ExportRecord)})
            record = from_json(content, ExportRecord)
        except OSError as error:
            raise BundleError(
                f"{folder} is not an exported folder: {RECORD} cannot be read ({error.strerror})."
            ) from error
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            reason = str(error).rstrip(".")
            raise BundleError(f"{path} is not the record of an export: {reason}.") from error
        if record.format != FORMAT:
            raise BundleError(f"{path} has format {record.format}; this minnow reads {FORMAT}.")
        return cls(Path(folder), record)

    @property
    def size(self) -> int:
        """Bytes of all files that the record lists."""
        return sum(record.size for record in self.record.files.values())

    def check_files(self) -> None:
        """Compare every file with the record.

        Raises:
            BundleError: Files are missing or have changed; all of them are named.
        """
        unlike = file_faults(self.folder, self.record.files)
        if unlike:
            raise BundleError(
                f"{self.folder} is not the folder that was proven: {', '.join(unlike)} missing or "
                "changed. Export it again."
            )


def check_destination(destination: Path) -> None:
    """Check that a destination is free, an empty folder, or an export with no other files.

    Raises:
        OutputError: The destination is something else.
    """
    check_replaceable(
        destination, "export", lambda: {RECORD, *Export.open(destination).record.files}
    )
