//! Matrices that a product reads and writes: rows of a slice with a stride, and output tiles that may be divided over threads.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

/// A shape that does not fit its slice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rows} rows of {cols} with stride {stride} do not fit in {len} elements (rows may not overlap)")]
pub struct StrideError {
    rows: usize,
    cols: usize,
    stride: usize,
    len: usize,
}

/// Checks that `rows` rows of `cols` elements, `stride` apart, lie side by side in `len` elements.
fn check(rows: usize, cols: usize, stride: usize, len: usize) -> Result<(), StrideError> {
    let last = rows.saturating_sub(1);
    let end = if rows == 0 { Some(0) } else { last.checked_mul(stride).and_then(|s| s.checked_add(cols)) };
    match end {
        Some(end) if end <= len && (last == 0 || stride >= cols) => Ok(()),
        _ => Err(StrideError { rows, cols, stride, len }),
    }
}

/// Rows of activations.
#[derive(Clone, Copy)]
pub struct Rows<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a, T> Rows<'a, T> {
    /// `rows` rows of `cols` elements, each beginning `stride` elements after the one before.
    ///
    /// # Errors
    /// Where they overlap or pass the end of `data`.
    pub fn new(data: &'a [T], rows: usize, cols: usize, stride: usize) -> Result<Self, StrideError> {
        check(rows, cols, stride, data.len())?;
        Ok(Rows { data, rows, cols, stride })
    }
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Elements of a row.
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// Elements from a row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }
    /// The first element.
    pub(crate) fn as_ptr(&self) -> *const T {
        self.data.as_ptr()
    }
    /// Row `i`.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn row(&self, i: usize) -> &'a [T] {
        assert!(i < self.rows, "row {i} of {}", self.rows);
        &self.data[i * self.stride..][..self.cols]
    }
    /// Rows `from..to`.
    ///
    /// # Panics
    /// Where they are not all there.
    pub fn range(&self, from: usize, to: usize) -> Self {
        assert!(from <= to && to <= self.rows, "rows {from}..{to} of {}", self.rows);
        let start = if from == to { 0 } else { from * self.stride };
        Rows { data: &self.data[start..], rows: to - from, ..*self }
    }
    /// Columns `from..from + count` of all rows.
    ///
    /// # Panics
    /// Where they are not all there.
    pub(crate) fn columns(&self, from: usize, count: usize) -> Self {
        assert!(from + count <= self.cols, "columns {from}.. of {}", self.cols);
        let start = if self.rows == 0 { 0 } else { from };
        Rows { data: &self.data[start..], cols: count, ..*self }
    }
    /// The first row as `rows` rows that follow each other.
    ///
    /// # Panics
    /// Where it does not divide.
    pub(crate) fn divided(&self, rows: usize) -> Self {
        assert!(self.cols.is_multiple_of(rows), "{} elements as {rows} rows", self.cols);
        let cols = self.cols / rows;
        Rows { data: self.row(0), rows, cols, stride: cols }
    }
}

impl<T> fmt::Debug for Rows<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({} x {}, stride {})", self.rows, self.cols, self.stride)
    }
}

/// A box of an output matrix that its holder alone may touch. Dividing it gives boxes for several threads.
pub struct Tile<'a, T> {
    first: *mut T,
    rows: usize,
    cols: usize,
    stride: usize,
    memory: PhantomData<&'a mut [T]>,
}

// SAFETY: a tile stands for exclusive references to its rows, which may be sent where `&mut [T]` may.
unsafe impl<T: Send> Send for Tile<'_, T> {}

