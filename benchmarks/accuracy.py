"""The errors of the functions of kernels, in units in the last place, against mpmath.

``python -m benchmarks.accuracy`` prints the table; ``--write`` makes ``benchmarks/ACCURACY.md`` of
it. Arguments are spread evenly over the floating-point numbers themselves, so that every power of
two has its share, evenly over the intervals where most happens, and close to zeros and edges.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np

if not __package__:  # run as a file: the repository's root is where the packages are
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import functrace as ft
import functrace.numpy as fnp
from functrace import lax
from functrace.compiler.ir.vecmath import BOUNDS

Array = np.ndarray[Any, Any]
DTYPES = ("float64", "float32")
_BITS = 110
_INF = math.inf


@dataclass(frozen=True)
class Case:
    """How to measure a function.

    Attributes:
        reference: the function in mpmath.
        even: intervals to sample evenly.
        near: points to come close to.
        domain: what arguments are kept.
        floor: a value whose last place is the unit where it is the larger.
    """

    reference: Callable[..., Any]
    even: tuple[tuple[float, float], ...]
    near: tuple[float, ...] = ()
    domain: tuple[float, float] = (-_INF, _INF)
    floor: Callable[[Any], Any] | None = None


def _lgamma(x: Any) -> Any:
    return mp.log(abs(mp.gamma(x))) if x < 1e5 else mp.loggamma(x).real


def _at_size(f: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda x: max(1, abs(f(abs(x))))


_QUARTERS = tuple(k * math.pi / 2 for k in (1, 2, 3, 4, 7, 100, 6001, 60000))
_ANGLES = Case(mp.sin, ((-10.0, 10.0), (-1e6, 1e6), (-1.6, 1.6)), _QUARTERS)
CASES: dict[str, Case] = {
    "acos": Case(mp.acos, ((-1, 1),), (0.5, 1, -1), (-1, 1)),
    "acosh": Case(mp.acosh, ((1, 9), (1, 1.1)), (1,), (1, _INF)),
    "asin": Case(mp.asin, ((-1, 1), (0.5, 0.9)), (0.5, 1, -1), (-1, 1)),
    "asinh": Case(mp.asinh, ((-9, 9), (-1, 1))),
    "atan": Case(mp.atan, ((-9, 9), (-1, 1)), (1,)),
    "atan2": Case(mp.atan2, ((-2, 2),)),
    "atanh": Case(mp.atanh, ((-1, 1),), (1, -1), (-1, 1)),
    "cbrt": Case(lambda x: mp.sign(x) * mp.cbrt(abs(x)), ((-9, 9),)),
    "cos": Case(mp.cos, _ANGLES.even, _ANGLES.near),
    "cosh": Case(mp.cosh, ((-710, 710), (-89, 89), (-3, 3)), (), (-711, 711)),
    "digamma": Case(mp.digamma, ((0, 9), (0, 99), (0.5, 3)), (1.4616321449683623,), (0, _INF)),
    "digamma, x < 0": Case(mp.digamma, ((-9, 0), (-99, 0)), (), (-1e6, 0), _at_size(mp.digamma)),
    "erf": Case(mp.erf, ((-6, 6), (-4, 4), (-1, 1)), (1,), (-30, 30)),
    "erf_inv": Case(mp.erfinv, ((-1, 1), (0.6, 0.9)), (1, -1), (-1, 1)),
    "erfc": Case(mp.erfc, ((-6, 27.3), (0, 10.1), (-1, 1)), (), (-30, 28)),
    "exp": Case(mp.exp, ((-746, 710), (-104, 89), (-1, 1)), (), (-746, 710)),
    "exp2": Case(
        lambda x: mp.power(2, x), ((-1075, 1024), (-150, 128), (-1, 1)), (), (-1076, 1024)
    ),
    "expm1": Case(mp.expm1, ((-40, 710), (-18, 89), (-1.5, 1.5), (0.3, 0.4)), (), (-99, 710)),
    "fmod": Case(lambda x, y: mp.mpf(math.fmod(x, y)), ((-9, 9),)),
    "hypot": Case(mp.hypot, ((-2, 2),)),
    "lgamma": Case(_lgamma, ((0, 9), (0, 99), (0.5, 3)), (1, 2), (0, _INF)),
    "lgamma, x < 0": Case(_lgamma, ((-9, 0), (-99, 0)), (), (-1e4, 0), _at_size(_lgamma)),
    "log": Case(mp.log, ((0, 3), (0.7, 1.5)), (1,), (0, _INF)),
    "log10": Case(lambda x: mp.log(x) / mp.log(10), ((0, 3), (0.7, 1.5)), (1,), (0, _INF)),
    "log1p": Case(mp.log1p, ((-1, 3), (-0.3, 0.5)), (-1, -0.29, 0.41), (-1, _INF)),
    "log2": Case(lambda x: mp.log(x) / mp.log(2), ((0, 3), (0.7, 1.5)), (1,), (0, _INF)),
    "logistic": Case(
        lambda x: 1 / (1 + mp.exp(-x)), ((-746, 40), (-104, 17), (-3, 3), (-40, 0)), (), (-746, 99)
    ),
    "pow": Case(mp.power, ((0, 3),), (1,), (0, _INF)),
    "sin": _ANGLES,
    "sinh": Case(mp.sinh, ((-710, 710), (-89, 89), (-3, 3), (0, 0.2)), (), (-711, 711)),
    "tan": Case(mp.tan, _ANGLES.even, _ANGLES.near),
    "tanh": Case(mp.tanh, ((-20, 20), (-9, 9), (-1, 1), (0.5, 0.6)), (), (-99, 99)),
}


def base(name: str) -> str:
    """The function of a row of the table."""
    return name.partition(",")[0]


def bound(name: str, dtype: str) -> float:
    """The promised largest error."""
    return BOUNDS[name][DTYPES.index(dtype)]


# ---- arguments ---------------------------------------------------------------------------------


def _numbers(rng: Any, dtype: str, n: int, largest: float) -> Array:
    """Numbers up to `largest` in size, evenly over their bit patterns."""
    words = {"float32": np.uint32, "float64": np.uint64}[dtype]
    most = min(largest, float(np.finfo(dtype).max))
    top = int(np.array(most, dtype).view(words))
    x = rng.integers(0, top, n, dtype=words, endpoint=True).view(dtype)
    return x * rng.choice(np.array([-1, 1], dtype), n)


def _close(rng: Any, dtype: str, point: float, n: int) -> Array:
    """Numbers by `point`, at any distance from one last place on."""
    distance = abs(point) * 2.0 ** rng.uniform(-np.finfo(dtype).nmant - 1, -1, n)
    return (point + rng.choice([-1.0, 1.0], n) * distance).astype(dtype)


def samples(name: str, dtype: str, n: int, seed: int = 0) -> tuple[Array, ...]:
    """About `n` arguments of each of the kinds that a case asks for."""
    rng, case = np.random.default_rng(seed), CASES[name]
    low, high = case.domain
    even = max(n // len(case.even), 1)
    close = n // max(len(case.near), 1)
    with np.errstate(over="ignore"):
        x = np.concatenate(
            [
                _numbers(rng, dtype, n, max(-low, high)),
                *(rng.uniform(*ends, even).astype(dtype) for ends in case.even),
                *(_close(rng, dtype, point, close) for point in case.near),
            ]
        )
    if base(name) == "pow":
        x = np.abs(x)
    x = x[(x >= low) & (x <= high) & (x != 0) & np.isfinite(x)]
    if high == 0:  # not at the poles
        x = x[x != np.floor(x)]
    if base(name) in ("atan2", "hypot", "fmod"):
        with np.errstate(over="ignore"):
            near = (x * np.exp(rng.uniform(-20, 20, len(x)))).astype(dtype)
        return x, np.where(np.isfinite(near) & (near != 0), near, x)
    return (x, _exponents(rng, x, dtype)) if name == "pow" else (x,)


def _exponents(rng: Any, x: Array, dtype: str) -> Array:
    """Exponents with which x stays in range, some of them small and whole."""
    info = np.finfo(dtype)
    size = np.abs(np.log2(x, dtype=np.float64))
    target = rng.uniform(math.log2(float(info.smallest_subnormal)), info.maxexp, len(x))
    y = target / np.where(size == 0, 1, size)
    return np.where(rng.random(len(x)) < 0.2, rng.integers(-9, 9, len(x)), y).astype(dtype)


# ---- errors ------------------------------------------------------------------------------------


def exact(name: str, xs: Sequence[Array], dtype: str) -> list[tuple[Any, float] | None]:
    """True results with their units in the last place; None for those out of range."""
    case, info = CASES[name], np.finfo(dtype)
    top, out = float(info.max), []
    with mp.workprec(_BITS):
        for row in zip(*xs):
            args = [mp.mpf(float(v)) for v in row]
            want = case.reference(*args)
            if isinstance(want, mp.mpc) or not mp.isfinite(want) or abs(want) > top:
                out.append(None)
                continue
            size = abs(want) if case.floor is None else max(abs(want), case.floor(args[0]))
            out.append((want, _place(size, info)))
    return out


def _place(size: Any, info: Any) -> float:
    """The unit in the last place of a number."""
    exponent = max(mp.frexp(size)[1] - 1, info.minexp) if size else info.minexp
    return math.ldexp(1.0, int(exponent) - info.nmant)


def worst(got: Array, want: Sequence[tuple[Any, float] | None]) -> tuple[float, int]:
    """The largest error of results, in units, and where it is."""
    error, where, info = 0.0, 0, np.finfo(got.dtype)
    with mp.workprec(_BITS):
        for k, true in enumerate(want):
            if true is None:
                continue
            value = float(got[k])
            # Infinity stands for the number after the largest.
            number = mp.sign(value) * mp.mpf(2) ** info.maxexp if math.isinf(value) else value
            e = float(abs(number - true[0]) / true[1]) if value == value else _INF
            if e > error:
                error, where = e, k
    return error, where


def _shown(ends: tuple[float, float]) -> str:
    low, high = ends
    if ends == (-_INF, _INF):
        return "all"
    return f"{low:g} to {high:g}".replace("-inf to 0", "below 0").replace("0 to inf", "above 0")


def compiled(name: str) -> Callable[..., Array]:
    """The function as a compiled program."""
    rule = lax.rem if name == "fmod" else getattr(lax, base(name), None)
    rule = rule or getattr(fnp, base(name))
    return ft.jit(lambda *xs: rule(*xs))


# ---- the table ---------------------------------------------------------------------------------

_HEAD = """| function | arguments | dtype | promised | measured | at | normal | JAX |
|---|---|---|---:|---:|---|---:|---:|"""
_TEXT = """# Errors of the mathematical functions

