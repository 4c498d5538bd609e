"""Compile time: trace, plan and build a program, cold and with its kernels known, against JAX.

``functrace`` starts with empty kernel caches; ``functrace, known`` finds every kernel in memory,
as a second program with the same kernels does; ``functrace, numba`` compiles the kernels' printed
Numba source with Numba instead of emitting LLVM. JAX compiles without a compilation cache.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run as a file: the repository's root is where the packages are
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import functrace as ft
from benchmarks import harness, training
from functrace.compiler.runtime.build import clear_caches


def chain(xp: Any) -> Callable[..., Any]:
    """Fifteen element-wise operations on one array."""

    def f(x: Any) -> Any:
        for _ in range(5):
            x = xp.sin(x) * 0.5 + x
        return x

    return f


def long_chain(xp: Any) -> Callable[..., Any]:
    """500 element-wise operations on one array."""

    def f(x: Any) -> Any:
        for i in range(250):
            x = x * (1.0 + i) + 0.5
        return x

    return f


def make(name: str, ours: Any, theirs: Any, args: tuple[Any, ...], jax: Any | None) -> harness.Case:
    def known() -> Any:
        return ft.jit(lambda *a: ours(*a)).lower(*args).compile()

    def cold() -> Any:
        clear_caches(disk=True)
        return known()

    def by_numba() -> Any:
        clear_caches(disk=True)
        with ft.config.override(backend="numba"):
            return known()

    calls: dict[str, harness.Call] = {
        "functrace": cold,
        "functrace, known": known,
        "functrace, numba": by_numba,
    }
    if jax is not None:
        calls["jax"] = lambda: jax.jit(lambda *a: theirs(*a)).lower(*args).compile()
    return harness.Case(name, calls, {"jax": 1.0})


def cases() -> Iterator[harness.Case]:
    jax = harness.peer("jax")
    jnp = jax.numpy if jax is not None else np
    x = np.linspace(0.0, 1.0, 1000)
    yield make("compile: 15 operations", chain(np), chain(jnp), (x,), jax)
    yield make("compile: 500 operations", long_chain(np), long_chain(jnp), (x,), jax)
    for problem in training.PROBLEMS:
        for optimiser in (training.sgd, training.adam):
            loss = training.mean_square if problem.sizes[0] == 2 else training.cross_entropy
            args = training.start(problem, optimiser, np.float64)
            ours = training.make_step(ft, np, loss, optimiser)
            theirs = training.make_step(jax, jnp, loss, optimiser) if jax is not None else None
            name = f"compile: {problem.name}, {optimiser.__name__}"
            yield make(name, ours, theirs, args, jax)


def run(options: harness.Options) -> None:
    with tempfile.TemporaryDirectory() as folder, ft.config.override(cache_dir=folder):
        short = harness.Options(rounds=min(options.rounds, 5), sample=0.0, only=options.only)
        harness.run_suite("compile", cases, short)


if __name__ == "__main__":
    print(harness.about(), end="\n\n")
    run(harness.Options())
