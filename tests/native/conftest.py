"""The library and its program, compiled once for all tests of them."""

from __future__ import annotations

import pytest
from fakes.native import (
    C_API,
    CORE,
    INDEX,
    NATIVE,
    PROGRAM,
    SANITIZE,
    TOKENIZER,
    Program,
    can_sanitize,
    compile_objects,
    compile_program,
    link_mnn,
    run_tool,
    with_mnn,
)
from fakes.native_api import Library


@pytest.fixture(scope="session")
def tokenizer_program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The program without MNN, by plain g++; with sanitizers where there are any."""
    folder = tmp_path_factory.mktemp("tokenizer")
    flags = SANITIZE if can_sanitize(folder) else ()
    return Program(compile_program(folder / "minnow-embed", PROGRAM, *flags))


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The whole program."""
    path = tmp_path_factory.mktemp("core") / "minnow-embed"
    return Program(compile_program(path, (*PROGRAM, *CORE), *with_mnn(), after=link_mnn()))


@pytest.fixture(scope="session")
def core_library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The shared library without MNN: what needs no model."""
    path = tmp_path_factory.mktemp("library") / "libminnow.so"
    sources = [NATIVE / name for name in (*TOKENIZER, *INDEX, *C_API)]
    flags = ("-fPIC", "-fvisibility=hidden")
    made = compile_objects(sources, *flags)
    run_tool("g++", "-shared", *made, "-o", str(path), "-lsqlite3", "-Wl,--no-undefined")
    return Library(path)
