"""Elementary functions of complex values, from the real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from functrace.compiler.arithmetic import Arithmetic
from functrace.compiler.kernel import Complex, Value

Rule = Callable[..., Value]


def apply(b: Arithmetic, name: str, args: Sequence[Value]) -> Value:
    """The complex function `name`."""
    rule = RULES.get(name)
    if rule is None:
        raise TypeError(f"{name} is not defined for complex values")
    return rule(b, *args)


def _sqrt(b: Arithmetic, z: Complex) -> Value:
    return z


RULES: dict[str, Rule] = {"sqrt": _sqrt}
