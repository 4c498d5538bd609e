"""Where in the user's code a call was made, and tracebacks without functrace's own frames."""

from __future__ import annotations

import functools
import os
import sys
import threading
import types
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np

from functrace.config import config

__all__ = [
    "SourceInfo",
    "api_boundary",
    "current_source",
    "describe_function",
    "is_internal",
    "replayed",
    "user_frame",
]

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_NUMPY = os.path.dirname(os.path.abspath(np.__file__)) + os.sep
_internal_codes: dict[types.CodeType, bool] = {}


class SourceInfo(NamedTuple):
    """A line of the user's code."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.function})"


def is_internal(code: types.CodeType) -> bool:
    """Tell whether a code is functrace's or NumPy's."""
    known = _internal_codes.get(code)
    if known is None:
        name = code.co_filename
        known = name.startswith((_PACKAGE, _NUMPY, "<functrace"))
        _internal_codes[code] = known
    return known


class _Replayed(threading.local):
    """The line of the equation that is being run again, in each thread."""

    source: SourceInfo | None = None


replayed = _Replayed()


def current_source() -> SourceInfo | None:
    """Return the innermost line that is neither functrace's nor NumPy's, or None.

    While a jaxpr is run again, that is the line its equation came from.
    """
    if replayed.source is not None:
        return replayed.source
    frame = user_frame()
    if frame is None:
        return None
    return _source(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


@functools.lru_cache(maxsize=4096)
def _source(file: str, line: int, function: str) -> SourceInfo:
    """Return a line, the same object each time: jaxprs keep one an equation."""
    return SourceInfo(file, line, function)


def user_frame() -> types.FrameType | None:
    """Return the innermost frame that is neither functrace's nor NumPy's, or None."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and is_internal(frame.f_code):
        frame = frame.f_back
    return frame


def describe_function(fun: object) -> str:
    """Return ``name (file:line)`` of a Python function, or its ``repr`` without a place."""
    inner = fun
    while isinstance(inner, functools.partial):
        inner = inner.func
    name = getattr(inner, "__name__", None) or type(inner).__name__
    code = getattr(inner, "__code__", None)
    if code is None or is_internal(code):
        return str(name)
    return f"{name} ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"


def _without_internal_frames(tb: types.TracebackType | None) -> types.TracebackType | None:
    kept = []
    while tb is not None:
        if not is_internal(tb.tb_frame.f_code):
            kept.append(tb)
        tb = tb.tb_next
    result: types.TracebackType | None = None
    for item in reversed(kept):
        result = types.TracebackType(result, item.tb_frame, item.tb_lasti, item.tb_lineno)
    return result


def _advice_behind(error: BaseException) -> BaseException:
    """Return functrace's own error when NumPy hid it behind its ``__cause__``."""
    cause = error.__cause__
    while cause is not None:
        if type(cause).__module__ == "functrace.errors":
            return cause
        cause = cause.__cause__
    return error


def api_boundary(fun: Callable[P, R]) -> Callable[P, R]:
    """Make errors leaving ``fun`` show the user's frames only, and functrace's own text."""

    @functools.wraps(fun)
    def bounded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return fun(*args, **kwargs)
        except Exception as error:
            shown = _advice_behind(error)
            if not config.full_tracebacks:
                shown = shown.with_traceback(_without_internal_frames(error.__traceback__))
            if shown is error:
                raise  # with the context and the cause the user gave it
            raise shown from None

    return bounded
