//! What a launch is given: values for parameters, and sizes of grids and blocks.

use crate::buffer::Buffer;
use crate::element::{Bf16, Element, F16};
use crate::{ArgValue, PackedWeights, RawView};
use phalanx_kernels::conv::ConvWeights;
use std::sync::Arc;

/// Something that can be given to a kernel parameter.
///
/// Buffers are handles, so a shared reference is enough for a parameter that the kernel writes; `&mut` is accepted too, to show
/// at the call what changes. Numbers must have exactly the parameter's type: `cols as u32` for a `u32`.
pub trait IntoArg {
    /// The value.
    fn into_arg(self) -> ArgValue;
}

impl IntoArg for ArgValue {
    fn into_arg(self) -> ArgValue {
        self
    }
}

macro_rules! numbers {
    ($($t:ty)*) => { $(impl IntoArg for $t {
        fn into_arg(self) -> ArgValue {
            ArgValue::Scalar(<$t as Element>::TYPE, Element::to_bits(self))
        }
    })* };
}
numbers! { i8 i16 i32 i64 u8 u16 u32 u64 F16 Bf16 f32 f64 }

impl<T: Element> IntoArg for &Buffer<T> {
    fn into_arg(self) -> ArgValue {
        ArgValue::Buffer(self.raw().clone())
    }
}

impl<T: Element> IntoArg for &mut Buffer<T> {
    fn into_arg(self) -> ArgValue {
        ArgValue::Buffer(self.raw().clone())
    }
}

impl<T: Element> IntoArg for Buffer<T> {
    fn into_arg(self) -> ArgValue {
        ArgValue::Buffer(self.raw().clone())
    }
}

impl IntoArg for RawView {
    fn into_arg(self) -> ArgValue {
        ArgValue::Buffer(self)
    }
}

impl IntoArg for &RawView {
    fn into_arg(self) -> ArgValue {
        ArgValue::Buffer(self.clone())
    }
}

/// For an array of buffers.
impl<T: Element> IntoArg for &[Buffer<T>] {
    fn into_arg(self) -> ArgValue {
        ArgValue::Buffers(self.iter().map(|b| b.raw().clone()).collect())
    }
}

/// For an array of buffers.
impl<T: Element> IntoArg for &Vec<Buffer<T>> {
    fn into_arg(self) -> ArgValue {
        self.as_slice().into_arg()
    }
}

/// For an array of buffers.
impl<T: Element, const N: usize> IntoArg for &[Buffer<T>; N] {
    fn into_arg(self) -> ArgValue {
        self.as_slice().into_arg()
    }
}

/// For an array of buffers.
impl<T: Element, const N: usize> IntoArg for [&Buffer<T>; N] {
    fn into_arg(self) -> ArgValue {
        ArgValue::Buffers(self.iter().map(|b| b.raw().clone()).collect())
    }
}

/// For an array of buffers.
impl IntoArg for Vec<RawView> {
    fn into_arg(self) -> ArgValue {
        ArgValue::Buffers(self)
    }
}

impl IntoArg for Arc<PackedWeights> {
    fn into_arg(self) -> ArgValue {
        ArgValue::Packed(self)
    }
}

impl IntoArg for &Arc<PackedWeights> {
    fn into_arg(self) -> ArgValue {
        ArgValue::Packed(Arc::clone(self))
    }
}

impl IntoArg for Arc<ConvWeights> {
    fn into_arg(self) -> ArgValue {
        ArgValue::Filters(self)
    }
}

impl IntoArg for &Arc<ConvWeights> {
    fn into_arg(self) -> ArgValue {
        ArgValue::Filters(Arc::clone(self))
    }
}

impl IntoArg for PackedWeights {
    fn into_arg(self) -> ArgValue {
        ArgValue::Packed(Arc::new(self))
    }
}

/// An integer that can be a size in one dimension. Values outside `u32` refuse the launch.
pub trait Extent: Copy {
    /// The value.
    fn value(self) -> i128;
}

macro_rules! extents {
    ($($t:ty)*) => { $(impl Extent for $t {
        fn value(self) -> i128 {
            self as i128
        }
    })* };
}
extents! { i32 i64 u32 u64 usize }

/// The size of a grid or a block: a number for x alone, or an array of up to three for x, y and z.
pub trait IntoDims {
    /// The sizes; 1 in the dimensions that are not given.
    fn into_dims(self) -> [i128; 3];
}

impl<T: Extent> IntoDims for T {
    fn into_dims(self) -> [i128; 3] {
        [self.value(), 1, 1]
    }
}
impl<T: Extent> IntoDims for [T; 1] {
    fn into_dims(self) -> [i128; 3] {
        [self[0].value(), 1, 1]
    }
}
impl<T: Extent> IntoDims for [T; 2] {
    fn into_dims(self) -> [i128; 3] {
        [self[0].value(), self[1].value(), 1]
    }
}
impl<T: Extent> IntoDims for [T; 3] {
    fn into_dims(self) -> [i128; 3] {
        self.map(Extent::value)
    }
}

/// The sizes as a launch takes them.
///
/// # Errors
/// The size that is none.
pub(crate) fn dims(of: impl IntoDims) -> Result<[u32; 3], i128> {
    let wide = of.into_dims();
    let mut narrow = [0; 3];
    for (n, w) in narrow.iter_mut().zip(wide) {
        *n = u32::try_from(w).map_err(|_| w)?;
    }
    Ok(narrow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_every_form() {
        assert_eq!(dims(7), Ok([7, 1, 1]));
        assert_eq!(dims(7usize), Ok([7, 1, 1]));
        assert_eq!(dims([7u32, 8]), Ok([7, 8, 1]));
        assert_eq!(dims([7, 8, 9]), Ok([7, 8, 9]));
        assert_eq!(dims(1u64 << 40), Err(1 << 40));
        assert_eq!(dims([1, -2]), Err(-2));
    }
}
