"""Sums over what a scan makes are added up in its rounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from loops import check, compiled

import functrace.numpy as fnp
from functrace import lax

RNG = np.random.default_rng(0)


def rows(x: Any, c: Any, reverse: bool = False) -> Any:
    def step(s: Any, a: Any) -> Any:
        s = 0.5 * s + a * a + c
        return s, (s * a, fnp.log(s))

    return lax.scan(step, c, x, reverse=reverse)


def steps(program: Any) -> int:
    return len(program.program.steps)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 17, 100, 1024, 1025])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_all_lengths(dtype: str, n: int, reverse: bool) -> None:
    def total(x: Any, c: Any) -> Any:
        return fnp.sum(rows(x, c, reverse)[1][1])

    x = RNG.random(n).astype(dtype)
    rtol = 1e-5 if dtype == "float32" else 1e-13
    program = check(total, x, np.asarray(2.0, dtype), rtol=rtol)
    assert (steps(program) == 1) == (1 < n <= 1024)


def test_one_kernel_serves_all_lengths() -> None:
    def mean(x: Any) -> Any:
        return fnp.mean(rows(x, x[0])[1][0]) * 3.0

    assert len({compiled(mean, np.zeros(n)).as_text("kernels") for n in (9, 20, 21, 500)}) == 1


def test_folds_of_several_stacks_and_kinds() -> None:
    def folds(x: Any) -> Any:
        last, (a, b) = rows(x, 0.3)
        return last, fnp.max(a), fnp.sum(a * b - a), fnp.sum(fnp.exp(-b)) / 7.0, fnp.min(b)

    check(folds, RNG.random(50))


def test_stacks_that_others_read_are_stored() -> None:
    def kept(x: Any) -> Any:
        _, (a, b) = rows(x, 0.3)
        return fnp.sum(a), a, fnp.sum(b), b[::-1] * 2.0

    check(kept, RNG.random(50))


def test_rows_of_carries_and_constants() -> None:
    def odd(x: Any) -> Any:
        s, (before, same) = lax.scan(lambda s, a: (s + a, (s, x[0])), 0.1, x)
        return s, fnp.sum(before), fnp.sum(same)

    check(odd, RNG.random(40))


def test_other_sums_are_steps() -> None:
    """Integers, rows of several numbers, and sums together with other arrays."""

    def others(x: Any, n: Any) -> Any:
        def step(s: Any, row: Any) -> Any:
            a, m = row
            s = 0.5 * s + a
            return s, (m * 2, fnp.stack([s, a]), s * s)

        _, (ints, pairs, squares) = lax.scan(step, 0.0, (x, n))
        return fnp.sum(ints), fnp.sum(pairs), fnp.sum(pairs, axis=0), fnp.sum(squares * x)

    check(others, RNG.random(30), RNG.integers(0, 9, 30))


def test_nan_and_infinity() -> None:
    x = np.array([0.5, np.inf, -1.0, np.nan, 2.0] * 5)

    def both(x: Any) -> Any:
        _, ys = lax.scan(lambda s, a: (a, a * 2.0), 0.0, x)
        return fnp.sum(ys), fnp.max(ys)

    check(both, x)
    check(both, x[:3])
