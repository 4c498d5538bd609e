"""What runs: objects built and kept, the native driver, programs, BLAS."""
