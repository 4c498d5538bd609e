"""The kernel IR: both printers against each other and against NumPy."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from functrace.compiler.emit.llvm import kernels as llvm_printer
from functrace.compiler.emit.numba import kernels as numba_printer
from functrace.compiler.ir.builder import ArrayRef, KernelBuilder
from functrace.compiler.ir.convention import status_kind_site
from functrace.compiler.ir.kernel import ERROR_CELL_WORDS, Kernel, Op
from functrace.compiler.ir.kernel_check import KernelError, check_kernel
from functrace.compiler.ir.kernel_text import kernel_text
from functrace.compiler.ir.lanes import lane_fold
from functrace.compiler.runtime import build
from functrace.compiler.runtime.machine import new_machine

INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "float32", "float64"]
Runner = Callable[[int, int, int, int], int]


def native(kernel: Kernel) -> tuple[Runner, object]:
    code = build.build(llvm_printer.kernel_module(kernel))
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
    )
    return kind(code.address), code


def runner(kernel: Kernel, how: str) -> tuple[Runner, object]:
    if how == "llvm":
        return native(kernel)
    loaded: Any = numba_printer.load(numba_printer.kernel_source(kernel), compiled=how == "numba")
    return (loaded.ctypes if how == "numba" else loaded), loaded


def run(
    kernel: Kernel,
    arrays: list[np.ndarray[Any, Any]],
    params: tuple[int, ...] = (),
    span: tuple[int, int] = (0, 1),
    how: str = "llvm",
) -> tuple[int, np.ndarray[Any, Any]]:
    """Run `kernel` on the memory of `arrays`, in the order of its buffers."""
    check_kernel(kernel)
    function, keep = runner(kernel, how)
    cell = np.zeros(ERROR_CELL_WORDS, np.int64)
    frame = np.array([cell.ctypes.data, *(a.ctypes.data for a in arrays)], np.int64)
    numbers, slots = iter(params), iter(range(1, 1 + len(arrays)))
    words = [next(numbers if e.buffer is None else slots) for e in kernel.record]
    record = np.array([*words, 0], np.int64)
    status = function(frame.ctypes.data, record.ctypes.data, *span)
    del keep
    return status, cell


def elementwise(rule: Callable[..., Any], dtypes: list[str], out: str) -> Kernel:
    b = KernelBuilder()
    ins = [b.buffer(d, "in") for d in dtypes]
    result = b.buffer(out, "out")
    b.loop(b.lo, b.hi, lambda i: result.store(i, rule(b, *(x.load(i) for x in ins))))
    return b.finish()


def apply(
    rule: Callable[..., Any], arrays: list[Any], out: str, how: str = "llvm"
) -> np.ndarray[Any, Any]:
    result = np.zeros(len(arrays[0]), out)
    kernel = elementwise(rule, [a.dtype.name for a in arrays], out)
    status, _ = run(kernel, [*arrays, result], (), (0, len(result)), how)
    assert status == 0
    return result


def samples(dtype: str, seed: int = 0, n: int = 400) -> tuple[Any, Any]:
    """Pairs with all the awkward values among them."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(n) < 0.5, rng.random(n) < 0.5
    if kind.kind in "iu":
        info = np.iinfo(kind)
        few = np.array([0, 1, 2, 3, 7, info.max, info.max - 1, info.min, info.min + 1], kind)
        if kind.kind == "i":
            few = np.concatenate([few, np.array([-1, -2, -7], kind)])
        wide = rng.integers(info.min, info.max, n, dtype=kind, endpoint=True)
        small = rng.integers(0 if kind.kind == "u" else -9, 70, n).astype(kind)
    elif kind.kind == "c":
        x, y = samples("float32" if kind.itemsize == 8 else "float64", seed, n)
        u, v = samples(x.dtype.name, seed + 1, n)
        m = min(len(x), len(u))
        pair = np.empty((2, m), kind)
        pair.real, pair.imag = (x[:m], y[:m]), (u[:m], v[:m])
        return pair[0], pair[1]
    else:
        few = np.array([0.0, -0.0, 1, -1, 0.5, -1.5, 2.5, np.inf, -np.inf, np.nan], kind)
        wide = (rng.standard_normal(n) * np.exp(4 * rng.standard_normal(n))).astype(kind)
        small = rng.integers(-9, 9, n).astype(kind)
    grid = np.array([(p, q) for p in few for q in few], kind)
    x = np.concatenate([grid[:, 0], wide, small, small[::-1], wide])
    y = np.concatenate([grid[:, 1], wide[::-1], small[::-1], wide, small])
    return np.ascontiguousarray(x), np.ascontiguousarray(y)


