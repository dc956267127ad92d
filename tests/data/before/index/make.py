"""Make notes.index: documents, a collection and memories. See README.md."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from fakes.searching import DOCUMENTS, FakeModel, write_documents

from minnow.memory import Memory, Observation
from minnow.search import Collection, Record, index_paths, open_index, open_store

FILE = Path(__file__).with_name("notes.index")
TIME = datetime(2026, 3, 1, 9, tzinfo=timezone.utc)
TAGGED = '{"id": "7", "text": "Eels swim far.", "title": "Eels", "metadata": {"lang": "en"}}\n'


def main() -> None:
    """Write the file with the version of minnow that is imported."""
    FILE.unlink(missing_ok=True)
    model = FakeModel()
    with TemporaryDirectory() as folder:
        docs = write_documents(Path(folder) / "docs", {**DOCUMENTS, "rows.jsonl": TAGGED})
        store = open_index(FILE, model)
        index_paths([docs], store, model)
        with store.writing() as database:  # the temporary folder's name is not part of it
            database.execute(
                "UPDATE files SET path = 'docs' || substr(path, ?)", (len(str(docs)) + 1,)
            )
        store.close()
    with Collection(FILE, model, "songs") as collection:
        collection.put([Record("1", "The river carries my boat.", {"year": 1999})])
    with Memory(open_store(FILE, writable=True), model, clock=lambda: TIME) as memory:
        memory.remember_many([
            Observation("Emma is allergic to peanuts.", 0.9, tags=["family"]),
            Observation("EMMA is allergic to peanuts.", 0.4),
            Observation("The night train leaves at nine.", 0.2),
        ])  # fmt: skip
        memory.remember("Emma eats no peanut butter.", sources=[1])
    store = open_store(FILE, writable=True)
    store.compact()
    store.close()


if __name__ == "__main__":
    main()
