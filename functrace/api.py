"""Derivatives: grad, value_and_grad, vjp, jvp, linearize, linear_transpose."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from functrace import tree
from functrace.api_call import Aux, Call
from functrace.api_util import (
    Owner,
    argument_leaf,
    cast_like,
    check_same_structure,
    normalize_argnums,
    require_callable,
    strong_type,
    zero_gradient,
)
from functrace.core.aval import ShapedArray, ShapeDtypeStruct, typeof
from functrace.core.jaxpr import ClosedJaxpr, Jaxpr, eval_jaxpr
from functrace.core.trace import Tracer
from functrace.dtypes import float0, is_inexact
from functrace.errors import DTypeError, NonScalarLossError, compose
from functrace.interpreters.forward import jvp_flat
from functrace.interpreters.linearize import LinearProgram, linearize_flat
from functrace.interpreters.reverse import backward_pass, transpose_jaxpr
from functrace.interpreters.staging import stage
from functrace.ops.creation import full
from functrace.source_info import api_boundary, describe_function

__all__ = ["grad", "jvp", "linear_transpose", "linearize", "value_and_grad", "vjp"]


# --- grad --------------------------------------------------------------------------------------


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
    outs, program = linearize_flat(
        aux.run, primals, moves, _describe(what, fun), weak
    )
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
        return (value, aux.split(outs, owner)[1]), gradient
    return value, gradient


def _describe(what: str, fun: Any) -> str:
    return f"{what}({getattr(fun, '__name__', type(fun).__name__)})"


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


def argument_type(value: Any, name: str) -> ShapedArray:
    """Return the type of an output of the user's function."""
    return typeof(argument_leaf(value, lambda: f"the output of {name}").value)


# --- jvp ---------------------------------------------------------------------------------------


@api_boundary
def jvp(
    fun: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
) -> Any:
    """Push tangents forward: the output of ``fun`` and its directional derivative.

    Args:
        fun: a function of the primals.
        primals: where to differentiate; a tuple or list of the arguments.
        tangents: the direction, of the same structure and shapes; Python numbers and other float
            dtypes are cast. Integer primals have tangents of dtype ``float0``.
        has_aux: whether ``fun`` returns ``(output, aux)``.

    Returns:
        ``(output, output_tangent)``, and the auxiliary data third with ``has_aux``.

    Example:
        >>> import numpy as np
        >>> jvp(np.sin, (0.0,), (2.0,))
        (np.float64(0.0), np.float64(2.0))
    """
    require_callable(fun, "jvp")
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, (tuple, list)):
            raise TypeError(
                compose(
                    f"jvp: {name} is a {type(value).__name__}.",
                    then="a tuple or list with one entry per argument: jvp(f, (x,), (t,)).",
                )
            )
    call = Call(fun, primals, {}, has_aux)
    values, _ = call.take_leaves(range(len(primals)), "jvp")
    check_same_structure(
        tree.structure(tuple(tangents)), tree.structure(tuple(primals)), "jvp: the tangents' tree"
    )
    places = [tree.keystr(path) for path, _ in tree.leaves_with_path(tuple(primals))]
    moving = [
        _given_tangent(t, v, p) for t, v, p in zip(tree.leaves(tuple(tangents)), values, places)
    ]
    aux = Aux(call)
    outs, out_tangents = jvp_flat(aux.run, values, moving, _describe("jvp", fun))
    owner = Owner(values, moving)
    outs = [
        owner.own_foreign(o) if t is None else owner.own(o) for o, t in zip(outs, out_tangents)
    ]
    types = [argument_type(o, describe_function(fun)) for o in outs[: aux.count]]
    flat_tangents = [
        zero_gradient(a.strong()) if t is None else owner.own(t)
        for a, t in zip(types, out_tangents)
    ]
    outs, aux_value = aux.split(outs, owner)
    result = (call.output(outs), call.output(flat_tangents))
    return (*result, aux_value) if has_aux else result


def _given_tangent(tangent: Any, primal: Any, place: str) -> Any:
    """Return a tangent as the type of its primal; None for integers, which don't move."""
    aval = strong_type(primal)
    if not is_inexact(aval.dtype):
        if getattr(tangent, "dtype", None) == float0 or not np.any(np.asarray(tangent)):
            return None
        raise DTypeError(
            compose(
                f"jvp: the tangent at {place} has a value, its primal has dtype {aval.dtype}.",
                "integers and booleans don't move.",
                "np.zeros(shape, functrace.dtypes.float0), or a float primal.",
            )
        )
    return cast_like(tangent, aval, "tangent", f"at {place} in jvp")


