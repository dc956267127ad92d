"""Questions that minnow in Python and in C++ have to answer alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakes.searching import FakeModel
from minnow.errors import MinnowError
from minnow.search import Index, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = Path(__file__).parents[1] / "core_cases"
DIGITS = 9
COMPARED = (
    "rank", "id", "score", "vector_score", "keyword_score", "source", "number", "headings",
    "passage",
)  # fmt: skip
AROUND = ("before", "after", "folded")

QUESTIONS = (
    "how do minnows sleep in the river", "night train", "descale a kettle with vinegar",
    "冷冻", "鱼", "東京都の魚", "냉장고", "물고기가", "ปลานอน", "น้ำ", "แล่น", "رودخانه", "ماهی ها",
    "ماهیها", "كتاب", "ψαρια", "ΑΘΗΝΑΙ", "strasse", "STRASSE", "ёлка", "dakovo istanbul ilik lodz",
    "smorrebrod aero", "मछलियाँ", "अवन", "ﬁsh ½", '"night train"', '"train night"', '"冷冻室"',
    '"tea" kettle', '"open eyes" fish', "platform-nine's C++", 'a "quote', "NEAR(fish train) OR *",
    "many", "fish", "the", "zzz", "", "river 7 fish", "Wien Fluss", "Nachtzüge", "ZÜGE",
    "vinegar\x00tea", "＂night train＂", "fish " * 40,
    "kettle vinegar 7 12 open night",
)  # fmt: skip
_ASKED = ("how do minnows sleep in the river", "night train", "river 7 fish")
_FILES = ("float16.index", "int8.index", "dot.index")
_FILTERS: tuple[dict[str, Any], ...] = (
    {"where": "metadata->>'lang' = 'en'"},
    {"where": "metadata->>'lang' = ? OR source LIKE ?", "params": ["de", "rivers/1%"]},
    {"where": "number = :n AND length(text) > :least", "params": {"n": 1, "least": 30}},
    {"where": "text LIKE '%open eyes%'"},
    {"where": "1 = 0"},
    {"paths": ["./rivers/*.md"]},
    {"paths": ["kitchen", "?otes.txt"]},
    {"paths": ["**/1*.md"], "where": "number = 1"},
    {"since": "2024"},
    {"since": "2023-01", "until": "2024-05-30"},
    {"until": "2023-01-02T03:04:05Z"},
    {"since": "2001-09-09", "until": "2001-09-09"},
    {"fold": True},
    {"context": 2},
    {"fusion": "rrf"},
    {"fold": True, "context": 1, "paths": ["records.jsonl"]},
)
_REFUSED: tuple[dict[str, Any], ...] = (
    {"where": ""}, {"where": "1) OR (1"}, {"where": "nothing = 1"}, {"where": "id = ?"},
    {"where": "(SELECT 1 FROM meta)"}, {"where": "zeroblob(9) IS NULL"}, {"mode": "fuzzy"},
    {"fusion": "sum"}, {"since": "yesterday"}, {"since": "2024-13"}, {"paths": ["/"]},
    {"since": "2024", "until": "2023"}, {"context": 101},
)  # fmt: skip


def _cases() -> Iterable[dict[str, Any]]:
    for query in QUESTIONS:
        for mode in ("keyword", "hybrid"):
            yield {"file": "float16.index", "query": query, "options": {"mode": mode}}
    for file in _FILES:
        for query in _ASKED:
            for mode in ("vector", "keyword", "hybrid"):
                yield {"file": file, "query": query, "k": 12, "options": {"mode": mode}}
    for options in _FILTERS:
        yield {"file": "float16.index", "query": _ASKED[0], "k": 6, "options": options}
        keyword = {"mode": "keyword", **options}
        yield {
            "file": "int8.index",
            "query": QUESTIONS[-1],
            "k": 6,
            "options": keyword,
        }
    for options in _REFUSED:
        yield {"file": "float16.index", "query": "fish", "options": options}
    for k in (0, 1001):
        yield {"file": "float16.index", "query": "fish", "k": k}
    yield {"file": "float16.index", "query": "fish", "k": 1000}


CASES = tuple(_cases())


def answered(case: dict[str, Any], folder: Path = FOLDER) -> dict[str, Any]:
    """Return a case with the answer of minnow's Python."""
    model = FakeModel(similarity="dot" if case["file"].startswith("dot") else "cosine")
    with Index(open_store(folder / case["file"]), model) as index:
        try:
            hits = index.search(case["query"], case.get("k", 5), **case.get("options", {}))
        except MinnowError:
            return {**case, "refused": True}
    return {**case, "hits": [essence(hit.facts()) for hit in hits]}


def essence(hit: dict[str, Any]) -> dict[str, Any]:
    """Return what is compared of a hit: all but the texts that the file has."""
    kept = {name: hit[name] for name in COMPARED}
    around = {name: [chunk["id"] for chunk in hit[name]] for name in AROUND}
    found: dict[str, Any] = round_numbers({**kept, **around})
    return found


def round_numbers(value: Any) -> Any:
    """Round the numbers in a JSON value to DIGITS significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: round_numbers(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [round_numbers(item) for item in value]
    return value


def read_cases() -> dict[str, Any]:
    """Return cases.json."""
    found: dict[str, Any] = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))
    return found