Largest errors of compiled float64 and float32 functions in units in the last place of the true
result, found on {n} arguments a row: evenly spread over the floating-point numbers of the range,
over the intervals where most happens, and close to zeros, edges and quarters of a turn. mpmath is
the judge. `promised` is what the tests hold the functions to. `normal` leaves out subnormal
arguments and results, which JAX takes for 0; its errors ({jax}) are those on the same arguments.
For negative arguments lgamma and digamma are measured in last places of their value at |x| or of
1, whichever is larger.

Written by `python -m benchmarks.accuracy --write`.

{table}
"""


def _jax_function(name: str) -> Callable[..., Any] | None:
    """JAX's function of a row, if JAX is installed here."""
    try:
        import jax
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    rule = jax.lax.rem if name == "fmod" else getattr(jax.lax, base(name), None)
    rule = rule or getattr(jax.numpy, base(name), None)
    return None if rule is None else jax.jit(rule)


def _without_subnormals(
    xs: Sequence[Array], want: list[tuple[Any, float] | None], dtype: str
) -> list[tuple[Any, float] | None]:
    """`want` where arguments and result are normal numbers: JAX takes others for 0."""
    least = float(np.finfo(dtype).tiny)
    usual = np.all([np.abs(x) >= least for x in xs], axis=0)
    return [w if w and fine and abs(w[0]) >= least else None for w, fine in zip(want, usual)]


