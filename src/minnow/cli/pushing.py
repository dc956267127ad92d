"""The command that publishes a bundle on the Hub."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minnow.cli.app import app, print_facts, steps
from minnow.cli.options import BundleFolder, Json

if TYPE_CHECKING:
    from minnow.push import Push


@app.command("push")
def push_command(
    bundle: BundleFolder,
    repository: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="The repository; made if there is none.")
    ],
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Upload nothing; show what would be.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Publish a bundle on the Hugging Face Hub.

    Every hash is checked first. Files that the repository has already are not uploaded again, files
    of an older bundle there are removed, and all of it is one commit. The model card is the
    bundle's. Log in once with `hf auth login`, or set HF_TOKEN.

    A published bundle opens as hf:USER/NAME.

    Example: minnow push bge-small.minnow me/bge-small-minnow --dry-run
    """
    from minnow.push import push

    done = push(bundle, repository, private=private, dry_run=dry_run, progress=steps())
    for note in done.notes:
        print(note, file=sys.stderr)
    print_facts(_facts(done), as_json)


def _facts(done: Push) -> dict[str, Any]:
    kind = ("new, private" if done.private else "new, public") if done.is_new else "there already"
    return {
        "repository": done.repository,
        "kind": kind,
        "uploads": dict(done.uploaded),
        "upload_bytes": sum(done.uploaded.values()),
        "unchanged": list(done.unchanged),
        "removes": list(done.removed),
        "card": done.front_matter.strip().splitlines(),
        "commit": done.commit or "none made",
        "opens_as": f"hf:{done.repository}",
    }
