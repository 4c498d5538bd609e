"""jit: trace once per signature, compile, and call the machine code ever after."""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functrace import tree
from functrace.compiler.runtime.cache import MemoryCache
from functrace.config import config, on_change
from functrace.control.buffers import (
    check_buffers,
    copy_into,
    leaves_room_for_out,
    refuse_traced_call,
)
from functrace.control.captured import CapturedArrays
from functrace.control.donation import give_back, match_donated, run_donating
from functrace.control.eject import write_module
from functrace.control.explain import JitCacheInfo, explain_miss
from functrace.control.fastcall import MISS, FastCall, make_fast_call, straight_class
from functrace.control.host.float_checks import raise_where_nan_is_made
from functrace.control.jit_primitive import bind_jit, compiled, is_compiled
from functrace.control.signature import CallSignature, ReadCall, Statics, read_call
from functrace.control.stages import Lowered, Traced
from functrace.core.arguments import flat_values, require_callable
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.core.trace import EVAL, Tracer, detours, state
from functrace.errors import compose
from functrace.interpreters.staging import stage
from functrace.source_info import api_boundary, describe_function

if TYPE_CHECKING:
    from functrace.compiler.pipeline import Compiled
    from functrace.compiler.runtime.program import Program

__all__ = ["JitFunction", "jit", "named_call"]

FAST_CALLS = 8
"""How many signatures are tried before a call takes the general path."""

_fast_calls_allowed = True


def _follow_config() -> None:
    global _fast_calls_allowed
    _fast_calls_allowed = not (config.disable_jit or config.debug_nans)
    (detours.discard if _fast_calls_allowed else detours.add)("a setting")


on_change("disable_jit", _follow_config)
on_change("debug_nans", _follow_config)
_follow_config()

TRACES = 4096
"""How many signatures a jitted function keeps, the most recently used ones."""


def _no_program(*args: Any) -> None:
    """Say that a call must look further, as programs do of arguments that aren't theirs."""


class _TraceOf:
    """One signature of a jitted function: its jaxpr, and the structure of its output.

    ``tracer_consts`` are values of outer transformations the function closes over; they are the
    jaxpr's first inputs.
    """

    def __init__(self, fun: Any, call: ReadCall, name: str) -> None:
        out_tree: Any = None

        def flat_fun(*leaves: Any) -> list[Any]:
            nonlocal out_tree
            args, kwargs = call.rebuild(leaves)
            place = f"an output of {describe_function(fun)}"
            outs, out_tree = flat_values(fun(*args, **kwargs), place)
            return outs

        captured: list[tuple[Any, Any]] = []
        closed = stage(flat_fun, call.avals, name, captured)
        self.name = name
        self.out_tree = out_tree
        self.captured = CapturedArrays(fun, captured)
        self.closed, self.tracer_consts = _hoist_tracers(closed)

    @property
    def reusable(self) -> bool:
        """Whether later calls may use it: it holds no value of an outer transformation."""
        return not self.tracer_consts


def _hoist_tracers(closed: ClosedJaxpr) -> tuple[ClosedJaxpr, list[Any]]:
    """Turn constants that are tracers into leading inputs."""
    jaxpr = closed.jaxpr
    pairs = list(zip(jaxpr.constvars, closed.consts))
    hoisted = [(v, c) for v, c in pairs if isinstance(c, Tracer)]
    kept = [(v, c) for v, c in pairs if not isinstance(c, Tracer)]
    jaxpr.constvars = [v for v, _ in kept]
    jaxpr.invars = [*(v for v, _ in hoisted), *jaxpr.invars]
    return ClosedJaxpr(jaxpr, [c for _, c in kept]), [c for _, c in hoisted]


