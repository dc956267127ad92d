"""The library and its program, compiled once for all tests of them."""

from __future__ import annotations

import os

import pytest
from fakes.native import (
    CORE,
    PROGRAM,
    SANITIZE,
    CMakeBuild,
    Program,
    can_sanitize,
    compile_program,
    link_mnn,
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
def bridge(tmp_path_factory: pytest.TempPathFactory) -> CMakeBuild:
    """The library without MNN, its programs and the bridge for Java; of all workers together."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    return CMakeBuild(shared / "bridge")


@pytest.fixture(scope="session")
def core_library(bridge: CMakeBuild) -> Library:
    """The shared library without MNN: what needs no model."""
    return Library(bridge.make("minnow") / "libminnow.so")
