"""Arithmetic that takes subnormal numbers for zeros, as C's environment of a thread decides.

The weight that attention gives to padding is no zero in MNN but near 1e-38, and its division by the
sum of a row makes a subnormal number of it. x86 multiplies those many times as slowly as others.
ARM does not, and needs nothing.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from minnow.engines.base import processor

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORDS, _MXCSR = 8, 7
"""Size of fenv_t in glibc on x86-64, in words of four bytes, and the place of MXCSR in it."""
_AS_ZEROS = 1 << 15 | 1 << 6
"""MXCSR's bits for subnormal results (FTZ) and operands (DAZ); Intel's manual, volume 1, 10.2.3."""


@contextmanager
def subnormals_as_zeros() -> Iterator[None]:
    """Take subnormal numbers for zeros in this thread, and in threads that begin meanwhile.

    It has no effect on other processors than x86-64, and on other systems than Linux.
    """
    library = _math_library()
    if library is None:
        yield
        return
    before = (ctypes.c_uint32 * _WORDS)()
    library.fegetenv(before)
    changed = (ctypes.c_uint32 * _WORDS)(*before)
    changed[_MXCSR] |= _AS_ZEROS
    library.fesetenv(changed)
    try:
        yield
    finally:
        library.fesetenv(before)


@cache
def _math_library() -> ctypes.CDLL | None:
    if sys.platform != "linux" or processor() != "x86_64" or sys.maxsize < 2**32:
        return None
    try:
        return ctypes.CDLL("libm.so.6")  # glibc's; another C library has another name
    except OSError:
        return None