impl<'a, T> Tile<'a, T> {
    /// `rows` rows of `cols` elements, each beginning `stride` elements after the one before.
    ///
    /// # Errors
    /// Where they overlap or pass the end of `data`.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize, stride: usize) -> Result<Self, StrideError> {
        check(rows, cols, stride, data.len())?;
        Ok(Tile { first: data.as_mut_ptr(), rows, cols, stride, memory: PhantomData })
    }

    /// As [`Tile::new`] from a pointer.
    ///
    /// # Safety
    /// For `i` below `rows`, the `cols` elements from `first + i * stride` lie in one allocation with `first`, are initialised
    /// and, for as long as the tile and what it is divided into live, accessed through these alone. `stride` is at least `cols`
    /// where `rows` is above 1.
    pub unsafe fn from_raw(first: *mut T, rows: usize, cols: usize, stride: usize) -> Self {
        Tile { first, rows, cols, stride, memory: PhantomData }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Elements of a row.
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// Row `i`.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        assert!(i < self.rows, "row {i} of {}", self.rows);
        // SAFETY: row `i` exists; by construction its elements are valid and no other reference to them is in use while
        // `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(i * self.stride), self.cols) }
    }
    /// Whether its rows lie side by side.
    pub(crate) fn joined(&self) -> bool {
        self.stride == self.cols
    }
    /// Where columns `col..col + cols` of some rows begin, and elements from a row to the next.
    ///
    /// # Panics
    /// Where there are no such rows or columns.
    pub(crate) fn span_mut(&mut self, rows: Range<usize>, col: usize, cols: usize) -> (*mut T, usize) {
        assert!(rows.start < rows.end && rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        assert!(col <= self.cols && cols <= self.cols - col, "{cols} columns from {col} of {}", self.cols);
        (self.first.wrapping_add(rows.start * self.stride + col), self.stride)
    }
    /// The same box for a shorter time.
    pub fn reborrow(&mut self) -> Tile<'_, T> {
        Tile { memory: PhantomData, ..*self }
    }
    /// The box's columns before and from `at`.
    ///
    /// # Panics
    /// Where `at` is beyond the last column.
    pub fn split_cols(self, at: usize) -> (Self, Self) {
        assert!(at <= self.cols, "column {at} of {}", self.cols);
        let Tile { first, rows, cols, stride, memory } = self;
        // With no rows there may be no element to point to.
        let second = if rows == 0 { first } else { first.wrapping_add(at) };
        (
            Tile { first, rows, cols: at, stride, memory },
            Tile { first: second, rows, cols: cols - at, stride, memory },
        )
    }
    /// The box's rows before and from `at`.
    ///
    /// # Panics
    /// Where `at` is beyond the last row.
    pub fn split_rows(self, at: usize) -> (Self, Self) {
        assert!(at <= self.rows, "row {at} of {}", self.rows);
        let Tile { first, rows, cols, stride, memory } = self;
        let second = if at == rows { first } else { first.wrapping_add(at * stride) };
        (
            Tile { first, rows: at, cols, stride, memory },
            Tile { first: second, rows: rows - at, cols, stride, memory },
        )
    }
}

impl<T> fmt::Debug for Tile<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tile({} x {}, stride {})", self.rows, self.cols, self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_must_fit() {
        let mut data = [0u8; 10];
        assert!(Rows::new(&data, 2, 4, 6).is_ok() && Rows::new(&data, 2, 5, 6).is_err());
        assert!(Rows::new(&data, 2, 4, 3).is_err(), "rows overlap");
        assert!(Rows::new(&data, usize::MAX, 4, usize::MAX).is_err());
        assert!(Rows::new(&data, 0, 100, 0).is_ok() && Rows::new(&data, 1, 10, 0).is_ok());
        assert!(Tile::new(&mut data, 3, 4, 4).is_err());
        let text = Rows::new(&data, 2, 8, 8).unwrap_err().to_string();
        assert_eq!(text, "2 rows of 8 with stride 8 do not fit in 10 elements (rows may not overlap)");
    }

    #[test]
    fn divided_tiles_cover_the_matrix_once() {
        let mut data = [0u32; 5 * 7];
        let whole = Tile::new(&mut data, 5, 6, 7).unwrap();
        let (left, right) = whole.split_cols(2);
        let (a, b) = left.split_rows(3);
        let (c, d) = right.split_rows(5);
        assert_eq!(d.rows(), 0);
        for (mark, mut tile) in [(1, a), (2, b), (3, c), (4, d)] {
            for i in 0..tile.rows() {
                tile.row_mut(i).iter_mut().for_each(|v| *v += mark);
            }
        }
        let expected = [[1, 1, 3, 3, 3, 3, 0], [2, 2, 3, 3, 3, 3, 0]];
        for (i, row) in data.chunks(7).enumerate() {
            assert_eq!(row, expected[usize::from(i >= 3)]);
        }
        let rows = Rows::new(&data, 5, 6, 7).unwrap();
        assert_eq!(rows.range(3, 5).row(0), &data[21..27]);
    }
}
