"""Look at values while they are computed: print, callback, breakpoint; also from compiled code."""

from __future__ import annotations

import pdb
import sys
import types
from collections.abc import Callable
from typing import IO, Any

from functrace import tree
from functrace.control.host.callbacks import debug_callback
from functrace.core.arguments import require_callable
from functrace.core.trace import Tracer
from functrace.debug.formatting import check_fields
from functrace.source_info import SourceInfo, api_boundary, user_frame

__all__ = ["breakpoint", "callback", "print"]

_python_print = print


@api_boundary
def callback(
    callback: Callable[..., Any], *args: Any, ordered: bool = False, **kwargs: Any
) -> None:
    """Call a Python function with the values of its arguments, also from compiled code.

    It is called even where nothing depends on it, once for each lane under ``vmap``, and never
    changes a derivative. What it returns is dropped; what it raises, the caller gets.

    Args:
        callback: the function.
        args: arguments; arrays are given as NumPy arrays, other leaves as they are.
        ordered: all callbacks of a program keep their order here, so this changes nothing.
        kwargs: arguments by name.

    Example:
        >>> import functrace as ft
        >>> seen = []
        >>> _ = ft.grad(ft.jit(lambda x: (callback(seen.append, x), x * x)[1]))(3.0)
        >>> seen
        [np.float64(3.0)]
    """
    require_callable(callback, "debug.callback")
    debug_callback(callback, *args, **kwargs)


@api_boundary
def print(fmt: str, *args: Any, ordered: bool = False, **kwargs: Any) -> None:
    """Print values while they are computed, also from compiled code and inside loops.

    Args:
        fmt: a format string, ``"x is {x}"``; its fields are the arguments.
        args: values.
        ordered: all callbacks of a program keep their order here, so this changes nothing.
        kwargs: values by name.

    Example:
        >>> import functrace as ft
        >>> @ft.jit
        ... def f(x):
        ...     ft.debug.print("x is {x:.2f}", x=x)
        ...     return x
        >>> _ = f(3.0)
        x is 3.00
    """
    check_fields("debug.print", fmt, args, kwargs)

    def show(*values: Any, **named: Any) -> None:
        _python_print(fmt.format(*values, **named))

    debug_callback(show, *args, **kwargs)


# --- breakpoint --------------------------------------------------------------------------------


@api_boundary
def breakpoint(*, stdin: IO[str] | None = None, stdout: IO[str] | None = None) -> None:
    """Stop here in Python's debugger when the value of this line is computed.

    The debugger shows the local variables with the values they have then, also inside compiled
    code and loops; ``c`` goes on, ``q`` ends the program with ``bdb.BdbQuit``.

    Args:
        stdin: where commands come from; the terminal without it.
        stdout: where the debugger writes.

    Example:
        >>> import io
        >>> import functrace as ft
        >>> @ft.jit
        ... def f(x):
        ...     y = x + 1.0
        ...     ft.debug.breakpoint(stdin=io.StringIO("p y\\nc\\n"), stdout=None)
        ...     return y
        >>> f(2.0)                                                    # doctest: +SKIP
        (Pdb) np.float64(3.0)
        np.float64(3.0)
    """
    frame = user_frame()
    assert frame is not None
    source = SourceInfo(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
    traced, plain = _locals(frame)
    around = {**frame.f_globals, **plain}

    def stop(values: dict[str, Any]) -> None:
        _run_debugger({**around, **values}, source, stdin, stdout)

    debug_callback(stop, traced)


def _locals(frame: types.FrameType) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the local variables that hold traced arrays, and the others."""
    traced: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for name, value in frame.f_locals.items():
        leaves = tree.leaves(value)
        holds = any(isinstance(v, Tracer) for v in leaves)
        (traced if holds else plain)[name] = value
    return traced, plain


def _run_debugger(
    namespace: dict[str, Any], source: SourceInfo, stdin: IO[str] | None, stdout: IO[str] | None
) -> None:
    debugger = pdb.Pdb(stdin=stdin, stdout=stdout, nosigint=True)
    debugger.use_rawinput = stdin is None
    namespace["__functrace_stop__"] = debugger.set_trace
    code = compile("__functrace_stop__()\npass", f"<functrace breakpoint at {source}>", "exec")
    tracing = sys.gettrace()
    try:
        exec(code, namespace)
    finally:
        sys.settrace(tracing)
