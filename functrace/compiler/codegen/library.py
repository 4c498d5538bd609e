"""Library groups -> steps: matrix products by BLAS or by our own kernels.

Transposes and strides are arguments of either.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.compiler.plan import Group, Memory, Op, Read
from functrace.compiler.planning.products import Axes, Product, batched_matrices
from functrace.compiler.runtime.blas import Operand, matrix_product
from functrace.compiler.runtime.gemm import own_product
from functrace.compiler.runtime.steps import Step
from functrace.core.lowering import Library

__all__ = ["library_scratch", "library_steps", "product_flops", "product_of"]


def product_of(op: Op) -> Product:
    """Return the product that a library operation is."""
    assert isinstance(op.lowering, Library)
    return Product.of(op.lowering, op.avals_in, op.params)


def library_steps(group: Group, memory: Memory) -> list[Step]:
    """Return the steps of a matrix product."""
    (op,) = group.body
    product = product_of(op)
    lhs, rhs = op.reads
    batch, m, n, k = product.sizes(lhs, rhs)
    a = _operand(lhs, product.lhs, True, memory.slots[lhs.array])
    b = _operand(rhs, product.rhs, False, memory.slots[rhs.array])
    c = Operand(memory.slots[op.outs[0]], max(n, 1), batch_stride=m * n)
    own = own_product(op.outs[0].dtype, (m, n, k), batch, a, b)
    if own is not None:
        return own.steps(a, b, c, memory.scratch.get(group.index, []), op)
    step = matrix_product(op.outs[0].dtype, (m, n, k), a, b, c, batch=batch, eqn=op)
    assert step is not None, f"BLAS has no product for {op}"
    return [step]


def library_scratch(op: Op) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return shape and dtype of the temporaries of a matrix product."""
    product, dtype = product_of(op), op.outs[0].dtype
    lhs, rhs = op.reads
    batch, *sizes = product.sizes(lhs, rhs)
    a, b = _operand(lhs, product.lhs, True, 0), _operand(rhs, product.rhs, False, 0)
    own = own_product(dtype, (sizes[0], sizes[1], sizes[2]), batch, a, b)
    return [((n,), dtype) for n in own.scratch] if own is not None else []


def _operand(read: Read, axes: tuple[Axes, Axes, Axes], first: bool, slot: int) -> Operand:
    seen = batched_matrices(read, axes)
    assert seen is not None, "operands that BLAS can't take are copied when views are resolved"
    # The first operand is m by k, kept axis first; the second k by n, contracted axis first.
    transposed = seen.kept_first != first
    return Operand(slot, seen.stride, seen.offset, transposed, seen.batch_stride)


def product_flops(group: Group) -> int:
    """Return the multiplications and additions of a matrix product."""
    (op,) = group.body
    lhs, rhs = op.reads
    batch, m, n, k = product_of(op).sizes(lhs, rhs)
    return 2 * batch * m * n * k
