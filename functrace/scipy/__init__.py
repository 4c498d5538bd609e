"""The parts of SciPy that can be traced."""

from functrace.scipy import linalg, sparse, special

__all__ = ["linalg", "sparse", "special"]
