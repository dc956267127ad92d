"""Encoders of one fixed shape, for accelerators that take no other; each proven as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from minnow.bundle import FixedShape
from minnow.engines.base import TokenBatch, default_threads
from minnow.engines.mnn import MnnEngine
from minnow.errors import EngineError, InputError, ParityError
from minnow.model.spec import Interface
from minnow.proof.verdict import Run, judge
from minnow.vectors import normalize, pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from minnow.bundle import Parity
    from minnow.model.spec import EmbeddingSpec, EncoderSpec
    from minnow.proof.probes import Probe
    from minnow.proof.verdict import Reference, Vectors

    Shape = tuple[int, int]


def parse_shapes(written: str) -> list[Shape]:
    """`1x32,1x128` as [(1, 32), (1, 128)]: a batch and the tokens of each text, in digits.

    Raises:
        InputError: It is something else.
    """
    return [_parse(part) for part in written.split(",")]


def _parse(part: str) -> Shape:
    numbers = part.strip().split("x")
    if len(numbers) != 2 or not all(n.isascii() and n.isdigit() and len(n) < 10 for n in numbers):
        raise InputError(
            f"{part!r} is not a shape. Give batch and tokens, as 1x32; several with commas."
        )
    return int(numbers[0]), int(numbers[1])


def check_shapes(shapes: Sequence[Shape]) -> None:
    """Look at what can be seen before a model is read.

    Raises:
        InputError: A shape is there twice, or holds nothing.
    """
    for number, shape in enumerate(shapes):
        if min(shape) < 1:
            raise InputError(f"The shape {named(shape)} holds nothing; the least is 1x1.")
        if shape in shapes[:number]:
            raise InputError(f"The shape {named(shape)} is there twice.")


def check_limit(shapes: Sequence[Shape], embedding: EmbeddingSpec) -> None:
    """Compare shapes with the model's limit.

    Raises:
        InputError: One is for texts that the model does not read.
    """
    for shape in shapes:
        if shape[1] > embedding.max_tokens:
            raise InputError(
                f"The shape {named(shape)} is longer than {embedding.max_tokens} tokens, where "
                "this model cuts texts off. Give a shorter one."
            )


def named(shape: Shape) -> str:
    """A shape as it is written."""
    return f"{shape[0]}x{shape[1]}"


def file_of(shape: Shape) -> str:
    """The name of its encoder in a bundle."""
    return f"encoder-{named(shape)}.mnn"


def prove_shapes(
    folder: Path,
    shapes: Sequence[Shape],
    encoder: EncoderSpec,
    embedding: EmbeddingSpec,
    reference: Reference,
    probes: Sequence[Probe],
    *,
    bar: float,
    interface: Interface,
    progress: Callable[[str], None],
    advice: str = "",
) -> tuple[FixedShape, ...]:
    """Run every probe text that fits through the encoder of each shape, padded to it.

    Args:
        folder: Staged or sealed files.
        shapes: What they claim to have encoders of.
        encoder: The network that they claim to hold.
        embedding: How they claim that vectors are made.
        reference: The yardstick.
        probes: The texts.
        bar: The lowest cosine that any text may have.
        interface: What the encoders give.
        progress: Told what is going on.
        advice: What to do if the bar is missed.

    Raises:
        InputError: No text is short enough for a shape.
        ParityError: An encoder does not run, or does not give the reference's vectors.
    """
    if not shapes:
        return ()
    texts = [probe.text for probe in probes]
    ids, expected = reference.token_ids(texts), reference.vectors(texts)
    return tuple(
        FixedShape(
            *shape,
            file_of(shape),
            _prove_one(
                folder / file_of(shape), shape, encoder, embedding, interface, ids, expected,
                probes, reference.name, bar, advice, progress,
            ),
        )
        for shape in shapes
    )  # fmt: skip


def _prove_one(
    file: Path,
    shape: Shape,
    encoder: EncoderSpec,
    embedding: EmbeddingSpec,
    interface: Interface,
    ids: list[list[int]],
    expected: Vectors,
    probes: Sequence[Probe],
    reference: str,
    bar: float,
    advice: str,
    progress: Callable[[str], None],
) -> Parity:
    progress(f"running the encoder of shape {named(shape)}")
    fits = [i for i, row in enumerate(ids) if len(row) <= shape[1]]
    if not fits:
        raise InputError(f"No probe text fits the shape {named(shape)}. Give a longer one.")
    runs = []
    for threads in (1, max(2, default_threads())):
        try:
            engine = MnnEngine(file, encoder, threads=threads, interface=interface)
            vectors = _vectors(engine, [ids[i] for i in fits], shape, encoder, embedding)
            engine.close()
        except EngineError as error:
            raise ParityError(
                f"The converted model of {file.name} does not run: {error}"
            ) from error
        runs.append(Run(threads, f"padded to {named(shape)}", vectors, [shape] * len(fits)))
    return judge(
        runs, expected[fits], [probes[i] for i in fits], reference, bar,
        normalized=embedding.normalize, advice=advice,
    )  # fmt: skip


def _vectors(
    engine: MnnEngine,
    rows: list[list[int]],
    shape: Shape,
    encoder: EncoderSpec,
    embedding: EmbeddingSpec,
) -> Vectors:
    """A vector for each row of ids, in batches of that very shape."""
    found = []
    for start in range(0, len(rows), shape[0]):
        some = rows[start : start + shape[0]]
        batch = padded(some, shape, encoder.pad_token_id)
        output = engine.run(batch)
        if engine.interface is Interface.LAST_HIDDEN_STATE:
            output = pool(output, batch.attention_mask, embedding.pooling)
            output = normalize(output) if embedding.normalize else output
        found.append(output[: len(some)])
    return np.concatenate(found)


def padded(rows: Sequence[Sequence[int]], shape: Shape, pad_token_id: int) -> TokenBatch:
    """A batch of exactly that shape; rows that are missing repeat the first."""
    full = [*rows, *[rows[0]] * (shape[0] - len(rows))]
    batch = TokenBatch.pad(full, pad_token_id)
    room = ((0, 0), (0, shape[1] - batch.shape[1]))
    ids = np.pad(batch.input_ids, room, constant_values=pad_token_id)
    mask = np.pad(batch.attention_mask, room)
    return replace(batch, input_ids=ids, attention_mask=mask, token_type_ids=np.zeros_like(ids))