def same(got: Any, want: Any) -> None:
    """Equal bits, but any nan is as good as another."""
    assert got.dtype == want.dtype
    if got.dtype.kind in "fc":
        parts = [(got.real, want.real), (got.imag, want.imag)] if got.dtype.kind == "c" else []
        for g, w in parts or [(got, want)]:
            bad = ~((g == w) & (np.signbit(g) == np.signbit(w)) | (np.isnan(g) & np.isnan(w)))
            assert not bad.any(), (np.flatnonzero(bad)[:5], g[bad][:5], w[bad][:5])
    else:
        np.testing.assert_array_equal(got, want)


BINARY: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "add": (lambda b, x, y: b.add(x, y), np.add, "iuf"),
    "sub": (lambda b, x, y: b.sub(x, y), np.subtract, "iuf"),
    "mul": (lambda b, x, y: b.mul(x, y), np.multiply, "iuf"),
    "div": (lambda b, x, y: b.div(x, y), np.true_divide, "f"),
    "floordiv": (lambda b, x, y: b.floordiv(x, y), np.floor_divide, "iuf"),
    "mod": (lambda b, x, y: b.mod(x, y), np.remainder, "iuf"),
    "rem": (lambda b, x, y: b.rem(x, y), np.fmod, "iuf"),
    "minimum": (lambda b, x, y: b.minimum(x, y), np.minimum, "iu"),
    "maximum": (lambda b, x, y: b.maximum(x, y), np.maximum, "iu"),
    "and": (lambda b, x, y: b.and_(x, y), np.bitwise_and, "iu"),
    "or": (lambda b, x, y: b.or_(x, y), np.bitwise_or, "iu"),
    "xor": (lambda b, x, y: b.xor(x, y), np.bitwise_xor, "iu"),
    "shl": (lambda b, x, y: b.shl(x, y), np.left_shift, "iu"),
    "shr": (lambda b, x, y: b.shr(x, y), np.right_shift, "iu"),
    "copysign": (lambda b, x, y: b.copysign(x, y), np.copysign, "f"),
    "nextafter": (lambda b, x, y: b.nextafter(x, y), np.nextafter, "f"),
    "lt": (lambda b, x, y: b.lt(x, y), np.less, "iuf"),
    "ge": (lambda b, x, y: b.ge(x, y), np.greater_equal, "iuf"),
    "eq": (lambda b, x, y: b.eq(x, y), np.equal, "iuf"),
    "ne": (lambda b, x, y: b.ne(x, y), np.not_equal, "iuf"),
}


@pytest.mark.parametrize("dtype", INTS + FLOATS)
@pytest.mark.parametrize("name", sorted(BINARY))
def test_binary_operations_are_numpys(name: str, dtype: str) -> None:
    rule, reference, kinds = BINARY[name]
    if np.dtype(dtype).kind not in kinds:
        return
    x, y = samples(dtype)
    if (name, dtype) == ("nextafter", "float16"):
        # NumPy's half-precision nextafter gives the first of two equal zeros, C's the second.
        x, y = x[x != y], y[x != y]
    with np.errstate(all="ignore"):
        want = reference(x, y)
    same(apply(rule, [x, y], want.dtype.name), want)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["minimum", "maximum"])
def test_extremes_propagate_nan(name: str, dtype: str) -> None:
    rule, reference, _ = BINARY[name]
    x, y = samples(dtype)
    got = apply(rule, [x, y], dtype)
    np.testing.assert_array_equal(got, reference(x, y))


UNARY: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "neg": (lambda b, x: b.neg(x), np.negative, "iuf"),
    "abs": (lambda b, x: b.abs(x), np.abs, "iuf"),
    "sign": (lambda b, x: b.sign(x), np.sign, "iuf"),
    "square": (lambda b, x: b.square(x), np.square, "iuf"),
    "not": (lambda b, x: b.not_(x), np.invert, "iu"),
    "floor": (lambda b, x: b.floor(x), np.floor, "f"),
    "ceil": (lambda b, x: b.ceil(x), np.ceil, "f"),
    "trunc": (lambda b, x: b.trunc(x), np.trunc, "f"),
    "rint": (lambda b, x: b.rint(x), np.rint, "f"),
    "sqrt": (lambda b, x: b.sqrt(x), np.sqrt, "f"),
    "is_nan": (lambda b, x: b.is_nan(x), np.isnan, "f"),
    "is_inf": (lambda b, x: b.is_inf(x), np.isinf, "f"),
    "is_finite": (lambda b, x: b.is_finite(x), np.isfinite, "f"),
    "signbit": (lambda b, x: b.signbit(x), np.signbit, "f"),
    "ipow": (lambda b, x: b.ipow(x, 3), lambda x: x * (x * x), "iuf"),
}


