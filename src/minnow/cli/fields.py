"""Options of a command, made from the fields of dataclasses."""

from __future__ import annotations

import inspect
from dataclasses import Field, field, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from collections.abc import Callable


def option(default: Any, help_: str, *names: str, **more: Any) -> Any:
    """Declare a dataclass field that becomes a command-line option.

    Args:
        default: Its value where the option is not given.
        help_: One line.
        *names: Its names on the command line; by default made from the field's.
        **more: Other arguments of `typer.Option`.
    """
    return field(default=default, metadata={"help": help_, "names": names, **more})


def options_from_fields(
    command: Callable[..., None], *, environment: str | None = None
) -> Callable[..., None]:
    """Replace each parameter of a command that is a dataclass by an option for every field.

    With an `environment` such as MINNOW, each option is also a variable: MINNOW_MAX_INPUTS.

    A field's metadata are the arguments of `typer.Option`, such as `help` and `min`; a field
    without metadata is not an option. A tuple becomes a repeatable option, without the final s.
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type[Any], dict[str, str]]] = {}
    signature = inspect.signature(command, eval_str=True)
    for parameter in signature.parameters.values():
        kind = parameter.annotation
        if not is_dataclass(kind):
            parameters.append(parameter)
            continue
        assert isinstance(kind, type)
        types = get_type_hints(kind)
        options = {
            f.name: _parameter(f, types[f.name], environment) for f in fields(kind) if f.metadata
        }
        groups[parameter.name] = kind, {name: option.name for name, option in options.items()}
        parameters += options.values()

    def run(**given: Any) -> None:
        for name, (kind, options) in groups.items():
            values = {field: given.pop(option) for field, option in options.items()}
            given[name] = kind(**{
                field: tuple(value) if isinstance(value, list) else value
                for field, value in values.items()
            })  # fmt: skip
        command(**given)

    run.__doc__ = command.__doc__
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def _parameter(field: Field[Any], kind: Any, environment: str | None) -> inspect.Parameter:
    name, default, more = field.name, field.default, dict(field.metadata)
    if isinstance(default, tuple):
        name, default, kind = name.removesuffix("s"), list(default), list[str]
    if environment is not None:
        more["envvar"] = f"{environment}_{name.upper()}"
    annotation = Annotated[kind, typer.Option(*more.pop("names", ()), **more)]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=annotation)
