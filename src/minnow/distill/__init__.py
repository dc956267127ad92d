"""Distilling: a bundle's queries become a table, so that the weakest device can ask its index.

`distill` fits a vector for each token to the bundle's vectors of queries made of texts, proves the
result on texts that it did not see, and seals it with the figures. `docs/distilling.md` says how
much it finds.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow.bundle import Bundle
from minnow.characters import clean_text
from minnow.convert.provenance import tools
from minnow.distill.fitting import count_tokens, fit_table, make_prior
from minnow.distill.queries import make_queries, split_texts
from minnow.embedder import Embedder
from minnow.engines import EngineOptions
from minnow.errors import InputError, ParityError
from minnow.evaluate.bootstrap import paired_bootstrap
from minnow.evaluate.ranking import rank
from minnow.indexfile.fingerprint import Fingerprint
from minnow.indexfile.models import BundleModel
from minnow.indexfile.query_table import (
    DistillingProof,
    QueryTableRecord,
    StaticQueries,
    check_destination,
    seal_query_table,
    write_table,
)
from minnow.manifest import TOKENIZER
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.ndcg import DEPTH, ndcg
from minnow.sealing import staging_beside
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["distill"]

MOST_BYTES = 12_000_000
MOST_QUERIES = 60_000
LEAST_SHARE = 0.8
HELD_OUT = 400
"""Texts of the proof, a tenth of all where there are fewer than ten times as many."""

_FEWEST = 200
_BLOCK = 1024
_TIMED = 50


def distill(
    bundle: str | Path,
    texts: Sequence[str],
    destination: str | Path,
    *,
    options: EngineOptions = EngineOptions(),
    most_bytes: int = MOST_BYTES,
    most_queries: int = MOST_QUERIES,
    least_share: float = LEAST_SHARE,
    progress: Callable[[str], None] = lambda _: None,
) -> QueryTableRecord:
    """Fit static queries to a bundle, prove them, and seal them.

    Args:
        bundle: The teacher: a bundle whose vectors are compared by cosine.
        texts: Texts of the kind that is searched, such as the chunks of an index; not the
            questions that the result is to be measured on.
        destination: The folder to write.
        options: Which engine runs the teacher, and how.
        most_bytes: The room for the folder's files.
        most_queries: Make at most this many queries of the texts.
        least_share: Refuse what finds less than this share of the teacher's nDCG@10.
        progress: Receives a line of text before each step.

    Returns:
        The record of the folder, with the figures of its proof.

    Raises:
        InputError: There are fewer than 200 texts, or the table does not fit.
        ParityError: The table finds too little; nothing is written.
        BundleError, EngineError, MissingExtraError: As `Embedder.open`; or SciPy is missing.
        OutputError: The destination cannot be written.
    """
    texts = [text for text in map(clean_text, texts) if text.strip()]
    if len(texts) < _FEWEST:
        raise InputError(f"Distilling needs at least {_FEWEST} texts, not {len(texts)}.")
    destination, opened = Path(destination), Bundle.open(bundle)
    queries_of = opened.parts[-1]
    with (
        staging_beside(destination, check_destination) as staged,
        Embedder.open(opened, options, on_truncate="ignore") as embedder,
    ):
        teacher = BundleModel(opened, embedder)
        if embedder.similarity_kind is not Similarity.COSINE:
            raise InputError(f"{bundle} compares vectors by something else than cosine.")
        (staged / TOKENIZER).write_bytes((queries_of.folder / TOKENIZER).read_bytes())
        fitted_on, held_out = split_texts(texts, min(HELD_OUT, len(texts) // 10))
        made = [query for _, query in make_queries(fitted_on, most_queries)]
        table = _fit(teacher, queries_of.folder / TOKENIZER, made, progress)
        rows, rank_ = write_table(staged, table, most_bytes)
        record = QueryTableRecord(
            Fingerprint.of(opened.manifest), rows, rank_, len(fitted_on), len(made), None, tools()
        )
        progress("proving it on texts that the fit did not see")
        proof = _prove(StaticQueries(staged, record), teacher, held_out, least_share)
        if not proof.share >= least_share:
            raise ParityError(
                f"Refused: the static queries find {proof.share:.1%} of what {bundle} finds "
                f"(nDCG@10 {proof.ndcg:.3f} of {proof.teacher_ndcg:.3f}); the bar is "
                f"{least_share:.0%}. Give more texts, or texts more like those that are searched. "
                "Nothing was written."
            )
        return seal_query_table(staged, replace(record, proof=proof), destination)


def _fit(
    teacher: BundleModel, tokenizer_file: Path, made: Sequence[str], progress: Callable[[str], None]
) -> Floats:
    tokenizer = load_whole_tokenizer(tokenizer_file, lowercase=teacher.fingerprint.lowercase)
    rows = [e.ids for e in tokenizer.encode_batch(list(made), add_special_tokens=False)]
    size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    counts = count_tokens(rows, size)
    words = [_spelling(tokenizer.id_to_token(i) or "") for i in range(size)]
    progress(f"embedding {size} tokens")
    alone = _embed(teacher, words)
    progress(f"embedding {len(made)} queries")
    vectors = _embed(teacher, made)
    progress("fitting the table")
    occurring = np.asarray(counts.sum(axis=0)).ravel().astype(np.int64)
    return fit_table(counts, vectors, make_prior(occurring, alone))


def _spelling(token: str) -> str:
    """Return a token as it stands in a text, without the marks of word pieces; never nothing."""
    plain = token.removeprefix("##").replace("▁", " ").replace("Ġ", " ").strip()
    return plain or "."


def _embed(teacher: BundleModel, texts: Sequence[str]) -> Floats:
    """Embed texts as queries, of one kind and in bulk."""
    blocks = [
        teacher.embedder.encode_query(list(texts[start : start + _BLOCK]), on_truncate="ignore")
        for start in range(0, len(texts), _BLOCK)
    ]
    return normalize(np.concatenate(blocks))


def _prove(
    static: StaticQueries, teacher: BundleModel, texts: Sequence[str], least_share: float
) -> DistillingProof:
    """Search the held-out texts by queries made of them, one each, in both ways."""
    first = dict(reversed(make_queries(texts, len(texts) * 4, seed=1)))
    places, queries = list(first), list(first.values())
    documents = normalize(teacher.embedder.encode_document(list(texts), on_truncate="ignore"))
    theirs, ours = _embed(teacher, queries), static.encode_queries(queries)
    cosines = (theirs * ours).sum(axis=1)
    gains, teacher_gains = (_ndcg(vectors, documents, places) for vectors in (ours, theirs))
    interval = paired_bootstrap(gains, teacher_gains)
    seconds = [_median_seconds(model.encode_queries, queries) for model in (teacher, static)]
    return DistillingProof(
        len(queries), len(texts), float(gains.mean()), float(teacher_gains.mean()), interval.low,
        interval.high, float(cosines.mean()), float(cosines.min()), seconds[0] / seconds[1],
        least_share,
    )  # fmt: skip


def _ndcg(queries: Floats, documents: Floats, places: Sequence[int]) -> NDArray[np.float64]:
    """Return the nDCG@10 of each query, whose one right text is known."""
    found, _ = rank(queries, documents, DEPTH)
    return np.array([ndcg(row == place, [1]) for row, place in zip(found, places, strict=True)])


def _median_seconds(encode: Callable[[Sequence[str]], Floats], queries: Sequence[str]) -> float:
    seconds = []
    for query in queries[:_TIMED]:
        start = time.perf_counter()
        encode([query])
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
