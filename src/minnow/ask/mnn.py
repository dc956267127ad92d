"""MNN's own LLM engine as a LanguageModel, in a child process: native code may crash."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from minnow.ask.base import Message, Piece
from minnow.ask.folder import CONFIG, changed_settings, markers_in, read_llm_folder
from minnow.errors import EngineError, InputError, UnsupportedModelError
from minnow.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minnow.ask.folder import LlmFolder

CHILD = Path(__file__).with_name("mnn_child.py")
TIMEOUT = 600.0
_TAG = re.compile(r"<(?=(?:img|audio)>)")
"""Tags after which a model with vision or audio would open a file or an address."""
_SYSTEM, _USER = 'minnow\n"asks" a <system>', 'minnow\n"asks" a <user>'
"""Two texts that no chat template contains, and that escaping for JSON or HTML would change."""


class _Reply(msgspec.Struct):
    """Reply of the child process.

    Attributes:
        tokens: A number of tokens.
        text: A text.
        end: Whether the answer ends here.
        error: What went wrong, to be read after the LLM's name; empty if nothing did.
    """

    tokens: int = 0
    text: str = ""
    end: bool = False
    error: str = ""


class MnnLlm:
    """LLM on MNN's engine; loaded once, and used by one thread at a time.

    ```python
    from minnow.ask import MnnLlm

    with MnnLlm.open("qwen3-0.6b-mnn") as llm:
        print(llm.complete("Say hello."))
    ```

    Attributes:
        window: Most tokens that it reads and writes, in all.
        markers: Marks that its chat template puts around turns.
        has_template: Whether it has a chat template; else it reads plain text.
    """

    def __init__(self, folder: LlmFolder, process: Worker) -> None:
        """Join a folder with its process; `open` starts it."""
        self.window = folder.window
        self._folder, self._process = folder, process
        self._takes_system = True
        self.markers, self.has_template = self._read_template()

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        window: int | None = None,
        temperature: float = 0.0,
        timeout: float = TIMEOUT,
    ) -> MnnLlm:
        """Load an LLM.

        Args:
            folder: A folder of MNN-LLM: config.json, llm_config.json, llm.mnn, and so on.
            window: Most tokens that it reads and writes; by default what the folder states, else
                2048.
            temperature: 0 takes the likeliest token each time, so that answers are repeatable;
                above 0, one of the 40 likeliest is sampled.
            timeout: Seconds after which loading, reading or one token counts as hung.

        Raises:
            InputError: An argument is out of range.
            SourceNotFoundError: There is no such folder, or a file is missing.
            UnsupportedModelError: It is an embedding model, or its chat template garbles texts.
            SourceError: A file of it is damaged.
            EngineError: MNN cannot load it.
        """
        if not 0 <= temperature <= 100:
            raise InputError(f"temperature should be from 0 to 100, not {temperature}.")
        found = read_llm_folder(Path(folder), window)
        changes = json.dumps(changed_settings(found.settings))
        command = [
            sys.executable, str(CHILD), str(found.path / CONFIG), changes, str(float(temperature)),
            str(found.rows),
        ]  # fmt: skip
        process = Worker(
            f"The LLM in {found.path}",
            command,
            timeout=timeout,
            hint="its files may be damaged, or of another MNN",
            own_session=True,  # Ctrl-C stops an answer, not the LLM
        )
        try:
            _check_loaded(found, process)
            return cls(found, process)
        except BaseException:
            process.close()
            raise

    @property
    def process_id(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def count(self, messages: Sequence[Message]) -> int:
        """Count the tokens of messages, with all that the chat template adds.

        Raises:
            InputError: A message holds U+0000 or a lone surrogate.
            EngineError: The LLM crashed.
        """
        return self._ask_with("render", messages).tokens

    def render(self, messages: Sequence[Message]) -> str:
        """Render messages as the text that the LLM reads.

        Raises:
            InputError: A message holds U+0000 or a lone surrogate.
            EngineError: The LLM crashed.
        """
        return self._ask_with("render", messages).text

    def generate(self, messages: Sequence[Message], max_new_tokens: int) -> Iterator[Piece]:
        """Generate an answer in pieces, the last with its `end`; to stop reading stops the LLM.

        Args:
            messages: The conversation.
            max_new_tokens: The longest answer.

        Raises:
            InputError: Messages and answer do not fit the window, or a message cannot be read.
            EngineError: The LLM crashed, or timed out.
        """
        if max_new_tokens < 1:
            raise InputError(f"An answer has at least 1 token, not {max_new_tokens}.")
        tokens = self._ask_with("start", messages).tokens
        if tokens + max_new_tokens > self.window:
            raise InputError(
                f"The prompt has {tokens} tokens, and up to {max_new_tokens} for the answer do "
                f"not fit behind it: the window is {self.window}."
            )
        for made in range(1, max_new_tokens + 1):
            reply = self._ask(job="next")
            if reply.end:
                yield Piece(reply.text, made - 1, "stop")
                return
            yield Piece(reply.text, made, "limit" if made == max_new_tokens else None)

    def complete(self, prompt: str, max_new_tokens: int = 512) -> str:
        """Return the whole answer to one message of a user.

        Raises:
            InputError: Prompt and answer do not fit the window, or the prompt cannot be read.
            EngineError: The LLM crashed, or timed out.
        """
        messages = [Message("user", prompt)]
        return "".join(piece.text for piece in self.generate(messages, max_new_tokens))

    def close(self) -> None:
        """Stop the child process."""
        self._process.close()

    def __enter__(self) -> MnnLlm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_template(self) -> tuple[frozenset[str], bool]:
        """Return the template's marks, and whether there is a template.

        Raises:
            UnsupportedModelError: The template loses or changes a user's message.
        """
        system, user = Message("system", _SYSTEM), Message("user", _USER)
        text = self.render([system, user])
        self._takes_system = _SYSTEM in text and _USER in text
        text = self.render([system, user])
        if _USER not in text:
            raise UnsupportedModelError(
                f"The chat template of the LLM in {self._folder.path} loses or garbles its "
                "messages in MNN's engine. Put another into llm_config.json, as "
                "jinja.chat_template."
            )
        frame = text.replace(_SYSTEM, "").replace(_USER, "")
        return frozenset(markers_in(frame)), bool(frame.strip())

    def _ask_with(self, job: str, messages: Sequence[Message]) -> _Reply:
        given = self._turns(messages)
        for _, content in given:
            _check_text(content)
        return self._ask(job=job, messages=given)

    def _ask(self, **request: Any) -> _Reply:
        return _checked(self._process.request(request, _Reply), self._process)

    def _turns(self, messages: Sequence[Message]) -> list[tuple[str, str]]:
        """Return roles and texts; one text where the template has no place for a system's."""
        texts = [_TAG.sub("< ", message.content) for message in messages]
        if self._takes_system:
            return [(message.role, text) for message, text in zip(messages, texts, strict=True)]
        return [("user", "\n\n".join(texts))]


def _checked(reply: _Reply | None, process: Worker) -> _Reply:
    if reply is None or reply.error:
        problem = "ended without an answer." if reply is None else reply.error
        raise EngineError(f"{process.name} {problem}{process.last_output()}")
    return reply


def _check_loaded(folder: LlmFolder, process: Worker) -> None:
    try:
        _checked(process.receive(_Reply), process)
    except EngineError as error:
        if folder.has_logits():
            raise
        raise UnsupportedModelError(
            f"{folder.model} gives no logits: it is an embedding model or another network, or is "
            "damaged. Give the folder of an LLM for MNN."
        ) from error


def _check_text(text: str) -> None:
    """Refuse texts that are not C strings of UTF-8, which the engine reads."""
    if "\0" in text:
        raise InputError("The prompt holds U+0000; take it out.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError("The prompt holds half a surrogate pair; it is not valid text.") from None
