"""Resolves views: a simplified jaxpr becomes operations whose operands are strided reads.

A view primitive makes no operation. Where strides can't express one, its operand is copied first.
Every output ends in an array of its own, or is marked to be copied from another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.compiler.plan import Array, ArrayProgram, Number, Op, Operand, Output, Read
from functrace.compiler.products import Axes, Product, batched_matrices, canonical_order
from functrace.core.aval import Shape
from functrace.core.jaxpr import Atom, ClosedJaxpr, JaxprEqn, Literal, Var
from functrace.core.lowering import (
    Elementwise,
    Host,
    Library,
    Lowering,
    Nest,
    Reduction,
    Routines,
    View,
)
from functrace.errors import MissingRuleError, compose

__all__ = ["resolve_views"]

_COPY = Elementwise(lambda b, x: x)


def resolve_views(closed: ClosedJaxpr) -> ArrayProgram:
    """Return the operations of a simplified jaxpr."""
    return _Resolver(closed).run()


class _Resolver:
    def __init__(self, closed: ClosedJaxpr) -> None:
        self.closed = closed
        self.env: dict[Var, Operand] = {}
        self.ops: list[Op] = []
        self.count = 0
        self.constants: list[Array] = []
        self.known_constants: dict[tuple[str, bytes], Array] = {}

    def run(self) -> ArrayProgram:
        jaxpr = self.closed.jaxpr
        for var, value in zip(jaxpr.constvars, self.closed.consts):
            self.env[var] = self.constant(np.asarray(value)).read()
        inputs = []
        for var in jaxpr.invars:
            array = self.array(var.aval.shape, var.aval.dtype, "input")
            inputs.append(array)
            self.env[var] = array.read()
        for eqn in jaxpr.eqns:
            self.equation(eqn)
        outputs = self.outputs(jaxpr.outvars)
        return ArrayProgram(inputs, self.constants, self.ops, outputs)

    def array(self, shape: Shape, dtype: np.dtype[Any], kind: str) -> Array:
        self.count += 1
        return Array(self.count - 1, shape, dtype, kind)

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
        if lowering is None:
            raise MissingRuleError(
                compose(
                    f"the primitive {eqn.primitive.name!r} can't be compiled.",
                    "it has no lowering rule.",
                    f"define it with {eqn.primitive.name}_p.def_lowering, or run without jit.",
                )
            )
        if isinstance(lowering, Library):
            avals = [a.aval for a in eqn.invars]
            if lowering.rule(avals, **eqn.params) is None:
                lowering = lowering.otherwise
        if isinstance(lowering, (Nest, Library, Routines, Host)):
            operands = [self.in_memory(x) for x in operands]
        if isinstance(lowering, (Host, Routines)):
            operands = [
                x if isinstance(x, Read) and x.whole else self.copy(x).read() for x in operands
            ]
        if isinstance(lowering, Library):
            product = Product.of(lowering, [a.aval for a in eqn.invars], eqn.params)
            operands = [
                self.matrix(x, axes) for x, axes in zip(operands, (product.lhs, product.rhs))
            ]
        outs = self.add(eqn.primitive.name, lowering, operands, eqn)
        for var, out in zip(eqn.outvars, outs):
            self.env[var] = out.read()

    def add(
        self, name: str, lowering: Lowering, operands: list[Operand], eqn: JaxprEqn
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
        taken: set[Array] = set()
        return [self.output(self.operand(a), taken) for a in atoms]

    def output(self, operand: Operand, taken: set[Array]) -> Output:
        shape = operand.shape
        if isinstance(operand, Number):
            if not shape:
                return Output(self.scalar(operand), (), True)
            array = self.copy(operand)
        elif not operand.whole:
            array = self.copy(operand)
        else:
            array = operand.array
        if array.kind != "temporary":
            return Output(array, shape, True)
        array.kind = "output"
        taken.add(array)
        return Output(array, shape, False)


def _reduction_or_map(rule: Reduction, operand: Operand, out: Array) -> Lowering:
    """A reduction over axes of size 1 is an element-wise operation."""
    sizes = [n for n in operand.shape if n != 1]
    if sizes != [n for n in out.shape if n != 1]:
        return rule

    def once(b: Any, x: Any, **params: Any) -> Any:
        start = b.const(rule.identity(x.dtype, **params), x.dtype)
        return rule.combine(b, start, x, **params)

    return Elementwise(once)
