"""Uses: lax convolution (strides, padding, NHWC), numpy.convolve, einsum, attention; gradients."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp
from functrace import lax

IMAGE = jnp.sin(jnp.arange(2 * 3 * 6 * 5) * 0.7).reshape(2, 3, 6, 5)
KERNEL = jnp.cos(jnp.arange(4 * 3 * 3 * 2) * 0.3).reshape(4, 3, 3, 2)
SIGNAL = jnp.array([1.0, -2.0, 0.5, 3.0, -1.0, 0.25])
TAPS = jnp.array([0.5, 1.0, -0.25])


def same(x, k):
    return lax.conv(x, k, (1, 1), "SAME")


def strided(x, k):
    return lax.conv_general_dilated(x, k, (2, 1), [(1, 0), (0, 1)])


def channels_last(x, k):
    return lax.conv_general_dilated(
        jnp.transpose(x, (0, 2, 3, 1)),
        jnp.transpose(k, (2, 3, 1, 0)),
        window_strides=(1, 1),
        padding="VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def by_einsum(x, k):
    """A valid convolution as a sum over shifted windows."""
    height, width = x.shape[2] - k.shape[2] + 1, x.shape[3] - k.shape[3] + 1
    total = jnp.zeros((x.shape[0], k.shape[0], height, width))
    for i in range(k.shape[2]):
        for j in range(k.shape[3]):
            window = x[:, :, i : i + height, j : j + width]
            total = total + jnp.einsum("nchw,oc->nohw", window, k[:, :, i, j])
    return total


def softmax(x):
    e = jnp.exp(x - jnp.max(x, axis=-1, keepdims=True))
    return e / jnp.sum(e, axis=-1, keepdims=True)


def attention(q, k, v):
    """Scaled dot-product attention of each head: (heads, length, size)."""
    weights = softmax(jnp.einsum("hqd,hkd->hqk", q, k) / q.shape[-1] ** 0.5)
    return jnp.einsum("hqk,hkd->hqd", weights, v)


def loss(f):
    return lambda x, k: jnp.sum(jnp.tanh(f(x, k)) ** 2)


def main():
    out = {}
    for f in (same, strided, channels_last):
        out[f.__name__] = f(IMAGE, KERNEL)
        out[f.__name__ + "_grads"] = jax.grad(loss(f), argnums=(0, 1))(IMAGE, KERNEL)
    gap = by_einsum(IMAGE, KERNEL) - jnp.transpose(channels_last(IMAGE, KERNEL), (0, 3, 1, 2))
    out["einsum_agrees"] = bool(jnp.max(jnp.abs(gap)) < 1e-13)
    for mode in ("full", "same", "valid"):
        out[f"convolve_{mode}"] = jnp.convolve(SIGNAL, TAPS, mode=mode)
    out["convolve_grads"] = jax.grad(lambda s, t: jnp.sum(jnp.convolve(s, t) ** 2), argnums=(0, 1))(
        SIGNAL, TAPS
    )

    a, b = jnp.arange(6.0).reshape(2, 3) / 5.0, jnp.arange(12.0).reshape(3, 4) / 7.0
    out["einsum"] = [
        jnp.einsum("ij,jk->ik", a, b),
        jnp.einsum("ij->ji", a),
        jnp.einsum("ij->", a),
        jnp.einsum("ii->i", a @ a.T),
        jnp.einsum("ii", a @ a.T),
        jnp.einsum("ij,kj->ikj", a, a),
        jnp.einsum("ij,jk,kl->il", a, b, b.T),
        jnp.einsum("...j,j", a, jnp.array([1.0, 2.0, 3.0])),
    ]
    out["einsum_grads"] = jax.grad(
        lambda a, b: jnp.sum(jnp.einsum("ij,jk,ik->k", a, b, a @ b) ** 2), argnums=(0, 1)
    )(a, b)
    q = jnp.sin(jnp.arange(24.0)).reshape(2, 4, 3)
    out["attention"] = attention(q, q + 0.5, q * q)
    out["attention_grads"] = jax.grad(
        lambda *qkv: jnp.sum(attention(*qkv) ** 2), argnums=(0, 1, 2)
    )(q, q + 0.5, q * q)
    out["vmapped_kernels"] = jax.vmap(jnp.convolve, in_axes=(None, 0))(
        SIGNAL, jnp.stack([TAPS, TAPS[::-1]])
    )
    return out


TRANSFORMABLE = [
    (same, (IMAGE, KERNEL)),
    (strided, (IMAGE, KERNEL)),
    (by_einsum, (IMAGE, KERNEL)),
    (attention, (jnp.sin(jnp.arange(24.0)).reshape(2, 4, 3),) * 3),
    (jnp.convolve, (SIGNAL, TAPS)),
]
