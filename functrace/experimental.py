"""What JAX keeps under ``jax.experimental``, by the same names."""

from functrace.control.callbacks import io_callback as io_callback
