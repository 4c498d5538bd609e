"""One pass over arrays: functions of each element, chains of them, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.case import Case, Formula, Goal, flat, gradient, normal, total, value

TITLE = "Element-wise"
GOALS = {"jax": Goal(0.35, 1.05), "numpy": Goal(None, 1.0)}


def positive(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return (rng.uniform(0.1, 10.0, n),)


def wide(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return (rng.uniform(-10.0, 10.0, n),)


def bases(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return rng.uniform(0.1, 3.0, n), rng.uniform(-2.0, 2.0, n)


def market(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Spot prices, strikes, times to expiry."""
    return rng.uniform(50, 150, n), rng.uniform(50, 150, n), rng.uniform(0.2, 2.0, n)


def add(lib: Any, x: Any, y: Any) -> Any:
    return x + y


def exp(lib: Any, x: Any) -> Any:
    return lib.xp.exp(x)


def log(lib: Any, x: Any) -> Any:
    return lib.xp.log(x)


def sin(lib: Any, x: Any) -> Any:
    return lib.xp.sin(x)


def tanh(lib: Any, x: Any) -> Any:
    return lib.xp.tanh(x)


def erf(lib: Any, x: Any) -> Any:
    return lib.erf(x)


def power(lib: Any, x: Any, y: Any) -> Any:
    return x**y


def chain(lib: Any, x: Any, y: Any) -> Any:
    """Five arithmetic operations, an exp and a tanh."""
    xp = lib.xp
    return xp.exp(-0.5 * x * x) * (1.0 + 0.3 * y) - xp.tanh(x * y + 0.1)


def black_scholes(lib: Any, spot: Any, strike: Any, time: Any) -> Any:
    """The price of a European call, at a rate of 3% and a volatility of 20%."""
    xp, rate, sigma = lib.xp, 0.03, 0.2
    spread = sigma * xp.sqrt(time)
    d1 = (xp.log(spot / strike) + (rate + 0.5 * sigma * sigma) * time) / spread
    d2 = d1 - spread
    half = 0.7071067811865476
    first = 0.5 + 0.5 * lib.erf(d1 * half)
    second = 0.5 + 0.5 * lib.erf(d2 * half)
    return spot * first - strike * xp.exp(-rate * time) * second


FORMULAS: list[tuple[str, Formula, Any, Any]] = [
    ("add", add, normal(flat, flat), (0, 1)),
    ("exp", exp, normal(), 0),
    ("log", log, positive, 0),
    ("sin", sin, wide, 0),
    ("tanh", tanh, normal(), 0),
    ("erf", erf, normal(), 0),
    ("pow", power, bases, (0, 1)),
    ("chain", chain, normal(flat, flat), (0, 1)),
    ("Black–Scholes", black_scholes, market, (0, 1, 2)),
]

CASES = [Case(name, data, value(formula)) for name, formula, data, _ in FORMULAS] + [
    Case(f"gradient of {name}", data, gradient(total(formula), argnums))
    for name, formula, data, argnums in FORMULAS
    if name != "add"
]
