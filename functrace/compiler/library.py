"""Library groups -> steps: matrix products by BLAS; transposes and strides are its arguments."""

from __future__ import annotations

from functrace.compiler.plan import Group, Memory, Op, Read
from functrace.compiler.products import Axes, Product, batched_matrices
from functrace.compiler.runtime.blas import Operand, matrix_product
from functrace.compiler.runtime.steps import Step
from functrace.core.lowering import Library

__all__ = ["library_step", "product_flops", "product_of"]


def product_of(op: Op) -> Product:
    """Return the product that a library operation is."""
    assert isinstance(op.lowering, Library)
    return Product.of(op.lowering, op.avals_in, op.params)


def library_step(group: Group, memory: Memory) -> Step:
    """Return the step of a library call."""
    (op,) = group.body
    product = product_of(op)
    lhs, rhs = op.reads
    batch, m, n, k = product.sizes(lhs, rhs)
    a = _operand(lhs, product.lhs, True, memory)
    b = _operand(rhs, product.rhs, False, memory)
    c = Operand(memory.slots[op.outs[0]], max(n, 1), batch_stride=m * n)
    step = matrix_product(op.outs[0].dtype, (m, n, k), a, b, c, batch=batch, eqn=op)
    assert step is not None, f"BLAS has no product for {op}"
    return step


def _operand(read: Read, axes: tuple[Axes, Axes, Axes], first: bool, memory: Memory) -> Operand:
    seen = batched_matrices(read, axes)
    assert seen is not None, "operands that BLAS can't take are copied when views are resolved"
    # The first operand is m by k, kept axis first; the second k by n, contracted axis first.
    transposed = seen.kept_first != first
    slot = memory.slots[read.array]
    return Operand(slot, seen.stride, seen.offset, transposed, seen.batch_stride)


def product_flops(group: Group) -> int:
    """Return the multiplications and additions of a matrix product."""
    (op,) = group.body
    lhs, rhs = op.reads
    batch, m, n, k = product_of(op).sizes(lhs, rhs)
    return 2 * batch * m * n * k
