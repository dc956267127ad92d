"""The report of an audit: its verdict, what was found by trying, and its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from minnow.audit.causes import Finding
from minnow.files import whole_file
from minnow.parity import Parity
from minnow.record_json import to_json

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1


class Verdict(str, Enum):
    """What an audit says of a model."""

    RIGHT = "right"
    ALONE = "right only alone"
    WRONG = "wrong"


_COLOURS = {Verdict.RIGHT: "brightgreen", Verdict.ALONE: "yellow", Verdict.WRONG: "red"}


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        verdict: Right, right only alone, or wrong.
        model: What the user named.
        revision: Its commit on the Hub, if it has one.
        file: The name of its MNN file.
        sha256: The hash of that file.
        numbers_sha256: The hash of the file beside it with its numbers; None where it holds them.
        source: The model that it was compared with.
        source_revision: The commit or version of that, if it has one.
        precision: How most of its numbers are stored: fp32, fp16, int8 and so on.
        inputs: Name -> meaning of each input.
        output: The output that was read, and what it gives.
        shape: The only (batch, tokens) that it takes; None where it takes any.
        pooling: How a vector is made of token states.
        normalize: Whether the source scales vectors to length 1.
        max_tokens: The longest text of the proof, in tokens.
        other_ids: Texts to which its tokenizer gives other token ids.
        causes: Likely causes of what is wrong.
        parity: The figures; None where it does not run.
        tools: Name -> version of what audited it.
        format: The version of this form.
    """

    verdict: Verdict
    model: str
    revision: str | None
    file: str
    sha256: str
    numbers_sha256: str | None
    source: str
    source_revision: str | None
    precision: str
    inputs: Mapping[str, str]
    output: str
    shape: tuple[int, int] | None
    pooling: str
    normalize: bool
    max_tokens: int
    other_ids: tuple[str, ...]
    causes: tuple[Finding, ...]
    parity: Parity | None
    tools: Mapping[str, str]
    format: int = FORMAT

    @property
    def badge(self) -> str:
        """A line of Markdown for a model card."""
        text, colour = self.verdict.value, _COLOURS[self.verdict]
        if self.parity is not None and self.verdict is Verdict.RIGHT:
            text += f", worst {self.parity.measure.value} {self.parity.worst.worst:.6f}"
        label = quote(text.replace("-", "--").replace("_", "__"))
        address = f"https://img.shields.io/badge/minnow%20audit-{label}-{colour}"
        return f"[![minnow audit: {text}]({address})](https://pypi.org/project/minnow-embed/)"

    def write(self, path: Path) -> None:
        """Write the report as JSON.

        Raises:
            OutputError: The file cannot be written.
        """
        import msgspec

        content = msgspec.json.format(msgspec.json.encode(self.to_json()), indent=2)
        with whole_file(path) as staged:
            staged.write_bytes(content + b"\n")

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, with the badge."""
        return {**to_json(self), "badge": self.badge}
