"""The sequential programs as loops for Numba; the adjoints of three of them by hand.

Each function is given the library and returns the compiled loop; constants take the data's dtype,
so that float32 stays float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.groups.loops_series import STEPS
from benchmarks.groups.loops_space import FLOW, MOST
from benchmarks.groups.loops_space import STEPS as HEAT_STEPS

# mypy: disable-error-code="no-untyped-def, untyped-decorator"


def scalar_loop(lib: Any) -> Any:
    @lib.numba.njit
    def f(start, a):
        x, a, kind = start.item(), a.item(), start.dtype.type
        half, shift = kind(0.5), kind(0.1)
        for _ in range(STEPS):
            x = half * (x + a / (x + shift))
        return x

    return f


def iir(lib: Any) -> Any:
    @lib.numba.njit
    def f(x, c):
        out = np.empty_like(x)
        c0, c1, c2, c3, c4 = c[0], c[1], c[2], c[3], c[4]
        first = second = x.dtype.type(0.0)
        for i in range(x.size):
            y = c0 * x[i] + first
            first = c1 * x[i] - c3 * y + second
            second = c2 * x[i] - c4 * y
            out[i] = y
        return out

    return f


def lorenz(lib: Any) -> Any:
    @lib.numba.njit
    def f(state, p):
        x, y, z = state
        h, total = state.dtype.type(1e-4), state.dtype.type(0.0)
        for _ in range(10**4):
            dx, dy, dz = p[0] * (y - x), x * (p[1] - z) - y, x * y - p[2] * z
            x, y, z = x + h * dx, y + h * dy, z + h * dz
            total += x * x
        return total / state.dtype.type(10**4)

    return f


def lorenz_adjoint(lib: Any) -> Any:
    @lib.numba.njit
    def f(state, p):
        n = 10**4
        kept = np.empty((n, 3), state.dtype)
        x, y, z = state
        h = state.dtype.type(1e-4)
        for i in range(n):
            kept[i, 0], kept[i, 1], kept[i, 2] = x, y, z
            dx, dy, dz = p[0] * (y - x), x * (p[1] - z) - y, x * y - p[2] * z
            x, y, z = x + h * dx, y + h * dy, z + h * dz
        weight = state.dtype.type(2.0 / n)
        bx = by = bz = b0 = b1 = b2 = state.dtype.type(0.0)
        for i in range(n - 1, -1, -1):
            bx += weight * x
            x, y, z = kept[i, 0], kept[i, 1], kept[i, 2]
            gx, gy, gz = h * bx, h * by, h * bz
            b0 += gx * (y - x)
            b1 += gy * x
            b2 -= gz * z
            bx += gy * (p[1] - z) + gz * y - gx * p[0]
            by += gx * p[0] - gy + gz * x
            bz -= gy * x + gz * p[2]
        return np.array([bx, by, bz]), np.array([b0, b1, b2])

    return f


def tridiagonal(lib: Any) -> Any:
    @lib.numba.njit
    def f(low, diagonal, up, right):
        n = right.size
        c, out = np.empty_like(right), np.empty_like(right)
        one = right.dtype.type(1.0)
        before = d = x = right.dtype.type(0.0)
        for i in range(n):
            pivot = one / (diagonal[i] - low[i] * before)
            d = (right[i] - low[i] * d) * pivot
            before = up[i] * pivot
            c[i], out[i] = before, d
        for i in range(n - 1, -1, -1):
            x = out[i] - c[i] * x
            out[i] = x
        return out

    return f


def tridiagonal_adjoint(lib: Any) -> Any:
    """With A x = r and a loss of x: solve Aᵀ g = dx, then r gets g and A gets -g xᵀ."""
    solve = tridiagonal(lib)

    @lib.numba.njit
    def f(low, diagonal, up, right):
        n = right.size
        x = solve(low, diagonal, up, right)
        below, above = np.zeros_like(low), np.zeros_like(up)
        for i in range(1, n):
            below[i], above[i - 1] = up[i - 1], low[i]
        two = right.dtype.type(2.0)
        g = solve(below, diagonal, above, two * x)
        d_low, d_up = np.zeros_like(low), np.zeros_like(up)
        d_diagonal = np.empty_like(diagonal)
        for i in range(n):
            d_diagonal[i] = -g[i] * x[i]
            if i > 0:
                d_low[i] = -g[i] * x[i - 1]
            if i < n - 1:
                d_up[i] = -g[i] * x[i + 1]
        return d_low, d_diagonal, d_up, g

    return f


def rk4(lib: Any) -> Any:
    @lib.numba.njit
    def slope(a, b, p):
        return p[0] * a - p[1] * a * b, p[3] * a * b - p[2] * b

    @lib.numba.njit
    def f(p, seen):
        kind = seen.dtype.type
        h, half, sixth, two = kind(0.01), kind(0.005), kind(0.01 / 6.0), kind(2.0)
        a, b = seen[0, 0], seen[0, 1]
        total = kind(0.0)
        for i in range(seen.shape[0]):
            a1, b1 = slope(a, b, p)
            a2, b2 = slope(a + half * a1, b + half * b1, p)
            a3, b3 = slope(a + half * a2, b + half * b2, p)
            a4, b4 = slope(a + h * a3, b + h * b3, p)
            a += sixth * (a1 + two * a2 + two * a3 + a4)
            b += sixth * (b1 + two * b2 + two * b3 + b4)
            total += (a - seen[i, 0]) ** 2 + (b - seen[i, 1]) ** 2
        return total / kind(seen.shape[0])

    return f


def kalman(lib: Any) -> Any:
    @lib.numba.njit
    def f(p, seen):
        kind = seen.dtype.type
        q0, q1, r = math.exp(p[0]), math.exp(p[1]), math.exp(p[2])
        level = slope = total = p01 = kind(0.0)
        p00 = p11 = kind(10.0)
        half = kind(0.5)
        for i in range(seen.size):
            level += slope
            p00 += p01 + p01 + p11 + q0
            p01 += p11
            p11 += q1
            miss, variance = seen[i] - level, p00 + r
            g0, g1 = p00 / variance, p01 / variance
            level, slope = level + g0 * miss, slope + g1 * miss
            p11 -= g1 * p01
            p01 -= g0 * p01
            p00 -= g0 * p00
            total += half * (math.log(variance) + miss * miss / variance)
        return total

    return f


def kalman_adjoint(lib: Any) -> Any:
    """Keeps the predicted state of each step, and runs the recursion backward."""

    @lib.numba.njit
    def f(p, seen):
        kind, n = seen.dtype.type, seen.size
        q0, q1, r = math.exp(p[0]), math.exp(p[1]), math.exp(p[2])
        kept = np.empty((n, 5), seen.dtype)
        level = slope = p01 = kind(0.0)
        p00 = p11 = kind(10.0)
        for i in range(n):
            level += slope
            p00 += p01 + p01 + p11 + q0
            p01 += p11
            p11 += q1
            kept[i, 0], kept[i, 1], kept[i, 2] = level, slope, p00
            kept[i, 3], kept[i, 4] = p01, p11
            miss, variance = seen[i] - level, p00 + r
            g0, g1 = p00 / variance, p01 / variance
            level, slope = level + g0 * miss, slope + g1 * miss
            p11 -= g1 * p01
            p01 -= g0 * p01
            p00 -= g0 * p00
        b_level = b_slope = b00 = b01 = b11 = kind(0.0)
        bq0 = bq1 = br = kind(0.0)
        half = kind(0.5)
        for i in range(n - 1, -1, -1):
            level, p00, p01 = kept[i, 0], kept[i, 2], kept[i, 3]
            miss, variance = seen[i] - level, p00 + r
            g0, g1 = p00 / variance, p01 / variance
            # the update's outputs: level + g0 miss, slope + g1 miss, P - g Pᵀ
            bg0 = b_level * miss - b01 * p01 - b00 * p00
            bg1 = b_slope * miss - b11 * p01
            b_miss = b_level * g0 + b_slope * g1 + miss / variance
            new00 = b00 * (kind(1.0) - g0) + bg0 / variance
            new01 = b01 * (kind(1.0) - g0) - b11 * g1 + bg1 / variance
            b_variance = half * (kind(1.0) - miss * miss / variance) / variance
            b_variance -= (bg0 * g0 + bg1 * g1) / variance
            b_level -= b_miss
            b00, b01 = new00 + b_variance, new01
            br += b_variance
            # the prediction: level + slope, P00 + 2 P01 + P11 + q0, P01 + P11, P11 + q1
            bq0 += b00
            bq1 += b11
            b_slope += b_level
            b11 += b00 + b01
            b01 += b00 + b00
        return np.array([bq0 * q0, bq1 * q1, br * r])

    return f


def hmm(lib: Any) -> Any:
    @lib.numba.njit
    def soft(x):
        out = np.exp(x)
        for i in range(x.shape[0]):
            out[i] /= out[i].sum()
        return out

    @lib.numba.njit
    def f(transitions, emissions, symbols):
        moves, emits, n = soft(transitions), soft(emissions), transitions.shape[0]
        kind = transitions.dtype.type
        emits = emits.T.copy()
        weights, after = np.full(n, kind(1.0 / n)), np.empty(n, transitions.dtype)
        total = kind(0.0)
        for symbol in symbols:
            after[:] = kind(0.0)
            for i in range(n):
                for j in range(n):
                    after[j] += weights[i] * moves[i, j]
            scale = kind(0.0)
            for j in range(n):
                after[j] *= emits[symbol, j]
                scale += after[j]
            for j in range(n):
                weights[j] = after[j] / scale
            total -= math.log(scale)
        return total

    return f


def orbit(lib: Any) -> Any:
    """One solution, for scalars; ``one`` is 1 in their type."""

    @lib.numba.njit
    def solve(anomaly, eccentricity, one):
        e = anomaly + one
        for _ in range(50):
            change = (e - eccentricity * math.sin(e) - anomaly) / (one - eccentricity * math.cos(e))
            e -= change
            if abs(change) <= 1e-5:
                break
        return e

    return solve


def kepler(lib: Any) -> Any:
    solve = orbit(lib)

    @lib.numba.njit
    def f(anomaly, eccentricity):
        return solve(anomaly.item(), eccentricity.item(), anomaly.dtype.type(1.0))

    return f


def keplers(lib: Any) -> Any:
    solve, prange = orbit(lib), lib.numba.prange

    @lib.numba.njit(parallel=True)
    def f(anomaly, eccentricity):
        out, ones = np.empty_like(anomaly), np.ones(1, anomaly.dtype)
        for i in prange(anomaly.size):
            out[i] = solve(anomaly[i], eccentricity[i], ones[0])
        return out

    return f


def mandelbrot(lib: Any) -> Any:
    prange = lib.numba.prange

    @lib.numba.njit(parallel=True)
    def f(a, b):
        kind = a.dtype.type
        four, two = kind(4.0), kind(2.0)
        out = np.empty(b.size, a.dtype)
        for j in prange(b.size):
            total = 0
            for i in range(a.size):
                x = y = kind(0.0)
                count = 0
                while x * x + y * y < four and count < MOST:
                    x, y = x * x - y * y + a[i], two * x * y + b[j]
                    count += 1
                total += count
            out[j] = kind(total / a.size)
        return out

    return f


def heat(lib: Any) -> Any:
    @lib.numba.njit
    def f(u):
        old, new = u.copy(), u.copy()
        flow, two = u.dtype.type(FLOW), u.dtype.type(2.0)
        for _ in range(HEAT_STEPS):
            for i in range(1, u.size - 1):
                new[i] = old[i] + flow * (old[i - 1] - two * old[i] + old[i + 1])
            old, new = new, old
        return old

    return f


def heat_2d(lib: Any) -> Any:
    @lib.numba.njit
    def f(u):
        old, new = u.copy(), u.copy()
        flow, four = u.dtype.type(FLOW), u.dtype.type(4.0)
        for _ in range(HEAT_STEPS):
            for i in range(1, u.shape[0] - 1):
                for j in range(1, u.shape[1] - 1):
                    around = old[i - 1, j] + old[i + 1, j] + old[i, j - 1] + old[i, j + 1]
                    new[i, j] = old[i, j] + flow * (around - four * old[i, j])
            old, new = new, old
        return old

    return f
