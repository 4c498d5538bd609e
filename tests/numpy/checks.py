"""How a case is checked: traced, differentiated, batched and compiled, against NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from cases import Case

import functrace as ft
import functrace.numpy as fnp
from functrace import tree
from functrace.core.jaxpr import eval_jaxpr

TOLERANCE = {"e": 4e-3, "f": 2e-6, "d": 1e-12, "F": 2e-6, "D": 1e-12}


def expected(case: Case, *args: Any) -> list[np.ndarray[Any, Any]]:
    """Return NumPy's own results."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return leaves(case.call(np, *args))


def leaves(value: Any) -> list[Any]:
    """Return the arrays of a result."""
    return [np.asarray(v) for v in tree.leaves(value)]


def traced(case: Case) -> Callable[..., Any]:
    """Return the case as a function of arrays, in functrace.numpy."""
    return lambda *args: tree.leaves(case.call(fnp, *args))


def assert_alike(got: list[Any], want: list[Any], rtol: float | None = None) -> None:
    """Assert equal dtypes and shapes, and near values."""
    assert len(got) == len(want)
    for g, w in zip(got, want):
        g = np.asarray(g)
        assert g.dtype == w.dtype, f"dtype {g.dtype}, not {w.dtype}"
        assert g.shape == w.shape, f"shape {g.shape}, not {w.shape}"
        if w.dtype.kind not in "fc":
            np.testing.assert_array_equal(g, w)
            continue
        tolerance = max(TOLERANCE.get(w.dtype.char, 1e-12), rtol or 0.0)
        np.testing.assert_allclose(g, w, rtol=tolerance, atol=tolerance)


def check_traced(case: Case, args: tuple[Any, ...] | None = None) -> None:
    """Compare the interpreted jaxpr with NumPy."""
    args = case.args if args is None else args
    with np.errstate(all="ignore"):
        want = expected(case, *args)
        closed = ft.make_jaxpr(traced(case))(*args)
        got = eval_jaxpr(closed.jaxpr, closed.consts, *args)
    assert_alike(leaves(got), want, case.rtol)


def check_batched(case: Case) -> None:
    """Compare ``vmap`` with a loop over lanes."""
    lanes = [np.stack([a, np.flip(a), a]) for a in case.args]
    got = ft.vmap(traced(case))(*lanes)
    rows = [expected(case, *(a[i] for a in lanes)) for i in range(3)]
    want = [np.stack(column) for column in zip(*rows)]
    assert_alike(leaves(got), want, case.rtol)


def check_compiled(case: Case) -> None:
    """Compare the compiled program with NumPy."""
    got = ft.jit(traced(case))(*case.args)
    assert_alike(leaves(got), expected(case, *case.args), max(case.rtol, 1e-11))


def check_differentiated(case: Case, eps: float = 1e-6) -> None:
    """Compare ``jvp`` with central differences, and ``vjp`` with ``jvp``."""
    rng = np.random.default_rng(1)
    moving = [i for i, a in enumerate(case.args) if a.dtype.kind == "f"]
    tangents = [rng.normal(size=case.args[i].shape) for i in moving]

    def at(*values: Any) -> Any:
        args = list(case.args)
        for i, v in zip(moving, values):
            args[i] = v
        return [v for v in traced(case)(*args) if np.dtype(v.dtype).kind == "f"]

    primals = [np.asarray(case.args[i]) for i in moving]
    outs, slopes = ft.jvp(at, tuple(primals), tuple(tangents))
    above = at(*(p + eps * t for p, t in zip(primals, tangents)))
    below = at(*(p - eps * t for p, t in zip(primals, tangents)))
    for slope, hi, lo in zip(slopes, above, below):
        want = (np.asarray(hi) - np.asarray(lo)) / (2 * eps)
        np.testing.assert_allclose(slope, want, rtol=2e-5, atol=2e-6)
    cotangents = [rng.normal(size=np.shape(o)) for o in outs]
    _, pullback = ft.vjp(at, *primals)
    pulled = pullback(cotangents)
    forward = sum(float(np.sum(c * s)) for c, s in zip(cotangents, slopes))
    backward = sum(float(np.sum(c * t)) for c, t in zip(pulled, tangents))
    np.testing.assert_allclose(forward, backward, rtol=1e-9, atol=1e-9)


def in_dtype(args: tuple[Any, ...], char: str) -> tuple[Any, ...]:
    """Return the arrays in another dtype; integers are kept small and, if unsigned, positive."""
    dtype = np.dtype(char)
    out = []
    for a in args:
        if dtype.kind in "iu":
            a = np.rint(np.abs(a) if dtype.kind == "u" else a)
        out.append(a.astype(dtype))
    return tuple(out)
