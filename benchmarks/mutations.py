"""Measure how many small faults the tests catch: change one expression, run its tests, repeat.

    python benchmarks/mutations.py [--count 100] [--seed 0] [--tree FOLDER] [--plan FILE]
        [--only WORD] [--keep FILE]

Every mutant is a copy of the tree with one change in one file of the plan: a comparison flipped, a
boundary moved by one, a condition negated, `and` for `or`, a statement or `raise` removed, a number
changed, two arguments swapped. Only the tests that the plan names for that file run, with `-x`; a
mutant is killed if they fail or exceed their time limit. Messages, annotations and docstrings are
left alone. The plan is PLAN, or a file of lines "PATTERN: TEST ...", relative to the tree.
`--keep` writes a line per mutant while it runs, and skips the mutants that it holds already.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
PLAN: dict[str, tuple[str, ...]] = {
    "src/minnow/sealing.py": ("tests/test_sealing.py", "tests/test_bundle.py"),
    "src/minnow/bundle.py": ("tests/test_bundle.py", "tests/test_sealing.py"),
    "src/minnow/indexfile/*.py": ("tests/indexfile", "tests/search/test_indexing.py"),
    "src/minnow/search/writer.py": (
        "tests/search/test_indexing.py",
        "tests/search/test_records.py",
        "tests/indexfile",
    ),
    "src/minnow/proof/probes.py": ("tests/proof/test_probes.py",),
    "src/minnow/proof/retrieval.py": ("tests/proof/test_retrieval.py",),
    "src/minnow/proof/[!p_]*.py": (
        "tests/proof/test_faults.py",
        "tests/convert/test_author.py",
        "tests/convert/test_shapes.py",
    ),
    "src/minnow/convert/shapes.py": ("tests/convert/test_shapes.py",),
}
"""Patterns of files; a file has the tests of the first one that it matches."""

FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
SWAPPED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}  # fmt: skip
REMOVABLE = (ast.Raise, ast.AugAssign, ast.Delete, ast.Continue, ast.Break)


@dataclass(frozen=True)
class Mutant:
    """A change: the file, the place of the node in a walk of its tree, and what is done to it."""

    file: str
    line: int
    node: int
    change: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} [{self.node}] {self.change}"


def mutants_of(file: str, tree: ast.Module) -> Iterator[Mutant]:
    """Yield every mutant of a file, in the order of the walk."""
    skipped = _left_alone(tree)
    for number, node in enumerate(ast.walk(tree)):
        if id(node) not in skipped:
            for change in _changes(node):
                yield Mutant(file, getattr(node, "lineno", 0), number, change)


def mutated(tree: ast.Module, mutant: Mutant) -> str:
    """Return the source with the mutant's change."""
    changed = copy.deepcopy(tree)
    nodes = list(ast.walk(changed))
    node = nodes[mutant.node]
    match mutant.change.split(":")[0], node:
        case "compare", ast.Compare():
            node.ops[0] = FLIPPED[type(node.ops[0])]()
        case "negate", ast.If() | ast.While() | ast.IfExp():
            node.test = ast.UnaryOp(ast.Not(), node.test)
        case "and/or", ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case "operator", ast.BinOp():
            node.op = SWAPPED[type(node.op)]()
        case "number", ast.Constant():
            node.value = _other(node.value)
        case "swap arguments", ast.Call():
            node.args[:2] = node.args[1::-1]
        case "remove", ast.stmt():
            _replace(changed, node)
        case _:
            raise ValueError(f"{mutant} does not fit its tree.")
    return ast.unparse(ast.fix_missing_locations(changed))


def _changes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in FLIPPED:
        other = FLIPPED[type(node.ops[0])].__name__
        yield f"compare: {_short(node)} -> {other}"
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield f"negate: {_short(node.test)}"
    if isinstance(node, ast.BoolOp):
        yield f"and/or: {_short(node)}"
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPPED:
        yield f"operator: {_short(node)} -> {SWAPPED[type(node.op)].__name__}"
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        yield f"number: {node.value!r} -> {_other(node.value)!r}"
    if isinstance(node, ast.Call) and _swappable(node.args):
        yield f"swap arguments: {_short(node)}"
    if isinstance(node, REMOVABLE) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Yield)
    ):
        yield f"remove: {_short(node)}"


def _swappable(arguments: Sequence[ast.expr]) -> bool:
    first_two = arguments[:2]
    return (
        len(first_two) == 2
        and not any(isinstance(a, ast.Starred) for a in first_two)
        and ast.dump(first_two[0]) != ast.dump(first_two[1])
    )


def _other(value: object) -> bool | int | float:
    if isinstance(value, bool):
        return not value
    assert isinstance(value, int | float)
    return value + 1 if isinstance(value, int) else value * 2 or 0.5


