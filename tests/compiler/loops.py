"""What the tests of compiled loops share: a function under jit and as plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import functrace as ft
from functrace import tree
from functrace.compiler.pipeline import Compiled, compile_jaxpr
from functrace.compiler.plan import Group, OneKernel
from functrace.config import config


def compiled(fun: Callable[..., Any], *args: Any, backend: str | None = None) -> Compiled:
    """Return the program of a function for these arguments."""
    return compile_jaxpr(ft.make_jaxpr(fun)(*args), backend=backend)


def kinds(program: Compiled) -> list[str]:
    """Return the kinds of the groups of a program."""
    return [group.kind for group in program.compilation.groups]


def structures(program: Compiled) -> list[Group]:
    """Return the groups that are loops or branches."""
    return [g for g in program.compilation.groups if g.kind in ("sequence", "steps")]


def is_one_kernel(program: Compiled) -> bool:
    """Whether all loops and branches of a program are kernels."""
    ops = [g.body[0] for g in structures(program)]
    return bool(ops) and all(isinstance(op.lowering, OneKernel) for op in ops)


def check(fun: Callable[..., Any], *args: Any, rtol: float = 1e-13, form: str = "") -> Compiled:
    """Hold the compiled form of a function, natively and as Python, to Python's loops."""
    with config.override(checks=True):
        program = compiled(fun, *args)
        python = compiled(fun, *args, backend="python")
    flat = tree.leaves(args)
    with config.override(disable_jit=True), np.errstate(all="ignore"):
        want = tree.leaves(fun(*args))
    got = program(*flat)
    for g, p, w in zip(got, python(*flat), want, strict=True):
        assert np.shape(g) == np.shape(w)
        assert g.dtype == np.asarray(w).dtype
        np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol)
        np.testing.assert_array_equal(g, p)
    if form:
        assert form in kinds(program), program.as_text("fusion")
    return program
