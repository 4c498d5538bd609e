"""How a gamma number moves with its parameter while its quantile stays: implicit differentiation.

With ``P(a, x)`` the share of numbers below x and ``p(a, x)`` their density, ``dx/da`` is
``-(dP/da) / p``. Up to ``a + 1`` the series of P is differentiated term by term, beyond the
continued fraction of ``1 - P`` step by step [DLMF 8.11.4, 8.9.2].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace import lax

__all__ = ["gamma_slope"]

MOST_STEPS = 10_000
"""Enough for parameters of a million; NaN would go on forever."""


def gamma_slope(a: Any, x: Any) -> Any:
    """Return ``dx/da`` of one gamma number x of parameter a."""
    dtype = x.dtype
    near = lax.lt(x, a + 1)
    # The loop that isn't asked for gets numbers with which it ends at once.
    total, total_slope = _series(a, lax.select(near, x, dtype.type(0)))
    part, part_slope = _fraction(a, lax.select(near, dtype.type(np.inf), x))
    turn = lax.log(x) - lax.digamma(a)
    below = -x * (total * turn + total_slope)
    above = x * (part * turn + part_slope)
    slope = lax.select(near, below, above)
    return lax.select(lax.eq(x, 0), dtype.type(0), slope)


def _series(a: Any, x: Any) -> tuple[Any, Any]:
    """Return ``P / (x p)``, the sum of ``x**n / (a (a + 1) ... (a + n))``, and its derivative."""
    least = float(np.finfo(x.dtype).eps) / 16

    def goes_on(state: Any) -> Any:
        _, term, slope, total, total_slope = state
        more = lax.gt(term, least * total)
        return lax.bitwise_or(more, lax.gt(lax.abs(slope), least * lax.abs(total_slope)))

    def add(state: Any) -> Any:
        n, term, slope, total, total_slope = state
        factor = x / (a + n)
        slope = factor * (slope - term / (a + n))
        term = factor * term
        return n + 1, term, slope, total + term, total_slope + slope

    first, slope = 1 / a, -1 / (a * a)
    start = (x.dtype.type(1), first, slope, first, slope)
    *_, total, total_slope = lax.while_loop(goes_on, add, start)
    return total, total_slope


def _fraction(a: Any, x: Any) -> tuple[Any, Any]:
    """Return ``(1 - P) / (x p)``, a continued fraction, and its derivative, by Lentz's method."""
    dtype = x.dtype
    eps = 4 * float(np.finfo(dtype).eps)

    def goes_on(state: Any) -> Any:
        n, change = state[0], state[-1]
        return lax.bitwise_and(lax.gt(change, eps), lax.lt(n, MOST_STEPS))

    def step(state: Any) -> Any:
        n, c, c_slope, d, d_slope, h, h_slope, _ = state
        # over / (under + ...): over = n (a - n), under = x + 2 n + 1 - a.
        over, under = n * (a - n), x + (2 * n + 1) - a
        e, e_slope = under + over * d, n * d + over * d_slope - 1
        d, d_slope = 1 / e, -e_slope / (e * e)
        c, c_slope = under + over / c, n / c - over * c_slope / (c * c) - 1
        bent = h_slope * (c * d) + h * (c_slope * d + c * d_slope)
        change = lax.abs(c * d - 1) + lax.abs(bent / h_slope - 1)
        return n + 1, c, c_slope, d, d_slope, h * (c * d), bent, change

    d = 1 / (x + 1 - a)
    huge = 1 / np.finfo(dtype).tiny ** dtype.type(0.25)
    one, zero = dtype.type(1), dtype.type(0)
    start = (one, huge, zero, d, d * d, d, d * d, one)
    *_, h, h_slope, _ = lax.while_loop(goes_on, step, start)
    return h, h_slope
