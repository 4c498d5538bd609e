"""Loops and branches: functions as jaxprs, the primitives that hold them, their rules."""
