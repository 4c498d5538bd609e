"""Check derivatives of your own functions and primitives: ``check_grads`` and its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace import tree
from functrace.api import jvp, vjp
from functrace.core.aval import typeof
from functrace.dtypes import float0, is_inexact, real_dtype

__all__ = ["check_grads", "check_jvp", "check_vjp"]

_EPS = {"float16": 1e-2, "float32": 1e-2, "float64": 1e-5, "longdouble": 1e-5}
_TOLERANCE = {"float16": 1e-1, "float32": 2e-2, "float64": 1e-6, "longdouble": 1e-6}


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 1,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    seed: int = 0,
) -> None:
    """Check that the derivatives of ``f`` agree with central differences, up to an order.

    Forward mode is compared with ``(f(x + eps v) - f(x - eps v)) / 2 eps`` along a random
    direction ``v``; reverse mode with forward mode by the adjoint identity.

    Args:
        f: a function of arrays, in any pytree.
        args: where to check; away from kinks.
        order: derivatives of derivatives are checked up to this order.
        modes: ``"fwd"``, ``"rev"`` or both; higher orders nest them in every way.
        atol: absolute tolerance; by default fit for the dtype.
        rtol: relative tolerance, likewise.
        eps: the step of the differences, likewise.
        seed: seeds the random directions.

    Raises:
        AssertionError: naming the mode, the order and the leaf that is off.

    Example:
        >>> import numpy as np
        >>> check_grads(np.sin, (1.0,), order=3)
    """
    unknown = set(modes) - {"fwd", "rev"}
    if unknown or order < 1:
        raise ValueError(f"check_grads: modes are 'fwd' and 'rev' and order >= 1, not {modes}")
    rng = np.random.default_rng(seed)
    args = tuple(args)
    for mode in modes:
        if mode == "fwd":
            check_jvp(f, args, rng, atol, rtol, eps, f"forward mode, {order} orders to go")
        else:
            check_vjp(f, args, rng, atol, rtol, eps, f"reverse mode, {order} orders to go")
        if order > 1:
            inner = _derivative(f, args, mode, rng)
            check_grads(inner, args, order - 1, modes, atol, rtol, eps, seed + 1)


def _derivative(f: Any, args: tuple[Any, ...], mode: str, rng: np.random.Generator) -> Any:
    """Return the derivative of ``f`` along a fixed direction, as a function of its arguments."""
    if mode == "fwd":
        tangents = tree.map(lambda x: _direction(x, rng), args)
        return lambda *xs: jvp(f, xs, tangents)[1]
    out = f(*args)
    cotangent = tree.map(lambda x: _direction(x, rng), out)
    return lambda *xs: [c for c in tree.leaves(vjp(f, *xs)[1](cotangent)) if c.dtype != float0]


def check_jvp(
    f: Any,
    args: Sequence[Any],
    rng: np.random.Generator,
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    what: str = "jvp",
) -> None:
    """Check ``jvp`` of ``f`` against central differences along a random direction."""
    args = tuple(args)
    tangents = tree.map(lambda x: _direction(x, rng), args)
    step = eps or _worst(_EPS, args)
    out, tangent = jvp(f, args, tangents)
    _compare(out, f(*args), atol, rtol, args, f"{what}: the output of jvp")
    plus = f(*tree.map(lambda x, t: _moved(x, t, step), args, tangents))
    minus = f(*tree.map(lambda x, t: _moved(x, t, -step), args, tangents))
    expected = tree.map(
        lambda a, b: (a - b) / (2 * step) if _moves(a) else np.zeros(np.shape(a)), plus, minus
    )
    shown = tree.map(lambda t: np.zeros(t.shape) if t.dtype == float0 else t, tangent)
    _compare(shown, expected, atol, rtol, args, f"{what}: the tangent against differences")


def check_vjp(
    f: Any,
    args: Sequence[Any],
    rng: np.random.Generator,
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    what: str = "vjp",
) -> None:
    """Check ``vjp`` of ``f``: against differences through ``<ct, jvp t> = <vjp ct, t>``."""
    args = tuple(args)
    tangents = tree.map(lambda x: _direction(x, rng), args)
    step = eps or _worst(_EPS, args)
    out, pullback = vjp(f, *args)
    _compare(out, f(*args), atol, rtol, args, f"{what}: the output of vjp")
    cotangent = tree.map(lambda x: _direction(x, rng), out)
    plus = f(*tree.map(lambda x, t: _moved(x, t, step), args, tangents))
    minus = f(*tree.map(lambda x, t: _moved(x, t, -step), args, tangents))
    expected = sum(
        _pairing(c, (a - b) / (2 * step))
        for c, a, b in zip(tree.leaves(cotangent), tree.leaves(plus), tree.leaves(minus))
        if _moves(a)
    )
    pulled = tree.leaves(pullback(cotangent))
    actual = sum(_pairing(c, t) for c, t in zip(pulled, tree.leaves(tangents)) if c.dtype != float0)
    _compare(
        np.asarray(actual),
        np.asarray(expected),
        atol,
        rtol,
        args,
        f"{what}: <vjp ct, t> against <ct, difference>",
    )


def _pairing(a: Any, b: Any) -> Any:
    """Return the pairing that vjp transposes with respect to: the real part of sum(a * b)."""
    return np.sum(np.asarray(a) * np.asarray(b)).real


def _moves(x: Any) -> bool:
    return is_inexact(typeof(x).dtype)


def _direction(x: Any, rng: np.random.Generator) -> Any:
    aval = typeof(x)
    if not is_inexact(aval.dtype):
        return np.zeros(aval.shape, float0)
    values = rng.normal(size=aval.shape)
    if aval.dtype.kind == "c":
        values = values + 1j * rng.normal(size=aval.shape)
    return np.asarray(values).astype(aval.dtype)[()]


def _moved(x: Any, tangent: Any, step: float) -> Any:
    return (x + step * tangent).astype(typeof(x).dtype) if _moves(x) else x


def _worst(table: dict[str, float], values: Any) -> float:
    names = [np.dtype(real_dtype(typeof(v).dtype)).name for v in tree.leaves(values) if _moves(v)]
    return max((table.get(n, table["longdouble"]) for n in names), default=table["float64"])


def _compare(
    actual: Any, expected: Any, atol: float | None, rtol: float | None, args: Any, what: str
) -> None:
    default = _worst(_TOLERANCE, args)
    for (path, a), e in zip(tree.leaves_with_path(actual), tree.leaves(expected)):
        np.testing.assert_allclose(
            a,
            e,
            atol=default if atol is None else atol,
            rtol=default if rtol is None else rtol,
            err_msg=f"{what} is off at {tree.keystr(path) or 'the output'}",
        )
