"""A tokenizer with the methods of one of transformers that code around embedding models calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import InputError
from minnow.outputs import as_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.model.tokenizer import TextTokenizer


class PeerTokenizer:
    """The tokenizer of a bundle, by the names of transformers' `PreTrainedTokenizerFast`.

    Attributes:
        pad_token_id: The id that fills up shorter texts.
    """

    def __init__(self, tokenizer: TextTokenizer, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id
        self._limited = tokenizer
        self._whole = tokenizer.whole

    @property
    def model_max_length(self) -> int:
        """The longest text in tokens, special tokens included."""
        return self._limited.max_tokens

    @property
    def vocab_size(self) -> int:
        """The number of tokens, added ones not counted."""
        return int(self._whole.get_vocab_size(with_added_tokens=False))

    def __len__(self) -> int:
        return int(self._whole.get_vocab_size())

    def get_vocab(self) -> dict[str, int]:
        """Return the id of each token."""
        return dict(self._whole.get_vocab())

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        padding: bool | str = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        add_special_tokens: bool = True,
        return_tensors: str | None = None,
    ) -> dict[str, Any]:
        """Tokenise one text or several.

        Args:
            text: One text, or several.
            padding: Fill up the rows to the longest.
            truncation: Cut off what is over `max_length`.
            max_length: The longest row in tokens; by default `model_max_length`.
            add_special_tokens: Put the model's special tokens around each text.
            return_tensors: "np" for arrays of int64, "pt" for tensors; None for lists.

        Returns:
            `input_ids` and `attention_mask`, a row for each text; token types are all 0.

        Raises:
            InputError: There is no such form, or rows of several lengths are to be an array.
        """
        single = isinstance(text, str)
        rows = [
            self.encode(
                each,
                add_special_tokens=add_special_tokens,
                truncation=truncation,
                max_length=max_length,
            )
            for each in ([text] if isinstance(text, str) else text)
        ]
        masks = [[1] * len(row) for row in rows]
        if padding:
            longest = max(map(len, rows), default=0)
            masks = [mask + [0] * (longest - len(mask)) for mask in masks]
            rows = [row + [self.pad_token_id] * (longest - len(row)) for row in rows]
        found = {"input_ids": rows, "attention_mask": masks}
        if return_tensors is None:
            return {name: value[0] if single else value for name, value in found.items()}
        if return_tensors not in ("np", "pt") or len({len(row) for row in rows}) > 1:
            raise InputError(
                "return_tensors is 'np' or 'pt', and rows of several lengths need padding=True."
            )
        arrays = {name: np.array(value, dtype=np.int64) for name, value in found.items()}
        if return_tensors == "np":
            return arrays
        return {name: as_tensor(array) for name, array in arrays.items()}

    def encode(
        self,
        text: str,
        *,
        add_special_tokens: bool = True,
        truncation: bool | str = False,
        max_length: int | None = None,
    ) -> list[int]:
        """Return the ids of a text, whole unless it is to be truncated."""
        if truncation in (False, "do_not_truncate"):
            whole: list[int] = self._whole.encode(text, add_special_tokens=add_special_tokens).ids
            return whole
        before, behind = self._limited.special_ids() if add_special_tokens else ([], [])
        room = max(0, (max_length or self.model_max_length) - len(before) - len(behind))
        return [*before, *self._whole.encode(text, add_special_tokens=False).ids[:room], *behind]

    def tokenize(self, text: str) -> list[str]:
        """Return the tokens of a text, without special ones."""
        tokens: list[str] = self._whole.encode(text, add_special_tokens=False).tokens
        return tokens

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of ids."""
        text: str = self._whole.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str | None]:
        """Return the token of each id; None for an unknown one."""
        return [self._limited.token(int(each)) for each in ids]

    def convert_tokens_to_ids(self, tokens: Sequence[str]) -> list[int | None]:
        """Return the id of each token; None for an unknown one."""
        return [self._whole.token_to_id(token) for token in tokens]
