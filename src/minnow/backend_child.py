"""The program that runs a bundle's canaries in one mode, in a process of its own."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from minnow.backend_choice import ENOUGH, CanaryReply, CanaryRequest
from minnow.bundle import Bundle
from minnow.canaries import read_canaries
from minnow.embedder import Embedder
from minnow.engines import EngineOptions
from minnow.errors import BundleError, EngineError
from minnow.reranker import Reranker
from minnow.workers import serve_requests

if TYPE_CHECKING:
    from minnow.workers import Parent


def main() -> int:
    """Run the canaries of each request; see `serve_requests`."""
    return serve_requests(_serve)


def open_part(part: Bundle, options: EngineOptions) -> Embedder | Reranker:
    """Open a bundle's own encoder to run canaries; `options` say in which mode.

    Raises:
        EngineError: MNN cannot load it in this mode.
    """
    manifest = part.manifest
    given = (part.folder, manifest.encoder, manifest.embedding)
    if manifest.reranking is not None:
        return Reranker.from_files(*given, manifest.reranking, options, on_truncate="ignore")
    return Embedder.from_files(
        *given, options, interface=manifest.recipe.interface, on_truncate="ignore"
    )


def _serve(parent: Parent) -> None:
    for request in parent.requests(CanaryRequest):
        try:
            reply = _run(request)
        except EngineError as error:
            reply = CanaryReply([], 0.0, str(error))
        parent.reply(reply)


def _run(request: CanaryRequest) -> CanaryReply:
    bundle = Bundle.open(request.folder)
    part = bundle.queries if request.part else bundle
    canaries = None if part is None else read_canaries(part)
    if part is None or canaries is None:
        raise BundleError(f"{request.folder} was replaced since it was opened. Open it again.")
    with open_part(part, EngineOptions("mnn", request.threads, **asdict(request.mode))) as opened:
        rows = canaries.run(opened)
        times: list[float] = []
        while len(times) < request.rounds and sum(times) < ENOUGH:
            started = time.perf_counter()
            canaries.run(opened)
            times.append(time.perf_counter() - started)
    return CanaryReply(rows.tolist(), statistics.median(times))
