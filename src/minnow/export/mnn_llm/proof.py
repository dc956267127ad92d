"""The proof of an exported folder, which MNN's own engine runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.errors import ConversionError, ParityError
from minnow.export.mnn_llm.byte_level import takes_form_c
from minnow.export.mnn_llm.engine import engine_ids, engine_vectors
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.proof.references import CheckpointReference, stored_reference
from minnow.proof.verdict import Candidate, Run, equal_ids, judge, judge_stored, thread_counts
from minnow.records import replace
from minnow.workfolder import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tokenizers import Tokenizer

    from minnow.model.original import Original
    from minnow.parity import Parity
    from minnow.proof.references import Reference
    from minnow.proof.verdict import Progress
    from minnow.recipe import Recipe

NUL = "\0"
"""A text from Python must not hold it."""
FORM_C = "takes a text in Unicode's normal form C: the app normalises it"
LIMITS = (
    "cuts nothing off: the app cuts a text at max_tokens",
    "takes one text at a time: no batches",
    "puts no prompt before a text: the app does",
    "takes no text with U+0000 from Python",
)
"""What the engine does, as predicates that cards and records state in this order."""
_WHOLE = 1 << 30


def prove_export(
    folder: Path,
    original: Original,
    stored: Original,
    recipe: Recipe,
    reference: Reference,
    progress: Progress,
) -> Parity:
    """Compare a staged folder in MNN's own engine with a reference, on every probe.

    The probes are changed as an app changes texts. Token ids must be equal, both of whole texts
    and of texts cut at the limit. The vectors are of texts cut at the limit, one by one, with one
    thread and with several. Where numbers were rounded, the vectors are also compared with a
    forward pass over the very numbers stored.

    Args:
        folder: The staged files.
        original: The model.
        stored: The model with the numbers that were stored.
        recipe: Decides the bar.
        reference: What the folder is compared with.
        progress: Receives a line of text before each step.

    Returns:
        The figures, all of them at or above the bar.

    Raises:
        ParityError: The engine does not run the folder, ids differ, a vector is below the bar or
            not finite, or its length differs; the message names texts and cosines.
    """
    reference.change_probes(app_changes(original))
    candidate = Candidate(
        folder,
        original.encoder,
        original.embedding,
        bar=recipe.bar,
        tokenizer="MNN's own tokenizer",
        advice="Take words of more bits (`words=`).",
        stored_bar=recipe.stored_bar,
    )
    try:
        runs = _run_engine(candidate, original, reference, progress)
    except ConversionError as error:
        raise ParityError(f"The exported folder does not run on the probe texts: {error}") from (
            error
        )
    if recipe.rounds:
        rounded = stored_reference(stored, reference)
        rounded.compute(progress)
        judge_stored(candidate, runs, rounded)
    reference.compute(progress)
    return judge(candidate, runs, reference)


def _run_engine(
    candidate: Candidate, original: Original, reference: Reference, progress: Progress
) -> list[Run]:
    """Compare the ids of whole texts and of cut texts; run the latter."""
    probes = reference.probes
    texts = [probe.text for probe in probes]
    cut = cut_texts(original, texts)
    endless = replace(original, embedding=replace(original.embedding, max_tokens=_WHOLE))
    reference.change_probes(dict(zip(texts, cut, strict=True)).__getitem__)
    limited = CheckpointReference(original, probes=reference.probes)
    shapes = [(1, len(row)) for row in limited.probe_ids]
    runs = []
    with scratch_folder() as work:
        progress("tokenising in MNN's own engine")
        ids = engine_ids(candidate.path, texts + cut, work)
        equal_ids(candidate, ids[: len(texts)], CheckpointReference(endless, probes=probes))
        equal_ids(candidate, ids[len(texts) :], limited)
        for threads in thread_counts():
            progress(f"running MNN's own engine, {threads} thread{'s' * (threads > 1)}")
            vectors = engine_vectors(candidate.path, cut, threads, work)
            runs.append(Run(threads, "one by one", vectors, shapes))
    return runs


def app_changes(original: Original) -> Callable[[str], str]:
    """Return what an app does to a text before it calls the engine.

    Form C is left to the app where the tokenizer normalises to it; U+0000 cannot be passed.
    """
    tokenizer = load_whole_tokenizer(original.tokenizer.content)
    normalizer = tokenizer.normalizer if takes_form_c(tokenizer) else None
    return lambda text: (normalizer.normalize_str(text) if normalizer else text).replace(NUL, "")


def cut_texts(original: Original, texts: Sequence[str]) -> list[str]:
    """Cut texts as an app does before it calls the engine.

    A text is cut behind the character that its last token within the limit ends with, or earlier,
    where that character has tokens beyond the limit too.
    """
    content, lowercase = original.tokenizer.content, original.embedding.lowercase
    tokenizer = load_whole_tokenizer(content, lowercase=lowercase)
    return [_cut(tokenizer, text, original.embedding.max_tokens) for text in texts]


def _cut(tokenizer: Tokenizer, text: str, limit: int) -> str:
    encoding = tokenizer.encode(text)
    special = list(encoding.special_tokens_mask)
    if len(special) > limit:
        closing = next(n for n in range(len(special)) if not special[-1 - n])
        text = text[: encoding.offsets[limit - closing - 1][1]]
        while len(tokenizer.encode(text).ids) > limit:
            text = text[:-1]
    return text
