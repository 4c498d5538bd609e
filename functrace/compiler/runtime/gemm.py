"""Matrix products by kernels of our own, where those are faster than the library's.

They win on CPUs with 512-bit vectors for products of up to 2,000**3: no call to prepare, little
to pack, and all threads share one packed copy. Larger ones are the library's (`blas`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from functrace.compiler import cpu
from functrace.compiler.runtime.blas import Operand
from functrace.compiler.runtime.gemm_ir import PANEL, ROWS, pack_text, product_text
from functrace.compiler.runtime.steps import KernelCode, Step
from functrace.compiler.runtime.wide_ir import LANES

__all__ = ["OwnProduct", "own_product"]

_LETTERS = {"float32": "s", "float64": "d"}
#: Multiplications of one product. Below, the library is as fast, and its call compiles sooner.
_LEAST, _MOST = 3 << 17, 1 << 33
#: Of products of more than so many, longer sides than this leave too little in the caches.
_MANY, _LONGEST = 1 << 30, 1 << 11
#: Rows and columns that would leave most of a tile empty.
_FEWEST_ROWS = 4
#: k is cut into blocks of at most so many: a panel and the rows it meets stay in the caches.
_DEPTH = 384
#: What has more bytes is packed: second operands in memory's order if enough rows make use of it,
#: first operands stored transposed if enough columns do.
_PACKED_BYTES, _PACKED_ROWS = 5 << 17, 128
#: To share the packing of second operands of more bytes takes many rows to gain by it.
_LARGE_BYTES, _LARGE_ROWS = 1 << 22, 512
_TURNED_BYTES, _TURNED_COLUMNS = 1 << 17, 128
#: What is packed at once: block after block of k, if all takes more memory than this, and of each
#: so many columns, if a block does; and the most of all.
_ROUND_BYTES, _WIDE, _MOST_BYTES = 1 << 22, 512, 1 << 24
#: Products from this many multiplications on are split into tasks of about a quarter of it.
_SPLIT, _TASK, _MOST_TASKS = 1 << 23, 1 << 21, 16
#: A thread packs at least so many elements at once.
_PACK = 1 << 16


class Packing(NamedTuple):
    """Matrices that are copied panel by panel: ``lines`` along k of ``extent`` elements each.

    ``turned`` says that k runs along memory's lines.
    """

    letter: str
    copies: int
    lines: int
    extent: int
    depth: int
    turned: bool

    @property
    def width(self) -> int:
        """The elements of a line: those of whole panels."""
        return _multiple(self.extent, PANEL[self.letter])

    @property
    def size(self) -> int:
        """How many elements the copies have."""
        return self.copies * self.lines * self.width

    @property
    def stride(self) -> int:
        """From a copy to the next."""
        return self.lines * self.width if self.copies > 1 else 0

    def step(self, source: Operand, space: int, eqn: object) -> Step:
        """Return the step that packs ``source`` into a slot."""
        panels = self.width // PANEL[self.letter]
        record = (
            *(source.slot, source.offset, source.batch_stride, source.stride),
            *(space, self.stride, self.extent, self.lines, self.depth, self.width, panels),
        )
        grain = -(-_PACK // (self.lines * PANEL[self.letter]))
        label = f"pack {self.lines}x{self.extent}"
        kernel = _packing(self.letter, self.turned)
        return Step(kernel, record, self.copies * panels, grain, eqn, label)


class OwnProduct(NamedTuple):
    """What is known of a product before its arrays have places.

    Attributes:
        letter: ``s`` or ``d``.
        sizes: m, n, k.
        batch: how many.
        depth: the size of the blocks of k.
        span: how many lines of k are done before the next are packed; whole blocks.
        wide: how many columns of the second operand are packed at once; whole panels.
        first, second: how the operands are packed, if they are.
    """

    letter: str
    sizes: tuple[int, int, int]
    batch: int
    depth: int
    span: int
    wide: int
    first: Packing | None
    second: Packing | None

    @property
    def scratch(self) -> list[int]:
        """The elements of the temporaries."""
        return [packing.size for packing in (self.first, self.second) if packing]

    def steps(
        self, a: Operand, b: Operand, c: Operand, spaces: Sequence[int], eqn: object
    ) -> list[Step]:
        """Return the steps; ``spaces`` are the slots of the temporaries."""
        _, n, k = self.sizes
        steps: list[Step] = []
        for start in range(0, k, self.span):
            lines = min(self.span, k - start)
            a_part = replace(a, offset=a.offset + start * (a.stride if a.transposed else 1))
            down, along = (1, b.stride) if b.transposed else (b.stride, 1)
            for column in range(0, n, self.wide):
                b_part = replace(b, offset=b.offset + start * down + column * along)
                c_part = replace(c, offset=c.offset + column)
                part = self._part(min(self.wide, n - column), lines)
                steps += part._round(a_part, b_part, c_part, spaces, (start > 0, column > 0), eqn)
        return steps

    def _part(self, columns: int, lines: int) -> OwnProduct:
        """Return the product of some columns by some lines of k."""
        first = self.first and self.first._replace(lines=lines)
        second = self.second and self.second._replace(extent=columns, lines=lines)
        sizes = (self.sizes[0], columns, lines)
        return self._replace(sizes=sizes, first=first, second=second)

    def _round(
        self,
        a: Operand,
        b: Operand,
        c: Operand,
        spaces: Sequence[int],
        more: tuple[bool, bool],
        eqn: object,
    ) -> list[Step]:
        """Return the steps of a part.

        It is added to what is there, and its first operand has been packed, where ``more`` says so.
        """
        (m, n, lines), (add, there) = self.sizes, more
        left, flags, packs = list(spaces), int(add), []
        strides = (1, a.stride) if a.transposed else (a.stride, 1)
        if self.first:
            if not there:
                packs.append(self.first.step(a, left[0], eqn))
            flags |= 4
            strides = (1, PANEL[self.letter])
            a = Operand(left.pop(0), 1, batch_stride=self.first.stride)
        if self.second:
            packs.append(self.second.step(b, left[0], eqn))
            flags |= 2
            b = Operand(left.pop(0), 1, batch_stride=self.second.stride)
        rows, row_tasks, cols, col_tasks = self._tasks()
        record = (
            *(a.slot, a.offset, a.batch_stride, *strides),
            *(b.slot, b.offset, b.batch_stride, b.stride),
            *(c.slot, c.offset, c.batch_stride, max(c.stride, 1)),
            *(m, n, lines, self.depth, rows, row_tasks, cols, col_tasks, flags, self._step(cols)),
            *(self.second.width if self.second else 0, self.first.width if self.first else 0),
        )
        extent = self.batch * row_tasks * col_tasks
        each = max(1, m * n * lines // (row_tasks * col_tasks))
        grain = max(1, _TASK // each) if self.batch * m * n * lines >= _SPLIT else extent
        label = f"{self.letter}gemm {m}x{n}x{lines}"
        return [*packs, Step(_product(self.letter), record, extent, grain, eqn, label)]

    def _step(self, cols: int) -> int:
        """Return the columns of a tile: no whole panels and a sliver, where that can be."""
        if self.second:
            return PANEL[self.letter]
        vectors = -(-cols // LANES[self.letter])
        tiles = -(-cols // PANEL[self.letter])
        return -(-vectors // tiles) * LANES[self.letter]

    def _tasks(self) -> tuple[int, int, int, int]:
        """Return the rows of a task and how many tasks they make; the columns likewise."""
        m, n, k = self.sizes
        wanted = min(m * n * k // _TASK, _MOST_TASKS)
        if self.batch * m * n * k < _SPLIT or wanted < 2:
            return m, 1, n, 1
        # Tasks of many rows read the second operand seldom.
        rows = _multiple(-(-m // min(wanted, _MOST_TASKS // 2)), 4 * ROWS)
        row_tasks = -(-m // rows)
        cols = _multiple(-(-n * row_tasks // wanted), PANEL[self.letter])
        return rows, row_tasks, cols, -(-n // cols)


def own_product(
    dtype: np.dtype[Any], sizes: tuple[int, int, int], batch: int, a: Operand, b: Operand
) -> OwnProduct | None:
    """Return how our kernels do a product, or None where the library should.

    Args:
        dtype: of both operands and the result.
        sizes: m, n, k.
        batch: how many products.
        a, b: the operands; their slots don't matter.
    """
    letter = _LETTERS.get(dtype.name)
    m, n, k = sizes
    if letter is None or batch < 1 or not _LEAST <= m * n * k <= _MOST or not cpu.wide_vectors():
        return None
    if m < _FEWEST_ROWS or 2 * n <= LANES[letter] or (m * n * k > _MANY and max(sizes) > _LONGEST):
        return None
    depth = _multiple(-(-k // -(-k // _DEPTH)), ROWS)
    first = second = None
    if a.transposed and m * k * dtype.itemsize > _TURNED_BYTES and n >= _TURNED_COLUMNS:
        first = Packing(letter, batch if a.batch_stride else 1, k, m, depth, False)
    nbytes = k * n * dtype.itemsize
    if nbytes > _LARGE_BYTES and m < _LARGE_ROWS:
        return None
    if b.transposed or (nbytes > _PACKED_BYTES and m >= _PACKED_ROWS):
        second = Packing(letter, batch if b.batch_stride else 1, k, n, depth, b.transposed)
    product = OwnProduct(letter, sizes, batch, depth, k, n, first, second)
    if sum(product.scratch) * dtype.itemsize > _ROUND_BYTES:
        first, second = (x and x._replace(lines=min(depth, k)) for x in (first, second))
        product = product._replace(span=depth, first=first, second=second)
        if second and batch == 1 and sum(product.scratch) * dtype.itemsize > _ROUND_BYTES:
            wide = _multiple(-(-n // -(-n // _WIDE)), PANEL[letter])
            second = second._replace(extent=min(wide, n))
            product = product._replace(wide=wide, second=second)
    return product if sum(product.scratch) * dtype.itemsize <= _MOST_BYTES else None


def _multiple(n: int, of: int) -> int:
    return -(-n // of) * of


@lru_cache(maxsize=2)
def _product(letter: str) -> KernelCode:
    return KernelCode(product_text(letter))


@lru_cache(maxsize=4)
def _packing(letter: str, turned: bool) -> KernelCode:
    return KernelCode(pack_text(letter, turned))
