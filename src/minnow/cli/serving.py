"""The command that serves bundles over HTTP."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from minnow.cli.app import app
from minnow.cli.bundles import EngineName, MemoryMode
from minnow.errors import MissingExtraError, ServeError
from minnow.terminal import EPILOG

_MNN = EngineName("mnn")


@app.command("serve", epilog=EPILOG)
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
        typer.Option(
            envvar="MINNOW_INDEX",
            help="A file that `minnow index` wrote with one of the bundles: POST /search asks it.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(envvar="MINNOW_HOST", help="Address to listen at.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="MINNOW_PORT", min=0, max=65535, help="0 takes a free one.")
    ] = 8080,
    api_key: Annotated[
        str,
        typer.Option(
            envvar="MINNOW_API_KEY",
            help="Ask clients for this key. Other users of this machine can read a command line: "
            "the variable or the file are safer.",
            show_default=False,
        ),
    ] = "",
    api_key_file: Annotated[
        Path | None, typer.Option(envvar="MINNOW_API_KEY_FILE", help="A file with the key.")
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            envvar="MINNOW_CORS_ORIGIN",
            help="Let pages of this origin ask from a browser; * for all. May be repeated.",
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            envvar="MINNOW_ALLOWED_HOST",
            help="A name that clients may call the server by, besides localhost; * for all. By "
            "default none where it listens at localhost, and all elsewhere. May be repeated.",
        ),
    ] = None,
    truncate: Annotated[
        bool,
        typer.Option(
            "--truncate/--no-truncate",
            envvar="MINNOW_TRUNCATE",
            help="Cut off texts over the limit where a request does not say, and mark them.",
        ),
    ] = False,
    max_body_bytes: Annotated[
        int, typer.Option(envvar="MINNOW_MAX_BODY_BYTES", min=1, help="Largest body.")
    ] = 16_000_000,
    max_inputs: Annotated[
        int, typer.Option(envvar="MINNOW_MAX_INPUTS", min=1, help="Most inputs of a request.")
    ] = 2048,
    max_queue_tokens: Annotated[
        int,
        typer.Option(envvar="MINNOW_MAX_QUEUE_TOKENS", min=1, help="Most tokens not yet done."),
    ] = 524_288,
    max_queue_texts: Annotated[
        int, typer.Option(envvar="MINNOW_MAX_QUEUE_TEXTS", min=1, help="Most texts not yet done.")
    ] = 16_384,
    max_requests: Annotated[
        int, typer.Option(envvar="MINNOW_MAX_REQUESTS", min=1, help="Most requests at once.")
    ] = 1024,
    grace_seconds: Annotated[
        float,
        typer.Option(
            envvar="MINNOW_GRACE_SECONDS", min=0, help="Time to finish requests when stopped."
        ),
    ] = 30.0,
    access_log: Annotated[
        bool,
        typer.Option(
            "--access-log/--no-access-log",
            envvar="MINNOW_ACCESS_LOG",
            help="Tell of each request on stderr: route, status, time.",
        ),
    ] = False,
    engine: Annotated[
        EngineName,
        typer.Option(envvar="MINNOW_ENGINE", help="auto and the others need extras and the model."),
    ] = _MNN,
    source: Annotated[
        str | None,
        typer.Option(envvar="MINNOW_SOURCE", help="Where the model is, for --engine."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(envvar="MINNOW_THREADS", min=1, help="CPU threads.")
    ] = None,
    memory: Annotated[
        MemoryMode,
        typer.Option(envvar="MINNOW_MEMORY", help="low: less RAM, coarser vectors."),
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
        from minnow.serve.models import EngineOptions, find_bundles
        from minnow.serve.server import log_to_stderr, serve
    except ImportError as error:
        raise MissingExtraError("The server", "serve") from error
    from minnow.serve.settings import Limits, Settings

    settings = Settings(
        host=host,
        port=port,
        api_key=_key(api_key, api_key_file),
        cors_origins=tuple(cors_origin or ()),
        allowed_hosts=tuple(allowed_host or ()),
        truncate=truncate,
        limits=Limits(
            body_bytes=max_body_bytes,
            inputs=max_inputs,
            queue_tokens=max_queue_tokens,
            queue_texts=max_queue_texts,
            requests=max_requests,
        ),
        grace_seconds=grace_seconds,
        access_log=access_log,
    )
    for warning in settings.warnings:
        warnings.warn(warning, stacklevel=1)
    log_to_stderr()
    options = EngineOptions(engine.value, source, threads, memory.value)
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
