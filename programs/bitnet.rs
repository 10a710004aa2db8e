//! The trained language model under `bitnet/`, as the bytes of its file; `bitnet/README.md` says what it is and how it was made.

/// Bytes at an address that every element type is aligned to, so that a program can read them where they lie.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

const FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("bitnet/model.gguf"));

/// The model: GGUF.
pub static MODEL: &[u8] = &FILE.0;
