"""Derivatives where there is no obvious one: kinks, ties, roots at zero, branches masked away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from functrace.interpreters.forward import jvp_flat
from functrace.interpreters.linearize import linearize_flat
from functrace.interpreters.reverse import backward_pass
from functrace.ops.arithmetic import clamp, div, max, min, mul, stop_gradient, sub
from functrace.ops.broadcasting import reduce_sum
from functrace.ops.complexes import abs, sign
from functrace.ops.exponentials import logistic
from functrace.ops.logical import gt, select
from functrace.ops.powers import cbrt, hypot, pow, sqrt, square
from functrace.ops.transcendental import atan2

ZERO = np.float64(0)
ONE = np.float64(1)


def pulled_back(fun: Callable[..., Any], *args: Any) -> list[Any]:
    """Return the gradients of a scalar function by reverse mode."""
    (out,), program = linearize_flat(lambda *xs: [fun(*xs)], args, [True] * len(args))
    if program.outputs == [None]:
        return [np.zeros_like(a) for a in args]
    pulled = backward_pass(program, [out.dtype.type(1)])
    return [np.zeros_like(a) if ct is None else ct for a, ct in zip(args, pulled)]


def gradients(fun: Callable[..., Any], *args: Any) -> list[Any]:
    """Return the gradients of a scalar function; forward and reverse mode must agree."""
    pulled = pulled_back(fun, *args)
    ones = [np.ones_like(a) for a in args]
    _, (pushed,) = jvp_flat(lambda *xs: [fun(*xs)], args, ones)
    pushed = 0.0 if pushed is None else pushed
    np.testing.assert_allclose(pushed, sum(np.sum(ct) for ct in pulled))
    return pulled


def test_abs_and_sign_at_zero() -> None:
    assert gradients(abs, ZERO) == [0.0]
    assert gradients(sign, ZERO) == [0.0]
    assert gradients(abs, np.complex128(0)) == [0.0]


def test_ties_share() -> None:
    assert gradients(max, ONE, ONE) == [0.5, 0.5]
    assert gradients(min, ONE, ONE) == [0.5, 0.5]
    assert gradients(clamp, ONE, ONE, np.float64(2)) == [0.5, 0.5, 0.0]
    assert gradients(clamp, ZERO, np.float64(2), np.float64(2)) == [0.0, 0.5, 0.5]


def test_infinities_on_the_losing_side_do_no_harm() -> None:
    def rectified(x: Any) -> Any:
        return div(ONE, max(x, ZERO))

    with np.errstate(divide="ignore"):
        assert pulled_back(rectified, np.float64(-1)) == [0.0]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_norm_at_zero(dtype: str) -> None:
    def norm(x: Any) -> Any:
        return sqrt(reduce_sum(mul(x, x), (0,)))

    (got,) = gradients(norm, np.zeros(3, dtype))
    np.testing.assert_array_equal(got, np.zeros(3))
    assert got.dtype == dtype


def test_norm_of_complex_numbers_at_zero() -> None:
    (got,) = gradients(lambda z: reduce_sum(abs(z), (0,)), np.zeros(2, complex))
    np.testing.assert_array_equal(got, np.zeros(2))


def test_deviation_of_a_constant_array() -> None:
    def deviation(x: Any) -> Any:
        mean = mul(reduce_sum(x, (0,)), 0.25)
        return sqrt(mul(reduce_sum(square(sub(x, mean)), (0,)), 0.25))

    (got,) = gradients(deviation, np.ones(4))
    np.testing.assert_array_equal(got, np.zeros(4))


def test_powers_of_squares_at_zero() -> None:
    for root in (sqrt, cbrt, lambda s: pow(s, np.float64(0.3)), lambda s: sqrt(sqrt(s))):
        assert gradients(lambda x, root=root: root(mul(x, x)), ZERO) == [0.0]


def test_the_slope_of_a_root_at_zero_is_huge_not_zero() -> None:
    (slope,) = gradients(sqrt, ZERO)
    assert 1e150 < slope < np.inf


def test_second_derivative_of_a_norm_at_zero_is_finite() -> None:
    def slope(x: Any) -> Any:
        _, (t,) = jvp_flat(lambda y: [sqrt(mul(y, y))], [x], [ONE])
        return t

    _, (second,) = jvp_flat(lambda x: [slope(x)], [ZERO], [ONE])
    assert np.isfinite(second)


def test_masked_roots_and_powers() -> None:
    x = np.array([0.0, 4.0])
    for f in (sqrt, cbrt, lambda v: pow(v, np.float64(0.5))):

        def masked(v: Any, f: Any = f) -> Any:
            return reduce_sum(select(gt(v, 0.0), f(v), np.zeros(2)), (0,))

        (got,) = gradients(masked, x)
        assert got[0] == 0.0 and got[1] > 0.0


def test_pow_at_its_edges() -> None:
    assert gradients(lambda x: pow(x, ZERO), ZERO) == [0.0]
    assert gradients(pow, ZERO, ZERO) == [0.0, 0.0]
    assert gradients(pow, ZERO, ONE) == [1.0, 0.0]
    assert gradients(pow, ZERO, np.float64(2)) == [0.0, 0.0]
    assert gradients(lambda x: pow(x, np.float64(2)), ZERO) == [0.0]


def test_origin() -> None:
    assert gradients(hypot, ZERO, ZERO) == [0.0, 0.0]
    assert gradients(atan2, ZERO, ZERO) == [0.0, 0.0]
    np.testing.assert_allclose(gradients(hypot, ONE, ONE), [0.5**0.5] * 2)
    big = np.float64(1e200)
    np.testing.assert_allclose(gradients(atan2, big, big), [0.5e-200, -0.5e-200])


def test_the_derivative_of_the_sigmoid_is_precise_in_its_tails() -> None:
    for x in (40.0, -40.0):
        (slope,) = gradients(logistic, np.float64(x))
        np.testing.assert_allclose(slope, np.exp(-40.0), rtol=1e-14)


def test_stop_gradient_gives_the_plain_value() -> None:
    seen = []

    def f(x: Any) -> Any:
        seen.append(float(stop_gradient(x)))
        return mul(x, stop_gradient(x))

    assert gradients(f, np.float64(3)) == [3.0]
    assert seen == [3.0, 3.0]
