"""ArrayOperators: the mix-in that makes a tracer behave like an ndarray.

Operators take a short path when the operands are what a strict primitive wants (one dtype, one
shape or 0-d); anything else goes to the function of functrace.numpy, which promotes and
broadcasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from functrace.core.trace import Primitive, Tracer
from functrace.errors import InPlaceUpdateError, compose
from functrace.ops import dispatch
from functrace.ops.arithmetic import add_p, div_p, mul_p, neg_p, sub_p
from functrace.ops.broadcasting import broadcast_to
from functrace.ops.contraction import dot_general_p
from functrace.ops.dispatch import NAMESPACE
from functrace.ops.promotion import is_array, is_weak

__all__ = ["ArrayOperators"]


_MATRIX_PRODUCT = (((1,), (0,)), ((), ()))


def _operator(name: str, primitive: Primitive | None = None, kinds: str = "iufc") -> Any:
    """Return ``x op y``: ``primitive`` on matching operands, else functrace.numpy's ``name``."""

    def method(self: Any, other: Any) -> Any:
        if primitive is not None:
            operand = _matching(self, other, kinds)
            if operand is not None:
                result = primitive.bind(self, operand)
                return _keep_weak(result, other) if self.weak_type else result
        return _general(name, other, self, other)

    method.__name__ = name
    return method


def _reflected(name: str, primitive: Primitive | None = None, kinds: str = "iufc") -> Any:
    """Return ``y op x`` for a tracer on the right."""

    def method(self: Any, other: Any) -> Any:
        if primitive is not None:
            operand = _matching(self, other, kinds)
            if operand is not None:
                result = primitive.bind(operand, self)
                return _keep_weak(result, other) if self.weak_type else result
        return _general(name, other, other, self)

    method.__name__ = f"r{name}"
    return method


def _matching(x: Any, y: Any, kinds: str) -> Any:
    """Return ``y`` as the operand that a strict primitive takes beside ``x``, or None."""
    dtype = x.dtype
    if dtype.kind not in kinds:
        return None
    kind = type(y)
    if kind is float or kind is int:
        return dtype.type(y) if dtype.kind == "f" else None
    if (kind is np.ndarray or isinstance(y, (Tracer, np.generic))) and y.dtype is dtype:
        a, b = x.shape, y.shape
        if a == b or not a or not b:
            return y
        if len(b) < len(a) and a[len(a) - len(b) :] == b:
            return broadcast_to(y, a)
    return None


def _keep_weak(result: Any, other: Any) -> Any:
    """Mark a result weak whose other operand, too, came from Python numbers only."""
    if is_weak(other):
        result.mark_weak()
    return result


def _general(name: str, other: Any, x: Any, y: Any) -> Any:
    if not is_array(other):
        return NotImplemented
    weak = is_weak(x) and is_weak(y)
    result = getattr(NAMESPACE, name)(x, y)
    if weak and isinstance(result, Tracer):
        result.mark_weak()  # type: ignore[attr-defined]
    return result


