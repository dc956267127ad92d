"""The command that serves bundles over HTTP."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from minnow.cli.app import app
from minnow.cli.bundles import EngineName
from minnow.cli.fields import options_from_fields
from minnow.engines import EngineOptions, MemoryMode
from minnow.errors import MissingExtraError, ServeError
from minnow.serve.settings import Limits, Settings
from minnow.terminal import EPILOG

_MNN = EngineName("mnn")


@app.command("serve", epilog=EPILOG, context_settings={"auto_envvar_prefix": "MINNOW"})
@options_from_fields
def serve_command(
    bundles: Annotated[
        list[str],
        typer.Argument(
            metavar="BUNDLE",
            envvar="MINNOW_BUNDLES",
            help="Folders that `minnow convert` wrote, or NAME=FOLDER. Clients call a model by "
            "that name, or by the folder's without .minnow.",
        ),
    ],
    index: Annotated[
        Path | None,
        typer.Option(help="Answer POST /search from this file, which `minnow index` wrote."),
    ] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="Read the key from this file.")] = None,
    *,
    settings: Settings,
    limits: Limits,
    engine: Annotated[
        EngineName,
        typer.Option(help="auto and the others need extras and the model."),
    ] = _MNN,
    source: Annotated[
        str | None,
        typer.Option(help="Where the model is, for --engine."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    memory: Annotated[
        MemoryMode,
        typer.Option(help="low: less RAM, coarser vectors."),
    ] = MemoryMode.NORMAL,
) -> None:
    """Serve bundles over HTTP, as OpenAI's embeddings are used.

    POST /v1/embeddings, GET /v1/models, POST /tokenize, POST /similarity, POST /search,
    GET /health, GET /health/ready, GET /metrics, GET /openapi.json, and a page at / to try it.
    Every option has an environment variable. Ctrl-C or SIGTERM: requests that are begun are
    finished. The address is printed on stdout once requests are taken.

    Example: minnow serve bge-small.minnow

    Example: MINNOW_API_KEY=... minnow serve small=bge-small.minnow e5.minnow --host 0.0.0.0
    """
    try:
        from minnow.serve.models import find_bundles
        from minnow.serve.server import log_to_stderr, serve
    except ImportError as error:
        raise MissingExtraError("The server", "serve") from error
    settings = replace(settings, limits=limits, api_key=_key(settings.api_key, api_key_file))
    if settings.is_exposed:
        warnings.warn(
            f"{settings.host} can be reached from other machines, and no key is set: anyone who "
            "reaches it can use it. Set --api-key-file or MINNOW_API_KEY.",
            stacklevel=1,
        )
    log_to_stderr()
    options = EngineOptions(engine.value, threads, memory, source)
    serve(
        find_bundles(bundles), settings, options, index, lambda address: print(address, flush=True)
    )


def _key(given: str, file: Path | None) -> str:
    """The key, from a file where there is one."""
    if file is None:
        return given
    if given:
        raise ServeError(
            "Give the key or its file, not both: --api-key or MINNOW_API_KEY, --api-key-file or "
            "MINNOW_API_KEY_FILE."
        )
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise ServeError(f"The key cannot be read from {file}: {why}.") from error
    if not key:
        raise ServeError(f"There is no key in {file}.")
    return key
