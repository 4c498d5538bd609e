"""einsum: Einstein's summation, one pair of operands at a time in a greedy order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from functrace.core.aval import shape_of
from functrace.errors import ShapeError
from functrace.numpy.dispatching import has_tracer, refuse_out
from functrace.numpy.products import JAX_OPTIONS, contract, product_operands
from functrace.numpy.reductions import fold
from functrace.numpy.taking import diagonal
from functrace.numpy.ufuncs import numpy_function_with
from functrace.ops import structural
from functrace.ops.broadcasting import reduce_sum_p
from functrace.ops.reductions import reduce_or_p

__all__ = ["einsum", "einsum_path"]

Labels = tuple[Hashable, ...]

# --- subscripts --------------------------------------------------------------------------------


def _parse(operands: Sequence[Any]) -> tuple[list[Labels], Labels | None, list[Any]]:
    """Return the labels of each operand, those of the result if given, and the operands."""
    if isinstance(operands[0], str):
        text, xs = operands[0].replace(" ", ""), list(operands[1:])
        given, arrow, out = text.partition("->")
        inputs = [_letters(part) for part in given.split(",")]
        return inputs, _letters(out) if arrow else None, xs
    pairs = len(operands) // 2
    xs = list(operands[: 2 * pairs : 2])
    inputs = [tuple(labels) for labels in operands[1 : 2 * pairs : 2]]
    return inputs, tuple(operands[-1]) if len(operands) % 2 else None, xs


def _letters(part: str) -> Labels:
    before, dots, after = part.partition("...")
    if not (before + after).isalpha() and before + after:
        raise ValueError(f"einstein sum subscripts {part!r} hold something else than letters")
    return (*before, ..., *tuple(after)) if dots else tuple(before)


def _expand(labels: Labels, ndim: int | None, width: int) -> Labels:
    """Replace the ellipsis by labels for its axes, counted from the right."""
    if Ellipsis not in labels:
        if ndim is not None and len(labels) != ndim:
            raise ValueError(
                f"einstein sum subscripts string contains {len(labels)} subscripts for an "
                f"operand of {ndim} dimensions"
            )
        return labels
    here = labels.index(Ellipsis)
    if ndim is not None:
        width = ndim - (len(labels) - 1)
        if width < 0:
            raise ValueError("einstein sum subscripts string contains too many subscripts")
    hidden = tuple(("...", k) for k in range(width, 0, -1))
    return (*labels[:here], *hidden, *labels[here + 1 :])


def _subscripts(
    inputs: Sequence[Labels], output: Labels | None, xs: Sequence[Any]
) -> tuple[list[Labels], Labels]:
    if len(inputs) != len(xs):
        raise ValueError(
            f"einsum was given {len(inputs)} subscripts and {len(xs)} operands: "
            "one for each is wanted"
        )
    shapes = [shape_of(x) for x in xs]
    widths = [len(s) - len(i) + 1 for i, s in zip(inputs, shapes) if Ellipsis in i]
    width = max(widths, default=0)
    expanded = [_expand(i, len(s), 0) for i, s in zip(inputs, shapes)]
    if output is not None:
        return expanded, _expand(output, None, width)
    counts = Counter(label for labels in expanded for label in labels)
    hidden = tuple(("...", k) for k in range(width, 0, -1))
    named = sorted(k for k, n in counts.items() if n == 1 and not isinstance(k, tuple))  # type: ignore[type-var]
    return expanded, (*hidden, *named)


def _sizes(inputs: Sequence[Labels], xs: Sequence[Any]) -> dict[Hashable, int]:
    sizes: dict[Hashable, int] = {}
    for labels, x in zip(inputs, xs):
        for label, n in zip(labels, x.shape):
            known = sizes.get(label, 1)
            if known != 1 and n not in (1, known):
                raise ShapeError(
                    f"einsum: the label {label!r} stands for axes of sizes {known} and {n} "
                    f"(operands of shapes {[tuple(x.shape) for x in xs]})"
                )
            sizes[label] = n if known == 1 else known
    return sizes


# --- contraction -------------------------------------------------------------------------------


def _diagonals(x: Any, labels: Labels) -> tuple[Any, Labels]:
    """Take the diagonal of axes with the same label."""
    labels_left = list(labels)
    for label, n in Counter(labels).items():
        for _ in range(n - 1):
            i = labels_left.index(label)
            j = labels_left.index(label, i + 1)
            x = diagonal(x, 0, i, j)
            del labels_left[j], labels_left[i]
            labels_left.append(label)
    return x, tuple(labels_left)


def _drop_ones(x: Any, labels: Labels, sizes: dict[Hashable, int]) -> tuple[Any, Labels]:
    """Leave out axes of size 1 that are broadcast: another operand has their label."""
    ones = tuple(i for i, label in enumerate(labels) if x.shape[i] != sizes[label])
    if not ones:
        return x, labels
    return structural.squeeze(x, ones), tuple(s for i, s in enumerate(labels) if i not in ones)


def _sum_away(x: Any, labels: Labels, keep: set[Hashable]) -> tuple[Any, Labels]:
    axes = tuple(i for i, label in enumerate(labels) if label not in keep)
    if not axes:
        return x, labels
    primitive = reduce_or_p if x.dtype.kind == "b" else reduce_sum_p
    return fold(primitive, x, axes), tuple(s for s in labels if s in keep)


def _pair(
    x: Any, labels_x: Labels, y: Any, labels_y: Labels, keep: set[Hashable]
) -> tuple[Any, Labels]:
    """Contract two operands; labels that nobody needs afterwards are summed over."""
    x, labels_x = _sum_away(x, labels_x, keep | set(labels_y))
    y, labels_y = _sum_away(y, labels_y, keep | set(labels_x))
    shared = [s for s in labels_x if s in labels_y]
    summed = [s for s in shared if s not in keep]
    if not summed:
        return _multiply(x, labels_x, y, labels_y)
    batch = [s for s in shared if s in keep]
    out = contract(
        x,
        y,
        [labels_x.index(s) for s in summed],
        [labels_y.index(s) for s in summed],
        [labels_x.index(s) for s in batch],
        [labels_y.index(s) for s in batch],
    )
    rest = [s for labels in (labels_x, labels_y) for s in labels if s not in shared]
    return out, (*batch, *rest)


def _multiply(x: Any, labels_x: Labels, y: Any, labels_y: Labels) -> tuple[Any, Labels]:
    labels = (*labels_x, *(s for s in labels_y if s not in labels_x))
    order = sorted(range(len(labels_y)), key=lambda i: labels.index(labels_y[i]))
    y = structural.transpose(y, order)
    at = dict(zip((labels_y[i] for i in order), y.shape))
    x = structural.reshape(x, (*x.shape, *(1,) * (len(labels) - len(labels_x))))
    y = structural.reshape(y, tuple(at.get(s, 1) for s in labels))
    return x * y, labels


def _path(
    inputs: Sequence[Labels], output: Labels, xs: Sequence[Any], optimize: Any
) -> list[tuple[int, ...]]:
    """Return which operands to contract at each step, in NumPy's form."""
    if len(xs) <= 2:
        return [tuple(range(len(xs)))]
    if isinstance(optimize, (list, tuple)) and optimize and optimize[0] == "einsum_path":
        return [tuple(step) for step in optimize[1:]]
    number = {label: k for k, label in enumerate(dict.fromkeys(s for i in inputs for s in i))}
    arguments: list[Any] = []
    for labels, x in zip(inputs, xs):
        arguments += [np.broadcast_to(np.float64(0), x.shape), [number[s] for s in labels]]
    how = optimize if optimize not in (True, False, None) else "greedy"
    path, _ = np.einsum_path(*arguments, [number[s] for s in output], optimize=how)
    return [tuple(step) for step in path[1:]]


