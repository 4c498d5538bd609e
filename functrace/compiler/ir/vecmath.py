"""The scalar mathematics of kernels, written once in terms of the builder.

`function(name, dtype)` gives the body of a function; both printers print it. All of them are free
of branches and vectorise (sin, cos and tan branch to the C library beyond |x| = 1.6 million), and
float32 is computed in float64, whence results are rounded once. lgamma alone is the C library's.

The largest errors on the samples of `tests/compiler/test_vecmath.py`, in units in the last place
of float64, rounded up; the test holds each function to a bound (float32: 0.6, digamma 1):

    acos 1.1      acosh 1.3     asin 1.6      asinh 1.1     atan 1.2      atan2 1.4
    atanh 1.2     cbrt 0.7      cos 0.7       cosh 1.2      digamma 13.5  erf 1.9
    erf_inv 4.0   erfc 3.4      exp 1.0       exp2 1.0      expm1 1.4     hypot 0.9
    lgamma 1.9    log 0.7       log10 0.6     log1p 0.7     log2 0.6      logistic 1.7
    pow 0.9       sin 0.7       sinh 1.9      tan 1.8       tanh 2.0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from functrace.compiler.ir import vecmath_exp, vecmath_log, vecmath_special, vecmath_trig
from functrace.compiler.ir.builder import Builder, build_function
from functrace.compiler.ir.kernel import F32, F64, MATH_ARITY, DType, Function, Region, Scalar
from functrace.compiler.ir.kernel_passes import named_calls

Rule = Callable[..., Any]

# C functions a kernel may call, with how many float64 arguments each takes.
EXTERNS: dict[str, int] = {"sin": 1, "cos": 1, "tan": 1, "lgamma": 1, "fmod": 2}

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
