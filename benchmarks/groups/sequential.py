"""Programs that are loops: recurrences, filters, solvers, samplers, simulations, and gradients.

Written with ``lax.scan``, ``fori_loop`` and ``while_loop`` in JAX and in functrace, and as plain
loops in Numba, with adjoints by hand for three of the gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks.case import BOTH, Builder, Case, Formula, Goal
from benchmarks.groups import loops_learning as learning
from benchmarks.groups import loops_numba as by_hand
from benchmarks.groups import loops_series as series
from benchmarks.groups import loops_space as space

TITLE = "Sequential programs"
GOALS = {"jax": Goal(0.4, 1.05), "numba": Goal(None, 1.2)}
LOOSE = {"float32": 2e-3, "float64": 1e-8}
ONCE = (0,)


def pair(formula: Formula, argnums: Any = None, **others: Builder) -> dict[str, Builder]:
    """functrace and JAX under ``jit``, of the formula or its gradient; and others by hand."""

    def build(lib: Any) -> Any:
        f = partial(formula, lib)
        return lib.jit(f if argnums is None else lib.grad(f, argnums))

    return {"functrace": build, "jax": build, **others}


def case(
    name: str,
    data: Any,
    builders: Mapping[str, Builder],
    sizes: tuple[int, ...] = ONCE,
    dtypes: tuple[str, ...] = BOTH,
    tolerance: Mapping[str, float] = LOOSE,
) -> Case:
    return Case(name, data, builders, sizes, dtypes, tolerance, reference="jax")


DOUBLE = ("float64",)  # random draws of another precision are other draws

CASES = [
    case("10⁶ scalar steps", series.start, pair(series.scalar_loop, numba=by_hand.scalar_loop)),
    case("IIR filter of 10⁵ samples", series.signal, pair(series.iir, numba=by_hand.iir)),
    case("Lorenz, 10⁴ steps", series.attractor, pair(series.lorenz, numba=by_hand.lorenz)),
    case(
        "gradient of Lorenz",
        series.attractor,
        pair(series.lorenz, (0, 1), numba=by_hand.lorenz_adjoint),
    ),
    case(
        "tridiagonal solve, 10⁴ unknowns",
        series.bands,
        pair(series.tridiagonal, numba=by_hand.tridiagonal),
    ),
    case(
        "gradient of tridiagonal solve",
        series.bands,
        pair(series.tridiagonal_loss, (0, 1, 2, 3), numba=by_hand.tridiagonal_adjoint),
    ),
    case("fit of a RK4 solution", series.prey, pair(series.rk4, numba=by_hand.rk4), (100, 2000)),
    case("gradient of a RK4 fit", series.prey, pair(series.rk4, 0), (100, 2000)),
    case(
        "Kalman likelihood",
        series.track,
        pair(series.kalman, numba=by_hand.kalman),
        (50, 2000),
    ),
    case(
        "gradient of Kalman likelihood",
        series.track,
        pair(series.kalman, 0, numba=by_hand.kalman_adjoint),
        (50, 2000),
    ),
    case("HMM forward, states", series.chain, pair(series.hmm, numba=by_hand.hmm), (4, 32)),
    case("gradient of HMM forward, states", series.chain, pair(series.hmm, (0, 1)), (4, 32)),
    case("Newton's method", series.orbit, pair(series.kepler, numba=by_hand.kepler)),
    case("Newton's method, 10⁴ lanes", series.orbits, pair(series.keplers, numba=by_hand.keplers)),
    case(
        "Mandelbrot set, 512²",
        space.grid,
        pair(space.mandelbrot, numba=by_hand.mandelbrot),
        tolerance={"float32": 0.02, "float64": 1e-8},
    ),
    case("heat in 1-D", space.rod, pair(space.heat, numba=by_hand.heat)),
    case("gradient of heat in 1-D", space.rod, pair(space.heat_loss, 0)),
    case("heat in 2-D", space.plate, pair(space.heat_2d, numba=by_hand.heat_2d)),
    case("gradient of heat in 2-D", space.plate, pair(space.heat_2d_loss, 0)),
    case("Metropolis, 10⁵ steps", learning.start, pair(learning.metropolis), ONCE, DOUBLE),
    case("HMC, 200 samples", learning.regression, pair(learning.hmc), ONCE, DOUBLE),
    case("LSTM of 100 steps, units", learning.sequences, pair(learning.lstm), (16, 128)),
    case(
        "gradient of LSTM of 100 steps, units",
        learning.sequences,
        pair(learning.lstm, 0),
        (16, 128),
    ),
    case("XOR, 1,000 steps in a jit", learning.xor_data, pair(learning.train_xor)),
    case("digits, 1,000 steps in a jit", learning.digits_data, pair(learning.train_digits)),
    case("logistic, 1,000 steps in a jit", learning.logistic_data, pair(learning.train_logistic)),
]
