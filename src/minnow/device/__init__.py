"""Checking a bundle on a device: a folder to copy there, its answers, proofs."""

from minnow.device.answer import DeviceAnswer, DeviceResult, read_answers
from minnow.device.folder import write_check
from minnow.device.proving import prove_modes, repeat_modes

__all__ = [
    "DeviceAnswer",
    "DeviceResult",
    "prove_modes",
    "read_answers",
    "repeat_modes",
    "write_check",
]
