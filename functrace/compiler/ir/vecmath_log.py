"""log, log2, log10, log1p, the inverse hyperbolic functions, and pow."""

from __future__ import annotations

from dataclasses import dataclass

from functrace.compiler.ir.builder import Builder
from functrace.compiler.ir.kernel import Scalar
from functrace.compiler.ir.vecmath_exp import clamp, reduce
from functrace.compiler.ir.vecmath_expr import (
    MAGIC,
    MAGIC_BITS,
    Expr,
    done,
    fast_two_sum,
    poly,
    real,
    sel,
    two_prod,
    two_sum,
)

_LN2 = float.fromhex("0x1.62e42fefa39efp-1")
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_ROOT_HALF_BITS = 0x3FE6A09E667F3BCD
_MANTISSA = (1 << 52) - 1
_INF = float("inf")
# log(1 + f) = f - f**2/2 + s (f**2/2 + R(s**2)) with s = f / (2 + f); R's minimax coefficients.
_R = tuple(
    map(
        float.fromhex,
        (
            "0x1.5555555555593p-1",
            "0x1.999999997fa04p-2",
            "0x1.2492494229359p-2",
            "0x1.c71c51d8e78afp-3",
            "0x1.7466496cb03dep-3",
            "0x1.39a09d078c69fp-3",
            "0x1.2f112df3e5244p-3",
        ),
    )
)
_R_LOW = _R[:4]


def exponent_and_mantissa(x: Expr) -> tuple[Expr, Expr]:
    """k (a float) and m in [sqrt(1/2), sqrt(2)) with x = 2**k m, for positive finite x."""
    small = x < 2.0**-1022
    bits = sel(small, x * 2.0**54, x).bits() + (0x3FF0000000000000 - _ROOT_HALF_BITS)
    k = (bits.lshr(52) + MAGIC_BITS).as_double() - (MAGIC + 1023.0)
    k = sel(small, k - 54.0, k)
    return k, ((bits & _MANTISSA) + _ROOT_HALF_BITS).as_double()


@dataclass(frozen=True)
class _Series:
    """f - hfsq + r = log(1 + f)."""

    f: Expr
    hfsq: Expr
    r: Expr


def _series(f: Expr, low: bool) -> _Series:
    s = f / (f + 2.0)
    z = s * s
    hfsq = f * f * 0.5
    return _Series(f, hfsq, s * (hfsq + z * poly(z, _R_LOW if low else _R)))


def log_of(x: Expr, low: bool) -> Expr:
    """log x, edges included."""
    k, m = exponent_and_mantissa(x)
    s = _series(m - 1.0, low)
    return _edges(x, k * _LN2_HIGH - ((s.hfsq - (s.r + k * _LN2_LOW)) - s.f))


def _edges(x: Expr, y: Expr) -> Expr:
    y = sel(x < _INF, y, x)
    y = sel(x < 0.0, float("nan"), y)
    return sel(x.eq(0.0), -_INF, y)


