"""Gamma numbers by rejection, and how they change with their parameter."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from functrace import lax
from functrace.api.mapping import vmap
from functrace.control.rules.custom_jvp import custom_jvp
from functrace.ops.random_bits import threefry2x32
from functrace.random import xla_math
from functrace.random.continuous import exponentials
from functrace.random.gamma_slope import gamma_slope
from functrace.random.normals import normals
from functrace.random.streams import children, counters, fused, unit
from functrace.random.xla_rsqrt import rsqrt

__all__ = ["gammas"]

Shape = tuple[int, ...]


def gammas(key: Any, a: Any, shape: Shape, log_space: bool) -> Any:
    """Return gamma numbers from a packed key; ``a`` is 0-d or has the shape.

    Every number has a key of its own, so it doesn't matter how often another one is rejected.
    """
    keys = threefry2x32(key, counters(shape))
    draw = _log_gamma if log_space else _gamma
    if shape == ():
        return draw(keys, a)
    line = (math.prod(shape),)
    keys = lax.reshape(keys, line)
    if a.shape == ():
        a = lax.broadcast_in_dim(a, line, ())
    return lax.reshape(draw(keys, lax.reshape(a, line)), shape)


@custom_jvp
def _gamma(keys: Any, a: Any) -> Any:
    return _each(functools.partial(_one, log_space=False), keys, a)


@custom_jvp
def _log_gamma(keys: Any, a: Any) -> Any:
    return _each(functools.partial(_one, log_space=True), keys, a)


@_gamma.defjvp
def _gamma_jvp(primals: Any, tangents: Any) -> Any:
    (keys, a), (_, t) = primals, tangents
    out = _gamma(keys, a)
    return out, t * _each(gamma_slope, a, out)


@_log_gamma.defjvp
def _log_gamma_jvp(primals: Any, tangents: Any) -> Any:
    (keys, a), (_, t) = primals, tangents
    out = _log_gamma(keys, a)
    x = lax.max(xla_math.exp(out), np.finfo(out.dtype).tiny)
    return out, t * (_each(gamma_slope, a, x) / x)


def _each(fun: Any, *xs: Any) -> Any:
    return vmap(fun)(*xs) if xs[0].shape else fun(*xs)


def _one(key: Any, a: Any, log_space: bool) -> Any:
    """Marsaglia and Tsang, "A simple method for generating gamma variables" (2000).

    Below 1 it is a number for ``a + 1`` times a uniform one to the power ``1 / a``.
    """
    dtype = a.dtype
    small = lax.lt(a, 1.0)
    d = lax.select(small, a + 1, a) - dtype.type(1 / 3)
    c = rsqrt(d) * dtype.type(1 / 3)
    key, last = children(key)

    def rejected(state: Any) -> Any:
        _, square, cube, u = state
        quick = lax.ge(u, fused(square * square, -0.0331, dtype.type(1)))
        bound = fused(square, 0.5, d * ((1 - cube) + xla_math.log(cube)))
        exact = lax.ge(xla_math.log(u), bound)
        return lax.bitwise_and(quick, exact)

    def draw(state: Any) -> Any:
        key, for_x, for_u = children(state[0], 3)
        x, v = _positive_cubic(for_x, c)
        return key, x * x, v * v * v, unit(for_u, dtype, ())

    zero, one, two = (dtype.type(n) for n in range(3))
    _, _, cube, _ = lax.while_loop(rejected, draw, (key, zero, one, two))
    if log_space:
        power = -exponentials(last, (), dtype) * (1 / a)
        return xla_math.log(d) + xla_math.log(cube) + lax.select(small, power, zero)
    power = xla_math.pow(1 - unit(last, dtype, ()), 1 / a)
    out = d * cube * lax.select(small, power, one)
    # XLA has the CPU take subnormal numbers for 0.
    return lax.select(lax.lt(out, np.finfo(dtype).tiny), zero, out)


def _positive_cubic(key: Any, c: Any) -> tuple[Any, Any]:
    """Draw normal numbers x until ``1 + c x`` is positive; return both."""
    dtype = c.dtype

    def draw(state: Any) -> Any:
        key, child = children(state[0])
        x = normals(child, (), dtype)
        return key, x, fused(x, c, dtype.type(1))

    start = key, dtype.type(0), dtype.type(-1)
    _, x, v = lax.while_loop(lambda state: lax.le(state[2], 0), draw, start)
    return x, v
