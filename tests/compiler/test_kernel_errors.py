"""What the kernel IR refuses, and what its printers write of the rarer statements."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from test_kernel_ir import run

from functrace.compiler.ir import vecmath
from functrace.compiler.ir.builder import ArrayRef, KernelBuilder
from functrace.compiler.ir.kernel import Const, Kernel, Load, Op, Scalar
from functrace.compiler.ir.kernel_check import KernelError, check_kernel
from functrace.compiler.ir.kernel_text import kernel_text

I64 = np.dtype(np.int64)


def f64(b: KernelBuilder, value: float = 1.0) -> Any:
    return b.const(value, np.dtype(np.float64))


def i64(b: KernelBuilder, value: int = 1) -> Any:
    return b.const(value, I64)


def z(b: KernelBuilder) -> Any:
    return b.complex(f64(b), f64(b))


REFUSED: dict[str, tuple[Callable[[KernelBuilder], Any], type[Exception], str]] = {
    "strides": (lambda b: ArrayRef(b.buffer("f8", "in"), (1, 2), (1,)), ValueError, "1 strides"),
    "indices": (
        lambda b: ArrayRef(b.buffer("f8", "in"), (2,), (1,)).load((0, 0)),
        ValueError,
        "2 indices for 1 dimensions",
    ),
    "index dtype": (lambda b: b.buffer("f8", "in").load(f64(b)), TypeError, "must be int64"),
    "step": (lambda b: b.loop(0, 3, lambda i: None, step=0), ValueError, "other than 0"),
    "condition": (lambda b: b.while_(lambda x: x, lambda x: x, [f64(b)]), TypeError, "not bool"),
    "carried": (lambda b: b.fold(0, 3, [f64(b)], lambda i, x: i), TypeError, "fold: expected"),
    "branches": (
        lambda b: b.cond(b.lt(b.lo, b.hi), lambda: f64(b), lambda: i64(b)),
        TypeError,
        "cond: expected",
    ),
    "failure": (lambda b: b.fail(b.lt(b.lo, b.hi), "mood"), ValueError, "unknown kind 'mood'"),
    "details": (
        lambda b: b.fail(b.lt(b.lo, b.hi), "index", *[0] * 9),
        ValueError,
        "details, got 9",
    ),
    "memory": (lambda b: b.buffer("U1", "in"), TypeError, "no memory of dtype <U1"),
    "access": (lambda b: b.buffer("f8", "mine"), ValueError, "not 'mine'"),
    "real scalar": (lambda b: b.copysign(z(b), f64(b)), TypeError, "complex128|real"),
    "division of integers": (lambda b: b.div(i64(b), i64(b)), TypeError, "div is for floating"),
    "function of integers": (lambda b: b.math("exp", i64(b)), TypeError, "needs floats"),
    "function of mixed": (
        lambda b: b.math("atan2", f64(b), b.const(1, np.dtype("f4"))),
        TypeError,
        "floats of one dtype",
    ),
    "complex function": (lambda b: b.math("erf", z(b)), TypeError, "complex"),
    "bits of floats": (lambda b: b.and_(f64(b), f64(b)), TypeError, "no bits to combine"),
    "bitcast": (lambda b: b.bitcast(f64(b), np.dtype("i4")), TypeError, "differ in size"),
    "bitcast of complex": (lambda b: b.bitcast(z(b), np.dtype("f8")), TypeError, "differ in size"),
    "mixed": (lambda b: b.add(f64(b), i64(b)), TypeError, "dtypes"),
    "choice": (lambda b: b.select(i64(b), f64(b), f64(b)), TypeError, "select: dtypes"),
    "half of vecmath": (
        lambda b: vecmath.function("exp", np.dtype("f2")),
        TypeError,
        "float32 and float64, not float16",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_builder_refuses(name: str) -> None:
    act, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        act(KernelBuilder())


def copying() -> Kernel:
    b = KernelBuilder()
    x, y = b.buffer("f8", "in"), b.buffer("f8", "out")
    b.loop(b.lo, b.hi, lambda i: y.store(i, b.add(x.load(i), f64(b))))
    return b.finish()


def spoil(kernel: Kernel, how: str) -> Kernel:
    (loop,) = kernel.body.stmts
    body = loop.body
    load = next(s for s in body.stmts if isinstance(s, Load))
    op = next(s for s in body.stmts if isinstance(s, Op))
    if how == "record":
        return dataclasses.replace(kernel, record=kernel.record[::-1])
    if how == "twice":
        body.stmts.append(load)
    elif how == "dtype":
        load.result = Scalar(np.dtype("U1"), load.result.id)
    elif how == "literal":
        wrong = Const(np.dtype("f8"), np.float32(1.0))
        op.args = (op.args[0], wrong)
    return kernel


@pytest.mark.parametrize(
    "how, text",
    [
        ("record", "name every buffer once"),
        ("twice", "is defined twice"),
        ("dtype", "which no scalar has|dtypes differ|<U1"),
        ("literal", "literal of float64 holds a float32"),
    ],
)
def test_the_checker_finds(how: str, text: str) -> None:
    kernel = copying()
    check_kernel(kernel)
    with pytest.raises(KernelError, match=text):
        check_kernel(spoil(kernel, how))


def counting() -> Kernel:
    """Counts down from each entry, failing on negative ones; may be stopped."""
    b = KernelBuilder()
    x, y = b.buffer("i8", "in"), b.buffer("i8", "out")

    def one(i: Any) -> None:
        b.poll()
        start = x.load(i)
        b.fail(b.lt(start, i64(b, 0)), "index", i)
        left, steps = b.while_(
            lambda n, k: b.gt(n, i64(b, 0)),
            lambda n, k: [b.sub(n, i64(b, 2)), b.add(k, i64(b))],
            [start, i64(b, 0)],
        )
        y.store(i, b.add(left, steps))

    b.loop(b.lo, b.hi, one)
    return b.finish()


def test_the_text_of_a_kernel_has_every_statement() -> None:
    text = kernel_text(counting())
    assert re.search(r"%\d+:int64 = poll", text)
    assert re.search(r"fail %\d+ index #1 \(%\d+\)", text)
    assert re.search(r"while \(%\d+:int64 = %\d+, %\d+:int64 = int64\(0\)\) \{", text)
    assert "} do {" in text


@pytest.mark.parametrize("how", ["llvm", "numba", "python"])
def test_counting_runs_and_fails_alike(how: str) -> None:
    x, y = np.array([0, 1, 4, 5]), np.zeros(4, np.int64)
    status, _ = run(counting(), [x, y], (), (0, 4), how)
    assert status == 0
    assert_array_equal(y, [0, 0, 2, 2])
    x[2] = -1
    status, cell = run(counting(), [x, y], (), (0, 4), how)
    assert status != 0 and cell[0] == 2


@pytest.mark.parametrize("dtype", ["f8", "f4", "c16", "c8", "f2"])
@pytest.mark.parametrize("stride", [2, 3])
def test_strided_stores(dtype: str, stride: int) -> None:
    """Lanes are stored one by one where elements don't lie side by side."""
    b = KernelBuilder()
    x, y = b.buffer(dtype, "in"), b.buffer(dtype, "out")
    step = b.param()

    def one(i: Any) -> None:
        v = x.load(i)
        y.store(b.mul(i, step), b.add(v, v))

    b.loop(b.lo, b.hi, one)
    values = np.arange(37).astype(dtype)
    out = np.full(37 * stride, -1, dtype)
    status, _ = run(b.finish(), [values, out], (stride,), (0, 37))
    assert status == 0
    assert_array_equal(out[::stride], values + values)
    assert np.all(out[1::stride] == np.array(-1, dtype))
