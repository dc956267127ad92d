"""Tries published models: single MNN files by their own interface, folders by MNN-LLM's engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minnow.audit.session import Reading, Session
from minnow.audit.trial import Trial, find_reading, run_probes
from minnow.errors import ConversionError, EngineError, SourceError, UnsupportedModelError
from minnow.export.mnn_llm.engine import engine_ids, engine_vectors
from minnow.export.mnn_llm.proof import app_changes, cut_texts
from minnow.graph.embedded import OUTPUT
from minnow.model.pairs import PairTokenizer
from minnow.model.spec import Interface
from minnow.model.tokenizer import TextTokenizer
from minnow.proof.references import CheckpointReference, TokenRow
from minnow.proof.verdict import Candidate, Run, thread_counts
from minnow.recipe import RANKING_BARS, RECIPES
from minnow.records import replace
from minnow.workfolder import scratch_folder

if TYPE_CHECKING:
    from typing import Any

    from minnow.audit.published import Published
    from minnow.model.original import Original
    from minnow.proof.verdict import Progress
    from minnow.recipe import Precision


@dataclass(frozen=True)
class Outcome:
    """The result of trying a model.

    Attributes:
        trial: What it was tried with.
        reading: How it is read.
        runs: Its vectors or logits of the probes; none where it does not run.
        rows: The tokens of the probes that it was run on.
        other_ids: The names of the probes to which its tokenizer gives other ids or types.
        tokenizer_fault: Why its tokenizer gives none; empty if it does.
        problem: Why it does not run; empty if it does.
        batch_problem: Why it does not run several texts together; empty if it does.
    """

    trial: Trial
    reading: Reading
    runs: Sequence[Run] = ()
    rows: Sequence[TokenRow] = ()
    other_ids: tuple[str, ...] = ()
    tokenizer_fault: str = ""
    problem: str = ""
    batch_problem: str = ""


_UNREAD = Reading({}, "none", Interface.LAST_HIDDEN_STATE)


def try_file(
    published: Published, original: Original, precision: Precision, progress: Progress
) -> Outcome:
    """Find out how an MNN file is read, and run all probes."""
    own = published.embedding(original.encoder)
    head = original.head
    if own is not None and original.reranking is None:
        head = replace(head, pooling=own.pooling, normalize=own.normalize)
    trial = replace(_trial(published, original, precision), head=head)
    trial.reference.compute(progress)
    progress("trying how the model is read")
    reading, runs = _UNREAD, list[Run]()
    rows: Sequence[TokenRow] = ()
    fault = batch_problem = ""
    try:
        for threads in thread_counts():
            with Session(published.model, threads) as session:
                if reading is _UNREAD:
                    reading = find_reading(session, trial)
                    trial = _within(trial, reading)
                    trial.reference.compute(progress)
                    rows, fault = _tokenized(published, trial)
                progress(f"running the model, {threads} thread{'s' * (threads > 1)}")
                more, batch_problem = run_probes(session, threads, reading, trial, rows)
                runs += more
    except EngineError as error:
        return Outcome(trial, reading, problem=str(error))
    other = _other_ids(rows, trial.reference)
    return Outcome(trial, reading, runs, rows, other, fault, batch_problem=batch_problem)


def _within(trial: Trial, reading: Reading) -> Trial:
    """Return the trial with texts that fit the only shape that a model takes."""
    embedding = trial.original.embedding
    if reading.shape is None or reading.shape[1] >= embedding.max_tokens:
        return trial
    embedding = replace(embedding, max_tokens=reading.shape[1])
    original = replace(trial.original, embedding=embedding)
    return replace(
        trial,
        original=original,
        reference=CheckpointReference(original),
        candidate=replace(trial.candidate, embedding=embedding),
    )


def _trial(published: Published, original: Original, precision: Precision) -> Trial:
    ranks, bars = original.reranking is not None, RANKING_BARS[precision]
    candidate = Candidate(
        published.folder,
        original.encoder,
        original.embedding,
        bar=bars.difference if ranks else RECIPES[precision.value].bar,
        name=published.name,
        tokenizer=f"the tokenizer of {published.name}",
        reranking=original.reranking,
    )
    return Trial(original, original.head, CheckpointReference(original), candidate)


def _tokenized(published: Published, trial: Trial) -> tuple[Sequence[TokenRow], str]:
    """Return the rows of a model's own tokenizer; the reference's where it has none that works."""
    original, reference, file = trial.original, trial.reference, published.tokenizer
    if file is None:
        return reference.probe_rows, ""
    texts: Any = [probe.whole for probe in reference.probes]
    embedding = replace(original.embedding, lowercase=published.lowercase)
    tokenizer: TextTokenizer | PairTokenizer
    try:
        if original.reranking is not None:
            tokenizer = PairTokenizer(file, embedding, original.reranking)
        else:
            limit, lower = embedding.max_tokens, embedding.lowercase
            tokenizer = TextTokenizer(file, max_tokens=limit, lowercase=lower)
        found = tokenizer.tokenize(texts)
    except SourceError as error:
        return reference.probe_rows, str(error)
    rows = [TokenRow(list(row.ids), list(row.types)) for row in found]
    if not all(row.ids for row in rows):
        return reference.probe_rows, "It gives no token to some texts."
    if max(max(row.ids) for row in rows) >= original.encoder.vocab_size:
        return reference.probe_rows, "It gives ids beyond the table of words."
    return rows, ""


def _other_ids(rows: Sequence[TokenRow], reference: CheckpointReference) -> tuple[str, ...]:
    pairs = zip(reference.probes, rows, reference.probe_rows, strict=True)
    return tuple(
        probe.name for probe, row, expected in pairs if _essence(row) != _essence(expected)
    )


def _essence(row: TokenRow) -> tuple[list[int], list[int]]:
    return list(row.ids), list(row.types) or [0] * len(row.ids)


def try_mnn_llm(
    published: Published, original: Original, precision: Precision, progress: Progress
) -> Outcome:
    """Run a folder for MNN-LLM in MNN's own engine, one text at a time, as apps do.

    Raises:
        UnsupportedModelError: The source is a reranker.
    """
    if original.reranking is not None:
        raise UnsupportedModelError(
            f"{published.name} is a folder for MNN-LLM, and {original.source.name} a reranker: "
            "MNN's engine embeds texts, and scores no pairs with such a model."
        )
    trial = _trial(published, original, precision)
    reference = trial.reference
    reference.change_probes(app_changes(original))
    cut = cut_texts(original, [probe.text for probe in reference.probes])
    changed = dict(zip([probe.text for probe in reference.probes], cut, strict=True))
    reference.change_probes(changed.__getitem__)
    reference.compute(progress)
    reading = Reading({}, OUTPUT, Interface.SENTENCE_EMBEDDING)
    runs = []
    try:
        with scratch_folder() as work:
            progress("tokenising in MNN's own engine")
            rows = [TokenRow(ids) for ids in engine_ids(published.folder, cut, work)]
            for threads in thread_counts():
                progress(f"running MNN's own engine, {threads} thread{'s' * (threads > 1)}")
                vectors = engine_vectors(published.folder, cut, threads, work)
                shapes = [(1, len(row.ids)) for row in rows]
                runs.append(Run(threads, "one by one", np.atleast_2d(vectors), shapes))
    except ConversionError as error:
        return Outcome(trial, reading, problem=str(error))
    return Outcome(trial, reading, runs, rows, _other_ids(rows, reference))
