"""The price of a call: compiled functions that do next to nothing, against JAX's.

Each leaf of the argument comes back with 1 added, in the same structure: 1, 10 and 50 small
arrays and a dictionary of 20. functrace is given NumPy arrays; JAX is given its own arrays, the
best case for it, and NumPy arrays, which is what the user of NumPy has. JAX is waited for once a
sample, not once a call, which favours it. The goal is half of JAX's time in the first form.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run as a file: the repository's root is where the packages are
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import functrace as ft
from benchmarks import harness

GOALS = {"jax": 0.5, "jax, numpy in": 0.5}


def add_one(*arrays: Any) -> Any:
    return tuple(a + 1.0 for a in arrays)


def add_one_alone(array: Any) -> Any:
    return array + 1.0


def add_one_dict(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: a + 1.0 for name, a in arrays.items()}


def make(name: str, f: Any, args: tuple[Any, ...], jax: Any | None) -> harness.Case:
    ours = ft.jit(f)
    calls: dict[str, harness.Call] = {"functrace": lambda: ours(*args)}
    finish = {}
    if jax is not None:
        theirs, arrays = jax.jit(f), jax.device_put(args)
        calls["jax"] = lambda: theirs(*arrays)
        calls["jax, numpy in"] = lambda: theirs(*args)
        finish = dict.fromkeys(("jax", "jax, numpy in"), jax.block_until_ready)
    for call in calls.values():
        check(call(), f(*args))
    return harness.Case(name, calls, GOALS, finish)


def check(got: Any, want: Any) -> None:
    """The same structure and numbers as plain NumPy gives."""
    assert ft.tree.structure(got) == ft.tree.structure(want)
    for a, b in zip(ft.tree.leaves(got), ft.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)


def cases() -> Iterator[harness.Case]:
    jax = harness.peer("jax")
    arrays = [np.arange(4.0) + i for i in range(50)]
    yield make("1 array", add_one_alone, (arrays[0],), jax)
    yield make("10 arrays", add_one, tuple(arrays[:10]), jax)
    yield make("50 arrays", add_one, tuple(arrays), jax)
    leaves = {f"leaf{i}": array for i, array in enumerate(arrays[:20])}
    yield make("a dict of 20 arrays", add_one_dict, (leaves,), jax)


def run(options: harness.Options) -> list[harness.Result]:
    return harness.run_suite("call of a compiled function", cases, options)


if __name__ == "__main__":
    harness.main(__doc__, run)
