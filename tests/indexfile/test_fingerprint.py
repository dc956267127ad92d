"""Which bundles may search which indexes."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.sealed import MANIFEST_OF_A_TEST
from fakes.searching import FINGERPRINT

from minnow.errors import IndexFileError
from minnow.indexfile.fingerprint import LEAST_PARITY, SAME, Fingerprint, check_fingerprint
from minnow.indexfile.settings import from_json, to_json
from minnow.manifest import TOKENIZER
from minnow.recipe import RECIPES
from minnow.records import replace
from minnow.sealing import FileRecord

OTHER: dict[str, Any] = {
    "weights_sha256": "c" * 64,
    "tokenizer_sha256": "c" * 64,
    "pooling": "cls",
    "normalize": False,
    "query_prompt": "query: ",
    "document_prompt": "passage: ",
    "lowercase": True,
    "max_tokens": 32,
    "width": 48,
    "truncated_from": 96,
    "similarity": "dot",
}
INT8 = replace(FINGERPRINT, precision="int8", worst_cosine=0.998, recipe={"precision": "int8"})


def test_every_field_that_counts_is_tried() -> None:
    assert set(OTHER) == set(SAME)


@pytest.mark.parametrize("name", SAME)
def test_what_differs_is_named(name: str) -> None:
    given = replace(FINGERPRINT, **{name: OTHER[name]})
    with pytest.raises(IndexFileError, match=r"^docs\.index was made with another model") as caught:
        check_fingerprint(FINGERPRINT, given, "docs.index")
    shown = str(OTHER[name])[:12]
    assert shown in str(caught.value)
    assert "Use a bundle of that model" in str(caught.value)


def test_where_the_model_was_found_does_not_count() -> None:
    elsewhere = replace(FINGERPRINT, source="/other", model_id=None, revision=None)
    check_fingerprint(FINGERPRINT, elsewhere, "docs.index")


def test_another_precision_is_accepted_where_both_are_close_to_the_reference() -> None:
    check_fingerprint(FINGERPRINT, INT8, "docs.index")
    check_fingerprint(INT8, FINGERPRINT, "docs.index")
    check_fingerprint(FINGERPRINT, replace(INT8, worst_cosine=LEAST_PARITY), "docs.index")


@pytest.mark.parametrize("worst", [LEAST_PARITY - 1e-6, float("nan")])
def test_another_precision_that_is_too_coarse_is_refused(worst: float) -> None:
    coarse = replace(INT8, worst_cosine=worst)
    for stored, given in ((FINGERPRINT, coarse), (coarse, FINGERPRINT)):
        with pytest.raises(IndexFileError, match="Precisions may be mixed where both"):
            check_fingerprint(stored, given, "docs.index")


def test_a_recipe_is_stored_under_the_names_of_the_manifest() -> None:
    """Indexes of 0.1.0 have them, and a coarse bundle searches only what has its very recipe."""
    manifest = replace(MANIFEST_OF_A_TEST, files={TOKENIZER: FileRecord(1, "b" * 64)})
    recipe = Fingerprint.of(replace(manifest, recipe=RECIPES["int4"])).recipe
    assert recipe["largest_fall"] == RECIPES["int4"].max_ndcg_drop
    assert "max_ndcg_drop" not in recipe


def test_a_coarse_bundle_searches_what_it_made() -> None:
    coarse = replace(INT8, worst_cosine=0.93)
    check_fingerprint(coarse, coarse, "docs.index")


def test_it_is_read_from_a_manifest_and_kept_in_json() -> None:
    files = {TOKENIZER: FileRecord(1, "d" * 64)}
    fingerprint = Fingerprint.of(replace(MANIFEST_OF_A_TEST, files=files))
    assert fingerprint.query_prompt == "für 鱼: "
    assert fingerprint.tokenizer_sha256 == "d" * 64
    assert fingerprint.worst_cosine == 0.99999
    assert from_json(to_json(fingerprint), Fingerprint, "model") == fingerprint


def test_broken_json_is_an_error_of_the_file() -> None:
    with pytest.raises(IndexFileError, match="The model in the index cannot be read"):
        from_json('{"source": 1}', Fingerprint, "model")
