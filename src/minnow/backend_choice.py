"""The best backend of a device: the fastest one that gives the vectors of a bundle's canaries.

MNN's backends and modes are tried in child processes, as native code may crash. What was found is
kept as a record, which the C API writes in the same form, and is not tried again while device,
processor, MNN's version and bundle are the same.
"""

from __future__ import annotations

import hashlib
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec.structs import asdict

from minnow.caches import CHOICES, cache_folder
from minnow.canaries import read_canaries
from minnow.engines.base import Mode, default_threads, processor
from minnow.errors import EngineError, InputError, MinnowError, OutputError, ParityError
from minnow.files import read_regular, whole_file
from minnow.manifest import MANIFEST
from minnow.modes import DEFAULT, distinct_modes, is_proven
from minnow.processes import python_command
from minnow.record_json import read_json
from minnow.records import replace
from minnow.sealing import stated_digest
from minnow.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from minnow.bundle import Bundle
    from minnow.canaries import Canaries
    from minnow.engines import EngineOptions

FORMAT = 1
RIGHT, WRONG, FAILED = "right", "wrong", "failed"
TIMEOUT = 120.0
"""Seconds for a backend to load the bundle and run the canaries: a GPU may tune its kernels."""
ROUNDS = 5
"""How often the canaries run for a time; the first time, which prepares shapes, does not count."""
ENOUGH = 2.0
"""Seconds of such runs after which there are no more."""
MARGIN = 0.9
"""The share of the default mode's time that another mode has to stay below."""
_LARGEST = 1 << 20
_CHILD = "from minnow.backend_child import main\nsys.exit(main())"
_GPUS = ("metal", "cuda", "opencl", "vulkan")


@dataclass(frozen=True)
class CanaryRequest:
    """What a child process runs: a bundle's canaries, some rounds of them.

    Attributes:
        folder: The bundle.
        part: Whether it is the encoder of queries of a bundle with two.
        mode: The mode to open it in.
        threads: CPU threads.
        rounds: Rounds that are timed.
    """

    folder: str
    part: bool
    mode: Mode
    threads: int
    rounds: int


@dataclass(frozen=True)
class CanaryReply:
    """What the child found.

    Attributes:
        rows: What `Canaries.run` gave.
        seconds: The median time of a round.
        error: Why the mode cannot be opened; empty if it can.
    """

    rows: list[list[float]]
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Attempt:
    """One mode that was tried.

    Attributes:
        backend: MNN's backend.
        precision: MNN's mode of precision.
        memory: MNN's mode of memory.
        outcome: "right", "wrong" where the canaries have other vectors, or "failed".
        worst: The worst cosine of a canary, or difference of logits; None where it failed.
        seconds: The median time of a round of all canaries; None unless it is right.
        message: What was wrong, or the canary that has the worst figure.
    """

    backend: str
    precision: str
    memory: str
    outcome: str
    worst: float | None
    seconds: float | None
    message: str

    @property
    def mode(self) -> Mode:
        """What was tried."""
        return Mode(self.backend, self.precision, self.memory)


@dataclass(frozen=True)
class BackendChoice:
    """The record of what was tried on a device, and of what was chosen.

    Attributes:
        format: The version of this form.
        bundle: The digest of the bundle's manifest.
        device: The system, the machine and its processor.
        mnn: MNN's version.
        threads: CPU threads.
        chosen: The number of the attempt that was chosen, from 0; -1 where an app has ended before.
        reason: Why, in a sentence.
        attempts: What was tried, in order.
    """

    format: int
    bundle: str
    device: str
    mnn: str
    threads: int
    chosen: int
    reason: str
    attempts: tuple[Attempt, ...]

    @property
    def mode(self) -> Mode:
        """The mode that was chosen."""
        return self.attempts[self.chosen].mode


def settle_best(options: EngineOptions, bundle: Bundle) -> tuple[EngineOptions, str]:
    """Replace "best" by the best backend and mode of this device: tried now, or remembered.

    Args:
        options: Their backend is "best"; their precision and memory are not restricted further.
        bundle: The bundle.

    Returns:
        The options with a backend, precision and memory; and the reason.

    Raises:
        EngineError: No mode gives the vectors of the canaries here, not even MNN's default.
        BundleError: The canaries cannot be read.
    """
    canaries = read_canaries(bundle)
    if canaries is None:
        return _opened_as(options, DEFAULT), f"{DEFAULT}: the bundle is older than canaries."
    wanted = _wanted(options, bundle)
    path = cache_folder() / CHOICES / f"{_key(wanted)}.json"
    choice = _remembered(path, wanted)
    if choice is None:
        choice = choose_backend(wanted, bundle, canaries)
        _remember(path, choice)
    return _opened_as(options, choice.mode), choice.reason


def choose_backend(
    wanted: BackendChoice, bundle: Bundle, canaries: Canaries, modes: Sequence[Mode] | None = None
) -> BackendChoice:
    """Try modes, each in a process of its own, and choose the fastest that is right.

    Args:
        wanted: The record without attempts.
        bundle: The bundle.
        canaries: Its canaries.
        modes: The modes to try, MNN's default first; by default all that differ on this machine.

    Raises:
        EngineError: None is right.
    """
    modes = possible_modes(bundle) if modes is None else modes
    with _Trials(bundle, canaries, wanted.threads) as trials:
        attempts = tuple(trials.attempt(mode) for mode in modes)
    right = [n for n, attempt in enumerate(attempts) if attempt.outcome == RIGHT]
    if not right:
        raise EngineError(
            f"Nothing here gives the vectors of {bundle.folder}: "
            + "; ".join(f"{attempt.mode}: {attempt.message}" for attempt in attempts)
        )

    def cost(number: int) -> float:
        seconds = attempts[number].seconds or 0.0
        return seconds * MARGIN if attempts[number].mode == DEFAULT else seconds

    chosen = min(right, key=cost)
    return replace(
        wanted, chosen=chosen, reason=_reason(attempts, chosen, bundle), attempts=attempts
    )


