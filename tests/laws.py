"""The laws every primitive obeys, each a function that raises ``AssertionError`` when broken.

All take the primitive and one ``Sample``. They know nothing of the primitive but its rules, so a
new primitive is tested the moment it exists. ``test_checkers.py`` shows that each law notices a
rule that is wrong by 0.1%.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from samples import Sample, normal

from functrace.core.aval import ShapedArray, typeof
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.core.trace import Primitive
from functrace.interpreters.batching import batch_flat
from functrace.interpreters.forward import jvp_flat
from functrace.interpreters.linearize import LinearProgram, linearize_flat
from functrace.interpreters.reverse import backward_pass, transpose_jaxpr
from functrace.interpreters.staging import stage

LANES = 3


def function_of(primitive: Primitive, sample: Sample) -> Callable[..., list[Any]]:
    """Return the primitive with the sample's parameters, from flat operands to a flat list."""

    def fun(*args: Any) -> list[Any]:
        out = primitive.bind(*args, **sample.params)
        return list(out) if primitive.multiple_results else [out]

    return fun


def moving_operands(sample: Sample) -> list[int]:
    """Return the numbers of the operands in which derivatives are checked."""
    if sample.diff is False:
        return []
    chosen = range(len(sample.args)) if sample.diff is True else sample.diff
    return [i for i in chosen if np.asarray(sample.args[i]).dtype.kind in "fc"]


# --- comparing ---------------------------------------------------------------------------------


def assert_types(got: Sequence[Any], avals: Sequence[ShapedArray], what: str) -> None:
    """Assert that values are arrays or NumPy scalars of these types."""
    assert len(got) == len(avals), f"{what}: {len(got)} results, not {len(avals)}"
    for value, aval in zip(got, avals):
        assert isinstance(value, (np.ndarray, np.generic)), f"{what}: {type(value)}"
        assert typeof(value).same_type(aval), f"{what}: {typeof(value)}, not {aval}"
        if aval.shape == ():
            assert isinstance(value, np.generic), f"{what}: a 0-d array, not a NumPy scalar"


def assert_same(got: Any, want: Any, what: str) -> None:
    """Assert equal values, NaN being equal to NaN."""
    got, want = np.asarray(got), np.asarray(want)
    assert (got.shape, got.dtype) == (want.shape, want.dtype), f"{what}: {got!r}, not {want!r}"
    np.testing.assert_array_equal(got, want, err_msg=what)


def assert_close(got: Any, want: Any, what: str, rtol: float) -> None:
    """Assert closeness relative to each element, and a bit relative to the largest."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, not {want.shape}"
    if want.dtype.kind not in "fc":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    finite = np.abs(want[np.isfinite(want)])
    atol = rtol * 0.1 * float(finite.max(initial=0.0))
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=what)


def assert_ulp(got: Any, want: Any, ulp: int, what: str) -> None:
    """Assert that floats differ by a few units in the last place; anything else is equal."""
    got, want = np.asarray(got), np.asarray(want)
    assert (got.shape, got.dtype) == (want.shape, want.dtype), f"{what}: {got!r}, not {want!r}"
    if want.dtype.kind not in "fc":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    size = np.abs(want)
    finite = np.isfinite(size)
    np.testing.assert_array_equal(got[~finite], want[~finite], err_msg=what)
    info = np.finfo(size.dtype)
    unit = np.spacing(np.clip(size[finite], info.tiny, info.max / 2))
    off = np.abs(got[finite] - want[finite]) / unit
    worst = float(off.max(initial=0.0))
    assert worst <= ulp, f"{what}: {worst:.1f} ulp off (bound {ulp}): {got!r}, not {want!r}"


def epsilon(values: Sequence[Any]) -> float:
    """Return the largest machine epsilon among the inexact values."""
    kinds = [np.asarray(v).dtype for v in values]
    return max((float(np.finfo(d).eps) for d in kinds if d.kind in "fc"), default=0.0)


# --- the primitive itself ----------------------------------------------------------------------


def law_impl(primitive: Primitive, sample: Sample, reference: Callable[..., Any] | None) -> None:
    """The impl gives what NumPy's function gives, and leaves its operands alone."""
    reference = sample.reference or reference
    assert reference is not None, f"{primitive}: the sample names no reference"
    before = [np.array(a) for a in sample.args]
    with np.errstate(all="ignore"):
        got = function_of(primitive, sample)(*sample.args)
        want = reference(*sample.args, **sample.params)
    wants = list(want) if primitive.multiple_results else [want]
    assert len(got) == len(wants), f"{primitive}: {len(got)} results, not {len(wants)}"
    for g, w in zip(got, wants):
        with np.errstate(all="ignore"):
            w = np.asarray(w).astype(np.asarray(g).dtype)
        assert_close(g, w, f"impl of {primitive}", 16 * epsilon([g]) * sample.tol)
    for a, b in zip(sample.args, before):
        assert_same(a, b, f"an operand of {primitive} afterwards")