@pytest.mark.parametrize("dtype", INTS + FLOATS)
@pytest.mark.parametrize("name", sorted(UNARY))
def test_unary_operations_are_numpys(name: str, dtype: str) -> None:
    rule, reference, kinds = UNARY[name]
    if np.dtype(dtype).kind not in kinds:
        return
    x, _ = samples(dtype)
    with np.errstate(all="ignore"):
        want = reference(x)
    same(apply(rule, [x], want.dtype.name), want)


@pytest.mark.parametrize("dtype", INTS)
def test_bit_counts(dtype: str) -> None:
    x, _ = samples(dtype)
    width = x.dtype.itemsize * 8
    bits = [int(v) & ((1 << width) - 1) for v in x]
    ones = np.array([v.bit_count() for v in bits], dtype)
    zeros = np.array([width - v.bit_length() for v in bits], dtype)
    same(apply(lambda b, v: b.popcount(v), [x], dtype), ones)
    same(apply(lambda b, v: b.clz(v), [x], dtype), zeros)
    logical = np.array([v >> 3 for v in bits], f"u{width // 8}").astype(dtype)
    same(apply(lambda b, v: b.shr_logical(v, 3), [x], dtype), logical)


def _castable(x: Any, target: str) -> Any:
    if x.dtype.kind != "f" or np.dtype(target).kind not in "iu":
        return x
    info = np.iinfo(target)
    wide = x.astype(np.float64)
    inside = (wide > max(float(info.min), -(2.0**62))) & (wide < min(float(info.max), 2.0**62))
    return x[inside]


@pytest.mark.parametrize("target", ["bool", *INTS, *FLOATS, "complex64"])
@pytest.mark.parametrize("source", ["bool", *INTS, *FLOATS, "complex128"])
def test_casts_are_numpys(source: str, target: str) -> None:
    x = samples(source)[0]
    if source == "complex128":
        x = x[np.isfinite(x) & (x.real > 0) & (abs(x.real) < 100)]
    x = np.ascontiguousarray(_castable(x, target))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        want = x.astype(target)
    same(apply(lambda b, v: b.cast(v, target), [x], target), want)


def test_float64_to_half_rounds_once() -> None:
    x = np.array([1 + 2**-11 + 2**-40, 1 + 2**-11, 65519.999999, 65520, 2**-25, 2**-25 * 1.0001])
    x = np.concatenate([x, -x, [1e300, 1e-300, 2.0**-24, 2.0**-14 * (1 - 2**-12)]])
    with np.errstate(all="ignore"):
        want = x.astype(np.float16)
    same(apply(lambda b, v: b.cast(v, "float16"), [x], "float16"), want)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_arithmetic(dtype: str) -> None:
    x, y = samples(dtype)
    for name, reference in (("add", np.add), ("sub", np.subtract)):
        with np.errstate(all="ignore"):
            want = reference(x, y)
        same(apply(BINARY[name][0], [x, y], dtype), want)
    for name in ("lt", "ge"):
        with np.errstate(all="ignore"):
            want = BINARY[name][1](x, y)
        same(apply(BINARY[name][0], [x, y], "bool"), want)
    fine = np.isfinite(x) & np.isfinite(y) & (y != 0)
    x, y = x[fine], y[fine]
    eps = np.finfo(dtype).eps
    for name, reference in (("mul", np.multiply), ("div", np.true_divide)):
        with np.errstate(all="ignore"):
            want = reference(x, y)
        got = apply(BINARY[name][0], [x, y], dtype)
        assert np.all(np.abs(got - want) <= 4 * eps * np.abs(want) + 1e-300)


# ---- structure -------------------------------------------------------------------------------

HOWS = ["llvm", "numba", "python"]


