"""The parts of SciPy that can be traced."""

from functrace.scipy import special

__all__ = ["special"]
