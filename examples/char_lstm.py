"""Teach a recurrent network a sonnet, character by character: an LSTM by ``scan``.

The network reads a character and foretells the next one. ``scan`` runs it along the text, ``grad``
runs back through time, and one compiled step does both and Adam's update. Afterwards a second
``scan`` lets it speak: each character it says is the next one it reads.

Shown here: an LSTM (Hochreiter and Schmidhuber, 1997) in a few lines, ``scan`` in both directions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import functrace as ft
from functrace import lax, nn

TEXT = """Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date;
"""
ALPHABET = sorted(set(TEXT))
CODES = np.array([ALPHABET.index(c) for c in TEXT])

Params = dict[str, np.ndarray]
State = tuple[np.ndarray, np.ndarray]


def init(hidden: int, rng: np.random.Generator) -> Params:
    """Small random weights; gates of forgetting start open."""
    symbols = len(ALPHABET)
    scale = 1.0 / np.sqrt(hidden)
    bias = np.zeros(4 * hidden)
    bias[hidden : 2 * hidden] = 1.0
    return {
        "read": rng.normal(0.0, scale, (symbols, 4 * hidden)),
        "recur": rng.normal(0.0, scale, (hidden, 4 * hidden)),
        "bias": bias,
        "say": rng.normal(0.0, scale, (hidden, symbols)),
    }


def cell(params: Params, state: State, code: Any) -> tuple[State, np.ndarray]:
    """One step: read a character, return the new state and the logits of the next character."""
    h, c = state
    gates = params["read"][code] + h @ params["recur"] + params["bias"]
    i, f, o, g = np.split(gates, 4)
    c = nn.sigmoid(f) * c + nn.sigmoid(i) * np.tanh(g)
    h = nn.sigmoid(o) * np.tanh(c)
    return (h, c), h @ params["say"]


def loss(params: Params, codes: np.ndarray) -> float:
    """Mean surprise at each next character."""
    hidden = params["recur"].shape[0]
    nothing = (np.zeros(hidden), np.zeros(hidden))
    _, logits = lax.scan(lambda s, code: cell(params, s, code), nothing, codes[:-1])
    chosen = np.take_along_axis(nn.log_softmax(logits), codes[1:, None], axis=1)
    return -np.mean(chosen)


@ft.jit
def step(params: Params, average: Params, square: Params, count: float) -> Any:
    """One step of Adam on the whole text."""
    value, grads = ft.value_and_grad(loss)(params, CODES)
    average = ft.tree.map(lambda a, g: 0.9 * a + 0.1 * g, average, grads)
    square = ft.tree.map(lambda s, g: 0.99 * s + 0.01 * g * g, square, grads)
    near, far = 1.0 - 0.9**count, 1.0 - 0.99**count
    params = ft.tree.map(
        lambda p, a, s: p - 0.01 * (a / near) / (np.sqrt(s / far) + 1e-8), params, average, square
    )
    return value, params, average, square


@ft.jit
def speak(params: Params, first: int) -> np.ndarray:
    """Return what the network says from one character on."""
    hidden = params["recur"].shape[0]

    def say(carry: tuple[State, Any], _: None) -> tuple[tuple[State, Any], Any]:
        state, logits = cell(params, *carry)
        code = np.argmax(logits)
        return (state, code), code

    start = ((np.zeros(hidden), np.zeros(hidden)), first)
    return lax.scan(say, start, None, length=len(CODES) - 1)[1]


def main(steps: int = 200, hidden: int = 64, seed: int = 0) -> dict[str, Any]:
    params = init(hidden, np.random.default_rng(seed))
    average = square = ft.tree.map(np.zeros_like, params)
    losses = []
    for number in range(1, steps + 1):
        value, params, average, square = step(params, average, square, float(number))
        losses.append(float(value))
    said = TEXT[0] + "".join(ALPHABET[code] for code in speak(params, int(CODES[0])))
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.4f}\n{said}")
    return {"losses": losses, "said": said}


if __name__ == "__main__":
    main()
