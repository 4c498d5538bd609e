"""Kernels as Python source for Numba, and what that source calls."""
