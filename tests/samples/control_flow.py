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
