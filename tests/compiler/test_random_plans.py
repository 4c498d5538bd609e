"""Random programs whose values are used many times and seen through views: plans keep values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from programs import check, trace

from functrace.compiler.pipeline import compile_jaxpr
from functrace.ops.arithmetic import add, mul, neg, sub
from functrace.ops.broadcasting import broadcast_in_dim, reduce_sum
from functrace.ops.contraction import dot_general
from functrace.ops.joining import concatenate, slice_in_dim
from functrace.ops.logical import select
from functrace.ops.reductions import reduce_max
from functrace.ops.structural import reshape, rev, transpose
from functrace.ops.transcendental import tanh

SMALL = [2, 3, 1]
LARGE = [130, 97, 1]


class Maker:
    """Applies random operations to a pool of values whose axes have sizes of a few kinds."""

    def __init__(self, seed: int, sizes: list[int], steps: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.sizes = sizes
        self.steps = steps
        self.moves: list[Callable[[], Any]] = [
            self.unary, self.binary, self.binary, self.scaled, self.fold, self.fold,
            self.broadcast, self.permuted, self.reversed, self.product, self.joined,
            self.reshaped, self.selected,
        ]  # fmt: skip

    def __call__(self, *inputs: Any) -> list[Any]:
        self.rng = np.random.default_rng(self.rng.integers(1 << 30))
        self.pool = list(inputs)
        for _ in range(self.steps):
            value = self.moves[self.rng.integers(len(self.moves))]()
            if value is not None:
                self.pool.append(value)
        count = int(self.rng.integers(1, 5))
        return [self.pool[i] for i in self.rng.integers(0, len(self.pool), count)] + self.pool[-2:]

    def pick(self, fits: Callable[[Any], bool] = lambda v: True) -> Any:
        # Late values more often: chains get long.
        found = [v for v in self.pool if fits(v)]
        if not found:
            return None
        return found[-1 - int(len(found) * self.rng.random() ** 2)]

    def unary(self) -> Any:
        return [neg, tanh][self.rng.integers(2)](self.pick())

    def binary(self) -> Any:
        x = self.pick()
        y = self.pick(lambda v: v.shape in ((), x.shape))
        return [add, sub, mul][self.rng.integers(3)](tanh(x), y)

    def scaled(self) -> Any:
        return mul(self.pick(), [2.0, -1.0, 0.5, 1.0][self.rng.integers(4)])

    def fold(self) -> Any:
        x = self.pick(lambda v: v.ndim > 0)
        count = int(self.rng.integers(1, x.ndim + 1))
        axes = tuple(sorted(map(int, self.rng.choice(x.ndim, count, replace=False))))
        return [reduce_sum, reduce_max][self.rng.integers(2)](tanh(x), axes)

    def broadcast(self) -> Any:
        x = self.pick(lambda v: v.ndim < 3)
        place = int(self.rng.integers(x.ndim + 1))
        size = self.sizes[self.rng.integers(len(self.sizes))]
        shape = (*x.shape[:place], size, *x.shape[place:])
        return broadcast_in_dim(x, shape, [i for i in range(len(shape)) if i != place])

    def permuted(self) -> Any:
        x = self.pick(lambda v: v.ndim > 1)
        return None if x is None else transpose(x, tuple(map(int, self.rng.permutation(x.ndim))))

    def reversed(self) -> Any:
        x = self.pick(lambda v: v.ndim > 0)
        return rev(x, (int(self.rng.integers(x.ndim)),))

    def product(self) -> Any:
        x = self.pick(lambda v: v.ndim == 2)
        y = None if x is None else self.pick(lambda v: v.ndim == 2 and v.shape[0] == x.shape[1])
        if y is None:
            return None
        return tanh(dot_general(x, y, (((1,), (0,)), ((), ()))))

    def joined(self) -> Any:
        x = self.pick(lambda v: v.ndim > 0)
        both = concatenate([x, neg(x)], 0)
        return slice_in_dim(both, x.shape[0] // 2, x.shape[0] // 2 + x.shape[0], 1, axis=0)

    def reshaped(self) -> Any:
        x = self.pick(lambda v: v.ndim > 1)
        return None if x is None else reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))

    def selected(self) -> Any:
        x = self.pick()
        y = self.pick(lambda v: v.shape == x.shape)
        return select(x > y, x, mul(y, y))


def program(seed: int, sizes: list[int], steps: int) -> tuple[Any, list[Any]]:
    rng = np.random.default_rng(seed + 1000)
    n, m = sizes[0], sizes[1]
    shapes = [(n, m), (m, n), (n,), (m,), (), (n, n)]
    inputs = [np.asarray(rng.normal(size=s) * 0.5)[()] for s in shapes]

    def fun(*xs: Any) -> list[Any]:
        return Maker(seed, sizes, steps)(*xs)

    return fun, inputs


@pytest.mark.parametrize("seed", range(60))
def test_small_programs_interpreted(seed: int) -> None:
    fun, inputs = program(seed, SMALL, 25)
    check(fun, *inputs, backend="python", rtol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_large_programs_compiled(seed: int) -> None:
    fun, inputs = program(seed, LARGE, 25)
    check(fun, *inputs, rtol=1e-8)


@pytest.mark.parametrize("seed", range(8))
def test_native_and_interpreted_kernels_give_the_same_bits(seed: int) -> None:
    fun, inputs = program(seed, SMALL, 25)
    closed = trace(fun, *inputs)
    results = [compile_jaxpr(closed, backend=b)(*inputs) for b in ("llvm", "python")]
    for native, interpreted in zip(*results):
        np.testing.assert_array_equal(native, interpreted)


def test_numba_runs_the_printed_source() -> None:
    fun, inputs = program(3, SMALL, 12)
    check(fun, *inputs, backend="numba", rtol=1e-9)
