"""Complex numbers and size: real, imag, conj, complex, abs, sign.

Cotangents pair with tangents without conjugation, as in JAX: ``Re(sum(ct * t))``. So the transpose
of a product with c is the product with c, and that of ``conj`` is ``conj``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.core.aval import dtype_of
from functrace.core.lowering import Elementwise
from functrace.core.placeholders import is_linear
from functrace.dtypes import real_dtype
from functrace.errors import DTypeError, compose
from functrace.ops.arithmetic import NOT_LINEAR, div, mul, neg
from functrace.ops.broadcasting import unbroadcast
from functrace.ops.families import COMPLEX, FLOATING, NUMERIC, binary, unary
from functrace.ops.logical import eq, select

__all__ = ["abs", "complex", "conj", "imag", "real", "sign"]

# --- parts -------------------------------------------------------------------------------------

_COMPLEX: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(part): np.dtype(whole)
    for part, whole in [
        (np.float32, np.complex64),
        (np.float64, np.complex128),
        (np.longdouble, np.clongdouble),
    ]
}


def complex_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of complex numbers with parts of ``dtype``."""
    if dtype in _COMPLEX:
        return _COMPLEX[dtype]
    raise DTypeError(
        compose(
            f"complex got parts of dtype {dtype}.",
            "complex numbers have parts of float32 or float64.",
            "convert them with .astype(...).",
        )
    )


real_p = unary(
    "real", lambda z: z.real, COMPLEX, Elementwise(lambda b, z: b.real(z)), out_dtype=real_dtype
)
imag_p = unary(
    "imag", lambda z: z.imag, COMPLEX, Elementwise(lambda b, z: b.imag(z)), out_dtype=real_dtype
)
real_p.def_jvp_each(lambda t, out, z: real(t))
imag_p.def_jvp_each(lambda t, out, z: imag(t))


@real_p.def_transpose
def _real_transpose(ct: Any, z: Any) -> Any:
    return [complex(ct, ct.dtype.type(0))]


@imag_p.def_transpose
def _imag_transpose(ct: Any, z: Any) -> Any:
    # Im t = Re(-i t).
    return [complex(ct.dtype.type(0), neg(ct))]


def real(z: Any) -> Any:
    """Real part of each complex element."""
    return real_p.bind(z)


def imag(z: Any) -> Any:
    """Imaginary part of each complex element."""
    return imag_p.bind(z)


# --- conj --------------------------------------------------------------------------------------

conj_p = unary("conj", np.conjugate, COMPLEX, Elementwise(lambda b, z: b.conj(z)))
conj_p.def_jvp_each(lambda t, out, z: conj(t))


@conj_p.def_transpose
def _conj_transpose(ct: Any, z: Any) -> Any:
    return [conj(ct)]


def conj(z: Any) -> Any:
    """Conjugate of each complex element."""
    return conj_p.bind(z)


# --- complex -----------------------------------------------------------------------------------


def _complex_impl(re: Any, im: Any) -> Any:
    parts = np.broadcast(re, im)
    out = np.empty(parts.shape, complex_dtype(np.result_type(re, im)))
    out.real = re
    out.imag = im
    return out[()]


complex_p = binary(
    "complex",
    _complex_impl,
    FLOATING,
    Elementwise(lambda b, re, im: b.complex(re, im)),
    out_dtype=lambda re, im: complex_dtype(re),
)
complex_p.def_jvp_each(
    lambda t, out, re, im: complex(t, t.dtype.type(0)),
    lambda t, out, re, im: complex(t.dtype.type(0), t),
)


@complex_p.def_transpose
def _complex_transpose(ct: Any, re: Any, im: Any) -> Any:
    return [
        unbroadcast(real(ct), re) if is_linear(re) else None,
        unbroadcast(neg(imag(ct)), im) if is_linear(im) else None,
    ]


def complex(re: Any, im: Any) -> Any:
    """Complex numbers with these real and imaginary parts."""
    return complex_p.bind(re, im)


# --- sign --------------------------------------------------------------------------------------

sign_p = unary("sign", np.sign, NUMERIC, Elementwise(lambda b, x: b.sign(x)), not_linear=NOT_LINEAR)


def _nonzero(size: Any) -> Any:
    """Return magnitudes that are about to divide: 1 for 0."""
    return select(eq(size, 0.0), size.dtype.type(1), size)


@sign_p.def_jvp_each
def _sign_jvp(t: Any, out: Any, x: Any) -> Any:
    if out.dtype.kind != "c":
        return None  # zero almost everywhere
    # d(z/|z|) = i s Im(conj(s) t) / |z|: only the part of t across s turns it.
    turn = div(imag(mul(conj(out), t)), _nonzero(abs(x)))
    return mul(out, complex(turn.dtype.type(0), turn))


def sign(x: Any) -> Any:
    """-1, 0 or 1 as each element is negative, zero or positive; ``z / |z|`` of complex ones."""
    return sign_p.bind(x)


# --- abs ---------------------------------------------------------------------------------------


abs_p = unary(
    "abs",
    np.absolute,
    NUMERIC,
    Elementwise(lambda b, x: b.abs(x)),
    out_dtype=real_dtype,
    not_linear=NOT_LINEAR,
)


@abs_p.def_jvp_each
def _abs_jvp(t: Any, out: Any, x: Any) -> Any:
    # The part of t along x; at 0 the derivative is 0.
    if dtype_of(x).kind != "c":
        return mul(t, sign(x))
    return real(mul(t, conj(sign(x))))


def abs(x: Any) -> Any:
    """Size of each element; that of complex ones is real. The derivative at 0 is 0."""
    return abs_p.bind(x)