@pytest.mark.parametrize("how", HOWS)
def test_strided_arrays_and_folds(how: str) -> None:
    b = KernelBuilder()
    x, y = b.buffer("float64", "in"), b.buffer("float64", "out")
    n, m = b.param(), b.param()
    grid = ArrayRef(x, (n, m), (b.param(), b.param()))

    def row(i: Any) -> None:
        total = b.fold(0, m, [b.const(0.0, "f8")], lambda j, acc: [b.add(acc, grid.load((i, j)))])
        y.store(i, total[0])

    b.loop(b.lo, b.hi, row)
    kernel = b.finish()
    data = np.arange(12.0).reshape(3, 4)
    flipped = data[:, ::-1]
    out = np.zeros(3)
    run(kernel, [flipped, out], (3, 4, 4, -1), (0, 3), how)
    np.testing.assert_array_equal(out, data.sum(1))


@pytest.mark.parametrize("how", HOWS)
def test_while_cond_and_alloca(how: str) -> None:
    b = KernelBuilder()
    x, y = b.buffer("int64", "in"), b.buffer("int64", "out")

    def collatz(i: Any) -> None:
        def step(n: Any, k: Any) -> list[Any]:
            odd = b.ne(b.and_(n, 1), 0)
            n = b.cond(
                odd, lambda: [b.add(b.mul(n, 3), 1)], lambda: [b.floordiv(n, b.const(2, "i8"))]
            )[0]
            return [n, b.add(k, 1)]

        cell = b.alloca("int64", 2)
        out = b.while_(lambda n, k: b.gt(n, 1), step, [x.load(i), b.const(0, "i8")])
        cell.store(1, out[1])
        y.store(i, cell.load((1,)))

    b.loop(b.lo, b.hi, collatz)
    out = np.zeros(4, np.int64)
    run(b.finish(), [np.array([1, 6, 7, 27]), out], (), (0, 4), how)
    assert out.tolist() == [0, 8, 16, 111]


@pytest.mark.parametrize("how", HOWS)
def test_swapping_carried_values(how: str) -> None:
    b = KernelBuilder()
    y = b.buffer("int32", "out")
    p, q = b.fold(
        b.lo, b.hi, [b.const(1, "i4"), b.const(2, "i4")], lambda i, p, q: [q, b.add(p, q)]
    )
    y.store(0, p)
    y.store(1, q)
    out = np.zeros(2, np.int32)
    run(b.finish(), [out], (), (0, 60), how)
    want = [1, 2]
    for _ in range(60):
        want = [want[1], (sum(want) + 2**31) % 2**32 - 2**31]
    assert out.tolist() == want


@pytest.mark.parametrize("how", HOWS)
def test_failures_carry_details(how: str) -> None:
    b = KernelBuilder()
    x, y = b.buffer("int64", "in"), b.buffer("int64", "out")
    n = b.param()
    b.fail(b.lt(n, 0), "check")

    def take(i: Any) -> None:
        k = x.load(i)
        b.fail(b.or_(b.lt(k, 0), b.ge(k, n)), "index", k, 7, n)
        y.store(i, k)

    b.loop(b.lo, b.hi, take)
    kernel = b.finish()
    out = np.zeros(3, np.int64)
    assert run(kernel, [np.array([1, 2, 3]), out], (4,), (0, 3), how)[0] == 0
    status, cell = run(kernel, [np.array([1, 9, 3]), out], (4,), (0, 3), how)
    assert status_kind_site(status) == ("index", 1)
    assert cell[:3].tolist() == [9, 7, 4]
    assert kernel.sites[1].details == 3


def test_poll_stops_a_kernel() -> None:
    b = KernelBuilder()
    y = b.buffer("int64", "out")
    b.loop(b.lo, b.hi, lambda i: (b.poll(), y.store(0, i))[1])
    kernel = b.finish()
    function, keep = native(kernel)
    cell, out = np.zeros(ERROR_CELL_WORDS, np.int64), np.full(1, -1)
    cell[7] = 1
    frame, record = np.array([cell.ctypes.data, out.ctypes.data]), np.array([1])
    status = function(frame.ctypes.data, record.ctypes.data, 0, 5)
    assert status_kind_site(status) == ("interrupt", 0)
    assert out[0] == -1
    del keep


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int32", "complex128"])
@pytest.mark.parametrize("n", [0, 1, 15, 16, 31, 32, 33, 100, 4096, 5000])
def test_lane_folds(dtype: str, n: int) -> None:
    b = KernelBuilder()
    x, y = b.buffer(dtype, "in"), b.buffer(dtype, "out")
    y.store(0, lane_fold(b, b.lo, b.hi, b.const(0, dtype), b.add, x.load))
    kernel = b.finish()
    data = np.random.default_rng(1).integers(-4, 5, n).astype(dtype)
    outs = []
    for how in HOWS if n < 200 else HOWS[:2]:
        out = np.zeros(1, dtype)
        run(kernel, [data, out], (), (0, n), how)
        outs.append(out[0])
    assert all(o == data.sum() for o in outs)


