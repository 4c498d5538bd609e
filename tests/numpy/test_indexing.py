"""``x[index]`` and ``x.at[index]``: every kind of index, known and traced, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import functrace as ft
import functrace.numpy as fnp
from functrace.errors import DTypeError, InPlaceUpdateError, NonConcreteBooleanIndexError
from functrace.ops.arithmetic import stop_gradient

T = np.random.default_rng(0).normal(size=(5, 5, 3))
A, B = np.array([0, 3, -1]), np.array([[1], [4]])
MASK = T[..., 0] > 0.0

BASIC: list[Any] = [
    0,
    -1,
    np.int64(2),
    np.array(1),
    slice(1, 3),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(-1, 0, -2),
    slice(3, 1),
    ...,
    None,
    (),
    (1, 2, 0),
    (slice(None), -2),
    (..., 1),
    (1, ..., 0),
    (None, slice(1, 3), None, 2, None),
    (slice(None, None, -2), slice(1, 4), slice(None, None, 2)),
    (..., None, slice(None, None, -1)),
]

ADVANCED: list[Any] = [
    A,
    [0, 2],
    [],
    (A, slice(1, 4)),
    (slice(None), A),
    (..., [2, 0]),
    (A, A),
    (A, slice(None), [0, 1, 2]),
    (slice(None), A, [0, 1, 2]),
    (A, B),
    (slice(None), None, A, None),
    (1, slice(None), [0, 1]),
    (slice(None), 1, [0, 1]),
    (A, None, [0, 1, 2]),
    (slice(1, 3), B, slice(None, None, -1)),
    (B, A, 1),
    (slice(None, None, 2), [4, 4, 0]),
    np.zeros((2, 0), int),
    MASK,
    (MASK, slice(1, None)),
    (slice(None), np.array([True, False, True, True, False])),
    (np.array([True, False, True, False, True]), [0, 1, 2]),
    (np.uint8(1), np.array([2, 1], np.uint8)),
]


def _name(index: Any) -> str:
    return str(index).replace("\n", "")[:60]


def _check_derivatives(fun: Any, x: np.ndarray[Any, Any]) -> None:
    """Check jvp and vjp of a linear function of an array against the function itself."""
    t = np.cos(np.arange(x.size)).reshape(x.shape)
    out, slope = ft.jvp(fun, (x,), (t,))
    np.testing.assert_allclose(slope, np.asarray(fun(x + t)) - np.asarray(fun(x)), atol=1e-12)
    ct = np.sin(np.arange(out.size) + 1.0).reshape(np.shape(out))
    (pulled,) = ft.vjp(fun, x)[1](ct)
    np.testing.assert_allclose(np.sum(pulled * t), np.sum(ct * slope), atol=1e-10)


@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=_name)
def test_reading(index: Any) -> None:
    """A known index reads what NumPy reads: staged, compiled, batched, with its derivative."""
    want = np.asarray(T[index])
    for got in (ft.jit(lambda x: x[index])(T), ft.vmap(lambda x: x[index])(T[None])[0]):
        np.testing.assert_array_equal(got, want)
        assert got.shape == want.shape
    _check_derivatives(lambda x: x[index], T)


@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=_name)
@pytest.mark.parametrize("method", ["set", "add", "multiply", "min", "max"])
def test_writing(index: Any, method: str) -> None:
    """``.at`` changes what NumPy changes in place, repeated indices included."""
    values = np.linspace(-1.0, 2.0, T[index].size).reshape(T[index].shape)
    if method == "set":
        values = np.broadcast_to(0.25, values.shape)  # which of several values wins is open
    want = T.copy()
    ufunc = {"add": np.add, "multiply": np.multiply, "min": np.minimum, "max": np.maximum}
    if method == "set":
        want[index] = values
    else:
        ufunc[method].at(want, index, values)

    def update(x: Any, v: Any) -> Any:
        return getattr(x.at[index], method)(v)

    np.testing.assert_allclose(getattr(fnp.at(T)[index], method)(values), want, rtol=1e-15)
    np.testing.assert_allclose(ft.jit(update)(T, values), want, rtol=1e-15)
    np.testing.assert_allclose(ft.vmap(update)(T[None], values[None])[0], want, rtol=1e-15)
    if method in ("set", "add"):
        _check_derivatives(lambda x: getattr(fnp.at(x)[index], method)(values), T)
        _check_derivatives(lambda v: getattr(fnp.at(T)[index], method)(v), np.array(values))


def _random_index(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Return an index of some of the axes of a shape, of all kinds."""
    batch = [(), (2,), (1,), (3, 1), (2, 3), (0,)][rng.integers(6)]
    bounds = [None, -3, -1, 0, 1, 2, 5]
    index: list[Any] = []
    axis = 0
    while axis < len(shape):
        n, kind = shape[axis], rng.integers(8)
        if kind == 0:
            index.append(None)
            continue
        if kind == 1 and not any(i is ... for i in index):
            index.append(...)
            axis += int(rng.integers(len(shape) - axis + 1))
            continue
        if kind == 2:
            break
        if kind in (3, 4):
            start, stop = (bounds[i] for i in rng.integers(7, size=2))
            index.append(slice(start, stop, [None, 1, 2, -1, -2, 3][rng.integers(6)]))
        elif kind == 5:
            index.append(int(rng.integers(-n, n)))
        elif kind == 6:
            index.append(rng.integers(-n, n, size=batch if rng.integers(2) else batch[-1:]))
        else:
            index.append(np.arange(n) < (batch[0] if batch else 1))
        axis += 1
    return tuple(index)


