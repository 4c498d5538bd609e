"""A test holds the text of each error: what happened, because of what, what to try."""

from __future__ import annotations

import math
import threading
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrace as ft
import functrace.numpy as fnp
from functrace import errors

X = np.array([1.0, 2.0, 3.0])


def message(error: type[BaseException], call: Callable[[], Any]) -> str:
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert "Try:" in text or error in (IndexError, OverflowError), text
    return text


# --- leaked and foreign tracers ----------------------------------------------------------------


@pytest.mark.parametrize(
    "transform",
    [ft.grad, ft.jit, ft.vmap, lambda f: lambda x: ft.jvp(f, (x,), (x,))],
    ids=["grad", "jit", "vmap", "jvp"],
)
def test_leaked_tracer(transform: Any) -> None:
    saved: list[Any] = []

    def f(x: Any) -> Any:
        saved.append(x)
        return x * 2.0

    transform(f)(X if transform is ft.vmap else 2.0)
    for use in (
        lambda: saved[0] + 1.0,
        lambda: np.sin(saved[0]),
        lambda: ft.grad(lambda y: y * saved[0])(1.0),
        lambda: ft.jit(lambda y: y * saved[0])(1.0),
        lambda: ft.vmap(lambda y: y * saved[0])(X),
    ):
        text = message(errors.UnexpectedTracerError, use)
        assert "has ended; the value leaked out of it" in text
        assert "has_aux=True" in text


def test_inner_tracer_used_by_the_outer_level() -> None:
    saved: list[Any] = []

    def outer(x: Any) -> Any:
        ft.grad(lambda y: saved.append(y) or y * x)(1.0)
        return saved[0] * x

    for transform in (ft.grad, ft.jit):
        text = message(errors.UnexpectedTracerError, lambda t=transform: t(outer)(2.0))
        assert "leaked" in text


def test_tracer_in_another_thread() -> None:
    caught: list[BaseException] = []

    def f(x: Any) -> Any:
        def work() -> None:
            try:
                x * 2.0
            except TypeError as error:
                caught.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return x

    ft.grad(f)(1.0)
    assert isinstance(caught[0], errors.UnexpectedTracerError)
    assert "another thread" in str(caught[0])


def test_tracer_in_a_generator_resumed_later() -> None:
    def numbers(x: Any) -> Any:
        yield x
        yield x * 2.0

    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(numbers(x))
        return next(kept[0])

    ft.grad(f)(1.0)
    assert "leaked" in message(errors.UnexpectedTracerError, lambda: next(kept[0]))


def test_rule_closing_over_a_tracer_of_its_own_level() -> None:
    from functrace.core.trace import PRIMITIVES, Primitive
    from functrace.ops.arithmetic import mul

    level: list[Any] = []
    bad_p = Primitive("bad_rule_of_a_test")
    try:
        bad_p.def_impl(lambda x: x)
        bad_p.def_jvp_each(lambda t, out, x: mul(t, level[0]))

        def f(x: Any) -> Any:
            level[:] = [x]
            return bad_p.bind(x)

        text = message(errors.UnexpectedTracerError, lambda: ft.grad(f)(2.0))
        assert "a custom rule closes over a value of its own level" in text
    finally:
        del PRIMITIVES["bad_rule_of_a_test"]


# --- a concrete value is needed ----------------------------------------------------------------

CONCRETE = {
    "bool": (lambda x: x if x[0] > 0 else -x, errors.TracerBoolConversionError, "np.where"),
    "while": (lambda x: max(x[0], x[1]), errors.TracerBoolConversionError, "truth value"),
    "int": (lambda x: int(x[0]), errors.TracerIntegerConversionError, "static_argnums"),
    "range": (
        lambda x: list(range(x.astype(int)[0])),
        errors.TracerIntegerConversionError,
        "static_argnums",
    ),
    "index": (
        lambda x: np.arange(5.0)[x.astype(int)[0]],
        errors.TracerArrayConversionError,
        "functrace.numpy.take(x, i, axis=0)",
    ),
    "list index": (
        lambda x: [1.0, 2.0, 3.0][x.astype(int)[0]],
        errors.TracerIntegerConversionError,
        "functrace.numpy.take(x, i, axis=0)",
    ),
    "float": (lambda x: float(x[0]), errors.ConcretizationError, "np.sin instead of math.sin"),
    "math": (lambda x: math.sin(x[0]), errors.ConcretizationError, "np.sin instead of math.sin"),
    "complex": (lambda x: complex(x[0]), errors.ConcretizationError, "Python complex"),
    "item": (lambda x: x[0].item(), errors.ConcretizationError, ".item()"),
    "tolist": (lambda x: x.tolist(), errors.ConcretizationError, ".tolist()"),
    "array": (lambda x: np.array(x), errors.TracerArrayConversionError, "functrace.numpy"),
    "format": (lambda x: f"{x[0]:.2f}", errors.ConcretizationError, "format it outside"),
    "mask": (lambda x: x[x > 1], errors.NonConcreteBooleanIndexError, "np.where"),
}


