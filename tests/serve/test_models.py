"""Bundles by name, and which one a request selects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.sealed import make

from minnow.errors import BundleError, ServeError
from minnow.serve.errors import ApiError
from minnow.serve.models import ServedEmbedder, ServedReranker, find_bundles, model_named

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.serve.models import Kind


def test_a_bundle_is_called_by_its_folder_or_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.minnow", "b", "c=d.minnow"):
        make(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    found = find_bundles(
        ["a.minnow", f"{tmp_path}/b/", "c=d.minnow", "small=a.minnow", "org/b-v1.5=b"]
    )
    assert {name: bundle.folder.name for name, bundle in found.items()} == {
        "a": "a.minnow",
        "b": "b",
        "c=d": "c=d.minnow",
        "small": "a.minnow",
        "org/b-v1.5": "b",
    }


def test_what_cannot_be_served(tmp_path: Path) -> None:
    make(tmp_path / "a.minnow")
    with pytest.raises(ServeError, match="called a"):
        find_bundles([f"{tmp_path}/a.minnow", f"a={tmp_path}/a.minnow"])
    with pytest.raises(ServeError):
        find_bundles([])
    with pytest.raises(BundleError):
        find_bundles([str(tmp_path)])
    for argument in ("./no=a.minnow", "/no=a.minnow"):
        with pytest.raises(BundleError, match="is not a folder"):
            find_bundles([argument])


def a(kind: type[Kind]) -> Kind:
    """Return a model of a kind that is not open."""
    return kind.__new__(kind)


def test_the_only_model_of_a_kind_need_not_be_named() -> None:
    one = {"a": a(ServedEmbedder), "r": a(ServedReranker)}
    two = {**one, "b": a(ServedEmbedder)}
    assert model_named(one, None, ServedEmbedder) is one["a"]
    assert model_named(two, None, ServedReranker) is one["r"]
    assert model_named(two, "b", ServedEmbedder) is two["b"]
    for models, name, status in (
        (two, None, 400),
        (one, "r", 400),
        (one, "c", 404),
        (one, "x" * 9999, 404),
        ({"r": one["r"]}, None, 400),
    ):
        with pytest.raises(ApiError) as refused:
            model_named(models, name, ServedEmbedder)
        assert refused.value.status == status
        assert len(refused.value.message) < 300