def law_type(primitive: Primitive, sample: Sample) -> None:
    """``abstract_eval`` gives the types of the results."""
    with np.errstate(all="ignore"):
        got = function_of(primitive, sample)(*sample.args)
    result = primitive.abstract_eval(*map(typeof, sample.args), **sample.params)
    avals = list(result) if primitive.multiple_results else [result]
    assert_types(got, avals, f"{primitive}")


def law_staging(primitive: Primitive, sample: Sample) -> None:
    """The jaxpr computes what the function does."""
    fun = function_of(primitive, sample)
    closed = stage(fun, [typeof(a) for a in sample.args], primitive.name)
    with np.errstate(all="ignore"):
        got = eval_jaxpr(closed.jaxpr, closed.consts, *sample.args)
        want = fun(*sample.args)
    for g, w in zip(got, want):
        assert_same(g, w, f"the jaxpr of {primitive}")


# --- derivatives -------------------------------------------------------------------------------


def tangents_for(sample: Sample, moving: Sequence[int], seed: int = 1) -> list[Any]:
    """Return random tangents of the moving operands, None for the others."""
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(a) for a in sample.args]
    return [normal(rng, a.dtype, a.shape) if i in moving else None for i, a in enumerate(arrays)]


def law_jvp(primitive: Primitive, sample: Sample) -> None:
    """The tangent is the central difference along it; float64 and complex128 only."""
    moving = moving_operands(sample)
    if not moving or epsilon([sample.args[i] for i in moving]) > 1e-15:
        return
    fun = function_of(primitive, sample)
    tangents = tangents_for(sample, moving)
    with np.errstate(all="ignore"):
        outs, got = jvp_flat(fun, sample.args, tangents)
        low, high = (fun(*_moved(sample.args, tangents, h)) for h in (-STEP, STEP))
    for i, (out, t) in enumerate(zip(outs, got)):
        if np.asarray(out).dtype.kind not in "fc":
            assert t is None, f"{primitive}: a tangent of a result of dtype {out.dtype}"
            continue
        want = (np.asarray(high[i]) - low[i]) / (2 * STEP)
        t = np.zeros_like(out)[()] if t is None else t
        assert_types([t], [typeof(out)], f"the tangent of {primitive}")
        assert_close(t, want, f"the jvp of {primitive}", 2e-6 * sample.tol)


def law_staged_jvp(primitive: Primitive, sample: Sample) -> None:
    """The derivative can be staged: its jaxpr type-checks, keeps the dtype, and agrees."""
    moving = moving_operands(sample)
    if not moving:
        return
    fun = function_of(primitive, sample)
    tangents = tangents_for(sample, moving)
    given = [t for t in tangents if t is not None]

    def pushed(*values: Any) -> list[Any]:
        moved = iter(values[len(tangents) :])
        outs, ts = jvp_flat(
            fun,
            values[: len(tangents)],
            [None if t is None else next(moved) for t in tangents],
        )
        return [*outs, *(t for t in ts if t is not None)]

    values = [*sample.args, *given]
    closed = stage(pushed, [typeof(v) for v in values], f"the jvp of {primitive}")
    with np.errstate(all="ignore"):
        want = pushed(*values)
        got = eval_jaxpr(closed.jaxpr, closed.consts, *values)
    what = f"the staged jvp of {primitive}"
    assert_types(got, [typeof(w) for w in want], what)
    for g, w in zip(got, want):
        assert_close(g, w, what, 64 * epsilon([w]) * sample.tol)


STEP = 2.0**-18


def _moved(args: Sequence[Any], tangents: Sequence[Any], h: complex) -> list[Any]:
    return [a if t is None else (a + h * t) for a, t in zip(args, tangents)]