def test_lane_folds_of_pairs() -> None:
    b = KernelBuilder()
    x, y, z = b.buffer("f8", "in"), b.buffer("f8", "out"), b.buffer("i8", "out")

    def better(acc: list[Any], new: list[Any]) -> list[Any]:
        take = b.gt(new[0], acc[0])
        tie = b.and_(b.eq(new[0], acc[0]), b.lt(new[1], acc[1]))
        take = b.or_(take, tie)
        return [b.select(take, new[0], acc[0]), b.select(take, new[1], acc[1])]

    start = [b.const(-np.inf, "f8"), b.const(2**62, "i8")]
    top, where = lane_fold(b, b.lo, b.hi, start, better, lambda i: [x.load(i), i])
    y.store(0, top)
    z.store(0, where)
    data = np.random.default_rng(2).integers(0, 50, 1000).astype(float)
    value, index = np.zeros(1), np.zeros(1, np.int64)
    run(b.finish(), [data, value, index], (), (0, 1000))
    assert (value[0], index[0]) == (data.max(), data.argmax())


# ---- text and checks ---------------------------------------------------------------------------


def test_equal_kernels_have_equal_text() -> None:
    def make(name: str, waste: bool) -> Kernel:
        b = KernelBuilder(name)
        x, y = b.buffer("f4", "in"), b.buffer("f4", "out", group=9 if waste else 3)

        def body(i: Any) -> None:
            v = x.load(i)
            if waste:
                b.math("exp", v)
            y.store(i, b.add(v, 1.0))

        b.loop(b.lo, b.hi, body)
        return b.finish()

    first, second = make("one", False), make("two", True)
    assert kernel_text(first) == kernel_text(second)
    assert llvm_printer.kernel_module(first) == llvm_printer.kernel_module(second)
    assert "one" not in kernel_text(first)


def test_the_checker_finds_faults() -> None:
    b = KernelBuilder()
    x, y = b.buffer("f8", "in"), b.buffer("f8", "out")
    b.loop(b.lo, b.hi, lambda i: y.store(i, b.add(x.load(i), x.load(0))))
    kernel = b.finish()
    check_kernel(kernel)
    loop: Any = kernel.body.stmts[0]
    add = next(s for s in loop.body.stmts if isinstance(s, Op))
    add.args = (add.args[0], b._const(1, np.dtype("f4")))
    with pytest.raises(KernelError, match="dtypes differ"):
        check_kernel(kernel)
    add.args = (add.args[0], add.result)
    with pytest.raises(KernelError, match="isn't defined"):
        check_kernel(kernel)


def test_the_builder_refuses_mixed_dtypes() -> None:
    b = KernelBuilder()
    x, y = b.buffer("f8", "in"), b.buffer("f4", "out")
    with pytest.raises(TypeError, match="dtypes"):
        b.add(x.load(0), y.load(0))
    with pytest.raises(TypeError, match="float64 value into float32"):
        y.store(0, x.load(0))
    with pytest.raises(ValueError, match="input"):
        x.store(0, x.load(0))


def test_many_buffers_still_vectorise() -> None:
    import llvmlite.binding as llvm

    b = KernelBuilder()
    ins = [b.buffer("f8", "in") for _ in range(12)]
    outs = [b.buffer("f8", "out") for _ in range(12)]

    def body(i: Any) -> None:
        values = [x.load(i) for x in ins]
        for k, y in enumerate(outs):
            y.store(i, b.mul(values[k], values[(k + 1) % 12]))

    b.loop(b.lo, b.hi, body)
    host = new_machine()
    module = llvm.parse_assembly(llvm_printer.kernel_module(b.finish()))
    options = llvm.create_pipeline_tuning_options(3)
    options.loop_vectorization, options.slp_vectorization = True, False
    passes = llvm.create_pass_builder(host, options)
    passes.getModulePassManager().run(module, passes)
    text = str(module)
    assert " x double>" in text
    assert "vector.memcheck" not in text
