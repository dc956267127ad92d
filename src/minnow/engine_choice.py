"""The engine that runs a bundle: MNN, or one whose vectors agree with the bundle's own."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from msgspec import Struct

from minnow.bundle import Bundle
from minnow.engines import AUTO, BEST, FASTEST, MNN, EngineOptions
from minnow.engines.base import MANY_BATCHES
from minnow.engines.bulk import BulkEngine
from minnow.errors import EngineError, MinnowError, MissingExtraError, ParityError
from minnow.model.spec import STATIC
from minnow.modes import DEFAULT, warn_unproven
from minnow.records import replace
from minnow.scores import logit_scale
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from minnow.engine_models import RebuiltModel
    from minnow.engines import Engine, TextEmbedder

    Floats = NDArray[np.float32]

PREFERRED = {"openvino-bf16": "openvino", "openvino": "openvino", "onnxruntime": "onnxruntime"}
"""The engines that stand in for MNN, the fastest in bulk first, with the package of each.

docs/benchmarks.md has the figures, which are of x86.
"""
_MEASURED_ON = ("x86_64", "AMD64")
_OWN = "mnn, the bundle's own."

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


class Runs(Protocol):
    """What runs a bundle."""

    pipeline: Any

    def close(self) -> None:
        """Free the runtime's memory."""
        ...


T = TypeVar("T", bound=Runs)


class Check(Struct, Generic[T], frozen=True):
    """The comparison of another engine with the bundle's own.

    Attributes:
        answers: Returns the vectors of a few texts, or the logits of a few pairs.
        judge: Compares another engine's answers with the bundle's own by the options' `agreement`;
            describes how well they agree, or raises `ParityError`.
    """

    answers: Callable[[T], Floats]
    judge: Callable[[Floats, Floats, float], str]


def open_chosen(
    options: EngineOptions, bundle: Bundle, open_: Callable[..., T], check: Check[T]
) -> tuple[T, Callable[[], str]]:
    """Open a bundle's network on the engine that the options name, or on the best one.

    Args:
        options: The engine is "mnn", the bundle's own; or another, whose vectors have to agree
            with the bundle's; or "fastest": the first of PREFERRED that works here and agrees, else
            MNN; or "auto": MNN, and that engine for calls in bulk (see `BulkEngine`).
        bundle: The bundle.
        open_: Opens it with other options; on another engine than MNN also with `model` and
            `interface`.
        check: Compares what another engine gives with what the bundle's own gives.

    Returns:
        What was opened, and a function that returns the reason for the choice, as a sentence.

    Raises:
        SourceError, BundleError, EngineError, MissingExtraError: It cannot be opened.
        ParityError: It does not give the bundle's vectors.
    """
    if options.backend == BEST:
        from minnow.backend_choice import settle_best  # child processes: only where asked for

        settled, best = settle_best(options, bundle)
        opened, reason = _open_settled(settled, bundle, open_, check)
        return opened, lambda: f"{reason()} Of backends {best}"
    warn_unproven(options.mode, bundle)
    return _open_settled(options, bundle, open_, check)


def _open_settled(
    options: EngineOptions, bundle: Bundle, open_: Callable[..., T], check: Check[T]
) -> tuple[T, Callable[[], str]]:
    choice = _Choice(options, bundle, open_, check)
    if options.engine == MNN:
        return choice.open_own(), lambda: choice.own
    if options.engine == AUTO:
        return choice.open_for_bulk()
    if options.engine == FASTEST:
        found, _, reason = choice.open_fastest(PREFERRED)
        return found or choice.open_own(), lambda: reason
    opened, reason = choice.open_named(options.engine)
    return opened, lambda: reason


def was_settled(opened: Runs) -> bool:
    """Return whether "auto" opened another engine than MNN, or tried to."""
    engine = opened.pipeline.engine
    return isinstance(engine, BulkEngine) and engine.outcome is not None


def bulk_engine(opened: object) -> str | None:
    """Return the name of the engine that "auto" opened in place of MNN, if it did."""
    engine = getattr(getattr(opened, "pipeline", None), "engine", None)
    return engine.faster if isinstance(engine, BulkEngine) else None


def settle_auto(options: EngineOptions, bundle: Bundle) -> EngineOptions:
    """Return options in which "auto" is replaced: a server chooses its engine when it starts."""
    if options.engine != AUTO:
        return options
    return replace(options, engine=FASTEST if _others(options, bundle) else MNN)


def _others(options: EngineOptions, bundle: Bundle) -> list[str]:
    """Name the engines that "auto" takes in bulk for a bundle; none for a table without layers."""
    is_table = bundle.manifest.encoder.family == STATIC
    return [] if is_table or options.mode != DEFAULT else candidates()


def candidates() -> list[str]:
    """Name the engines that "auto" takes in bulk on this machine, as far as packages tell."""
    if platform.machine() not in _MEASURED_ON or find_spec("onnx") is None:
        return []
    return [name for name, package in PREFERRED.items() if find_spec(package) is not None]