# --- vjp ---------------------------------------------------------------------------------------


class Pullback:
    """The function ``vjp`` returns: cotangents of the outputs to cotangents of the arguments.

    It owns its residuals, may be called any number of times, and prints what was recorded:
    ``pullback.jaxpr``.
    """

    def __init__(self, call: Call, program: LinearProgram, primals: list[Any], outs: list[Any],
                 moves: list[bool]) -> None:
        self._call = call
        self._program = program
        self._out_avals = [argument_type(o, describe_function(call.fun)).strong() for o in outs]
        self._in_avals = [strong_type(p) for p in primals]
        self._moves = moves

    @property
    def jaxpr(self) -> Jaxpr:
        """The linear program that was recorded: tangents to tangents, residuals as constants."""
        moving = [o for o in self._program.outputs[: len(self._out_avals)] if o is not None]
        return self._program.to_jaxpr(moving)[0]

    @api_boundary
    def __call__(self, cotangent: Any) -> tuple[Any, ...]:
        """Pull a cotangent of the output back to one cotangent per argument."""
        flat, treedef = tree.flatten(cotangent)
        wanted = self._call.out_tree
        if wanted is None:
            wanted = tree.structure(0)
        check_same_structure(treedef, wanted, "vjp: the cotangent")
        paths = tree.leaves_with_path(cotangent)
        cts = [
            self._given(ct, aval, tree.keystr(path))
            for ct, aval, (path, _) in zip(flat, self._out_avals, paths)
        ]
        cts += [None] * (len(self._program.outputs) - len(cts))
        pulled = iter(backward_pass(self._program, cts))
        owner = Owner(flat, cts)
        leaves = []
        for aval, moved in zip(self._in_avals, self._moves):
            ct = next(pulled) if moved else None
            leaves.append(zero_gradient(aval) if ct is None else owner.own(ct))
        return self._call.trees_of(leaves)

    @staticmethod
    def _given(ct: Any, aval: ShapedArray, place: str) -> Any:
        if not is_inexact(aval.dtype):
            return None
        return cast_like(ct, aval, "cotangent", f"at {place or 'the output'} in vjp")


