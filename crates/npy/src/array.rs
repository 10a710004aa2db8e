//! An array in memory.

use crate::{Dtype, MAX_DIMENSIONS, NpyError};

/// An array of numbers, C order, little-endian.
///
/// The fields are open so that buffers move in and out without a copy. [`Array::check`] says whether they
/// agree with each other; reading always gives an array that passes, and writing refuses one that does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// Type of the elements.
    pub dtype: Dtype,
    /// Lengths of the dimensions, slowest first. Empty for a single number.
    pub shape: Vec<usize>,
    /// The elements in C order (last dimension fastest), each little-endian.
    pub data: Vec<u8>,
}

impl Array {
    /// An array of these parts.
    ///
    /// # Errors
    ///
    /// As [`Array::check`].
    pub fn new(dtype: Dtype, shape: Vec<usize>, data: Vec<u8>) -> Result<Self, NpyError> {
        let array = Array { dtype, shape, data };
        array.check()?;
        Ok(array)
    }

    /// Checks that the parts agree.
    ///
    /// # Errors
    ///
    /// [`NpyError::TooManyDimensions`] and [`NpyError::ShapeOverflow`] for the shape,
    /// [`NpyError::DataTooShort`] and [`NpyError::DataTooLong`] for the length of the data,
    /// [`NpyError::Bool`] for a boolean other than 0 and 1.
    pub fn check(&self) -> Result<(), NpyError> {
        let expected = data_bytes(self.dtype, &self.shape)?;
        check_length(self.dtype, &self.shape, expected, self.data.len() as u64)?;
        check_bools(self.dtype, &self.data)
    }
}

/// Bytes that an array of this type and shape takes.
///
/// Zeros are left out of the product that is checked, as in numpy: a shape such as `(2^60, 2^60, 0)` holds
/// nothing and is still refused, because the strides of such an array overflow.
pub(crate) fn data_bytes(dtype: Dtype, shape: &[usize]) -> Result<usize, NpyError> {
    if shape.len() > MAX_DIMENSIONS {
        return Err(NpyError::TooManyDimensions { found: shape.len() });
    }
    let product = shape
        .iter()
        .filter(|&&length| length != 0)
        .try_fold(dtype.size_bytes(), |bytes, &length| bytes.checked_mul(length))
        // A Vec cannot be larger than isize::MAX bytes.
        .filter(|&bytes| isize::try_from(bytes).is_ok());
    match product {
        Some(_) if shape.contains(&0) => Ok(0),
        Some(bytes) => Ok(bytes),
        None => Err(NpyError::ShapeOverflow { shape: shape.to_vec(), dtype }),
    }
}

/// Checks the exact length of the data against what the shape takes; all in bytes.
pub(crate) fn check_length(
    dtype: Dtype,
    shape: &[usize],
    expected: usize,
    found: u64,
) -> Result<(), NpyError> {
    let shape = || shape.to_vec();
    match found.cmp(&(expected as u64)) {
        std::cmp::Ordering::Less => Err(NpyError::DataTooShort { shape: shape(), dtype, expected, found }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => {
            Err(NpyError::DataTooLong { shape: shape(), dtype, expected, found, exact: true })
        }
    }
}

/// Checks that the elements of a boolean array are 0 or 1. Other types take every pattern.
pub(crate) fn check_bools(dtype: Dtype, data: &[u8]) -> Result<(), NpyError> {
    let bad = |(index, &byte): (usize, &u8)| (byte > 1).then_some(NpyError::Bool { index, found: byte });
    match dtype {
        Dtype::Bool => data.iter().enumerate().find_map(bad).map_or(Ok(()), Err),
        _ => Ok(()),
    }
}