@pytest.mark.parametrize("seed", range(300))
def test_random_indices(seed: int) -> None:
    """Indices of all kinds mixed: what NumPy reads and changes, or its refusal."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=tuple(rng.integers(1, 5, size=rng.integers(1, 5))))
    index = _random_index(rng, x.shape)
    try:
        want = x[index]
    except IndexError:
        with pytest.raises(IndexError):
            ft.make_jaxpr(lambda x: x[index])(x)
        return
    value, slope = ft.jvp(lambda x: x[index], (x,), (2.0 * x,))
    np.testing.assert_array_equal(value, want)
    np.testing.assert_array_equal(slope, 2.0 * want)
    added = x.copy()
    np.add.at(added, index, 0.5)
    np.testing.assert_allclose(ft.vmap(lambda x: x.at[index].add(0.5))(x[None])[0], added)


TRACED: list[Any] = [
    lambda i: i,
    lambda i: (slice(None), i),
    lambda i: (i, i),
    lambda i: (slice(1, 3), i),
    lambda i: (i, slice(None), i % 3),
    lambda i: (i, None, ..., 0),
    lambda i: (..., i % 3),
    lambda i: (slice(None, None, -1), i),
]


@pytest.mark.parametrize("make", TRACED)
@pytest.mark.parametrize("i", [np.int64(2), np.int32(-1), np.array([0, -2, 3]), B[:, :1]])
def test_traced_index(make: Any, i: Any) -> None:
    """A traced index reads and writes as the same known index does."""
    want = T[make(i)]
    np.testing.assert_array_equal(ft.jit(lambda x, i: x[make(i)])(T, i), want)
    lanes = ft.vmap(lambda i: fnp.at(T)[make(i)].get())
    np.testing.assert_array_equal(lanes(np.stack([i, i])), np.stack([want, want]))
    added = T.copy()
    np.add.at(added, make(i), 1.5)
    np.testing.assert_allclose(ft.jit(lambda x, i: x.at[make(i)].add(1.5))(T, i), added)


def test_sequences_of_traced_integers() -> None:
    """A list that holds traced integers is an index array."""
    got = ft.jit(lambda x, i: x[[i, 0]])(T, 2)
    np.testing.assert_array_equal(got, T[[2, 0]])


def test_iteration_and_unpacking() -> None:
    """Traced arrays iterate, unpack and have a length."""
    a, b, c = ft.jit(lambda x: tuple(row * 2.0 for row in x))(T[:3])
    np.testing.assert_array_equal([a, b, c], T[:3] * 2.0)
    assert ft.jit(lambda x: len(x) + 0 * x[0, 0, 0])(T) == 5.0


# --- out of bounds -----------------------------------------------------------------------------


@pytest.mark.parametrize("index", [7, -6, (0, 5), [0, 9], (slice(None), [0, -6])])
def test_out_of_bounds(index: Any) -> None:
    """Out of bounds is NumPy's IndexError, in its words, for known and traced indices."""
    with pytest.raises(IndexError) as plain:
        T[index]
    for fun in (ft.jit(lambda x: x[index]), ft.grad(lambda x: x[index].sum())):
        with pytest.raises(IndexError, match=r"is out of bounds for axis . with size .") as ours:
            fun(T)
        assert str(plain.value) in str(ours.value)