@api_boundary
def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Run ``fun`` and return its output with the function that pulls cotangents back.

    ``fun`` runs once, on concrete values. The pullback holds copies of what it needs, so
    arguments may change before it is called.

    Args:
        fun: a function of the primals.
        primals: the arguments; trees of arrays.
        has_aux: whether ``fun`` returns ``(output, aux)``.

    Returns:
        ``(output, pullback)``, and the auxiliary data third with ``has_aux``. The pullback takes
        a cotangent of the output's structure and returns one cotangent per argument.

    Example:
        >>> import numpy as np
        >>> out, pullback = vjp(lambda x, y: x * y, 3.0, 4.0)
        >>> pullback(1.0)
        (np.float64(4.0), np.float64(3.0))
    """
    require_callable(fun, "vjp")
    call = Call(fun, primals, {}, has_aux)
    outs, values, moves, program, aux = _linearize_call(call, "vjp")
    result = (call.output(outs), Pullback(call, program, values, outs, moves))
    return (*result, aux) if has_aux else result


def _linearize_call(call: Call, what: str) -> Any:
    """Run and record a call with private copies of its arguments; shared by vjp and linearize."""
    given, weak = call.take_leaves(range(len(call.args)), what)
    values = [v.copy() if type(v) is np.ndarray else v for v in given]
    moves = [is_inexact(v.dtype) for v in values]
    aux = Aux(call)
    outs, program = linearize_flat(
        aux.run, values, moves, _describe(what, call.fun), weak
    )
    owner = Owner()
    # An output may also be a residual, so it is always copied.
    owned = [owner.own_foreign(out) for out in outs]
    owned, aux_value = aux.split(owned, owner)
    program.outputs = program.outputs[: aux.count]
    call.args = [None] * len(call.args)  # the caller's arrays may go
    return owned, values, moves, program, aux_value


# --- linearize ---------------------------------------------------------------------------------


class LinearizedFunction:
    """The function ``linearize`` returns: tangents of the arguments to tangents of the output."""

    def __init__(self, call: Call, program: LinearProgram, primals: list[Any], outs: list[Any],
                 moves: list[bool]) -> None:
        self._call = call
        self._program = program
        self._in_avals = [strong_type(p) for p in primals]
        self._out_avals = [argument_type(o, describe_function(call.fun)).strong() for o in outs]
        self._moves = moves

    @property
    def jaxpr(self) -> Jaxpr:
        """The linear program that was recorded."""
        return self._program.to_jaxpr([o for o in self._program.outputs if o is not None])[0]

    @api_boundary
    def __call__(self, *tangents: Any) -> Any:
        """Push tangents forward."""
        wanted = tree.structure(self._call.trees_of(self._in_avals))
        check_same_structure(tree.structure(tangents), wanted, "linearize: the tangents' tree")
        flat = [
            _given_tangent(t, a, tree.keystr(path))
            for (path, t), a in zip(
                tree.leaves_with_path(tangents),
                [ShapeDtypeStruct(a.shape, a.dtype) for a in self._in_avals],
            )
        ]
        moving = [t for t, moves in zip(flat, self._moves) if moves]
        outs = self._program.apply(moving)
        owner = Owner(flat)
        return self._call.output(
            [zero_gradient(a) if o is None else owner.own(o) for o, a in zip(outs, self._out_avals)]
        )


@api_boundary
def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Run ``fun`` and return its output with its derivative there, as a linear function.

    Args:
        fun: a function of the primals.
        primals: where to linearize.
        has_aux: whether ``fun`` returns ``(output, aux)``.

    Returns:
        ``(output, f_jvp)``, and the auxiliary data third with ``has_aux``; ``f_jvp`` takes
        tangents like the primals. Calling it often doesn't run ``fun`` again.

    Example:
        >>> out, f_jvp = linearize(lambda x: x ** 3, 2.0)
        >>> out, f_jvp(1.0)
        (np.float64(8.0), np.float64(12.0))
    """
    require_callable(fun, "linearize")
    call = Call(fun, primals, {}, has_aux)
    outs, values, moves, program, aux = _linearize_call(call, "linearize")
    result = (call.output(outs), LinearizedFunction(call, program, values, outs, moves))
    return (*result, aux) if has_aux else result


# --- linear_transpose --------------------------------------------------------------------------


@api_boundary
def linear_transpose(fun: Callable[..., Any], *primals: Any) -> Callable[[Any], tuple[Any, ...]]:
    """Return the transpose of a function that is linear in all its arguments.

    Args:
        fun: a linear function.
        primals: arrays or ``ShapeDtypeStruct`` that tell the types of the arguments.

    Returns:
        A function from a cotangent of the output to a tuple of cotangents of the arguments.

    Raises:
        MissingRuleError: ``fun`` isn't linear.

    Example:
        >>> import numpy as np
        >>> linear_transpose(lambda x: 3.0 * x, 1.0)(2.0)
        (np.float64(6.0),)
    """
    require_callable(fun, "linear_transpose")
    call = Call(fun, primals, {}, False)
    call.positions = range(len(primals))
    avals = []
    for primal in primals:
        flat, treedef = tree.flatten(primal)
        call.treedefs.append(treedef)
        avals += [typeof(v).strong() for v in flat]
    closed = stage(call.run, avals, _describe("linear_transpose", fun))

    @api_boundary
    def transposed(cotangent: Any) -> tuple[Any, ...]:
        flat, treedef = tree.flatten(cotangent)
        wanted = tree.structure(0) if call.out_tree is None else call.out_tree
        check_same_structure(treedef, wanted, "linear_transpose: the cotangent")
        cts = [
            cast_like(ct, aval.strong(), "cotangent", "in linear_transpose")
            for ct, aval in zip(flat, closed.out_avals)
        ]
        return call.trees_of(_apply_transpose(closed, avals, cts))

    return transposed


def _apply_transpose(
    closed: ClosedJaxpr, avals: Sequence[ShapedArray], cts: Sequence[Any]
) -> list[Any]:
    linear = tuple(is_inexact(a.dtype) for a in avals)
    if not all(linear):
        raise DTypeError("linear_transpose: every argument must be of a float or complex dtype.")
    transposed, nonzero = transpose_jaxpr(closed, linear, (True,) * len(cts))
    pulled = iter(eval_jaxpr(transposed.jaxpr, transposed.consts, *cts))
    owner = Owner(cts)
    return [owner.own(next(pulled)) if nz else zero_gradient(a) for nz, a in zip(nonzero, avals)]