class JitFunction:
    """A function compiled by ``jit``; call it like the original."""

    def __init__(
        self,
        fun: Callable[..., Any],
        static_argnums: int | Iterable[int] | None = None,
        static_argnames: str | Iterable[str] | None = None,
        donate_argnums: int | Iterable[int] | None = None,
        donate_argnames: str | Iterable[str] | None = None,
        inline: bool = False,
        threads: int | None = None,
    ) -> None:
        functools.update_wrapper(self, fun)
        self._fun = fun
        self._name = str(getattr(fun, "__name__", type(fun).__name__))
        self._statics = Statics(fun, static_argnums, static_argnames)
        self._donated = Statics(fun, donate_argnums, donate_argnames)
        self._inline = inline
        self._threads = _checked_threads(threads)
        self._takes_out = leaves_room_for_out(fun)
        self._misses = 0
        self._traces: MemoryCache[CallSignature, _TraceOf] = MemoryCache(TRACES)
        self._fast_calls: dict[Any, FastCall] = {}
        self._fast: tuple[FastCall, ...] = ()
        self._program: Callable[..., Any] = _no_program

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the compiled function, tracing and compiling it first for a new signature."""
        return self._call_otherwise(args, kwargs)

    def _call_otherwise(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Call where the class, which may be one for the first signature, has no shorter way."""
        if state.trace is EVAL and _fast_calls_allowed:
            for fast in self._fast:
                result = fast(args, kwargs)
                if result is not MISS:
                    return result
        return self._call(args, kwargs)

    @api_boundary
    def _call(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if self._takes_out and "out" in kwargs:
            kwargs = dict(kwargs)
            out = kwargs.pop("out")
            if out is not None:
                return self._call_into(args, kwargs, out)
        if config.disable_jit:
            return self._fun(*args, **kwargs)
        call = self._read(args, kwargs)
        traced = self._trace(call)
        traced.captured.check()
        if state.trace is EVAL and traced.reusable:
            return self._run(call, traced, args, kwargs)
        leaves = [*traced.tracer_consts, *call.leaves]
        if self._inline:
            outs = eval_jaxpr(traced.closed.jaxpr, traced.closed.consts, *leaves)
        else:
            outs = bind_jit(traced.closed, self._name, leaves, self._threads)
        return traced.out_tree.unflatten(outs)

    def _call_into(self, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Any:
        """Write the results into the arrays of ``out`` and return it."""
        name = f"jit of {describe_function(self._fun)}"
        if state.trace is not EVAL:
            refuse_traced_call(name)
        if config.disable_jit:
            copy_into(out, self._fun(*args, **kwargs), name)
            return out
        call = self._read(args, kwargs)
        traced = self._trace(call)
        traced.captured.check()
        buffers = check_buffers(out, traced.out_tree, traced.closed.out_avals, name)
        program = self._compiled(traced)
        program.program.run_into(call.leaves, buffers)
        if config.debug_nans:
            raise_where_nan_is_made(traced.closed, call.leaves, buffers)
        self._keep_fast((call.key, "out"), call, traced, args, kwargs, out=out)
        return out

    def _compiled(self, traced: _TraceOf, donated: Sequence[tuple[int, int]] = ()) -> Compiled:
        return compiled(traced.closed, self._name, self._threads, donated)

    def _run(
        self, call: ReadCall, traced: _TraceOf, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        donated = self._donated_leaves(args, kwargs)
        pairs = match_donated(donated, call.avals, traced.closed.out_avals)
        if pairs and config.backend == "llvm":
            outs = run_donating(self._compiled(traced, pairs).program, pairs, call.leaves)
        else:
            outs = self._compiled(traced)(*call.leaves)
        if config.debug_nans:
            raise_where_nan_is_made(traced.closed, call.leaves, outs)
        if pairs:
            give_back([(call.leaves[leaf], out) for leaf, out in pairs], outs)
        self._keep_fast(call.key, call, traced, args, kwargs, donations=pairs)
        return traced.out_tree.unflatten(outs)

    def _keep_fast(
        self,
        key: Any,
        call: ReadCall,
        traced: _TraceOf,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        **options: Any,
    ) -> None:
        if key in self._fast_calls or self._traces.get(call.key) is not traced:
            return
        pairs = options.get("donations") or () if config.backend == "llvm" else ()
        program = self._compiled(traced, pairs)
        self._fast_calls[key] = make_fast_call(
            self._statics, args, kwargs, traced.out_tree, program, traced.captured, **options
        )
        self._fast = tuple(self._fast_calls.values())[-FAST_CALLS:]
        plain = not (kwargs or options.get("donations") or self._statics or traced.captured.some)
        if plain and len(self._fast_calls) == 1 and type(self) is JitFunction:
            self._go_straight(args, traced.out_tree, program.program)

    def _go_straight(self, args: Sequence[Any], out_tree: Any, program: Program) -> None:
        """Let calls like the first one go to their program with nothing in between."""
        straight = straight_class(JitFunction, args, out_tree)
        if straight is not None:
            self._program = program.call_for_one() if out_tree.is_leaf() else program.call
            self.__class__ = straight

    def _go_no_longer_straight(self) -> None:
        self.__class__, self._program = JitFunction, _no_program

    def _read(self, args: Sequence[Any], kwargs: dict[str, Any]) -> ReadCall:
        return read_call(self._fun, self._statics, args, kwargs)

    def _donated_leaves(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[bool]:
        if not self._donated:
            return []
        donated: list[bool] = []
        for i, arg in enumerate(args):
            if i not in self._statics.argnums:
                donated += [i in self._donated.argnums] * len(tree.leaves(arg))
        for key in sorted(kwargs):  # the order in which their leaves are flattened
            if key not in self._statics.argnames:
                donated += [key in self._donated.argnames] * len(tree.leaves(kwargs[key]))
        return donated

    def _trace(self, call: ReadCall) -> _TraceOf:
        known = self._traces.get(call.key)
        if known is None:
            if config.explain_cache_misses:
                print(explain_miss(self._fun, call.key, self._traces.keys(), self._misses))
            self._misses += 1
            known = _TraceOf(self._fun, call, self._name)
            if known.reusable:
                self._drop_fast(self._traces.put(call.key, known))
        return known

    def _drop_fast(self, dropped: Sequence[tuple[CallSignature, _TraceOf]]) -> None:
        """Forget the fast paths of traces that the limit has dropped."""
        for key, _ in dropped:
            self._fast_calls.pop(key, None)
            self._fast_calls.pop((key, "out"), None)
        if dropped:
            self._fast = tuple(self._fast_calls.values())[-FAST_CALLS:]
            self._go_no_longer_straight()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind as a method; ``self`` must be a pytree or static (``static_argnums=0``)."""
        return self if instance is None else types.MethodType(self, instance)

    @api_boundary
    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """Trace for these arguments (arrays or ``ShapeDtypeStruct``) without running.

        Example:
            >>> print(jit(lambda x: x + 1.0).trace(2.0).jaxpr)
            { lambda ; a:f64[]. let
                b:f64[] = add a 1.0:f64[]
              in (b,) }
        """
        call = self._read(args, kwargs)
        traced = self._trace(call)
        return Traced(traced.closed, traced.out_tree, call.key, self._name, self)

    @api_boundary
    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Trace and prepare for compilation; ``.as_text(stage)`` shows any stage."""
        return self.trace(*args, **kwargs).lower()

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Return the tree of output types for these arguments."""
        traced = self.trace(*args, **kwargs)
        return traced.out_info

    def clear_cache(self) -> None:
        """Forget every trace and compiled program of this function."""
        self._traces.clear()
        self._fast_calls.clear()
        self._fast = ()
        self._go_no_longer_straight()
        self._misses = 0

    def cache_info(self) -> JitCacheInfo:
        """Return how often this function was traced, and what it keeps.

        Example:
            >>> double = jit(lambda x: 2 * x)
            >>> double(1.0), double(3.0), double(1)
            (np.float64(2.0), np.float64(6.0), np.int64(2))
            >>> double.cache_info()
            JitCacheInfo(misses=2, traces=2, programs=2)
        """
        programs = sum(is_compiled(t.closed) for t in self._traces.values())
        return JitCacheInfo(self._misses, len(self._traces), programs)

    @api_boundary
    def eject(self, path: str | os.PathLike[str], /, *args: Any, **kwargs: Any) -> Path:
        """Write the program for these arguments as a module that needs NumPy and Numba only.

        The module has one function, named like this one, of the arguments that aren't static. Its
        kernels are Numba functions of arrays, its steps plain Python; it runs on one thread. Its
        results are the compiled program's to the bit, except for matrix products large enough for
        a BLAS, and factorisations large enough for LAPACK: those are NumPy's, whose last bits
        depend on the BLAS that NumPy has, or plain loops. Of output containers that Python lacks
        it returns a tuple of the leaves.

        Args:
            path: the file to write, ``*.py``. Large constants go to an ``.npz`` file beside it.
            args: arrays or ``ShapeDtypeStruct``, as for a call.
            kwargs: likewise.

        Returns:
            The path.

        Raises:
            NotImplementedError: the program calls Python.

        Example:
            >>> import tempfile
            >>> import numpy as np
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     path = jit(lambda x: 2.0 * x).eject(folder + "/double.py", np.ones(3))
            ...     "import functrace" in path.read_text()
            False
        """
        call, program = self._program_for(args, kwargs)
        traced = self._trace(call)
        dynamic = [None if i in self._statics.argnums else a for i, a in enumerate(args)]
        named = {k: v for k, v in kwargs.items() if k not in self._statics.argnames}
        skipped = [i for i in range(len(args)) if i in self._statics.argnums]
        return write_module(
            Path(path), self._fun, program, (dynamic, named), skipped, traced.out_tree
        )

    @api_boundary
    def _program_for(
        self, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> tuple[ReadCall, Compiled]:
        """Return a call taken apart, and its program."""
        call = self._read(args, kwargs)
        traced = self._trace(call)
        traced.captured.check()
        return call, self._compiled(traced)

    def _cache_size(self) -> int:
        return len(self._traces)

    def __repr__(self) -> str:
        return f"<jit of {describe_function(self._fun)}>"


def jit(fun: Any = None, /, **options: Any) -> Any:
    """Return ``fun`` compiled to native kernels.

    The function is traced once for each combination of static values, tree structures, shapes
    and dtypes, fused, compiled for this CPU and run without the interpreter. NumPy arrays go in
    and come out. Python control flow must not depend on traced values. A function keeps the 4,096
    traces that were used last.

    Args:
        fun: a function of arrays; without it, a decorator with options is returned.
        static_argnums: positions of arguments that are hashable Python values; a new value is a
            new trace.
        static_argnames: likewise by name.
        donate_argnums: positions of arrays that may be overwritten, and are then returned as the
            outputs of their type; when the call raises, what they hold is unspecified.
        donate_argnames: likewise by name.
        inline: when called while something else is traced, put the equations there instead of
            one ``jit`` equation.
        threads: most threads a call may use; the results are the same bits for any number.
            ``config.threads`` limits all programs.

    Returns:
        A ``JitFunction``: call it like ``fun``; ``.lower(*args)``, ``.trace(*args)``,
        ``.cache_info()`` and ``.eject(path, *args)`` look inside. A call with ``out=``, a tree
        like the output of writable arrays of exactly its shapes and dtypes, writes the results
        there, allocates nothing in the steady state, and returns that tree; when it raises, what
        the arrays hold is unspecified. If ``fun`` has a parameter ``out`` of its own, or takes
        any keyword, ``out`` is passed on to it (NumPy's functions excepted).

    Raises:
        TracerBoolConversionError: ``if`` or ``while`` on a traced value; with the line.
        CapturedArrayChangedError: an array the function captured was changed after tracing.

    Example:
        >>> import numpy as np
        >>> @jit
        ... def scaled(x, a):
        ...     return a * np.tanh(x)
        >>> scaled(np.zeros(2), 3.0)
        array([0., 0.])
        >>> buffer = np.empty(2)
        >>> scaled(np.zeros(2), 3.0, out=buffer) is buffer
        True
    """
    allowed = {
        "static_argnums",
        "static_argnames",
        "donate_argnums",
        "donate_argnames",
        "inline",
        "threads",
    }
    ignored = {"keep_unused", "device", "backend"}
    unknown = set(options) - allowed - ignored
    if unknown:
        raise TypeError(f"jit got unknown options: {', '.join(sorted(unknown))}")
    options = {k: v for k, v in options.items() if k in allowed}
    if fun is None:
        return functools.partial(_jit_with, options)
    return _jit_with(options, fun)


def _jit_with(options: dict[str, Any], fun: Callable[..., Any]) -> JitFunction:
    require_callable(fun, "jit")
    return JitFunction(fun, **options)


def _checked_threads(threads: Any) -> int | None:
    if threads is None:
        return None
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(
            compose(
                f"jit got threads={threads!r}.",
                then="a number from 1 on, or None for no limit of its own.",
            )
        )
    return threads


def named_call(fun: Callable[..., Any], *, name: str | None = None) -> Callable[..., Any]:
    """Return ``fun`` with a name that jaxprs show: its equations become one named equation.

    Args:
        fun: a function of arrays.
        name: the name to show; the function's own without it.

    Example:
        >>> from functrace import make_jaxpr
        >>> print(make_jaxpr(named_call(lambda x: x * 2.0, name="double"))(1.0))
        { lambda ; a:f64[]. let
            b:f64[] = jit[
              jaxpr={ lambda ; a:f64[]. let
                  b:f64[] = mul a 2.0:f64[]
                in (b,) }
              name=double
            ] a
          in (b,) }
    """
    require_callable(fun, "named_call")
    inner = JitFunction(fun)
    if name is not None:
        inner._name = name

    @functools.wraps(fun)
    def named(*args: Any, **kwargs: Any) -> Any:
        return fun(*args, **kwargs) if state.trace is EVAL else inner(*args, **kwargs)

    return named