def test_traced_out_of_bounds() -> None:
    """A traced index out of bounds raises when the program runs."""
    with pytest.raises(IndexError, match="index 9 is out of bounds for axis 0 with size 5"):
        ft.vmap(lambda i: fnp.take(T, i, axis=0))(np.array([0, 9]))
    with pytest.raises(IndexError, match="index 9 is out of bounds for axis 0 with size 5"):
        ft.jit(lambda x, i: x[i])(T, 9)


def test_modes() -> None:
    """``mode=`` is JAX's."""
    x = np.arange(4.0)
    i = np.array([1, 7, -1, -9])
    clip = ft.jit(lambda x, i: x.at[i].get(mode="clip"))(x, i)
    np.testing.assert_array_equal(clip, [1.0, 3.0, 3.0, 0.0])
    fill = ft.jit(lambda x, i: x.at[i].get(mode="fill", fill_value=-2.0))(x, i)
    np.testing.assert_array_equal(fill, [1.0, -2.0, 3.0, -2.0])
    np.testing.assert_array_equal(fnp.at(x)[i].get(mode="fill"), [1.0, np.nan, 3.0, np.nan])
    drop = ft.jit(lambda x, i: x.at[i].add(10.0, mode="drop"))(x, i)
    np.testing.assert_array_equal(drop, [0.0, 11.0, 2.0, 13.0])
    np.testing.assert_array_equal(fnp.take(x, i, mode="fill", fill_value=0.5), [1, 0.5, 3, 0.5])


# --- the other methods of at -------------------------------------------------------------------


def test_divide_power_subtract_apply() -> None:
    """The methods that aren't one scatter."""
    x, i = np.array([1.0, 2.0, 3.0]), [0, 0, 2]
    np.testing.assert_allclose(ft.jit(lambda x: x.at[i].divide(2.0))(x), [0.25, 2.0, 1.5])
    np.testing.assert_allclose(ft.jit(lambda x: x.at[1].power(3.0))(x), [1.0, 8.0, 3.0])
    np.testing.assert_allclose(ft.jit(lambda x: x.at[i].subtract(2.0))(x), [-3.0, 2.0, 1.0])
    np.testing.assert_allclose(fnp.at(x)[1:].apply(np.sqrt), [1.0, 2**0.5, 3**0.5])
    slope = ft.grad(lambda x: x.at[1:].apply(np.sin).sum())(x)
    np.testing.assert_allclose(slope, [1.0, *np.cos(x[1:])])


def test_masks() -> None:
    """Known masks index; traced ones update but don't index."""
    x = np.array([1.0, -2.0, 3.0])
    np.testing.assert_array_equal(ft.grad(lambda x: (x[x > 0] ** 2).sum())(x), [2.0, 0.0, 6.0])
    zeroed = ft.jit(lambda x: x.at[x < 0].set(0.0))
    np.testing.assert_array_equal(zeroed(x), [1.0, 0.0, 3.0])
    doubled = ft.vmap(lambda x: x.at[x > 0].multiply(2.0))(np.stack([x, -x]))
    np.testing.assert_array_equal(doubled, [[2.0, -2.0, 6.0], [-1.0, 4.0, -3.0]])


def test_mask_errors() -> None:
    """A mask whose values aren't known is an error that says what to do."""
    x = np.array([1.0, -2.0])
    with pytest.raises(NonConcreteBooleanIndexError, match=r"values of a boolean mask"):
        ft.jit(lambda x: x[x > 0])(x)
    with pytest.raises(IndexError, match=r"2 values at once(.|\n)*np.where\(mask, x, 0\)"):
        ft.vmap(lambda x: x[x > 0])(np.ones((2, 3)))
    with pytest.raises(ValueError, match="how many elements it names is not known"):
        ft.jit(lambda x: x.at[x > 0].set(np.ones(2)))(x)


def test_what_is_no_index() -> None:
    """NumPy's words for what isn't an index."""
    x = np.arange(3.0)
    for index in (1.0, "a", np.array([0.5]), (slice(None), 0), (..., ...), (0, 0)):
        with pytest.raises(IndexError) as plain:
            x[index]
        with pytest.raises(IndexError) as ours:
            ft.jit(lambda x, index=index: x[index])(x)
        assert str(ours.value).splitlines()[0] == str(plain.value)
    with pytest.raises(IndexError, match="boolean index did not match indexed array along axis 0"):
        ft.jit(lambda x: x[np.array([True, False])])(x)
    with pytest.raises(IndexError, match="arrays used as indices must be of integer"):
        ft.jit(lambda x: x[x])(x)


