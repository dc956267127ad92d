"""The proof of a bundle's files: its encoders, run through the real embedder and engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.embedder import Embedder
from minnow.engines.base import TokenBatch, default_threads
from minnow.engines.mnn import MnnEngine
from minnow.errors import EngineError, InputError, ParityError
from minnow.graph.mnn_file import stored_size
from minnow.manifest import ENCODER, TOKENIZER, FixedShape, encoder_file, shape_name
from minnow.model.spec import LONG, Interface
from minnow.model.tokenizer import TextTokenizer, TokenizedText
from minnow.proof.probes import Probe
from minnow.proof.ranking import prove_ranking
from minnow.proof.retrieval import prove_retrieval
from minnow.proof.verdict import Run, Vectors, equal_rows, judge, judge_stored, thread_counts
from minnow.records import replace
from minnow.reranker import Reranker
from minnow.vectors import normalize, pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minnow.parity import Parity
    from minnow.proof.references import Reference
    from minnow.proof.verdict import Candidate, Progress

    Shape = tuple[int, int]

MIXED_BATCH = 4
MIXED = "mixed"

# Sessions of one thread that run side by side. Each has weights of its own, as float32: a file of
# halves takes twice its size, one of 4-bit numbers eight times.
SESSIONS = 2
LARGEST_FOR_SESSIONS = 300_000_000


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
    encoder padded to its shape. Then a data set is searched, if the candidate says so; a reranker
    ranks documents of it.

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
    if candidate.reranking is not None:
        return replace(parity, ranking=prove_ranking(candidate, reference, progress)), fixed
    if candidate.max_ndcg_drop is not None:
        parity = replace(parity, retrieval=prove_retrieval(candidate, reference, progress))
    return parity, fixed


@dataclass(frozen=True)
class Opened:
    """A folder's encoder.mnn, opened as users open it.

    Attributes:
        rows: Returns the tokens of texts or pairs.
        alone: Returns the vector or the logits of one probe.
        together: Returns those of several, from one forward pass.
    """

    rows: Callable[[Sequence[Any]], Sequence[TokenizedText]]
    alone: Callable[[Probe], Vectors]
    together: Callable[[Sequence[Probe]], Vectors]


@contextmanager
def open_candidate(candidate: Candidate, threads: int) -> Iterator[Opened]:
    """Open a folder's encoder.mnn as users open it, to run probes."""
    folder, encoder, embedding = candidate.path, candidate.encoder, candidate.embedding
    if candidate.reranking is not None:
        with Reranker.from_files(
            folder, encoder, embedding, candidate.reranking, threads=threads, on_truncate="ignore"
        ) as reranker:

            def logits(probe: Probe) -> Vectors:
                pair: Any = probe.given
                return np.reshape(reranker.predict(pair, prompt="", activation_fn="identity"), -1)

            def batch_logits(probes: Sequence[Probe]) -> Vectors:
                pairs: Any = [probe.given for probe in probes]
                return reranker.logits_batch(pairs)

            yield Opened(reranker.tokenize, logits, batch_logits)
        return
    with Embedder.from_files(
        folder,
        encoder,
        embedding,
        threads=threads,
        interface=candidate.interface,
        on_truncate="ignore",
    ) as embedder:
        yield Opened(
            embedder.text_tokenizer.tokenize,
            lambda probe: embedder.encode(probe.text, prompt=probe.prompt),
            lambda some: embedder.encode_batch([p.text for p in some], [p.prompt for p in some]),
        )


def run_encoder(candidate: Candidate, reference: Reference, progress: Progress) -> list[Run]:
    """Run encoder.mnn on the probes, through the embedder or reranker that users open."""
    probes = reference.probes
    runs: list[Run] = []
    for threads in thread_counts():
        progress(f"running the staged encoder, {threads} thread{'s' * (threads > 1)}")
        try:
            with ExitStack() as stack:
                sessions = [
                    stack.enter_context(open_candidate(candidate, threads))
                    for _ in range(_session_count(candidate) if threads == 1 else 1)
                ]
                rows = sessions[0].rows([probe.whole for probe in probes])
                equal_rows(candidate, rows, reference)
                runs += _run(sessions, probes, [len(ids) for ids in reference.probe_ids], threads)
        except EngineError as error:
            raise _does_not_run(candidate, ENCODER, error) from error
    return runs


def _session_count(candidate: Candidate) -> int:
    """Return how many sessions of one thread run side by side: one where weights are large."""
    if stored_size(candidate.path / ENCODER) > LARGEST_FOR_SESSIONS:
        return 1
    return min(SESSIONS, default_threads())


