from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from minnow import cli, errors, terminal
from minnow.errors import BundleError, InputError, MinnowError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Drawn(NamedTuple):
    parent: str | None
    exit_code: int


def drawn() -> dict[str, Drawn]:
    """Read the tree in the docstring of minnow.errors: a class without a code has its parent's."""
    tree: dict[str, Drawn] = {}
    above: list[str] = []
    for line in re.findall(r"^[│├└─ ]*\w+Error\b.*$", str(errors.__doc__), re.MULTILINE):
        branch, name, code = re.findall(r"^([│├└─ ]*)(\w+)(?: +(?:exit code )?(\d+))?", line)[0]
        above = [*above[: len(branch) // 4], name]
        parent = above[-2] if above[1:] else None
        tree[name] = Drawn(parent, int(code) if code else tree[str(parent)].exit_code)
    return tree


def written(cls: type[MinnowError] = MinnowError) -> dict[str, Drawn]:
    """Return the error classes that exist, from the root downwards."""
    parents = [base.__name__ for base in cls.__bases__ if issubclass(base, MinnowError)]
    tree = {cls.__name__: Drawn(parents[0] if parents else None, cls.exit_code)}
    for subclass in cls.__subclasses__():
        tree |= written(subclass)
    return tree


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    assert drawn() == written()


def test_what_the_proof_found_crosses_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(errors.ParityError("Refused.", worst=0.25)))
    assert (str(error), error.worst) == ("Refused.", 0.25)


def test_every_error_of_the_module_hangs_on_the_tree() -> None:
    defined = {name for name, kind in vars(errors).items() if isinstance(kind, type)}

    assert defined == set(written())


def test_every_branch_has_an_exit_code_of_its_own() -> None:
    branches: list[type[MinnowError]] = [MinnowError, *MinnowError.__subclasses__()]
    codes = [cls.exit_code for cls in branches]

    assert len(set(codes)) == len(codes)
    assert not {0, 2} & set(codes), "0 is success, 2 is a mistake on the command line"


@pytest.mark.parametrize("cls", [errors.SourceError, *errors.SourceError.__subclasses__()])
def test_errors_of_a_branch_share_its_exit_code(cls: type[MinnowError]) -> None:
    assert cls.exit_code == errors.SourceError.exit_code


def test_a_bad_text_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="too long"):
        raise InputError("too long")


def test_a_missing_extra_says_what_to_install() -> None:
    error = MissingExtraError("Reading a checkpoint", "convert")

    assert error.extra == "convert"
    assert str(error).startswith("Reading a checkpoint needs an optional dependency")
    assert str(error).endswith("pip install 'minnow-embed[convert]'")


@pytest.mark.parametrize("name", written())
def test_an_error_survives_the_way_to_another_process(name: str) -> None:
    arguments = ("this", "convert") if name == "MissingExtraError" else ("this",)
    error = getattr(errors, name)(*arguments)

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error)


LIBRARY = Path(errors.__file__).parent
OTHERS = ("cli", "terminal.py", "device/check.py", "device/folder.py")
"""The command line itself, a program with flags of its own and its page, and a data set."""


def texts_of_the_library() -> Iterator[tuple[Path, str]]:
    """Yield every string with a space in it that is no docstring, and its file."""
    for path in sorted(LIBRARY.rglob("*.py")):
        if path.relative_to(LIBRARY).as_posix().startswith(OTHERS):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and id(node) not in docs else None
            if isinstance(text, str) and " " in text:
                yield path, text


def test_the_library_names_no_flag_of_the_command_line() -> None:
    found = [(path.name, text) for path, text in texts_of_the_library()
             if re.search(r"(^|[\s(])--[a-z]", text)]  # fmt: skip

    assert found == []


def test_every_parameter_that_a_message_names_has_a_flag() -> None:
    named = {
        name
        for _, text in texts_of_the_library()
        for name, _ in re.findall(r"`(\w+)(=|\(\)`)", text)
    }

    shown = terminal.render_flags("".join(f"`{name}=` " for name in named), cli.app)

    assert {"pooling", "source", "remove_paths"} <= named
    assert "`" not in shown


def test_a_message_that_quotes_something_endless_is_cut_in_its_middle() -> None:
    message = str(BundleError(f"The name is {'x' * 100_000}. Convert it again."))
    assert len(message) < 3000
    assert message.startswith("The name is xxx")
    assert message.endswith("xxx. Convert it again.")
