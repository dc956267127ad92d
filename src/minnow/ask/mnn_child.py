"""Program that runs MNN's LLM engine: a process of its own, because native code may crash or hang.

Usage: python mnn_child.py CONFIG.json CHANGES TEMPERATURE ROWS

CHANGES is JSON of settings to override. It answers the requests of a `minnow.workers.Worker`.
Jobs: "render" and "start" have "messages", pairs of role and text; "next" gives the next token of
what was started.
"""

import codecs
import json
import os
import sys
from typing import Any

import numpy as np

from minnow.mnn_modules import import_mnn_package
from minnow.workers import Parent

_LIKELIEST = 40


class RefusalError(Exception):
    """The engine cannot do a job; the message follows the LLM's name."""


class LlmEngine:
    """One LLM, and the answer that it is generating."""

    def __init__(self, config: str, changes: str, temperature: float, rows: int) -> None:
        llm = import_mnn_package("MNN.llm")
        self._status = llm.LlmStatus
        self._temperature, self._rows = temperature, rows
        self._random = np.random.default_rng()
        self._engine = llm.create(config, False)
        self._engine.set_config(json.loads(changes))
        self._engine.load()
        if self._engine.context.status == self._status.NOT_LOADED:
            raise RefusalError("cannot be loaded by MNN.")
        self._waiting: list[int] = []

    def answer(self, job: str, messages: list[list[str]]) -> dict[str, Any]:
        """Do a job, and return the reply; a refusal is its "error"."""
        try:
            if job == "next":
                return self.next()
            return {"render": self.render, "start": self.start}[job](messages)
        except RefusalError as error:
            return {"error": str(error)}

    def render(self, messages: list[list[str]]) -> dict[str, Any]:
        """Return the text that the chat template makes of messages, and its number of tokens."""
        text = self._engine.apply_chat_template(
            [{"role": role, "content": content} for role, content in messages]
        )
        return {"text": text, "tokens": len(self._engine.tokenizer_encode(text))}

    def start(self, messages: list[list[str]]) -> dict[str, Any]:
        """Clear the KV cache; the engine reads the messages with the first token."""
        self._engine.generate_init()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting = self._engine.tokenizer_encode(self.render(messages)["text"])
        if not self._waiting:
            raise RefusalError("got no tokens to read.")
        return {"tokens": len(self._waiting)}

    def next(self) -> dict[str, Any]:
        """Return the next token as whole characters; a stop token ends the answer."""
        token = self._pick(self._logits(self._waiting))
        self._waiting = [token]
        self._engine.context.update(current_token=token)
        if self._engine.stoped():
            return {"text": self._decoder.decode(b"", final=True), "end": True}
        return {"text": self._decoder.decode(self._bytes(token))}

    def _logits(self, tokens: list[int]) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """Return the logits after the last token: float32 of shape (vocabulary,)."""
        if max(tokens) >= self._rows:
            raise RefusalError(
                f"has a word table of {self._rows} rows, and none for token {max(tokens)}: it "
                "does not belong to the tokenizer."
            )
        result = self._engine.forward(tokens)
        status = self._engine.context.status
        if status == self._status.INTERNAL_ERROR:  # and to read the result would crash
            raise RefusalError("was not computed by MNN: its files do not fit each other.")
        rows = np.array(result.read(), np.float32)
        logits: np.ndarray[Any, np.dtype[np.float32]] = rows.reshape(-1, rows.shape[-1])[-1]
        if not np.isfinite(logits).all() or logits.min() == logits.max():  # NaN comes out clipped
            raise RefusalError("finds no token likelier than another: its files may be damaged.")
        return logits

    def _pick(self, logits: "np.ndarray[Any, np.dtype[np.float32]]") -> int:
        """Return the likeliest token; with a temperature, sample one of the likeliest."""
        if not self._temperature:
            return int(logits.argmax())
        best = np.argsort(logits)[-_LIKELIEST:]
        weights = np.exp((logits[best].astype(float) - logits[best[-1]]) / self._temperature)
        return int(self._random.choice(best, p=weights / weights.sum()))

    def _bytes(self, token: int) -> bytes:
        try:
            text: str = self._engine.tokenizer_decode(token)
        except UnicodeDecodeError as part:  # of a character
            return part.object
        return text.encode()


def main() -> None:
    """Answer requests until there are no more."""
    parent = Parent()
    config, changes, temperature, rows = sys.argv[1:]
    try:
        engine = LlmEngine(config, changes, float(temperature), int(rows))
    except RefusalError as error:
        parent.reply({"error": str(error)})
        return
    parent.reply({})
    for request in parent.requests(dict):
        parent.reply(engine.answer(request["job"], request.get("messages", [])))


if __name__ == "__main__":
    main()
    os._exit(0)  # MNN's destructors crash in some orders
