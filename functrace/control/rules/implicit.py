"""custom_root and custom_linear_solve: derivatives of solutions by the implicit function theorem.

How a solution was found doesn't matter to its derivative. If f(x, a) = 0, then
dx = -(df/dx)^-1 df/da da, one linear solve; if A x = b, then dx = A^-1 (db - dA x), and reverse
mode solves with A's transpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrace import tree
from functrace.control.rules.closures import closes_over_tracers, stage_open
from functrace.control.rules.custom_jvp import custom_jvp
from functrace.control.rules.custom_rules import (
    runs_as_python,
    with_unused_inputs,
    zero_tangent,
)
from functrace.core.arguments import flat_values, require_callable
from functrace.core.aval import ShapedArray, typeof
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.core.lowering import Nested
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive, state
from functrace.errors import MissingRuleError, ShapeError, StructureError, compose
from functrace.interpreters.batching import batch_jaxpr, materialize
from functrace.interpreters.forward import jvp_flat
from functrace.interpreters.linearize import linearize_flat
from functrace.interpreters.reverse import transpose_jaxpr
from functrace.ops.arithmetic import neg, sub
from functrace.source_info import api_boundary, describe_function

__all__ = ["custom_linear_solve", "custom_root", "linear_solve_p"]


def _stage_vector_function(
    fun: Callable[..., Any], like: Any, name: str
) -> tuple[ClosedJaxpr, list[Any]]:
    """Trace a function from trees like ``like`` to such trees; return what it closes over too."""
    flat, treedef = flat_values(like, f"an argument of {name}")

    def flat_fun(*leaves: Any) -> list[Any]:
        outs, out_tree = flat_values(fun(treedef.unflatten(leaves)), f"an output of {name}")
        if out_tree != treedef:
            raise StructureError(
                compose(
                    f"{name} returned a value of structure {out_tree}.",
                    f"it must have the structure of its argument, {treedef}.",
                )
            )
        for out, leaf in zip(outs, flat):
            if not typeof(out).same_type(typeof(leaf)):
                raise ShapeError(
                    compose(
                        f"{name} returned {typeof(out)} for {typeof(leaf).strong()}.",
                        "it must keep the shapes and dtypes of its argument.",
                    )
                )
        return outs

    return stage_open(flat_fun, [typeof(v).strong() for v in flat], name)


# --- roots -------------------------------------------------------------------------------------


@api_boundary
def custom_root(
    f: Callable[..., Any],
    initial_guess: Any,
    solve: Callable[..., Any],
    tangent_solve: Callable[..., Any],
    has_aux: bool = False,
) -> Any:
    """Return a root of ``f``, whose derivative doesn't depend on how it was found.

    Args:
        f: maps trees like the guess to such trees. What it closes over may be differentiated.
        initial_guess: where ``solve`` begins; the derivative in it is zero.
        solve: ``solve(f, initial_guess)`` returns a root.
        tangent_solve: ``tangent_solve(g, y)`` returns the ``x`` with ``g(x) == y`` for a linear
            ``g``, like ``lambda g, y: y / g(1.0)`` for scalars. It must be linear in ``y``.
        has_aux: whether ``solve`` returns ``(root, auxiliary data)``; these don't move.

    Example:
        >>> import functrace as ft
        >>> from functrace import lax
        >>> def newton(f, x):
        ...     return lax.fori_loop(0, 20, lambda _, x: x - f(x) / ft.grad(f)(x), x)
        >>> def root_of(a):
        ...     return lax.custom_root(
        ...         lambda x: x**2 - a, 1.0, newton, lambda g, y: y / g(1.0))
        >>> root_of(4.0), ft.grad(root_of)(4.0)
        (np.float64(2.0), np.float64(0.25))
    """
    for fun, what in ((f, "f"), (solve, "solve"), (tangent_solve, "tangent_solve")):
        require_callable(fun, f"custom_root: {what}")
    if runs_as_python(state.trace):
        return solve(f, initial_guess)
    name = f"custom_root: {describe_function(f)}"
    jaxpr, consts = _stage_vector_function(f, initial_guess, name)
    guess, treedef = flat_values(initial_guess, "the initial guess")

    def at(consts: Sequence[Any]) -> Callable[[Any], Any]:
        """Return f with these values in place of what it closes over."""
        return lambda x: treedef.unflatten(eval_jaxpr(jaxpr.jaxpr, (), *consts, *tree.leaves(x)))

    run, seen = solve, list[Any]()
    if closes_over_tracers(solve):
        # What it sees beside f is handed to it too; the derivative doesn't depend on that.
        run, seen = _stage_root_solver(solve, f, initial_guess, name)

    def solution(consts: list[Any], seen: list[Any], guess: list[Any]) -> Any:
        start = treedef.unflatten(guess)
        found = run(at(consts), start) if run is solve else run(seen, start)
        if (tree.structure(found[0]) if has_aux else tree.structure(found)) != treedef:
            raise StructureError(
                f"{name}: solve returned {tree.structure(found)}, not a tree like {treedef}."
            )
        return found

    root = custom_jvp(solution)

    @root.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (consts, seen, guess), (moving, _, _) = primals, tangents
        found = root(consts, seen, guess)
        x, aux = found if has_aux else (found, None)
        leaves = tree.leaves(x)
        _, shift = jvp_flat(
            lambda *cs: eval_jaxpr(jaxpr.jaxpr, (), *cs, *leaves), consts, _movable(moving)
        )
        y = [zero_tangent(typeof(v)) if t is None else t for t, v in zip(shift, leaves)]
        _, program = linearize_flat(
            lambda *xs: tree.leaves(at(consts)(treedef.unflatten(xs))), leaves, [True] * len(leaves)
        )

        def slope(t: Any) -> Any:
            given = program.apply(tree.leaves(t))
            filled = [zero_tangent(typeof(v)) if g is None else g for g, v in zip(given, leaves)]
            return treedef.unflatten(filled)

        moved = tree.map(neg, tangent_solve(slope, treedef.unflatten(y)))
        if not has_aux:
            return found, moved
        return found, (moved, tree.map(lambda a: zero_tangent(typeof(a)), aux))

    return root(consts, seen, guess)


def _stage_root_solver(
    solve: Callable[..., Any], f: Callable[..., Any], guess: Any, name: str
) -> tuple[Callable[..., Any], list[Any]]:
    """Trace ``solve`` to a function of what it closes over and the guess."""
    flat, treedef = flat_values(guess, "the initial guess")
    out_tree: Any = None

    def flat_solve(*leaves: Any) -> list[Any]:
        nonlocal out_tree
        outs, out_tree = flat_values(solve(f, treedef.unflatten(leaves)), f"the root of {name}")
        return outs

    jaxpr, seen = stage_open(flat_solve, [typeof(v).strong() for v in flat], name)
    return (
        lambda seen, x: out_tree.unflatten(eval_jaxpr(jaxpr.jaxpr, (), *seen, *tree.leaves(x))),
        seen,
    )


def _movable(tangents: Sequence[Any]) -> list[Any]:
    """Return tangents with None for those of integers."""
    return [None if t.dtype.kind == "V" else t for t in tangents]


# --- linear solves -----------------------------------------------------------------------------


@api_boundary
def custom_linear_solve(
    matvec: Callable[..., Any],
    b: Any,
    solve: Callable[..., Any],
    transpose_solve: Callable[..., Any] | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """Return the solution of a linear system given as a function, with implicit derivatives.

    Args:
        matvec: the matrix as a linear function of trees like ``b``. What it closes over may be
            differentiated.
        b: the right side.
        solve: ``solve(matvec, b)`` returns ``x`` with ``matvec(x) == b``.
        transpose_solve: ``transpose_solve(vecmat, b)`` solves with the transpose; reverse mode
            needs it, unless the matrix is symmetric.
        symmetric: whether the matrix is its own transpose; then ``solve`` can serve for both.
        has_aux: whether the solvers return ``(x, auxiliary data)``; these don't move.

    Example:
        >>> import functrace as ft
        >>> import functrace.numpy as fnp
        >>> from functrace import lax
        >>> def x_of(a, b):
        ...     return lax.custom_linear_solve(
        ...         lambda x: a * x, b, lambda matvec, b: b / matvec(1.0), symmetric=True)
        >>> ft.grad(x_of, argnums=(0, 1))(2.0, 3.0)
        (np.float64(-0.75), np.float64(0.5))
    """
    require_callable(matvec, "custom_linear_solve: matvec")
    require_callable(solve, "custom_linear_solve: solve")
    if runs_as_python(state.trace):
        return solve(matvec, b)
    if symmetric and transpose_solve is None:
        transpose_solve = solve
    solver = _Solver(matvec, b, has_aux)
    outs = solver.bind(solve, transpose_solve, symmetric)
    x = solver.treedef.unflatten(outs[: solver.n])
    return (x, solver.aux_tree.unflatten(outs[solver.n :])) if has_aux else x


class _Solver:
    """The jaxprs of one system: they all take all that is closed over, then a vector."""

    def __init__(self, matvec: Callable[..., Any], b: Any, has_aux: bool) -> None:
        self.has_aux = has_aux
        self.function = matvec
        self.name = f"custom_linear_solve: {describe_function(matvec)}"
        self.b, self.treedef = flat_values(b, "the right side")
        self.n = len(self.b)
        self.aux_tree: Any = None
        self.matvec, self.consts = _stage_vector_function(matvec, b, self.name)

    def bind(
        self,
        solve: Callable[..., Any],
        transpose_solve: Callable[..., Any] | None,
        symmetric: bool,
    ) -> list[Any]:
        vecmat = self.matvec if symmetric else self._transposed()
        forward, forward_consts = self._stage_solve(solve, self.function)
        matvec_consts = self.consts
        backward: ClosedJaxpr | None = None
        backward_consts: list[Any] = []
        if transpose_solve is not None:
            backward, backward_consts = self._backward(transpose_solve, vecmat, symmetric)
        n = len(matvec_consts), len(forward_consts), len(backward_consts)
        consts = [*matvec_consts, *forward_consts, *backward_consts]

        def widened(jaxpr: ClosedJaxpr, before: int, own: int) -> ClosedJaxpr:
            first = with_unused_inputs(jaxpr, 0, consts[:before])
            return with_unused_inputs(first, before + own, consts[before + own :])

        matvec = widened(self.matvec, 0, n[0])
        outs: list[Any] = linear_solve_p.bind(
            *consts,
            *self.b,
            jaxpr=widened(forward, n[0], n[1]),
            matvec=matvec,
            vecmat=matvec if symmetric else widened(vecmat, 0, n[0]),
            transpose_solve=None if backward is None else widened(backward, n[0] + n[1], n[2]),
            num_consts=len(consts),
            num_x=self.n,
            name=self.name,
        )
        return outs

    def _transposed(self) -> ClosedJaxpr:
        """Return the transpose of the matrix as a jaxpr of the same operands."""
        n_consts = len(self.consts)
        linear = (False,) * n_consts + (True,) * self.n
        every = (True,) * self.n
        return transpose_jaxpr(self.matvec, linear, every, every)[0]

    def _backward(
        self, transpose_solve: Callable[..., Any], vecmat: ClosedJaxpr, symmetric: bool
    ) -> tuple[ClosedJaxpr, list[Any]]:
        consts = self.consts

        def transposed(x: Any) -> Any:
            return self.treedef.unflatten(
                eval_jaxpr(vecmat.jaxpr, vecmat.consts, *consts, *tree.leaves(x))
            )

        return self._stage_solve(transpose_solve, self.function if symmetric else transposed)

    def _stage_solve(
        self, solve: Callable[..., Any], matvec: Callable[..., Any]
    ) -> tuple[ClosedJaxpr, list[Any]]:
        def flat_solve(*leaves: Any) -> list[Any]:
            found = solve(matvec, self.treedef.unflatten(leaves))
            x, aux = found if self.has_aux else (found, ())
            outs, out_tree = flat_values(x, f"the solution of {self.name}")
            if out_tree != self.treedef:
                raise StructureError(
                    compose(
                        f"{self.name}: solve returned a value of structure {out_tree}.",
                        f"the right side has the structure {self.treedef}.",
                    )
                )
            more, self.aux_tree = flat_values(aux, f"auxiliary data of {self.name}")
            return [*outs, *more]

        return stage_open(flat_solve, [typeof(v).strong() for v in self.b], self.name)


linear_solve_p = Primitive("linear_solve", multiple_results=True)


@linear_solve_p.def_impl
def _solve_impl(*args: Any, jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    return eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, *args)


@linear_solve_p.def_abstract_eval
def _solve_type(*avals: ShapedArray, jaxpr: ClosedJaxpr, **params: Any) -> list[ShapedArray]:
    return [a.strong() for a in jaxpr.out_avals]


@linear_solve_p.def_jvp
def _solve_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    matvec: ClosedJaxpr,
    num_consts: int,
    num_x: int,
    **params: Any,
) -> tuple[list[Any], list[Any]]:
    params = {"matvec": matvec, "num_consts": num_consts, "num_x": num_x, **params}
    outs = linear_solve_p.bind(*primals, **params)
    consts, x = primals[:num_consts], outs[:num_x]
    _, shifts = jvp_flat(
        lambda *cs: eval_jaxpr(matvec.jaxpr, matvec.consts, *cs, *x), consts, tangents[:num_consts]
    )
    right = [_difference(t, s) for t, s in zip(tangents[num_consts:], shifts)]
    still = [None] * (len(outs) - num_x)
    if all(r is None for r in right):
        return outs, [None] * num_x + still
    filled = [zero_tangent(typeof(v)) if r is None else r for r, v in zip(right, x)]
    return outs, linear_solve_p.bind(*consts, *filled, **params)[:num_x] + still


def _difference(a: Any, b: Any) -> Any:
    if b is None:
        return a
    return neg(b) if a is None else sub(a, b)


@linear_solve_p.def_transpose
def _solve_transpose(
    ct: list[Any],
    *args: Any,
    jaxpr: ClosedJaxpr,
    matvec: ClosedJaxpr,
    vecmat: ClosedJaxpr,
    transpose_solve: ClosedJaxpr | None,
    num_consts: int,
    num_x: int,
    name: str,
) -> list[Any]:
    if transpose_solve is None:
        raise MissingRuleError(
            compose(
                f"reverse mode of {name}.",
                "it solves with the transposed matrix, and no transpose_solve was given.",
                "transpose_solve=..., or symmetric=True if the matrix is its own transpose.",
            )
        )
    if any(is_linear(a) for a in args[:num_consts]):
        raise MissingRuleError(f"{name} is linear in its right side, not in its matrix.")
    avals = matvec.out_avals
    given = [zero_tangent(a) if c is None else c for c, a in zip(ct, avals)]
    pulled: list[Any] = linear_solve_p.bind(
        *args[:num_consts],
        *given,
        jaxpr=transpose_solve,
        matvec=vecmat,
        vecmat=matvec,
        transpose_solve=jaxpr,
        num_consts=num_consts,
        num_x=num_x,
        name=name,
    )
    return [None] * num_consts + pulled[:num_x]


@linear_solve_p.def_batching
def _solve_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    num_consts: int,
    num_x: int,
    name: str,
    **jaxprs: ClosedJaxpr | None,
) -> tuple[list[Any], list[int]]:
    b = [materialize(size, a, d) for a, d in zip(args[num_consts:], dims[num_consts:])]
    in_dims = (*dims[:num_consts], *(0 for _ in b))
    batched = {
        key: jaxpr and batch_jaxpr(jaxpr, size, in_dims, (True,) * len(jaxpr.out_avals))[0]
        for key, jaxpr in jaxprs.items()
    }
    outs = linear_solve_p.bind(
        *args[:num_consts], *b, num_consts=num_consts, num_x=num_x, name=name, **batched
    )
    return outs, [0] * len(outs)


linear_solve_p.def_lowering(Nested("jaxpr"))
