"""Elementary functions with the bits that JAX has on CPUs, for JAX's random numbers.

Their derivatives are those of the mathematical functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from functrace import lax
from functrace.compiler.ir.vecmath_expr import Expr
from functrace.core.lowering import Composite, Elementwise
from functrace.core.trace import Primitive
from functrace.ops.arithmetic import NOT_LINEAR
from functrace.ops.families import FLOATING, binary, nary, unary
from functrace.random.on_arrays import OnArrays
from functrace.random.xla_arithmetic import ARITHMETIC, FIRST_INTERVAL
from functrace.random.xla_entries import entry
from functrace.random.xla_pow import pow32
from functrace.random.xla_tables import INVERSES, LOGS

__all__ = ["erf", "erf_inv", "exp", "lgamma32", "log", "log1p", "pow", "tan"]

FLOAT64 = np.dtype(np.float64)


def _computed(b: Any, *scalars: Any, name: str) -> Any:
    return ARITHMETIC[name](*(Expr(b, v) for v in scalars)).v


def _on_arrays(*arrays: Any, name: str) -> Any:
    """Compute without a kernel."""
    with np.errstate(all="ignore"):
        return _computed(OnArrays(), *map(np.asarray, arrays), name=name)[()]


arithmetic_p = nary(
    "xla_arithmetic",
    _on_arrays,
    FLOATING,
    Elementwise(_computed),
    not_differentiable="it is a part of a function that has a rule",
)


def lgamma32(x: Any) -> Any:
    """The logarithm of the gamma function of float32 from 0.5 on; it has no derivative."""
    return arithmetic_p.bind(x, name="lgamma")


def _interval(x: Any) -> Any:
    """Return the number of the interval of ``INVERSES`` where a float64's mantissa is."""
    normal = lax.select(lax.lt(x, np.finfo(FLOAT64).tiny), x * 2.0**52, x)
    bits = lax.bitcast_convert_type(normal, np.int64)
    return lax.bitwise_and(lax.shift_right_logical(bits - FIRST_INTERVAL, 45), 127)


def _primitive(name: str, make: Any, rule: Callable[..., Any]) -> Primitive:
    """Return a primitive that is composed of others; float16 is computed with in float32."""

    def composed(*args: Any) -> list[Any]:
        if args[0].dtype != np.float16:
            return [rule(*args)]
        wide = (lax.convert_element_type(x, np.float32) for x in args)
        return [lax.convert_element_type(rule(*wide), np.float16)]

    def impl(*args: Any) -> Any:
        with np.errstate(all="ignore"):
            return composed(*map(np.asarray, args))[0]

    primitive: Primitive = make(
        f"xla_{name}", impl, FLOATING, Composite(composed), not_linear=NOT_LINEAR
    )
    return primitive


def _function(name: str, logged: Callable[[Any], Any] | None = None) -> Primitive:
    """Return the primitive of a function; ``logged`` tells of what it takes a logarithm."""

    def rule(x: Any) -> Any:
        if logged is None or x.dtype != FLOAT64:
            return arithmetic_p.bind(x, name=name)
        place = _interval(logged(x))
        entries = (entry(table, place) for table in (INVERSES, LOGS))
        return arithmetic_p.bind(x, *entries, name=name)

    return _primitive(name, unary, rule)


def _power(x: Any, y: Any) -> Any:
    return pow32(x, y) if x.dtype == np.float32 else arithmetic_p.bind(x, y, name="pow")


log_p = _function("log", lambda x: x)
log1p_p = _function("log1p", lambda x: x + 1.0)
exp_p = _function("exp")
erf_p = _function("erf")
erf_inv_p = _function("erf_inv", lambda x: 1.0 - x * x)
tan_p = _function("tan")
pow_p = _primitive("pow", binary, _power)

log_p.def_jvp_each(lambda t, out, x: lax.div(t, x))
log1p_p.def_jvp_each(lambda t, out, x: lax.div(t, x + 1.0))
exp_p.def_jvp_each(lambda t, out, x: lax.mul(t, out))
erf_p.def_jvp_each(lambda t, out, x: t * (lax.exp(-(x * x)) * (2.0 / math.sqrt(math.pi))))
erf_inv_p.def_jvp_each(lambda t, out, x: t * (lax.exp(out * out) * (math.sqrt(math.pi) / 2.0)))
tan_p.def_jvp_each(lambda t, out, x: t * (out * out + 1.0))
pow_p.def_jvp_each(
    lambda t, out, x, y: t * (y * lax.pow(x, y - 1.0)),
    lambda t, out, x, y: t * (out * lax.log(x)),
)


def log(x: Any) -> Any:
    """The logarithm."""
    return log_p.bind(x)


def log1p(x: Any) -> Any:
    """The logarithm of ``1 + x``."""
    return log1p_p.bind(x)


def exp(x: Any) -> Any:
    """The exponential."""
    return exp_p.bind(x)


def erf(x: Any) -> Any:
    """The error function."""
    return erf_p.bind(x)


def erf_inv(x: Any) -> Any:
    """The inverse of the error function."""
    return erf_inv_p.bind(x)


def tan(x: Any) -> Any:
    """The tangent."""
    return tan_p.bind(x)


def pow(x: Any, y: Any) -> Any:
    """x to the power y, of positive numbers."""
    return pow_p.bind(x, y)
