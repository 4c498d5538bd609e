"""What the golden values are of: for each name, functions of (a module ``random``, a key, a dtype).

Nothing here is functrace's or JAX's: ``make_golden.py`` calls it with ``jax.random``, the tests
with ``functrace.random``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Draw = Callable[[Any, Any, Any], Any]

SEEDS = [7919 * i - 3 for i in range(20)]
"""Twenty seeds, one of them negative."""

WORDS = ("uint8", "uint16", "uint32", "uint64")
INTEGERS = ("int8", "int16", "int32", "int64", *WORDS)
FLOATS = ("float32", "float64")
COMPLEX = ("complex64", "complex128")

_PROBABILITIES = np.array([0.1, 0.2, 0.05, 0.3, 0.15, 0.2])
_TABLE = np.arange(12.0).reshape(3, 4)
_MEAN = np.array([1.0, 2.0, 3.0])
_COVARIANCE = np.array([[1.0, 0.2, 0.1], [0.2, 2.0, 0.3], [0.1, 0.3, 1.5]])


def _greatest(d: str) -> int:
    """One more than the greatest integer of a dtype, when int64 has it."""
    return min(2**63 - 1, int(np.iinfo(d).max) + 1)


KEYS: dict[str, Draw] = {
    "key": lambda r, k, d: k,
    "split": lambda r, k, d: r.split(k, 3),
    "split shape": lambda r, k, d: r.split(k, (2, 2)),
    "fold_in": lambda r, k, d: r.fold_in(k, 77),
    "permutation": lambda r, k, d: r.permutation(k, 12),
    "permutation in rounds": lambda r, k, d: r.permutation(k, 2000)[:5],
    "permutation of rows": lambda r, k, d: r.permutation(k, _TABLE),
    "permutation in rows": lambda r, k, d: r.permutation(k, _TABLE, 1, independent=True),
    "choice": lambda r, k, d: r.choice(k, 10, (2, 3)),
    "choice once": lambda r, k, d: r.choice(k, 10, (2, 3), replace=False),
    "choice of columns": lambda r, k, d: r.choice(k, _TABLE, (3,), axis=1),
    "choice of columns once": lambda r, k, d: r.choice(k, _TABLE, (3,), replace=False, axis=1),
}
"""Without a dtype."""

OF_WORDS: dict[str, Draw] = {
    "bits": lambda r, k, d: r.bits(k, (2, 2), d),
    "bits scalar": lambda r, k, d: r.bits(k, dtype=d),
}

OF_INTEGERS: dict[str, Draw] = {
    "randint": lambda r, k, d: r.randint(k, (3,), 3, 100, d),
    "randint all": lambda r, k, d: r.randint(k, (3,), 0, _greatest(d), d),
    "randint array": lambda r, k, d: r.randint(k, (2, 3), -5, np.array([3, 70, -9]), d),
    "rademacher": lambda r, k, d: r.rademacher(k, (3,), d),
}

EXACT: dict[str, Draw] = {
    "uniform": lambda r, k, d: r.uniform(k, (2, 3), d),
    "uniform scalar": lambda r, k, d: r.uniform(k, dtype=d),
    "uniform between": lambda r, k, d: r.uniform(k, (2, 3), d, 0.3, np.array([2, 7.7, 1e3], d)),
    "bernoulli": lambda r, k, d: r.bernoulli(k, np.array([0.1, 0.5, 0.9], d), (2, 3)),
    "bernoulli high": lambda r, k, d: r.bernoulli(k, np.array([0.1, 0.5], d), (2, 2), mode="high"),
    "categorical": lambda r, k, d: r.categorical(k, np.log(_PROBABILITIES).astype(d), shape=(5,)),
    "categorical axis": lambda r, k, d: r.categorical(k, _TABLE.astype(d), axis=0, shape=(2, 4)),
    "categorical once": lambda r, k, d: r.categorical(
        k, _PROBABILITIES.astype(d), shape=(3,), replace=False
    ),
    "categorical high": lambda r, k, d: r.categorical(k, _TABLE.astype(d), mode="high"),
    "choice by p": lambda r, k, d: r.choice(k, 6, (5,), p=_PROBABILITIES.astype(d)),
    "choice by p once": lambda r, k, d: r.choice(
        k, 6, (4,), replace=False, p=_PROBABILITIES.astype(d)
    ),
    "rademacher": lambda r, k, d: r.rademacher(k, (3,), d),
    "geometric": lambda r, k, d: r.geometric(k, np.array([0.1, 0.5, 1.0], d), (2, 3)),
    "poisson": lambda r, k, d: r.poisson(
        k, np.array([0, 0.3, 3, 9.9, 10, 25, 1e3, 1e5, np.nan], d), (2, 9)
    ),
    "poisson large": lambda r, k, d: r.poisson(k, np.array([1e3, 1e5], d), (100, 2), np.int32),
    "geometric scalar": lambda r, k, d: r.geometric(k, 0.01, (100,), np.int32),
    "poisson few": lambda r, k, d: r.poisson(k, np.array([0.5, 4], d), (2,), np.int8),
    "poisson scalar": lambda r, k, d: r.poisson(k, np.dtype(d).type(12)),
    "binomial": lambda r, k, d: r.binomial(
        k, np.array([0, 1, 5, 20, 100, 1e4, -1, np.inf], d), np.dtype(d).type(0.3), (2, 8), d
    ),
    "binomial mostly": lambda r, k, d: r.binomial(
        k, np.array([5, 100], d), np.array([[0.8], [np.nan]], d), dtype=d
    ),
    "binomial large": lambda r, k, d: r.binomial(
        k, np.array([1e6, 1e7], d), np.dtype(d).type(0.7), (50, 2), d
    ),
    "binomial scalar": lambda r, k, d: r.binomial(k, 10, 0.4, dtype=d),
    "multinomial": lambda r, k, d: r.multinomial(
        k, np.dtype(d).type(50), np.array([0.2, 0.3, 0.1, 0.4], d), dtype=d
    ),
}
"""Equal to the last bit: no function of mathematics, or a decision only."""


def _a(d: str) -> Any:
    return np.array([0.1, 0.5, 1, 2.5, 30, 1e4], d)


DRAWN: dict[str, Draw] = {
    "normal": lambda r, k, d: r.normal(k, (2, 3), d),
    "normal scalar": lambda r, k, d: r.normal(k, dtype=d),
    "truncated_normal": lambda r, k, d: r.truncated_normal(k, -1.0, np.array([0, 2], d), (2,), d),
    "truncated_normal scalar": lambda r, k, d: r.truncated_normal(k, -1.0, 0.5, (3,), d),
    "lognormal array": lambda r, k, d: r.lognormal(k, np.array([0.3, 2], d), (3, 2), d),
    "lognormal scalar": lambda r, k, d: r.lognormal(k, 0.7, dtype=d),
    "lognormal": lambda r, k, d: r.lognormal(k, 0.7, (4,), d),
    "multivariate_normal": lambda r, k, d: r.multivariate_normal(
        k, _MEAN.astype(d), _COVARIANCE.astype(d), (2,), d
    ),
    "exponential": lambda r, k, d: r.exponential(k, (4,), d),
    "laplace": lambda r, k, d: r.laplace(k, (4,), d),
    "logistic": lambda r, k, d: r.logistic(k, (4,), d),
    "cauchy": lambda r, k, d: r.cauchy(k, (4,), d),
    "gumbel": lambda r, k, d: r.gumbel(k, (4,), d),
    "gumbel high": lambda r, k, d: r.gumbel(k, (4,), d, mode="high"),
    "gumbel highest": lambda r, k, d: r.gumbel(k, (4,), d, mode="highest"),
    "pareto array": lambda r, k, d: r.pareto(k, np.array([0.3, 2], d), (3, 2), d),
    "pareto": lambda r, k, d: r.pareto(k, 2.5, (4,), d),
    "rayleigh": lambda r, k, d: r.rayleigh(k, np.array([1, 2], d), (2, 2), d),
    "rayleigh scalar": lambda r, k, d: r.rayleigh(k, 1.7, (4,), d),
    "weibull_min array": lambda r, k, d: r.weibull_min(
        k, np.array([0.3, 2], d), np.array([1.3, 3], d), (3, 2), d
    ),
    "weibull_min": lambda r, k, d: r.weibull_min(k, 1.5, 2.5, (4,), d),
    "triangular array": lambda r, k, d: r.triangular(
        k, np.array([-1, 0], d), np.array([0.2, 0.5], d), np.array([2, 3], d), (2, 2), d
    ),
    "triangular": lambda r, k, d: r.triangular(k, -1.0, 0.2, 3.0, (4,), d),
    "maxwell": lambda r, k, d: r.maxwell(k, (4,), d),
    "double_sided_maxwell": lambda r, k, d: r.double_sided_maxwell(k, 0.7, 1.3, (4,), d),
    "wald array": lambda r, k, d: r.wald(k, np.array([0.3, 2], d), (3, 2), d),
    "wald": lambda r, k, d: r.wald(k, 1.3, (4,), d),
    "gamma": lambda r, k, d: r.gamma(k, _a(d), (2, 6), d),
    "gamma scalar": lambda r, k, d: r.gamma(k, 0.4, dtype=d),
    "loggamma": lambda r, k, d: r.loggamma(k, _a(d), (2, 6), d),
    "beta": lambda r, k, d: r.beta(k, _a(d), 2.0, (6,), d),
    "dirichlet": lambda r, k, d: r.dirichlet(k, _a(d)[:4], (2,), d),
    "chisquare": lambda r, k, d: r.chisquare(k, _a(d), dtype=d),
    "t": lambda r, k, d: r.t(k, _a(d), dtype=d),
    "f scalar": lambda r, k, d: r.f(k, 3.0, 5.0, (3,), d),
    "t scalar": lambda r, k, d: r.t(k, 3.0, (3,), d),
    "chisquare scalar": lambda r, k, d: r.chisquare(k, 3.0, (3,), d),
    "gamma small": lambda r, k, d: r.gamma(k, np.array([0.01, 0.03], d), (3, 2), d),
    "beta scalar": lambda r, k, d: r.beta(k, 0.3, 2.0, (3,), d),
    "dirichlet ten": lambda r, k, d: r.dirichlet(k, np.linspace(0.2, 5, 10).astype(d), (3,), d),
    "normal many": lambda r, k, d: r.normal(k, (1000,), d)[::37],
    "gumbel many": lambda r, k, d: r.gumbel(k, (10, 100), d)[:, ::37],
    "gamma many": lambda r, k, d: r.gamma(k, 1.7, (300,), d)[::17],
    "f": lambda r, k, d: r.f(k, _a(d)[2:], np.full(4, 3, d), dtype=d),
    "generalized_normal": lambda r, k, d: r.generalized_normal(k, 1.5, (4,), d),
    "ball": lambda r, k, d: r.ball(k, 3, 1.5, (2,), d),
}
"""Through logarithms, roots and the like: equal to the last bit too, those of XLA."""

BY_LAPACK: dict[str, Draw] = {
    "multivariate_normal eigh": lambda r, k, d: r.multivariate_normal(
        k, _MEAN.astype(d), _COVARIANCE.astype(d), (2,), d, method="eigh"
    ),
    "multivariate_normal svd": lambda r, k, d: r.multivariate_normal(
        k, _MEAN.astype(d), _COVARIANCE.astype(d), (2,), d, method="svd"
    ),
    "orthogonal": lambda r, k, d: r.orthogonal(k, 3, (), d),
    "orthogonal wide": lambda r, k, d: r.orthogonal(k, 2, (2,), d, m=3),
}
"""Up to the rounding of factorisations: JAX and NumPy have libraries of their own for these."""

OF_COMPLEX: dict[str, Draw] = {"normal complex": lambda r, k, d: r.normal(k, (3,), d)}


def cases() -> list[tuple[str, Draw, str, bool]]:
    """Return all cases: the name, the function, the dtype, and whether it is exact."""
    groups = [
        (KEYS, ("",), True),
        (OF_WORDS, WORDS, True),
        (OF_INTEGERS, INTEGERS, True),
        (EXACT, FLOATS, True),
        (DRAWN, FLOATS, True),
        (BY_LAPACK, FLOATS, False),
        (OF_COMPLEX, COMPLEX, True),
        ({"uniform half": EXACT["uniform"]}, ("float16",), True),
    ]
    return [
        (f"{name} {dtype}".strip(), draw, dtype, exact)
        for group, dtypes, exact in groups
        for name, draw in group.items()
        for dtype in dtypes
    ]
