"""The program that converts a model for `minnow.model_cache`, in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.convert import convert
from minnow.model_cache import ConvertRequest, Step
from minnow.workers import serve_requests

if TYPE_CHECKING:
    from minnow.workers import Parent


def main() -> int:
    """Convert what the request names, and announce each step; see `serve_requests`."""
    return serve_requests(_serve)


def _serve(parent: Parent) -> None:
    for request in parent.requests(ConvertRequest):
        convert(
            request.source,
            request.destination,
            recipe=request.options.recipe,
            choices=request.options.choices,
            revision=request.options.revision,
            offline=request.options.offline,
            progress=lambda step: parent.reply(Step(step)),
        )
        parent.reply(Step(""))
