"""Modes in which MNN computes, and which of them a bundle's proof covers."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from minnow.engines.base import Mode, processor
from minnow.records import replace

if TYPE_CHECKING:
    from minnow.bundle import Bundle
    from minnow.manifest import Manifest
    from minnow.parity import ModeProof

DEFAULT = Mode()
"""The mode that every proof runs in."""
OTHERS = (Mode(precision="low"), Mode(memory="low"), Mode(precision="low", memory="low"))
"""The other modes of the CPU."""
_WITHOUT_HALVES = ("x86_64",)
"""Processors on which MNN ignores precision."""


class UnprovenModeWarning(UserWarning):
    """A bundle was opened in a mode in which nothing has proven its vectors."""


def simplest(mode: Mode, manifest: Manifest, kind: str) -> Mode:
    """Return the mode closest to MNN's default that computes the same as another.

    Args:
        mode: The mode.
        manifest: The manifest of the bundle: the modes of memory run float weights alike.
        kind: The kind of processor: on x86_64 precision changes nothing.
    """
    if mode.backend != DEFAULT.backend:
        return mode
    low_memory = mode.memory == "low" and manifest.recipe.rounds
    low_precision = mode.precision == "low" and kind not in _WITHOUT_HALVES
    return replace(
        mode,
        memory="low" if low_memory else DEFAULT.memory,
        precision="low" if low_precision else DEFAULT.precision,
    )


def distinct_modes(manifest: Manifest, kind: str) -> list[Mode]:
    """Return the modes of the CPU that compute something else than the default and each other."""
    return [mode for mode in OTHERS if simplest(mode, manifest, kind) == mode]


def proof_of(mode: Mode, manifest: Manifest, kind: str) -> ModeProof | None:
    """Return the proof of another mode than the default, if the manifest has one."""
    wanted = (kind, mode.backend, mode.precision, mode.memory)
    return next(
        (
            proof
            for proof in manifest.parity.modes
            if (proof.processor, DEFAULT.backend, proof.precision, proof.memory) == wanted
        ),
        None,
    )


def is_proven(mode: Mode, manifest: Manifest, kind: str | None = None) -> bool:
    """Return whether a bundle's vectors are proven in a mode, by default on this processor."""
    kind = kind or processor()
    mode = simplest(mode, manifest, kind)
    return mode == DEFAULT or proof_of(mode, manifest, kind) is not None


def warn_unproven(mode: Mode, bundle: Bundle) -> None:
    """Warn where nothing proves a bundle in a mode."""
    if not is_proven(mode, bundle.manifest):
        kind = processor()
        advice = " `minnow prove` can." if mode.backend == DEFAULT.backend else ""
        warnings.warn(
            f"{bundle.folder} has no proof of its vectors in this mode ({mode}) on {kind}.{advice}",
            UnprovenModeWarning,
            stacklevel=4,
        )
