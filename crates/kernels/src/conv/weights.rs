//! Filters in packed form: the same layouts as matrices, with the columns in the order in which a band of input lies.
//!
//! A filter's weights are cut into *runs*: columns that lie side by side in the input too. With column dilation 1 and one group a
//! run is a whole filter row, `kernel[1] * channels` long; otherwise it is the channels of one tap. Runs of integers are filled up
//! to a multiple of 4 with weights of 0, so that a 32-bit word of input always meets four weights of one run; what the input
//! holds there does not matter. Each group's filters are filled up to a multiple of 16 rows.

use super::depthwise::{self, CHANNELS, quad_at};
use super::fft::Spectra;
use super::winograd::Points;
use super::{Algorithm, Conv, ConvError, ConvPart};
use crate::PackedFormat;
use crate::packed::{PackError, PackedWeights, Scales};

/// Packed rows that one vector register of 64 bytes sees; groups begin at multiples of it.
pub(super) const ROWS: usize = 16;

/// Where the weights of a convolution lie in their packed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Runs of a filter.
    pub(super) runs: usize,
    /// Columns of a run that hold weights.
    pub(super) cols: usize,
    /// Columns of a run, filled up.
    pub(super) padded: usize,
    /// Packed rows of a group.
    pub(super) group_rows: usize,
}

impl Layout {
    fn of(conv: &Conv, float: bool) -> Layout {
        let s = conv.shape();
        let [kh, kw] = s.kernel;
        let whole_rows = s.groups == 1 && (s.dilation[1] == 1 || kw == 1);
        let (runs, cols) = if whole_rows { (kh, kw * conv.group_in()) } else { (kh * kw, conv.group_in()) };
        let padded = if float { cols } else { cols.next_multiple_of(4) };
        Layout { runs, cols, padded, group_rows: conv.group_out().next_multiple_of(ROWS) }
    }

    /// Packed column of a filter's weight.
    fn col(&self, tap: usize, channel: usize, channels: usize) -> usize {
        let k = tap * channels + channel;
        k / self.cols * self.padded + k % self.cols
    }
}

/// Packed rows, or what other algorithms take instead.
pub(super) enum Store {
    Rows(PackedWeights),
    /// Depthwise filters: for each group of 64 channels, each tap's 64 weights.
    Taps(Vec<f32>),
    /// Depthwise filters of integers, where [`quad_at`] says.
    Quads(PackedFormat, Vec<i8>),
    Points(Points),
    Spectra(Spectra),
}

/// A convolution and its filters.
pub struct ConvWeights {
    pub(super) store: Store,
    algorithm: Algorithm,
    pub(super) layout: Layout,
    conv: Conv,
    /// The sum of each packed row's integers; for depthwise filters, each filter's.
    sums: Vec<i32>,
}

impl std::fmt::Debug for ConvWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ConvWeights({}, {} filters of {} taps, {} channels)",
            self.format(),
            self.filters(),
            self.conv.taps(),
            self.conv.group_in()
        )
    }
}

impl ConvWeights {
    /// Packs integer filters into [`PackedFormat::T2`] or [`PackedFormat::I8`]. `weights` are in the order OIHW:
    /// `[filter][channel of its group][row][column]`.
    ///
    /// # Errors
    /// Lengths that do not fit, a layout that is not for convolutions, a weight outside its range, no memory.
    pub fn integers(conv: &Conv, format: PackedFormat, weights: &[i8]) -> Result<ConvWeights, ConvError> {
        if !matches!(format, PackedFormat::T2 | PackedFormat::I8) {
            return Err(
                PackError::Kind { format, what: "filters of 8-bit integers or ternary values" }.into()
            );
        }
        let algorithm = conv.algorithm(false)?.algorithm;
        let layout = Layout::of(conv, false);
        let place = Place::new(conv, &layout, weights)?;
        if algorithm == Algorithm::Depthwise {
            let low = if format == PackedFormat::T2 { -1..=1 } else { i8::MIN..=i8::MAX };
            if let Some(at) = weights.iter().position(|w| !low.contains(w)) {
                let (row, col) = (at / conv.taps(), at % conv.taps());
                return Err(PackError::Value { format, row, col, value: weights[at] }.into());
            }
            let sums = weights.chunks(conv.taps()).map(|f| f.iter().map(|w| i32::from(*w)).sum()).collect();
            let mut quads = vec![0; depthwise::quads_len(conv)];
            let (filters, taps) = (conv.shape().out_channels, conv.taps());
            // Again and again up to a whole group: where there are few channels, several pixels make a vector.
            for channel in 0..filters.next_multiple_of(CHANNELS) {
                for tap in 0..taps {
                    quads[quad_at(conv, channel, tap)] = weights[channel % filters * taps + tap];
                }
            }
            let store = Store::Quads(format, quads);
            return Ok(ConvWeights { store, algorithm, layout, conv: *conv, sums });
        }
        let mut sums = vec![0; place.rows];
        let packed = PackedWeights::pack(format, place.rows, place.cols, Scales::None, |row, out| {
            out.fill(0);
            place.fill(row, |col, at| out[col] = weights[at]);
            sums[row] = out.iter().map(|w| i32::from(*w)).sum();
        })?;
        Ok(ConvWeights { store: Store::Rows(packed), algorithm, layout, conv: *conv, sums })
    }

