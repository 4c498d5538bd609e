"""Loops along time: recurrences, filters, differential equations, state-space models."""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS = 10**6


def start(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return np.array(1.0), np.array(2.0)


def scalar_loop(lib: Any, x: Any, a: Any) -> Any:
    return lib.lax.fori_loop(0, STEPS, lambda i, x: 0.5 * (x + a / (x + 0.1)), x)


def signal(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Samples, and a low-pass filter's coefficients."""
    return rng.standard_normal(10**5), np.array([0.0675, 0.1349, 0.0675, -1.1430, 0.4128])


def iir(lib: Any, x: Any, c: Any) -> Any:
    """A biquad, transposed direct form II."""

    def step(state: Any, x: Any) -> Any:
        first, second = state
        y = c[0] * x + first
        return (c[1] * x - c[3] * y + second, c[2] * x - c[4] * y), y

    zero = 0.0 * c[0]
    return lib.lax.scan(step, (zero, zero), x)[1]


def attractor(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """A state, and Lorenz's three parameters; short steps, so that rounding isn't amplified."""
    return np.array([1.0, 0.5, 0.2]), np.array([10.0, 28.0, 8.0 / 3.0])


def lorenz(lib: Any, state: Any, p: Any) -> Any:
    """The mean square of x along 10⁴ explicit Euler steps."""

    def step(state: Any, _: Any) -> Any:
        x, y, z = state
        dx, dy, dz = p[0] * (y - x), x * (p[1] - z) - y, x * y - p[2] * z
        x, y, z = x + 1e-4 * dx, y + 1e-4 * dy, z + 1e-4 * dz
        return (x, y, z), x * x

    _, squares = lib.lax.scan(step, (state[0], state[1], state[2]), None, length=10**4)
    return lib.xp.mean(squares)


def bands(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Lower band, diagonal, upper band, right-hand side of a dominant matrix."""
    n = 10**4
    return (
        rng.uniform(-1.0, 1.0, n),
        rng.uniform(3.0, 4.0, n),
        rng.uniform(-1.0, 1.0, n),
        rng.standard_normal(n),
    )


def tridiagonal(lib: Any, low: Any, diagonal: Any, up: Any, right: Any) -> Any:
    """Thomas's algorithm: elimination forward, substitution backward."""

    def eliminate(carry: Any, row: Any) -> Any:
        c, d = carry
        low, diagonal, up, right = row
        pivot = 1.0 / (diagonal - low * c)
        c, d = up * pivot, (right - low * d) * pivot
        return (c, d), (c, d)

    def substitute(x: Any, row: Any) -> Any:
        c, d = row
        x = d - c * x
        return x, x

    zero = 0.0 * right[0]
    _, rows = lib.lax.scan(eliminate, (zero, zero), (low, diagonal, up, right))
    return lib.lax.scan(substitute, zero, rows, reverse=True)[1]


def tridiagonal_loss(lib: Any, low: Any, diagonal: Any, up: Any, right: Any) -> Any:
    return lib.xp.sum(tridiagonal(lib, low, diagonal, up, right) ** 2)


def prey(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Lotka and Volterra's four rates, and what was observed."""
    return np.array([1.1, 0.4, 0.4, 0.1]), rng.uniform(1.0, 10.0, (n, 2))


def rk4(lib: Any, p: Any, seen: Any) -> Any:
    """The mean square miss of a solution, 0.01 between observations."""
    xp, h = lib.xp, 0.01

    def slope(y: Any) -> Any:
        return xp.stack([p[0] * y[0] - p[1] * y[0] * y[1], p[3] * y[0] * y[1] - p[2] * y[1]])

    def step(y: Any, seen: Any) -> Any:
        k1 = slope(y)
        k2 = slope(y + 0.5 * h * k1)
        k3 = slope(y + 0.5 * h * k2)
        k4 = slope(y + h * k3)
        y = y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        return y, xp.sum((y - seen) ** 2)

    return xp.mean(lib.lax.scan(step, seen[0], seen)[1])


def track(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Logarithms of the noises of level, slope and observation; observations."""
    return np.array([-2.0, -4.0, -1.0]), np.cumsum(rng.standard_normal(n)) * 0.3


def kalman(lib: Any, p: Any, seen: Any) -> Any:
    """The negative log-likelihood of a local linear trend: 2x2 matrices."""
    xp = lib.xp
    noise = xp.exp(p)
    zero, one = 0.0 * p[0], 0.0 * p[0] + 1.0
    move = xp.stack([xp.stack([one, one]), xp.stack([zero, one])])
    spread = xp.stack([xp.stack([noise[0], zero]), xp.stack([zero, noise[1]])])

    def step(carry: Any, y: Any) -> Any:
        mean, cov = carry
        mean, cov = move @ mean, move @ cov @ move.T + spread
        miss, variance = y - mean[0], cov[0, 0] + noise[2]
        gain = cov[:, 0] / variance
        mean, cov = mean + gain * miss, cov - xp.outer(gain, cov[0])
        return (mean, cov), 0.5 * (xp.log(variance) + miss * miss / variance)

    unsure = 10.0 * xp.stack([xp.stack([one, zero]), xp.stack([zero, one])])
    return xp.sum(lib.lax.scan(step, (xp.stack([zero, zero]), unsure), seen)[1])


def chain(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Logits of the transitions and of 8 symbols for each of ``n`` states; 1,000 symbols."""
    return rng.standard_normal((n, n)), rng.standard_normal((n, 8)), rng.integers(0, 8, 1000)


def hmm(lib: Any, transitions: Any, emissions: Any, symbols: Any) -> Any:
    """The negative log-likelihood, by the forward algorithm with scaling."""
    xp = lib.xp
    moves, emits = lib.softmax(transitions), lib.softmax(emissions)

    def step(weights: Any, symbol: Any) -> Any:
        weights = (weights @ moves) * emits[:, symbol]
        total = xp.sum(weights)
        return weights / total, xp.log(total)

    first = xp.full(transitions.shape[0], 1.0 / transitions.shape[0], transitions.dtype)
    return -xp.sum(lib.lax.scan(step, first, symbols)[1])


def orbit(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """A mean anomaly and an eccentricity."""
    return np.array(0.8), np.array(0.7)


def orbits(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return rng.uniform(0.0, 3.0, 10**4), rng.uniform(0.0, 0.95, 10**4)


def kepler(lib: Any, anomaly: Any, eccentricity: Any) -> Any:
    """Solves E - e sin E = M."""
    xp = lib.xp

    def far(carry: Any) -> Any:
        return (xp.abs(carry[1]) > 1e-5) & (carry[2] < 50)

    def step(carry: Any) -> Any:
        e, _, count = carry
        change = (e - eccentricity * xp.sin(e) - anomaly) / (1.0 - eccentricity * xp.cos(e))
        return e - change, change, count + 1

    return lib.lax.while_loop(far, step, (anomaly + 1.0, 0.0 * anomaly + 1.0, 0))[0]


def keplers(lib: Any, anomaly: Any, eccentricity: Any) -> Any:
    return lib.vmap(lambda m, e: kepler(lib, m, e))(anomaly, eccentricity)