@pytest.mark.parametrize("kind", CONCRETE)
def test_concrete_value_needed_under_jit(kind: str) -> None:
    f, error, advice = CONCRETE[kind]
    text = message(error, lambda: ft.jit(f)(X))
    assert advice in text
    assert "test_errors.py:" in text, "the message has the user's line"


@pytest.mark.parametrize("kind", CONCRETE)
def test_concrete_value_needed_under_vmap(kind: str) -> None:
    f, error, _ = CONCRETE[kind]
    text = message(error, lambda: ft.vmap(f)(np.stack([X, X])))
    assert "axis 0 of an array of shape (2" in text


@pytest.mark.parametrize("kind", ["float", "math", "int", "array", "item", "tolist"])
def test_tangent_carrying_values_refuse_python_numbers(kind: str) -> None:
    f, error, _ = CONCRETE[kind]
    for transform in (ft.grad, lambda g: lambda x: ft.jvp(g, (x,), (x,))):
        text = message(error, lambda t=transform: t(f)(X))
        assert "silently lose" in text and "stop_gradient" in text


# --- inputs and outputs of grad and its kin ----------------------------------------------------


def test_grad_inputs() -> None:
    text = message(errors.DTypeError, lambda: ft.grad(np.sum)({"w": [1.0, 2]}))
    assert "argument 0['w'][1]" in text and "allow_int=True" in text
    text = message(errors.DTypeError, lambda: ft.grad(lambda x: x)("text"))
    assert "argument 0" in text and "not an array" in text
    text = message(errors.DTypeError, lambda: ft.grad(lambda x: x)(np.array(["a"])))
    assert "can't trace" in text
    assert "takes a function" in message(TypeError, lambda: ft.grad(3.0))


@pytest.mark.parametrize(
    "value", [np.array([object()]), np.array(["a"]), np.array(["2020"], "M8[Y]"), object(), "s"]
)
@pytest.mark.parametrize("transform", [ft.jit, ft.vmap, ft.make_jaxpr], ids=lambda t: t.__name__)
def test_unsupported_values(value: Any, transform: Any) -> None:
    message(errors.DTypeError, lambda: transform(lambda x: x)(value))


def test_non_scalar_loss() -> None:
    text = message(errors.NonScalarLossError, lambda: ft.grad(lambda x: x * 2)(X))
    assert "(3,)" in text and "vjp, jacrev or jacfwd" in text
    text = message(errors.NonScalarLossError, lambda: ft.grad(lambda x: (x, x))(1.0))
    assert "a tree of 2 leaves" in text and "has_aux=True" in text


def test_cotangents_and_tangents_that_do_not_fit() -> None:
    _, pullback = ft.vjp(lambda x: {"y": x * 2}, X)
    assert "structure" in message(errors.StructureError, lambda: pullback(X))
    assert "shape (2,)" in message(errors.ShapeError, lambda: pullback({"y": np.ones(2)}))
    assert "real" in message(errors.DTypeError, lambda: pullback({"y": X * 1j}))
    text = message(errors.StructureError, lambda: ft.jvp(np.sin, (X,), ([X],)))
    assert "tangents" in text
    assert "shape ()" in message(errors.ShapeError, lambda: ft.jvp(np.sin, (X,), (1.0,)))
    assert "tuple or list" in message(TypeError, lambda: ft.jvp(np.sin, X, X))
    assert "don't move" in message(
        errors.DTypeError, lambda: ft.jvp(lambda n: n * 1.0, (np.int64(3),), (1.0,))
    )


# --- in place ----------------------------------------------------------------------------------


def assign(x: Any) -> Any:
    x[0] = 1.0
    return x.sum()


def add_in_place(x: Any) -> Any:
    x[1:] += 1.0
    return x.sum()


@pytest.mark.parametrize("f", [assign, add_in_place])
@pytest.mark.parametrize("transform", [ft.grad, ft.jit, ft.vmap])
def test_write_to_a_traced_array(f: Any, transform: Any) -> None:
    x = np.stack([X, X]) if transform is ft.vmap else X
    text = message(errors.InPlaceUpdateError, lambda: transform(f)(x))
    assert "x.at[" in text and ".set(v)" in text


