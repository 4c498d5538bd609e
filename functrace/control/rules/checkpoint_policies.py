"""Which values a checkpointed function keeps for its derivative: functions of each equation.

A policy is called with the primitive, the types of its operands, and its parameters, and tells
whether the results are kept. Without one nothing is: all is computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from functrace import tree
from functrace.core.arguments import argument_leaf
from functrace.core.aval import ShapedArray
from functrace.core.lowering import View
from functrace.core.trace import Primitive, Tracer

__all__ = [
    "Policy",
    "checkpoint_dots",
    "checkpoint_dots_with_no_batch_dims",
    "checkpoint_name",
    "dots_saveable",
    "dots_with_no_batch_dims_saveable",
    "everything_saveable",
    "name_p",
    "nothing_saveable",
    "save_any_names_but_these",
    "save_anything_except_these_names",
    "save_from_both_policies",
    "save_only_these_names",
]

Policy = Callable[..., bool]

# --- names -------------------------------------------------------------------------------------

name_p = Primitive("name")


def checkpoint_name(x: Any, name: str) -> Any:
    """Return ``x``, with a name by which checkpoint policies know it.

    Args:
        x: a tree of arrays.
        name: the name.

    Example:
        >>> import functrace as ft
        >>> import numpy as np
        >>> from functrace.ad_checkpoint import checkpoint_name
        >>> keep = ft.checkpoint_policies.save_only_these_names("hidden")
        >>> f = ft.checkpoint(lambda x: np.sin(checkpoint_name(np.cos(x), "hidden")), policy=keep)
        >>> round(float(ft.grad(f)(1.0)), 6)
        -0.721606
    """

    def named(leaf: Any) -> Any:
        if not isinstance(leaf, Tracer):
            return leaf
        return name_p.bind(argument_leaf(leaf, lambda: "checkpoint_name").value, name=name)

    return tree.map(named, x)


@name_p.def_impl
def _name_impl(x: Any, *, name: str) -> Any:
    return x


@name_p.def_abstract_eval
def _name_type(x: ShapedArray, *, name: str) -> ShapedArray:
    return ShapedArray(x.shape, x.dtype)


@name_p.def_jvp_each
def _name_jvp(t: Any, out: Any, x: Any, *, name: str) -> Any:
    return name_p.bind(t, name=name)


@name_p.def_transpose
def _name_transpose(ct: Any, x: Any, *, name: str) -> list[Any]:
    return [ct]


@name_p.def_batching
def _name_batching(size: int, args: Any, dims: Any, *, name: str) -> tuple[Any, int]:
    return name_p.bind(args[0], name=name), dims[0]


name_p.def_lowering(View(lambda shape, strides, *, name: (shape, strides, 0)))


# --- policies ----------------------------------------------------------------------------------


def everything_saveable(*args: Any, **params: Any) -> bool:
    """Keep everything: as without checkpoint."""
    return True


def nothing_saveable(*args: Any, **params: Any) -> bool:
    """Keep nothing but the arguments: compute all again. The default."""
    return False


def dots_saveable(prim: Primitive, *args: Any, **params: Any) -> bool:
    """Keep the results of matrix products and convolutions."""
    return prim.name in ("dot_general", "conv_general_dilated")


def dots_with_no_batch_dims_saveable(prim: Primitive, *args: Any, **params: Any) -> bool:
    """Keep the results of matrix products without batch axes, like those with weights."""
    if prim.name != "dot_general":
        return False
    (_, (lhs_batch, rhs_batch)) = params["dimension_numbers"]
    return not lhs_batch and not rhs_batch


checkpoint_dots = dots_saveable
checkpoint_dots_with_no_batch_dims = dots_with_no_batch_dims_saveable


def save_only_these_names(*names: str) -> Policy:
    """Return the policy that keeps what ``checkpoint_name`` gave one of these names."""
    wanted = frozenset(names)

    def save_only_these_names(prim: Primitive, *args: Any, **params: Any) -> bool:
        return prim is name_p and params["name"] in wanted

    return save_only_these_names


def save_any_names_but_these(*names: str) -> Policy:
    """Return the policy that keeps what ``checkpoint_name`` named, save these names."""
    unwanted = frozenset(names)

    def save_any_names_but_these(prim: Primitive, *args: Any, **params: Any) -> bool:
        return prim is name_p and params["name"] not in unwanted

    return save_any_names_but_these


def save_anything_except_these_names(*names: str) -> Policy:
    """Return the policy that keeps everything, save what has one of these names."""
    unwanted = frozenset(names)

    def save_anything_except_these_names(prim: Primitive, *args: Any, **params: Any) -> bool:
        return prim is not name_p or params["name"] not in unwanted

    return save_anything_except_these_names


def save_from_both_policies(policy_1: Policy, policy_2: Policy) -> Policy:
    """Return the policy that keeps what either of two policies keeps."""

    def save_from_both_policies(*args: Any, **params: Any) -> bool:
        return policy_1(*args, **params) or policy_2(*args, **params)

    return save_from_both_policies
