"""Guard against the side effects of loading OpenVINO, without importing it."""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_TELEMETRY = "openvino_telemetry"


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Import OpenVINO without its telemetry.

    The package sends an event to Google Analytics each time it is imported, and writes an id into
    the home folder; without openvino_telemetry it falls back to a stub. So does
    nncf, which optimum-intel imports.
    """
    if _TELEMETRY in sys.modules:
        yield
        return
    sys.modules[_TELEMETRY] = cast("ModuleType", None)
    try:
        yield
    finally:
        sys.modules.pop(_TELEMETRY, None)


class _SignalStack(ctypes.Structure):
    """C's stack_t, in Linux's order; see sigaltstack(2)."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


@contextmanager
def own_signal_stack() -> Iterator[None]:
    """Restore the stack on which this thread handles signals.

    OpenVINO's CPU plugin sets another stack when it is loaded, and frees it when it is unloaded. If
    two plugins are unloaded in the order in which they were loaded, the second restores the stack
    of the first, which is freed: the next Ctrl-C is then a segmentation fault.
    """
    if sys.platform != "linux":
        yield
        return
    library, before = ctypes.CDLL(None), _SignalStack()
    library.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        library.sigaltstack(ctypes.byref(before), None)
