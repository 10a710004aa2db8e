//! Oclgrind's race detector on the same kernels, written in OpenCL C (`opencl/`): whatever true race it finds, ours finds.
//!
//! A kernel there stands for both files of a pair: with `RACY` defined for the racy one. Buffers, scalars and shared arrays have
//! the order of the `.phx` file, so that Oclgrind's addresses (object number, byte) name elements of ours.

use crate::checker::sanitize;
use crate::corpus::{File, files, folder};
use crate::labels::{Place, place, truth};
use phalanx::Cpu;
use phalanx::data::parse_number;
use phalanx::isa::{Base, Kernel, ParamKind};
use phalanx::testing::{Case, Source, Value};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Elements, without block and lane.
type Places = BTreeSet<Place>;

/// Oclgrind's description of a launch.
fn simulation(kernel: &Kernel, case: &Case, name: &str, grid: [u32; 3], block: [u32; 3]) -> String {
    let join = |sizes: [u32; 3]| sizes.map(|n| n.to_string()).join(" ");
    let all: [u32; 3] = std::array::from_fn(|i| grid[i] * block[i]);
    let mut text = format!("kernel.cl\n{name}\n{}\n{}\n", join(all), join(block));
    for param in &kernel.params {
        let given = case.args.iter().find(|g| g.target.name == param.name).expect("a value");
        let bytes = match (&given.value, &param.kind) {
            (Value::Buffer(Source::Bytes(_, bytes)), _) => bytes.clone(),
            (Value::Number(text), ParamKind::Scalar(ty)) => {
                parse_number(*ty, text).unwrap().to_le_bytes()[..ty.bytes()].to_vec()
            }
            other => panic!("{}: {other:?}", param.name),
        };
        let values: Vec<String> = bytes.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "<size={} uchar>\n{}", bytes.len(), values.join(" "));
    }
    text
}

/// The elements in which Oclgrind reports races.
fn reported(kernel: &Kernel, output: &str) -> Places {
    let mut all = Places::new();
    for line in output.lines() {
        let Some((kind, address)) = line.split_once(" memory address 0x") else { continue };
        assert!(kind.contains("data race at "), "another kind of report: {line}");
        let address = u64::from_str_radix(address.trim(), 16).unwrap();
        let (object, byte) = ((address >> 48) as usize - 1, (address & ((1 << 48) - 1)) as i128);
        let (base, ty) = if kind.ends_with("local") {
            (Base::Shared(object as u16), kernel.shared[object].elem)
        } else {
            let buffers = kernel.params.iter().enumerate();
            let buffers = buffers.filter_map(|(i, p)| match p.kind {
                ParamKind::Buffer { elem, .. } => Some((i, elem)),
                _ => None,
            });
            let (param, elem) = buffers.clone().nth(object).expect("a buffer");
            (Base::Param(param as u16), elem)
        };
        all.insert((Some(base), 0, byte / ty.bytes() as i128));
    }
    all
}

/// What Oclgrind finds in a file's kernel, what there is, and what our checker finds.
fn compare(file: &File, source: &Path, work: &Path) -> [Places; 3] {
    let case = &file.cases[0];
    let truth = truth(&file.name, &file.text, case);
    let kernel = truth.kernel();
    let text = std::fs::read_to_string(source).unwrap();
    let name = text.split("kernel void ").nth(1).and_then(|t| t.split('(').next()).expect("a kernel");
    std::fs::write(work.join("kernel.cl"), &text).unwrap();
    let block = case.block.or(kernel.block).expect("a block");
    std::fs::write(work.join("launch.sim"), simulation(kernel, case, name, truth.grid, block)).unwrap();
    let run = Command::new("oclgrind-kernel")
        .args(["--data-races", "--max-errors", "1000000", "--build-options"])
        .arg(if file.racy { "-DRACY" } else { "-DCLEAN" })
        .arg("launch.sim")
        .current_dir(work)
        .output()
        .expect("oclgrind-kernel (Debian package oclgrind)");
    let output = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && !output.contains("error"), "{}: {output}", file.name);
    let checked = sanitize(&Cpu::new().unwrap(), file, case, None);
    let ours = checked.report.racy.iter().map(|r| (r.base, r.which.into(), r.index.into()));
    [reported(kernel, &output), truth.findings.racy().iter().map(place).collect(), ours.collect()]
}

#[test]
#[ignore = "needs oclgrind; .ci/jobs/65-races.sh --full installs it"]
fn true_races_that_oclgrind_finds_are_found() {
    let work = std::env::temp_dir().join(format!("phalanx-oclgrind-{}", std::process::id()));
    std::fs::create_dir_all(&work).unwrap();
    let (mut kernels, mut found, mut missed, mut alarms) = (0, 0, 0, 0);
    for file in files() {
        let source = folder().join("opencl").join(format!("{}.cl", file.pair));
        if !source.exists() {
            continue;
        }
        let [theirs, there, ours] = compare(&file, &source, &work);
        kernels += 1;
        let of_theirs: Places = theirs.intersection(&there).copied().collect();
        assert!(
            of_theirs.is_subset(&ours),
            "{}: found by oclgrind only: {:?}",
            file.name,
            of_theirs.difference(&ours)
        );
        found += of_theirs.len();
        for (what, n, of) in [
            ("misses", &mut missed, there.difference(&theirs)),
            ("invents", &mut alarms, theirs.difference(&there)),
        ] {
            let of: Vec<_> = of.collect();
            *n += of.len();
            if !of.is_empty() {
                println!("{}: oclgrind {what} {} elements, first {:?}", file.name, of.len(), of[0]);
            }
        }
    }
    std::fs::remove_dir_all(&work).unwrap();
    println!("{kernels} kernels: oclgrind finds {found} racy elements, misses {missed}, invents {alarms}");
    assert!(kernels >= 60 && found >= 500, "{kernels} kernels, {found} racy elements found");
}
