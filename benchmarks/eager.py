"""Eager gradients, nothing compiled: an MLP, 500 scalar operations, Newton's method.

The same mathematics in float64 for each library, written as its users write it: functrace and
HIPS autograd on NumPy arrays, PyTorch on tensors with ``torch.autograd.grad``, JAX on its own
arrays without ``jit``. The goal is 0.7 of autograd's time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run as a file: the repository's root is where the packages are
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import functrace as ft
from benchmarks import harness

GOALS = {"autograd": 0.7}
SIZES = (32, 64, 32, 10)
BATCH = 32


def data() -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
    """The layers, the inputs and the one-hot targets."""
    rng = np.random.default_rng(0)
    layers = [(rng.normal(0.0, m**-0.5, (m, n)), np.zeros(n)) for m, n in pairwise(SIZES)]
    return layers, rng.normal(size=(BATCH, SIZES[0])), np.eye(10)[rng.integers(0, 10, BATCH)]


# ---------------------------------------------------------------------------- the mathematics


def mlp_loss(xp: Any) -> Callable[..., Any]:
    """Cross entropy of a tanh network, in the array namespace ``xp``."""

    def loss(layers: Any, x: Any, y: Any) -> Any:
        for w, b in layers[:-1]:
            x = xp.tanh(x @ w + b)
        w, b = layers[-1]
        z = x @ w + b
        log_sum = xp.log(xp.sum(xp.exp(z), axis=1))
        return xp.mean(log_sum - xp.sum(z * y, axis=1))

    return loss


def scalar_loop(xp: Any) -> Callable[[Any], Any]:
    """500 operations on one number: 250 times a sine and a product."""

    def f(x: Any) -> Any:
        for _ in range(250):
            x = xp.sin(x) * 1.1
        return x

    return f


def newton(f: Callable[[Any], Any], derivative: Callable[[Any], Any], x: Any) -> Any:
    """A root to tolerance, the loop decided by values."""
    value = f(x)
    while abs(value) > 1e-12:
        x = x - value / derivative(x)
        value = f(x)
    return x


def equation(xp: Any) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        return xp.exp(x) * xp.sin(x) + x * x * x - 5.0

    return f


# ---------------------------------------------------------------------------- PyTorch's form


def torch_loss(torch: Any) -> Callable[..., Any]:
    def loss(layers: Any, x: Any, y: Any) -> Any:
        for w, b in layers[:-1]:
            x = torch.tanh(torch.addmm(b, x, w))
        w, b = layers[-1]
        z = torch.addmm(b, x, w)
        return torch.mean(torch.logsumexp(z, dim=1) - torch.sum(z * y, dim=1))

    return loss


def torch_grad(torch: Any, f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def derivative(x: Any) -> Any:
        leaf = x.detach().requires_grad_()
        return torch.autograd.grad(f(leaf), leaf)[0]

    return derivative


# ---------------------------------------------------------------------------- the cases


def mlp_case(found: dict[str, Any]) -> harness.Case:
    layers, x, y = data()
    gradient = ft.grad(mlp_loss(np))
    calls: dict[str, harness.Call] = {"functrace": lambda: gradient(layers, x, y)}
    if "autograd" in found:
        autograd = found["autograd"]
        theirs = autograd.grad(mlp_loss(autograd.numpy))
        calls["autograd"] = lambda: theirs(layers, x, y)
    if "torch" in found:
        torch = found["torch"]
        flat = [torch.tensor(a, requires_grad=True) for layer in layers for a in layer]
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        tx, ty, loss = torch.tensor(x), torch.tensor(y), torch_loss(torch)
        calls["torch"] = lambda: torch.autograd.grad(loss(pairs, tx, ty), flat)
    if "jax" in found:
        jax = found["jax"]
        jitless, arrays = jax.grad(mlp_loss(jax.numpy)), jax.device_put((layers, x, y))
        calls["jax"] = lambda: jax.block_until_ready(jitless(*arrays))
    return harness.Case("gradient of an MLP 32-64-32-10, batch 32", calls, GOALS)


def scalar_case(found: dict[str, Any]) -> harness.Case:
    gradient = ft.grad(scalar_loop(np))
    calls: dict[str, harness.Call] = {"functrace": lambda: gradient(0.5)}
    if "autograd" in found:
        theirs = found["autograd"].grad(scalar_loop(found["autograd"].numpy))
        calls["autograd"] = lambda: theirs(0.5)
    if "torch" in found:
        torch = found["torch"]
        derivative = torch_grad(torch, scalar_loop(torch))
        start = torch.tensor(0.5, dtype=torch.float64)
        calls["torch"] = lambda: derivative(start)
    if "jax" in found:
        jax = found["jax"]
        jitless = jax.grad(scalar_loop(jax.numpy))
        calls["jax"] = lambda: jitless(0.5).block_until_ready()
    return harness.Case("gradient of 500 scalar operations", calls, GOALS)


def newton_case(found: dict[str, Any]) -> harness.Case:
    f = equation(np)
    derivative = ft.grad(f)
    calls: dict[str, harness.Call] = {"functrace": lambda: newton(f, derivative, 3.0)}
    if "autograd" in found:
        g = equation(found["autograd"].numpy)
        theirs = found["autograd"].grad(g)
        calls["autograd"] = lambda: newton(g, theirs, 3.0)
    if "torch" in found:
        torch = found["torch"]
        h, start = equation(torch), torch.tensor(3.0, dtype=torch.float64)
        slope = torch_grad(torch, h)
        calls["torch"] = lambda: newton(h, slope, start)
    if "jax" in found:
        jax = found["jax"]
        k = equation(jax.numpy)
        jitless = jax.grad(k)
        calls["jax"] = lambda: newton(k, jitless, 3.0)
    return harness.Case("Newton's method to 1e-12", calls, GOALS)


def check(case: harness.Case) -> harness.Case:
    """Everyone must compute the same numbers, or the times mean nothing."""

    def leaves(result: Any) -> list[np.ndarray]:
        if isinstance(result, (list, tuple)):
            return [leaf for item in result for leaf in leaves(item)]
        return [np.asarray(result.detach() if hasattr(result, "detach") else result)]

    ours = leaves(case.contenders["functrace"]())
    for name, call in case.contenders.items():
        for a, b in zip(ours, leaves(call()), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=name)
    return case


def cases() -> Iterator[harness.Case]:
    found = harness.peers("autograd", "torch", "jax")
    if "autograd" in found:
        harness.peer("autograd.numpy")
    for make in (mlp_case, scalar_case, newton_case):
        yield check(make(found))


def run(options: harness.Options) -> list[harness.Result]:
    return harness.run_suite("eager, float64", cases, options)


if __name__ == "__main__":
    harness.main(__doc__, run)