def test_update_errors() -> None:
    """In-place writes, values that don't fit, lossy dtypes."""
    x = np.arange(3)
    with pytest.raises(InPlaceUpdateError, match=r"x = x.at\[0\].set\(v\)"):
        ft.jit(lambda x: x.__setitem__(0, 1.0))(x)
    with pytest.raises(ValueError, match=r"from shape \(4,\) into shape \(2,\)"):
        ft.jit(lambda x: x.at[:2].set(np.ones(4)))(x)
    with pytest.raises(DTypeError, match=r"values of dtype float64 were to go into .* int64"):
        ft.jit(lambda x: x.at[0].add(1.5))(x)
    with pytest.raises(TypeError, match="unexpected keyword argument 'modes'"):
        fnp.at(x)[0].set(1, modes="drop")
    got = ft.jit(lambda x: x.at[0].set(1.7))(x)
    np.testing.assert_array_equal(got, [1, 1, 2])
    assert got.dtype == np.int64


# --- functions of indices ----------------------------------------------------------------------


def test_nonzero_of_known_size() -> None:
    """``size=`` makes nonzero possible where values aren't known."""
    x = np.array([[0.0, 2.0, 0.0], [3.0, 0.0, 4.0]])
    for size in (2, 3, 5):
        rows, columns = ft.jit(lambda x, n=size: fnp.nonzero(x, size=n, fill_value=-1))(x)
        want = [np.concatenate([i, np.full(5, -1)])[:size] for i in np.nonzero(x)]
        np.testing.assert_array_equal([rows, columns], want)
    np.testing.assert_array_equal(ft.jit(lambda x: fnp.flatnonzero(x, size=2))(x), [1, 3])
    np.testing.assert_array_equal(ft.jit(lambda x: fnp.argwhere(x, size=3))(x), np.argwhere(x))
    (one,) = ft.jit(lambda x: fnp.where(x[1] > 3.5, size=1))(x)
    np.testing.assert_array_equal(one, [2])
    with pytest.raises(NonConcreteBooleanIndexError, match=r"nonzero\(x, size=n\)"):
        ft.jit(lambda x: np.nonzero(x))(x)
    assert ft.grad(lambda x: x[np.nonzero(x)].sum())(x).sum() == 3.0


def test_put_along_axis_and_fill_diagonal() -> None:
    """The functional forms of NumPy's functions that work in place."""
    x, i = np.arange(6.0).reshape(2, 3), np.array([[2], [0]])
    want = x.copy()
    np.put_along_axis(want, i, 9.0, 1)
    got = ft.jit(lambda x, i: fnp.put_along_axis(x, i, 9.0, 1, inplace=False))(x, i)
    np.testing.assert_array_equal(got, want)
    filled = ft.jit(lambda x: fnp.fill_diagonal(x, 7.0, inplace=False))(x)
    np.fill_diagonal(want := x.copy(), 7.0)
    np.testing.assert_array_equal(filled, want)
    with pytest.raises(InPlaceUpdateError, match="inplace=False"):
        ft.jit(lambda x: fnp.fill_diagonal(x, 7.0))(x)


def test_searching_a_traced_line_with_nan() -> None:
    """NaN sorts last, as in NumPy."""
    line, values = np.array([1.0, 2.0, 2.0, np.nan]), np.array([2.0, np.nan, 0.0, 5.0])
    for side in ("left", "right"):
        got = ft.jit(lambda a, v, side=side: fnp.searchsorted(a, v, side))(line, values)
        np.testing.assert_array_equal(got, np.searchsorted(line, values, side))


def test_known_values_stay_plain() -> None:
    """What carries no derivative is plain under eager grad."""

    def f(x: Any) -> Any:
        assert isinstance(np.searchsorted(x, 1.5), np.integer)
        assert isinstance(stop_gradient(x), np.ndarray)
        return x[np.argmax(x)] * 2.0

    np.testing.assert_array_equal(ft.grad(f)(np.array([1.0, 3.0, 2.0])), [0.0, 2.0, 0.0])


