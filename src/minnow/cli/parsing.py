"""Conversion of a command's arguments: by typer, except for values that need no validation."""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

from minnow.terminal import EPILOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_UNDECIDED: Final = object()

Function = TypeVar("Function", bound="Callable[..., None]")


class Group(TyperGroup):
    """Commands below a name; plain values of its own options need no validation."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what stands before the name of a command."""
        _take_plain_values(self.get_params(ctx))
        return super().parse_args(ctx, args)


class Command(TyperCommand):
    """A command; plain values of its options and arguments need no validation."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse a command's arguments."""
        _take_plain_values(self.get_params(ctx))
        return super().parse_args(ctx, args)


class CommandLine(typer.Typer):
    """A typer app whose commands list the exit codes below their help."""

    def __init__(self, *, cls: type[Group] = Group, **settings: Any) -> None:
        """Take the class of the group, and other arguments of `typer.Typer`."""
        super().__init__(cls=cls, epilog=EPILOG, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        """Declare a function as a command, as typer does."""
        return super().command(name, cls=Command, epilog=EPILOG, **settings)


def _take_plain_values(parameters: Iterable[Any]) -> None:
    """Let parameters take plain values without typer's validation.

    From 0.29 on, typer validates every value by pydantic, a declared default and None too. To load
    pydantic takes a tenth of a second, a sixth of `minnow embed` for one text. All other values,
    and all values of other versions of typer, take typer's way.

    Args:
        parameters: Options and arguments that typer made.
    """
    for parameter in parameters:
        is_done = "process_value" in vars(parameter)  # a command may run again in one process
        if hasattr(parameter, "type_descriptor") and not is_done:
            parameter.process_value = partial(_process, parameter, parameter.process_value)


def _process(parameter: Any, by_typer: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    plain = _plain(parameter, value)
    if plain is _UNDECIDED:
        return by_typer(context, value)
    return plain if parameter.callback is None else parameter.callback(context, parameter, plain)


def _plain(parameter: Any, value: Any) -> Any:
    """Return what a value means, or _UNDECIDED where typer has to say it."""
    kind = parameter.type_descriptor.annotation
    if value is None:
        if parameter.required:
            return _UNDECIDED
        return () if parameter.multiple or parameter.nargs == -1 else None
    if value is parameter.default:
        return value
    if isinstance(value, str):
        return _of_text(kind, value, parameter.type_descriptor.parameter_info.parser)
    if kind == list[str] and value and all(isinstance(item, str) for item in value):
        return list(value)
    return _UNDECIDED


def _of_text(kind: Any, text: str, parser: Callable[[str], Any] | None) -> Any:
    if parser is not None:
        try:
            return parser(text)
        except ValueError:
            return _UNDECIDED  # typer parses it again, and words the error
    if kind is str:
        return text
    if get_origin(kind) is Literal and text in get_args(kind):
        return text
    if isinstance(kind, type) and issubclass(kind, Enum) and text in [c.value for c in kind]:
        return kind(text)
    return _UNDECIDED
