"""The command that serves bundles over HTTP."""

from __future__ import annotations

import os
import shlex
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from minnow.cli.app import app
from minnow.cli.fields import options_from_fields
from minnow.cli.options import EngineMemoryChoice, folder_of
from minnow.errors import InputError, MissingExtraError, ServeError
from minnow.manifest import MANIFEST
from minnow.serve.settings import Limits, Settings
from minnow.terminal import UsageError
from minnow.text_files import decode_text


@app.command("serve")
@partial(options_from_fields, environment="MINNOW")
def serve_command(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BUNDLE",
            help="Folders that `minnow convert` wrote, models' names, or NAME=EITHER; by default "
            "those in $MINNOW_BUNDLES. Clients call a model by that name, or by the folder's "
            "without .minnow.",
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(
            envvar="MINNOW_INDEX",
            help="Answer POST /search from this file, which `minnow index` wrote.",
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(envvar="MINNOW_API_KEY_FILE", help="Read the key from this file.")
    ] = None,
    *,
    settings: Settings,
    limits: Limits,
    engine: EngineMemoryChoice,
) -> None:
    """Serve bundles over HTTP, with OpenAI's embeddings API.

    POST /v1/embeddings, GET /v1/models, POST /tokenize, POST /similarity, POST /rerank,
    POST /v1/rerank, POST /v2/rerank, POST /search, GET /health, GET /health/ready, GET /metrics,
    GET /openapi.json, and a page at / to try it. Rerankers are served beside embedding models.
    Clients of Ollama find POST /api/embed, POST /api/embeddings, GET /api/tags and /api/version.
    Every option has an environment variable. The address is printed on stdout once the server
    accepts requests. On Ctrl-C or SIGTERM it finishes open requests, and stops. On SIGHUP it opens
    bundles, and an index, that were replaced, and drops no request.

    Example: minnow serve bge-small.minnow

    Example: MINNOW_API_KEY=... minnow serve small=bge-small.minnow e5.minnow --host 0.0.0.0
    """
    try:
        from minnow.serve.models import find_bundles
        from minnow.serve.server import log_to_stderr, serve
    except ImportError as error:
        raise MissingExtraError("The server", "serve") from error
    bundles = bundles or _bundles_of(os.environ.get("MINNOW_BUNDLES", ""))
    settings = replace(settings, limits=limits, api_key=_key(settings.api_key, api_key_file))
    if settings.is_exposed:
        warnings.warn(
            f"{settings.host} can be reached from other machines, and no key is set: anyone who "
            "reaches it can use it. Set --api-key-file or MINNOW_API_KEY.",
            stacklevel=1,
        )
    log_to_stderr()
    show = partial(print, flush=True)
    serve(find_bundles(list(map(_in_a_folder, bundles))), settings, engine.options(), index, show)


def _in_a_folder(bundle: str) -> str:
    """Return a bundle as NAME=FOLDER where it is named by its model's name."""
    name, equals, model = bundle.partition("=")
    if not equals:
        name, model = bundle.removeprefix("hf:").removeprefix("package:"), bundle
    folder = folder_of(model)
    return bundle if folder == Path(model) else f"{name}={folder}"


def _bundles_of(variable: str) -> list[str]:
    """Return the bundles that $MINNOW_BUNDLES names, with spaces and quotes as in a shell.

    Raises:
        UsageError: It names none, or has a quote without an end.
    """
    if (Path(variable) / MANIFEST).is_file():  # one path, which may have spaces
        return [variable]
    try:
        bundles = shlex.split(variable)
    except ValueError as error:
        raise UsageError(f"MINNOW_BUNDLES cannot be read: {error}.") from error
    if not bundles:
        raise UsageError("Missing argument 'BUNDLE...': name folders, or set MINNOW_BUNDLES.")
    return bundles


def _key(given: str, file: Path | None) -> str:
    """Return the key, read from its file if there is one."""
    if file is None:
        return given
    if given:
        raise ServeError(
            "Give the key or its file, not both: --api-key or MINNOW_API_KEY, --api-key-file or "
            "MINNOW_API_KEY_FILE."
        )
    try:
        key = decode_text(file.read_bytes(), str(file)).strip()
    except OSError as error:
        raise ServeError(f"The key cannot be read from {file}: {error.strerror}.") from error
    except InputError as error:
        raise ServeError(f"The key cannot be read: {error}") from error
    if not key:
        raise ServeError(f"{file} is empty: it should hold the key.")
    return key
