"""x**y as the C library computes it, for JAX's compiler calls that (glibc's, of 2018 and later).

In float32 it is 2 to the power ``y log2(x)``, in float64's arithmetic with fused multiply-adds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace import lax
from functrace.ops.fused import fma
from functrace.random.xla_entries import entry

__all__ = ["pow32"]

FLOAT64 = np.dtype(np.float64)


def _numbers(words: str) -> Any:
    return np.array([float.fromhex(word) for word in words.split()])


_INVERSES = _numbers("""
    0x1.661ec79f8f3bep+0 0x1.571ed4aaf883dp+0 0x1.49539f0f010bp+0 0x1.3c995b0b80385p+0
    0x1.30d190c8864a5p+0 0x1.25e227b0b8eap+0 0x1.1bb4a4a1a343fp+0 0x1.12358f08ae5bap+0
    0x1.0953f419900a7p+0 0x1p+0 0x1.e608cfd9a47acp-1 0x1.ca4b31f026aap-1 0x1.b2036576afce6p-1
    0x1.9c2d163a1aa2dp-1 0x1.886e6037841edp-1 0x1.767dcf5534862p-1
""")
_LOGS = _numbers("""
    -0x1.efec65b963019p-2 -0x1.b0b6832d4fca4p-2 -0x1.7418b0a1fb77bp-2 -0x1.39de91a6dcf7bp-2
    -0x1.01d9bf3f2b631p-2 -0x1.97c1d1b3b7afp-3 -0x1.2f9e393af3c9fp-3 -0x1.960cbbf788d5cp-4
    -0x1.a6f9db6475fcep-5 0x0p+0 0x1.338ca9f24f53dp-4 0x1.476a9543891bap-3 0x1.e840b4ac4e4d2p-3
    0x1.40645f0c6651cp-2 0x1.88e9c2c1b9ff8p-2 0x1.ce0a44eb17bccp-2
""")
"""One over a number in each of 16 intervals from 0.6992, and that number's logarithm."""
_ROOTS = _numbers("""
    0x1p+0 0x1.059b0d3158574p+0 0x1.0b5586cf9890fp+0 0x1.11301d0125b51p+0 0x1.172b83c7d517bp+0
    0x1.1d4873168b9aap+0 0x1.2387a6e756238p+0 0x1.29e9df51fdee1p+0 0x1.306fe0a31b715p+0
    0x1.371a7373aa9cbp+0 0x1.3dea64c123422p+0 0x1.44e086061892dp+0 0x1.4bfdad5362a27p+0
    0x1.5342b569d4f82p+0 0x1.5ab07dd485429p+0 0x1.6247eb03a5585p+0 0x1.6a09e667f3bcdp+0
    0x1.71f75e8ec5f74p+0 0x1.7a11473eb0187p+0 0x1.82589994cce13p+0 0x1.8ace5422aa0dbp+0
    0x1.93737b0cdc5e5p+0 0x1.9c49182a3f09p+0 0x1.a5503b23e255dp+0 0x1.ae89f995ad3adp+0
    0x1.b7f76f2fb5e47p+0 0x1.c199bdd85529cp+0 0x1.cb720dcef9069p+0 0x1.d5818dcfba487p+0
    0x1.dfc97337b9b5fp+0 0x1.ea4afa2a490dap+0 0x1.f50765b6e454p+0
""")
"""2 to the powers of 1/32."""
_LOG2 = _numbers(
    "0x1.27616c9496e0bp-2 -0x1.71969a075c67ap-2 0x1.ec70a6ca7baddp-2 "
    "-0x1.7154748bef6c8p-1 0x1.71547652ab82bp+0"
)
_EXP2 = _numbers("0x1.c6af84b912394p-5 0x1.ebfce50fac4f3p-3 0x1.62e42ff0c52d6p-1")
_FIRST_INTERVAL = 0x3F330000


def _log2(x: Any) -> Any:
    """Return the logarithm, in float64, of a positive normal float32."""
    bits = lax.bitcast_convert_type(x, np.int32)
    offset = bits - _FIRST_INTERVAL
    exponent = lax.shift_right_arithmetic(offset, 23)
    place = lax.bitwise_and(lax.shift_right_arithmetic(offset, 19), 15)
    place = lax.convert_element_type(place, np.int64)
    mantissa = lax.bitcast_convert_type(bits - lax.shift_left(exponent, 23), np.float32)
    r = fma(lax.convert_element_type(mantissa, FLOAT64), entry(_INVERSES, place), -1.0)
    k = lax.convert_element_type(exponent, FLOAT64) + entry(_LOGS, place)
    c = [float(n) for n in _LOG2]
    square = r * r
    rest = fma(square, fma(c[2], r, c[3]), fma(r, c[4], k))
    return fma(fma(c[0], r, c[1]), square * square, rest)


def _exp2(x: Any) -> Any:
    """Return 2**x, in float64, of a number within float32's exponents."""
    magic = 1.5 * 2.0**47
    shifted = x + magic
    r = x - (shifted - magic)
    count = lax.bitcast_convert_type(shifted, np.int64)
    place = lax.bitwise_and(count, 31)
    whole = lax.shift_left(lax.shift_right_logical(count, 5), 52)
    root = lax.bitcast_convert_type(entry(_ROOTS, place), np.int64)
    c = [float(n) for n in _EXP2]
    square = r * r
    y = fma(fma(c[0], r, c[1]), square, fma(r, c[2], 1.0))
    return y * lax.bitcast_convert_type(root + whole, FLOAT64)


def pow32(x: Any, y: Any) -> Any:
    """Return x**y of float32 numbers, x at least 0; subnormal ones are 0."""
    least = float(np.finfo(np.float32).tiny)
    log = _log2(lax.max(x, np.float32(least))) * lax.convert_element_type(y, FLOAT64)
    out = lax.convert_element_type(_exp2(lax.clamp(-200.0, log, 200.0)), np.float32)
    out = lax.select(lax.lt(out, least), np.float32(0), out)
    at_zero = lax.select(lax.gt(y, 0), np.float32(0), np.float32(np.inf))
    out = lax.select(lax.lt(x, least), at_zero, out)
    out = lax.select(lax.eq(x, np.inf), 1 / at_zero, out)
    out = lax.select(lax.ne(x, x), x * y, out)
    return lax.select(lax.bitwise_or(lax.eq(y, 0), lax.eq(x, 1)), np.float32(1), out)
