"""Errors that minnow raises on purpose, in one tree.

```
MinnowError                    exit code 1
├── SourceError            3   the model named by the user
│   ├── SourceNotFoundError    no such model, revision, folder, package or file
│   ├── NetworkError           the Hub did not answer, or offline and not cached
│   ├── UnsupportedModelError  found and read, but not something minnow can convert
│   ├── AmbiguousModelError    the source leaves a choice open; names the option to give
│   └── CheckpointError        tensors missing, left over, misshapen, NaN or inf
├── ConversionError        4   the converter failed, crashed or hung; names its log
├── ParityError            5   converted, but not the same vectors; names the worst text
├── BundleError            6   not a bundle, a changed file, or one from a newer minnow
├── EngineError            7   the runtime refused a model or a batch
│   └── BatchSizeError         too large for the runtime, or for the memory that is left
├── InputError             8   a text or an input file that cannot be embedded
├── OutputError            9   the destination cannot be written
├── MissingExtraError     10   an optional dependency is absent; names the extra
├── IndexFileError        11   not an index, damaged, of another model, or from a newer minnow
└── ServeError            12   the server cannot be set up, or cannot listen
```

A message is one sentence or two: what happened, to which input, and what to do next. A parameter of
the library is named in backticks, `name=` or `name=value`; the terminal shows it as a flag.
"""

from __future__ import annotations

_LONGEST, _START, _END = 3000, 2400, 400


class MinnowError(Exception):
    """Root of all errors that minnow raises on purpose; `exit_code` is the command line's."""

    exit_code = 1

    def __str__(self) -> str:
        """Return the message; one that quotes something endless is cut in its middle."""
        message = super().__str__()
        if len(message) <= _LONGEST:
            return message
        return f"{message[:_START]} [...] {message[-_END:]}"


class SourceError(MinnowError):
    """The model named by the user cannot be used."""

    exit_code = 3


class SourceNotFoundError(SourceError):
    """The model, revision, folder, package or file does not exist."""


class NetworkError(SourceError):
    """The Hub did not answer, or the network is forbidden and the model is not cached."""


class UnsupportedModelError(SourceError):
    """The model was found and read, but is not one that minnow can convert."""


class AmbiguousModelError(SourceError):
    """The source leaves a choice open; the message names the option that settles it."""


class CheckpointError(SourceError):
    """Tensors are missing, left over, misshapen, or hold NaN or infinity."""


class ConversionError(MinnowError):
    """The converter failed, crashed or hung; the message carries the end of its log."""

    exit_code = 4


class ParityError(MinnowError):
    """The vectors are not those of the reference.

    Attributes:
        worst: The lowest cosine of a probe text; None if no text was compared.
    """

    exit_code = 5

    def __init__(self, message: str, worst: float | None = None) -> None:
        super().__init__(message)
        self.worst = worst


class BundleError(MinnowError):
    """A folder is not a bundle, a file in it has changed, or it is from a newer minnow."""

    exit_code = 6


class EngineError(MinnowError):
    """The runtime refused a model or a batch."""

    exit_code = 7


class BatchSizeError(EngineError):
    """A batch is too large for the runtime, or for the memory that is left."""


class InputError(MinnowError, ValueError):
    """A text or an input file cannot be embedded; the message says which one and why."""

    exit_code = 8


class OutputError(MinnowError):
    """The destination cannot be written."""

    exit_code = 9


class MissingExtraError(MinnowError):
    """An optional dependency is absent; the message names the extra to install."""

    exit_code = 10

    def __init__(self, needed_for: str, extra: str) -> None:
        super().__init__(
            f"{needed_for} needs an optional dependency that is not installed. "
            f"Install it with: pip install 'minnow-embed[{extra}]'"
        )
        self.needed_for = needed_for
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        """Pickle the arguments: another process calls `__init__` again."""
        return type(self), (self.needed_for, self.extra)


class IndexFileError(MinnowError):
    """A file is not an index, is damaged, of another model, or from a newer minnow."""

    exit_code = 11


class ServeError(MinnowError):
    """A setting of the server is wrong, or it cannot listen at its address."""

    exit_code = 12
