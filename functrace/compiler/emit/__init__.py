"""The printers of the kernel IR: LLVM for machine code, Numba source to read and as the oracle."""