    /// Packs f32 filters, in the order OIHW.
    ///
    /// # Errors
    /// Another number of weights than the filters have, no memory.
    pub fn floats(conv: &Conv, weights: &[f32]) -> Result<ConvWeights, ConvError> {
        let algorithm = conv.algorithm(true)?.algorithm;
        let layout = Layout::of(conv, true);
        let place = Place::new(conv, &layout, weights)?;
        let store = match algorithm {
            Algorithm::Depthwise => Store::Taps(taps(conv, |at| weights[at])),
            Algorithm::Winograd => Store::Points(Points::new(conv, weights)?),
            Algorithm::Fft => Store::Spectra(Spectra::new(conv, weights)?),
            Algorithm::Direct | Algorithm::Im2col => {
                Store::Rows(PackedWeights::pack_f32(place.rows, place.cols, |row, out| {
                    out.fill(0.0);
                    place.fill(row, |col, at| out[col] = weights[at]);
                })?)
            }
        };
        Ok(ConvWeights { store, algorithm, layout, conv: *conv, sums: Vec::new() })
    }

    /// The layout of the packed rows.
    pub fn format(&self) -> PackedFormat {
        match &self.store {
            Store::Rows(packed) => packed.format(),
            Store::Quads(format, _) => *format,
            Store::Taps(_) | Store::Points(_) | Store::Spectra(_) => PackedFormat::F32,
        }
    }
    /// Bytes of the packed form.
    pub fn bytes(&self) -> usize {
        match &self.store {
            Store::Rows(packed) => packed.bytes().len(),
            Store::Taps(taps) => size_of_val(&taps[..]),
            Store::Quads(_, quads) => quads.len(),
            Store::Points(points) => points.bytes(),
            Store::Spectra(spectra) => spectra.bytes(),
        }
    }
    /// How its sums are made.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
    /// Whether a part of its output can be computed by itself.
    ///
    /// # Errors
    /// [`ConvError::Part`].
    pub fn check_part(&self, part: &ConvPart) -> Result<(), ConvError> {
        part.check(&self.conv)?;
        let (of, (from, to)) = (self.conv.output()[0], part.rows);
        // A spectrum is of all rows.
        if self.algorithm == Algorithm::Fft && from < to && (from, to) != (0, of) {
            return Err(ConvError::Part { what: "output rows", from, to, of });
        }
        Ok(())
    }
    /// The packed rows, where the algorithm has such.
    pub(super) fn packed(&self) -> Option<&PackedWeights> {
        match &self.store {
            Store::Rows(packed) => Some(packed),
            _ => None,
        }
    }
    /// Depthwise filters of floats: for each group of 64 channels, each tap's 64 weights.
    pub(super) fn taps(&self) -> Option<&[f32]> {
        match &self.store {
            Store::Taps(taps) => Some(taps),
            _ => None,
        }
    }
    /// Depthwise filters of integers, where [`quad_at`] says.
    pub(super) fn quads(&self) -> Option<&[i8]> {
        match &self.store {
            Store::Quads(_, quads) => Some(quads),
            _ => None,
        }
    }
    /// The convolution.
    pub fn conv(&self) -> &Conv {
        &self.conv
    }
    /// Number of filters.
    pub fn filters(&self) -> usize {
        self.conv.shape().out_channels
    }
    /// Weights of a filter.
    pub fn filter_len(&self) -> usize {
        self.conv.taps() * self.conv.group_in()
    }
    /// The sum of a filter's integers; 0 for floats.
    pub(super) fn sum(&self, filter: usize) -> i32 {
        let row = match self.store {
            Store::Taps(_) | Store::Quads(..) => filter,
            _ => self.place(filter, 0, 0).0,
        };
        self.sums.get(row).copied().unwrap_or(0)
    }
    /// [`ConvWeights::sum`] of all filters, where they lie one after the other.
    pub(super) fn sums(&self) -> Option<&[i32]> {
        let spread = matches!(self.store, Store::Rows(_)) && self.conv.shape().groups > 1;
        self.sums.get(..self.filters()).filter(|_| !spread)
    }
    fn place(&self, filter: usize, tap: usize, channel: usize) -> (usize, usize) {
        let group_out = self.conv.group_out();
        let row = filter / group_out * self.layout.group_rows + filter % group_out;
        (row, self.layout.col(tap, channel, self.conv.group_in()))
    }
    /// An integer weight.
    ///
    /// # Panics
    /// Where there is none at this place.
    pub fn integer(&self, filter: usize, tap: usize, channel: usize) -> i8 {
        let (row, col) = self.place(filter, tap, channel);
        match &self.store {
            Store::Rows(packed) => packed.get(row, col),
            Store::Quads(_, quads) => quads[quad_at(&self.conv, filter, tap)],
            _ => self.value(filter, tap, channel) as i8,
        }
    }
    /// A weight's value.
    ///
    /// # Panics
    /// Where there is none at this place, or the algorithm keeps something else than weights.
    pub fn value(&self, filter: usize, tap: usize, channel: usize) -> f32 {
        let (row, col) = self.place(filter, tap, channel);
        match &self.store {
            Store::Rows(packed) => packed.value(row, col),
            Store::Quads(_, quads) => f32::from(quads[quad_at(&self.conv, filter, tap)]),
            Store::Taps(taps) => taps[depthwise::tap_at(&self.conv, filter, tap)],
            // Refused before any body or reference comes here.
            Store::Points(_) | Store::Spectra(_) => {
                panic!("these filters are kept as something else than weights")
            }
        }
    }
}

