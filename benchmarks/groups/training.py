"""Training steps: loss, gradient and update, each library in the form its users write.

Our steps and JAX's are timed plain and with parameters and state donated, the better form counts;
PyTorch's is eager, with its own optimisers. All three take subnormal numbers for zero: JAX can't do
otherwise, the others do it if they are asked (``flush_subnormals``, ``set_flush_denormal``), and a
batch that is seen again and again soon has gradients that small. The first losses of a run must
agree with the reference's, so that gradients and updates are checked too.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.case import Case, Formula, Goal
from benchmarks.libraries import leaves, map_leaves

TITLE = "Training steps"
GOALS = {"jax": Goal(0.7, 1.1), "torch": Goal(0.4, None)}
RATE, FIRST, SECOND, SMALL = 0.01, 0.9, 0.999, 1e-8
Data = Callable[[np.random.Generator, int], tuple[Any, ...]]


# ---------------------------------------------------------------------------- optimisers


def sgd(lib: Any, params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
    return lib.map(lambda p, g: p - RATE * g, params, grads), state


def adam(lib: Any, params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
    count, mean, square = state
    count = count + 1.0
    mean = lib.map(lambda m, g: FIRST * m + (1.0 - FIRST) * g, mean, grads)
    square = lib.map(lambda s, g: SECOND * s + (1.0 - SECOND) * g * g, square, grads)
    a, b = 1.0 / (1.0 - FIRST**count), 1.0 / (1.0 - SECOND**count)
    params = lib.map(
        lambda p, m, s: p - RATE * (m * a) / (lib.xp.sqrt(s * b) + SMALL), params, mean, square
    )
    return params, (count, mean, square)


def fresh(optimiser: Any, params: Any) -> Any:
    """The state an optimiser begins with."""
    if optimiser is sgd:
        return ()
    zeros = [map_leaves(lambda p: np.zeros(p.shape, p.dtype), params) for _ in range(2)]
    return (np.zeros((), next(leaves(params)).dtype), *zeros)


# ---------------------------------------------------------------------------- one step, per library


def make_step(lib: Any, loss: Formula, optimiser: Any) -> Callable[..., Any]:
    def step(params: Any, state: Any, *batch: Any) -> Any:
        value, grads = lib.value_and_grad(lambda p: loss(lib, p, *batch))(params)
        return (*optimiser(lib, params, state, grads), value)

    return step


def stateful(lib: Any, loss: Formula, optimiser: Any, donated: bool) -> Callable[..., Any]:
    """A step that keeps its parameters and state, and returns the loss."""
    donate = (0, 1) if donated else ()
    lib.flush_subnormals()
    step = lib.root.jit(make_step(lib, loss, optimiser), donate_argnums=donate)
    held: list[Any] = []

    def call(params: Any, *batch: Any) -> Any:
        if not held:
            held.extend((params, lib.put(fresh(optimiser, params))))
        held[0], held[1], value = step(held[0], held[1], *batch)
        lib.wait(held)
        return value

    return call


def by_torch(lib: Any, loss: Formula, optimiser: Any) -> Callable[..., Any]:
    torch, held = lib.torch, []
    lib.flush_subnormals()

    def call(params: Any, *batch: Any) -> Any:
        if not held:
            params = map_leaves(lambda p: p.detach().requires_grad_(), params)
            kind = torch.optim.SGD if optimiser is sgd else torch.optim.Adam
            held.extend((params, kind(list(leaves(params)), lr=RATE)))
        params, updates = held
        updates.zero_grad()
        value = loss(lib, params, *batch)
        value.backward()
        updates.step()
        return value

    return call


def builders(loss: Formula, optimiser: Any) -> dict[str, Any]:
    def two_ways(lib: Any) -> Any:
        return tuple(stateful(lib, loss, optimiser, donated) for donated in (False, True))

    return {
        "functrace": two_ways,
        "jax": two_ways,
        "torch": lambda lib: by_torch(lib, loss, optimiser),
    }


# ---------------------------------------------------------------------------- models


def dense(rng: np.random.Generator, m: int, n: int) -> dict[str, Any]:
    return {"w": rng.normal(0.0, m**-0.5, (m, n)), "b": np.zeros(n)}


def one_hot(rng: np.random.Generator, n: int, classes: int) -> Any:
    return np.eye(classes)[rng.integers(0, classes, n)]


def cross_entropy(lib: Any, z: Any, y: Any) -> Any:
    return -lib.xp.sum(lib.log_softmax(z) * y) / y.shape[0]


def xor_data(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
    return [dense(rng, 2, 8), dense(rng, 8, 1)], x, np.array([[0], [1], [1], [0]], float)


def xor(lib: Any, params: Any, x: Any, y: Any) -> Any:
    hidden = lib.xp.tanh(x @ params[0]["w"] + params[0]["b"])
    return lib.xp.mean((hidden @ params[1]["w"] + params[1]["b"] - y) ** 2)


def mlp_data(sizes: tuple[int, ...], batch: int) -> Data:
    def make(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
        params = [dense(rng, a, b) for a, b in pairwise(sizes)]
        return params, rng.standard_normal((batch, sizes[0])), one_hot(rng, batch, sizes[-1])

    return make


def mlp(lib: Any, params: Any, x: Any, y: Any) -> Any:
    for layer in params[:-1]:
        x = lib.relu(x @ layer["w"] + layer["b"])
    return cross_entropy(lib, x @ params[-1]["w"] + params[-1]["b"], y)


def logistic_data(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    y = (rng.uniform(size=1000) > 0.5).astype(float)
    return {"b": np.zeros(()), "w": np.zeros(30)}, rng.standard_normal((1000, 30)), y


def logistic(lib: Any, params: Any, x: Any, y: Any) -> Any:
    z = x @ params["w"] + params["b"]
    return lib.xp.mean(lib.xp.log(1.0 + lib.xp.exp(z)) - y * z)


def cnn_data(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    params = {
        "first": rng.normal(0.0, 1 / 3, (8, 1, 3, 3)),
        "second": rng.normal(0.0, 72**-0.5, (16, 8, 3, 3)),
        "last": dense(rng, 16 * 7 * 7, 10),
    }
    return params, rng.standard_normal((32, 1, 28, 28)), one_hot(rng, 32, 10)


def pool(lib: Any, x: Any) -> Any:
    """The largest of each 2x2 square."""
    n, c, h, w = x.shape
    tiles = x.reshape(n, c, h // 2, 2, w // 2, 2)
    return lib.xp.amax(tiles, axis=(3, 5))


def cnn(lib: Any, params: Any, x: Any, y: Any) -> Any:
    x = pool(lib, lib.relu(lib.conv(x, params["first"])))
    x = pool(lib, lib.relu(lib.conv(x, params["second"])))
    flat = x.reshape(x.shape[0], -1)
    return cross_entropy(lib, flat @ params["last"]["w"] + params["last"]["b"], y)


def lstm_data(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """16 sequences of 20 steps, 64 units."""
    params = {"cell": dense(rng, 16 + 64, 4 * 64), "out": dense(rng, 64, 10)}
    return params, rng.standard_normal((20, 16, 16)), one_hot(rng, 16, 10)


def lstm(lib: Any, params: Any, x: Any, y: Any) -> Any:
    xp, units = lib.xp, params["out"]["w"].shape[0]
    h = 0.0 * (x[0] @ params["cell"]["w"][:16, :units])
    c = h
    for t in range(x.shape[0]):
        z = xp.concatenate([x[t], h], 1) @ params["cell"]["w"] + params["cell"]["b"]
        keep, put, show = (lib.sigmoid(z[:, i * units : (i + 1) * units]) for i in range(3))
        c = keep * c + put * xp.tanh(z[:, 3 * units :])
        h = show * xp.tanh(c)
    return cross_entropy(lib, h @ params["out"]["w"] + params["out"]["b"], y)


def transformer_data(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """8 sequences of 64 tokens of 128 numbers, 4 heads."""
    wide = 128
    params = {
        "qkv": dense(rng, wide, 3 * wide),
        "out": dense(rng, wide, wide),
        "up": dense(rng, wide, 4 * wide),
        "down": dense(rng, 4 * wide, wide),
        "norms": [{"gain": np.ones(wide), "shift": np.zeros(wide)} for _ in range(2)],
    }
    return params, rng.standard_normal((8, 64, wide)), rng.standard_normal((8, 64, wide))


def layer_norm(lib: Any, p: Any, x: Any) -> Any:
    xp = lib.xp
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    scale = xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)
    return centred / scale * p["gain"] + p["shift"]


def transformer(lib: Any, params: Any, x: Any, y: Any) -> Any:
    xp, (n, t, wide), count = lib.xp, x.shape, 4
    qkv = layer_norm(lib, params["norms"][0], x) @ params["qkv"]["w"] + params["qkv"]["b"]
    q, k, v = (qkv[..., i * wide : (i + 1) * wide].reshape(n, t, count, -1) for i in range(3))
    scores = lib.softmax(xp.einsum("bthd,bshd->bhts", q, k) * (wide // count) ** -0.5)
    mixed = xp.einsum("bhts,bshd->bthd", scores, v).reshape(n, t, wide)
    x = x + mixed @ params["out"]["w"] + params["out"]["b"]
    up = layer_norm(lib, params["norms"][1], x) @ params["up"]["w"] + params["up"]["b"]
    gelu = 0.5 * up * (1.0 + xp.tanh(0.7978845608 * (up + 0.044715 * up * up * up)))
    x = x + gelu @ params["down"]["w"] + params["down"]["b"]
    return xp.mean((x - y) ** 2)


def vae_data(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    names = ("hidden", "mean", "spread", "back", "image")
    sizes = ((784, 256), (256, 20), (256, 20), (20, 256), (256, 784))
    params = {name: dense(rng, *size) for name, size in zip(names, sizes, strict=True)}
    return params, rng.uniform(size=(64, 784)), rng.standard_normal((64, 20))


def vae(lib: Any, params: Any, x: Any, noise: Any) -> Any:
    xp = lib.xp

    def apply(name: str, x: Any) -> Any:
        return x @ params[name]["w"] + params[name]["b"]

    hidden = lib.relu(apply("hidden", x))
    mean, spread = apply("mean", hidden), apply("spread", hidden)
    z = mean + xp.exp(0.5 * spread) * noise
    logits = apply("image", lib.relu(apply("back", z)))
    miss = xp.sum(xp.log(1.0 + xp.exp(-xp.abs(logits))) + lib.relu(logits) - x * logits)
    divergence = -0.5 * xp.sum(1.0 + spread - mean * mean - xp.exp(spread))
    return (miss + divergence) / x.shape[0]


MODELS: list[tuple[str, Data, Formula]] = [
    ("XOR 2-8-1, batch 4", xor_data, xor),
    ("logistic regression 1000 x 30", logistic_data, logistic),
    ("digits 64-32-10, batch 32", mlp_data((64, 32, 10), 32), mlp),
    ("MLP 784-512-512-10, batch 128", mlp_data((784, 512, 512, 10), 128), mlp),
    ("MLP 1024-2048-2048-10, batch 128", mlp_data((1024, 2048, 2048, 10), 128), mlp),
    ("CNN on 32 images of 28 x 28", cnn_data, cnn),
    ("LSTM unrolled 20 steps, 64 units, batch 16", lstm_data, lstm),
    ("transformer block, 8 x 64 tokens of 128", transformer_data, transformer),
    ("VAE 784-256-20, batch 64", vae_data, vae),
]

CASES = [
    Case(
        f"{name}, {optimiser.__name__}",
        data,
        builders(loss, optimiser),
        sizes=(0,),
        checks=3,
        reference="torch",
        tolerance={"float32": 5e-3, "float64": 1e-7},
    )
    for name, data, loss in MODELS
    for optimiser in (sgd, adam)
]
