"""The array primitives: every rule of one primitive side by side, adjoint partners in one file."""
