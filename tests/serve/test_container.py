"""The image and the compose file: who they run as, what they may write, what they read."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.extra("serve")

FOLDER = Path(__file__).parents[2] / "examples/serve"
ROOT = FOLDER.parents[1]


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, in order."""
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [(line.split()[0], line.split(None, 1)[1]) for line in lines if line.strip()]


def service() -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"][
        "minnow"
    ]


def variables() -> set[str]:
    import typer

    from minnow.cli import app

    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {str(option.envvar) for option in command.params}


def test_the_image_runs_as_a_user_of_its_own_and_is_checked() -> None:
    found = instructions()
    last = max(i for i, (name, _) in enumerate(found) if name == "FROM")
    stage = dict(found[last:])
    assert int(stage["USER"]) > 0
    assert "/health/ready" in stage["HEALTHCHECK"]
    assert stage["ENTRYPOINT"] == '["minnow", "serve"]'
    names = [name for name, _ in found]
    assert names.index("USER") > max(i for i, name in enumerate(names) if name == "RUN")


def test_the_image_has_all_that_the_wheel_is_built_of() -> None:
    copied = [part for name, rest in instructions() if name == "COPY" for part in rest.split()]
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    for name in ("pyproject.toml", "README.md", "LICENSE", "src"):
        assert name in copied
        assert f"!{name}" in ignored
        assert (ROOT / name).exists()


def test_the_service_may_write_nothing_but_its_scratch_folder() -> None:
    found = service()
    assert found["read_only"] is True
    assert found["tmpfs"] == ["/tmp"]
    assert found["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in found["security_opt"]
    assert all(volume.endswith(":ro") for volume in found["volumes"])
    assert all(port.startswith("127.0.0.1:") for port in found["ports"])
    cache = re.search(r"MINNOW_CACHE=(\S+)", dict(instructions())["ENV"])
    assert cache is not None
    assert cache[1].startswith("/tmp/")


def test_every_variable_is_read() -> None:
    named = re.findall(r"MINNOW_\w+", str(instructions()) + str(service()))
    assert {*named} - variables() == {"MINNOW_CACHE"}


@pytest.mark.tool("hadolint")
def test_the_linter_of_dockerfiles_finds_nothing() -> None:
    command = [str(shutil.which("hadolint")), str(FOLDER / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
