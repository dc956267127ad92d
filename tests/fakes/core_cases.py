"""Questions that minnow in Python and in C++ have to answer alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakes.searching import FakeModel
from minnow.errors import MinnowError
from minnow.search import Index, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from minnow.reranker import RankedDocument

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
CODED = "codes.index"
"""More chunks than codes choose, so that every step of a search by codes leaves some out."""

_CODED: tuple[dict[str, Any], ...] = (
    {"mode": "vector"}, {}, {"fusion": "rrf"},
    {"mode": "vector", "where": "metadata->>'part' < 1000"},
    {"mode": "vector", "where": "metadata->>'part' < 40"},
)  # fmt: skip
_RERANKED: tuple[dict[str, Any], ...] = (
    {}, {"mode": "keyword", "candidates": 9}, {"fold": True, "candidates": 6, "context": 1},
    {"mode": "vector", "candidates": 12}, {"where": "1 = 0"},
)  # fmt: skip
_FILTERS: tuple[dict[str, Any], ...] = (
    {"where": "metadata->>'lang' = 'en'"},
    {"where": "metadata->>'lang' = ? OR source LIKE ?", "params": ["de", "rivers/1%"]},
    {"where": "number = :n AND length(text) > :least", "params": {"n": 1, "least": 30}},
    {"where": "text LIKE '%open eyes%'"},
    {"where": "1 = 0"},
    {"where": "id = 6"},
    {"where": "id IN (SELECT max(id) FROM passages WHERE heading != '')"},
    {"where": '"text" LIKE \'%open eyes%\' AND [source] != "heading" -- "a"'},
    {"paths": ["./rivers/*.md"]},
    {"paths": ["kitchen", "?otes.txt"]},
    {"paths": ["**/1*.md"], "where": "number = 1"},
    {"since": "2024"},
    {"since": "2023-01", "until": "2024-05-30"},
    {"until": "2023-01-02T03:04:05Z"},
    {"since": "2001-09-09", "until": "2001-09-09"},
    {"since": "2024-05", "until": "9999"},
    {"until": "9999-12-31"},
    {"fold": True},
    {"context": 2},
    {"fusion": "rrf"},
    {"fold": True, "context": 1, "paths": ["records.jsonl"]},
)
_REFUSED: tuple[dict[str, Any], ...] = (
    {"where": ""}, {"where": "1) OR (1"}, {"where": "nothing = 1"}, {"where": "id = ?"},
    {"where": '"lang" = \'en\''}, {"where": 'source LIKE "rivers/%"'},
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
    for query in (*_ASKED, QUESTIONS[-1]):
        for sidecar in ("codes", "never"):
            for options in _CODED:
                yield {"file": CODED, "query": query, "sidecar": sidecar, "options": options}
            yield {"file": CODED, "query": query, "sidecar": sidecar, "k": 60, "options": _CODED[0]}
    for options in _RERANKED:
        yield {"file": "float16.index", "query": _ASKED[2], "reranked": True, "options": options}
    for options in ({"candidates": 4}, {"candidates": 1001}):
        yield {"file": "float16.index", "query": "fish", "reranked": True, "options": options}
    yield {"file": "float16.index", "query": "fish", "options": {"candidates": 9}}
    yield {"file": "float16.index", "query": "fish", "sidecar": "codes"}
    yield {"file": "dot.index", "query": "fish", "sidecar": "codes"}
    for k in (0, 1001):
        yield {"file": "float16.index", "query": "fish", "k": k}
    yield {"file": "float16.index", "query": "fish", "k": 1000}


CASES = tuple(_cases())


def answered(case: dict[str, Any], folder: Path = FOLDER) -> dict[str, Any]:
    """Return a case with the answer of minnow's Python."""
    model = FakeModel(similarity="dot" if case["file"].startswith("dot") else "cosine")
    options = case.get("options", {})
    if case.get("reranked"):
        options = {**options, "reranker": ShortestFirst()}
    sidecar = case.get("sidecar", "auto")
    with Index(open_store(folder / case["file"]), model, sidecar=sidecar) as index:
        try:
            hits = index.search(case["query"], case.get("k", 5), **options)
        except MinnowError:
            return {**case, "refused": True}
    return {**case, "hits": [essence(hit.facts()) for hit in hits]}


class ShortestFirst:
    """A reranker: the score of a text is the negative number of its characters."""

    def rank(self, query: str, documents: Sequence[str]) -> list[RankedDocument]:
        rows: list[RankedDocument] = [
            {"corpus_id": place, "score": -float(len(text))} for place, text in enumerate(documents)
        ]
        return sorted(rows, key=lambda row: -row["score"])


def essence(hit: dict[str, Any]) -> dict[str, Any]:
    """Return what is compared of a hit: all but the texts that the file has."""
    kept = {name: hit[name] for name in COMPARED}
    if hit["first_rank"] is not None:
        kept |= {name: hit[name] for name in ("rerank_score", "first_rank")}
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
