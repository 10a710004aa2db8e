//! The lockstep executor: all lanes of a block together, with SIMD.
