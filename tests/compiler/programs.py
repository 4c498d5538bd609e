"""What the tests of the compiler share: trace a function, compile it, hold it to eval_jaxpr."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.compiler.pipeline import Compiled, compile_jaxpr
from functrace.compiler.plan import ArrayProgram, Group
from functrace.compiler.planning.fusion import fuse
from functrace.compiler.planning.views import resolve_views
from functrace.compiler.rewriting.simplify import simplify
from functrace.core.aval import typeof
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.interpreters.staging import stage

Function = Callable[..., Sequence[Any]]


def trace(fun: Function, *args: Any) -> ClosedJaxpr:
    """Return the jaxpr of a function of arrays that returns a list."""
    return stage(fun, [typeof(a).strong() for a in args], "test")


def groups_of(fun: Function, *args: Any) -> list[Group]:
    """Return the fusion groups of a function."""
    return fuse(arrays_of(fun, *args))


def arrays_of(fun: Function, *args: Any) -> ArrayProgram:
    """Return a function's operations over arrays."""
    return resolve_views(simplify(trace(fun, *args)))


def names(group: Group) -> list[str]:
    """Return the names of a group's operations."""
    return [op.name for op in group.ops]


def check(fun: Function, *args: Any, backend: str | None = None, rtol: float = 1e-12) -> Compiled:
    """Compile a function and compare it with the interpreter."""
    closed = trace(fun, *args)
    compiled = compile_jaxpr(closed, backend=backend)
    before = [np.array(a) for a in args]
    got = compiled(*args)
    with np.errstate(all="ignore"):
        want = eval_jaxpr(closed.jaxpr, closed.consts, *args)
    assert len(got) == len(want)
    for g, w in zip(got, want):
        w = np.asarray(w)
        assert np.shape(g) == w.shape
        assert g.dtype == w.dtype
        np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol)
        if isinstance(g, np.ndarray):
            assert g.flags.carray
            assert not any(np.shares_memory(g, a) for a in args)
    arrays = [g for g in got if isinstance(g, np.ndarray) and g.size]
    for i, g in enumerate(arrays):
        assert not any(np.shares_memory(g, h) for h in arrays[:i])
    for a, b in zip(args, before):
        np.testing.assert_array_equal(a, b)
    return compiled