TAKING: list[Any] = [
    lambda x: np.take(x, [1, 9, -9], mode="clip"),
    lambda x: np.take(x, [1, 9, -9], axis=1, mode="wrap"),
    lambda x: np.take(x, 2),
    lambda x: np.take(x, [[True, False]], axis=1),
    lambda x: np.take_along_axis(x, np.array([3, 0]), None),
    lambda x: np.take_along_axis(x, np.array([[1, 0]]), 1),
    lambda x: np.choose(1, [x, x * 2]),
    lambda x: np.choose(np.array([0, 5, -1, 2]), (x, x * 2), mode="wrap"),
    lambda x: np.choose(np.array([0, 5, -1]), x[:, :3], mode="clip"),
    lambda x: np.compress([False, True], x),
    lambda x: np.ravel_multi_index(([1, 0], [2, 3]), (2, 4), order="F") * x[0, 0],
    lambda x: np.unravel_index((x * 3).astype(int), (9, 9, 9), order="F"),
    lambda x: np.unravel_index((x[0] * 3).astype(int), 99),
    lambda x: np.ravel_multi_index((x * 9).astype(int), (5, 6), mode=("wrap", "clip")),
    lambda x: np.diagonal(x, 9),
    lambda x: np.extract(np.array([[True, False, True, True]] * 2), x),
]


@pytest.mark.parametrize("call", TAKING)
def test_functions_that_take(call: Any) -> None:
    """Modes and arguments the table of cases doesn't vary."""
    x = np.arange(8.0).reshape(2, 4) / 4.0
    want = ft.tree.leaves(call(x))
    for got in (ft.tree.leaves(ft.jit(call)(x)), ft.tree.leaves(ft.jvp(call, (x,), (x,))[0])):
        for g, w in zip(got, want, strict=True):
            np.testing.assert_array_equal(g, w)
            assert np.asarray(g).dtype == np.asarray(w).dtype


def test_ix_of_traced_vectors() -> None:
    """An open mesh of traced integers, and of a known mask."""
    x = np.arange(12.0).reshape(3, 4)
    rows, columns = np.array([2, 0]), np.array([True, False, False, True])
    got = ft.jit(lambda x, i: x[fnp.ix_(i, columns)])(x, rows)
    np.testing.assert_array_equal(got, x[np.ix_(rows, columns)])
    with pytest.raises(NonConcreteBooleanIndexError):
        ft.jit(lambda x, m: x[fnp.ix_(rows, m)])(x, columns)
    with pytest.raises(ValueError, match="1 dimensional"):
        ft.jit(lambda x: fnp.ix_(x, x))(np.ones((2, 2)))


def test_put_along_a_flat_axis() -> None:
    """``axis=None`` puts into the flat array; plain arrays are changed in place."""
    x = np.arange(6.0).reshape(2, 3)
    got = ft.jit(lambda x: fnp.put_along_axis(x, np.array([4]), 9.0, None, inplace=False))(x)
    np.testing.assert_array_equal(got, [[0, 1, 2], [3, 9, 5]])
    fnp.put_along_axis(x, np.array([[0], [0]]), 7.0, 1)
    fnp.fill_diagonal(x, 8.0)
    np.testing.assert_array_equal(x, [[8, 1, 2], [7, 8, 5]])


def test_names_and_promises() -> None:
    """unique_indices and promise_in_bounds are accepted; at(x) has a repr."""
    x, i = np.arange(3.0), np.array([2, 0])
    for options in ({"unique_indices": True}, {"mode": "promise_in_bounds"}):
        got = ft.jit(lambda x, i, o=options: x.at[i].set(5.0, **o))(x, i)
        np.testing.assert_array_equal(got, [5.0, 1.0, 5.0])
    assert repr(fnp.at(x)) == "at(array([0., 1., 2.]))"
    with pytest.raises(IndexError, match=r"did not match"):
        ft.jit(lambda x, m: x.at[m].set(0.0))(x, np.array([True]))
    np.testing.assert_array_equal(ft.jit(lambda x, v: x.at[::2].set(v[None]))(x, x[:2]), [0, 1, 1])
    np.testing.assert_array_equal(ft.jit(lambda x: x.at[2:1].set(3.0))(x), x)
    np.testing.assert_array_equal(ft.jit(lambda x: x.at[:].set(3.0))(x), [3, 3, 3])
    with pytest.raises(IndexError, match="single boolean"):
        ft.jit(lambda x: x[True])(x)
