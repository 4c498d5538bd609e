"""Division by what stays the same throughout a loop: a reciprocal, and the bits of a division."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import check, trace

from functrace.compiler.codegen.kernels import StepCode
from functrace.compiler.ir.kernel_text import kernel_text
from functrace.compiler.pipeline import Compiled, compile_jaxpr
from functrace.compiler.runtime import mode_ir
from functrace.config import config
from functrace.ops.arithmetic import add, div
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.exponentials import exp

RNG = np.random.default_rng(0)
TINY, LARGEST = np.finfo(float).tiny, np.finfo(float).max
SIZES = (TINY, TINY * 4, 2.0**-967, 2.0**-960, 1.0, 3.0, 2.0**1021, LARGEST / 4, LARGEST, np.inf)
EXTREMES = np.array(
    [*SIZES, *(-s for s in SIZES), 0.0, -0.0, 5e-324, np.nan, 1 - 2.0**-53, 1 + 2.0**-52]
)


def divided(x: Any, y: Any) -> list[Any]:
    return [div(x, broadcast_in_dim(y, x.shape, (0,)))]


def text_of(compiled: Compiled) -> str:
    (code,) = compiled.compilation.codes
    assert isinstance(code, StepCode)
    return kernel_text(code.kernel)


def same_bits(x: Any, y: Any, backend: str | None = None) -> None:
    with np.errstate(all="ignore"):
        want = x / y[:, None]
        compiled = check(divided, x, y, backend=backend)
    assert "math.quotient" in text_of(compiled)
    (got,) = compiled(x, y)
    np.testing.assert_array_equal(got, want)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))


@pytest.mark.parametrize("backend", ["llvm", "python"])
def test_extremes(backend: str) -> None:
    n = len(EXTREMES)
    same_bits(np.tile(np.repeat(EXTREMES, 24), (n, 1)), EXTREMES, backend)


def test_numbers_of_every_size() -> None:
    y = RNG.uniform(1, 2, 600) * np.exp2(RNG.integers(-1074, 1023, 600))
    x = RNG.uniform(-2, 2, (600, 700)) * np.exp2(RNG.integers(-1074, 1023, (600, 700)))
    same_bits(x, y)


@pytest.mark.skipif(not mode_ir.can_flush(), reason="the control word isn't known")
def test_subnormal_numbers_may_count_as_zero() -> None:
    def flushed(v: Any) -> Any:
        return np.where(np.abs(v) < TINY, np.copysign(0.0, v), v)

    y = RNG.uniform(1, 2, 400) * np.exp2(RNG.integers(-1074, 1023, 400))
    x = RNG.uniform(-2, 2, (400, 700)) * np.exp2(RNG.integers(-1074, 1023, (400, 700)))
    # Quotients next to the bound below which a product that corrects them is subnormal.
    x[:, ::3] = y[:, None] * RNG.uniform(1, 4, (400, 234)) * np.exp2(RNG.integers(-1021, -950, 234))
    with np.errstate(all="ignore"):
        want = flushed(flushed(x) / flushed(y)[:, None])
    with config.override(flush_subnormals=True):
        compiled = compile_jaxpr(trace(divided, x, y))
        (got,) = compiled(x, y)
    assert "math.quotient" in text_of(compiled)
    np.testing.assert_array_equal(got, want)


def test_quotients_close_to_half_a_place() -> None:
    """Mantissas next to powers of two and to each other are the hardest to divide."""
    near = np.concatenate([1 + np.arange(200) * 2.0**-52, 2 - np.arange(1, 201) * 2.0**-52])
    same_bits(np.tile(near, (400, 1)), near)
    products = RNG.uniform(1, 2, (500, 500))
    y = RNG.uniform(1, 2, 500)
    for step in (0.0, 2.0**-52, -(2.0**-52)):
        same_bits(products * y[:, None] + step, y)


def test_other_divisors_are_left_alone() -> None:
    x, y = RNG.normal(size=(40, 500)), RNG.normal(size=(40, 500))
    assert "quotient" not in text_of(check(lambda x, y: [div(x, add(y, 9.0))], x, y))
    one = RNG.normal(size=40).astype("f4")
    assert "quotient" not in text_of(check(divided, x.astype("f4"), one))


def test_divisors_computed_within_the_loop() -> None:
    x, y = RNG.normal(size=(40, 500)), RNG.normal(size=40)

    def fun(x: Any, y: Any) -> list[Any]:
        s = broadcast_in_dim(y, x.shape, (0,))
        return [div(exp(x), add(exp(s), 1.0)), div(x, s)]

    check(fun, x, y)
    check(lambda x, y: [div(x, y)], x, np.float64(3.7))
    check(divided, np.ones((0, 500)), np.ones(0))
    check(divided, np.ones((5, 0)), np.ones(5))
