"""Metrics for Prometheus: counts and times, never texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.serve.batching import Batch
    from minnow.serve.inputs import Rows

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_TEXTS = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Prometheus metrics of one server, in their own registry."""

    def __init__(self) -> None:
        """Create the metrics; without the time at which each was made, a series for every one."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "minnow_requests", "Requests by route and status.", ["route", "status"],
            registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "minnow_request_seconds", "Seconds from a request to its response.", ["route"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.cancelled = Counter(
            "minnow_cancelled_requests", "Requests whose client went away.", registry=registry
        )
        self._texts = Counter(
            "minnow_texts", "Texts embedded, or pairs scored.", ["model"], registry=registry
        )
        self._tokens = Counter(
            "minnow_tokens", "Tokens embedded or scored.", ["model"], registry=registry
        )
        self._truncated = Counter(
            "minnow_truncated_texts", "Texts or pairs cut off.", ["model"], registry=registry
        )
        self._batch_texts = Histogram(
            "minnow_batch_texts", "Texts in a forward pass.", ["model"], buckets=_TEXTS,
            registry=registry,
        )  # fmt: skip
        self._batch_seconds = Histogram(
            "minnow_batch_seconds", "Time of a forward pass.", ["model"], buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._padding = Counter(
            "minnow_padding_tokens", "Tokens of padding that were computed.", ["model"],
            registry=registry,
        )  # fmt: skip

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a gauge, which calls the function when it is read."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def on_batch(self, batch: Batch) -> None:
        """Count a forward pass."""
        self._batch_texts.labels(batch.model).observe(batch.texts)
        self._batch_seconds.labels(batch.model).observe(batch.seconds)
        self._padding.labels(batch.model).inc(batch.padded - batch.tokens)

    def on_rows(self, model: str, rows: Rows) -> None:
        """Count the texts of a request that was answered."""
        self._texts.labels(model).inc(len(rows.texts))
        self._tokens.labels(model).inc(rows.tokens)
        self._truncated.labels(model).inc(len(rows.truncated))

    def page(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