def possible_modes(bundle: Bundle) -> list[Mode]:
    """Return MNN's default mode, and all others that may compute something else here."""
    gpus = [Mode(gpu, precision) for gpu in _GPUS for precision in ("low", "high")]
    return [DEFAULT, *distinct_modes(bundle.manifest, processor()), *gpus]


def read_choice(path: Path) -> BackendChoice:
    """Read the record of a choice, of Python or of the C API.

    Raises:
        InputError: It is something else, or from a newer minnow.
    """
    fault = "is not the record of a choice of backends"
    choice = read_json(path, BackendChoice, _LARGEST, version=FORMAT, fault=fault)
    if choice.chosen == -1:
        tried = choice.attempts[-1].mode if choice.attempts else "the first mode"
        raise InputError(f"{path} has no choice yet: an app ended while {tried} was tried.")
    if not 0 <= choice.chosen < len(choice.attempts):
        raise InputError(f"{path} chose an attempt that it does not hold.")
    if choice.attempts[choice.chosen].outcome != RIGHT:
        raise InputError(f"{path} chose an attempt that was not right.")
    return choice


def describe_device() -> str:
    """Return the system, the machine and its processor."""
    parts = [platform.system(), platform.machine()]
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return " ".join([*parts, platform.processor()]).strip()
    named: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        named.setdefault(name.strip(), value.strip())
    known = ("Hardware", "model name", "CPU implementer", "CPU part")
    return " ".join(parts + [named[name] for name in known if named.get(name)])


def _wanted(options: EngineOptions, bundle: Bundle) -> BackendChoice:
    from importlib.metadata import version

    manifest = read_regular(_home(bundle) / MANIFEST, 16 << 20)
    return BackendChoice(
        FORMAT,
        stated_digest(manifest) + (":query" if _is_part(bundle) else ""),
        describe_device(),
        version("mnn"),
        options.threads or default_threads(),
        0,
        "",
        (),
    )


def _is_part(bundle: Bundle) -> bool:
    """Return whether this is the encoder of queries of a bundle, whose folder has no manifest."""
    return not (bundle.folder / MANIFEST).is_file()


def _home(bundle: Bundle) -> Path:
    return bundle.folder.parent if _is_part(bundle) else bundle.folder


def _key(wanted: BackendChoice) -> str:
    facts = (wanted.format, wanted.bundle, wanted.device, wanted.mnn, wanted.threads)
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:32]


def _remembered(path: Path, wanted: BackendChoice) -> BackendChoice | None:
    try:
        found = read_choice(path)
    except InputError:
        return None
    facts = ("bundle", "device", "mnn", "threads")
    same = all(getattr(found, name) == getattr(wanted, name) for name in facts)
    return found if same else None


def _remember(path: Path, choice: BackendChoice) -> None:
    """Write the record; a cache that cannot be written costs time only."""
    with suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            part.write_bytes(msgspec.json.format(msgspec.json.encode(choice), indent=1) + b"\n")


def _opened_as(options: EngineOptions, mode: Mode) -> EngineOptions:
    return replace(options, **asdict(mode))


class _Trials:
    """Attempts in a child process, which is started anew once one has ended it."""

    def __init__(self, bundle: Bundle, canaries: Canaries, threads: int) -> None:
        self._bundle, self._canaries, self._threads = bundle, canaries, threads
        self._worker: Worker | None = None

    def attempt(self, mode: Mode) -> Attempt:
        where = (mode.backend, mode.precision, mode.memory)
        try:
            reply = self._ask(mode)
            if reply.error:
                return Attempt(*where, FAILED, None, None, reply.error)
            worst, name = self._canaries.judge(np.array(reply.rows, np.float32))
        except ParityError as error:
            found = error.worst
            finite = found if found is not None and np.isfinite(found) else None
            return Attempt(*where, WRONG, finite, None, str(error))
        except MinnowError as error:
            return Attempt(*where, FAILED, None, None, str(error))
        return Attempt(*where, RIGHT, worst, reply.seconds, name)

    def _ask(self, mode: Mode) -> CanaryReply:
        bundle = self._bundle
        request = CanaryRequest(str(_home(bundle)), _is_part(bundle), mode, self._threads, ROUNDS)
        if self._worker is None:
            self._worker = Worker("MNN", python_command(_CHILD), timeout=TIMEOUT)
        try:
            return self._worker.request(request, CanaryReply)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _reason(attempts: Sequence[Attempt], chosen: int, bundle: Bundle) -> str:
    """Say what was chosen and why, and whether its mode is proven."""
    best, own = attempts[chosen], attempts[0]
    right = sum(attempt.outcome == RIGHT for attempt in attempts)
    wrong = sum(attempt.outcome == WRONG for attempt in attempts)
    speed = "" if best is own or not (own.seconds and best.seconds) else (
        f", {own.seconds / best.seconds:.1f} times as fast as the default"
    )  # fmt: skip
    proof = "" if is_proven(best.mode, bundle.manifest) else "; the bundle has no proof of it"
    return (
        f"{best.mode}: the fastest of {right} that give the canaries' vectors{speed}; {wrong} gave "
        f"others, {len(attempts) - right - wrong} are not there{proof}."
    )
