"""The engine that runs a bundle: MNN, or one whose vectors agree with the bundle's own."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from minnow.engines import AUTO, EngineOptions
from minnow.errors import EngineError, MinnowError, ParityError
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from minnow.bundle import Bundle
    from minnow.engines import TextEmbedder

PREFERRED = ("openvino-bf16", "openvino", "onnxruntime")
"""The engines that "auto" tries, the fastest in bulk first; see docs/benchmarks.md."""

CHECKED_TEXTS = (
    "a",
    "How do fish sleep?",
    "Ships have keels; fish have fins.",
    "3.14159, 2.71828 and 1.41421!",
    "Ich weiß, daß die Größe zählt: naïve café, señor.",
    "魚はどうやって眠りますか。",
    "🐟🐠🐡 swim",
    "def encode(texts):\n    return [len(text) for text in texts]\n",
    "A vector is a list of numbers. Two texts that mean the same have vectors that are alike. " * 3,
    "minnow " * 100,
    "The sea is deep, and what lives in it is seldom seen by those who live on land. " * 60,
)
"""Texts from one word to over the limit of most models."""


CHECKED_PAIRS = tuple(
    ("how do fish sleep?", document)
    for document in (
        "Fish rest with open eyes.",
        "Ships have keels; fish have fins.",
        "",
        "魚はどうやって眠りますか。",
        "The sea is deep, and what lives in it is seldom seen by those who live on land. " * 60,
    )
)
"""Pairs of a query and a document, up to over the limit of most models."""


class Closes(Protocol):
    """What runs a bundle."""

    def close(self) -> None:
        """Free the runtime's memory."""
        ...


T = TypeVar("T", bound=Closes)


def open_chosen(
    options: EngineOptions,
    bundle: Bundle,
    open_: Callable[..., T],
    compare: Callable[[T, T, float], str],
) -> tuple[T, str]:
    """Open a bundle's network on the engine that the options name, or on the best one.

    Args:
        options: The engine is "mnn", the bundle's own; or another, whose vectors have to agree
            with the bundle's; or "auto": the first of PREFERRED that works here and agrees, else
            MNN.
        bundle: The bundle.
        open_: Opens it with other options; on another engine than MNN also with `model` and
            `interface`.
        compare: Compares what another engine gives with what the bundle's own gives, and describes
            the agreement, or raises `ParityError`; the number is the options' `agreement`.

    Returns:
        What was opened, and the reason for the choice, as a sentence.

    Raises:
        SourceError, BundleError, EngineError, MissingExtraError: It cannot be opened.
        ParityError: It does not give the bundle's vectors.
    """
    own = partial(open_, replace(options, engine="mnn"))
    if options.engine == "mnn":
        return own(), "mnn, the bundle's own."
    graph = cache(partial(_rebuilt, bundle, options.source))

    def open_other(engine: str) -> tuple[T, str]:
        other = replace(options, engine=engine)
        _check_possible(engine)
        interface = bundle.manifest.rebuilt_interface
        opened = open_(other, model=graph(), interface=interface)
        return opened, _check_agreement(opened, own, other, compare)

    if options.engine != AUTO:
        try:
            return open_other(options.engine)
        except ParityError as error:
            raise ParityError(
                f"The engine {options.engine} cannot stand in for {bundle.folder}. {error} Take "
                "engine='mnn', or give a lower agreement.",
                worst=error.worst,
            ) from error
    try:
        graph()
    except MinnowError as error:
        return own(), f"mnn, the bundle's own. No other: {error}"
    refused = []
    for name in PREFERRED:
        try:
            return open_other(name)
        except MinnowError as error:
            refused.append(f"Not {name}: {error}")
    return own(), " ".join(["mnn, the bundle's own.", *refused])


def _rebuilt(bundle: Bundle, source: str | None) -> bytes:
    from minnow.origin import rebuild_graph  # a tenth of a cold start, which MNN does not need

    return rebuild_graph(bundle, source)


def _check_possible(engine: str) -> None:
    """Refuse an engine that this machine would only imitate."""
    if engine == "openvino-bf16":
        from minnow.engines.openvino import computes_bf16

        if not computes_bf16():
            raise EngineError("This CPU has no instructions for bfloat16; openvino has float32.")


def _check_agreement(
    opened: T,
    open_own: Callable[[], T],
    options: EngineOptions,
    compare: Callable[[T, T, float], str],
) -> str:
    """Compare what was opened with the bundle's own; close it if they do not agree."""
    if not options.agreement:
        return f"{options.engine}, not compared with the bundle."
    try:
        own = open_own()
        try:
            return f"{options.engine}: {compare(opened, own, options.agreement)}"
        finally:
            own.close()
    except BaseException:
        opened.close()
        raise


def compare_vectors(embedder: TextEmbedder, own: TextEmbedder, agreement: float) -> str:
    """Compare the vectors of a few texts; describe the worst cosine.

    Raises:
        ParityError: It is below the agreement.
    """
    found, expected = (each.encode_document(CHECKED_TEXTS) for each in (embedder, own))
    cosines = rowwise_cosine(found, expected)
    cosines[~found.any(axis=1) & ~expected.any(axis=1)] = 1.0  # zeros, of a text without tokens
    worst = int(cosines.argmin())  # NaN counts as the lowest
    if not cosines[worst] >= agreement:
        raise ParityError(
            "It does not give the bundle's vectors: the cosine of "
            f"{CHECKED_TEXTS[worst][:20]!r}... is {cosines[worst]:.6f}, below {agreement}.",
            worst=float(cosines[worst]),
        )
    return (
        f"it gives the bundle's vectors, with a worst cosine of {cosines[worst]:.6f} on "
        f"{len(CHECKED_TEXTS)} texts."
    )


def compare_logits(
    found: NDArray[np.float32], expected: NDArray[np.float32], allowed: float
) -> str:
    """Compare the logits of CHECKED_PAIRS; describe the greatest difference.

    Args:
        found: Those of another engine.
        expected: Those of the bundle's own, of the same shape.
        allowed: The greatest difference, in units of the largest logit where that is above 1.

    Raises:
        ParityError: They differ by more.
    """
    scale = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(found - expected).max()) / scale
    if not difference <= allowed:
        raise ParityError(
            f"It does not give the bundle's logits: the greatest difference on {len(found)} pairs "
            f"is {difference:.6f} of the largest logit, above {allowed:.6f}.",
            worst=difference,
        )
    return (
        f"it gives the bundle's logits, with a greatest difference of {difference:.6f} on "
        f"{len(found)} pairs."
    )
