//! Running the command as a user does.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of a test's own, removed afterwards.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder.
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
    /// A folder that holds a file `add.phx` (see [`ADD`]).
    pub fn with_add() -> Folder {
        let folder = Folder::new();
        folder.write("add.phx", ADD);
        folder
    }
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), content).unwrap();
    }
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }
    pub fn has(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }
    /// A command in this folder.
    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phalanx"));
        command.current_dir(&self.0).args(args.split_whitespace()).env_remove("RAYON_NUM_THREADS");
        command
    }
    /// Runs a command line, words separated by spaces.
    pub fn run(&self, args: &str) -> Ended {
        self.run_with(args, &[])
    }
    /// As [`Folder::run`], with words at the end that may contain spaces.
    pub fn run_with(&self, args: &str, more: &[&str]) -> Ended {
        let Output { status, stdout, stderr } = self.command(args).args(more).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended {
            args: format!("{args} {}", more.join(" ")),
            status: status.code(),
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub args: String,
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Asserts the status.
    #[track_caller]
    pub fn expect(self, status: i32) -> Ended {
        assert_eq!(self.status, Some(status), "`{}`: {self:#?}", self.args);
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }
    /// Asserts that stderr holds each of these texts.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Ended {
        for text in texts {
            assert!(self.stderr.contains(text), "`{text}` is not said by {self:#?}");
        }
        self
    }
    /// The rows: stdout must be JSON objects, one a line, and nothing else.
    #[track_caller]
    pub fn rows(&self) -> Vec<Value> {
        let row = |line: &str| match serde_json::from_str::<Value>(line) {
            Ok(row) if row.is_object() => row,
            other => panic!("no row: {line} ({other:?}) of {self:#?}"),
        };
        self.stdout.lines().map(row).collect()
    }
}

/// `y[i] = x[i] + by` over the lanes that there are elements for; needs a block, and a grid.
pub const ADD: &str = "\
//! y[i] = x[i] + by
kernel add(in x: f32[], out y: f32[], by: f32) {
    let i, n: u32;  let v: f32;  let past: pred
    mov.u32     i, %global.x
    len.u32     n, y
    set.ge.u32  past, i, n
@past exit
    ld.f32      v, x[i]
    add.f32     v, v, by
    st.f32      y[i], v
    exit
}
//= test small
//=   grid 1
//=   block 4
//=   x = f32: 1 2 3
//=   y = zeros f32 3
//=   by = 0.5
//=   expect y = f32: 1.5 2.5 3.5
";

/// A `.npy` file of one dimension with an element type such as `<f4`.
pub fn npy(descr: &str, elements: usize, data: &[u8]) -> Vec<u8> {
    npy_of(descr, &format!("({elements},)"), data)
}

/// A numpy file of a shape, as Python writes it.
pub fn npy_of(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    file.extend(data);
    file
}

/// Floats as little-endian bytes.
pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
