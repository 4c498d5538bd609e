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


LONG, WIDE = 10**5, 1000


def vector(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return (rng.uniform(0.1, 0.9, WIDE),)


def long_scan(lib: Any, x: Any, **options: Any) -> Any:
    """10⁵ steps of a vector, each of which its derivative needs."""

    def step(x: Any, _: Any) -> Any:
        return x + 0.001 * x * (1.0 - x), None

    return lib.xp.sum(lib.lax.scan(step, x, None, length=LONG, **options)[0] ** 2)


def long_gradient(lib: Any) -> Any:
    return lib.jit(lib.grad(lambda x: long_scan(lib, x)))


def checkpointed_gradient(lib: Any) -> Any:
    """Keeps one state in about 316; in JAX, a scan inside of a checkpointed scan."""
    if lib.name == "functrace":
        return lib.jit(lib.grad(lambda x: long_scan(lib, x, checkpoint="sqrt")))
    outer = 320

    def loss(x: Any) -> Any:
        def step(x: Any, _: Any) -> Any:
            return x + 0.001 * x * (1.0 - x), None

        @lib.root.checkpoint  # type: ignore[untyped-decorator]
        def some(x: Any, _: Any) -> Any:
            return lib.lax.scan(step, x, None, length=LONG // outer)[0], None

        x = lib.lax.scan(some, x, None, length=outer)[0]
        x = lib.lax.scan(step, x, None, length=LONG % outer)[0]
        return lib.xp.sum(x**2)

    return lib.jit(lib.grad(loss))


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
    Case(
        "gradient of 10⁵ steps of a vector",
        vector,
        dict.fromkeys(("functrace", "jax"), long_gradient),
        (0,),
        ("float64",),
    ),
    Case(
        'the same with checkpoint="sqrt"',
        vector,
        {
            "functrace": checkpointed_gradient,
            "jax": checkpointed_gradient,
            "baseline": long_gradient,
        },
        (0,),
        ("float64",),
    ),
]
