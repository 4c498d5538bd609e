"""Primitives that hold jaxprs, in the same form as ``ops``."""
