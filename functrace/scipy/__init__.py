"""The parts of SciPy that can be traced."""

from functrace.scipy import linalg, special

__all__ = ["linalg", "special"]
