"""Complex arithmetic and comparison on pairs of real scalars, with NumPy's formulas."""

from __future__ import annotations

from collections.abc import Callable

from functrace.compiler.ir.kernel import Complex, Scalar
from functrace.compiler.ir.scalar_core import ScalarCore


def _add(b: ScalarCore, x: Complex, y: Complex) -> Complex:
    return Complex(x.dtype, b._bin("add", x.re, y.re), b._bin("add", x.im, y.im))


def _sub(b: ScalarCore, x: Complex, y: Complex) -> Complex:
    return Complex(x.dtype, b._bin("sub", x.re, y.re), b._bin("sub", x.im, y.im))


def _mul(b: ScalarCore, x: Complex, y: Complex) -> Complex:
    re = b._bin("sub", b._bin("mul", x.re, y.re), b._bin("mul", x.im, y.im))
    im = b._bin("add", b._bin("mul", x.re, y.im), b._bin("mul", x.im, y.re))
    return Complex(x.dtype, re, im)


def _div(b: ScalarCore, x: Complex, y: Complex) -> Complex:
    """Smith's division, both branches of NumPy's merged by selecting the larger part of y."""
    size_re, size_im = b._un("abs", y.re), b._un("abs", y.im)
    wide = b._bin("ge", size_re, size_im)
    large, small = b._sel(wide, y.re, y.im), b._sel(wide, y.im, y.re)
    ratio = b._bin("div", small, large)
    one = b._const(1, large.dtype)
    scale = b._bin("div", one, b._bin("add", large, b._bin("mul", small, ratio)))
    re_r, im_r = b._bin("mul", x.re, ratio), b._bin("mul", x.im, ratio)
    re = b._bin("add", b._sel(wide, x.re, re_r), b._sel(wide, im_r, x.im))
    im = b._bin("sub", b._sel(wide, x.im, im_r), b._sel(wide, re_r, x.re))
    re, im = b._bin("mul", re, scale), b._bin("mul", im, scale)
    zero = b._const(0, large.dtype)
    both = b._bin("and", b._bin("eq", size_re, zero), b._bin("eq", size_im, zero))
    re = b._sel(both, b._bin("div", x.re, size_re), re)
    im = b._sel(both, b._bin("div", x.im, size_re), im)
    return Complex(x.dtype, re, im)


ARITHMETIC: dict[str, Callable[[ScalarCore, Complex, Complex], Complex]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
}


def sign(b: ScalarCore, z: Complex) -> Complex:
    """z / |z|; 0 for 0, nan for nan, and the limit where one part is infinite."""
    zero = b._const(0, z.re.dtype)
    inf = b._const(float("inf"), z.re.dtype)
    size = b._op("math", z.re.dtype, z.re, z.im, attr="hypot")
    re, im = b._bin("div", z.re, size), b._bin("div", z.im, size)
    empty = b._bin("eq", size, zero)
    re, im = b._sel(empty, zero, re), b._sel(empty, zero, im)
    inf_re = b._bin("eq", b._un("abs", z.re), inf)
    inf_im = b._bin("eq", b._un("abs", z.im), inf)
    nan, one = b._const(float("nan"), z.re.dtype), b._const(1, z.re.dtype)
    unit_re = b._op("copysign", z.re.dtype, one, z.re)
    unit_im = b._op("copysign", z.re.dtype, one, z.im)
    re = b._sel(inf_re, b._sel(inf_im, nan, unit_re), b._sel(inf_im, zero, re))
    im = b._sel(inf_im, b._sel(inf_re, nan, unit_im), b._sel(inf_re, zero, im))
    return Complex(z.dtype, re, im)


def compare(b: ScalarCore, name: str, x: Complex, y: Complex) -> Scalar:
    """eq, ne, and NumPy's lexicographic order."""
    if name in ("eq", "ne"):
        join = "and" if name == "eq" else "or"
        return b._bin(join, b._bin(name, x.re, y.re), b._bin(name, x.im, y.im))
    whole = b._bin("and", b._bin("eq", x.im, x.im), b._bin("eq", y.im, y.im))
    first = b._bin("and", b._bin(name[0] + "t", x.re, y.re), whole)
    second = b._bin("and", b._bin("eq", x.re, y.re), b._bin(name, x.im, y.im))
    return b._bin("or", first, second)
