//! I2_S: ternary codes, four to a byte, and one f32 scale for the whole matrix after them.
//!
//! The same type number and size stand for three arrangements of the codes, by the build that wrote the file, and nothing in the
//! file says which ([`Layout`]). A code is the weight plus one; 3 does not occur.

use std::fmt;

/// Bytes after the codes: the scale, then nothing.
pub(crate) const TAIL: usize = 32;

/// How the codes of I2_S stand in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// Runs of 128 weights in 32 bytes: bits 7 and 6 of byte `p` are weight `p` of the run, 5 and 4 are `p + 32`, then
    /// `p + 64`, `p + 96`. x86 builds, Arm builds before the end of 2025, and the published files.
    #[default]
    X86,
    /// Runs of 64 weights in 16 bytes, likewise. Arm builds since.
    Arm,
    /// Four rows side by side: byte `c` of a group of rows is column `c`, bits 7 and 6 the first row. x86 builds without
    /// `ACT_PARALLEL`.
    FourRows,
}

impl Layout {
    /// Every layout.
    pub const ALL: [Layout; 3] = [Layout::X86, Layout::Arm, Layout::FourRows];

    /// The name used on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Layout::X86 => "x86",
            Layout::Arm => "arm",
            Layout::FourRows => "four-rows",
        }
    }

    /// The layout of a name.
    pub fn from_name(name: &str) -> Option<Layout> {
        Layout::ALL.into_iter().find(|l| l.name() == name)
    }

    /// Weights of a run and its bytes; `None` where rows stand side by side.
    const fn run(self) -> Option<(usize, usize)> {
        match self {
            Layout::X86 => Some((128, 32)),
            Layout::Arm => Some((64, 16)),
            Layout::FourRows => None,
        }
    }

    pub(crate) fn check(self, n: usize, k: usize) -> Result<(), String> {
        match self.run() {
            Some((run, _)) if !(n * k).is_multiple_of(run) => Err(format!(
                "the layout \"{self}\" writes runs of {run} weights and has no rule for a part of one; pad the rows, or choose \
                 another format"
            )),
            None if !n.is_multiple_of(4) => {
                Err("the layout \"four-rows\" needs a multiple of 4 rows; choose another layout".into())
            }
            _ => Ok(()),
        }
    }

    /// Where weight `col` of `row` stands: byte, and shift of its two bits. Runs follow each other through all rows, so that
    /// they straddle rows where `k` is no multiple of a run.
    fn place(self, k: usize, row: usize, col: usize) -> (usize, u32) {
        match self.run() {
            Some((run, bytes)) => {
                let at = row * k + col;
                let (whole, in_run) = (at / run, at % run);
                (whole * bytes + in_run % bytes, 6 - 2 * (in_run / bytes) as u32)
            }
            None => (row / 4 * k + col, 6 - 2 * (row % 4) as u32),
        }
    }

    /// A row's codes.
    pub(crate) fn decode(self, bytes: &[u8], k: usize, row: usize, codes: &mut [i8]) {
        match self.run() {
            Some((run, size)) if k.is_multiple_of(run) => {
                let bytes = &bytes[row * k / 4..][..k / 4];
                for (part, out) in bytes.chunks_exact(size).zip(codes.chunks_exact_mut(run)) {
                    for (plane, out) in out.chunks_exact_mut(size).enumerate() {
                        for (code, byte) in out.iter_mut().zip(part) {
                            *code = (byte >> (6 - 2 * plane) & 3) as i8 - 1;
                        }
                    }
                }
            }
            None => {
                let shift = 6 - 2 * (row % 4);
                for (code, byte) in codes.iter_mut().zip(&bytes[row / 4 * k..]) {
                    *code = (byte >> shift & 3) as i8 - 1;
                }
            }
            Some(_) => {
                for (col, code) in codes.iter_mut().enumerate() {
                    let (byte, shift) = self.place(k, row, col);
                    *code = (bytes[byte] >> shift & 3) as i8 - 1;
                }
            }
        }
    }

    /// Sets a row's codes in zeroed bytes.
    pub(crate) fn encode(self, bytes: &mut [u8], k: usize, row: usize, codes: &[i8]) {
        for (col, code) in codes.iter().enumerate() {
            let (byte, shift) = self.place(k, row, col);
            bytes[byte] |= ((code + 1) as u8) << shift;
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
