"""grad and value_and_grad: linearize, then one backward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from functrace.api.call import Aux, Call
from functrace.api.util import (
    Owner,
    normalize_argnums,
    strong_type,
    transformation_name,
    zero_gradient,
)
from functrace.core.arguments import argument_leaf, require_callable
from functrace.core.trace import Tracer
from functrace.errors import DTypeError, NonScalarLossError, compose
from functrace.interpreters.linearize import LinearProgram, linearize_flat
from functrace.interpreters.reverse import backward_pass
from functrace.ops.creation import full
from functrace.source_info import api_boundary, describe_function

__all__ = ["grad", "value_and_grad"]


def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """Return a function that computes both ``fun`` and its gradient.

    ``fun`` runs on concrete values, so Python control flow works; outside of ``jit`` nothing is
    compiled. Gradients have the dtype and the structure of the arguments and share no memory
    with them, so ``scipy.optimize.minimize(value_and_grad(f), x0, jac=True)`` just works.

    Args:
        fun: returns one real number (any shape with one element), or a pair of it and
            auxiliary data with ``has_aux``.
        argnums: which positional arguments to differentiate; an int gives one gradient, a tuple
            a tuple of them.
        has_aux: whether ``fun`` returns ``(value, aux)``.
        holomorphic: promise that ``fun`` is holomorphic; arguments and output are complex.
        allow_int: accept integer leaves; their gradients have dtype ``float0``.

    Returns:
        A function of the same arguments returning ``(value, gradient)``, or
        ``((value, aux), gradient)`` with ``has_aux``.

    Raises:
        NonScalarLossError: the output has several elements.
        DTypeError: a differentiated leaf is no float; the message has its path.

    Example:
        >>> import numpy as np
        >>> value_and_grad(lambda x: np.sum(x ** 2))(np.array([1.0, 2.0]))
        (np.float64(5.0), array([2., 4.]))
    """
    require_callable(fun, "value_and_grad")

    @functools.wraps(fun)
    @api_boundary
    def value_and_grad_fun(*args: Any, **kwargs: Any) -> Any:
        return _value_and_grad(
            fun, args, kwargs, argnums, has_aux, holomorphic, allow_int, "value_and_grad"
        )

    return value_and_grad_fun


def grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """Return a function that computes the gradient of ``fun``.

    See ``value_and_grad`` for the contract and the errors.

    Args:
        fun: returns one real number, or ``(number, aux)`` with ``has_aux``.
        argnums: which positional arguments to differentiate.
        has_aux: whether ``fun`` returns ``(value, aux)``; the result is ``(gradient, aux)``.
        holomorphic: promise that ``fun`` is holomorphic.
        allow_int: accept integer leaves.

    Returns:
        A function of the same arguments returning the gradient.

    Example:
        >>> import numpy as np
        >>> grad(np.tanh)(0.0)
        np.float64(1.0)
        >>> grad(lambda w, x: np.dot(w, x))(np.ones(2), np.array([3.0, 4.0]))
        array([3., 4.])
    """
    require_callable(fun, "grad")

    @functools.wraps(fun)
    @api_boundary
    def grad_fun(*args: Any, **kwargs: Any) -> Any:
        value, gradient = _value_and_grad(
            fun, args, kwargs, argnums, has_aux, holomorphic, allow_int, "grad"
        )
        return (gradient, value[1]) if has_aux else gradient

    return grad_fun


def _value_and_grad(
    fun: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    argnums: int | Sequence[int],
    has_aux: bool,
    holomorphic: bool,
    allow_int: bool,
    what: str,
) -> Any:
    positions = normalize_argnums(argnums, len(args), what, fun)
    call = Call(fun, args, kwargs, has_aux)
    primals, weak = call.take_leaves(positions, what)
    kinds = "c" if holomorphic else "fc"
    moves = [p.dtype.kind in kinds for p in primals]
    if not (all(moves) and not holomorphic) or any(p.dtype.kind == "c" for p in primals):
        _check_inputs(call, primals, holomorphic, allow_int, what)
    aux = Aux(call)
    outs, program = linearize_flat(aux.run, primals, moves, transformation_name(what, fun), weak)
    value = outs[0] if aux.count == 1 else None
    seed = _loss_seed(value, aux.count, program, holomorphic, call, what)
    seeds = [seed] + [None] * (len(outs) - 1)
    gradients: Any = [None] * len(program.inputs)
    if seed is not None:
        gradients = backward_pass(program, seeds, consume=True)
    owner = Owner(primals)
    moving = iter(gradients)
    flat = [
        _gradient(owner, next(moving) if moved else None, p) for p, moved in zip(primals, moves)
    ]
    trees = call.trees_of(flat)
    gradient = trees[0] if isinstance(argnums, (int, np.integer)) else trees
    untraced = program.outputs[0] is None
    value = owner.own_foreign(value) if untraced else owner.own(value)
    value = call.output([value])
    if has_aux:
        return (value, aux.split([owner.own(o) for o in outs], owner)[1]), gradient
    return value, gradient


def _gradient(owner: Owner, ct: Any, primal: Any) -> Any:
    return zero_gradient(strong_type(primal)) if ct is None else owner.own(ct)


def _check_inputs(
    call: Call,
    primals: Sequence[Any],
    holomorphic: bool,
    allow_int: bool,
    what: str,
) -> None:
    """Raise for leaves that can't be differentiated, naming the first by its path."""
    for i, primal in enumerate(primals):
        kind = primal.dtype.kind
        if (kind == "f" and not holomorphic) or (kind == "c" and holomorphic):
            continue
        if kind in "biu" and allow_int:
            continue
        if kind == "c":
            # Real functions of complex inputs follow JAX's convention; nothing to promise.
            continue
        place = call.place(what, i)
        if holomorphic:
            raise DTypeError(
                compose(
                    f"{place} has dtype {primal.dtype}.",
                    "holomorphic=True differentiates with respect to complex arguments.",
                    "complex arguments, or holomorphic=False.",
                )
            )
        raise DTypeError(
            compose(
                f"{place} has dtype {primal.dtype} and shape {primal.shape}.",
                "integers and booleans have no gradient.",
                "a float (1.0 instead of 1, x.astype(float)), another argnums, or allow_int=True.",
            )
        )