class _Choice(Struct, Generic[T], frozen=True, dict=True):
    """The ways to open a bundle; the attributes are the arguments of `open_chosen`."""

    options: EngineOptions
    bundle: Bundle
    open_: Callable[..., T]
    check: Check[T]

    @property
    def own(self) -> str:
        """The sentence that says that MNN runs the bundle, and in which mode."""
        mode = self.options.mode
        return _OWN if mode == DEFAULT else f"{_OWN.rstrip('.')} ({mode})."

    def open_own(self) -> T:
        return self.open_(replace(self.options, engine=MNN))

    def open_for_bulk(self) -> tuple[T, Callable[[], str]]:
        """Open MNN, which hands calls in bulk to the fastest engine that is installed."""
        own, names = self.open_own(), _others(self.options, self.bundle)
        if not names:
            return own, lambda: self.own
        engine = BulkEngine(own.pipeline.engine, lambda: self.open_faster(names))
        own.pipeline = replace(own.pipeline, engine=engine)
        return own, lambda: f"{_OWN} {engine.outcome or ''}".rstrip()

    def open_faster(self, names: Sequence[str]) -> tuple[Engine | None, str, str]:
        """Open the fastest of some engines for calls in bulk; return its name and the reason."""
        opened, name, reason = self.open_fastest(names, in_bulk=True)
        if opened is None:
            return None, name, reason.removeprefix(_OWN).strip()
        return opened.pipeline.engine, name, f"In bulk {reason}"

    def open_fastest(
        self, names: Iterable[str], *, in_bulk: bool = False
    ) -> tuple[T | None, str, str]:
        """Open the first engine that works here and agrees; return its name and the reason."""
        refused = [self.own]
        try:
            self.rebuilt.graph  # noqa: B018  what it lacks, all engines lack
            for name in names:
                try:
                    opened, reason = self.open_other(name, in_bulk=in_bulk)
                except MinnowError as error:
                    refused.append(f"Not {name}: {error}")
                else:
                    return opened, name, reason
        except MinnowError as error:
            refused.append(f"No other: {error}")
        return None, MNN, " ".join(refused)

    def open_named(self, engine: str) -> tuple[T, str]:
        """Open one engine, or say what to do instead."""
        try:
            return self.open_other(engine)
        except ParityError as error:
            raise ParityError(
                f"The engine {engine} cannot stand in for {self.bundle.folder}. {error} Take "
                "engine='mnn', or give a lower agreement.",
                worst=error.worst,
            ) from error

    def open_other(self, engine: str, *, in_bulk: bool = False) -> tuple[T, str]:
        """Open another engine than MNN, compare it, and describe how well it agrees."""
        _check_possible(engine)
        interface = self.bundle.manifest.rebuilt_interface
        options = replace(self.options, engine=engine)
        opened = self.open_(options, model=self.rebuilt.graph, interface=interface)
        try:
            if in_bulk:
                # before it compiles itself for single batches
                opened.pipeline.engine.lanes(MANY_BATCHES)
            if not options.agreement:
                return opened, f"{engine}, not compared with the bundle."
            answers = self.check.answers(opened)
            reason = self.check.judge(answers, self.rebuilt.answers, options.agreement)
        except BaseException:
            opened.close()
            raise
        return opened, f"{engine}: {reason}"

    @cached_property
    def rebuilt(self) -> RebuiltModel:
        """The network for other engines, and what MNN answers."""
        from minnow.engine_models import rebuild  # a tenth of a cold start, which MNN does not need

        return rebuild(self.bundle, self.options.source, self._own_answers)

    def _own_answers(self) -> Floats:
        own = self.open_own()
        try:
            return self.check.answers(own)
        finally:
            own.close()


def _check_possible(engine: str) -> None:
    """Refuse an engine that is not installed, or that this machine would only imitate."""
    package = PREFERRED.get(engine)
    if package is not None and find_spec(package) is None:
        raise MissingExtraError(f"The engine {engine}", package)
    if engine == "openvino-bf16":
        from minnow.engines.openvino import computes_bf16

        if not computes_bf16():
            raise EngineError("This CPU has no instructions for bfloat16; openvino has float32.")


def checked_vectors(embedder: TextEmbedder) -> Floats:
    """Embed the texts on which engines are compared: float32 of shape (texts, width)."""
    return embedder.encode_document(CHECKED_TEXTS)


def judge_vectors(found: Floats, expected: Floats, agreement: float) -> str:
    """Compare the vectors of `checked_vectors`; describe the worst cosine.

    Raises:
        ParityError: It is below the agreement.
    """
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


def judge_logits(found: Floats, expected: Floats, allowed: float) -> str:
    """Compare the logits of CHECKED_PAIRS; describe the greatest difference.

    Args:
        found: Those of another engine.
        expected: Those of the bundle's own, of the same shape.
        allowed: The greatest difference, in units of the largest logit where that is above 1.

    Raises:
        ParityError: They differ by more.
    """
    difference = float(np.abs(found - expected).max()) / logit_scale(expected)
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
