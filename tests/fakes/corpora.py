"""A made corpus in Arrow tables, and the engine that tests embed it with."""

from __future__ import annotations

from typing import Any

from minnow.engines import EngineOptions

MNN = EngineOptions("mnn", threads=1)
WORDS = ("fish", "ship", "sleep", "sea", "keel", "eye", "net", "sail")


def corpus(rows: int, start: int = 0) -> Any:
    """Return rows with ids, texts and a language."""
    import pyarrow as pa

    numbers = range(start, start + rows)
    return pa.table(
        {
            "id": [f"d{n}" for n in numbers],
            "text": [" ".join(WORDS[(n * k) % 8] for k in range(1, 2 + n % 5)) for n in numbers],
            "lang": ["en"] * rows,
        }
    )
