"""The text that rounding is calibrated on: the user's, or text that every machine has.

Half of the built-in text is the reference that comes with Python (`pydoc_data.topics`, English
prose on one subject). The other half is made-up sequences over the whole vocabulary: common words
by their frequency, mixed with neighbours of a few random words so that a sequence has a subject,
and repetitions of a few tokens. Prose on one subject alone would fit the weights to that subject.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import InputError
from minnow.model.pairs import pair_template
from minnow.model.tokenizer import TextTokenizer, load_whole_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from minnow.model.original import Original

TOKENS = 32_000
_FEWEST = 2_000
_SHORTEST_PARAGRAPH = 60
_NEIGHBOURS = 60
_SUBJECTS = 3
_REPEATED = 8
_COMMON = 30  # a higher number draws the most common words less often


def calibration_rows(original: Original, texts: Sequence[str] | None = None) -> list[list[int]]:
    """Return token ids to calibrate on, the same on every run.

    Args:
        original: The model.
        texts: The user's text; by default the built-in text.

    Returns:
        Ids of each text, special tokens included, truncated at the model's limit.

    Raises:
        InputError: The texts are too few, or this Python lacks its reference.
    """
    tokenizer = TextTokenizer(
        original.tokenizer.content,
        max_tokens=original.embedding.max_tokens,
        lowercase=original.embedding.lowercase,
    )
    random = np.random.default_rng(0)
    prose = list(_paragraphs()) if texts is None else list(texts)
    random.shuffle(prose)
    ids = (tokenizer.tokenize([text])[0].ids for text in prose)
    rows = list(_up_to(TOKENS // 2, ids))
    if texts is not None and sum(map(len, rows)) < _FEWEST:
        raise InputError(
            f"The calibration texts have {sum(map(len, rows))} tokens, of at least {_FEWEST}. "
            "Give more text of the kind that will be embedded."
        )
    return rows + list(_up_to(TOKENS // 2, _made_up(original, tokenizer.special_ids(), random)))


def as_pairs(
    original: Original, rows: Sequence[Sequence[int]]
) -> tuple[list[list[int]], list[list[int]]]:
    """Make a pair of each text: its first third as the query, the rest as the document.

    Args:
        original: A reranker.
        rows: What `calibration_rows` returned.

    Returns:
        The ids of each pair, and their token types.
    """
    assert original.reranking is not None
    content = original.tokenizer.content
    tokenizer, template = load_whole_tokenizer(content), pair_template(content, original.reranking)
    around = {*tokenizer.encode("").ids}
    room = original.embedding.max_tokens - template.size
    ids, types = [], []
    for row in rows:
        text = [number for number in row if number not in around][:room]
        third = len(text) // 3
        pair, kinds = template.join(text[:third], text[third:])
        ids.append(pair)
        types.append(kinds if original.reranking.segments else [])
    return ids, types


def _up_to(tokens: int, rows: Iterable[list[int]]) -> Iterator[list[int]]:
    left = tokens
    for row in rows:
        if left <= 0:
            return
        left -= len(row)
        yield row


def _paragraphs() -> Iterator[str]:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise InputError(
            "This Python lacks its reference (pydoc_data), which weights are calibrated on. "
            "Give text of your own with `calibration=`."
        ) from error
    for name in sorted(topics):
        for paragraph in topics[name].split("\n\n"):
            words = " ".join(paragraph.split())
            if len(words) >= _SHORTEST_PARAGRAPH:
                yield words


def _made_up(
    original: Original, special: tuple[list[int], list[int]], random: np.random.Generator
) -> Iterator[list[int]]:
    """Yield sequences without end: half common words, half words near to a few subjects.

    Every eighth sequence repeats a few tokens of the whole vocabulary, unknown ones included. The
    special ids are those before and after every text.
    """
    tokenizer = load_whole_tokenizer(original.tokenizer.content)
    first, last = special
    words, tokens = _words(tokenizer.get_vocab())
    table = original.tensors["embeddings.word"][tokens]
    table = table / (np.linalg.norm(table, axis=1, keepdims=True) + np.float32(1e-12))
    chance = 1 / (np.arange(len(words)) + _COMMON)
    chance /= chance.sum()
    longest = original.embedding.max_tokens - len(first) - len(last)
    neighbours = min(_NEIGHBOURS, len(tokens))
    for number in count():
        length = min(int(np.exp(random.uniform(np.log(4), np.log(200)))), longest)
        if number % _REPEATED == 0:
            few = random.integers(0, original.encoder.vocab_size, random.integers(1, _SUBJECTS + 1))
            yield [*first, *random.choice(few, length).tolist(), *last]
            continue
        nearness = table[random.integers(0, len(tokens), _SUBJECTS)] @ table.T
        nearest = np.argpartition(-nearness, neighbours - 1, axis=1)[:, :neighbours]
        near = np.sort(nearest, axis=1).ravel()
        common = words[random.choice(len(words), length, p=chance)]
        subject = tokens[random.choice(near, length)]
        yield [*first, *np.where(random.random(length) < 0.5, subject, common).tolist(), *last]


def _words(vocabulary: dict[str, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ids of words of two letters or more, and of all tokens of letters, in order.

    Vocabularies are sorted by frequency, but that of BERT has its single letters first.
    """
    bare = {i: token.removeprefix("##").strip("Ġ▁") for token, i in vocabulary.items()}
    tokens = sorted(i for i, token in bare.items() if token.isalpha())
    words = [i for i in tokens if len(bare[i]) > 1]
    everything = sorted(vocabulary.values())
    return np.array(words or everything), np.array(tokens or everything)
