//! Element types and their names in the format.

use std::fmt;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits. Also how bfloat16 travels.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// IEEE binary16.
    F16,
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
    /// One byte, 0 or 1.
    Bool,
}

impl Dtype {
    /// Every element type, once.
    pub const ALL: [Dtype; 12] = [
        Dtype::I8,
        Dtype::I16,
        Dtype::I32,
        Dtype::I64,
        Dtype::U8,
        Dtype::U16,
        Dtype::U32,
        Dtype::U64,
        Dtype::F16,
        Dtype::F32,
        Dtype::F64,
        Dtype::Bool,
    ];

    /// The one table: string in the header, size in bytes, numpy's name.
    const fn row(self) -> (&'static str, usize, &'static str) {
        match self {
            Dtype::I8 => ("|i1", 1, "int8"),
            Dtype::I16 => ("<i2", 2, "int16"),
            Dtype::I32 => ("<i4", 4, "int32"),
            Dtype::I64 => ("<i8", 8, "int64"),
            Dtype::U8 => ("|u1", 1, "uint8"),
            Dtype::U16 => ("<u2", 2, "uint16"),
            Dtype::U32 => ("<u4", 4, "uint32"),
            Dtype::U64 => ("<u8", 8, "uint64"),
            Dtype::F16 => ("<f2", 2, "float16"),
            Dtype::F32 => ("<f4", 4, "float32"),
            Dtype::F64 => ("<f8", 8, "float64"),
            Dtype::Bool => ("|b1", 1, "bool"),
        }
    }

    /// numpy's type string for little-endian elements, such as `<f4`, as the writer puts it in a header.
    #[must_use]
    pub const fn descr(self) -> &'static str {
        self.row().0
    }

    /// Size of one element in bytes: 1, 2, 4 or 8.
    #[must_use]
    pub const fn size_bytes(self) -> usize {
        self.row().1
    }

    /// numpy's name, such as `float32`; also what `Display` prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().2
    }

    /// Every name, for error messages.
    pub(crate) fn list() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The type that a header's type string names, and its byte order.
    ///
    /// Elements of several bytes need `<` or `>`: with `=`, `|` or nothing in front, numpy assumes the order
    /// of the machine that reads, which says nothing about the machine that wrote. One byte has no order, so
    /// there all of these are taken.
    pub(crate) fn from_descr(descr: &str) -> Option<(Dtype, ByteOrder)> {
        let code = descr.strip_prefix(['<', '>', '|', '=']).unwrap_or(descr);
        let dtype = Self::ALL.into_iter().find(|dtype| dtype.descr().get(1..) == Some(code))?;
        match descr.as_bytes().first() {
            Some(b'<') => Some((dtype, ByteOrder::Little)),
            Some(b'>') => Some((dtype, ByteOrder::Big)),
            _ if dtype.size_bytes() == 1 => Some((dtype, ByteOrder::Little)),
            _ => None,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Order of the bytes of one element in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    Big,
}