def _jax_version() -> str:
    try:
        import jax
    except ImportError:
        return "not installed"
    return f"version {jax.__version__}"


def row(name: str, dtype: str, n: int) -> str:
    """One line of the table."""
    xs = samples(name, dtype, n)
    want = exact(name, xs, dtype)
    ours = compiled(name)(*xs)
    error, where = worst(ours, want)
    normal = _without_subnormals(xs, want, dtype)
    at = ", ".join(f"{x[where]:.9g}" for x in xs)
    theirs = _jax_function(name)
    other = "-"
    if theirs is not None:
        other = f"{worst(np.asarray(theirs(*xs)), normal)[0]:.3g}"
    ends = _shown(CASES[name].domain)
    promised = bound(name, dtype)
    mark = "" if error <= promised else " **broken**"
    columns = [name, ends, dtype, promised, f"{error:.3g}{mark}", at]
    columns += [f"{worst(ours, normal)[0]:.3g}", other]
    return f"| {' | '.join(map(str, columns))} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write benchmarks/ACCURACY.md")
    parser.add_argument("--only", default="", help="functions, separated by commas")
    parser.add_argument("-n", type=int, default=10_000, help="samples of each kind")
    options = parser.parse_args()
    only = set(filter(None, options.only.split(",")))
    lines = [_HEAD]
    print(_HEAD)
    for name in CASES:
        for dtype in DTYPES:
            if not only or base(name) in only:
                lines.append(row(name, dtype, options.n))
                print(lines[-1], flush=True)
    if options.write:
        count = f"{2 * options.n:,} and more"
        text = _TEXT.format(n=count, jax=_jax_version(), table="\n".join(lines))
        Path(__file__).with_name("ACCURACY.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
