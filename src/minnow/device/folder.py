"""The folder that is copied to a device: the bundle, texts, expected vectors, a runner."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from minnow.bundle import Bundle
from minnow.errors import BundleError, InputError
from minnow.files import read_regular, replace_folder, staging_folder, sync, writing
from minnow.manifest import CARD, MANIFEST
from minnow.model.original import read_original
from minnow.model.source import ModelSource
from minnow.origin import find_origin
from minnow.proof.bundles import mixed_batches
from minnow.proof.references import CheckpointReference
from minnow.sealing import check_replaceable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minnow.proof.probes import Probe

FORMAT, PAIRS = 1, 2
"""The versions of probes.json: of texts, and of pairs, which older runners refuse."""
PROBES = "probes.json"
EXPECTED = "expected.f32"
BUNDLE = "bundle"
RUNNER = "check.py"
LARGEST = 1 << 30
"""Bytes of a file that is read from the folder."""


@dataclass(frozen=True)
class Text:
    """A text of the check, or a reranker's pair.

    Attributes:
        name: Unique and short.
        text: The text; the first one of a pair.
        ids: Its token ids by the reference's tokenizer, cut off at the limit.
        prompt: What stands before it, where pooling leaves that out.
        left_out: How many of the first ids pooling leaves out.
        second: The second text of a pair.
        types: The token types of a pair; empty where all are 0.
    """

    name: str
    text: str
    ids: tuple[int, ...]
    prompt: str = ""
    left_out: int = 0
    second: str | None = None
    types: tuple[int, ...] = ()


@dataclass(frozen=True)
class Probes:
    """Texts and batches that a runner runs; `probes.json` is their JSON form.

    Attributes:
        max_tokens: The longest text the model reads.
        texts: The texts.
        batches: Indices of texts that are run together, padded to the longest: every text alone,
            then the longest with the shortest.
        reference: What the expected vectors or logits are from.
        format: The version of this form.
    """

    max_tokens: int
    texts: tuple[Text, ...]
    batches: tuple[tuple[int, ...], ...]
    reference: str
    format: int = FORMAT


def write_check(
    bundle: str | Path | Bundle,
    destination: str | Path,
    *,
    source: str | ModelSource | None = None,
    offline: bool = False,
    choose: Callable[[Sequence[Probe]], Sequence[Probe]] = lambda probes: probes,
    longest_mixed: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write a folder to copy to a device; it exists whole or not at all.

    The expected vectors, or logits of a reranker, are those of the checkpoint that the bundle was
    made from, so that model must be available.

    Args:
        bundle: The bundle.
        destination: The folder to write: nothing must be there yet, or an empty folder, or an
            older one of `write_check` without answers.
        source: The model it was made from; by default the one that its manifest names.
        offline: Make no network call at all.
        choose: Chooses some of the probe texts; by default all.
        longest_mixed: The most tokens of a text that is also run in padded batches.
        progress: Receives a line of text before each step.

    Returns:
        The folder.

    Raises:
        InputError: The bundle has an encoder of queries of its own.
        BundleError: A file of the bundle is missing or has changed, or the source has other
            weights.
        SourceError: The source cannot be found; name it with `source`.
        OutputError: The destination holds something else, or cannot be written.
    """
    destination = Path(destination).absolute()
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    with writing(destination):
        _check_destination(destination)
    reference = read_reference(bundle, source, offline=offline, progress=progress)
    return write_probes(
        bundle,
        destination,
        reference,
        choose(reference.probes),
        longest_mixed=longest_mixed,
        progress=progress,
    )


def read_reference(
    bundle: Bundle,
    source: str | ModelSource | None,
    *,
    offline: bool,
    progress: Callable[[str], None],
) -> CheckpointReference:
    """Check a bundle's files, and read the model that it was made from.

    Raises:
        InputError, BundleError, SourceError: As `write_check`.
    """
    manifest = bundle.manifest
    if manifest.queries is not None:
        raise InputError(
            f"{bundle.folder} has an encoder of queries and one of documents; a device check runs "
            "one. Convert each route as a model of its own, and check both."
        )
    progress("checking the hash of every file")
    bundle.check_files()
    named = source.name if isinstance(source, ModelSource) else source
    progress(f"finding {named or manifest.source.name}")
    origin = find_origin(bundle, source, offline=offline)
    return CheckpointReference(read_original(origin, manifest.choices))


