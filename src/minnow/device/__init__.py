"""Checking a bundle on a device: a folder to copy there, and its answers read back."""

from minnow.device.answer import DeviceAnswer, DeviceResult, read_answers
from minnow.device.folder import write_check

__all__ = ["DeviceAnswer", "DeviceResult", "read_answers", "write_check"]
