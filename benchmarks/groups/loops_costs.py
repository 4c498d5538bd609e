"""What loops cost beside what they should: functrace against itself.

``baseline`` is the work a row is measured by: a loop's forward pass for its gradient, one long
loop for many lanes that end at different times.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.case import Case, Goal

TITLE = "Costs of loops"
GOALS = {"baseline": Goal(None, 3.0), "jax": Goal(None, 1.05)}
LEAVES, STEPS = 60, 1000


def scalars(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return (tuple(np.array(v) for v in rng.uniform(0.1, 0.9, LEAVES)),)


def coupled(lib: Any, state: Any) -> Any:
    """A scan whose carry is 60 scalars, each driven by its neighbours."""

    def step(s: Any, _: Any) -> Any:
        after = tuple(s[i] + 0.01 * (s[i - 1] - s[i] * s[(i + 1) % LEAVES]) for i in range(LEAVES))
        return after, None

    last, _ = lib.lax.scan(step, state, None, length=STEPS)
    return sum(x * x for x in last)


def trips(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Lanes that take 1 to 1,000 steps."""
    return rng.permutation(1000) + 1, rng.uniform(0.1, 1.0, 1000)


def spin(lib: Any, count: Any, x: Any) -> Any:
    """``count`` steps of a recurrence."""

    def step(carry: Any) -> Any:
        i, x = carry
        return i + 1, 0.5 * (x + 1.0 / (x + 0.1))

    return lib.lax.while_loop(lambda carry: carry[0] < count, step, (0, x))[1]


def lanes(lib: Any) -> Any:
    return lib.jit(lib.vmap(lambda n, x: spin(lib, n, x)))


def one_lane(lib: Any) -> Any:
    """The sum of all lanes' steps, in one loop."""
    return lib.jit(lambda n, x: spin(lib, lib.xp.sum(n), x[0]))


CASES = [
    Case(
        "gradient of a scan of 60 scalars",
        scalars,
        {
            "functrace": lambda lib: lib.jit(lib.grad(lambda s: coupled(lib, s))),
            "jax": lambda lib: lib.jit(lib.grad(lambda s: coupled(lib, s))),
            "baseline": lambda lib: lib.jit(lambda s: coupled(lib, s)),
        },
        (0,),
    ),
    Case(
        "1,000 lanes of a while of 1 to 1,000 steps",
        trips,
        {"functrace": lanes, "jax": lanes, "baseline": one_lane},
        (0,),
    ),
]
