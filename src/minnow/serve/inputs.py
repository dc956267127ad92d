"""Inputs of requests, checked and tokenised."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import UNSET

from minnow.characters import replace_json_halves
from minnow.errors import InputError
from minnow.model.tokenizer import TokenizedText
from minnow.serve.answers import Usage
from minnow.serve.errors import bad_request, too_many
from minnow.serve.requests import MAX_TOKEN_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.serve.models import ServedEmbedder
    from minnow.serve.requests import Request

    Asked = TypeVar("Asked", bound=Request)
    Decoded = TypeVar("Decoded")

_SHOWN = 120
"""Characters of a value that an error repeats."""


@dataclass(frozen=True)
class Rows:
    """Tokenised texts.

    Attributes:
        texts: The tokens of each text, special ones included.
    """

    texts: list[TokenizedText]

    @property
    def truncated(self) -> list[int]:
        """Indices of texts that were longer than the limit."""
        return [i for i, text in enumerate(self.texts) if text.truncated]

    @property
    def tokens(self) -> int:
        """How many tokens there are in all."""
        return sum(map(len, self.texts))

    @property
    def usage(self) -> Usage:
        """The computed tokens, and how many texts were cut off."""
        return Usage(
            prompt_tokens=self.tokens,
            total_tokens=self.tokens,
            truncated=len(self.truncated) or UNSET,
        )

    def joined(self, others: Rows) -> Rows:
        """Return these rows followed by others."""
        return Rows(self.texts + others.texts)


def decode(body: bytes, kind: type[Asked]) -> Asked:
    """Decode and check a request's body.

    Halves of surrogate pairs become U+FFFD; see `minnow.characters`.

    Raises:
        ApiError: It is not JSON, or not of this kind; the message names the place.
    """
    try:
        asked = _decode(body, kind)
    except msgspec.ValidationError as error:
        said = str(error)  # which repeats the value of an enum
        what, at, place = said.rpartition(" - at ")
        what, place = (what, place) if at else (said, "")
        what = what if len(what) <= _SHOWN else f"{what[:_SHOWN]}…"
        place = place.strip("`").removeprefix("$").removeprefix(".")
        shown = f"{place}: {what}" if place else what
        raise bad_request(f"{shown}.", place.partition("[")[0] or None) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        place = _find_bytes(body)
        if place:
            raise bad_request(
                f"{place} is not UTF-8. Encode the body as UTF-8.", place.partition("[")[0]
            ) from error
        raise bad_request(
            f"The body is not valid JSON in UTF-8: {error}. NaN and Infinity are not."
        ) from error
    except RecursionError as error:
        raise bad_request("The body is nested too deeply.") from error
    _check_form(asked)
    return asked


def _check_form(asked: Request) -> None:
    """Check that a request which has several forms is given in one of them."""
    forms = asked.forms
    given = {name for form in forms for name in form if getattr(asked, name) is not UNSET}
    if forms and given not in [{*form} for form in forms]:
        wanted = ", or ".join(" and ".join(form) for form in forms)
        missing = next((name for name in forms[0] if name not in given), None)
        raise bad_request(f"Give {wanted}.", missing if given <= {*forms[0]} else forms[0][0])


def unknown_fields(body: bytes, kind: type[Request]) -> list[str]:
    """Return the names in a body that a request has no field for; none if it cannot be read."""
    try:
        given = _decode(body, dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    return [name for name in given if name not in kind.__struct_fields__]


def _decode(body: bytes, kind: type[Decoded]) -> Decoded:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        cleaned = replace_json_halves(body)
        if cleaned == body:
            raise
        return msgspec.json.decode(cleaned, type=kind)


def _find_bytes(body: bytes) -> str:
    """Return the place of the first value that is not UTF-8, such as "input[1]"; "" if unknown."""
    try:
        fields = json.loads(body.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return ""
    for name, value in fields.items() if isinstance(fields, dict) else ():
        for number, item in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(item, str) and _ESCAPED_BYTE.search(item):
                return f"{name}[{number}]" if isinstance(value, list) else name
    return ""


_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


def check_count(count: int, most: int, param: str, what: str | None = None) -> None:
    """Refuse no inputs, and more than a request may have.

    Args:
        count: How many there are.
        most: How many there may be.
        param: The field of the request.
        what: How to call it in the message, if not by the field's name.

    Raises:
        ApiError: There are none, or too many.
    """
    if not count:
        raise bad_request(f"{param} is empty.", param)
    if count > most:
        raise too_many(
            f"{what or param}: {count} items are more than the {most} that this server takes in a "
            "request. Send several requests.",
            param,
        )


def texts_of(given: str | list[str], most: int, param: str) -> list[str]:
    """Return one text or several as a list.

    Raises:
        ApiError: There are too many.
    """
    texts = [given] if isinstance(given, str) else given
    check_count(len(texts), most, param)
    return texts


def rows_of(
    model: ServedEmbedder,
    given: str | list[str | int | list[int]],
    prompt: str,
    *,
    chosen: bool = False,
    truncate: bool,
    most: int,
) -> Rows:
    """Tokenise the `input` of a request for embeddings, in any of its four forms.

    Args:
        model: The model.
        given: A text, several, ids of a text, or ids of several.
        prompt: Put before each text, not before ids.
        chosen: Whether the request chose the prompt, which is an error for ids.
        truncate: Cut off texts that are too long, rather than refuse them.
        most: How many inputs a request may have.

    Raises:
        ApiError: It is empty or a mixture, an id or a text is not valid, or one is too long.
    """
    items = [given] if isinstance(given, str) else given
    if not items:
        raise bad_request("input is empty.", "input")
    kinds = {type(item) for item in items}
    if len(kinds) > 1:
        raise bad_request(
            "input is a mixture: it should be texts, or token ids, or lists of token ids.", "input"
        )
    if str in kinds:
        check_count(len(items), most, "input")
        texts = [item for item in items if isinstance(item, str)]
        return tokenized(model, texts, prompt, truncate=truncate)
    lists = [items] if int in kinds else items
    check_count(len(lists), most, "input")
    if prompt and chosen:
        raise bad_request(
            "A prompt cannot be put before token ids: they should contain it already. Leave out "
            "input_type and prompt_name, or send text.",
            "input",
        )
    rows = [[i for i in row if isinstance(i, int)] for row in lists if isinstance(row, list)]
    return _checked_ids(model, rows, truncate=truncate)


def tokenized(
    model: ServedEmbedder,
    texts: Sequence[str],
    prompt: str,
    *,
    truncate: bool,
    param: str = "input",
) -> Rows:
    """Tokenise texts, each after a prompt.

    Raises:
        ApiError: A text is empty, is not valid, or is too long; the message has its number.
    """
    found = tokens_of(model, texts, prompt, param=param)
    over = [i for i, row in enumerate(found) if row.truncated]
    if over and not truncate:
        row = found[over[0]]
        count = f"{row.count}" if row.counted_all else f"more than {row.count}"
        raise _too_long(model, over[0], count, param)
    return Rows(found)


def questions(model: ServedEmbedder, texts: Sequence[str], *, truncate: bool) -> Rows:
    """Tokenise questions, each after the model's prompt for queries; see `tokenized`."""
    prompt = model.prompt("query", None)
    return tokenized(model.of_role("query"), texts, prompt, truncate=truncate, param="query")


