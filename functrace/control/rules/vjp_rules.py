"""The rules of custom_vjp, flat: traced ahead, batched, and the one equation they leave behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from functrace.control.rules.custom_rules import zero_tangent
from functrace.core.aval import ShapedArray, typeof
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.core.lowering import Host
from functrace.core.trace import Primitive
from functrace.dtypes import is_inexact
from functrace.errors import MissingRuleError, compose
from functrace.interpreters.batching import batch_flat, materialize
from functrace.ops.broadcasting import reduce_sum

__all__ = [
    "BatchedRules",
    "Forward",
    "Pull",
    "Rules",
    "StagedRules",
    "bind_pullback",
    "forward_mode_error",
    "pullback_p",
]

Pull = Callable[[Sequence[Any], Sequence[Any]], list[Any]]
"""``(residuals, cotangents of the outputs that move) -> a cotangent for each leaf``.

None is zero in both.
"""


class Forward(NamedTuple):
    """What a forward rule gives: outputs, residuals, and how cotangents are pulled back."""

    outs: list[Any]
    residuals: list[Any]
    pull: Pull


Rules = Callable[[Sequence[Any], Sequence[Any], Sequence[bool]], Forward]
"""``(consts, primals, which primals move) -> Forward``, flat."""


class StagedRules:
    """Rules that were traced; what the backward one closes over goes with the residuals."""

    def __init__(
        self,
        fwd: ClosedJaxpr,
        bwd: ClosedJaxpr,
        n_outs: int,
        skip: int,
        n_fwd_consts: int,
        found: list[bool],
    ) -> None:
        self.fwd, self.bwd, self.n_outs = fwd, bwd, n_outs
        self.skip, self.split, self.found = skip, skip + n_fwd_consts, found

    def __repr__(self) -> str:
        return "traced"

    def __call__(
        self, consts: Sequence[Any], primals: Sequence[Any], moves: Sequence[bool]
    ) -> Forward:
        fwd_consts = consts[self.skip : self.split]
        results = eval_jaxpr(self.fwd.jaxpr, (), *fwd_consts, *primals)
        residuals = [*consts[self.split :], *results[self.n_outs :]]
        return Forward(results[: self.n_outs], residuals, self._pull)

    def _pull(self, residuals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        avals = self.bwd.in_avals[len(residuals) :]
        given = [zero_tangent(a) if c is None else c for c, a in zip(cotangents, avals)]
        pulled = iter(eval_jaxpr(self.bwd.jaxpr, (), *residuals, *given))
        return [next(pulled) if moves else None for moves in self.found]


class BatchedRules:
    """Rules for all lanes at once; outputs have the lanes first."""

    def __init__(self, rules: Rules, size: int, dims: Sequence[int | None]) -> None:
        self.rules, self.size, self.dims = rules, size, tuple(dims)

    def __repr__(self) -> str:
        return "batched"

    def __call__(
        self, consts: Sequence[Any], primals: Sequence[Any], moves: Sequence[bool]
    ) -> Forward:
        n, size = len(consts), self.size
        made: list[Forward] = []

        def flat_fwd(*args: Any) -> list[Any]:
            made.append(self.rules(args[:n], args[n:], moves))
            return [*made[-1].outs, *made[-1].residuals]

        results, dims = batch_flat(flat_fwd, size, [*consts, *primals], self.dims)
        n_outs, lane_pull = len(made[-1].outs), made[-1].pull
        residual_dims = dims[n_outs:]
        arg_dims = self.dims[n:]

        def pull(residuals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
            found: list[bool] = []
            nonzero = [ct for ct in cotangents if ct is not None]

            def flat_bwd(*args: Any) -> list[Any]:
                cut = len(residuals)
                given = iter(args[cut:])
                cts = [None if ct is None else next(given) for ct in cotangents]
                pulled = lane_pull(args[:cut], cts)
                found[:] = [ct is not None for ct in pulled]
                return [ct for ct in pulled if ct is not None]

            given_dims = [*residual_dims, *(0 for _ in nonzero)]
            cts, ct_dims = batch_flat(flat_bwd, size, [*residuals, *nonzero], given_dims)
            pulled = iter(zip(cts, ct_dims))
            return [
                _of_all_lanes(size, *next(pulled), dim) if moves else None
                for moves, dim in zip(found, arg_dims)
            ]

        outs = [materialize(size, o, d) for o, d in zip(results[:n_outs], dims)]
        return Forward(outs, results[n_outs:], pull)


def _of_all_lanes(size: int, ct: Any, ct_dim: int | None, dim: int | None) -> Any:
    """Return the cotangent of an operand with its lanes along ``dim``; the sum if it is shared."""
    if dim is not None:
        return materialize(size, ct, ct_dim, dim)
    return reduce_sum(materialize(size, ct, ct_dim), (0,))


# --- the recorded derivative -------------------------------------------------------------------

pullback_p = Primitive("custom_vjp_pullback", multiple_results=True)


def bind_pullback(forward: Forward, tangents: Sequence[Any], name: str) -> list[Any]:
    """Record the derivative of a call; return a tangent or None for each output."""
    moving = tuple(i for i, t in enumerate(tangents) if t is not None)
    inexact = [is_inexact(typeof(o).dtype) for o in forward.outs]
    out_avals = tuple(typeof(o).strong() for o, moves in zip(forward.outs, inexact) if moves)
    moved = iter(
        pullback_p.bind(
            *forward.residuals,
            *(tangents[i] for i in moving),
            pull=forward.pull,
            num_residuals=len(forward.residuals),
            moving=moving,
            out_avals=out_avals,
            name=name,
        )
    )
    return [next(moved) if moves else None for moves in inexact]


def forward_mode_error(name: str) -> MissingRuleError:
    """Return the error for a forward-mode derivative of a custom_vjp function."""
    return MissingRuleError(
        compose(
            f"forward mode (jvp, jacfwd, hessian, linearize) of custom_vjp {name}.",
            "its rules tell how to go backward only.",
            "grad, vjp or jacrev; or write the rule as a custom_jvp, which serves both modes.",
        )
    )


@pullback_p.def_impl
def _pullback_impl(*args: Any, name: str, **params: Any) -> NoReturn:
    raise forward_mode_error(name)


@pullback_p.def_abstract_eval
def _pullback_type(
    *avals: ShapedArray, out_avals: tuple[ShapedArray, ...], **params: Any
) -> list[ShapedArray]:
    return list(out_avals)


@pullback_p.def_jvp
def _pullback_jvp(primals: Any, tangents: Any, *, name: str, **params: Any) -> NoReturn:
    raise forward_mode_error(name)


@pullback_p.def_batching
def _pullback_batching(size: int, args: Any, dims: Any, *, name: str, **params: Any) -> NoReturn:
    raise forward_mode_error(name)


@pullback_p.def_transpose
def _pullback_transpose(
    ct: list[Any],
    *args: Any,
    pull: Pull,
    num_residuals: int,
    moving: tuple[int, ...],
    out_avals: tuple[ShapedArray, ...],
    name: str,
) -> list[Any]:
    pulled = pull(args[:num_residuals], ct)
    return [None] * num_residuals + [pulled[i] for i in moving]


pullback_p.def_lowering(Host("it is transposed, never run"))
