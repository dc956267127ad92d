"""Names of a repository's files, and the content of small ones, read without complaints."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

CONFIG = "config.json"
PIPELINE = "config_sentence_transformers.json"
MODULES = "modules.json"
ROUTER_CONFIG = "router_config.json"
_LARGEST = 1 << 20
_ROUTER = re.compile("[0-9]+_(Router|Asym)/")


def is_router(module: str) -> bool:
    """Return whether a class of modules.json sends texts to routes of other modules."""
    package, _, name = module.rpartition(".")
    return package.startswith("sentence_transformers.") and name in ("Router", "Asym")


def names_routes(names: Collection[str]) -> bool:
    """Return whether there is a router's configuration, or its folder, among names of files."""
    return any(name.rsplit("/", 1)[-1] == ROUTER_CONFIG or _ROUTER.match(name) for name in names)


@dataclass(frozen=True)
class Listing:
    """A repository's files: all their names, and the content of those that are here.

    Attributes:
        name: The user's name for it.
        names: Paths with forward slashes, of files in it and in its subfolders.
        folder: The folder that holds them; of a repository on the Hub as much as was fetched, or
            None.
    """

    name: str
    names: frozenset[str]
    folder: Path | None = None

    def json(self, relative: str) -> Any:
        """Parse a small JSON file; None where it is not here, or is not JSON."""
        try:
            return json.loads(self._start(relative))
        except (ValueError, RecursionError):
            return None

    def object(self, relative: str) -> Mapping[str, Any]:
        """Parse a small JSON object; an empty one where there is none."""
        found = self.json(relative)
        return found if isinstance(found, dict) else {}

    def text(self, relative: str) -> str:
        """Read the start of a text; an empty one where there is none."""
        return self._start(relative).decode("utf-8", "replace")

    def _start(self, relative: str) -> bytes:
        """Read the first bytes of a file; none where it is not here or cannot be read."""
        if self.folder is None or relative not in self.names:
            return b""
        try:
            with open_regular(self.folder / relative) as file:
                return file.read(_LARGEST)
        except OSError:
            return b""

    @property
    def is_static(self) -> bool:
        """Whether it is a table of vectors without a network, as far as the files here say."""
        return (
            self.object(CONFIG).get("model_type") == "model2vec"
            or any(name.startswith("0_StaticEmbedding/") for name in self.names)
            or any(name.rsplit(".", 1)[-1] == "StaticEmbedding" for name in self.modules[:1])
        )

    @property
    def has_routes(self) -> bool:
        """Whether it has an encoder for queries and one for documents."""
        return names_routes(self.names) or any(map(is_router, self.modules))

    @property
    def modules(self) -> list[str]:
        """The class of each module that modules.json names."""
        rows = self.json(MODULES)
        rows = rows if isinstance(rows, list) else []
        return [str(row.get("type")) for row in rows if isinstance(row, dict)]

    @property
    def architectures(self) -> list[str]:
        """The classes of transformers that config.json names."""
        stated = self.object(CONFIG).get("architectures")
        return [str(name) for name in stated] if isinstance(stated, list) else []

    @property
    def classifiers(self) -> list[str]:
        """The classes among `architectures` that score labels of a text or a pair."""
        return [name for name in self.architectures if name.endswith("ForSequenceClassification")]

    def ending(self, *suffixes: str) -> list[str]:
        """Return the files with one of these suffixes, sorted."""
        return sorted(name for name in self.names if name.lower().endswith(suffixes))
