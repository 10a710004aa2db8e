//! Programs from text, bytes and modules; the cache.

use crate::{KERNELS, cpu};
use phalanx::{BAD_BINARY, Cpu};

#[test]
fn all_errors_of_a_text_are_told_with_their_lines() {
    let cpu = cpu();
    let text = "kernel k(out y: f32[], n: u32) {\n    add.f32 r0, 1, 2\n    st.u32 y[0], r1\n    ad.f32 r2, 1, 2\n    exit\n}";
    let error = cpu.load_named("bad.phx", text).unwrap_err();
    assert_eq!(error.name(), "bad.phx");
    assert!(error.diagnostics().iter().any(|d| d.span.line == 4), "{error}");
    let text = "kernel k(out y: f32[], v: u32) {\n    st.u32 y[0], v\n    exit\n}";
    let error = cpu.load_named("bad.phx", text).unwrap_err();
    let shown = error.to_string();
    for part in ["error[E02", "bad.phx:2:5", "st.u32 y[0], v", "declared here"] {
        assert!(shown.contains(part), "{part:?} is missing in\n{shown}");
    }
    assert_eq!(format!("{error:?}").trim(), shown.trim(), "`unwrap` shows the same");
}

#[test]
fn binaries_and_modules_are_the_same_program() {
    let cpu = cpu();
    let program = cpu.load_named("kernels.phx", KERNELS).unwrap();
    let binary = cpu.load_binary(&program.to_binary()).unwrap();
    let built = cpu.load_module(program.module().clone()).unwrap();
    let x = cpu.buffer(&[1u32; 3]).unwrap();
    for p in [&program, &binary, &built] {
        assert_eq!(p.module(), program.module());
        assert_eq!(p.name(), "kernels.phx");
        p.kernel("bump").unwrap().launch_declared().arg("x", &x).arg("by", 1u32).run().unwrap();
    }
    assert_eq!(x.read().unwrap(), [4; 3]);
    assert_eq!(program.kernels().len(), 5);

    let mut bytes = program.to_binary();
    bytes.truncate(bytes.len() / 2);
    let error = cpu.load_binary(&bytes).unwrap_err();
    assert_eq!(error.diagnostics()[0].code, BAD_BINARY, "{error}");
    let invalid = "kernel k(out y: f32[], v: u32) {\n    st.u32 y[0], v\n    exit\n}";
    let module = phalanx::asm::assemble("bad.phx", invalid).unwrap().module;
    let error = cpu.load_binary(&phalanx::isa::encode(&module)).unwrap_err();
    assert!(error.to_string().contains("bad.phx:2:5"), "a module knows its lines without the text:\n{error}");
}

#[test]
fn the_same_text_is_loaded_once() {
    let cpu = Cpu::builder().cache_capacity(2).build().unwrap();
    let text = |n: usize| format!("kernel k{n}() {{ exit }}");
    let first = cpu.load(&text(0)).unwrap();
    assert!(first.same(&cpu.load(&text(0)).unwrap()));
    assert!(!first.same(&cpu.load_named("other.phx", &text(0)).unwrap()), "messages name another file");
    for n in 1..20 {
        cpu.load(&text(n)).unwrap();
        assert_eq!(cpu.cached_programs(), 2);
    }
    assert!(!first.same(&cpu.load(&text(0)).unwrap()), "it was dropped from the cache meanwhile");
    // A handle works whether the cache still has its program or not.
    first.only_kernel().unwrap().launch(1, 1).run().unwrap();

    let none = Cpu::builder().cache_capacity(0).build().unwrap();
    assert!(!none.load(&text(0)).unwrap().same(&none.load(&text(0)).unwrap()));
    assert!(cpu.load("kernel k() {").is_err() && cpu.load("kernel k() {").is_err());
}

#[test]
fn loading_from_many_threads_gives_one_program() {
    let cpu = cpu();
    let programs: Vec<_> = std::thread::scope(|s| {
        let load = || s.spawn(|| cpu.load(KERNELS).unwrap());
        let handles: Vec<_> = (0..8).map(|_| load()).collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    assert!(programs.iter().all(|p| p.same(&programs[0])));
    assert_eq!(cpu.cached_programs(), 1);
}