def _run(
    sessions: Sequence[Opened], probes: Sequence[Probe], lengths: list[int], threads: int
) -> list[Run]:
    idle: SimpleQueue[Opened] = SimpleQueue()
    for session in sessions:
        idle.put(session)

    def alone(probe: Probe) -> Vectors:
        with _borrowed(idle) as session:
            return session.alone(probe)

    def together(batch: list[int]) -> Vectors:
        with _borrowed(idle) as session:
            return session.together([probes[i] for i in batch])

    batches = mixed_batches(lengths)
    # With one thread, lengths follow each other in any order. To prepare for another length takes
    # several threads longer than to run a short text, so that they get texts of a length in turn.
    order = sorted(range(len(probes)), key=lambda i: lengths[i] if threads > 1 else i)
    workers = ThreadPoolExecutor(len(sessions))
    try:
        singles = np.stack(list(workers.map(alone, [probes[i] for i in order])))[np.argsort(order)]
        found = list(workers.map(together, batches))
    finally:
        workers.shutdown(cancel_futures=True)
    return [
        Run(threads, "one by one", singles, [(1, length) for length in lengths]),
        mixed_run(threads, batches, found, lengths),
    ]


@contextmanager
def _borrowed(idle: SimpleQueue[Opened]) -> Iterator[Opened]:
    session = idle.get()
    try:
        yield session
    finally:
        idle.put(session)


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


def mixed_run(
    threads: int,
    batches: Sequence[Sequence[int]],
    found: Sequence[Vectors],
    lengths: Sequence[int],
) -> Run:
    """Put the vectors of padded batches into the order of the texts.

    Args:
        threads: CPU threads.
        batches: Indices of the texts of each batch; together all texts.
        found: The vectors of each batch.
        lengths: Tokens of each text.
    """
    vectors = np.empty((len(lengths), found[0].shape[1]), found[0].dtype)
    shapes = [(0, 0)] * len(lengths)
    for batch, of_batch in zip(batches, found, strict=True):
        vectors[batch] = of_batch
        for i in batch:
            shapes[i] = (len(batch), max(lengths[j] for j in batch))
    return Run(threads, MIXED, vectors, shapes)


def run_fixed_shape(
    candidate: Candidate, shape: Shape, reference: Reference, progress: Progress
) -> list[Run]:
    """Run the encoder of a fixed shape on the probe texts that fit, padded to the shape."""
    progress(f"running the encoder of shape {shape_name(shape)}")
    fits = [i for i, ids in enumerate(reference.probe_ids) if len(ids) <= shape[1]]
    if not fits:
        raise InputError(
            f"No probe text fits the shape {shape_name(shape)}. Give a shape of more tokens."
        )
    file = candidate.path / encoder_file(shape)
    embedding = candidate.embedding
    tokenizer = TextTokenizer(
        candidate.path / TOKENIZER, max_tokens=embedding.max_tokens, lowercase=embedding.lowercase
    )
    rows = []
    for i in fits:
        row, prompt = reference.probe_rows[i], reference.probes[i].prompt
        left_out = tokenizer.prompt_tokens(prompt) if prompt else 0
        rows.append(TokenizedText(row.ids, False, len(row.ids), True, left_out, row.types))
    runs = []
    for threads in thread_counts():
        try:
            engine = MnnEngine(
                file, candidate.encoder, threads=threads, interface=candidate.interface,
                width=embedding.head.width(candidate.encoder.width),
                heads_apart=shape[1] >= LONG,
                exact=True,
            )  # fmt: skip
            vectors = _vectors(engine, rows, shape, candidate)
            engine.close()
        except EngineError as error:
            raise _does_not_run(candidate, file.name, error) from error
        padded_to = f"padded to {shape_name(shape)}"
        runs.append(Run(threads, padded_to, vectors, [shape] * len(fits), fits))
    return runs


def _vectors(
    engine: MnnEngine, rows: Sequence[TokenizedText], shape: Shape, candidate: Candidate
) -> Vectors:
    """Return a vector for each row of tokens, run in batches of exactly the shape."""
    vectors = []
    for start in range(0, len(rows), shape[0]):
        some = rows[start : start + shape[0]]
        batch = TokenBatch.pad(
            [row.ids for row in some],
            candidate.encoder.pad_token_id,
            [row.left_out for row in some],
            [row.types for row in some],
        ).filled(shape, candidate.encoder.pad_token_id)
        output = engine.run(batch)
        if engine.interface is Interface.LAST_HIDDEN_STATE:
            output = pool(output, batch.attention_mask, candidate.embedding.pooling)
            output = normalize(output) if candidate.embedding.normalize else output
            output = output[:, : candidate.embedding.truncate_dim]
        vectors.append(output[: len(some)])
    return np.concatenate(vectors)


def _does_not_run(candidate: Candidate, file: str, error: EngineError) -> ParityError:
    return ParityError(
        f"Refused: {file} of {candidate.name} does not run on the probe texts: {error}"
    )
