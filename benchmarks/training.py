"""Whole training steps, compiled: loss, gradient and update of a small, a middle and a large MLP.

SGD and Adam, float32 and float64, against JAX on its own arrays with x64 on. Both libraries run
the same functions; a step is finished when its results are (``block_until_ready``). Each library
is timed in its plain form and with its parameters and optimiser state donated, and our better
form is compared with JAX's better form. The goals are below 1, below 1 and 1.25 of JAX's time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

if not __package__:  # run as a file: the repository's root is where the packages are
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import functrace as ft
from benchmarks import harness


class Problem(NamedTuple):
    name: str
    sizes: tuple[int, ...]
    batch: int
    goal: float


PROBLEMS = (
    Problem("XOR 2-8-1, batch 4", (2, 8, 1), 4, 1.0),
    Problem("digits 64-32-10, batch 32", (64, 32, 10), 32, 1.0),
    Problem("MLP 784-512-512-10, batch 128", (784, 512, 512, 10), 128, 1.25),
)


# ---------------------------------------------------------------------------- the mathematics


def mean_square(xp: Any, params: Any, x: Any, y: Any) -> Any:
    for layer in params[:-1]:
        x = xp.tanh(x @ layer["w"] + layer["b"])
    return xp.mean((x @ params[-1]["w"] + params[-1]["b"] - y) ** 2)


def cross_entropy(xp: Any, params: Any, x: Any, y: Any) -> Any:
    for layer in params[:-1]:
        x = xp.maximum(x @ layer["w"] + layer["b"], 0.0)
    z = x @ params[-1]["w"] + params[-1]["b"]
    z = z - xp.max(z, axis=1, keepdims=True)
    log_p = z - xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True))
    return -xp.mean(xp.sum(log_p * y, axis=1))


def sgd(lib: Any, xp: Any, params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
    return lib.tree.map(lambda p, g: p - 0.01 * g, params, grads), state


def adam(lib: Any, xp: Any, params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
    count, mean, square = state
    count = count + 1.0
    mean = lib.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, grads)
    square = lib.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, square, grads)
    a, b = 1.0 / (1.0 - 0.9**count), 1.0 / (1.0 - 0.999**count)
    params = lib.tree.map(
        lambda p, m, s: p - 0.001 * (m * a) / (xp.sqrt(s * b) + 1e-8), params, mean, square
    )
    return params, (count, mean, square)


def make_step(lib: Any, xp: Any, loss: Callable[..., Any], optimiser: Callable[..., Any]) -> Any:
    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        value, grads = lib.value_and_grad(lambda p: loss(xp, p, x, y))(params)
        params, state = optimiser(lib, xp, params, state, grads)
        return value, params, state

    return step


# ---------------------------------------------------------------------------- the contenders


def start(problem: Problem, optimiser: Any, dtype: Any) -> tuple[Any, Any, Any, Any]:
    """Parameters, optimiser state and one batch, as NumPy arrays of ``dtype``."""
    rng = np.random.default_rng(0)
    params = [
        {"w": rng.normal(0.0, (1.0 / m) ** 0.5, (m, n)).astype(dtype), "b": np.zeros(n, dtype)}
        for m, n in pairwise(problem.sizes)
    ]
    if problem.sizes[0] == 2:
        x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype)
        y = np.array([[0], [1], [1], [0]], dtype)
    else:
        x = rng.normal(size=(problem.batch, problem.sizes[0])).astype(dtype)
        y = np.eye(problem.sizes[-1], dtype=dtype)[rng.integers(0, 10, problem.batch)]
    state: Any = ()
    if optimiser is adam:
        zeros = [{k: np.zeros_like(v) for k, v in layer.items()} for layer in params]
        again = [{k: np.zeros_like(v) for k, v in layer.items()} for layer in params]
        state = (np.zeros((), dtype), zeros, again)
    return params, state, x, y


class Trainer:
    """A contender: keeps its parameters and state, and makes one step when called."""

    def __init__(self, step: Any, finish: Callable[[Any], Any], begin: tuple[Any, ...]) -> None:
        self.step, self.finish = step, finish
        self.params, self.state, self.x, self.y = begin

    def __call__(self) -> Any:
        value, self.params, self.state = self.step(self.params, self.state, self.x, self.y)
        self.finish((value, self.params))
        return value


def trainers(
    problem: Problem, optimiser: Any, dtype: Any, jax: Any | None
) -> dict[str, harness.Call]:
    loss = mean_square if problem.sizes[-1] == 1 else cross_entropy
    found: dict[str, harness.Call] = {}
    ours = make_step(ft, np, loss, optimiser)
    for name, donated in (("functrace", ()), ("functrace donated", (0, 1))):
        begin = start(problem, optimiser, dtype)
        found[name] = Trainer(ft.jit(ours, donate_argnums=donated), lambda r: r, begin)
    if jax is not None:
        theirs = make_step(jax, jax.numpy, loss, optimiser)
        for name, donated in (("jax", ()), ("jax donated", (0, 1))):
            begin = jax.device_put(start(problem, optimiser, dtype))
            step = jax.jit(theirs, donate_argnums=donated)
            found[name] = Trainer(step, jax.block_until_ready, begin)
    return found


def check(found: dict[str, harness.Call], dtype: Any) -> None:
    """The first five losses must agree, or the times mean nothing."""
    losses = {name: [float(call()) for _ in range(5)] for name, call in found.items()}
    for name, values in losses.items():
        np.testing.assert_allclose(
            values, losses["functrace"], rtol=1e-9 if dtype == np.float64 else 1e-3, err_msg=name
        )


def cases() -> Iterator[harness.Case]:
    jax = harness.peer("jax")
    for problem in PROBLEMS:
        for optimiser in (sgd, adam):
            for dtype in (np.float32, np.float64):
                found = trainers(problem, optimiser, dtype, jax)
                check(found, dtype)
                name = f"{problem.name}, {optimiser.__name__}, {np.dtype(dtype).name}"
                yield harness.Case(name, found)


def best(result: harness.Result) -> harness.Result:
    """Our better form against JAX's better form."""
    medians, minima = {}, {}
    for library in ("functrace", "jax"):
        forms = [name for name in result.medians if name.startswith(library)]
        if forms:
            chosen = min(forms, key=result.minima.__getitem__)
            medians[library], minima[library] = result.medians[chosen], result.minima[chosen]
    goal = next(p.goal for p in PROBLEMS if result.case.name.startswith(p.name))
    return harness.Result(harness.Case(result.case.name, {}, {"jax": goal}), medians, minima)


def run(options: harness.Options) -> list[harness.Result]:
    results = harness.run_suite("training step", cases, options)
    compared = [best(result) for result in results]
    if compared:
        print(harness.report("best forms", compared), end="\n\n")
    return compared


if __name__ == "__main__":
    harness.main(__doc__, run)