def write_probes(
    bundle: Bundle,
    destination: Path,
    reference: CheckpointReference,
    chosen: Sequence[Probe],
    *,
    longest_mixed: int | None,
    progress: Callable[[str], None],
) -> Path:
    """Compute what the chosen texts should give, and write the folder; see `write_check`.

    Raises:
        BundleError, OutputError: As `write_check`.
    """
    limit = bundle.manifest.embedding.max_tokens
    progress(f"computing the reference ({reference.name})")
    rows = reference.token_rows([probe.whole for probe in chosen])
    expected = reference.vectors_of(chosen).astype("<f4")
    probes = Probes(
        limit,
        tuple(
            Text(
                p.name,
                p.text,
                tuple(row.ids),
                p.prompt,
                reference.left_out(p.prompt),
                p.second,
                tuple(row.types),
            )
            for p, row in zip(chosen, rows, strict=True)
        ),
        _batches([len(row.ids) for row in rows], longest_mixed or limit),
        reference.name,
        FORMAT if bundle.manifest.reranking is None else PAIRS,
    )
    progress("writing the folder")
    with staging_folder(destination) as staged:
        _write(bundle, probes, expected.tobytes(), staged)
        _check_destination(destination)
        replace_folder(staged, destination.resolve())
    return destination


def _batches(lengths: Sequence[int], longest_mixed: int) -> tuple[tuple[int, ...], ...]:
    """Return every text alone, then the texts that are short enough in padded batches."""
    mixed = [i for i, length in enumerate(lengths) if length <= longest_mixed]
    batches = [(i,) for i in range(len(lengths))]
    padded = mixed_batches([lengths[i] for i in mixed])
    return (*batches, *(tuple(mixed[i] for i in batch) for batch in padded))


def _write(bundle: Bundle, probes: Probes, expected: bytes, folder: Path) -> None:
    for name in (MANIFEST, *bundle.manifest.files):
        target = folder / BUNDLE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.folder / name, target)
    (folder / PROBES).write_bytes(msgspec.json.encode(probes) + b"\n")
    (folder / EXPECTED).write_bytes(expected)
    shutil.copyfile(Path(__file__).with_name(RUNNER), folder / RUNNER)
    (folder / CARD).write_text(_README, encoding="utf-8")
    for path in (*folder.rglob("*"), folder):
        sync(path)


def _check_destination(destination: Path) -> None:
    check_replaceable(destination, "device check", lambda: _own_files(destination))


def _own_files(folder: Path) -> set[str]:
    """List the files that `write_check` wrote into a folder.

    Raises:
        BundleError: It wrote no such folder.
    """
    try:
        bundle, _, _ = read_probes(folder)
    except InputError as error:
        raise BundleError(str(error)) from error
    copied = (f"{BUNDLE}/{name}" for name in (MANIFEST, *bundle.manifest.files))
    return {PROBES, EXPECTED, RUNNER, CARD, *copied}


def read_probes(
    folder: Path,
) -> tuple[Bundle, Probes, np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    """Read what `write_check` wrote.

    Returns:
        The bundle, the texts or pairs, and the expected vectors or logits: float32 of shape
        (texts, width).

    Raises:
        InputError: `minnow device-check` did not write the folder, or a file is missing or damaged.
        BundleError: The folder's bundle cannot be read.
    """
    try:
        content, expected = (read_regular(folder / name, LARGEST) for name in (PROBES, EXPECTED))
    except OSError as error:
        raise InputError(
            f"{folder} is not a folder that `minnow device-check` wrote: {error.filename} cannot "
            f"be read ({error.strerror})."
        ) from error
    bundle = Bundle.open(folder / BUNDLE)
    try:
        probes = msgspec.json.decode(content, type=Probes)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{folder / PROBES} cannot be understood: {error}.") from error
    wanted = FORMAT if bundle.manifest.reranking is None else PAIRS
    pairs = {text.second is not None for text in probes.texts}
    if probes.format != wanted or pairs != {wanted == PAIRS}:
        raise InputError(
            f"{folder / PROBES} has format {probes.format}; this minnow reads {FORMAT}, or {PAIRS} "
            "with the pairs of a reranker."
        )
    width = bundle.manifest.width
    rows = len(probes.texts)
    if len(expected) != 4 * rows * width:
        raise InputError(
            f"{folder / EXPECTED} has {len(expected)} bytes; {rows} texts of {width} numbers are "
            f"{4 * rows * width}. Write the folder again."
        )
    if not all(0 <= i < rows for batch in probes.batches for i in batch):
        raise InputError(f"{folder / PROBES} has batches of texts that it does not hold.")
    return bundle, probes, np.frombuffer(expected, "<f4").reshape(rows, width)


_README = """# A check of a bundle on this device

`bundle/` is the model, `probes.json` texts with their token ids (pairs of texts for a reranker),
`expected.f32` the vectors or logits that they should have. On the device, with Python 3.8 or newer
and `pip install MNN numpy`:

```
python check.py --precision low
```

It writes `answer.json` and `answer.f32` beside itself. `--precision low` computes in half precision
where the processor has it; `normal` and `high` in float32. `--name answer-low` gives the answer
another name, so that several can be read at once. `python check.py --help` says more.

Copy the answers back into this folder on the computer that wrote it, and read them there:

```
minnow device-check --read FOLDER
```
"""
