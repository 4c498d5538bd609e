"""Samples of the primitives that hold jaxprs: choices and loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import functrace.lax as lax
import functrace.numpy as fnp
from functrace.control.loops.while_reverse import run_forward
from functrace.core.aval import ShapedArray, typeof
from functrace.core.jaxpr import ClosedJaxpr
from functrace.interpreters.staging import stage
from samples import Sample, normal, samples

Samples = Iterator[Sample]
DType = np.dtype[Any]


def jaxpr_of(fun: Callable[..., Sequence[Any]], *like: Any) -> ClosedJaxpr:
    """Return the jaxpr of a function for operands like these."""
    avals = [a if isinstance(a, ShapedArray) else typeof(a) for a in like]
    return stage(fun, avals, "a sample")


# --- scan --------------------------------------------------------------------------------------


def scan_sample(
    body: Callable[..., Sequence[Any]],
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    length: int,
    reverse: bool = False,
    **options: Any,
) -> Sample:
    """Return a scan of ``body(*consts, *carry, *slices)``, which NumPy can run too."""
    slices = [ShapedArray(x.shape[1:], x.dtype) for x in xs]
    n = len(carry)

    def reference(*args: Any, **_: Any) -> list[Any]:
        state = list(args[len(consts) : len(consts) + n])
        rows = []
        for i in range(length)[:: -1 if reverse else 1]:
            outs = body(*args[: len(consts)], *state, *(x[i] for x in args[len(consts) + n :]))
            state = list(outs[:n])
            rows.append(outs[n:])
        return [*state, *(np.stack(column) for column in zip(*rows[:: -1 if reverse else 1]))]

    params = {
        "jaxpr": jaxpr_of(body, *consts, *carry, *slices),
        "length": length,
        "reverse": reverse,
        "num_consts": len(consts),
        "num_carry": n,
        "unroll": 1,
    }
    return Sample((*consts, *carry, *xs), params, reference=reference, ulp=64, tol=8.0, **options)


@samples("scan", dtypes="fc")
def _scan(rng: np.random.Generator, dtype: DType) -> Samples:
    x, y = normal(rng, dtype), normal(rng, dtype)
    rows, w = normal(rng, dtype, (4, 3)), normal(rng, dtype, (3, 3))
    yield scan_sample(lambda c, s: [c * s + s], [], [x], [rows[:, 0]], 4)
    yield scan_sample(lambda a, c, s: [np.sin(c) * a, c * s], [y], [x], [rows[:, 0]], 4)
    yield scan_sample(
        lambda a, c, s: [c + a * s, np.sum(c * s)], [y], [rows[0]], [rows], 4, reverse=True
    )
    # A product that changes the whole carry, and residuals that are the same at each step.
    yield scan_sample(lambda m, c, s: [np.sin(m) @ c + s], [w], [rows[1]], [rows], 4)
    yield scan_sample(lambda a, b, c: [b, a * b, a], [], [x, y, x], [], 3)
    yield scan_sample(lambda c, s: [s, c], [], [x], [rows[:, 1]], 4)
    yield scan_sample(lambda s: [s * s], [], [], [rows], 4)


@samples("scan", dtypes="f")
def _scan_with_counter(rng: np.random.Generator, dtype: DType) -> Samples:
    table = normal(rng, dtype, (5,))

    def step(t: Any, i: Any, c: Any) -> list[Any]:
        return [i + 1, c * fnp.take(t, i) + np.exp(c)]

    start = (np.int64(1), dtype.type(0.5))
    yield scan_sample(step, [table], start, [], 3, batch=False)
    yield scan_sample(lambda i, c, s: [i + 1, c * 2 + s, i], [], start, [table], 5)


# --- while -------------------------------------------------------------------------------------


def while_sample(
    goes_on: Callable[..., Any],
    body: Callable[..., Sequence[Any]],
    cond_consts: Sequence[Any],
    body_consts: Sequence[Any],
    carry: Sequence[Any],
    **options: Any,
) -> Sample:
    """Return a while loop of functions of constants and carry, which NumPy can run too."""
    n, m = len(cond_consts), len(cond_consts) + len(body_consts)

    def reference(*args: Any, **_: Any) -> list[Any]:
        state = list(args[m:])
        while goes_on(*args[:n], *state):
            state = list(body(*args[n:m], *state))
        return state

    params = {
        "cond_jaxpr": jaxpr_of(lambda *xs: [goes_on(*xs)], *cond_consts, *carry),
        "body_jaxpr": jaxpr_of(body, *body_consts, *carry),
        "cond_nconsts": n,
        "body_nconsts": m - n,
    }
    args = (*cond_consts, *body_consts, *carry)
    return Sample(args, params, reference=reference, ulp=64, tol=8.0, **options)


@samples("while", dtypes="f")
def _while(rng: np.random.Generator, dtype: DType) -> Samples:
    x, vector = dtype.type(0.7), normal(rng, dtype, (3,))
    counter = np.int64(0)
    yield while_sample(
        lambda n, i, c: i < n,
        lambda a, i, c: [i + 1, np.sin(c) * a],
        [np.int64(5)],
        [x],
        [counter, dtype.type(1.5)],
    )
    # How often it runs depends on the values.
    yield while_sample(
        lambda c, k: np.sum(c * c) < 100.0,
        lambda a, c, k: [c * c + 1.0 + a, k + a],
        [],
        [x],
        [np.abs(vector), x],
    )
    yield while_sample(lambda c: c < 0.0, lambda c: [c * c], [], [], [x])


@samples("while_linear", dtypes="f")
def _while_linear(rng: np.random.Generator, dtype: DType) -> Samples:
    a, x, t, u = (dtype.type(v) for v in (0.7, 1.5, -0.3, 0.4))
    cond = jaxpr_of(lambda n, c: [c < n], a, x)
    body = jaxpr_of(lambda a, c: [c * c + a], a, x)
    limit = dtype.type(100)
    _, kept = run_forward(cond, body, [limit], [a], [x])
    params = {"cond_jaxpr": cond, "body_jaxpr": body, "consts": (True,), "carry": (True,)}

    def reference(*args: Any, **_: Any) -> list[Any]:
        limit, a, x, t, u = args[3:]
        while x < limit:
            x, u = x * x + a, 2 * x * u + t
        return [u]

    args = (*kept.flat(), limit, a, x, t, u)
    yield Sample(args, params, reference=reference, diff=(4, 5, 6, 7), ulp=64, tol=8.0)


def squares(dtype: DType) -> tuple[ClosedJaxpr, ClosedJaxpr, list[Any], list[Any]]:
    """Return a condition, a body, what they are given, and what was kept of a run."""
    a, x, limit = (dtype.type(v) for v in (0.7, 1.5, 100.0))
    cond = jaxpr_of(lambda n, c: [c < n], a, x)
    body = jaxpr_of(lambda a, c: [c * c + a], a, x)
    _, kept = run_forward(cond, body, [limit], [a], [x])
    return cond, body, [limit, a, x], kept.flat()


def pulled(limit: Any, a: Any, x: Any, ct: Any) -> list[Any]:
    """Pull a cotangent back through these squares, to the constant and the start."""
    path, total = [], 0 * x
    while x < limit:
        path.append(x)
        x = x * x + a
    for x in reversed(path):
        total, ct = total + ct, 2 * x * ct
    return [total, ct]


@samples("while_kept", dtypes="f")
def _while_kept(rng: np.random.Generator, dtype: DType) -> Samples:
    cond, body, given, _ = squares(dtype)
    params = {"cond_jaxpr": cond, "body_jaxpr": body, "cond_nconsts": 1, "body_nconsts": 1}

    def reference(limit: Any, a: Any, x: Any, **_: Any) -> list[Any]:
        buffer = np.zeros(1025, dtype)
        steps = 0
        while x < limit:
            buffer[steps] = x
            steps, x = steps + 1, x * x + a
        return [np.int64(steps), np.int64(0), buffer, x]

    # What is kept has tangents in forward mode only: `test_while_derivatives.py` has the laws.
    yield Sample(tuple(given), params, reference=reference, diff=(), ulp=64, tol=8.0)


@samples("while_pull", dtypes="f")
def _while_pull(rng: np.random.Generator, dtype: DType) -> Samples:
    cond, body, given, kept = squares(dtype)
    flags = {"consts": (True,), "carry": (True,), "ct": (True,)}
    params = {"cond_jaxpr": cond, "body_jaxpr": body, **flags}
    # What is kept belongs to what it starts from: only the cotangent moves alone.
    yield Sample(
        (*kept, *given, dtype.type(0.3)),
        params,
        reference=lambda *args, **_: pulled(*args[3:]),
        diff=(6,),
        lanes=[(*kept, *given, dtype.type(c)) for c in (-0.2, 0.9)],
        ulp=64,
        tol=8.0,
    )


@samples("while_pull_linear", dtypes="f")
def _while_pull_linear(rng: np.random.Generator, dtype: DType) -> Samples:
    cond, body, given, _ = squares(dtype)
    flags = {"consts": (True,), "carry": (True,), "ct": (True,)}
    params = {"cond_jaxpr": cond, "body_jaxpr": body, **flags, "moves": (True,) * 3}
    tangents = [dtype.type(v) for v in (-0.3, 0.4, 0.2)]

    def reference(limit: Any, a: Any, x: Any, c: Any, *tangents: Any, **_: Any) -> list[Any]:
        h = 1e-20
        moved = [v + 1j * h * t for v, t in zip((a, x, c), map(np.float64, tangents))]
        path, total, (a, x, ct) = [], 0.0, moved
        while x.real < limit:
            path.append(x)
            x = x * x + a
        for x in reversed(path):
            total, ct = total + ct, 2 * x * ct
        return [dtype.type(v.imag / h) for v in (total, ct)]

    args = (*given, dtype.type(0.3), *tangents)
    yield Sample(args, params, reference=reference, diff=(1, 2, 3, 4, 5, 6), ulp=256, tol=8.0)


# --- cond --------------------------------------------------------------------------------------


@samples("cond", dtypes="fc")
def _cond(rng: np.random.Generator, dtype: DType) -> Samples:
    x, y, vector = normal(rng, dtype), normal(rng, dtype), normal(rng, dtype, (3,))
    functions: list[Callable[..., Any]] = [
        lambda x, y, v: [np.sin(x) * y, v * x],
        lambda x, y, v: [y, v],
        lambda x, y, v: [x * x * np.exp(y), v * v + lax.full((3,), 1, dtype)],
    ]
    branches = tuple(jaxpr_of(f, x, y, vector) for f in functions)

    def reference(index: Any, *args: Any, branches: Any) -> Any:
        return functions[int(index)](*args)

    lanes = [[np.int32(i), y, x, vector[::-1]] for i in (2, 0)]
    for index in range(3):
        args = (np.int32(index), x, y, vector)
        yield Sample(args, {"branches": branches}, reference=reference, lanes=lanes)
