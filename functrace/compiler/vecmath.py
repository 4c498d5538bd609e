"""The scalar mathematics of kernels, written once in terms of the builder.

`function(name, dtype)` gives the body of a function; both printers print it. Functions that have
no rule of their own yet are the C library's, computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from functrace.compiler import vecmath_exp, vecmath_log, vecmath_special, vecmath_trig
from functrace.compiler.builder import Builder, build_function
from functrace.compiler.kernel import F32, F64, MATH_ARITY, DType, Function, Region, Scalar
from functrace.compiler.kernel_passes import named_calls

Rule = Callable[..., Any]

# C functions a kernel may call, with how many float64 arguments each takes.
EXTERNS: dict[str, int] = {
    "exp": 1, "exp2": 1, "expm1": 1, "log": 1, "log1p": 1, "log2": 1, "log10": 1,
    "sin": 1, "cos": 1, "tan": 1, "asin": 1, "acos": 1, "atan": 1, "sinh": 1, "cosh": 1,
    "tanh": 1, "asinh": 1, "acosh": 1, "atanh": 1, "erf": 1, "erfc": 1, "lgamma": 1, "cbrt": 1,
    "atan2": 2, "pow": 2, "hypot": 2, "fmod": 2,
}  # fmt: skip

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
    "pow": vecmath_log.pow,
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
    "digamma": vecmath_special.digamma,
    "cbrt": vecmath_special.cbrt,
    "hypot": vecmath_special.hypot,
}


@cache
def function(name: str, dtype: DType) -> Function:
    """The function `name` for float32 or float64."""
    if dtype not in (F32, F64):
        raise TypeError(f"{name}: vecmath works on float32 and float64, not {dtype}")
    rule = RULES.get(name) or _from_c(name)
    return build_function(f"vm.{name}.{dtype.name}", [dtype] * MATH_ARITY[name], rule)


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


def _from_c(name: str) -> Rule:
    def rule(b: Builder, *args: Scalar) -> Scalar:
        wide = [b._cast(a, F64) for a in args]
        return b._cast(b._op("extern", F64, *wide, attr=name), args[0].dtype)

    return rule
