//! Why no checker looks at registers: what may read one that was never written is no program. The validator refuses it, however
//! the module came about, before anything can be launched.

use phalanx::{Cpu, isa};

/// What the validator says of it.
const UNDEFINED: &str = "E0222";

/// A kernel with these lines; registers `v`, `n` and predicates `p`, `q`.
fn kernel(lines: &str) -> String {
    format!(
        "kernel k(in x: u32[], out y: u32[]) block 64 grid 1 {{\n    let n, v: u32; let p, q: pred\n{lines}\n    exit\n\
         func twice(a: u32) -> (b: u32) {{\n    add.u32 b, a, a\n    ret\n}}\n}}\n"
    )
}

/// Ways to read what may not have been written.
const UNWRITTEN: &[(&str, &str)] = &[
    ("never", "st.u32 y[0], v"),
    ("as an index", "st.u32 y[v], 1"),
    ("a predicate", "@p st.u32 y[0], 1"),
    ("written afterwards", "st.u32 y[0], v\nmov.u32 v, 1"),
    ("by itself", "add.u32 v, v, 1\nst.u32 y[0], v"),
    ("on one way only", "set.lt.u32 p, %lane.x, 9\n@p bra other\nmov.u32 v, 1\nother:\nst.u32 y[0], v"),
    (
        "under another guard",
        "set.lt.u32 p, %lane.x, 9\nset.lt.u32 q, %lane.x, 8\n@p mov.u32 v, 1\n@q st.u32 y[0], v",
    ),
    (
        "under the guard, changed",
        "set.lt.u32 p, %lane.x, 9\n@p mov.u32 v, 1\nset.lt.u32 p, %lane.x, 8\n@p st.u32 y[0], v",
    ),
    ("in the first round", "mov.u32 n, 4\nagain: st.u32 y[0], v\nmov.u32 v, 1\nloop.u32 n, again"),
    ("as an argument", "call (n), twice, (v)\nst.u32 y[0], n"),
];

/// Ways to read what has been written.
const WRITTEN: &[(&str, &str)] = &[
    ("before", "mov.u32 v, 1\nst.u32 y[0], v"),
    (
        "on both ways",
        "set.lt.u32 p, %lane.x, 9\nmov.u32 v, 2\n@p bra other\nmov.u32 v, 1\nother:\nst.u32 y[0], v",
    ),
    ("under the same guard", "set.lt.u32 p, %lane.x, 9\n@p mov.u32 v, 1\n@p st.u32 y[0], v"),
    (
        "before the loop",
        "mov.u32 v, 0\nmov.u32 n, 4\nagain: add.u32 v, v, 1\nloop.u32 n, again\nst.u32 y[0], v",
    ),
];

#[test]
fn who_may_read_an_unwritten_register_is_never_launched() {
    let cpu = Cpu::builder().threads(1).build().unwrap();
    for (name, lines) in UNWRITTEN {
        let text = kernel(lines);
        let as_text = cpu.load(&text).err().unwrap_or_else(|| panic!("{name}: loaded"));
        // Past the assembler, as bytes and as a module: the same verdict.
        let module =
            phalanx::asm::assemble("k.phx", &text).unwrap_or_else(|d| panic!("{name}: {d:#?}")).module;
        let as_bytes =
            cpu.load_binary(&isa::encode(&module)).err().unwrap_or_else(|| panic!("{name}: loaded"));
        let as_module = cpu.load_module(module).err().unwrap_or_else(|| panic!("{name}: loaded"));
        for refused in [as_text, as_bytes, as_module] {
            let codes: Vec<&str> = refused.diagnostics().iter().map(|d| d.code).collect();
            assert_eq!(codes, [UNDEFINED], "{name}: {refused}");
        }
    }
    for (name, lines) in WRITTEN {
        cpu.load(&kernel(lines)).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