def _loss_seed(
    value: Any, count: int, program: LinearProgram, holomorphic: bool, call: Call, what: str
) -> Any:
    """Return the cotangent 1 of the loss, None when nothing moves it; refuse what is no loss."""
    if count != 1:
        advice = "return (loss, aux) with has_aux=True, or use vjp, jacrev or jacfwd."
        _refuse_loss(f"a tree of {count} leaves", advice, call, what)
    value = argument_leaf(value, lambda: f"the output of {describe_function(call.fun)}").value
    dtype = value.dtype
    if value.size != 1:
        advice = "np.sum or np.mean of the output; or vjp, jacrev or jacfwd for several outputs."
        _refuse_loss(f"an output of shape {value.shape}", advice, call, what)
    if dtype.kind == "c" and not holomorphic:
        advice = "np.real or np.abs of the output, or holomorphic=True."
        _refuse_loss(f"an output of dtype {dtype}", advice, call, what)
    if holomorphic and dtype.kind != "c":
        raise DTypeError(
            f"{what} of {describe_function(call.fun)}: holomorphic=True, but the output has dtype "
            f"{dtype}."
        )
    if program.outputs[0] is None:
        return None
    if not value.shape:
        return dtype.type(1)
    if isinstance(value, Tracer):
        return full(value.shape, 1, dtype)
    return np.ones(value.shape, dtype)


def _refuse_loss(got: str, then: str, call: Call, what: str) -> NoReturn:
    raise NonScalarLossError(
        compose(
            f"{what} of {describe_function(call.fun)}: the function returned {got}.",
            f"{what} needs one real number.",
            then,
        )
    )