def _contract_all(
    xs: list[Any], inputs: list[Labels], output: Labels, path: Sequence[tuple[int, ...]]
) -> Any:
    terms = list(zip(xs, inputs))
    for step in path:
        chosen = [terms[i] for i in sorted(step)]
        for i in sorted(step, reverse=True):
            del terms[i]
        while chosen:
            (x, labels), *chosen = chosen
            keep = set(output).union(*(s for _, s in terms), *(s for _, s in chosen))
            if not chosen:
                terms.append(_sum_away(x, labels, keep))
                break
            (y, labels_y), *chosen = chosen
            keep = set(output).union(*(s for _, s in terms), *(s for _, s in chosen))
            chosen = [_pair(x, labels, y, labels_y, keep), *chosen]
    ((x, labels),) = terms
    return structural.transpose(x, [labels.index(s) for s in output])


# --- the functions -----------------------------------------------------------------------------


@numpy_function_with(np.einsum, *JAX_OPTIONS)
def einsum(
    *operands: Any,
    out: None = None,
    dtype: Any = None,
    order: str = "K",
    casting: str = "safe",
    optimize: Any = "greedy",
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Einstein's summation over labelled axes; as ``numpy.einsum``.

    Args:
        *operands: the subscripts, as text, then the arrays; or each array followed by a list of
            labels, then the labels of the result.
        out: refused for traced arrays.
        dtype: the dtype to compute in.
        order: accepted; layout is not part of a traced array.
        casting: accepted.
        optimize: the order of contraction: ``"greedy"``, ``"optimal"`` or a path of
            ``einsum_path``.
        precision: accepted; products are always exact in their dtype.
        preferred_element_type: JAX's name of ``dtype``.

    Example:
        >>> import numpy as np
        >>> einsum("ij,j->i", np.eye(2), np.array([1.0, 2.0]))
        array([1., 2.])
    """
    refuse_out(out, "einsum")
    inputs, output, given = _parse(operands)
    dtype = dtype if preferred_element_type is None else preferred_element_type
    xs = product_operands(*given, dtype=dtype)
    inputs, output = _subscripts(inputs, output, xs)
    return _einsum(xs, inputs, output, optimize)


def _einsum(xs: list[Any], inputs: list[Labels], output: Labels, optimize: Any) -> Any:
    sizes = _sizes(inputs, xs)
    if len(set(output)) != len(output) or not sizes.keys() >= set(output):
        raise ValueError(
            f"einstein sum subscripts string: the result's labels {output} must be different, "
            "and each one of an operand"
        )
    path = _path(inputs, output, xs, optimize)
    for k, labels in enumerate(inputs):
        xs[k], labels = _drop_ones(xs[k], labels, sizes)
        xs[k], inputs[k] = _diagonals(xs[k], labels)
    return _contract_all(xs, inputs, output, path)


def einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: bool = False) -> Any:
    """Order of contraction of an ``einsum``, and a report; as ``numpy.einsum_path``.

    Example:
        >>> import numpy as np
        >>> einsum_path("ij,jk,k->i", np.eye(2), np.eye(2), np.ones(2))[0]
        ['einsum_path', (1, 2), (0, 1)]
    """
    if has_tracer(operands):
        operands = tuple(
            np.broadcast_to(np.float64(0), shape_of(x)) if has_tracer(x) else x for x in operands
        )
    path: Any = np.einsum_path
    return path(*operands, optimize=optimize, einsum_call=einsum_call)
