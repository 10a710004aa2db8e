//! Element types of tensors in GGUF: their numbers, names and sizes.
//!
//! Numbers 36 to 39 mean one thing in BitNet's files and another in mainline ones; the architecture decides.

use phalanx_formats::{Format, Layout, Tl1, Tl2};

/// An element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its number.
    pub id: u32,
    /// Its name, as the field has it.
    pub name: &'static str,
    /// Columns of a block and bytes of it; `None` for formats whose size is no multiple of blocks.
    pub block: Option<(u64, u64)>,
}

const fn kind(id: u32, name: &'static str, cols: u64, bytes: u64) -> Kind {
    Kind { id, name, block: Some((cols, bytes)) }
}

/// What every reader of GGUF knows.
const MAINLINE: &[Kind] = &[
    kind(0, "F32", 1, 4),
    kind(1, "F16", 1, 2),
    kind(2, "Q4_0", 32, 18),
    kind(3, "Q4_1", 32, 20),
    kind(6, "Q5_0", 32, 22),
    kind(7, "Q5_1", 32, 24),
    kind(8, "Q8_0", 32, 34),
    kind(9, "Q8_1", 32, 36),
    kind(10, "Q2_K", 256, 84),
    kind(11, "Q3_K", 256, 110),
    kind(12, "Q4_K", 256, 144),
    kind(13, "Q5_K", 256, 176),
    kind(14, "Q6_K", 256, 210),
    kind(15, "Q8_K", 256, 292),
    kind(24, "I8", 1, 1),
    kind(25, "I16", 1, 2),
    kind(26, "I32", 1, 4),
    kind(27, "I64", 1, 8),
    kind(28, "F64", 1, 8),
    kind(30, "BF16", 1, 2),
    kind(34, "TQ1_0", 256, 54),
    kind(35, "TQ2_0", 256, 66),
];

/// BitNet's own.
const BITNET: &[Kind] = &[
    Kind { id: 36, name: "I2_S", block: None },
    Kind { id: 38, name: "TL1", block: None },
    Kind { id: 39, name: "TL2", block: None },
];

/// The element type of a number in a file of an architecture.
pub fn kind_of(id: u32, bitnet: bool) -> Option<Kind> {
    let own = if bitnet { BITNET } else { &[] };
    MAINLINE.iter().chain(own).find(|k| k.id == id).copied()
}

impl Kind {
    /// The format of a matrix of this type, where this workspace reads it. `layout` is that of I2_S; tiles are those that the
    /// writers of TL1 and TL2 use for the shape.
    pub fn format(self, layout: Layout, n: usize, k: usize) -> Option<Format> {
        Some(match self.name {
            "F32" => Format::F32,
            "F16" => Format::F16,
            "BF16" => Format::Bf16,
            "I8" => Format::I8,
            "Q4_0" => Format::Q4_0,
            "Q8_0" => Format::Q8_0,
            "Q6_K" => Format::Q6K,
            "TQ1_0" => Format::Tq1_0,
            "TQ2_0" => Format::Tq2_0,
            "I2_S" => Format::I2S(layout),
            "TL1" => Format::Tl1(Tl1::for_shape(n, k)),
            "TL2" => Format::Tl2(Tl2::for_shape(n, k)),
            _ => return None,
        })
    }

    /// The number under which a format is written.
    pub fn id_of(format: Format) -> u32 {
        let all = MAINLINE.iter().chain(BITNET);
        // Every format is named in the tables: a test of this module walks them all.
        all.into_iter().find(|k| k.name == format.name()).map_or(u32::MAX, |k| k.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_its_number_and_size() {
        let tl = (Tl1::for_shape(32, 256), Tl2::for_shape(32, 256));
        for format in [
            Format::F32,
            Format::F16,
            Format::Bf16,
            Format::I8,
            Format::Q4_0,
            Format::Q8_0,
            Format::Q6K,
            Format::Tq1_0,
            Format::Tq2_0,
            Format::I2S(Layout::X86),
            Format::Tl1(tl.0),
            Format::Tl2(tl.1),
        ] {
            let kind = kind_of(Kind::id_of(format), true).expect("a number");
            assert_eq!(kind.format(Layout::X86, 32, 256), Some(format));
            if let Some((cols, bytes)) = kind.block {
                assert_eq!(format.block(), (cols as usize, bytes as usize), "{format}");
            }
        }
        assert_eq!(kind_of(36, false), None);
    }
}