def log(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    return done(log_of(x, low), low)


def _scaled_log(x: Expr, low: bool, high: float, tail: float, k_high: float, k_low: float) -> Expr:
    """log x times a constant given in two parts, k times the constant's log 2 in two parts."""
    k, m = exponent_and_mantissa(x)
    s = _series(m - 1.0, low)
    head = ((s.f - s.hfsq).bits() & -0x100000000).as_double()
    rest = ((s.f - head) - s.hfsq) + s.r
    main = head * high
    extra = k * k_low + (rest + head) * tail + rest * high
    whole, error = fast_two_sum(k * k_high, main)
    whole = sel(k.eq(0.0), main, whole)
    error = sel(k.eq(0.0), 0.0, error)
    return _edges(x, whole + (extra + error))


def log2(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    high, tail = float.fromhex("0x1.7154765200000p+0"), float.fromhex("0x1.705fc2eefa200p-33")
    return done(_scaled_log(x, low, high, tail, 1.0, 0.0), low)


def log10(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    high, tail = float.fromhex("0x1.bcb7b15200000p-2"), float.fromhex("0x1.b9438ca9aadd5p-36")
    k_high, k_low = (
        float.fromhex("0x1.34413509f6000p-2"),
        float.fromhex("0x1.9fef311f12b36p-42"),
    )
    return done(_scaled_log(x, low, high, tail, k_high, k_low), low)


def log1p_of(x: Expr, low: bool) -> Expr:
    """log(1 + x): the rounding error of 1 + x comes back as a correction."""
    u, lost = two_sum(x + 0.0, x * 0.0 + 1.0)
    k, m = exponent_and_mantissa(u)
    near = (x > -0.29) & (x < 0.41)
    k = sel(near, 0.0, k)
    c = sel(near | (k > 60.0), 0.0, lost / u)
    s = _series(sel(near, x, m - 1.0), low)
    y = k * _LN2_HIGH - ((s.hfsq - (s.r + (k * _LN2_LOW + c))) - s.f)
    y = sel(abs(x) < 2.0**-54, x, y)
    y = sel(x < _INF, y, x)
    y = sel(x < -1.0, float("nan"), y)
    return sel(x.eq(-1.0), -_INF, y)


def log1p(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    return done(log1p_of(x, low), low)


# ---- inverse hyperbolic functions --------------------------------------------------------------


def asinh(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    size = abs(x)
    huge = size > 2.0**28
    square = size * size
    y = sel(huge, size - 1.0, size + square / ((square + 1.0).sqrt() + 1.0))
    y = log1p_of(y, low)
    return done(sel(huge, y + _LN2, y).signed_as(x), low)


def acosh(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    t = x - 1.0
    huge = x > 2.0**28
    y = log1p_of(sel(huge, t, t + (t * 2.0 + t * t).sqrt()), low)
    y = sel(huge, y + _LN2, y)
    return done(sel(x < 1.0, float("nan"), y), low)


def atanh(b: Builder, v: Scalar) -> Scalar:
    x, low = real(b, v)
    size = abs(x)
    twice = size + size
    rest = 1.0 - size
    y = sel(size < 0.5, twice + twice * size / rest, twice / rest)
    return done((log1p_of(y, low) * 0.5).signed_as(x), low)


# ---- pow ---------------------------------------------------------------------------------------


def _log_in_two(x: Expr) -> tuple[Expr, Expr]:
    """log x to about 66 bits for positive finite x, as a sum of two."""
    k, m = exponent_and_mantissa(x)
    f = m - 1.0
    d, d_low = fast_two_sum(f * 0.0 + 2.0, f)
    s = f / d
    p, e = two_prod(s, d)
    s_low = ((f - p) - e - s * d_low) / d
    t, t_low = two_prod(s, s)
    t_low = t_low + s * s_low * 2.0
    # log m = 2 s (1 + t (1/3 + t (1/5 + ...))): only 1/3 needs a second part.
    rest = t * poly(t, _ATANH)
    third = rest * 0.0 + float.fromhex("0x1.5555555555555p-2")
    q, q_low = fast_two_sum(third, rest)
    q_low = q_low + float.fromhex("0x1.5555555555555p-56")
    w, w_low = two_prod(t, q)
    w_low = w_low + t * q_low + t_low * q
    z, z_low = two_prod(s, w)
    z_low = z_low + s * w_low + s_low * w
    low = (s_low + z_low) * 2.0 + k * _LN2_LOW
    high, e1 = fast_two_sum(s * 2.0, z * 2.0)
    total, e2 = two_sum(k * _LN2_HIGH, high)
    return fast_two_sum(total, e2 + (e1 + low))


_ATANH = tuple(1.0 / n for n in range(5, 27, 2))


def pow(b: Builder, v: Scalar, w: Scalar) -> Scalar:
    """x ** y with C's special cases, by exp(y log |x|) with 66 bits between."""
    x, low = real(b, v)
    y, _ = real(b, w)
    size = abs(x)
    usual = (size > 0.0) & (size < _INF)
    held_size = sel(usual, size, 2.0)
    if low:
        # 53 bits are enough for float32, whose results have an exponent below 2**7.
        log_high, log_low = log_of(held_size, low=False), size * 0.0
    else:
        log_high, log_low = _log_in_two(held_size)
    log_high = sel(usual, log_high, sel(size.eq(0.0), -_INF, size))
    log_low = sel(usual, log_low, 0.0)
    # An exponent this large decides between 0, 1 and inf whatever its last bits are.
    held = clamp(y, -(2.0**70), 2.0**70)
    high, error = two_prod(sel(usual, log_high, 1.0), held)
    tail = error + log_low * held
    high, tail = fast_two_sum(high, tail)
    high = sel(usual, high, log_high * y)
    tail = sel(usual & (abs(high) < 800.0), tail, 0.0)
    size_out = reduce(clamp(high, -746.0, 710.0), low, tail).value()
    whole = y.trunc().eq(y)
    half = y * 0.5
    odd = whole & half.trunc().ne(half)
    negative = (x < 0.0) | (x.eq(0.0) & (x.bits() < 0))
    out = sel(negative & odd, -size_out, size_out)
    finite = size < _INF
    out = sel((x < 0.0) & finite & ~whole, float("nan"), out)
    out = sel(x.ne(x) | y.ne(y), x + y, out)
    one = x.eq(1.0) | y.eq(0.0) | (size.eq(1.0) & abs(y).eq(_INF))
    return done(sel(one, 1.0, out), low)
