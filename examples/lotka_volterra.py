"""Fit an ODE to data: lynx and hares, by a Runge-Kutta method in ``scan`` and its exact gradient.

The data are the pelts of lynx and snowshoe hare that the Hudson's Bay Company bought from 1900 to
1920, in thousands (``data/README.md``). The model is Lotka and Volterra's,

    hare' = a hare - b hare lynx        lynx' = -c lynx + d hare lynx

with log-normal errors of measurement. The four rates, both first populations and the width of the
errors are found by SciPy's L-BFGS from the value and gradient of the likelihood: one compiled
function, in which the solver's loop, and the loop that goes backwards through it, run natively.

Shown here: ``lax.scan``, ``value_and_grad`` through a solver, ``scipy.optimize.minimize``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

import functrace as ft
from functrace import lax

DATA = Path(__file__).parent / "data" / "lynx_hare.csv"
STEPS = 20  # of the solver, a year


def load_pelts() -> tuple[np.ndarray, np.ndarray]:
    """Return the years, and the numbers of hares and lynx."""
    table = np.loadtxt(DATA, delimiter=",", skiprows=1)
    return table[:, 0], table[:, 1:]


def slope(rates: np.ndarray, state: np.ndarray) -> np.ndarray:
    hare, lynx = state
    a, b, c, d = rates
    return np.stack([a * hare - b * hare * lynx, -c * lynx + d * hare * lynx])


def solve(rates: np.ndarray, first: np.ndarray, years: int) -> np.ndarray:
    """Return the populations at the start of each year, by the classical Runge-Kutta method."""
    h = 1.0 / STEPS

    def step(state: np.ndarray, _: None) -> tuple[np.ndarray, None]:
        k1 = slope(rates, state)
        k2 = slope(rates, state + h / 2 * k1)
        k3 = slope(rates, state + h / 2 * k2)
        k4 = slope(rates, state + h * k3)
        return state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    def year(state: np.ndarray, _: None) -> tuple[np.ndarray, np.ndarray]:
        after, _ = lax.scan(step, state, None, length=STEPS)
        return after, state

    return lax.scan(year, first, None, length=years)[1]


def loss(theta: np.ndarray, pelts: np.ndarray) -> float:
    """Negative log-likelihood; ``theta`` holds logarithms, since all quantities are positive."""
    rates, first, width = np.exp(theta[:4]), np.exp(theta[4:6]), np.exp(theta[6])
    errors = (np.log(pelts) - np.log(solve(rates, first, len(pelts)))) / width
    return 0.5 * np.sum(errors * errors) + errors.size * np.log(width)


def main() -> dict[str, Any]:
    years, pelts = load_pelts()
    objective = ft.jit(ft.value_and_grad(loss))
    start = np.log([0.5, 0.03, 0.8, 0.03, *pelts[0], 0.5])
    found = minimize(objective, start, args=(pelts,), jac=True, method="L-BFGS-B")
    a, b, c, d, hare, lynx, width = np.exp(found.x)
    print(
        f"hare' = {a:.3f} hare - {b:.4f} hare lynx      lynx' = -{c:.3f} lynx + {d:.4f} hare lynx"
    )
    print(f"hares {hare:.1f} and lynx {lynx:.1f} thousand in {years[0]:.0f}; width {width:.2f}")
    print(f"loss {objective(start, pelts)[0]:.2f} -> {found.fun:.2f} in {found.nfev} evaluations")
    return {"rates": np.array([a, b, c, d]), "loss": float(found.fun), "width": float(width)}


if __name__ == "__main__":
    main()