def tokens_of(
    model: ServedEmbedder, texts: Sequence[str], prompt: str, *, param: str = "input"
) -> list[TokenizedText]:
    """Tokenise texts, each after a prompt, cut off at the model's limit.

    Raises:
        ApiError: A text is empty, or is not valid; the message has its number.
    """
    if "" in texts:
        raise bad_request(f"{param}[{list(texts).index('')}] is an empty string.", param)
    try:
        found = model.tokens(texts, prompt)
    except InputError as error:
        raise bad_request(str(error), param) from error
    empty = next((i for i, row in enumerate(found) if len(row) <= row.left_out), None)
    if empty is not None:
        raise bad_request(f"{param}[{empty}] has no token that the model knows.", param)
    return found


def _checked_ids(model: ServedEmbedder, rows: list[list[int]], *, truncate: bool) -> Rows:
    """Check ids that a client made with the model's tokenizer, special tokens included.

    Clients made for OpenAI send ids of OpenAI's tokenizers, which would give some vector without
    an error; their ids have no such tokens.
    """
    if not model.manifest.embedding.include_prompt:
        raise bad_request(
            f"{model.name} leaves prompts out of pooling, and token ids do not say where a prompt "
            "ends. Send text.",
            "input",
        )
    before, behind = model.special_ids
    found = []
    for number, row in enumerate(rows):
        if not row:
            raise bad_request(f"input[{number}] holds no token ids.", "input")
        low, high = min(row), max(row)
        if low < 0 or high >= model.vocabulary or high > MAX_TOKEN_ID:
            raise bad_request(
                f"Token id {low if low < 0 else high} of input[{number}] is not one of "
                f"{model.name}, which has 0 to {model.vocabulary - 1}. {_FOREIGN}",
                "input",
            )
        marked = row[: len(before)] == before and row[len(row) - len(behind) :] == behind
        if not marked or len(row) < len(before) + len(behind):
            raise bad_request(
                f"input[{number}] does not begin with {before} and end with {behind}, as all ids "
                f"of {model.name} do. {_FOREIGN}",
                "input",
            )
        count = len(row)
        if count > model.max_tokens:
            if not truncate:
                raise _too_long(model, number, str(count), "input")
            row[model.max_tokens - len(behind) :] = behind
        found.append(TokenizedText(row, count > len(row), count))
    return Rows(found)


_FOREIGN = (
    "Send ids as POST /tokenize gives them, or text. Some clients send ids of OpenAI's tokenizers: "
    "for LangChain's OpenAIEmbeddings set check_embedding_ctx_length=False."
)


def _too_long(model: ServedEmbedder, number: int, count: str, param: str) -> Exception:
    return bad_request(
        f"{param}[{number}] has {count} tokens; {model.name} takes {model.max_tokens}, special "
        'tokens included. Split it into chunks, or send "truncate": true to have its end cut off.',
        param,
        "context_length_exceeded",
    )
