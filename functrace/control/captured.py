"""Arrays a jitted function captured: copied when traced, compared when called."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.errors import CapturedArrayChangedError, compose
from functrace.interpreters.staging import same_bits
from functrace.source_info import describe_function

__all__ = ["CapturedArrays"]

FULL_COMPARISON = 64 * 1024
_SAMPLES = 1024


class CapturedArrays:
    """The arrays a trace captured that may change, with what they held then.

    Arrays up to 64 KiB are compared in full; larger ones by a fingerprint of 1,024 elements
    spread evenly, and of the first and last ones. One that the function made while it was traced
    dies with it: nobody can change it any more.
    """

    def __init__(self, fun: Any, captured: Sequence[tuple[Any, Any]]) -> None:
        self.fun = fun
        self._kept = [
            (_reference(array), copy if array.nbytes <= FULL_COMPARISON else _fingerprint(copy))
            for array, copy in captured
        ]

    @property
    def some(self) -> bool:
        """Whether there are any that still may change."""
        self._kept = [(array, held) for array, held in self._kept if array() is not None]
        return bool(self._kept)

    def check(self) -> None:
        """Raise when one of the arrays has changed.

        Raises:
            CapturedArrayChangedError: naming the variable.
        """
        for reference, kept in self._kept:
            array = reference()
            if array is None:
                continue
            if isinstance(kept, bytes):
                same = _fingerprint(array) == kept
            else:
                same = same_bits(array, kept)
            if not same:
                name = _variable_name(self.fun, array)
                raise CapturedArrayChangedError(
                    compose(
                        f"{describe_function(self.fun)} captured the array {name} (shape "
                        f"{array.shape}, dtype {array.dtype}), which has changed since it was "
                        "traced.",
                        "jit compiles captured arrays into the program as constants.",
                        "pass the array as an argument, or call .clear_cache() after the change.",
                    )
                )


def _reference(array: Any) -> Callable[[], Any]:
    """Return what gives the array while somebody else has it; a view may change without itself."""
    return weakref.ref(array) if array.base is None else lambda: array


def _fingerprint(array: Any) -> bytes:
    flat = array.reshape(-1) if array.flags.c_contiguous else array.ravel()
    step = max(1, flat.size // _SAMPLES)
    picked = np.concatenate([flat[::step], flat[:16], flat[-16:]])
    return hashlib.blake2b(picked.tobytes(), digest_size=16).digest()


def _variable_name(fun: Any, array: Any) -> str:
    """Return the name under which the function sees the array."""
    inner = getattr(fun, "__wrapped__", fun)
    code = getattr(inner, "__code__", None)
    if code is not None:
        for name, cell in zip(code.co_freevars, inner.__closure__ or ()):
            if cell.cell_contents is array:
                return repr(name)
        for name in code.co_names:
            if inner.__globals__.get(name) is array:
                return repr(name)
    return "(unnamed)"
