"""Side-by-side timings of functrace and its peers: ``python -m benchmarks``."""
