"""The built-in set: every question can be answered, and its answer is not in it."""

from __future__ import annotations

import ast
import pydoc
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest

from minnow.datasets import builtin
from minnow.datasets.builtin import builtin_dataset, read_questions
from minnow.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.datasets import Dataset

QUESTIONS = read_questions()
MODULE = '''
"""The module's own docstring is not a document, however long it may be."""

def listed(x):
    """
    Something that is said of it,
        indented.
    """
    def inside():
        """A function inside of a function is no document, nor its class."""

def thirty_nine():
    """Thirty-nine characters are not enough.."""

def forty():
    """Forty characters are just enough for it."""

def _private():
    """What begins with an underscore is not for users of the module."""

class Shown:
    """A class has a docstring as its functions have, and both count."""

    async def method(self):
        """Something said of the method, which is asynchronous, by the way."""

    def repeats(self):
        """Something that is said of it,
                indented."""

    def __len__(self):
        """Nor does anyone search for what begins with two underscores."""

class _Hidden:
    def method(self):
        """A method of a class that is private is private, whatever its name."""

if forty:
    def by_platform():
        """Defined on some platforms only; the first definition is taken."""
else:
    def by_platform():
        """Defined on other platforms only; this definition is not taken."""

try:
    pass
except ImportError:
    def fallback():
        """Where an import fails, a module may define something itself."""
'''


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return builtin_dataset()


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the standard library, in which `fish` is looked for."""
    monkeypatch.setattr(sysconfig, "get_path", {"stdlib": str(tmp_path)}.__getitem__)
    monkeypatch.setattr(builtin, "_MODULES", ("fish",))
    return tmp_path


class TestTheSet:
    def test_it_is_large_enough_to_compare_models(self, dataset: Dataset) -> None:
        assert len(dataset.documents) >= 300
        assert len(dataset.queries) >= 60

    def test_its_name_has_the_version_of_python(self, dataset: Dataset) -> None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        assert dataset.name == f"python-{version}-docstrings"

    def test_a_text_is_the_name_and_the_docstring(self, dataset: Dataset) -> None:
        for name, text in dataset.documents.items():
            assert text.startswith(f"{name}: ")
            assert len(text) >= len(name) + 2 + 40

    def test_no_two_docstrings_are_the_same(self, dataset: Dataset) -> None:
        docstrings = [
            " ".join(text.removeprefix(f"{name}: ").split())
            for name, text in dataset.documents.items()
        ]
        assert len(set(docstrings)) == len(docstrings)

    def test_each_answer_is_a_name_that_can_be_used(self) -> None:
        for name in {answer for _, answers in QUESTIONS for answer in answers}:
            assert pydoc.locate(name), name


class TestTheQuestions:
    def test_all_answers_are_documents(self, dataset: Dataset) -> None:
        for number, (question, answers) in enumerate(QUESTIONS, start=1):
            assert dataset.queries[f"q{number}"] == question
            assert dataset.qrels[f"q{number}"] == dict.fromkeys(answers, 1)
            assert set(answers) <= set(dataset.documents)

    def test_no_question_contains_its_answer(self) -> None:
        for question, answers in QUESTIONS:
            for answer in answers:
                assert answer.rsplit(".", 1)[1].lower() not in question.lower()

    def test_questions_and_answers_are_unique(self) -> None:
        questions = [question.lower() for question, _ in QUESTIONS]
        assert len(set(questions)) == len(questions)
        assert all(len(set(answers)) == len(answers) for _, answers in QUESTIONS)

    def test_no_two_questions_have_the_same_answers(self) -> None:
        answers = [tuple(answers) for _, answers in QUESTIONS]
        assert len(set(answers)) == len(answers)


class TestCollecting:
    def test_public_definitions_with_docstrings(
        self, library: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (library / "fish.py").write_text(MODULE, encoding="utf-8")
        monkeypatch.setattr(builtin, "read_questions", lambda: (("how much", ("fish.forty",)),))
        assert builtin_dataset().documents == {
            "fish.listed": "fish.listed: Something that is said of it,\n    indented.",
            "fish.forty": "fish.forty: Forty characters are just enough for it.",
            "fish.Shown": "fish.Shown: A class has a docstring as its functions have, "
            "and both count.",
            "fish.Shown.method": "fish.Shown.method: Something said of the method, "
            "which is asynchronous, by the way.",
            "fish.by_platform": "fish.by_platform: Defined on some platforms only; "
            "the first definition is taken.",
            "fish.fallback": "fish.fallback: Where an import fails, "
            "a module may define something itself.",
        }

    def test_a_module_may_be_a_package(
        self, library: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (library / "fish").mkdir()
        (library / "fish" / "__init__.py").write_text(MODULE, encoding="utf-8")
        monkeypatch.setattr(builtin, "read_questions", lambda: (("how much", ("fish.forty",)),))
        assert "fish.Shown.method" in builtin_dataset().documents

    def test_a_module_may_be_written_in_several_files(
        self, library: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sentence = '"""The definition of {} in the file {}, and of no other."""'
        for file, names in (("_pyfish", ("one", "two")), ("fish", ("two", "three"))):
            text = "".join(
                f"def {name}():\n    {sentence.format(name, file)}\n\n" for name in names
            )
            (library / f"{file}.py").write_text(text, encoding="utf-8")
        monkeypatch.setitem(builtin._DEFINED_IN, "fish", ("_pyfish", "absent", "fish"))
        monkeypatch.setattr(builtin, "read_questions", lambda: (("which", ("fish.one",)),))
        documents = builtin_dataset().documents
        assert list(documents) == ["fish.one", "fish.two", "fish.three"]
        assert "_pyfish" in documents["fish.two"]

    def test_a_question_that_cannot_be_answered_is_left_out(
        self, library: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (library / "fish.py").write_text(MODULE, encoding="utf-8")
        questions = (
            ("gone", ("fish.gone",)),
            ("how much", ("fish.gone", "fish.forty")),
        )
        monkeypatch.setattr(builtin, "read_questions", lambda: questions)
        dataset = builtin_dataset()
        assert dataset.queries == {"q2": "how much"}
        assert dataset.qrels == {"q2": {"fish.forty": 1}}

    @pytest.mark.usefixtures("library")
    def test_a_python_without_sources(self) -> None:
        with pytest.raises(InputError, match="without the sources of its library"):
            builtin_dataset()

    def test_the_examples_lengths_are_as_named(self) -> None:
        lengths = {
            node.name: len(ast.get_docstring(node) or "")
            for node in ast.parse(MODULE).body
            if isinstance(node, ast.FunctionDef)
        }
        assert lengths["thirty_nine"] == 39
        assert lengths["forty"] == 40


def test_it_needs_no_docstrings_at_run_time(dataset: Dataset) -> None:
    """With -OO Python strips them; the sources still have them, in every process the same."""
    code = "from minnow.datasets import builtin_dataset; print(builtin_dataset().fingerprint)"
    run = subprocess.run(
        [sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == dataset.fingerprint