/// Depthwise filters as [`Store::Taps`]: `weight` has the weight at an OIHW index.
fn taps(conv: &Conv, weight: impl Fn(usize) -> f32) -> Vec<f32> {
    let (filters, taps) = (conv.shape().out_channels, conv.taps());
    let mut all = vec![0.0; filters.next_multiple_of(CHANNELS) * taps];
    for filter in 0..filters {
        for tap in 0..taps {
            all[depthwise::tap_at(conv, filter, tap)] = weight(filter * taps + tap);
        }
    }
    all
}

/// From OIHW to packed rows.
struct Place<'a> {
    conv: &'a Conv,
    layout: &'a Layout,
    rows: usize,
    cols: usize,
}

impl<'a> Place<'a> {
    fn new<T>(conv: &'a Conv, layout: &'a Layout, weights: &[T]) -> Result<Self, ConvError> {
        if weights.len() != conv.weights_len() {
            let (found, expected) = (weights.len(), conv.weights_len());
            return Err(ConvError::Length { what: "the weights", found, expected });
        }
        let rows = conv.shape().groups.checked_mul(layout.group_rows);
        let cols = layout.runs.checked_mul(layout.padded);
        let (Some(rows), Some(cols)) = (rows, cols) else {
            return Err(ConvError::TooLarge { what: "the packed weights" });
        };
        Ok(Place { conv, layout, rows, cols })
    }

    /// Calls `put(packed column, OIHW index)` for each weight of a packed row.
    fn fill(&self, row: usize, mut put: impl FnMut(usize, usize)) {
        let (group, in_group) = (row / self.layout.group_rows, row % self.layout.group_rows);
        if in_group >= self.conv.group_out() {
            return;
        }
        let (taps, channels) = (self.conv.taps(), self.conv.group_in());
        let filter = group * self.conv.group_out() + in_group;
        for channel in 0..channels {
            for tap in 0..taps {
                put(self.layout.col(tap, channel, channels), (filter * channels + channel) * taps + tap);
            }
        }
    }
}
