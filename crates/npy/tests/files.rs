//! Files on disk: that they are replaced in one step and that errors name them.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use phalanx_npy::*;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("phalanx-npy-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .expect("the folder exists")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn numbers(values: &[u8]) -> Array {
    Array::new(Dtype::U8, vec![values.len()], values.to_vec()).expect("the parts agree")
}

#[test]
fn files_are_written_read_and_replaced_without_leftovers() {
    let folder = Folder::new();
    let path = folder.0.join("x.npy");
    for array in [numbers(&[1, 2, 3]), numbers(&[4; 1000]), numbers(&[])] {
        write_file(&path, &array).expect("written");
        assert_eq!(read_file(&path).expect("read"), array);
        assert_eq!(fs::read(&path).expect("read"), write(&array).expect("valid"));
        assert_eq!(folder.names(), ["x.npy"]);
    }
}

#[test]
fn an_array_that_cannot_be_written_leaves_the_file_as_it_was() {
    let folder = Folder::new();
    let path = folder.0.join("x.npy");
    write_file(&path, &numbers(&[1, 2, 3])).expect("written");
    let broken = Array { dtype: Dtype::F32, shape: vec![2], data: vec![0; 7] };
    let message = write_file(&path, &broken).expect_err("the parts disagree").to_string();
    assert!(message.contains("x.npy") && message.contains("expected 8 bytes"), "{message}");
    assert_eq!(read_file(&path).expect("read"), numbers(&[1, 2, 3]));
    assert_eq!(folder.names(), ["x.npy"]);
}

#[test]
fn errors_name_the_file() {
    let folder = Folder::new();
    let missing = folder.0.join("missing.npy");
    let message = read_file(&missing).expect_err("not there").to_string();
    assert!(message.contains("missing.npy: cannot open it"), "{message}");

    let nowhere = folder.0.join("no").join("folder.npy");
    let message = write_file(&nowhere, &numbers(&[1])).expect_err("no folder").to_string();
    assert!(message.contains("folder.npy: cannot create a new file beside it"), "{message}");

    let long = folder.0.join("long.npy");
    let mut bytes = write(&numbers(&[1])).expect("valid");
    bytes.extend([2, 3]);
    fs::write(&long, bytes).expect("written");
    let message = read_file(&long).expect_err("too long").to_string();
    assert!(
        message.contains("long.npy: shape [1] of uint8: expected 1 bytes of data, found exactly 3"),
        "{message}"
    );

    let error = write_file(&folder.0, &numbers(&[1])).expect_err("a folder is no file");
    assert!(matches!(error, NpyError::InFile { .. }), "{error}");
    assert!(write_file("", &numbers(&[1])).is_err());
    assert!(write_file("..", &numbers(&[1])).is_err());
    assert_eq!(folder.names(), ["long.npy"]);
}

#[cfg(unix)]
#[test]
fn a_link_is_followed_and_permissions_are_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new();
    let (target, link) = (folder.0.join("target.npy"), folder.0.join("link.npy"));
    write_file(&target, &numbers(&[1])).expect("written");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).expect("set");
    symlink(&target, &link).expect("linked");

    write_file(&link, &numbers(&[2, 3])).expect("written");
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    assert_eq!(read_file(&target).expect("read"), numbers(&[2, 3]));
    assert_eq!(fs::metadata(&target).expect("there").permissions().mode() & 0o777, 0o640);
    assert_eq!(folder.names(), ["link.npy", "target.npy"]);
}

#[cfg(target_os = "linux")]
#[test]
fn pipes_are_read_to_the_end_and_devices_are_not_replaced() {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    let piped = |bytes: &[u8]| {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        // Small enough for the pipe's own buffer, so that one thread can do both.
        writer.write_all(bytes).expect("written");
        drop(writer);
        read_file(format!("/proc/self/fd/{}", reader.as_raw_fd()))
    };
    let bytes = write(&numbers(&[1, 2, 3])).expect("valid");
    assert_eq!(piped(&bytes).expect("read"), numbers(&[1, 2, 3]));

    let short = piped(&bytes[..bytes.len() - 1]).expect_err("cut").to_string();
    assert!(short.contains("expected 3 bytes of data, found 2"), "{short}");
    let long = piped(&[&bytes[..], &[0; 9]].concat()).expect_err("too long").to_string();
    assert!(long.contains("expected 3 bytes of data, found at least 4"), "{long}");

    // A device of our own: the write end of a pipe, by its path.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    write_file(format!("/proc/self/fd/{}", writer.as_raw_fd()), &numbers(&[7])).expect("written");
    drop(writer);
    assert_eq!(read_file(format!("/proc/self/fd/{}", reader.as_raw_fd())).expect("read"), numbers(&[7]));
}
