"""The scalar mathematics of kernels, written once in terms of the builder.

`function(name, dtype)` gives the body of a function; both printers print it. Each is written once
for float32 and float64 and computed in its own format, with fused multiply-adds where they gain
accuracy or speed. All of them vectorise; they branch only to what few arguments need: sin, cos
and tan of huge angles and fmod of huge quotients to the C library, pow to its special cases.

`BOUNDS` says how accurate they are; `benchmarks/accuracy.py` measures them against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from functrace.compiler.ir import (
    vecmath_exp,
    vecmath_fmod,
    vecmath_gamma,
    vecmath_log,
    vecmath_pow,
    vecmath_special,
    vecmath_trig,
)
from functrace.compiler.ir.builder import build_function
from functrace.compiler.ir.kernel import F32, F64, INNER_ARITY, MATH_ARITY, DType, Function, Region
from functrace.compiler.ir.kernel_passes import named_calls
from functrace.compiler.ir.quotients import quotient

Rule = Callable[..., Any]

# C functions a kernel may call, with how many float64 arguments each takes.
EXTERNS: dict[str, int] = {"sin": 1, "cos": 1, "tan": 1, "fmod": 2, "erf": 1, "pow": 2}

RULES: dict[str, Rule] = {
    "exp": vecmath_exp.exp,
    "exp2": vecmath_exp.exp2,
    "expm1": vecmath_exp.expm1,
    "logistic": vecmath_exp.logistic,
    "tanh": vecmath_exp.tanh,
    "sinh": vecmath_exp.sinh,
    "cosh": vecmath_exp.cosh,
    "log": vecmath_log.log,
    "log2": vecmath_log.log2,
    "log10": vecmath_log.log10,
    "log1p": vecmath_log.log1p,
    "asinh": vecmath_log.asinh,
    "acosh": vecmath_log.acosh,
    "atanh": vecmath_log.atanh,
    "pow": vecmath_pow.pow,
    "sin": vecmath_trig.sin,
    "cos": vecmath_trig.cos,
    "tan": vecmath_trig.tan,
    "asin": vecmath_trig.asin,
    "acos": vecmath_trig.acos,
    "atan": vecmath_trig.atan,
    "atan2": vecmath_trig.atan2,
    "erf": vecmath_special.erf,
    "erfc": vecmath_special.erfc,
    "erf_inv": vecmath_special.erf_inv,
    "lgamma": vecmath_gamma.lgamma,
    "digamma": vecmath_gamma.digamma,
    "cbrt": vecmath_special.cbrt,
    "hypot": vecmath_special.hypot,
    "fmod": vecmath_fmod.fmod,
}

INNER_RULES: dict[str, Rule] = {"quotient": quotient, "stretch": vecmath_exp.stretched}


# The largest error of each function in units in the last place, for float64 and float32, over all
# finite arguments. Between the poles at negative arguments, lgamma and digamma cross zero: there
# the unit is the last place of their value at |x|, or of 1.
BOUNDS: dict[str, tuple[float, float]] = {
    "acos": (1.2, 1.2),
    "acosh": (1.8, 1.7),
    "asin": (1.2, 1.3),
    "asinh": (1.7, 1.7),
    "atan": (0.6, 0.7),
    "atan2": (0.6, 0.7),
    "atanh": (1.7, 1.7),
    "cbrt": (0.6, 0.6),
    "cos": (0.6, 0.6),
    "cosh": (1.4, 1.4),
    "digamma": (1.5, 1.5),
    "digamma, x < 0": (1.9, 1.9),
    "erf": (0.9, 1.8),
    "erf_inv": (1.8, 1.7),
    "erfc": (1.6, 1.6),
    "exp": (0.95, 0.95),
    "exp2": (1.0, 0.95),
    "expm1": (0.95, 0.95),
    "fmod": (0.0, 0.0),
    "hypot": (1.1, 1.1),
    "lgamma": (1.9, 1.5),
    "lgamma, x < 0": (2.0, 2.0),
    "log": (0.6, 0.8),
    "log10": (0.6, 0.8),
    "log1p": (0.6, 0.8),
    "log2": (0.6, 0.8),
    "logistic": (2.0, 2.0),
    "pow": (0.8, 0.8),
    "sin": (0.6, 0.6),
    "sinh": (1.8, 1.8),
    "tan": (0.6, 0.6),
    "tanh": (2.0, 2.0),
}


@cache
def function(name: str, dtype: DType) -> Function:
    """The function `name` for float32 or float64."""
    if dtype not in (F32, F64):
        raise TypeError(f"{name}: vecmath works on float32 and float64, not {dtype}")
    arity, rule = (MATH_ARITY | INNER_ARITY)[name], (RULES | INNER_RULES)[name]
    return build_function(f"vm.{name}.{dtype.name}", [dtype] * arity, rule)


def used_functions(bodies: Sequence[Region]) -> tuple[list[Function], list[tuple[str, int]]]:
    """What `bodies` use, directly or not.

    Returns:
        The functions, each after those it calls, and the C functions with their arity, sorted.
    """
    functions: dict[str, Function] = {}
    externs: dict[str, int] = {}

    def visit(body: Region) -> None:
        for op, name, result in named_calls(body):
            if op == "extern":
                externs[name] = EXTERNS[name]
                continue
            used = function(name, result.dtype)
            if used.name not in functions:
                visit(used.body)
                functions[used.name] = used

    for body in bodies:
        visit(body)
    return list(functions.values()), sorted(externs.items())
