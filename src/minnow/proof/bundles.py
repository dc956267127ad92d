"""The proof of a bundle's files: its encoders, run through the real embedder and engine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from minnow.bundle import ENCODER, TOKENIZER, FixedShape, encoder_file, shape_name
from minnow.embedder import Embedder
from minnow.engines.base import TokenBatch
from minnow.engines.mnn import MnnEngine
from minnow.errors import EngineError, InputError, ParityError
from minnow.model.spec import LONG, Interface
from minnow.model.tokenizer import TextTokenizer
from minnow.proof.retrieval import prove_retrieval
from minnow.proof.verdict import Run, equal_ids, judge, judge_stored, thread_counts
from minnow.vectors import normalize, pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.bundle import Parity
    from minnow.proof.references import Reference
    from minnow.proof.verdict import Candidate, Progress, Vectors

    Shape = tuple[int, int]

MIXED_BATCH = 4


def prove_bundle(
    candidate: Candidate,
    reference: Reference,
    *,
    shapes: Sequence[Shape] = (),
    stored: Reference | None = None,
    progress: Progress = lambda _: None,
) -> tuple[Parity, tuple[FixedShape, ...]]:
    """Compare a folder's encoders and tokenizer.json with a reference, on every probe text.

    Token ids must be equal. The vectors of encoder.mnn are compared one by one and in padded
    batches of unlike lengths, each with one thread and with several; those of a fixed shape's
    encoder padded to its shape. Then a data set is searched, if the candidate says so.

    Args:
        candidate: The folder, and what its vectors have to reach.
        reference: What they are compared with.
        shapes: The (batch, tokens) that the folder has encoders of, beside encoder.mnn.
        stored: For rounded numbers, the forward pass over the very numbers that the files store.
        progress: Receives a line of text before each step.

    Returns:
        The figures of encoder.mnn, and those of each shape's encoder.

    Raises:
        InputError: No text is short enough for a shape.
        ParityError: An encoder does not run, ids differ, a vector is below the bar or not finite,
            its length differs, or a search finds less; the message names texts and figures.
    """
    reference.compute(progress)
    if stored is not None:
        stored.compute(progress)

    def proven(runs: list[Run]) -> Parity:
        if stored is not None:
            judge_stored(candidate, runs, stored)
        return judge(candidate, runs, reference)

    parity = proven(run_encoder(candidate, reference, progress))
    fixed = tuple(
        FixedShape(
            *shape,
            encoder_file(shape),
            proven(run_fixed_shape(candidate, shape, reference, progress)),
        )
        for shape in shapes
    )
    if candidate.max_ndcg_drop is not None:
        parity = replace(parity, retrieval=prove_retrieval(candidate, reference, progress))
    return parity, fixed


def run_encoder(candidate: Candidate, reference: Reference, progress: Progress) -> list[Run]:
    """Run encoder.mnn on the probe texts, through the embedder that users open."""
    runs: list[Run] = []
    for threads in thread_counts():
        progress(f"running the staged encoder, {threads} thread{'s' * (threads > 1)}")
        try:
            with Embedder.from_files(
                candidate.path,
                candidate.encoder,
                candidate.embedding,
                threads=threads,
                interface=candidate.interface,
                on_truncate="ignore",
            ) as embedder:
                texts = [probe.prompt + probe.text for probe in reference.probes]
                equal_ids(candidate, embedder.token_ids(texts), reference)
                runs += _run(embedder, reference, threads)
        except EngineError as error:
            raise _does_not_run(candidate, ENCODER, error) from error
    return runs


def _run(embedder: Embedder, reference: Reference, threads: int) -> list[Run]:
    probes, lengths = reference.probes, [len(ids) for ids in reference.probe_ids]
    singles = np.stack([embedder.encode(probe.text, prompt=probe.prompt) for probe in probes])
    mixed = np.empty_like(singles)
    mixed_shapes = [(0, 0)] * len(probes)
    for batch in mixed_batches(lengths):
        some = [probes[i] for i in batch]
        mixed[batch] = embedder.encode_batch([p.text for p in some], [p.prompt for p in some])
        for i in batch:
            mixed_shapes[i] = (len(batch), max(lengths[j] for j in batch))
    return [
        Run(threads, "one by one", singles, [(1, length) for length in lengths]),
        Run(threads, "mixed", mixed, mixed_shapes),
    ]


def mixed_batches(lengths: Sequence[int]) -> list[list[int]]:
    """Put the longest texts in batches with the shortest, so that padding is heavy.

    A batch has two of each, and one of each where the longest are so long that padding takes hours.

    Args:
        lengths: Tokens of each text.

    Returns:
        Indices of the texts of each batch.
    """
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    batches = []
    while order:
        half = MIXED_BATCH // 2 if lengths[order[-1]] < LONG else 1
        batches.append(order[-half:] + order[:-half][:half])
        order = order[:-half][half:]
    return batches


def run_fixed_shape(
    candidate: Candidate, shape: Shape, reference: Reference, progress: Progress
) -> list[Run]:
    """Run the encoder of a fixed shape on the probe texts that fit, padded to the shape."""
    progress(f"running the encoder of shape {shape_name(shape)}")
    ids = reference.probe_ids
    fits = [i for i, row in enumerate(ids) if len(row) <= shape[1]]
    if not fits:
        raise InputError(
            f"No probe text fits the shape {shape_name(shape)}. Give a shape of more tokens."
        )
    file = candidate.path / encoder_file(shape)
    embedding = candidate.embedding
    tokenizer = TextTokenizer(
        candidate.path / TOKENIZER, max_tokens=embedding.max_tokens, lowercase=embedding.lowercase
    )
    prompts = [reference.probes[i].prompt for i in fits]
    rows = [
        (ids[i], tokenizer.prompt_tokens(p) if p else 0) for i, p in zip(fits, prompts, strict=True)
    ]
    runs = []
    for threads in thread_counts():
        try:
            engine = MnnEngine(
                file, candidate.encoder, threads=threads, interface=candidate.interface,
                width=embedding.head.width(candidate.encoder.width),
                heads_apart=shape[1] >= LONG,
            )  # fmt: skip
            vectors = _vectors(engine, rows, shape, candidate)
            engine.close()
        except EngineError as error:
            raise _does_not_run(candidate, file.name, error) from error
        padded_to = f"padded to {shape_name(shape)}"
        runs.append(Run(threads, padded_to, vectors, [shape] * len(fits), fits))
    return runs


def _vectors(
    engine: MnnEngine,
    rows: Sequence[tuple[list[int], int]],
    shape: Shape,
    candidate: Candidate,
) -> Vectors:
    """Return a vector for each row of ids, run in batches of exactly the shape.

    With each are given how many of its first tokens pooling leaves out.
    """
    vectors = []
    for start in range(0, len(rows), shape[0]):
        some = rows[start : start + shape[0]]
        batch = pad_to(some, shape, candidate.encoder.pad_token_id)
        output = engine.run(batch)
        if engine.interface is Interface.LAST_HIDDEN_STATE:
            output = pool(output, batch.attention_mask, candidate.embedding.pooling)
            output = normalize(output) if candidate.embedding.normalize else output
            output = output[:, : candidate.embedding.truncate_dim]
        vectors.append(output[: len(some)])
    return np.concatenate(vectors)


def pad_to(
    rows: Sequence[tuple[Sequence[int], int]], shape: Shape, pad_token_id: int
) -> TokenBatch:
    """Return a batch of exactly the shape; the first row is repeated where rows are missing."""
    full = [*rows, *[rows[0]] * (shape[0] - len(rows))]
    batch = TokenBatch.pad([row for row, _ in full], pad_token_id, [left for _, left in full])
    room = ((0, 0), (0, shape[1] - batch.shape[1]))
    ids = np.pad(batch.input_ids, room, constant_values=pad_token_id)
    attention, pooling = np.pad(batch.attention_mask, room), np.pad(batch.pooling_mask, room)
    return TokenBatch(ids, attention, np.zeros_like(ids), pooling)


def _does_not_run(candidate: Candidate, file: str, error: EngineError) -> ParityError:
    return ParityError(
        f"Refused: {file} of {candidate.name} does not run on the probe texts: {error}"
    )