def _short(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:70]


def _left_alone(tree: ast.Module) -> set[int]:
    """Return the nodes that no test could see changed: annotations, messages, imports for types."""
    found: set[int] = set()

    def leave(*roots: ast.AST | None) -> None:
        found.update(id(node) for root in roots if root is not None for node in ast.walk(root))

    for node in ast.walk(tree):
        match node:
            case ast.arg() | ast.AnnAssign():
                leave(node.annotation)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                leave(node.returns, *node.decorator_list)
            case ast.ClassDef():
                leave(*node.decorator_list)
            case ast.JoinedStr():
                leave(node)
            case ast.Raise():
                leave(node.exc, node.cause)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                leave(node)
    return found


def _replace(tree: ast.Module, old: ast.AST) -> None:
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if isinstance(statements, list) and any(statement is old for statement in statements):
                statements[[s is old for s in statements].index(True)] = ast.Pass()
                return


def drawn(trees: Mapping[str, ast.Module], count: int, seed: int) -> list[Mutant]:
    """Return a seeded sample; every file has the share of all its mutants, and at least two."""
    every = {file: list(mutants_of(file, tree)) for file, tree in trees.items()}
    total = sum(map(len, every.values()))
    found = []
    for file, mutants in every.items():
        share = max(2, round(count * len(mutants) / total))
        dice = random.Random(f"{seed} {Path(file).name}")
        found += sorted(dice.sample(mutants, min(share, len(mutants))), key=lambda m: m.line)
    return found


def run_tests(tree: Path, tests: Sequence[str], limit: float | None) -> tuple[bool, float]:
    """Return whether the tests pass within the limit in seconds, and how long they took."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    env = {**os.environ, "PYTHONPATH": str(tree / "src"), "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/h"}
    start = time.monotonic()
    with subprocess.Popen(
        command, cwd=tree, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as child:  # fmt: skip
        try:
            shown, _ = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            shown = ""
    if limit is None and child.returncode:
        sys.exit(f"The tests fail on the unchanged tree:\n{shown}")
    return child.returncode == 0, time.monotonic() - start


def main() -> None:
    """Run the sample, and print a line per mutant and the counts per file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="about how many mutants to run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tree", type=Path, default=ROOT)
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--only", default="", help="only files whose path holds this")
    parser.add_argument("--keep", type=Path, help="file of results")
    options = parser.parse_args()
    plan = {f: t for f, t in _plan(options.tree, options.plan).items() if options.only in f}
    trees = {f: ast.parse((options.tree / f).read_text(encoding="utf-8")) for f in plan}
    known = options.keep.read_text().splitlines() if options.keep and options.keep.exists() else []
    done = {line.split("  ", 1)[1]: line.split("  ", 1)[0] for line in known}
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        copied = Path(name) / "tree"
        ignored = shutil.ignore_patterns(".*", "__pycache__", "build", "*.egg-info")
        shutil.copytree(options.tree, copied, ignore=ignored)
        limits: dict[tuple[str, ...], float] = {}
        for mutant in drawn(trees, options.count, options.seed):
            if str(mutant) in done:
                continue
            tests = plan[mutant.file]
            if tests not in limits:
                limits[tests] = 60 + 5 * run_tests(copied, tests, None)[1]
            path = copied / mutant.file
            whole = path.read_text(encoding="utf-8")
            path.write_text(mutated(trees[mutant.file], mutant), encoding="utf-8")
            survived, _ = run_tests(copied, tests, limits[tests])
            path.write_text(whole, encoding="utf-8")
            done[str(mutant)] = "survived" if survived else "killed"
            line = f"{done[str(mutant)]}  {mutant}"
            print(line, flush=True)
            if options.keep:
                with options.keep.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
    for file in plan:
        found = [verdict for mutant, verdict in done.items() if mutant.startswith(f"{file}:")]
        print(f"{found.count('killed'):4} of {len(found):3} killed  {file}")
    found = [verdict for mutant, verdict in done.items() if mutant.split(":")[0] in plan]
    print(f"{found.count('killed'):4} of {len(found):3} killed")


def _plan(tree: Path, path: Path | None) -> dict[str, tuple[str, ...]]:
    """Return the tests of every file that a pattern of the plan matches."""
    plan = PLAN
    if path is not None:
        lines = [line.split(":", 1) for line in path.read_text().splitlines() if line.strip()]
        plan = {pattern.strip(): tuple(tests.split()) for pattern, tests in lines}
    found: dict[str, tuple[str, ...]] = {}
    for pattern, tests in plan.items():
        for file in sorted(tree.glob(pattern)):
            found.setdefault(file.relative_to(tree).as_posix(), tests)
    return found


if __name__ == "__main__":
    main()
