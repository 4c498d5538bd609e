"""1 / sqrt(x) as XLA computes it on CPUs: an estimate of the CPU's, and two of Newton's steps.

The estimates are those of Intel's CPUs with AVX-512: ``rsqrtss`` for float32, which is the inverse
root of the middle of one of 2048 intervals, rounded to 12 bits, and ``vrsqrt14sd`` for float64,
which is linear in each of 64 intervals, cut off after 16 bits. On other CPUs JAX itself has other
last bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace import lax
from functrace.ops.fused import fma
from functrace.random.xla_entries import entry

__all__ = ["rsqrt"]

_STARTS = """
    524265 516257 508613 501298 494286 487559 481101 474897 468922 463169 457623 452276 447106
    442106 437279 432603 428071 423683 419423 415288 411277 407379 403592 399907 396319 392827
    389430 386110 382879 379734 376655 373658 370709 365049 359644 354468 349516 344759 340193
    335801 331581 327515 323589 319805 316149 312618 309201 305899 302695 299587 296575 293657
    290819 288062 285380 282776 280242 277773 275367 273022 270741 268509 266336 264214
"""
_SLOPES = """
    1001 955 915 877 841 807 775 747 719 693 669 647 625 603 585 567 549 533 517 501 487 473 461
    449 437 425 415 403 393 385 375 367 707 675 647 619 595 571 549 527 509 491 473 457 441 427
    413 401 389 377 365 355 345 335 325 317 309 301 293 285 279 271 265 259
"""
STARTS = np.array([float(n) * 2.0**-2 for n in _STARTS.split()])
SLOPES = np.array([float(n) * 2.0**-9 for n in _SLOPES.split()])
"""From 1 to 4, in units of 2**-17, and what it falls by in a 1024th of an interval."""


def rsqrt(x: Any) -> Any:
    """Return 1 / sqrt(x) of positive numbers that are neither subnormal nor infinite."""
    if x.dtype == np.float16:
        return lax.convert_element_type(rsqrt(lax.convert_element_type(x, np.float32)), np.float16)
    y = _estimate32(x) if x.dtype == np.float32 else _estimate64(x)
    for _ in range(2):
        y = fma(y * -0.5, fma(x * y, y, -1.0), y)
    return y


def _exponent(bits: Any, places: int, bias: int) -> tuple[Any, Any]:
    """Return what 2 is raised to, halved and rounded down, and the rest, 0 or 1."""
    exponent = lax.shift_right_arithmetic(bits, places) - bias
    return lax.shift_right_arithmetic(exponent, 1), lax.bitwise_and(exponent, 1)


def _estimate32(x: Any) -> Any:
    bits = lax.bitcast_convert_type(x, np.int32)
    half, odd = _exponent(bits, 23, 127)
    middle = lax.bitwise_or(lax.bitwise_and(bits, 0x7FE000), 0x1000)
    middle = lax.bitwise_or(middle, lax.shift_left(odd + 127, 23))
    middle = lax.convert_element_type(lax.bitcast_convert_type(middle, np.float32), np.float64)
    estimate = lax.convert_element_type(lax.floor(8192.0 / lax.sqrt(middle) + 0.5), np.float32)
    return estimate * lax.bitcast_convert_type(lax.shift_left(127 - 13 - half, 23), np.float32)


def _estimate64(x: Any) -> Any:
    bits = lax.bitcast_convert_type(x, np.int64)
    half, odd = _exponent(bits, 52, 1023)
    place = lax.bitwise_and(lax.shift_right_logical(bits, 47), 31) + odd * 32
    steps = lax.bitwise_and(lax.shift_right_logical(bits, 37), 1023)
    fall = entry(SLOPES, place) * lax.convert_element_type(steps, np.float64)
    estimate = lax.floor(entry(STARTS, place) - fall)
    whole = lax.eq(lax.bitwise_or(lax.bitwise_and(bits, (1 << 52) - 1), odd), 0)
    estimate = lax.select(whole, np.float64(2.0**17), estimate)
    return estimate * lax.bitcast_convert_type(lax.shift_left(1023 - 17 - half, 52), np.float64)
