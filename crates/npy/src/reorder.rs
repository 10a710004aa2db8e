//! From the orders a file may have to the one an [`Array`](crate::Array) has.

/// Reverses the bytes of each element of `size` bytes (1, 2, 4 or 8).
pub(crate) fn swap_bytes(data: &mut [u8], size: usize) {
    match size {
        2 => swap::<2>(data),
        4 => swap::<4>(data),
        8 => swap::<8>(data),
        // One byte has no order.
        _ => {}
    }
}

/// With the size known to the compiler the loop becomes vector shuffles.
fn swap<const SIZE: usize>(data: &mut [u8]) {
    for element in data.as_chunks_mut::<SIZE>().0 {
        element.reverse();
    }
}

/// Whether Fortran and C order are the same for this shape: at most one dimension has a choice of index.
pub(crate) fn orders_agree(shape: &[usize]) -> bool {
    shape.contains(&0) || shape.iter().filter(|&&length| length > 1).count() <= 1
}

/// Rearranges elements of `size` bytes from Fortran order (first dimension fastest) to C order.
///
/// `out` is empty and has room for all of `data`; `data` has exactly the elements that `shape` says.
pub(crate) fn fortran_to_c(data: &[u8], size: usize, shape: &[usize], out: &mut Vec<u8>) {
    match size {
        1 => transpose::<1>(data, shape, out),
        2 => transpose::<2>(data, shape, out),
        4 => transpose::<4>(data, shape, out),
        _ => transpose::<8>(data, shape, out),
    }
}

/// Walks the elements in C order and keeps the position in the Fortran-ordered source up to date.
///
/// The source is read with a stride. Tiling would be kinder to the cache; files in Fortran order are rare
/// enough, and read once, that the simple loop was preferred.
fn transpose<const SIZE: usize>(data: &[u8], shape: &[usize], out: &mut Vec<u8>) {
    let source = data.as_chunks::<SIZE>().0;
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for &length in shape {
        strides.push(stride);
        stride *= length;
    }
    let (Some((&row_length, outer_shape)), Some((&row_stride, outer_strides))) =
        (shape.split_last(), strides.split_last())
    else {
        out.extend_from_slice(data);
        return;
    };

    let mut index = vec![0; outer_shape.len()];
    let mut base = 0;
    loop {
        for element in source[base..].iter().step_by(row_stride).take(row_length) {
            out.extend_from_slice(element);
        }
        // Count up, last of the outer dimensions fastest; a dimension that is through goes back to 0.
        let mut axis = outer_shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            base += outer_strides[axis];
            if index[axis] < outer_shape[axis] {
                break;
            }
            base -= outer_strides[axis] * outer_shape[axis];
            index[axis] = 0;
        }
    }
}
