"""custom_gradient: a function that returns its output together with its pullback."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from functrace import tree
from functrace.control.rules.closures import stage_open
from functrace.control.rules.custom_vjp import custom_vjp
from functrace.core.arguments import flat_values, require_callable
from functrace.core.aval import typeof
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.errors import compose
from functrace.source_info import describe_function

__all__ = ["custom_gradient"]


class _Pullback:
    """A pullback as residuals: what it closes over, as leaves, and its jaxpr."""

    def __init__(self, values: list[Any], jaxpr: ClosedJaxpr, out_tree: Any) -> None:
        self.values, self.jaxpr, self.out_tree = values, jaxpr, out_tree

    def __call__(self, ct: Any) -> Any:
        outs = eval_jaxpr(self.jaxpr.jaxpr, (), *self.values, *tree.leaves(ct))
        return self.out_tree.unflatten(outs)


tree.register_pytree_node(
    _Pullback,
    lambda p: (p.values, (p.jaxpr, p.out_tree)),
    lambda data, values: _Pullback(list(values), *data),
)


def custom_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose reverse mode is the pullback that ``fun`` returns with its output.

    Args:
        fun: returns ``(out, pullback)``; ``pullback(ct)`` returns the cotangent of the argument,
            or a tuple with one for each argument when there are several. The pullback is traced.

    Example:
        >>> import functrace as ft
        >>> @custom_gradient
        ... def doubled_slope(x):
        ...     return x**2, lambda ct: (ct * 4.0 * x,)
        >>> ft.grad(doubled_slope)(3.0)
        np.float64(12.0)
    """
    require_callable(fun, "custom_gradient")
    name = describe_function(fun)

    def split(*args: Any, **kwargs: Any) -> Any:
        result = fun(*args, **kwargs)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise TypeError(
                compose(
                    f"{name} returned {type(result).__name__}.",
                    "custom_gradient takes a function that returns its output and its pullback.",
                )
            )
        return result

    def primal(*args: Any, **kwargs: Any) -> Any:
        return split(*args, **kwargs)[0]

    def forward(*args: Any) -> Any:
        out, pullback = split(*args)
        leaves, treedef = flat_values(out, f"an output of {name}")
        found: Any = None

        def flat_pullback(*cts: Any) -> list[Any]:
            nonlocal found
            given = pullback(treedef.unflatten(cts))
            several = isinstance(given, (tuple, list)) and len(given) == len(args)
            pulled, found = tree.flatten(tuple(given) if several else (given,))
            return pulled

        avals = [typeof(v).strong() for v in leaves]
        jaxpr, values = stage_open(flat_pullback, avals, f"the pullback of {name}")
        return out, _Pullback(values, jaxpr, found)

    custom = custom_vjp(functools.wraps(fun)(primal))
    custom.defvjp(forward, lambda pullback, ct: pullback(ct))
    return custom
