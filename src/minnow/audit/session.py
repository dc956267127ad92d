"""An MNN file that others made, run in a child process, and the way to read it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum
from itertools import permutations, product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow.audit.child import ANSWER, Forward, Ports, Written
from minnow.engines.base import TokenBatch
from minnow.errors import EngineError
from minnow.model.spec import Interface
from minnow.processes import TIMEOUT
from minnow.resources import require_memory
from minnow.workers import Worker
from minnow.workfolder import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from minnow.audit.child import Port
    from minnow.model.original import Original
    from minnow.proof.references import TokenRow

CHILD = Path(__file__).with_name("child.py")
_FAR_BELOW = -10_000
"""What is added to a score so that padding has no weight; half precision can hold it."""


class Role(str, Enum):
    """The meaning of an input."""

    IDS = "token ids"
    MASK = "attention mask"
    TYPES = "token types"
    POSITIONS = "positions"


_ROLES = {
    Role.MASK: "mask",
    Role.TYPES: "type|segment",
    Role.POSITIONS: "position",
    Role.IDS: "ids?$|tokens?$",
}
"""Patterns of names; an input has the first role whose pattern is found in its name."""


@dataclass(frozen=True)
class Reading:
    """A way to read a model.

    Attributes:
        roles: The meaning of each input, by name.
        output: The output that is read.
        kind: What it gives.
        shape: The only (batch, tokens) that the model takes; None where it takes any.
        adds_mask: Whether the mask is added to scores: 0 for a token, far below 0 for padding.
    """

    roles: Mapping[str, Role]
    output: str
    kind: Interface
    shape: tuple[int, int] | None = None
    adds_mask: bool = False


class Session:
    """A model's process, started again where it crashed."""

    def __init__(self, model: Path, threads: int) -> None:
        """Open a model.

        Raises:
            EngineError: MNN cannot load it, or there is no memory for it.
        """
        needed = 2 * model.stat().st_size
        require_memory(needed, f"Loading {model}", "Audit it on a larger machine.", EngineError)
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(scratch_folder())
        self._command = [sys.executable, str(CHILD), str(model), str(threads)]
        self._worker: Worker | None = None
        try:
            self.ports = self._start()
        except BaseException:
            self.close()
            raise

    def run(
        self, reading: Reading, rows: Sequence[TokenRow], original: Original
    ) -> NDArray[np.float32]:
        """Run one forward pass of some rows, padded to the longest or to the reading's shape.

        Returns:
            The output, float32, whose first axis has a row for each of `rows`.

        Raises:
            EngineError: MNN failed or crashed, or the output has not so many rows.
        """
        feeds = _feeds(reading, rows, original)
        try:
            if self._worker is None:
                self._start()
            assert self._worker is not None
            self._worker.request(Forward(feeds, reading.output), Written)
        except EngineError:
            self._stop()
            raise
        found: NDArray[np.float32] = np.load(self._folder / ANSWER)
        batch, tokens = np.shape(next(iter(feeds.values())))
        if found.ndim == 2 and tokens > 1 and len(found) == batch * tokens:
            found = found.reshape(batch, tokens, -1)  # states of a graph that joins both axes
        elif found.ndim == 3 and found.shape[1] == 1 < tokens:
            found = found[:, 0]  # vectors that keep the axis which was pooled
        if found.ndim == 0 or len(found) < len(rows):
            raise EngineError(f"{reading.output} has shape {found.shape} for {len(rows)} texts.")
        return found[: len(rows)]

    def close(self) -> None:
        """End the process."""
        self._stop()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> Ports:
        self._worker = Worker("MNN", self._command, timeout=TIMEOUT, folder=self._folder)
        ports = self._worker.receive(Ports)
        if ports is None:
            raise EngineError("MNN ended before it described the model.")
        return ports

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None


def _feeds(
    reading: Reading, rows: Sequence[TokenRow], original: Original
) -> dict[str, list[list[int]]]:
    """Return the numbers of each input for some rows."""
    encoder, positions = original.encoder, original.network.positions
    batch = TokenBatch.pad(
        [row.ids for row in rows], encoder.pad_token_id, types=[row.types for row in rows]
    )
    first = positions.offset if positions is not None else 0
    numbers = np.arange(batch.shape[1], dtype=np.int32) + first
    if reading.shape is not None:
        numbers = np.pad(numbers, (0, reading.shape[1] - len(numbers)))
        batch = batch.filled(reading.shape, encoder.pad_token_id)
    mask = batch.attention_mask
    arrays = {
        Role.IDS: batch.input_ids,
        Role.MASK: (mask - 1) * -_FAR_BELOW if reading.adds_mask else mask,
        Role.TYPES: batch.token_type_ids,
        Role.POSITIONS: np.broadcast_to(numbers, batch.shape),
    }
    return {name: arrays[role].tolist() for name, role in reading.roles.items()}


def possible_readings(ports: Ports) -> Iterator[Reading]:
    """Yield the ways to read a model, the likeliest first; the kind of output is not known yet."""
    shapes: list[tuple[int, int] | None] = [None]
    declared = ports.inputs[0].shape if ports.inputs else ()
    if len(declared) == 2 and min(declared) >= 1 and declared[1] > 1:
        shapes.insert(0, (declared[0], declared[1]))
    outputs = sorted((port for port in ports.outputs if port.is_float), key=_likeliness)
    floats = {port.name for port in ports.inputs if port.is_float}
    for shape, roles, output in product(shapes, _assignments(ports.inputs), outputs):
        reading = Reading(roles, output.name, Interface.LAST_HIDDEN_STATE, shape)
        yield reading
        if any(role is Role.MASK and name in floats for name, role in roles.items()):
            yield replace(reading, adds_mask=True)


def _likeliness(port: Port) -> tuple[bool, str]:
    known = {each.value for each in Interface} | {"token_embeddings", "logits"}
    return port.name not in known, port.name


def _assignments(inputs: Sequence[Port]) -> Iterator[dict[str, Role]]:
    """Yield what the inputs may mean: by their names, or else every order of the usual roles."""
    names = [port.name for port in inputs]
    named = {name: _role(name) for name in names}
    if len(names) == 1:
        yield {names[0]: Role.IDS}
    elif None not in named.values() and len({*named.values()}) == len(names):
        yield {name: role for name, role in named.items() if role is not None}
    elif len(names) <= len(Role):
        usual = [Role.IDS, Role.MASK, Role.TYPES, Role.POSITIONS][: len(names)]
        for order in permutations(usual):
            yield dict(zip(names, order, strict=True))


def _role(name: str) -> Role | None:
    found = (role for role, pattern in _ROLES.items() if re.search(pattern, name.lower()))
    return next(found, None)
