"""A bundle on another engine, for bulk work on a server: which engine, and does it agree?"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, TypeVar

from minnow.engines import REBUILT, TextEmbedder
from minnow.errors import EngineError, MinnowError, ParityError
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.bundle import Bundle

AUTO = "auto"
PREFERRED = ("openvino-bf16", "openvino", "onnxruntime")
"""The engines that "auto" tries, the fastest in bulk first; see docs/benchmarks.md."""

AGREEMENT = 0.9999
"""The least cosine to the bundle's own vectors that another engine may have."""

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
"""From one word to beyond the limit of most models."""


T = TypeVar("T", bound=TextEmbedder)


def open_on_host(
    engine: str, bundle: Bundle, source: str | None, open_: Callable[..., T], agreement: float
) -> tuple[T, str]:
    """Open a bundle's network on an engine other than MNN, and compare it with the bundle's own.

    Args:
        engine: Its name; or "auto": the first of PREFERRED that works here and agrees, else MNN.
        bundle: The bundle.
        source: Where the checkpoint is now, if not where the manifest says.
        open_: Opens the bundle: with `engine`, `model` and `interface` on another engine, without
            them on MNN.
        agreement: What the worst cosine of CHECKED_TEXTS has to reach; 0 to leave them out.

    Returns:
        The embedder, and why it is this one, in words.

    Raises:
        SourceError, BundleError, EngineError, MissingExtraError: It cannot be opened.
        ParityError: It does not give the bundle's vectors.
    """
    graph = cache(partial(_rebuilt, bundle, source))
    if engine != AUTO:
        try:
            return _open_agreeing(engine, graph, open_, agreement)
        except ParityError as error:
            raise ParityError(
                f"The engine {engine} cannot stand in for {bundle.folder}. {error} It runs the "
                "model's float32 weights; the bundle's may be rounded. Take engine='mnn', or give "
                "a lower agreement.",
                worst=error.worst,
            ) from error
    try:
        graph()
    except MinnowError as error:
        return open_(), f"mnn, the bundle's own. No other: {error}"
    refused = []
    for name in PREFERRED:
        try:
            return _open_agreeing(name, graph, open_, agreement)
        except MinnowError as error:
            refused.append(f"Not {name}: {error}")
    return open_(), " ".join(["mnn, the bundle's own.", *refused])


def _rebuilt(bundle: Bundle, source: str | None) -> bytes:
    from minnow.origin import rebuild_graph  # a tenth of a cold start, which MNN alone is spared

    return rebuild_graph(bundle, source)


def _open_agreeing(
    engine: str, graph: Callable[[], bytes], open_: Callable[..., T], agreement: float
) -> tuple[T, str]:
    _check_possible(engine)
    embedder = open_(engine=engine, model=graph(), interface=REBUILT)
    if not agreement:
        return embedder, f"{engine}, not compared with the bundle."
    try:
        own = open_()
        try:
            worst = _worst_cosine(embedder, own, agreement)
        finally:
            own.close()
    except BaseException:
        embedder.close()
        raise
    return embedder, (
        f"{engine}: it gives the bundle's vectors, with a worst cosine of {worst:.6f} on "
        f"{len(CHECKED_TEXTS)} texts."
    )


def _check_possible(engine: str) -> None:
    """Refuse an engine that this machine would only imitate."""
    if engine == "openvino-bf16":
        from minnow.engines.openvino import computes_bf16

        if not computes_bf16():
            raise EngineError("This CPU has no instructions for bfloat16; openvino has float32.")


def _worst_cosine(embedder: TextEmbedder, own: TextEmbedder, agreement: float) -> float:
    found, expected = (each.encode_document(CHECKED_TEXTS) for each in (embedder, own))
    cosines = rowwise_cosine(found, expected)
    worst = int(cosines.argmin())  # NaN counts as the least of all
    if not cosines[worst] >= agreement:
        raise ParityError(
            "It does not give the bundle's vectors: the cosine of "
            f"{CHECKED_TEXTS[worst][:20]!r}... is {cosines[worst]:.6f}, below {agreement}.",
            worst=float(cosines[worst]),
        )
    return float(cosines[worst])
