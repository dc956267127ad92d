"""The command that says what works on this machine."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minnow.caches import KINDS, cache_folder, list_cache
from minnow.cli.app import app, print_json, with_flags
from minnow.cli.options import Json
from minnow.engines import ENGINES
from minnow.errors import EngineError, MinnowError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DISTRIBUTION = "minnow-embed"
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+).*?(?:;.*extra == [\"'](?P<extra>[\w-]+)[\"'])?$")


@app.command("doctor")
def doctor_command(
    bundle: Annotated[
        Path | None,
        typer.Argument(
            metavar="BUNDLE",
            help="Try the engines on this bundle; by default on the smallest in the cache.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what works on this machine, and what is installed.

    It names the processor's features, the extras, the engines that work and agree, and the sizes
    of the cache. An engine agrees if it gives the vectors of the bundle's own on a few texts.
    Engines that are not installed are named with what they need. Nothing is downloaded.

    Example: minnow doctor bge-small.minnow
    """
    engines = dict(_try_engines(bundle or _smallest_cached()))
    facts = {**_machine(), **_packages(), "engines": engines, "cache": _cache()}
    if as_json:
        print_json(facts)
    else:
        _print(facts)
    if engines["mnn"].startswith("fails"):
        raise EngineError("MNN, the engine of bundles, does not work here; see above.")


def _print(facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        if not isinstance(value, dict):
            print(f"{name:12}  {value}")
            continue
        print(name)
        width = max(20, *map(len, value))
        for part, what in value.items():
            print(f"  {part:{width}}  {what}")


def _machine() -> dict[str, Any]:
    from minnow.bench.machine import this_machine

    machine = this_machine()
    return {
        "minnow": metadata.version(_DISTRIBUTION),
        "python": f"{machine.python}, {sys.executable}",
        "system": machine.system,
        "processor": machine.processor,
        "features": ", ".join(machine.instructions) or "none known",
        "cpus": machine.cpus,
        "memory": f"{machine.memory / 1e9:.1f} GB" if machine.memory else "unknown",
    }


def _packages() -> dict[str, Any]:
    """Return the versions of what embedding needs, and what each extra lacks."""
    core: dict[str, str] = {}
    extras: dict[str, list[str]] = {}
    for requirement in metadata.requires(_DISTRIBUTION) or ():
        found = _REQUIREMENT.match(requirement)
        assert found is not None
        name, extra = found["name"], found["extra"]
        if extra is None:
            core[name] = _version(name) or "missing"
        else:
            extras.setdefault(extra, []).extend([name] if _version(name) is None else [])
    return {
        "packages": core,
        "extras": {
            extra: f"missing: {', '.join(lacks)}" if lacks else "installed"
            for extra, lacks in extras.items()
        },
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _try_engines(bundle: Path | None) -> Iterator[tuple[str, str]]:
    """Open a bundle on each engine; yield what came of it."""
    from minnow.embedder import Embedder

    for name in ENGINES:
        if bundle is None:
            yield name, "not tried: there is no bundle in the cache; name one"
            continue
        try:
            with Embedder.open(bundle, engine=name) as embedder:
                embedder.encode("minnow")
                yield name, f"works: {with_flags(embedder.engine_reason)}"
        except MinnowError as error:
            yield name, f"fails: {with_flags(str(error))}"


def _smallest_cached() -> Path | None:
    from minnow.bundle import Bundle

    for entry in sorted(list_cache(), key=lambda entry: entry.size):
        if entry.kind == "bundle":
            try:
                Bundle.open(entry.path).check_kind(reranks=False)
            except MinnowError:
                continue
            return entry.path
    return None


def _cache() -> dict[str, str]:
    sizes = dict.fromkeys(KINDS, 0)
    for entry in list_cache():
        sizes[entry.kind] += entry.size
    shown = {kind: f"{size / 1e6:.1f} MB" for kind, size in sizes.items()}
    return {"folder": str(cache_folder()), **shown}
