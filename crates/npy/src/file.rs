//! Reading and writing: bytes and files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::array::{check_bools, check_length};
use crate::dtype::ByteOrder;
use crate::header::Header;
use crate::reorder::{fortran_to_c, orders_agree, swap_bytes};
use crate::{Array, NpyError};

/// Reads the array that `bytes`, a whole file, holds.
///
/// # Errors
///
/// Any of [`NpyError`] but `Io` and `InFile`: a header that is damaged or too new, an unsupported element
/// type, a shape that disagrees with the length of the data, not enough memory.
pub fn read(bytes: &[u8]) -> Result<Array, NpyError> {
    read_from(&mut &*bytes, Some(bytes.len() as u64))
}

/// Reads the array that a file holds. Pipes and devices work as well.
///
/// # Errors
///
/// [`NpyError::InFile`] with the path, around what [`read`] reports or [`NpyError::Io`].
pub fn read_file(path: impl AsRef<Path>) -> Result<Array, NpyError> {
    let path = path.as_ref();
    let read = || {
        let mut file = File::open(path).map_err(io_error("open it"))?;
        let metadata = file.metadata().map_err(io_error("find its length"))?;
        // Only an ordinary file knows its length.
        read_from(&mut file, metadata.is_file().then_some(metadata.len()))
    };
    read().map_err(in_file(path))
}

/// The file that holds `array`, in format 1.0.
///
/// Equal, byte for byte, to what current numpy's `numpy.save` writes for a C-ordered array.
///
/// # Errors
///
/// As [`Array::check`]: an array whose parts disagree has no file.
pub fn write(array: &Array) -> Result<Vec<u8>, NpyError> {
    array.check()?;
    let mut bytes = Header::bytes_of(array);
    let data = &array.data;
    bytes.try_reserve_exact(data.len()).map_err(|_| NpyError::Memory { bytes: data.len() })?;
    bytes.extend_from_slice(data);
    Ok(bytes)
}

/// Writes `array` to a file, in format 1.0.
///
/// The bytes go to a new file in the same folder, are flushed to the disk and then take the place of the
/// file at `path` in one step. So a failure at any time leaves what was there before. A symbolic link to a
/// file keeps pointing there, and a replaced file keeps its permissions. A pipe or a device cannot be
/// replaced and is written directly.
///
/// # Errors
///
/// [`NpyError::InFile`] with the path, around what [`write()`] reports or [`NpyError::Io`].
pub fn write_file(path: impl AsRef<Path>, array: &Array) -> Result<(), NpyError> {
    let path = path.as_ref();
    array
        .check()
        .and_then(|()| replace(path, &[&Header::bytes_of(array), &array.data]))
        .map_err(in_file(path))
}

/// Reads from a reader that holds `total` bytes, if that is known.
fn read_from(reader: &mut impl Read, total: Option<u64>) -> Result<Array, NpyError> {
    let Header { dtype, byte_order, fortran_order, shape, data_bytes, data_offset } = Header::read(reader)?;

    let mut data = Vec::new();
    if let Some(total) = total {
        // Before anything is allocated: the shape is only a claim.
        check_length(dtype, &shape, data_bytes, total.saturating_sub(data_offset as u64))?;
        reserve(&mut data, data_bytes)?;
    }
    // Without a known length, the buffer grows with what arrives.
    reader.take(data_bytes as u64).read_to_end(&mut data).map_err(io_error("read the data"))?;
    if data.len() < data_bytes {
        check_length(dtype, &shape, data_bytes, data.len() as u64)?;
    }
    let mut beyond = Vec::new();
    reader.take(1).read_to_end(&mut beyond).map_err(io_error("read the end of the data"))?;
    if !beyond.is_empty() {
        let found = data_bytes as u64 + 1;
        return Err(NpyError::DataTooLong { shape, dtype, expected: data_bytes, found, exact: false });
    }

    check_bools(dtype, &data)?;
    let size = dtype.size_bytes();
    if byte_order == ByteOrder::Big {
        swap_bytes(&mut data, size);
    }
    if fortran_order && !orders_agree(&shape) {
        let mut reordered = Vec::new();
        reserve(&mut reordered, data_bytes)?;
        fortran_to_c(&data, size, &shape, &mut reordered);
        data = reordered;
    }
    Ok(Array { dtype, shape, data })
}

fn reserve(data: &mut Vec<u8>, bytes: usize) -> Result<(), NpyError> {
    data.try_reserve_exact(bytes).map_err(|_| NpyError::Memory { bytes })
}

/// Makes `parts`, one after the other, the contents of the file at `path`.
fn replace(path: &Path, parts: &[&[u8]]) -> Result<(), NpyError> {
    let existing = match fs::metadata(path) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io_error("look at it")(error)),
    };
    let (target, permissions) = match existing {
        Some(metadata) if metadata.is_file() => {
            // Through a symbolic link to the file itself, or the link would be replaced.
            (fs::canonicalize(path).map_err(io_error("resolve it"))?, Some(metadata.permissions()))
        }
        Some(_) => {
            let mut device = OpenOptions::new().write(true).open(path).map_err(io_error("open it"))?;
            return write_all(&mut device, parts).map_err(io_error("write it"));
        }
        None => (path.to_path_buf(), None),
    };

    let (temporary, mut file) = create_beside(&target).map_err(io_error("create a new file beside it"))?;
    let written = write_all(&mut file, parts)
        .and_then(|()| permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions)))
        .and_then(|()| file.sync_all())
        .and_then(|()| {
            // Some systems do not rename an open file.
            drop(file);
            fs::rename(&temporary, &target)
        });
    written.map_err(|error| {
        // The first failure is the one to report; a file that cannot be removed either stays.
        let _ = fs::remove_file(&temporary);
        io_error("write it")(error)
    })
}

fn write_all(file: &mut File, parts: &[&[u8]]) -> io::Result<()> {
    parts.iter().try_for_each(|part| file.write_all(part))
}

/// Creates a file with a name of its own in the folder of `target`.
fn create_beside(target: &Path) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    const ATTEMPTS: u32 = 100;
    if target.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"));
    }
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..ATTEMPTS {
        // Process and counter keep apart everyone who writes now; only leftovers of a killed process with
        // the same number can be in the way, and the next attempt passes them. The name does not contain the
        // target's, which may already be as long as names can be.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = target.with_file_name(format!(".npy-{}-{number}.tmp", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn io_error(action: &'static str) -> impl Fn(io::Error) -> NpyError {
    move |error| NpyError::Io { action, error }
}

fn in_file(path: &Path) -> impl Fn(NpyError) -> NpyError {
    move |error| NpyError::InFile { path: path.to_path_buf(), error: Box::new(error) }
}