def law_complex_step(primitive: Primitive, sample: Sample) -> None:
    """The tangent is the imaginary part after a tiny imaginary step; analytic impls only."""
    moving = moving_operands(sample)
    if not moving or any(np.asarray(a).dtype != np.float64 for a in sample.args):
        return
    fun = function_of(primitive, sample)
    tangents = tangents_for(sample, moving)
    with np.errstate(all="ignore"):
        _, got = jvp_flat(fun, sample.args, tangents)
        points = [np.asarray(a) + 0j for a in sample.args]
        want = fun(*_moved(points, tangents, 1e-40j))
    for t, w in zip(got, want):
        what = f"the jvp of {primitive}, by a complex step,"
        assert_close(np.zeros_like(w.imag) if t is None else t, w.imag / 1e-40, what, 1e-10)


def law_adjoint(primitive: Primitive, sample: Sample) -> None:
    """<ct, jvp(t)> = <vjp(ct), t>, for each operand and for all; the two vjps agree."""
    moving = moving_operands(sample)
    choices = [moving] if len(moving) < 2 else [moving, *([i] for i in moving)]
    for chosen in choices:
        if chosen:
            with np.errstate(all="ignore"):
                _check_adjoint(primitive, sample, chosen)


def _check_adjoint(primitive: Primitive, sample: Sample, moving: Sequence[int]) -> None:
    fun = function_of(primitive, sample)
    nonzero = [i in moving for i in range(len(sample.args))]
    tangents = [t for t in tangents_for(sample, moving) if t is not None]
    outs, program = linearize_flat(fun, sample.args, nonzero)
    pushed = program.apply(tangents)
    _, expected = jvp_flat(fun, sample.args, tangents_for(sample, moving))
    eps = epsilon(outs)
    for p, e in zip(pushed, expected):
        assert (p is None) == (e is None), f"{primitive}: linearize and jvp disagree"
        if p is not None:
            assert_close(p, e, f"linearize of {primitive}", 64 * eps * sample.tol)
    rng = np.random.default_rng(2)
    cts = [None if p is None else normal(rng, np.asarray(p).dtype, np.shape(p)) for p in pushed]
    pulled = backward_pass(program, cts)
    avals = [typeof(sample.args[i]) for i in moving]
    for ct, aval in zip(pulled, avals):
        if ct is not None:
            assert typeof(ct).same_type(aval), f"{primitive}: cotangent {typeof(ct)} of {aval}"
    left, size_left = _pairing(cts, pushed)
    right, size_right = _pairing(pulled, tangents)
    bound = 64 * eps * sample.tol * (size_left + size_right)
    assert abs(left - right) <= bound, f"the transpose of {primitive}: {left} is not {right}"
    _check_staged_transpose(primitive, program, cts, pulled, 64 * eps * sample.tol)


def _pairing(cts: Sequence[Any], tangents: Sequence[Any]) -> tuple[float, float]:
    """Return ``Re(sum(ct * t))``, and the sum of the sizes of its terms."""
    total, size = 0.0, 0.0
    for ct, t in zip(cts, tangents):
        if ct is None or t is None:
            continue
        wide = np.asarray(ct, np.complex128) * np.asarray(t, np.complex128)
        total += float(np.sum(wide).real)
        size += float(np.sum(np.abs(wide)))
    return total, size


def _check_staged_transpose(
    primitive: Primitive,
    program: LinearProgram,
    cts: Sequence[Any],
    pulled: Sequence[Any],
    rtol: float,
) -> None:
    """Assert that transposing the linear jaxpr gives what the walk over equations gave."""
    moving = [o for o in program.outputs if o is not None]
    if not moving:
        return
    jaxpr, residuals = program.to_jaxpr(moving)
    closed = ClosedJaxpr(jaxpr, residuals)
    n = len(jaxpr.invars)
    backward, nonzero = transpose_jaxpr(closed, (True,) * n, (True,) * len(moving))
    got = iter(eval_jaxpr(backward.jaxpr, backward.consts, *(c for c in cts if c is not None)))
    for want, nz in zip(pulled, nonzero):
        assert nz == (want is not None), f"{primitive}: the two transposes disagree"
        if nz:
            assert_close(next(got), want, f"the staged transpose of {primitive}", rtol)


def law_not_differentiable(primitive: Primitive, sample: Sample) -> None:
    """A primitive without a derivative gives plain values."""
    moving = moving_operands(sample)
    with np.errstate(all="ignore"):
        fun = function_of(primitive, sample)
        _, tangents = jvp_flat(fun, sample.args, tangents_for(sample, moving))
    assert all(t is None for t in tangents), f"{primitive}: a tangent"


# --- vmap --------------------------------------------------------------------------------------


