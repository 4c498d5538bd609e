"""Loops that sample and learn: Metropolis, HMC, an LSTM, whole trainings inside one ``jit``."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.groups.training import cross_entropy, dense, mlp, one_hot, xor, xor_data

__all__ = ["xor_data"]

STEPS = 1000


def start(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return (np.array([0.5, -0.5]),)


def metropolis(lib: Any, x: Any) -> Any:
    """The mean of a banana-shaped distribution along a random walk."""
    xp, random = lib.xp, lib.random

    def log_density(x: Any) -> Any:
        return -0.5 * x[0] ** 2 - 2.0 * (x[1] - x[0] ** 2) ** 2

    def step(i: Any, carry: Any) -> Any:
        key, x, at_x, total = carry
        key, first, second = random.split(key, 3)
        y = x + 0.5 * random.normal(first, (2,), x.dtype)
        at_y = log_density(y)
        accept = xp.log(random.uniform(second, (), x.dtype)) < at_y - at_x
        x, at_x = xp.where(accept, y, x), xp.where(accept, at_y, at_x)
        return key, x, at_x, total + x

    begin = (random.PRNGKey(0), x, log_density(x), 0.0 * x)
    return lib.lax.fori_loop(0, 10**5, step, begin)[3] * 1e-5


def regression(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Weights, examples, labels."""
    y = (rng.uniform(size=200) > 0.5).astype(np.float64)
    return np.zeros(8), rng.standard_normal((200, 8)), y


def hmc(lib: Any, w: Any, x: Any, y: Any) -> Any:
    """The posterior mean of a logistic regression: 200 samples of 10 leapfrog steps."""
    xp, random, size = lib.xp, lib.random, 0.05

    def energy(w: Any) -> Any:
        z = x @ w
        return xp.sum(xp.logaddexp(0.0, z) - y * z) + 0.5 * xp.sum(w * w)

    slope = lib.grad(energy)

    def leap(i: Any, carry: Any) -> Any:
        w, p = carry
        p = p - 0.5 * size * slope(w)
        w = w + size * p
        return w, p - 0.5 * size * slope(w)

    def sample(carry: Any, _: Any) -> Any:
        key, w = carry
        key, first, second = random.split(key, 3)
        p = random.normal(first, w.shape, w.dtype)
        to, q = lib.lax.fori_loop(0, 10, leap, (w, p))
        rise = energy(w) + 0.5 * xp.sum(p * p) - energy(to) - 0.5 * xp.sum(q * q)
        accept = xp.log(random.uniform(second, (), w.dtype)) < rise
        w = xp.where(accept, to, w)
        return (key, w), w

    return xp.mean(lib.lax.scan(sample, (random.PRNGKey(1), w), None, length=200)[1], axis=0)


def sequences(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Weights of a cell of ``n`` units; 16 sequences of 100 steps of 8 numbers; classes."""
    params = {"cell": dense(rng, 8 + n, 4 * n), "out": dense(rng, n, 10)}
    return params, rng.standard_normal((100, 16, 8)), one_hot(rng, 16, 10)


def lstm(lib: Any, params: Any, x: Any, y: Any) -> Any:
    xp, units = lib.xp, params["out"]["w"].shape[0]

    def cell(carry: Any, x: Any) -> Any:
        h, c = carry
        z = xp.concatenate([x, h], 1) @ params["cell"]["w"] + params["cell"]["b"]
        keep, put, show = (lib.sigmoid(z[:, i * units : (i + 1) * units]) for i in range(3))
        c = keep * c + put * xp.tanh(z[:, 3 * units :])
        return (show * xp.tanh(c), c), None

    zero = xp.zeros((x.shape[1], units), x.dtype)
    (h, _), _ = lib.lax.scan(cell, (zero, zero), x)
    return cross_entropy(lib, h @ params["out"]["w"] + params["out"]["b"], y)


def train_xor(lib: Any, params: Any, x: Any, y: Any) -> Any:
    """The parameters after 1,000 steps."""
    slope = lib.grad(lambda p: xor(lib, p, x, y))

    def step(i: Any, p: Any) -> Any:
        return lib.map(lambda a, g: a - 0.1 * g, p, slope(p))

    return lib.lax.fori_loop(0, STEPS, step, params)


def digits_data(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    params = [dense(rng, 64, 32), dense(rng, 32, 10)]
    return params, rng.standard_normal((1792, 64)), one_hot(rng, 1792, 10)


def train_digits(lib: Any, params: Any, x: Any, y: Any) -> Any:
    """Batches of 32 are cut out of the data inside of the loop."""
    cut = lib.lax.dynamic_slice_in_dim

    def step(i: Any, p: Any) -> Any:
        begin = (i % 56) * 32
        bx, by = cut(x, begin, 32), cut(y, begin, 32)
        grads = lib.grad(lambda p: mlp(lib, p, bx, by))(p)
        return lib.map(lambda a, g: a - 0.05 * g, p, grads)

    return lib.lax.fori_loop(0, STEPS, step, params)


def logistic_data(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    y = (rng.uniform(size=1000) > 0.5).astype(float)
    return np.zeros(30), rng.standard_normal((1000, 30)), y


def train_logistic(lib: Any, w: Any, x: Any, y: Any) -> Any:
    def loss(w: Any) -> Any:
        z = x @ w
        return lib.xp.mean(lib.xp.logaddexp(0.0, z) - y * z)

    return lib.lax.fori_loop(0, STEPS, lambda i, w: w - 0.5 * lib.grad(loss)(w), w)
