"""Products and convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrace.errors import ShapeError, compose
from functrace.lax.operands import matching
from functrace.ops import contraction, convolution, structural
from functrace.ops.convolution import ConvDimensionNumbers, conv_dimension_numbers

__all__ = [
    "ConvDimensionNumbers",
    "batch_matmul",
    "conv",
    "conv_dimension_numbers",
    "conv_general_dilated",
    "conv_transpose",
    "conv_with_general_padding",
    "dot",
    "dot_general",
]

# --- products ----------------------------------------------------------------------------------


def dot(
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Product of vectors and matrices, or any contraction with ``dimension_numbers``.

    Args:
        lhs: an array of one or two axes without ``dimension_numbers``.
        rhs: likewise.
        dimension_numbers: as for ``dot_general``.
        precision: accepted; products are exact in their dtype.
        preferred_element_type: the dtype to compute in.

    Raises:
        ShapeError: the shapes don't fit; a ValueError and a TypeError too.

    Example:
        >>> import numpy as np
        >>> dot(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
        np.float64(11.0)
    """
    x, y = matching("lax.dot", lhs, rhs)
    if dimension_numbers is not None:
        return contraction.dot_general(x, y, dimension_numbers, None, preferred_element_type)
    ndims = (len(x.shape), len(y.shape))
    if not all(n in (1, 2) for n in ndims) or x.shape[-1] != y.shape[0]:
        raise ShapeError(
            compose(
                f"lax.dot got operands of shapes {x.shape} and {y.shape}.",
                "it multiplies vectors and matrices: the last axis of the first and the first "
                "axis of the second have one size.",
                "lax.dot_general, or functrace.numpy.matmul.",
            )
        )
    return contraction.dot(x, y, None, preferred_element_type)


def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """Multiply, and sum over the contracted axes; batch axes go together.

    Args:
        lhs: an array.
        rhs: an array.
        dimension_numbers: ``((lhs contracted, rhs contracted), (lhs batch, rhs batch))``.
        precision: accepted; products are exact in their dtype.
        preferred_element_type: the dtype to compute in.
        out_sharding: accepted; there is one device.

    Returns:
        An array with the batch axes, then the other axes of ``lhs``, then those of ``rhs``.

    Example:
        >>> import numpy as np
        >>> dot_general(np.ones((2, 3)), np.ones((4, 3)), (((1,), (1,)), ((), ()))).shape
        (2, 4)
    """
    x, y = matching("lax.dot_general", lhs, rhs)
    return contraction.dot_general(x, y, dimension_numbers, None, preferred_element_type)


def batch_matmul(lhs: Any, rhs: Any, precision: Any = None) -> Any:
    """Matrix product in the last two axes of arrays with the same axes before them.

    Example:
        >>> import numpy as np
        >>> batch_matmul(np.ones((5, 2, 3)), np.ones((5, 3, 4))).shape
        (5, 2, 4)
    """
    x, y = matching("lax.batch_matmul", lhs, rhs)
    n = len(x.shape)
    if n < 2 or len(y.shape) != n:
        raise ShapeError(f"lax.batch_matmul got operands of shapes {x.shape} and {y.shape}")
    batch = tuple(range(n - 2))
    return contraction.dot_general(x, y, (((n - 1,), (n - 2,)), (batch, batch)))


# --- convolutions ------------------------------------------------------------------------------


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Correlate ``lhs`` with the window ``rhs``.

    Args:
        lhs: the input: batch, channels and space, in the order of ``dimension_numbers``.
        rhs: the window: outputs, channels and space.
        window_strides: the steps of the window.
        padding: ``"SAME"``, ``"VALID"``, or (low, high) for each axis of space.
        lhs_dilation: how far apart the elements of the input are put.
        rhs_dilation: how far apart the elements of the window are put.
        dimension_numbers: three strings, ``ConvDimensionNumbers``, or None: NCHW, OIHW, NCHW.
        feature_group_count: groups of channels convolved on their own.
        batch_group_count: groups of the batch, each with its own outputs.
        precision: accepted; products are exact in their dtype.
        preferred_element_type: the dtype of the result.
    """
    x, w = matching("lax.conv_general_dilated", lhs, rhs)
    return convolution.conv_general_dilated(
        x,
        w,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        dimension_numbers,
        feature_group_count,
        batch_group_count,
        None,
        preferred_element_type,
    )


def conv(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: str,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Correlate NCHW inputs with OIHW windows.

    Example:
        >>> import numpy as np
        >>> conv(np.ones((1, 1, 4)), np.ones((1, 1, 2)), (1,), "VALID")
        array([[[2., 2., 2.]]])
    """
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, preferred_element_type=preferred_element_type
    )


def conv_with_general_padding(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Correlate NCHW inputs with OIHW windows, with padding and dilations."""
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        preferred_element_type=preferred_element_type,
    )


def conv_transpose(
    lhs: Any,
    rhs: Any,
    strides: Sequence[int],
    padding: Any,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Convolution with fractional strides, often called a deconvolution.

    Args:
        lhs: the input.
        rhs: the window.
        strides: how much larger the result is along each axis of space.
        padding: ``"SAME"``, ``"VALID"``, or (low, high) for each axis of the widened input.
        rhs_dilation: how far apart the elements of the window are put.
        dimension_numbers: as for ``conv_general_dilated``; ``NHWC, HWIO, NHWC`` without it, with
            as many axes of space as there are.
        transpose_kernel: flip the window in space and exchange its channels, which makes the
            result the gradient of the forward convolution.
        precision: accepted; products are exact in their dtype.
        preferred_element_type: the dtype of the result.
    """
    x, w = matching("lax.conv_transpose", lhs, rhs)
    space = len(x.shape) - 2
    dims = conv_dimension_numbers(x.shape, w.shape, dimension_numbers or _channels_last(space))
    sizes = [w.shape[d] for d in dims.rhs_spec[2:]]
    steps = (1,) * space if rhs_dilation is None else tuple(rhs_dilation)
    if isinstance(padding, str):
        widths = [(k - 1) * step + 1 for k, step in zip(sizes, steps)]
        padding = [_transpose_padding(k, s, padding) for k, s in zip(widths, strides)]
    if transpose_kernel:
        w = structural.rev(w, dims.rhs_spec[2:])
        outs, ins, *rest = dims.rhs_spec
        dims = dims._replace(rhs_spec=(ins, outs, *rest))
    return conv_general_dilated(
        x,
        w,
        (1,) * space,
        padding,
        tuple(strides),
        steps,
        dims,
        preferred_element_type=preferred_element_type,
    )


def _channels_last(space: int) -> tuple[str, str, str]:
    letters = "".join(chr(ord("0") + i) for i in range(space))
    return f"N{letters}C", f"{letters}IO", f"N{letters}C"


def _transpose_padding(size: int, stride: int, padding: str) -> tuple[int, int]:
    """Return the padding whose transpose has the name ``padding``."""
    if padding.upper() == "SAME":
        total = size + stride - 2
        low = size - 1 if stride > size - 1 else -(-total // 2)
    elif padding.upper() == "VALID":
        total = size + stride - 2 + max(size - stride, 0)
        low = size - 1
    else:
        raise ValueError(f"Padding mode must be 'SAME' or 'VALID', not {padding!r}.")
    return low, total - low