class ArrayOperators:
    """Operators, NumPy's dispatch protocols, and the methods of ndarray, for tracers."""

    __slots__ = ()

    # The classes that mix this in are Tracers; these are theirs.
    shape: Any
    dtype: Any
    weak_type: Any
    _trace: Any

    # --- operators ---

    __add__ = _operator("add", add_p)
    __radd__ = _reflected("add", add_p)
    __sub__ = _operator("subtract", sub_p)
    __rsub__ = _reflected("subtract", sub_p)
    __mul__ = _operator("multiply", mul_p)
    __rmul__ = _reflected("multiply", mul_p)
    __truediv__ = _operator("true_divide", div_p, "fc")
    __rtruediv__ = _reflected("true_divide", div_p, "fc")
    __floordiv__ = _operator("floor_divide")
    __rfloordiv__ = _reflected("floor_divide")
    __mod__ = _operator("remainder")
    __rmod__ = _reflected("remainder")
    __divmod__ = _operator("divmod")
    __rdivmod__ = _reflected("divmod")
    __pow__ = _operator("power")
    __rpow__ = _reflected("power")

    def __matmul__(self, other: Any) -> Any:
        if (
            isinstance(other, (Tracer, np.ndarray))
            and other.dtype is self.dtype
            and len(self.shape) == len(other.shape) == 2
            and self.shape[1] == other.shape[0]
        ):
            return dot_general_p.bind(
                self, other, dimension_numbers=_MATRIX_PRODUCT, preferred_element_type=None
            )
        return _general("matmul", other, self, other)

    __rmatmul__ = _reflected("matmul")
    __lshift__ = _operator("left_shift")
    __rlshift__ = _reflected("left_shift")
    __rshift__ = _operator("right_shift")
    __rrshift__ = _reflected("right_shift")
    __and__ = _operator("bitwise_and")
    __rand__ = _reflected("bitwise_and")
    __or__ = _operator("bitwise_or")
    __ror__ = _reflected("bitwise_or")
    __xor__ = _operator("bitwise_xor")
    __rxor__ = _reflected("bitwise_xor")
    __eq__ = _operator("equal")
    __ne__ = _operator("not_equal")
    __lt__ = _operator("less")
    __le__ = _operator("less_equal")
    __gt__ = _operator("greater")
    __ge__ = _operator("greater_equal")

    def __hash__(self) -> int:
        return id(self)

    def __neg__(self) -> Any:
        return neg_p.bind(self) if self.dtype.kind != "b" else NAMESPACE.negative(self)

    def __pos__(self) -> Any:
        return NAMESPACE.positive(self)

    def __abs__(self) -> Any:
        return NAMESPACE.abs(self)

    def __invert__(self) -> Any:
        return NAMESPACE.invert(self)

    def __round__(self, ndigits: int | None = None) -> Any:
        return NAMESPACE.round(self, ndigits or 0)

    # --- containers ---

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a traced array without axes")
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a traced array without axes")
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, item: Any) -> bool:
        return bool(NAMESPACE.any(self == item))

    def __getitem__(self, index: Any) -> Any:
        return NAMESPACE.getitem(self, index)

    @property
    def at(self) -> Any:
        """Functional updates: ``x.at[i].set(v)``, ``.add(v)``, ``.min(v)``, ``.get()``, ..."""
        return NAMESPACE.at(self)

    # --- NumPy's protocols ---

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        if out is not None:
            return _write_out(ufunc, method, inputs, kwargs, out)
        if method == "__call__":
            function = dispatch.UFUNCS.get(ufunc)
        else:
            function = dispatch.UFUNC_METHODS.get((ufunc, method))
        if function is None:
            name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            raise dispatch.no_version_error(name)
        return function(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        function = dispatch.ARRAY_FUNCTIONS.get(func)
        if function is None:
            raise dispatch.no_version_error(
                f"{func.__module__}.{func.__name__}".removeprefix("numpy.")
            )
        return function(*args, **kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return NAMESPACE.module

    # --- properties ---

    @property
    def T(self) -> Any:
        """The transpose."""
        return NAMESPACE.transpose(self)

    @property
    def mT(self) -> Any:
        """The matrix transpose."""
        return NAMESPACE.matrix_transpose(self)

    @property
    def real(self) -> Any:
        """The real part."""
        return NAMESPACE.real(self)

    @property
    def imag(self) -> Any:
        """The imaginary part."""
        return NAMESPACE.imag(self)

    @property
    def flat(self) -> Any:
        """The elements in C order, as a 1-d array."""
        return NAMESPACE.ravel(self)

    @property
    def itemsize(self) -> int:
        """The bytes of one element."""
        return int(self.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return int(self.dtype.itemsize * np.prod(self.shape, dtype=np.int64))

    @property
    def device(self) -> str:
        """``"cpu"``, for the Array API."""
        return "cpu"

    # --- methods with a signature of their own ---

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        """Convert to another dtype."""
        return NAMESPACE.astype(self, dtype)

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        """Give the elements another shape; ``x.reshape(2, -1)`` or ``x.reshape((2, -1))``."""
        new = shape[0] if len(shape) == 1 else shape
        return NAMESPACE.reshape(self, new, order=order)

    def transpose(self, *axes: Any) -> Any:
        """Permute the axes; ``x.transpose(1, 0)``, ``x.transpose((1, 0))`` or reversed."""
        if not axes or axes == (None,):
            return NAMESPACE.transpose(self)
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return NAMESPACE.transpose(self, order)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """Return the same array: there is one device, the CPU."""
        return self

    def block_until_ready(self) -> Any:
        """Return the same array: nothing is asynchronous."""
        return self

    def fill(self, value: Any) -> None:
        """Refuse: traced arrays can't be changed in place."""
        raise InPlaceUpdateError(
            compose("x.fill(v) on a traced array.", "it changes in place.", "x = x.at[...].set(v)")
        )

    def sort(self, axis: int = -1, *args: Any, **kwargs: Any) -> None:
        """Refuse: traced arrays can't be changed in place."""
        raise InPlaceUpdateError(
            compose("x.sort() on a traced array.", "it changes in place.", "x = np.sort(x)")
        )


def _write_out(ufunc: np.ufunc, method: str, inputs: Any, kwargs: Any, out: Any) -> Any:
    """Handle ``out=``: ``x += y`` on a 0-d NumPy value rebinds; a plain array can't be written."""
    target = out[0] if len(out) == 1 else None
    if method == "__call__" and isinstance(target, Tracer):
        raise InPlaceUpdateError(
            compose(
                f"numpy.{ufunc.__name__}(..., out=x) with a traced x.",
                "traced arrays can't be changed in place.",
                f"x = numpy.{ufunc.__name__}(...)",
            )
        )
    rebinds = isinstance(target, np.ndarray) and not target.shape
    if method == "__call__" and rebinds and any(target is x for x in inputs):
        return dispatch.UFUNCS[ufunc](*inputs, **kwargs)
    raise InPlaceUpdateError(
        compose(
            f"numpy.{ufunc.__name__} was to write a traced value into a plain array "
            "(out=, or an operator such as buffer += x).",
            "the plain array can't hold it.",
            "buffer = buffer + x; or buffer = functrace.numpy.at(buffer)[i].add(x)",
        )
    )


def _forward(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(NAMESPACE, name)(self, *args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"As ``numpy.{name}`` of this array."
    return method


_METHODS = (
    "all", "any", "argmax", "argmin", "argsort", "choose", "clip", "compress", "conj", "conjugate",
    "copy", "cumprod", "cumsum", "diagonal", "dot", "flatten", "max", "mean", "min", "nonzero",
    "prod", "ptp", "ravel", "repeat", "round", "searchsorted", "squeeze", "std", "sum", "swapaxes",
    "take", "trace", "var",
)  # fmt: skip

for _name in _METHODS:
    setattr(ArrayOperators, _name, _forward(_name))
