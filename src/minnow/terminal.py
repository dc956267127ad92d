"""Start and end of a command: its streams, its errors, its exit code."""

from __future__ import annotations

import importlib
import io
import os
import re
import sys
import warnings
from contextlib import contextmanager, redirect_stdout
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from minnow.errors import EngineError, MinnowError, OutputError
from minnow.low_memory import EXIT_CODE, explain_memory
from minnow.signals import ignore_requests, stop_on_request, stop_was_requested

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

EPILOG = (
    "Exit codes: 0 done, 1 a fault of minnow's own, 2 wrong usage, 3 the model cannot be used, "
    "4 the converter failed, 5 refused by the proof, 6 not an intact bundle, 7 the runtime failed, "
    "8 a text cannot be embedded, 9 the output cannot be written, 10 an extra is missing, "
    "11 not an index that can be used, 12 the server cannot listen, 130 stopped, 141 nobody reads "
    "the output any more. The answer goes to stdout, all else to stderr."
)
COMPLETE = "_MINNOW_COMPLETE"
"""The variable by which a shell asks what could come next on a command line."""
_USAGE, _STOPPED, _UNREAD = 2, 130, 141
_OF_PYDANTIC = ": Value error, "
"""What typer puts before the reason why a value is refused, where it asks pydantic."""
_PARAMETER = re.compile(r"`(\w+)(?:=([^`\n]*)|\(\))`")
"""How the library names a parameter, with or without a value, or a function."""

# Typer has its own copy of Click or uses Click's, by version: this is UsageError of either.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def run(app: typer.Typer) -> NoReturn:
    """Run a command line on the process's arguments; see EPILOG for the exit codes."""
    _claim_stdout()
    if COMPLETE in os.environ:
        _complete(app)
    stop_on_request()
    code = outcome(app, sys.argv[1:])
    ignore_requests()
    sys.exit(code)


def _complete(app: typer.Typer) -> NoReturn:
    """Answer the script that `--install-completion` gave to the shell."""
    importlib.import_module("typer.completion").completion_init()
    typer.main.get_command(app).main(args=[], prog_name="minnow", complete_var=COMPLETE)
    sys.exit(0)


def silence_progress() -> None:
    """Print only warnings and errors on stderr, until the command ends."""
    sys.stderr = _WarningsAndErrors(sys.stderr)


class _WarningsAndErrors(io.TextIOBase):
    """A stream that passes lines of warnings and errors on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._line = stream, ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if line.startswith(("warning: ", "error: ")):
                self._stream.write(line + "\n")
                self._stream.flush()
        return len(text)


def outcome(app: typer.Typer, arguments: list[str]) -> int:
    """Run a command within this process, errors and warnings as lines on stderr.

    Returns:
        The exit code.
    """
    stderr = sys.stderr
    try:
        with warnings.catch_warnings(), _answering():
            warnings.showwarning = lambda message, _, filename, *__, **___: print(
                f"warning: {_of_minnow(str(message), filename, app)}", file=sys.stderr
            )
            return _invoke(app, arguments)
    except BaseException as error:
        if stop_was_requested() or isinstance(error, (KeyboardInterrupt, typer.Abort)):
            ignore_requests()
            return _fail("stopped; nothing was left half done.", _STOPPED)
        return _explain(error, app)
    finally:
        sys.stderr = stderr


def _explain(error: BaseException, app: typer.Typer) -> int:
    if isinstance(error, BrokenPipeError):
        return _UNREAD
    if isinstance(error, UsageError):
        return _fail(_usage(error), _USAGE)
    message = explain_memory(error)
    if message is not None and not isinstance(error, EngineError):
        return _fail(message, EXIT_CODE)
    if isinstance(error, MinnowError):
        return _fail(render_flags(str(error), app), error.exit_code)
    raise error


def _of_minnow(message: str, filename: str, app: typer.Typer) -> str:
    """Return a warning, with flags in place of parameters if minnow raised it."""
    ours = filename.startswith(os.path.dirname(__file__))  # noqa: PTH120
    return render_flags(message, app) if ours else message


def render_flags(message: str, app: typer.Typer) -> str:
    """Replace the parameters that a message of the library names by flags of the command line.

    A parameter is `name=`, `name=value` or `name()` in backticks. Its flag is that of the command
    which runs, else of the first command that has such an option; others are left as they are.
    """
    if _PARAMETER.search(message) is None:
        return message
    program = _program(app, len(app.registered_commands))

    def flag(found: re.Match[str]) -> str:
        option = _find_option(found[1], program, sys.argv[1:])
        if option is None:
            return found[0]
        if not option.is_flag:
            return f"{option.opts[0]} {found[2] or ''}".rstrip()
        flags = option.secondary_opts if found[2] == "False" else option.opts
        return str(flags[0]) if flags else found[0]

    return _PARAMETER.sub(flag, message)


def _find_option(name: str, program: Any, arguments: Sequence[str]) -> Any | None:
    """Return the option of a parameter's name: the running command's, else the first there is."""
    running = program
    for argument in arguments:
        running = getattr(running, "commands", {}).get(argument, running)
    commands = [running, program]
    for command in commands:
        for option in command.params:
            if option.param_type_name == "option" and option.name == name:
                return option
        commands += getattr(command, "commands", {}).values()
    return None


@cache
def _program(app: typer.Typer, _count: int) -> Any:
    """Build the commands of an app, anew where more have been added; all of them take 0.1 s."""
    return typer.main.get_command(app)


def _invoke(app: typer.Typer, arguments: list[str]) -> int:
    """Run a command; without arguments print the help on stderr."""
    command = _program(app, len(app.registered_commands))
    answers = redirect_stdout(sys.stdout if arguments else sys.stderr)
    try:
        with answers, command.make_context("minnow", arguments.copy() or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code if arguments else _USAGE
    return 0


def _usage(error: Any) -> str:
    path = error.ctx.command_path if error.ctx else "minnow"
    message = error.format_message().replace(_OF_PYDANTIC, ": ", 1)
    return f"{message.rstrip('.')}. See `{path} --help`."


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _claim_stdout() -> None:
    """Keep the real stdout for results, and send what C code prints there to stderr.

    Replace a closed standard stream by /dev/null, so that no file gets its number.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    answers = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(answers, "w", encoding="utf-8", errors="surrogateescape")


@contextmanager
def _answering() -> Iterator[None]:
    """Flush stdout at the end, and raise its failure as an error.

    Raises:
        OutputError: Stdout cannot be written, such as a full disk.
        BrokenPipeError: The reader of stdout closed it.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"Cannot write standard output: {error.strerror}.") from error
