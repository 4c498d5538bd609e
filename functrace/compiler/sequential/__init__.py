"""Loops and branches over scalars and small arrays, each as one kernel."""
