"""XOR, learned by two linear layers written by hand.

No single line separates the four points, so one hidden layer is needed. The parameters are plain
NumPy arrays in a dictionary; the gradient is a dictionary of the same form, and the whole training
step is compiled by ``jit``.

Shown here: ``grad`` over a pytree, ``jit``, ``tree.map``.
"""

from __future__ import annotations

import numpy as np

import functrace as ft

Params = dict[str, np.ndarray]

INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGETS = np.array([[0.0], [1.0], [1.0], [0.0]])


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A linear layer: one row of ``x`` for each sample."""
    return x @ weight + bias


def init(rng: np.random.Generator, hidden: int = 8) -> Params:
    return {
        "w1": rng.normal(0.0, 1.0, (2, hidden)),
        "b1": np.zeros(hidden),
        "w2": rng.normal(0.0, 1.0, (hidden, 1)),
        "b2": np.zeros(1),
    }


def predict(params: Params, x: np.ndarray) -> np.ndarray:
    hidden = np.tanh(linear(x, params["w1"], params["b1"]))
    return linear(hidden, params["w2"], params["b2"])


def loss(params: Params, x: np.ndarray, y: np.ndarray) -> float:
    return np.mean((predict(params, x) - y) ** 2)


@ft.jit
def step(params: Params, x: np.ndarray, y: np.ndarray) -> tuple[float, Params]:
    """One step of gradient descent: the loss before it, and the new parameters."""
    value, grads = ft.value_and_grad(loss)(params, x, y)
    return value, ft.tree.map(lambda p, g: p - 0.1 * g, params, grads)


def main(steps: int = 1000) -> dict[str, object]:
    params = init(np.random.default_rng(0))
    first = float(loss(params, INPUTS, TARGETS))
    for i in range(steps):
        value, params = step(params, INPUTS, TARGETS)
        if i % 200 == 0:
            print(f"step {i:4d}  loss {value:.6f}")

    outputs = predict(params, INPUTS)  # on NumPy arrays this is plain NumPy
    for x, y, out in zip(INPUTS, TARGETS, outputs, strict=True):
        print(f"{x[0]:.0f} xor {x[1]:.0f} = {y[0]:.0f}   predicted {out[0]:+.4f}")
    return {
        "first_loss": first,
        "last_loss": float(loss(params, INPUTS, TARGETS)),
        "outputs": outputs.ravel().tolist(),
    }


if __name__ == "__main__":
    main()
