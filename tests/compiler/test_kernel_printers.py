"""Random kernels: LLVM, Numba and the interpreter must give the same bits."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from functrace.compiler.emit.llvm import kernels as llvm_printer
from functrace.compiler.ir.builder import KernelBuilder
from functrace.compiler.ir.kernel import Kernel, Value
from functrace.compiler.ir.kernel_text import kernel_text
from functrace.compiler.ir.lanes import lane_fold
from tests.compiler.test_kernel_ir import FLOATS, INTS, run

DTYPES = ["bool", *INTS, *FLOATS, "complex64", "complex128"]
ARITHMETIC = ["add", "sub", "mul"]
MATHS = ["exp", "log1p", "tanh", "sin", "logistic", "atan"]


def _call(b: KernelBuilder, name: str, *args: Value) -> Value:
    result: Value = getattr(b, name)(*args)
    return result


class Maker:
    """Builds one random kernel over one input and one output of every dtype."""

    def __init__(self, seed: int, kinds: str = "cast select nest fold", steps: int = 8) -> None:
        self.rng = random.Random(seed)
        self.kinds = ["arith"] * 4 + ["special"] * 3 + kinds.split()
        self.steps = steps
        self.b = KernelBuilder()
        self.ins = {d: self.b.buffer(d, "in") for d in DTYPES}
        self.outs = {d: self.b.buffer(d, "out") for d in DTYPES}
        self.n = self.b.param()

    def kernel(self) -> Kernel:
        self.b.loop(self.b.lo, self.b.hi, self.row)
        return self.b.finish()

    def row(self, i: Value) -> None:
        pool: dict[str, list[Value]] = {d: [ref.load(i)] for d, ref in self.ins.items()}
        for _ in range(self.rng.randint(self.steps, 3 * self.steps)):
            self.step(pool, i)
        for d, ref in self.outs.items():
            ref.store(i, self.rng.choice(pool[d]))

    def pick(self, pool: dict[str, list[Value]], dtype: str) -> Value:
        return self.rng.choice(pool[dtype])

    def step(self, pool: dict[str, list[Value]], i: Value) -> None:
        kind = self.rng.choice(self.kinds)
        dtype = self.rng.choice(DTYPES)
        out = getattr(self, kind)(pool, dtype, i)
        pool[out.dtype.name].append(out)

    def arith(self, pool: dict[str, list[Value]], dtype: str, i: Value) -> Value:
        x, y = self.pick(pool, dtype), self.pick(pool, dtype)
        name = self.rng.choice(ARITHMETIC if dtype != "bool" else ["add", "mul"])
        return _call(self.b, name, x, y)

    def special(self, pool: dict[str, list[Value]], dtype: str, i: Value) -> Value:
        b, x, y = self.b, self.pick(pool, dtype), self.pick(pool, dtype)
        kind = np.dtype(dtype).kind
        if kind == "b":
            return self.rng.choice([b.and_, b.or_, b.xor])(x, y)
        if kind in "iu":
            names = "floordiv mod rem and_ or_ xor shl shr shr_logical minimum maximum lt eq"
            return _call(b, self.rng.choice(names.split()), x, y)
        if kind == "f":
            choice = self.rng.randrange(4)
            if choice == 0:
                return b.math(self.rng.choice(MATHS), x)
            if choice == 1:
                one = self.rng.choice(["floor", "ceil", "rint", "abs", "neg", "sqrt", "sign"])
                return _call(b, one, x)
            names = "div minimum maximum lt ge copysign nextafter mod floordiv"
            return _call(b, self.rng.choice(names.split()), x, y)
        return self.rng.choice([b.div, b.lt, b.ne])(x, y)

    def cast(self, pool: dict[str, list[Value]], dtype: str, i: Value) -> Value:
        source = self.rng.choice(DTYPES)
        x = self.pick(pool, source)
        if np.dtype(source).kind in "fc" and np.dtype(dtype).kind in "iu":
            # What is out of range is unspecified, so keep it in range.
            x = self.b.real(x)
            low = self.b.const(0, x.dtype)
            x = self.b.select(self.b.lt(self.b.abs(x), 100.0), self.b.abs(x), low)
        return self.b.cast(x, dtype)

    def select(self, pool: dict[str, list[Value]], dtype: str, i: Value) -> Value:
        p = self.pick(pool, "bool")
        return self.b.select(p, self.pick(pool, dtype), self.pick(pool, dtype))

    def nest(self, pool: dict[str, list[Value]], dtype: str, i: Value) -> Value:
        def arm() -> list[Value]:
            return [self.arith(pool, dtype, i)]

        return self.b.cond(self.pick(pool, "bool"), arm, arm)[0]

    def fold(self, pool: dict[str, list[Value]], dtype: str, i: Value) -> Value:
        b, start, ref = self.b, self.pick(pool, dtype), self.ins[dtype]
        if self.rng.random() < 0.3:
            zero = b.const(0, dtype)
            return lane_fold(b, 0, self.n, zero, b.add, ref.load)

        def body(j: Value, acc: Value, last: Value) -> list[Value]:
            return [b.add(acc, last), ref.load(j)]

        return b.fold(0, self.n, [start, b.const(1, dtype)], body)[0]


def inputs(n: int, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    out = []
    for d in DTYPES:
        dtype = np.dtype(d)
        if dtype.kind == "b":
            out.append(rng.random(n) < 0.5)
        elif dtype.kind in "iu":
            info = np.iinfo(dtype)
            wide = rng.integers(info.min, info.max, n, dtype=dtype, endpoint=True)
            out.append(np.where(rng.random(n) < 0.5, wide, rng.integers(0, 9, n).astype(dtype)))
        else:
            x = rng.standard_normal(n) * 10.0 ** rng.uniform(-2, 2, n)
            x[rng.random(n) < 0.1] = 0.0
            out.append((x + 1j * rng.standard_normal(n) if dtype.kind == "c" else x).astype(dtype))
    return out


def compare(seed: int, how: str) -> None:
    compare_kernel(Maker(seed).kernel(), seed, how, (0, 40))


def compare_kernel(kernel: Kernel, seed: int, how: str, span: tuple[int, int]) -> None:
    n = 40
    arrays = inputs(n, seed)
    results = []
    for way in ("llvm", how):
        outs = [np.zeros(n, d) for d in DTYPES]
        assert run(kernel, [*arrays, *outs], (n,), span, way)[0] == 0
        results.append(outs)
    for first, second in zip(*results, strict=True):
        try:
            np.testing.assert_array_equal(first, second)
            if first.dtype.kind == "f":
                told = ~np.isnan(first)
                np.testing.assert_array_equal(np.signbit(first)[told], np.signbit(second)[told])
        except AssertionError:
            print(kernel_text(kernel))
            raise


@pytest.mark.parametrize("seed", range(40))
def test_the_interpreter_agrees_with_llvm(seed: int) -> None:
    compare(seed, "python")


@pytest.mark.parametrize("seed", range(100, 106))
def test_numba_agrees_with_llvm(seed: int) -> None:
    compare(seed, "numba")


@pytest.mark.parametrize("seed", range(10))
def test_texts_are_deterministic(seed: int) -> None:
    assert kernel_text(Maker(seed).kernel()) == kernel_text(Maker(seed).kernel())


@pytest.mark.parametrize("seed", range(30))
def test_straight_loops_run_whole_vectors(seed: int) -> None:
    """Long bodies become SIMD loops with a scalar rest, from any start to any end."""
    kernel = Maker(seed, "cast select nest", 30).kernel()
    assert "vector1:" in llvm_printer.kernel_module(kernel)
    for span in ((0, 40), (3, 30), (5, 6), (7, 7), (9, 2)):
        compare_kernel(kernel, seed, "python", span)


def test_loops_with_dependences_stay_scalar() -> None:
    def module(place: Any) -> str:
        b = KernelBuilder()
        x, y = b.buffer("f8", "in"), b.buffer("f8", "inout")

        def body(i: Value) -> None:
            y.store(i, b.math("exp", b.add(x.load(i), y.load(place(b, i)))))

        b.loop(b.lo, b.hi, body)
        return llvm_printer.kernel_module(b.finish())

    assert "vector1:" in module(lambda b, i: i)
    assert "vector1:" not in module(lambda b, i: b.sub(i, 1))
    assert "vector1:" not in module(lambda b, i: 0)


LANE_ELEMENTS: dict[str, Any] = {
    "exp": lambda b, x, i: b.math("exp", x.load(i)),
    "sin": lambda b, x, i: b.math("sin", b.mul(x.load(i), 3e6)),
    "lgamma": lambda b, x, i: b.math("lgamma", b.abs(x.load(i))),
    "reversed": lambda b, x, i: x.load(b.sub(99, i)),
    "strided": lambda b, x, i: x.load(b.mul(i, 2)),
    "gathered": lambda b, x, i: x.load(b.mod(b.mul(i, 7), b.const(101, "i8"))),
    "invariant": lambda b, x, i: b.mul(x.load(0), x.load(i)),
    "indexed": lambda b, x, i: b.add(x.load(i), b.cast(i, x.dtype)),
    "branch": lambda b, x, i: b.cond(
        b.lt(x.load(i), 0.0), lambda: [b.math("exp", x.load(i))], lambda: [x.load(i)]
    )[0],
    "nested": lambda b, x, i: b.fold(0, 3, [x.load(i)], lambda j, acc: [b.mul(acc, x.load(j))])[0],
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", sorted(LANE_ELEMENTS))
def test_lane_code_agrees_with_the_interpreter(name: str, dtype: str) -> None:
    b = KernelBuilder()
    x, y = b.buffer(dtype, "in"), b.buffer(dtype, "out")
    total = lane_fold(
        b, b.lo, b.hi, b.const(0.0, dtype), b.add, lambda i: LANE_ELEMENTS[name](b, x, i)
    )
    y.store(0, total)
    kernel = b.finish()
    data = np.random.default_rng(5).standard_normal(220).astype(dtype)
    outs = [np.zeros(1, dtype), np.zeros(1, dtype)]
    for out, how in zip(outs, ("llvm", "python"), strict=True):
        assert run(kernel, [data, out], (), (0, 100), how)[0] == 0
    np.testing.assert_array_equal(*outs)


def test_complex_lanes_are_interleaved_in_memory() -> None:
    b = KernelBuilder()
    x, y = b.buffer("c16", "in"), b.buffer("c16", "out")
    local = b.alloca("c16", 8)
    b._for(0, 8, (), lambda i: local.store(i, b.mul(x.load(i), x.load(b.sub(7, i)))), 1, 8)
    b._for(0, 8, (), lambda i: y.store(i, b.add(local.load(i), b.const(1j, "c16"))), 1, 8)
    data = np.random.default_rng(6).standard_normal((8, 2)).view(complex)[:, 0].copy()
    out = np.zeros(8, complex)
    run(b.finish(), [data, out])
    np.testing.assert_allclose(out, data * data[::-1] + 1j, rtol=1e-15)
