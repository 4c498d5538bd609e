"""What JAX keeps under ``jax.experimental``, by the same names."""

from functrace.control.host.callbacks import io_callback as io_callback
