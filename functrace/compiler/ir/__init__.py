"""The typed kernel IR: its data, the builder lowering rules write with, and its mathematics."""
