"""Resolves views: a simplified jaxpr becomes operations whose operands are strided reads.

A view primitive makes no operation. Where strides can't express one, its operand is copied first.
Every output ends in an array of its own, or is marked to be copied from another's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from functrace.compiler.inner import BodyPart, Slice, inner_operands
from functrace.compiler.plan import (
    Array,
    ArrayProgram,
    Body,
    Number,
    OneKernel,
    Op,
    Operand,
    Output,
    Read,
    Update,
    contiguous_strides,
)
from functrace.compiler.planning.products import (
    Axes,
    Product,
    batched_matrices,
    canonical_order,
    product_space,
)
from functrace.compiler.planning.schedule import STATIC_EXTENT
from functrace.compiler.rewriting.structured import holds_jaxprs
from functrace.compiler.sequential.fits import fits_one_kernel
from functrace.core.aval import Shape
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from functrace.core.lowering import (
    Barrier,
    Elementwise,
    Host,
    Indexed,
    Library,
    Lowering,
    Nest,
    Reduction,
    Routines,
    Scan,
    View,
)
from functrace.errors import MissingRuleError, compose

__all__ = ["resolve_views"]

#: Arrays from this size on are updated in place where that is possible.
_LARGE = 4096
#: Rows of up to so many elements share an array with others.
_SHORT_ROW = 16

_COPY = Elementwise(lambda b, x: x)


def _product_of(zero: Callable[[np.dtype[Any]], Any]) -> Reduction:
    """Return the fold that is a matrix product, which starts with ``zero(dtype)``."""
    return Reduction(
        lambda b, acc, x, **params: b.add(acc, x),
        lambda dtype, **params: zero(dtype),
        lambda b, x, y: b.mul(x, y),
    )


#: -0 is the exact neutral number: adding to it costs nothing, and most products here are short.
_PRODUCT = _product_of(lambda dtype: -dtype.type(0) if dtype.kind in "fc" else dtype.type(0))
_EMPTY_PRODUCT = _product_of(lambda dtype: dtype.type(0))


def resolve_views(
    closed: ClosedJaxpr, as_steps: Collection[JaxprEqn] = frozenset()
) -> ArrayProgram:
    """Return the operations of a simplified jaxpr.

    Args:
        closed: the jaxpr.
        as_steps: loops that can't be one kernel, however small their values are.
    """
    return _Resolver(_Shared(as_steps)).run(closed)


class _Shared:
    """What the resolvers of a program and of the bodies in it have in common."""

    def __init__(self, as_steps: Collection[JaxprEqn]) -> None:
        self.as_steps = as_steps
        self.count = 0
        self.constants: list[Array] = []
        self.known_constants: dict[tuple[str, bytes], Array] = {}


class _Resolver:
    """Resolves one jaxpr: the program's, or a body's, which may become part of one kernel."""

    def __init__(self, shared: _Shared, in_kernel: bool = False) -> None:
        self.shared = shared
        self.in_kernel = in_kernel
        self.constants = shared.constants
        self.known_constants = shared.known_constants
        self.env: dict[Var, Operand] = {}
        self.ops: list[Op] = []
        self.barriers: set[int] = set()

    def run(self, closed: ClosedJaxpr) -> ArrayProgram:
        jaxpr = closed.jaxpr
        for var, value in zip(jaxpr.constvars, closed.consts):
            self.env[var] = self.constant(np.asarray(value)).read()
        self.only_rows = _read_as_rows(jaxpr)
        inputs = []
        for var in jaxpr.invars:
            if var in self.env:
                continue
            array = self.array(var.aval.shape, var.aval.dtype, "input")
            inputs.append(array)
            self.env[var] = array.read()
        for eqn in jaxpr.eqns:
            self.equation(eqn)
        outputs = self.outputs(jaxpr.outvars)
        return ArrayProgram(inputs, self.constants, self.ops, outputs, frozenset(self.barriers))

    def array(self, shape: Shape, dtype: np.dtype[Any], kind: str) -> Array:
        self.shared.count += 1
        return Array(self.shared.count - 1, shape, dtype, kind)

    def constant(self, value: np.ndarray[Any, Any]) -> Array:
        array = self.array(value.shape, value.dtype, "constant")
        array.value = np.ascontiguousarray(value).reshape(value.shape)
        self.constants.append(array)
        return array

    def operand(self, atom: Atom) -> Operand:
        if isinstance(atom, Literal):
            value: Any = np.asarray(atom.val).astype(atom.aval.dtype)[()]
            return Number(value, ())
        return self.env[atom]

    def equation(self, eqn: JaxprEqn) -> None:
        lowering = eqn.primitive.lowering
        operands = [self.operand(a) for a in eqn.invars]
        if isinstance(lowering, View):
            self.env[eqn.outvars[0]] = self.view(lowering, operands[0], eqn)
            return
        if isinstance(lowering, Barrier):
            self.barriers.add(len(self.ops))
            self.env.update(zip(eqn.outvars, operands))
            return
        if lowering is None:
            raise MissingRuleError(
                compose(
                    f"the primitive {eqn.primitive.name!r} can't be compiled.",
                    "it has no lowering rule.",
                    f"define it with {eqn.primitive.name}_p.def_lowering, or run without jit.",
                )
            )
        if holds_jaxprs(eqn.primitive):
            self.structure(eqn, operands)
            return
        if isinstance(lowering, Library):
            avals = [a.aval for a in eqn.invars]
            if lowering.rule(avals, **eqn.params) is None:
                lowering = lowering.otherwise
            elif self.in_kernel:
                self.product(lowering, operands, eqn)
                return
        if isinstance(lowering, (Indexed, Nest)) and self.updates(lowering, eqn):
            lowering = Update(lowering.update)  # type: ignore[arg-type]
            operands[1:] = [self.in_memory(x) for x in operands[1:]]
        if isinstance(lowering, (Nest, Library, Routines, Host)):
            operands = [self.in_memory(x) for x in operands]
        if isinstance(lowering, Nest) and lowering.rows:
            operands = [self.in_rows(x) for x in operands]
        if isinstance(lowering, (Host, Routines)):
            operands = [self.as_it_is(x) for x in operands]
        if isinstance(lowering, Library):
            product = Product.of(lowering, [a.aval for a in eqn.invars], eqn.params)
            operands = [
                self.matrix(x, axes) for x, axes in zip(operands, (product.lhs, product.rhs))
            ]
        outs = self.add(eqn.primitive.name, lowering, operands, eqn)
        for var, out in zip(eqn.outvars, outs):
            self.env[var] = out.read()

    def updates(self, lowering: Indexed | Nest, eqn: JaxprEqn) -> bool:
        """Whether an operation is to write over its first operand, or a copy of it."""
        out = eqn.outvars[0].aval
        size = math.prod(out.shape)
        large = size > STATIC_EXTENT if self.in_kernel else size * out.dtype.itemsize >= _LARGE
        return lowering.update is not None and large

    # --- loops and branches ---

    def structure(self, eqn: JaxprEqn, operands: list[Operand]) -> None:
        """Add a loop or branch. Its bodies read what never changes from where that is."""
        fits = eqn not in self.shared.as_steps and fits_one_kernel(eqn)
        in_kernel = self.in_kernel or fits
        parts = inner_operands(eqn.primitive.lowering, eqn.params, operands)
        bodies = tuple(self.body(part, in_kernel) for part in parts.bodies)
        moving = parts.moving if in_kernel else self.for_steps(eqn, parts.moving)
        around = dict.fromkeys(a for body in bodies for a in _read_around(body.program))
        reads: list[Operand] = [*moving, *(a.read() for a in around)]
        kind = OneKernel() if in_kernel else eqn.primitive.lowering
        op = Op(len(self.ops), eqn.primitive.name, kind, reads, [], eqn.params, eqn, bodies)
        self.ops.append(op)
        self.results(op, eqn)

    def for_steps(self, eqn: JaxprEqn, moving: Sequence[Operand]) -> tuple[Operand, ...]:
        """Return operands as steps can take them: in memory; carries and indices as they are."""
        rows = len(moving)
        if isinstance(eqn.primitive.lowering, Scan):
            rows = eqn.params["num_carry"]
        return (*map(self.as_it_is, moving[:rows]), *map(self.in_memory, moving[rows:]))

    def as_it_is(self, operand: Operand) -> Read:
        """Return an operand as a whole array."""
        read = self.in_memory(operand)
        assert isinstance(read, Read)
        return read if read.whole else self.copy(read).read()

    def in_rows(self, operand: Operand) -> Read:
        """Return an operand whose last axis is contiguous."""
        read = self.in_memory(operand)
        assert isinstance(read, Read)
        apart = bool(read.shape) and read.shape[-1] > 1 and read.strides[-1] != 1
        return self.copy(read).read() if apart else read

    def results(self, op: Op, eqn: JaxprEqn) -> None:
        """Make the results of a loop or branch; rows that belong together are side by side."""
        count = len(eqn.outvars)
        if isinstance(eqn.primitive.lowering, Scan):
            count = eqn.params["num_carry"]
        reads = [self.array(v.aval.shape, v.aval.dtype, "temporary").read() for v in eqn.outvars]
        for together in self.packed(eqn.outvars[count:]):
            rows = [(count + k, math.prod(reads[count + k].shape[1:])) for k in together]
            first = reads[rows[0][0]]
            width, at = sum(size for _, size in rows), 0
            whole = self.array((first.shape[0], width), first.dtype, "temporary")
            for k, size in rows:
                strides = (width, *contiguous_strides(reads[k].shape[1:]))
                reads[k] = Read(whole, reads[k].shape, strides, at)
                at += size
        op.outs = list(dict.fromkeys(read.array for read in reads))
        op.stacks = tuple(reads[count:])
        self.env.update(zip(eqn.outvars, reads))

    def packed(self, stacks: Sequence[Var]) -> list[list[int]]:
        """Return which stacks of short rows, read by loops only, share one array."""
        alike: dict[Any, list[int]] = {}
        for k, var in enumerate(stacks):
            size = math.prod(var.aval.shape[1:])
            if var in self.only_rows and 0 < size <= _SHORT_ROW:
                alike.setdefault(var.aval.dtype, []).append(k)
        return [group for group in alike.values() if len(group) > 1]

    def body(self, part: BodyPart, in_kernel: bool) -> Body:
        """Resolve a body: its constants are operands here, its slices reads of rows."""
        inner = _Resolver(self.shared, in_kernel)
        inputs = []
        for var, operand in zip(part.closed.jaxpr.invars, part.inputs, strict=True):
            if isinstance(operand, Slice):
                inner.env[var] = row = self.row(var, operand.of)
                inputs += [row.array] if isinstance(row, Read) else []
            elif operand is not None:
                inner.env[var] = operand
            else:
                array = self.array(var.aval.shape, var.aval.dtype, "input")
                inputs.append(array)
                inner.env[var] = array.read()
        program = inner.run(part.closed)
        program.inputs = inputs
        return Body(program)

    def row(self, var: Var, stack: Operand) -> Operand:
        """Return what one slice of an operand is: a read of an array whose place moves."""
        if isinstance(stack, Number):
            return Number(stack.value, var.aval.shape)
        array = self.array(var.aval.shape, var.aval.dtype, "input")
        return Read(array, array.shape, stack.strides[1:], 0)

    def product(self, lowering: Library, operands: list[Operand], eqn: JaxprEqn) -> None:
        """Add a matrix product as a fold, which a kernel can have inside."""
        avals = [a.aval for a in eqn.invars]
        product = Product.of(lowering, avals, eqn.params)
        x, y = (self.in_memory(x) for x in operands)
        assert isinstance(x, Read)
        assert isinstance(y, Read)
        shape, folded = product_space(product, x, y)
        (out,) = eqn.outvars
        total = self.array(out.aval.shape, out.aval.dtype, "temporary")
        params = {"axes": tuple(range(out.aval.ndim, len(shape)))}
        rule = _PRODUCT if math.prod(shape) else _EMPTY_PRODUCT
        self.ops.append(
            Op(len(self.ops), eqn.primitive.name, rule, list(folded), [total], params, eqn)
        )
        self.env[out] = total.read()

    def add(
        self, name: str, lowering: Lowering | Update, operands: list[Operand], eqn: JaxprEqn
    ) -> list[Array]:
        outs = [self.array(v.aval.shape, v.aval.dtype, "temporary") for v in eqn.outvars]
        params = eqn.params
        if isinstance(lowering, Reduction):
            lowering = _reduction_or_map(lowering, operands[0], outs[0])
        op = Op(len(self.ops), name, lowering, operands, outs, params, eqn)
        self.ops.append(op)
        return outs

    def copy(self, operand: Operand) -> Array:
        """Add the operation that writes an operand to an array of its own."""
        out = self.array(operand.shape, operand.dtype, "temporary")
        self.ops.append(Op(len(self.ops), "copy", _COPY, [operand], [out], {}))
        return out

    def in_memory(self, operand: Operand) -> Operand:
        """Return an operand that has an address."""
        if isinstance(operand, Read):
            return operand
        if operand.shape:
            return self.copy(operand).read()
        return self.scalar(operand).read()

    def matrix(self, operand: Operand, axes: tuple[Axes, Axes, Axes]) -> Operand:
        """Return an operand of a matrix product as BLAS can read it."""
        assert isinstance(operand, Read)
        if batched_matrices(operand, axes) is not None:
            return operand
        order = canonical_order(axes)
        shape = tuple(operand.shape[i] for i in order)
        strides = tuple(operand.strides[i] for i in order)
        array = self.copy(Read(operand.array, shape, strides, operand.offset))
        placed = dict(zip(order, array.read().strides))
        back = tuple(placed[i] for i in range(len(order)))
        return Read(array, operand.shape, back, 0)

    def scalar(self, number: Number) -> Array:
        key = (number.dtype.char, number.value.tobytes())
        if key not in self.known_constants:
            self.known_constants[key] = self.constant(np.asarray(number.value))
        return self.known_constants[key]

    def view(self, rule: View, operand: Operand, eqn: JaxprEqn) -> Operand:
        shape = eqn.outvars[0].aval.shape
        if isinstance(operand, Number):
            return Number(operand.value, shape)
        seen = rule.rule(operand.shape, operand.strides, **eqn.params)
        if seen is None:
            operand = self.copy(operand).read()
            seen = rule.rule(operand.shape, operand.strides, **eqn.params)
            assert seen is not None, f"{eqn.primitive} can't see a contiguous operand"
        new_shape, strides, offset = seen
        assert tuple(new_shape) == shape, (eqn.primitive, new_shape, shape)
        return Read(operand.array, shape, tuple(strides), operand.offset + int(offset))

    def outputs(self, atoms: Sequence[Atom]) -> list[Output]:
        made = {a for op in self.ops for a in op.outs}
        return [self.output(self.operand(a), made) for a in atoms]

    def output(self, operand: Operand, made: set[Array]) -> Output:
        shape = operand.shape
        if isinstance(operand, Number):
            if not shape:
                return Output(self.scalar(operand), (), True)
            array = self.copy(operand)
            made.add(array)
        elif not operand.whole:
            array = self.copy(operand)
            made.add(array)
        else:
            array = operand.array
        # What is made around a body isn't the body's.
        if array.kind != "temporary" or array not in made:
            return Output(array, shape, True)
        array.kind = "output"
        return Output(array, shape, False)


def _read_as_rows(jaxpr: Jaxpr) -> set[Var]:
    """Return the variables that nothing reads but loops, row by row."""
    rows: set[Var] = set()
    others = {a for a in jaxpr.outvars if isinstance(a, Var)}
    for eqn in jaxpr.eqns:
        first = len(eqn.invars)
        if isinstance(eqn.primitive.lowering, Scan):
            first = eqn.params["num_consts"] + eqn.params["num_carry"]
        others.update(a for a in eqn.invars[:first] if isinstance(a, Var))
        rows.update(a for a in eqn.invars[first:] if isinstance(a, Var))
    return rows - others


def _read_around(program: ArrayProgram) -> list[Array]:
    """Return the arrays that a body reads and doesn't make."""
    own = {*program.inputs, *(a for op in program.ops for a in op.outs)}
    read = [r.array for op in program.ops for r in op.reads]
    read += [o.array for o in program.outputs]
    return [a for a in read if a not in own]


def _reduction_or_map(rule: Reduction, operand: Operand, out: Array) -> Lowering:
    """A reduction over axes of size 1 is an element-wise operation."""
    sizes = [n for n in operand.shape if n != 1]
    return rule if sizes != [n for n in out.shape if n != 1] else _once(rule)


@lru_cache(maxsize=256)
def _once(rule: Reduction) -> Elementwise:
    """Return a fold of one element; the same object each time, for kernels to be known by."""

    def once(b: Any, x: Any, **params: Any) -> Any:
        start = b.const(rule.identity(x.dtype, **params), x.dtype)
        return rule.combine(b, start, x, **params)

    return Elementwise(once)
