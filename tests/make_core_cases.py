"""Write tests/core_cases/: index files, questions, and the answers of minnow's Python.

    PYTHONPATH=src:tests python tests/make_core_cases.py

`tests/native/test_core_cases.py` compares Python and the library in C++ with them. Another language
may do the same: cases.json has all that is needed. `vectors` are those of every question; a case
has the arguments of `Index.search`, and what is compared of each hit, or `"refused": true`. Its
`sidecar` is that of `Index.open`. With `"reranked": true` there is a reranker, by which the score
of a text is the negative number of its characters.

memory.json has steps in an empty file of memories with their answers; times are in milliseconds.
Days are those of a step's `zone`, as POSIX writes it in the variable TZ; without one, those of UTC.
`"reranked"` is as above.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fakes.core_cases import CASES, CODED, FOLDER, QUESTIONS, answered, round_numbers
from fakes.memory_cases import DUPLICATE, MEMORY_STEPS, NOW, PythonMemory, take
from fakes.searching import FakeModel, run_index, write_documents

from minnow.indexfile.codes import CODES
from minnow.indexfile.opening import make_store
from minnow.indexfile.settings import IndexSettings
from minnow.search import Collection, Record, VectorEncoding, open_store
from minnow.vectors import normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fakes.searching import Floats

FILES: dict[str, dict[str, Any]] = {
    "float16.index": {},
    "int8.index": {"encoding": VectorEncoding.INT8},
    "dot.index": {"similarity": "dot"},
}
PARTS = 2600
SUBJECTS = ("river", "kettle", "fish", "train", "minnow", "night", "vinegar")
METADATA = (
    {"id": "a", "text": "Night trains run to Vienna.", "lang": "en", "date": "2024-05-31"},
    {"id": "b", "text": "Nachtzüge fahren nach Wien, und im Fluß schlafen Fische.", "lang": "de"},
    {"id": "c", "text": "How to descale a kettle with vinegar.", "date": "2023-01-02T03:04:05Z"},
    {"id": "d", "text": "How to descale a kettle with vinegar", "stars": 4.5, "lang": "en"},
)
RIVERS = {
    f"rivers/{n}.md": f"# Rivers\n\n## River {n}\n\nriver {n} has {'many ' * n}fish and a train\n"
    for n in range(24)
}
DOCUMENTS = {
    "fish.md": "# Fish\n\nFish sleep with open eyes.\n\n## Minnows\n\nMinnows live in schools. \n",
    "kitchen/kettle.md": "# Kettle\n\nBoil vinegar to descale a kettle. \"Tea\" is next.\n",
    "kitchen/冰箱.md": "# 冰箱\n\n冷冻室里有鱼。東京都の魚は眠る。냉장고에서 물고기가 잔다.\n",
    "notes.txt": "The night train leaves from platform nine. Ligatures: ﬁsh; ﬂow; ™ ½ ﷺ.\n",
    "thai.txt": "ปลานอนหลับในแม่น้ำ และรถไฟเเล่นกลางคืน น้ำ\n",
    "persian.txt": "ماهی‌ها در رودخانه می‌خوابند. كتاب کتاب\n",
    "greek.txt": "Τα ψάρια κοιμούνται στον ποταμό· ᾳ Ἀθῆναι. STRASSE Straße straße\n",
    "russian.txt": "Рыбы спят в реке. Ёлка елка. Đakovo İstanbul ılık Łódź Ærø smørrebrød\n",
    "hindi.txt": "मछलियाँ नदी में सोती हैं। ചില്ലു ൺ അവൻ\n",
    "records.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in METADATA),
    **RIVERS,
}  # fmt: skip


def write_cases(folder: Path) -> None:
    """Write the files and cases.json."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(write_documents(Path(name), DOCUMENTS))
        for file, options in FILES.items():
            settings = dict(options)
            model = FakeModel(similarity=settings.pop("similarity", "cosine"))
            run_index(folder / file, Path(), model=model, **settings)
        os.chdir(folder)
    vectors: list[list[float]] = FakeModel().encode_queries(QUESTIONS).tolist()
    rows: dict[str, Any] = dict(zip(QUESTIONS, round_numbers(vectors), strict=True))
    write_coded(folder / CODED)
    lines = [json.dumps(answered(case), ensure_ascii=False) for case in CASES]
    text = json.dumps(rows, ensure_ascii=False)
    with (folder / "cases.json").open("w", encoding="utf-8") as file_:
        file_.write(f'{{"vectors": {text},\n"cases": [\n' + ",\n".join(lines) + "\n]}\n")


def write_coded(file: Path) -> None:
    """Write a file of many short records; some of its codes are of none, and some codes lack."""
    model = FakeModel()
    numbers = np.random.default_rng(11)
    vectors = normalize(numbers.normal(size=(PARTS, model.fingerprint.width)).astype(np.float32))
    settings = IndexSettings(model.room, encoding=VectorEncoding.INT8)
    make_store(file, model.fingerprint, settings).close()
    with Collection(file, model, "parts") as parts:
        texts = (f"{SUBJECTS[n % len(SUBJECTS)]} {n}" for n in range(PARTS))
        rows = zip(texts, vectors, strict=True)
        parts.put(
            Record(str(n), text, {"part": n}, vector=row) for n, (text, row) in enumerate(rows)
        )
        parts.remove([str(n) for n in range(100, 150)])
    store = open_store(file, writable=True)
    with store.writing() as database:
        (first, codes), *_ = database.execute("SELECT id, codes FROM codes ORDER BY id DESC")
        kept = codes[: len(codes) // 2 // 3 * 3]
        row = (kept, CODES.checksum((first, kept)), first)
        database.execute("UPDATE codes SET codes = ?, checksum = ? WHERE id = ?", row)
    store.compact()
    store.close()


class RecordingModel(FakeModel):
    """A model that keeps the vectors that it made."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors: dict[str, list[float]] = {}

    def _encode(self, texts: Sequence[str]) -> Floats:
        rows = super()._encode(texts)
        self.vectors |= dict(zip(texts, [round_numbers(row) for row in rows.tolist()], strict=True))
        return rows


def write_memory_cases(folder: Path) -> None:
    """Write memory.json."""
    model = RecordingModel()
    with (
        tempfile.TemporaryDirectory() as name,
        PythonMemory(Path(name) / "a.memory", model) as memory,
    ):
        rows = [{"step": step, "answer": take(memory, step)} for step in MEMORY_STEPS]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    facts = json.dumps(vars(model.fingerprint))
    text = json.dumps(model.vectors, ensure_ascii=False)
    head = f'{{"now": {NOW}, "duplicate": {DUPLICATE},\n"model": {facts},\n"vectors": {text},\n'
    file = folder / "memory.json"
    file.write_text(f'{head}"steps": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    write_cases(FOLDER)
    write_memory_cases(FOLDER)
