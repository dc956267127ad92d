"""A bundle as the model of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from minnow.indexfile.models import find_too_long, open_model
from minnow.search import Collection, Record

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny

pytestmark = pytest.mark.extra("convert")

QUESTIONS = ["how do fish sleep", "red", "boats and trains on the river", "fish", "red"]


def test_a_question_has_the_same_vector_and_hits_alone_and_among_others(
    made: Tiny, tmp_path: Path
) -> None:
    with open_model(made.bundle) as model:
        together = model.encode_queries(QUESTIONS)
        alone = [model.encode_queries([text])[0] for text in QUESTIONS]
        assert np.array_equal(together, alone)
        assert model.encode_queries([]).shape == (0, model.fingerprint.width)
        with Collection(tmp_path / "a.index", model) as collection:
            collection.put([Record(str(i), f"red fish {'swim ' * (i % 4)}") for i in range(24)])
            index = collection.index
            for mode in ("vector", "hybrid"):
                many = index.search_many(QUESTIONS, 9, mode=mode)
                assert many == [index.search(text, 9, mode=mode) for text in QUESTIONS]


def test_the_first_text_that_does_not_fit_is_found(made: Tiny) -> None:
    with open_model(made.bundle) as model:
        long = "fish " * model.room
        assert find_too_long(model, ["fish", "red"]) is None
        assert find_too_long(model, ["fish"] * 1500 + [long, long]) == (1500, model.room + 2)
