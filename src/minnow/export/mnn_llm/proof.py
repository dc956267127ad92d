"""The proof of an exported folder: MNN's own engine runs it, against the reference."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.convert import token_counter
from minnow.engines.base import default_threads
from minnow.errors import ConversionError, ParityError
from minnow.export.mnn_llm.engine import engine_ids, engine_vectors
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.proof.probes import probe_texts
from minnow.proof.references import CheckpointReference
from minnow.proof.verdict import Run, check_ids, judge
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenizers import Tokenizer

    from minnow.bundle import Parity
    from minnow.model.original import Original
    from minnow.proof.probes import Probe
    from minnow.proof.verdict import Reference
    from minnow.recipe import Recipe

    Progress = Callable[[str], None]

NUL = "\0"
"""A text from Python may not hold it; the tokenizers that are exported drop it."""
LIMITS = (
    "cuts nothing off: the app cuts a text at max_tokens",
    "takes one text at a time: no batches",
    "puts no prompt before a text: the app does",
    "takes no text with U+0000 from Python",
)
_WHO = "MNN's own tokenizer"
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

    Token ids must be equal, of whole texts and of those cut at the limit. Vectors are of texts cut
    at the limit, one by one, with one thread and with several. Where numbers were rounded, they are
    compared with a forward pass over the very numbers that were stored, too.

    Args:
        folder: The staged files.
        original: The model.
        stored: The model with the numbers that were stored.
        recipe: Decides the bar.
        reference: The yardstick.
        progress: Told what is going on.

    Returns:
        What was found, all of it at or above the bar.

    Raises:
        ParityError: The engine does not run it, ids differ, a vector is below the bar or not
            finite, or its length differs; the message names texts and cosines.
    """
    embedding = original.embedding
    probes = probe_texts(embedding.max_tokens, token_counter(original.source))
    try:
        with tempfile.TemporaryDirectory(prefix="minnow-") as work:
            progress("tokenising in MNN's own engine")
            cut = _prove_ids(folder, original, probes, Path(work))
            runs = []
            for threads in (1, max(2, default_threads())):
                progress(f"running MNN's own engine, {threads} thread{'s' * (threads > 1)}")
                vectors = engine_vectors(folder, cut, threads, Path(work))
                runs.append(Run(threads, "one by one", vectors, _shapes(original, probes)))
    except ConversionError as error:
        raise ParityError(f"The exported folder does not run on the probe texts: {error}") from (
            error
        )
    texts = [probe.text for probe in probes]
    if recipe.rounds:
        rounded = CheckpointReference(stored, "the rounded numbers'")
        progress(f"computing the reference ({rounded.name})")
        judge(
            runs,
            rounded.vectors(texts),
            probes,
            rounded.name,
            RECIPES["fp32" if recipe.exact_gelu else "fp16"].bar,
            normalized=embedding.normalize,
            advice="This is no matter of precision: the exported graph computes something else.",
        )
    progress(f"computing the reference ({reference.name})")
    expected = reference.vectors(texts)
    return judge(
        runs,
        expected,
        probes,
        reference.name,
        recipe.bar,
        normalized=embedding.normalize,
        advice="Take words of more bits (`words=`).",
    )


def _prove_ids(folder: Path, original: Original, probes: Sequence[Probe], work: Path) -> list[str]:
    """Compare ids of whole texts, and of texts cut at the limit; returns the latter."""
    texts = [probe.text for probe in probes]
    endless = replace(original.embedding, max_tokens=_WHOLE)
    whole = CheckpointReference(replace(original, embedding=endless)).token_ids(texts)
    cut = cut_texts(original, texts)
    found = engine_ids(folder, [text.replace(NUL, "") for text in texts] + cut, work)
    check_ids(probes, found[: len(texts)], whole, _WHO)
    check_ids(probes, found[len(texts) :], CheckpointReference(original).token_ids(texts), _WHO)
    return cut


def _shapes(original: Original, probes: Sequence[Probe]) -> list[tuple[int, int]]:
    ids = CheckpointReference(original).token_ids([probe.text for probe in probes])
    return [(1, len(row)) for row in ids]


def cut_texts(original: Original, texts: Sequence[str]) -> list[str]:
    """Texts as an app hands them to the engine: no longer than the limit, without U+0000.

    A text is cut behind the character that its last token within the limit ends with.
    """
    path, lowercase = original.source.file("tokenizer.json"), original.embedding.lowercase
    tokenizer = load_whole_tokenizer(path, lowercase=lowercase)
    return [_cut(tokenizer, text, original.embedding.max_tokens) for text in texts]


def _cut(tokenizer: Tokenizer, text: str, limit: int) -> str:
    encoding = tokenizer.encode(text)
    special = list(encoding.special_tokens_mask)
    if len(special) > limit:
        closing = next(n for n in range(len(special)) if not special[-1 - n])
        text = text[: encoding.offsets[limit - closing - 1][1]]
    return text.replace(NUL, "")
