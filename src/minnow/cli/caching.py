"""The commands around the cache: what it holds, and removing that."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from minnow.caches import CacheEntry, cache_folder, list_cache, remove_entry
from minnow.cli.app import app, print_json
from minnow.cli.options import Json
from minnow.cli.parsing import CommandLine
from minnow.errors import BundleError, InputError
from minnow.terminal import UsageError

_DAY = 24 * 3600

cache_app = CommandLine(help="Show and clear what minnow keeps to make only once.")
app.add_typer(cache_app, name="cache", rich_help_panel=None)


@cache_app.command("list")
def list_command(as_json: Json = False) -> None:
    """List what the cache holds, with sizes and ages.

    Bundles are named with their models, beside vectors and models in other forms. The folder is
    $MINNOW_CACHE, or minnow in the user's cache. Models that were downloaded from the Hub lie in
    the cache of huggingface_hub: `hf cache` lists them.
    """
    entries = list_cache()
    if as_json:
        print_json([_facts(entry) for entry in entries])
        return
    print(f"{cache_folder()}", file=sys.stderr)
    for entry in entries:
        days = int((time.time() - entry.used) // _DAY)
        print(f"{entry.size / 1e6:9.1f} MB  {days:4} days  {entry.kind:7}  {_described(entry)}")
    print(f"{sum(entry.size for entry in entries) / 1e6:9.1f} MB in all", file=sys.stderr)


@cache_app.command("prune")
def prune_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Names of `minnow cache list`, or of models."),
    ] = None,
    unused: Annotated[
        int | None,
        typer.Option(min=0, metavar="DAYS", help="Remove what was not used for so many days."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove everything.")] = False,
) -> None:
    """Remove by name, what is not used any more, or all.

    It is made again when it is needed. Processes that have a bundle open keep it.

    Example: minnow cache prune BAAI/bge-small-en-v1.5

    Example: minnow cache prune --unused 30
    """
    if (bool(names) + everything + (unused is not None)) != 1:
        raise UsageError("Give names, --unused or --all.")
    entries = list_cache()
    chosen = [entry for entry in entries if everything or _is_unused(entry, unused)]
    for name in names or ():
        found = [entry for entry in entries if name in (entry.name, _model(entry))]
        if not found:
            raise InputError(f"The cache holds nothing named {name}; see `minnow cache list`.")
        chosen += [entry for entry in found if entry not in chosen]
    for entry in chosen:
        remove_entry(entry)
        print(f"{entry.size / 1e6:9.1f} MB  {entry.kind:7}  {entry.name}")
    print(f"{sum(entry.size for entry in chosen) / 1e6:9.1f} MB removed", file=sys.stderr)


def _is_unused(entry: CacheEntry, days: int | None) -> bool:
    return days is not None and time.time() - entry.used >= days * _DAY


def _facts(entry: CacheEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "model": _model(entry),
        "size_bytes": entry.size,
        "used": int(entry.used),
        "path": str(entry.path),
    }


def _described(entry: CacheEntry) -> str:
    model = _model(entry)
    return entry.name if model is None else f"{entry.name}  ({model})"


def _model(entry: CacheEntry) -> str | None:
    """Return the model that a bundle was converted from, if the bundle says."""
    from minnow.bundle import Bundle

    if entry.kind != "bundle":
        return None
    try:
        return Bundle.open(entry.path).manifest.source.name
    except BundleError:
        return None
