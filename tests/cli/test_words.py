"""Words of the command line are those of the library."""

from __future__ import annotations

from typing import get_args

from minnow.proof.references import REFERENCES
from minnow.recipe import RECIPES, Precision, ReferenceName


def test_every_reference_has_a_name() -> None:
    assert get_args(ReferenceName) == tuple(REFERENCES)


def test_every_recipe_has_the_name_of_its_precision() -> None:
    assert {name: recipe.precision.value for name, recipe in RECIPES.items()} == {
        precision.value: precision.value for precision in Precision
    }
