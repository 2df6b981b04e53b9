//! Image data, profiling, direct bits per dimension and sampling.
