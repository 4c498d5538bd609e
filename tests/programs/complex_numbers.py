"""Uses: complex derivatives: grad(holomorphic=True), real losses of complex numbers, vjp, jvp."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp

Z = 1.2 - 0.7j
ZS = jnp.array([0.5 + 1.0j, -0.3 + 0.2j, 1.0 - 2.0j])


def holomorphic(z):
    return jnp.sin(z) * z**2 + jnp.exp(-z)


def loss(z):
    """Real, of complex numbers: not holomorphic."""
    return jnp.sum(jnp.abs(z) ** 2) + jnp.real(z[0] * jnp.conj(z[1]))


def phase(t):
    """Complex inside, real at both ends."""
    return jnp.abs(jnp.exp(1j * t) + 0.5 * jnp.exp(2j * t)) ** 2


def by_parts(x, y):
    z = holomorphic(x + 1j * y)
    return jnp.real(z), jnp.imag(z)


def main():
    out = {}
    out["holomorphic"] = jax.grad(holomorphic, holomorphic=True)(Z)
    out["second"] = jax.grad(jax.grad(holomorphic, holomorphic=True), holomorphic=True)(Z)
    out["jvp"] = jax.jvp(holomorphic, (Z,), (1.0 + 0.0j,))
    out["jvp_turned"] = jax.jvp(holomorphic, (Z,), (0.5 - 2.0j,))
    value, pullback = jax.vjp(holomorphic, Z)
    out["vjp"] = [value, pullback(jnp.array(1.0 + 0.0j))[0], pullback(jnp.array(1.0j))[0]]
    out["conjugate"] = jax.vjp(jnp.conj, ZS)[1](1j * ZS)[0]
    out["loss"] = jax.value_and_grad(loss)(ZS)
    z = ZS
    for _ in range(20):  # with JAX's convention a step down is along the conjugate
        z = z - 0.1 * jnp.conj(jax.grad(loss)(z))
    out["descended"] = z
    out["phase"] = jax.value_and_grad(phase)(0.8)
    out["phase_second"] = jax.grad(jax.grad(phase))(0.8)
    (u_x, v_x) = jax.jacrev(by_parts, argnums=0)(1.2, -0.7)
    (u_y, v_y) = jax.jacrev(by_parts, argnums=1)(1.2, -0.7)
    out["cauchy_riemann"] = [u_x, v_x, u_y, v_y]
    out["jacfwd"] = jax.jacfwd(lambda z: z**2 * ZS[::-1], holomorphic=True)(ZS)
    out["jacrev"] = jax.jacrev(lambda z: jnp.cumsum(z) * z, holomorphic=True)(ZS)
    out["vmapped"] = jax.vmap(jax.grad(holomorphic, holomorphic=True))(ZS)
    out["jitted"] = jax.jit(jax.grad(holomorphic, holomorphic=True))(Z)
    out["matmul"] = jax.grad(lambda z: jnp.real(z @ jnp.conj(z)))(ZS)
    out["angle"] = jax.grad(lambda z: jnp.sum(jnp.angle(z)))(ZS)
    return out


TRANSFORMABLE = [(phase, (jnp.array(0.8),)), (phase, (jnp.array([0.1, 0.2]),))]
