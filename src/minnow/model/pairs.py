"""Tokenizer of pairs of texts, as transformers makes one sequence of both and cuts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minnow.errors import InputError, UnsupportedModelError
from minnow.model.spec import PairTruncation
from minnow.model.tokenizer import TextTokenizer, TokenizedText, load_whole_tokenizer
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from minnow.model.spec import ChatFrame, EmbeddingSpec, RerankingSpec

_PROBES = (("a", "b"), ("two words", "and three more"))


@dataclass(frozen=True)
class PairTemplate:
    """The tokens around the two texts of a pair, and the token type of each part.

    Attributes:
        ids: Ids before the first text, between both, and after the second.
        types_around: The token types of the same ids.
        of_texts: The token type of the first text's tokens, and of the second's.
    """

    ids: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    types_around: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    of_texts: tuple[int, int]

    @classmethod
    def of(cls, file: Path | bytes) -> PairTemplate:
        """Read the template of a tokenizer.json.

        Raises:
            SourceError: The file is not one that the `tokenizers` library reads.
            UnsupportedModelError: It does not put the first text before the second, once each.
        """
        tokenizer = load_whole_tokenizer(file)
        found = {cls._read(tokenizer.encode(*pair)) for pair in _PROBES}
        if len(found) != 1 or None in found:
            raise UnsupportedModelError(
                "The tokenizer's template of pairs does not put the first text before the second, "
                "with the same tokens around them for all pairs."
            )
        template = found.pop()
        assert template is not None
        return template

    @classmethod
    def around(cls, file: Path | bytes, frame: ChatFrame) -> PairTemplate:
        """Tokenise the texts of a chat template's frame, each by itself."""
        tokenizer = load_whole_tokenizer(file)
        parts = (frame.before, frame.between, frame.after)
        ids = [tuple(tokenizer.encode(part, add_special_tokens=False).ids) for part in parts]
        types = [(0,) * len(part) for part in ids]
        return cls(tuple(ids), tuple(types), (0, 0))  # type: ignore[arg-type]

    @classmethod
    def _read(cls, encoding: Any) -> PairTemplate | None:
        owners, ids, types = encoding.sequence_ids, encoding.ids, encoding.type_ids
        texts = [i for i, owner in enumerate(owners) if owner is not None]
        if [owners[i] for i in texts] != sorted(owners[i] for i in texts) or 1 not in owners:
            return None
        ends = [
            end
            for owner in (0, 1)
            for end in (owners.index(owner), len(owners) - owners[::-1].index(owner))
        ]
        parts = [slice(0, ends[0]), slice(ends[1], ends[2]), slice(ends[3], len(owners))]
        kinds = [set(types[ends[i] : ends[i + 1]]) for i in (0, 2)]
        whole = len(texts) == ends[1] - ends[0] + ends[3] - ends[2]
        if not whole or any(len(kind) != 1 for kind in kinds):
            return None
        around = [tuple(tuple(row[part]) for part in parts) for row in (ids, types)]
        return cls(around[0], around[1], (kinds[0].pop(), kinds[1].pop()))  # type: ignore[arg-type]

    @property
    def types(self) -> tuple[int, ...]:
        """All token types that occur."""
        return (*(number for part in self.types_around for number in part), *self.of_texts)

    @property
    def size(self) -> int:
        """The number of tokens around the texts."""
        return sum(map(len, self.ids))

    def join(self, first: Sequence[int], second: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return the ids of a pair and their token types, given the ids of both texts."""
        before, between, after = self.ids
        one, two = self.of_texts
        types = [list(part) for part in self.types_around]
        return (
            [*before, *first, *between, *second, *after],
            [*types[0], *[one] * len(first), *types[1], *[two] * len(second), *types[2]],
        )


def pair_template(file: Path | bytes, reranking: RerankingSpec) -> PairTemplate:
    """Return the tokens around the texts of a pair.

    Behind a chat template they are close to what the tokenizer makes of the whole, which may join
    the end of one text and the beginning of the next.
    """
    if reranking.chat is None:
        return PairTemplate.of(file)
    return PairTemplate.around(file, reranking.chat)


def closing_ids(file: Path | bytes, frame: ChatFrame, *, lowercase: bool = False) -> list[int]:
    """Return the last ids of a chat template's text, which no pair over the limit loses.

    Source: `_chat_template_suffix_ids` of sentence-transformers 6.2 (base/modules/transformer.py):
    what two texts of the template, of unlike pairs, end with.
    """
    tokenizer = load_whole_tokenizer(file, lowercase=lowercase)
    one, other = (
        tokenizer.encode(frame.join(text, text), add_special_tokens=False).ids
        for text in ("0", "1 2 3 4")
    )
    size = next(i for i in range(1, len(one)) if one[-i] != other[-i]) - 1
    return list(one[len(one) - size :])


def shares(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens each text of a pair keeps, where the longer one is cut first.

    Source: `truncate_encodings` of the `tokenizers` library (LongestFirst): where half of the room
    is too little for the shorter text, both get half, and the longer one the odd token.

    Args:
        first: Tokens of the first text.
        second: Tokens of the second.
        room: Tokens of both together.
    """
    if first + second <= room:
        return first, second
    short = min(first, second, room // 2)
    return (room - short, short) if first > second else (short, room - short)


class PairTokenizer:
    """A Hugging Face tokenizer of pairs, with a limit for both texts together and no padding.

    A text that is repeated, as a query is before each document, is tokenised once.
    """

    def __init__(
        self, file: Path | bytes, embedding: EmbeddingSpec, reranking: RerankingSpec
    ) -> None:
        """Load a tokenizer.json.

        Args:
            file: The tokenizer.json, or its content.
            embedding: The limit, special tokens included, and whether texts are lowercased.
            reranking: What a pair over the limit loses, and whether it has token types.

        Raises:
            SourceError: The file is not one that the `tokenizers` library reads.
            UnsupportedModelError: Its template of pairs is not a plain one.
        """
        self.max_tokens = embedding.max_tokens
        self._truncation, self._segments = reranking.truncation, reranking.segments
        self._chat, self._closing = reranking.chat, list[int]()
        if self._chat is not None:
            self._closing = closing_ids(file, self._chat, lowercase=embedding.lowercase)
            self._room = self.max_tokens
        else:
            self.template = PairTemplate.of(file)
            self._room = self.max_tokens - self.template.size
        self._texts = TextTokenizer(
            file,
            max_tokens=max(self._room, 1),
            lowercase=embedding.lowercase,
            alone=False,
        )

    def tokenize(
        self, texts: Sequence[tuple[str, str]], *, first: int = 0, prompt: str = ""
    ) -> list[TokenizedText]:
        """Tokenise pairs.

        Args:
            texts: Pairs of any strings; halves of surrogate pairs are read as `check_texts` says.
            first: Number of the first pair in messages.
            prompt: Prefix of the first text of each pair, or the system's message where a chat
                template makes one text of a pair.

        Raises:
            InputError: The first text of a pair leaves no room for the second, where only that may
                be cut; the message names the pair. There is a prompt, and the chat template
                has no place for one.
        """
        if self._chat is not None:
            joined = [self._chat.join(str.__str__(a), str.__str__(b), prompt) for a, b in texts]
            return [self._close(row) for row in self._texts.tokenize(joined, first=first)]
        pairs = [(prompt + str.__str__(one), str.__str__(two)) for one, two in texts]
        unique = list(dict.fromkeys(text for pair in pairs for text in pair))
        rows = dict(zip(unique, self._texts.tokenize(unique, first=first), strict=True))
        return [self._join(rows, pair, first + i) for i, pair in enumerate(pairs)]

    def prompt_tokens(self, prompt: str) -> int:
        """Return 0: no pooling of pairs leaves a prompt out."""
        return 0 * len(prompt)

    def _close(self, row: TokenizedText) -> TokenizedText:
        """Write the end of the chat template over the end of a text that was cut."""
        if not row.truncated:
            return row
        kept = row.ids[: self.max_tokens - len(self._closing)]
        return replace(row, ids=kept + self._closing)

    def _join(
        self, rows: dict[str, TokenizedText], pair: tuple[str, str], number: int
    ) -> TokenizedText:
        one, two = (rows[text] for text in pair)
        counts = one.count, two.count
        if self._truncation is PairTruncation.ONLY_SECOND:
            kept = counts[0], min(counts[1], self._room - counts[0])
            if sum(counts) > self._room and kept[1] < 1:
                raise InputError(
                    f"Pair {number}: the first text has {counts[0]} tokens, which leaves no room "
                    f"for the second, of {self._room} for both. Shorten it."
                )
        else:
            counted = one.counted_all and two.counted_all
            if not counted and min(counts) > self._room // 2:  # the longer one gets the odd token
                counts = self._texts.count(pair[0]), self._texts.count(pair[1])
            kept = shares(*counts, self._room)
        ids, types = self.template.join(one.ids[: kept[0]], two.ids[: kept[1]])
        return TokenizedText(
            ids,
            truncated=sum(kept) < sum(counts),
            count=self.template.size + sum(counts),
            counted_all=one.counted_all and two.counted_all,
            types=types if self._segments else [],
        )