def test_write_of_a_tracer_into_a_plain_array() -> None:
    def f(x: Any) -> Any:
        buffer = np.zeros(3)
        buffer[0] = x[0]
        return np.sum(buffer)

    text = message(TypeError, lambda: ft.grad(f)(X))
    assert "functrace.numpy.at(buffer)" in text

    def g(x: Any) -> Any:
        buffer = np.zeros(3)
        buffer += x
        return np.sum(buffer)

    text = message(errors.InPlaceUpdateError, lambda: ft.grad(g)(X))
    assert "buffer = buffer + x" in text
    with pytest.raises(errors.InPlaceUpdateError):
        ft.jit(lambda x: np.add(x, x, out=np.zeros(3)))(X)


def test_augmented_assignment_of_a_number_rebinds() -> None:
    def f(x: Any) -> Any:
        loss = 0.0
        other = np.float64(0.0)
        for i in range(3):
            loss += x[i] * x[i]
            other += x[i]
        return loss + other

    np.testing.assert_allclose(ft.grad(f)(X), 2 * X + 1)
    np.testing.assert_allclose(ft.jit(ft.grad(f))(X), 2 * X + 1)


# --- NumPy calls that don't dispatch -----------------------------------------------------------


def test_functions_that_do_not_dispatch() -> None:
    array, full = lambda x: np.array([x[0], x[1]]), lambda x: np.full(3, x[0])
    for f in (lambda x: np.asarray(x), array, full):
        text = message(errors.ConcretizationError, lambda f=f: ft.grad(f)(X))
        assert "functrace.numpy" in text
    np.testing.assert_allclose(ft.grad(lambda x: fnp.array([x[0], x[1] * 2]).sum())(X), [1, 2, 0])


def test_index_errors_are_numpys() -> None:
    for transform in (ft.grad, ft.jit):
        with pytest.raises(IndexError, match="index 5 is out of bounds for axis 0 with size 3"):
            transform(lambda x: x[5] * 1.0)(X)
        with pytest.raises(IndexError, match="too many indices"):
            transform(lambda x: x[0, 0])(X)
        with pytest.raises(IndexError, match="only integers"):
            transform(lambda x: x[1.5])(X)


def test_broadcasting_errors_are_numpys() -> None:
    with pytest.raises(ValueError, match="could not be broadcast together"):
        ft.jit(lambda x: x + np.ones(2))(X)
    with pytest.raises(ValueError, match="could not be broadcast together"):
        ft.grad(lambda x: np.sum(x + np.ones(2)))(X)


@pytest.mark.skipif(np.longdouble is np.float64, reason="no long double on this platform")
def test_long_double_is_eager_only() -> None:
    text = message(errors.DTypeError, lambda: ft.jit(lambda x: x * 2)(np.longdouble(1)))
    assert "mul" in text and "test_errors.py:" in text and "eager only" in text
    assert ft.grad(lambda x: x**3)(np.longdouble(2)) == 12


def test_missing_rule_names_the_primitive() -> None:
    from functrace.core.trace import PRIMITIVES, Primitive

    bare_p = Primitive("bare_of_a_test")
    try:
        text = message(errors.MissingRuleError, lambda: ft.jit(lambda x: bare_p.bind(x))(X))
        assert "'bare_of_a_test'" in text and "def_abstract_eval" in text
    finally:
        del PRIMITIVES["bare_of_a_test"]


def test_jit_options() -> None:
    with pytest.raises(TypeError, match="unknown options: statics"):
        ft.jit(np.sin, statics=1)
    with pytest.raises(ValueError, match="no argument named 'k'"):
        ft.jit(lambda x: x, static_argnames="k")
    with pytest.raises(ValueError, match="out of range"):
        ft.jit(lambda x: x, static_argnums=3)


def test_tracebacks_show_the_users_frames_only() -> None:
    def broken(x: Any) -> Any:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine") as caught:
        ft.grad(lambda x: ft.jit(broken)(x))(1.0)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "broken" in names and "linearize_flat" not in names and "process" not in names
    with ft.config.override(full_tracebacks=True), pytest.raises(RuntimeError) as caught:
        ft.grad(broken)(1.0)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "linearize_flat" in names


def test_errors_keep_what_the_user_raised_them_from() -> None:
    def broken(x: Any) -> Any:
        try:
            return {}["key"]
        except KeyError:
            raise RuntimeError("mine")  # noqa: B904 - the implicit context is what is tested

    with pytest.raises(RuntimeError, match="mine") as caught:
        ft.grad(lambda x: ft.jit(broken)(x))(1.0)
    assert isinstance(caught.value.__context__, KeyError)
    assert not caught.value.__suppress_context__


def test_config() -> None:
    with pytest.raises(AttributeError, match="no setting 'nothing'"):
        ft.config.update("nothing", 1)
    ft.config.update("jax_enable_x64", True)


def test_every_error_class_is_documented_with_a_way_out() -> None:
    for name in errors.__all__:
        value = getattr(errors, name)
        if isinstance(value, type):
            assert len(value.__doc__ or "") > 60, name
