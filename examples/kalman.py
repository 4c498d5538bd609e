"""Fit a state-space model: the flow of the Nile, by the likelihood of a Kalman filter in ``scan``.

The local level model says that the yearly flow is a level plus noise, and that the level drifts:

    flow = level + noise, variance r        level' = level + drift, variance q

The filter (Kalman, 1960) gives the likelihood of all hundred years in one pass, and ``grad`` its
exact gradient in a second one. The variances are those of Durbin and Koopman, *Time Series Analysis
by State Space Methods*, section 2.2: r = 15099, q = 1469.

Shown here: ``lax.scan`` with a carry of several parts, ``jit(value_and_grad(f))``, SciPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize

import functrace as ft
from functrace import lax

# Annual flow of the Nile at Aswan, 1871 to 1970, in 10^8 cubic metres.
# fmt: off
FLOW = np.array(
    [
        1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960,
        1180, 799, 958, 1140, 1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694,
        940, 833, 701, 916, 692, 1020, 1050, 969, 831, 726, 456, 824, 702, 1120, 1100, 832,
        764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759, 781, 865, 845, 944,
        984, 897, 822, 1010, 771, 676, 649, 846, 812, 742, 801, 1040, 860, 874, 848, 890,
        744, 749, 838, 1050, 918, 986, 797, 923, 975, 815, 1020, 906, 901, 1170, 912, 746,
        919, 718, 714, 740,
    ],
    dtype=np.float64,
)
# fmt: on


def filtered(log_variances: np.ndarray, flow: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the negative log-likelihood, and the level expected at the end of each year."""
    r, q = np.exp(log_variances)

    def year(carry: tuple[Any, Any, Any], seen: Any) -> tuple[tuple[Any, Any, Any], Any]:
        level, variance, loss = carry
        surprise, spread = seen - level, variance + r
        gain = variance / spread
        level = level + gain * surprise
        loss = loss + 0.5 * (np.log(2 * np.pi * spread) + surprise**2 / spread)
        return (level, variance * (1.0 - gain) + q, loss), level

    # Nothing is known of the first level: its variance is enormous.
    (_, _, loss), levels = lax.scan(year, (0.0, 1e7, 0.0), flow)
    return loss, levels


def main() -> dict[str, Any]:
    objective = ft.jit(ft.value_and_grad(lambda v, flow: filtered(v, flow)[0]))
    start = np.log([np.var(FLOW), np.var(FLOW)])
    found = minimize(objective, start, args=(FLOW,), jac=True, method="BFGS")
    r, q = np.exp(found.x)
    levels = ft.jit(filtered)(found.x, FLOW)[1]
    print(f"noise variance {r:.0f}, drift variance {q:.0f}, log-likelihood {-found.fun:.3f}")
    before, after = levels[20:28].mean(), levels[32:].mean()
    print(f"level about {before:.0f} before the dam of 1902, {after:.0f} after it")
    return {"variances": np.array([r, q]), "log_likelihood": -float(found.fun), "levels": levels}


if __name__ == "__main__":
    main()
