"""The step from a reranker's logits to its scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minnow.errors import InputError
from minnow.model.spec import ScoreActivation

Floats = NDArray[np.float32]
Activation: TypeAlias = ScoreActivation | str | Callable[[Floats], Floats]
"""A name, one of torch's modules of such a name, or a function of a float32 array of logits."""


def logit_scale(logits: NDArray[np.floating]) -> float:
    """Return the unit of differences of logits: the largest of them, or 1 where that is less."""
    return max(1.0, float(np.abs(logits).max()))


def scores_of(logits: Floats, own: ScoreActivation, chosen: Activation | None = None) -> Floats:
    """Make scores of logits.

    Args:
        logits: float32 of shape (pairs, labels).
        own: The model's activation.
        chosen: The caller's, in place of it.

    Returns:
        float32, of the same shape unless a function of the caller's changes it.

    Raises:
        InputError: There is no activation of this name.
    """
    name = own if chosen is None else _name(chosen)
    if callable(chosen) and not name:
        return np.asarray(chosen(logits), dtype=np.float32)
    try:
        return activate(logits, ScoreActivation(name))
    except ValueError:
        names = ", ".join(each.value for each in ScoreActivation)
        raise InputError(f"activation_fn should be {names} or a function, not {name!r}.") from None


def is_known(chosen: Activation | None) -> bool:
    """Return whether an activation is one of ours, whose scores keep the order of the logits."""
    return chosen is None or not callable(chosen) or bool(_name(chosen))


def activate(logits: NDArray[Any], activation: ScoreActivation) -> Floats:
    """Make scores of logits: float32 of the same shape, rounded once, from float64."""
    exact = logits.astype(np.float64)
    if activation is ScoreActivation.SIGMOID:
        with np.errstate(over="ignore"):
            exact = 1 / (1 + np.exp(-exact))
    return exact.astype(np.float32)


def softmax(scores: Floats) -> Floats:
    """Scale the scores of each pair, of shape (pairs, labels), so that they sum to 1."""
    exact = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = exact / exact.sum(axis=-1, keepdims=True)
    return shares.astype(np.float32)


def _name(chosen: Activation) -> str:
    """Return the name of an activation; "" for a function that has no name in torch."""
    if isinstance(chosen, str):
        return chosen
    name, known = type(chosen).__name__.lower(), [each.value for each in ScoreActivation]
    return name if name in known and type(chosen).__module__.startswith("torch.nn") else ""
