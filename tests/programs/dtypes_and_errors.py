"""Uses: dtype rules, float32 gradients, astype, allow_int; errors: leaks, float(), shapes, ints."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp

F32 = jnp.array([1.0, 2.0, 3.0], dtype=jnp.float32)
F64 = jnp.array([1.0, 2.0, 3.0], dtype=jnp.float64)
I32 = jnp.array([1, 2, 3], dtype=jnp.int32)
I64 = jnp.array([1, 2, 3])
BOOL = jnp.array([True, False, True])


def dtype_of(f, *args):
    """The dtype plain, under jit and by abstract evaluation: all three must agree."""
    names = {str(jnp.asarray(f(*args)).dtype), str(jax.jit(f)(*args).dtype)}
    names.add(str(jax.eval_shape(f, *args).dtype))
    return "/".join(sorted(names))


def raises(kinds, f, *args):
    try:
        f(*args)
    except kinds:
        return True
    return False


def leak():
    """A traced value kept beyond its function, and used after it."""
    kept = []

    def f(x):
        kept.append(x * 2.0)
        return x

    jax.jit(f)(1.0)
    return kept[0] + 1.0


def mixed(x):
    return jnp.sum(x.astype(jnp.float32) ** 2).astype(jnp.float64) * 0.5


def main():
    out = {}
    out["python_float"] = dtype_of(lambda x: x * 2.5, F32)
    out["python_int"] = dtype_of(lambda x: x + 1, F32)
    out["promote"] = dtype_of(lambda x, y: x + y, F32, F64)
    out["bool_plus_int"] = dtype_of(lambda x, y: x + y, BOOL, I32)
    out["bool_float"] = dtype_of(lambda x, y: x * y, BOOL, F32)
    out["int_division"] = dtype_of(lambda x, y: x / y, I64, I64)
    out["int_floor_division"] = dtype_of(lambda x, y: x // y, I64, I64)
    out["int_mean"] = dtype_of(jnp.mean, I64)
    out["int_sum"] = dtype_of(jnp.sum, I64)
    out["bool_sum"] = dtype_of(jnp.sum, BOOL)
    out["comparison"] = dtype_of(lambda x: x > 2, F32)
    out["sin_float32"] = dtype_of(jnp.sin, F32)
    out["sin_int"] = dtype_of(jnp.sin, I64)
    out["sum_float32"] = dtype_of(jnp.sum, F32)
    out["where"] = dtype_of(lambda m, x: jnp.where(m, x, 0.0), BOOL, F32)
    out["argmax"] = dtype_of(jnp.argmax, F32)
    out["zeros_like"] = dtype_of(jnp.zeros_like, F32)
    out["matmul"] = dtype_of(lambda x, y: x @ y, F32, F32)
    out["astype"] = dtype_of(lambda x: x.astype(jnp.int32), F64)
    out["real_of_complex"] = dtype_of(lambda x: jnp.real(jnp.exp(1j * x)), F64)

    out["grad_float32"] = jax.grad(lambda x: jnp.sum(x**2))(F32)
    out["grad_through_astype"] = jax.grad(mixed)(F64)
    out["grad_of_mixed"] = jax.grad(lambda a, b: jnp.sum(a * b), argnums=(0, 1))(F32, F64)
    out["jvp_float32"] = jax.jvp(jnp.sin, (F32,), (jnp.ones_like(F32),))
    out["allow_int"] = jax.grad(lambda i, x: i * x, (0, 1), allow_int=True)(3, 2.0)[1]
    out["integers_pass"] = jax.grad(lambda x: x * jnp.sum(I32 // 2))(2.0)
    out["overflow"] = jax.jit(lambda x: x * x)(jnp.array([100], dtype=jnp.int8))

    out["errors"] = {
        "leak": raises(Exception, leak),
        "float_under_jit": raises(TypeError, jax.jit(lambda x: float(x) * x), 1.0),
        "bool_under_jit": raises(TypeError, jax.jit(lambda x: x if x > 0 else -x), 1.0),
        "range_under_jit": raises(TypeError, jax.jit(lambda n: list(range(n))), 3),
        "float_under_grad": raises(TypeError, jax.grad(lambda x: x * float(x)), 1.0),
        "not_scalar": raises(TypeError, jax.grad(lambda x: x * 2.0), F64),
        "integer_input": raises(TypeError, jax.grad(lambda x: x * 2.0), 3),
        "complex_output": raises(TypeError, jax.grad(lambda x: x * 1j), 1.0),
        "vjp_structure": raises((TypeError, ValueError), jax.vjp(jnp.sin, 1.0)[1], (1.0, 2.0)),
        "vmap_sizes": raises(ValueError, jax.vmap(jnp.dot), jnp.ones((2, 3)), jnp.ones((4, 3))),
        "vmap_scalar": raises(ValueError, jax.vmap(jnp.sin), 1.0),
        "shapes": raises((TypeError, ValueError), jax.jit(lambda x, y: x + y), F64, jnp.ones(4)),
        "unhashable_static": raises(
            (TypeError, ValueError), jax.jit(lambda x, n: x, static_argnums=1), 1.0, [1]
        ),
        "bad_leaf": raises(TypeError, jax.jit(lambda x: x), "text"),
        "exception_passes": raises(KeyError, jax.jit(lambda x: {}["missing"]), 1.0),
    }
    out["still_works"] = jax.grad(lambda x: x * x)(3.0)
    return out


TRANSFORMABLE = [(lambda x: jnp.sum(jnp.sin(x) * F32), (F64,))]