def law_vmap(primitive: Primitive, sample: Sample) -> None:
    """The batched primitive is a loop over lanes, wherever the axes and with operands unmapped."""
    fun = function_of(primitive, sample)
    with np.errstate(all="ignore"):
        lanes = lanes_of(primitive, sample)
    for dims in mapped_axes([np.ndim(a) for a in sample.args]):
        args = [
            a if d is None else np.stack([lane[i] for lane in lanes], axis=d)
            for i, (a, d) in enumerate(zip(sample.args, dims))
        ]
        per_lane = [
            [a if d is None else lane[i] for i, (a, d) in enumerate(zip(sample.args, dims))]
            for lane in lanes
        ]
        with np.errstate(all="ignore"):
            outs, out_dims = batch_flat(fun, LANES, args, dims)
            loops = [fun(*operands) for operands in per_lane]
        for i, (out, d) in enumerate(zip(outs, out_dims)):
            want = np.stack([loop[i] for loop in loops])
            got = np.broadcast_to(out, want.shape) if d is None else np.moveaxis(out, d, 0)
            assert got.dtype == want.dtype, f"vmap of {primitive}: {got.dtype}"
            what = f"vmap of {primitive} over {dims}"
            assert_close(got, want, what, 32 * epsilon([want]) * sample.tol)


def mapped_axes(ndims: Sequence[int]) -> Iterator[list[int | None]]:
    """Yield which axis of each operand is mapped: all first, all last, each alone, anywhere."""
    if not ndims:
        return
    yield [0] * len(ndims)
    if any(ndims):
        yield list(ndims)
        yield [n if i % 2 else 0 for i, n in enumerate(ndims)]
    if len(ndims) == 1:
        yield from ([d] for d in range(1, ndims[0]))
        return
    for i, n in enumerate(ndims):
        for d in {0, n}:
            yield [d if j == i else None for j in range(len(ndims))]


def lanes_of(primitive: Primitive, sample: Sample) -> list[list[Any]]:
    """Return the operands of each lane: the sample's own, and others of the same types.

    Element-wise operands are shuffled; others are scaled, integers reversed, so that they stay
    what they were (positive, sorted, invertible, within bounds...).
    """
    if sample.lanes is not None:
        return [list(sample.args), *(list(lane) for lane in sample.lanes)][:LANES]
    rng = np.random.default_rng(3)
    lanes = [list(sample.args)]
    for scale in (0.5, 1.25):
        lane = []
        for x in map(np.asarray, sample.args):
            if primitive.elementwise:
                other = rng.permutation(x.ravel()).reshape(x.shape)
            elif x.dtype.kind in "fc":
                other = (x * scale).astype(x.dtype)
            else:
                other = x[::-1].copy() if x.ndim == 1 else x
            lane.append(other[()])
        lanes.append(lane)
    return lanes


# --- jit ---------------------------------------------------------------------------------------


def law_jit(jit: Callable[..., Any], primitive: Primitive, sample: Sample, layouts: bool) -> None:
    """Compiled, it gives the interpreter's result: the same integers, floats within ``ulp``.

    Args:
        jit: ``functrace.jit``.
        primitive: the primitive.
        sample: the operands.
        layouts: whether to try other memory layouts of the same operands too.
    """
    fun = function_of(primitive, sample)
    compiled = jit(fun)
    variants = memory_layouts(sample.args) if layouts else [("as it is", list(sample.args))]
    for name, args in variants:
        with np.errstate(all="ignore"):
            want = fun(*args)
        got = compiled(*args)
        for g, w in zip(got, want):
            assert_ulp(g, w, sample.ulp, f"jit of {primitive}, operands {name},")
            assert not any(np.shares_memory(g, a) for a in args), f"jit of {primitive}: a view"


def memory_layouts(args: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    """Return the same operands in other memory layouts, with the names of these."""
    layouts: dict[str, Callable[[Any], Any]] = {
        "in C order": lambda x: np.array(x, order="C"),
        "in Fortran order": lambda x: np.array(x, order="F"),
        "strided": _strided,
        "reversed": lambda x: np.flip(np.flip(x).copy()),
    }
    if not any(np.ndim(a) for a in args):
        return [("as it is", list(args))]
    made = [(name, [make(a) if np.ndim(a) else a for a in args]) for name, make in layouts.items()]
    first = args[0]
    if len(args) > 1 and all(typeof(a).same_type(typeof(first)) for a in args):
        made.append(("aliased", [first] * len(args)))
    return made


def _strided(x: Any) -> Any:
    wide = np.repeat(x, 2, axis=-1)
    return wide[..., ::2]
