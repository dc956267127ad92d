"""Reads what a device answered, and compares it with the reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from minnow.bundle import MANIFEST
from minnow.device.folder import BUNDLE, PROBES, Probes, read_probes
from minnow.errors import InputError
from minnow.recipe import RECIPES
from minnow.sealing import sha256
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FORMAT = 1
LOW = "low"


@dataclass(frozen=True)
class Answer:
    """What a runner says of its vectors; `answer.json` is its JSON form.

    Attributes:
        format: Version of this form.
        runner: Which program.
        machine: What it ran on.
        mnn: MNN's version there.
        precision: low, normal or high.
        threads: CPU threads.
        rows: (text, batch) of each vector.
        memory: MNN's mode of memory.
        shape: The (batch, tokens) of the fixed-shape file that ran, if one did.
        ids_differ: Names of texts that the runner's own tokenizer gives other ids.
        lengths: The least and the greatest length before vectors were scaled; None where one is
            not finite.
        manifest_sha256: Hash of the bundle's manifest there.
        probes_sha256: Hash of probes.json there.
    """

    format: int
    runner: str
    machine: str
    mnn: str
    precision: str
    threads: int
    rows: tuple[tuple[int, int], ...]
    memory: str = "normal"
    shape: tuple[int, int] | None = None
    ids_differ: tuple[str, ...] = ()
    lengths: tuple[float | None, float | None] | None = None
    manifest_sha256: str | None = None
    probes_sha256: str | None = None


@dataclass(frozen=True)
class Figures:
    """The cosines of one way to run the texts.

    Attributes:
        batching: "one by one", or "mixed" for padded batches.
        vectors: How many.
        mean: Mean cosine.
        p5: 5th percentile.
        worst: The lowest; NaN where a vector is not finite.
        worst_text: The text that had it.
        worst_shape: The (batch, tokens) it ran in.
    """

    batching: str
    vectors: int
    mean: float
    p5: float
    worst: float
    worst_text: str
    worst_shape: tuple[int, int]


@dataclass(frozen=True)
class Answered:
    """An answer, compared with the reference.

    Attributes:
        name: Its file.
        answer: What the runner says.
        bar: What the worst cosine had to reach.
        figures: One row for each way to run the texts.
    """

    name: str
    answer: Answer
    bar: float
    figures: tuple[Figures, ...]

    @property
    def worst(self) -> Figures:
        """The row with the lowest cosine; NaN is the lowest of all."""
        return min(self.figures, key=lambda row: row.worst if row.worst == row.worst else -2.0)

    @property
    def passed(self) -> bool:
        """Whether the ids are the reference's, and every cosine reaches the bar."""
        return not self.answer.ids_differ and self.worst.worst >= self.bar


def read_answers(folder: str | Path, bar: float | None = None) -> list[Answered]:
    """Read all answers in a folder that `write_check` wrote, answer*.json, in the order of names.

    Args:
        folder: The folder, with the answers copied into it.
        bar: What the worst cosine has to reach; by default the recipe's bar, and with half
            precision at most that of fp16.

    Raises:
        InputError: There is no answer, or one is damaged, not whole, or of another folder.
        BundleError: The folder's bundle cannot be read.
    """
    folder = Path(folder)
    bundle, probes, expected = read_probes(folder)
    names = sorted(path.name for path in folder.glob("answer*.json"))
    if not names:
        raise InputError(
            f"{folder} holds no answer. Run check.py on the device, and copy answer.json and "
            "answer.f32 back here."
        )
    found = []
    for name in names:
        answer = _read(folder / name)
        _check_origin(folder, name, answer)
        vectors = _vectors(folder / name, answer, expected.shape[1])
        _check_rows(folder / name, answer, probes)
        ours = bundle.manifest.recipe.bar
        usual = min(ours, RECIPES["fp16"].bar) if answer.precision == LOW else ours
        figures = _figures(answer, probes, vectors, expected)
        found.append(Answered(name, answer, usual if bar is None else bar, figures))
    return found


def _read(path: Path) -> Answer:
    try:
        content = path.read_bytes()
        said = msgspec.json.decode(content, type=Answer)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not an answer of a runner: {error}.") from error
    if said.format != FORMAT:
        raise InputError(f"{path} has format {said.format}; this minnow reads {FORMAT}.")
    return said


def _check_origin(folder: Path, name: str, answer: Answer) -> None:
    """Compare the hashes that the runner gave, if it did, with the folder's own."""
    files = {"manifest_sha256": f"{BUNDLE}/{MANIFEST}", "probes_sha256": PROBES}
    for attribute, file in files.items():
        said = getattr(answer, attribute)
        if said is not None and said != sha256(folder / file):
            raise InputError(
                f"{folder / name} answers another folder: its {file} is not the one here. Copy "
                "this folder to the device again."
            )


def _vectors(path: Path, answer: Answer, width: int) -> NDArray[np.float32]:
    file = path.with_suffix(".f32")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}).") from error
    if len(content) != 4 * width * len(answer.rows):
        raise InputError(
            f"{file} has {len(content)} bytes; {len(answer.rows)} rows of {width} numbers are "
            f"{4 * width * len(answer.rows)}. Copy it again, with {path.name}."
        )
    return np.frombuffer(content, "<f4").reshape(-1, width)


def _check_rows(path: Path, answer: Answer, probes: Probes) -> None:
    """Every text of every batch has to be there, once."""
    wanted = {
        (text, number)
        for number, batch in enumerate(probes.batches)
        for text in batch
        if _fits(batch, probes, answer.shape)
    }
    missing, unknown = wanted - set(answer.rows), set(answer.rows) - wanted
    if missing or unknown or len(answer.rows) != len(wanted) or not wanted:
        raise InputError(
            f"{path} does not answer the texts of {PROBES}: of {len(wanted)} rows, {len(missing)} "
            f"are missing, and {len(answer.rows) - len(wanted) + len(missing)} are unknown or "
            "there twice. Run the check again."
        )


def _fits(batch: Sequence[int], probes: Probes, shape: tuple[int, int] | None) -> bool:
    longest = max(len(probes.texts[i].ids) for i in batch)
    return shape is None or (len(batch) <= shape[0] and longest <= shape[1])


def _figures(
    answer: Answer, probes: Probes, vectors: NDArray[np.float32], expected: NDArray[np.float32]
) -> tuple[Figures, ...]:
    cosines = rowwise_cosine(vectors, expected[[text for text, _ in answer.rows]])
    alone = np.array([len(probes.batches[batch]) == 1 for _, batch in answer.rows])
    ways = {"one by one": np.flatnonzero(alone), "mixed": np.flatnonzero(~alone)}
    return tuple(
        _row(name, chosen, cosines, answer, probes) for name, chosen in ways.items() if len(chosen)
    )


def _row(
    name: str,
    chosen: NDArray[np.intp],
    cosines: NDArray[np.float64],
    answer: Answer,
    probes: Probes,
) -> Figures:
    found = cosines[chosen]
    worst = int(chosen[np.where(np.isnan(found), -2.0, found).argmin()])
    text, batch = answer.rows[worst]
    together = probes.batches[batch]
    shape = answer.shape or (len(together), max(len(probes.texts[i].ids) for i in together))
    return Figures(
        name,
        len(chosen),
        float(found.mean()),
        float(np.percentile(found, 5)),
        float(cosines[worst]),
        probes.texts[text].name,
        shape,
    )
