//! What is refused before anything runs, and that the message says what to do.

use crate::{cpu, kernel};
use phalanx::{BufferError, Cpu, LaunchError, RawView, Tier, Type};
use std::sync::Arc;

#[track_caller]
fn assert_says(error: &LaunchError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
}

#[test]
fn names_that_do_not_exist() {
    let cpu = cpu();
    let scale = kernel(&cpu, "scale");
    let x = cpu.zeros::<f32>(4).unwrap();
    let error = scale.launch(1, 64).arg("xx", &x).arg("also_wrong", 1).run().unwrap_err();
    assert_says(&error, &["no parameter `xx`", "did you mean `x`?", "x, y, by"]);
    let error = scale.program().kernel("scael").unwrap_err();
    assert_says(&error, &["no kernel `scael`", "did you mean `scale`?", "bump"]);
    assert!(scale.program().only_kernel().is_err());
}

#[test]
fn missing_and_wrong_values() {
    let cpu = cpu();
    let scale = kernel(&cpu, "scale");
    let (x, y) = (cpu.zeros::<f32>(4).unwrap(), cpu.zeros::<f32>(4).unwrap());
    let launch = || scale.launch_declared().arg("x", &x).arg("y", &y);
    assert_says(&launch().run().unwrap_err(), &["`by` has no value", "a f32 number"]);
    assert_says(
        &launch().arg("by", 2f64).run().unwrap_err(),
        &["`by` is a f32 number", "given a f64 number"],
    );
    let bytes = cpu.zeros::<u8>(16).unwrap();
    let error = launch().arg("by", 2f32).arg("x", &bytes).run().unwrap_err();
    assert_says(&error, &["`x` is an `in` buffer of f32", "given a buffer of u8"]);
    assert_says(
        &launch().arg("by", &x).run().unwrap_err(),
        &["`by` is a f32 number", "given a buffer of f32"],
    );
    assert!(launch().arg("by", 1f32).run().is_ok());
}

#[test]
fn shapes_that_cannot_be() {
    let cpu = cpu();
    let scale = kernel(&cpu, "scale");
    let (x, y) = (cpu.zeros::<f32>(4).unwrap(), cpu.zeros::<f32>(4).unwrap());
    let with = |l: phalanx::Launcher| l.arg("x", &x).arg("y", &y).arg("by", 1f32).run();
    assert_says(
        &with(scale.launch(1, 32)).unwrap_err(),
        &["declares block [64, 1, 1]", "asks for [32, 1, 1]"],
    );
    assert_says(&with(scale.launch(-1, 64)).unwrap_err(), &["a grid of -1"]);
    assert_says(&with(scale.launch(1u64 << 32, 64)).unwrap_err(), &["a grid of 4294967296"]);
    assert_says(&with(scale.launch_grid(1).shared_len(8)).unwrap_err(), &["no shared array is unsized"]);
    assert_says(&with(scale.launch_grid(1).class(96)).unwrap_err(), &["below 96"]);
    assert!(with(scale.launch_grid([1, 1, 1])).is_ok());

    let free = cpu.load("kernel k() { exit }").unwrap().only_kernel().unwrap();
    assert_says(&free.launch_declared().run().unwrap_err(), &["declares no block"]);
    assert_says(&free.launch(1, [64, 64]).run().unwrap_err(), &["4096 lanes"]);
    assert_says(&free.launch(1, 0).run().unwrap_err(), &["0 lanes"]);
    assert!(free.launch(0, 1).run().is_ok(), "an empty grid runs nothing");
}

#[test]
fn stale_foreign_and_read_only_buffers() {
    let cpu = cpu();
    let bump = kernel(&cpu, "bump");
    let launch = |x: &phalanx::Buffer<u32>| bump.launch_declared().arg("x", x).arg("by", 1u32);

    let freed = cpu.zeros::<u32>(4).unwrap();
    let bound = launch(&freed).bind().unwrap();
    let other_handle = freed.clone();
    freed.free();
    let stale = |e: LaunchError| matches!(e, LaunchError::Buffer { source: BufferError::Stale, .. });
    assert!(stale(bound.run().unwrap_err()));
    assert!(stale(launch(&other_handle).run().unwrap_err()));
    assert_eq!(other_handle.read(), Err(BufferError::Stale));
    assert_eq!(other_handle.write(&[1]), Err(BufferError::Stale));

    let foreign = Cpu::new().unwrap().zeros::<u32>(4).unwrap();
    assert!(matches!(launch(&foreign).run(), Err(LaunchError::Foreign { .. })));

    let host = cpu.external(Arc::new(vec![1u32; 4]));
    let error = launch(&host).run().unwrap_err();
    assert!(matches!(error, LaunchError::Buffer { source: BufferError::ReadOnly, .. }), "{error}");
    assert_eq!(host.write(&[1]), Err(BufferError::ReadOnly));
    assert_eq!(host.read().unwrap(), [1; 4]);
}

#[test]
fn views_outside_their_buffer_or_between_elements() {
    let cpu = cpu();
    let bump = kernel(&cpu, "bump");
    let small = cpu.raw_buffer(Type::U32, &[0; 16]).unwrap();
    let launch = |v: RawView| bump.launch_declared().arg("x", v).arg("by", 1u32).run();
    assert_says(
        &launch(RawView { len: 5, ..small.clone() }).unwrap_err(),
        &["`x`", "outside a buffer of 16 bytes"],
    );
    assert_says(&launch(RawView { offset: 8, ..small.clone() }).unwrap_err(), &["bytes 8..24"]);
    assert_says(&launch(RawView { len: u64::MAX, ..small.clone() }).unwrap_err(), &["outside"]);
    assert_says(&launch(RawView { offset: 2, len: 1, ..small.clone() }).unwrap_err(), &["not a multiple"]);
    assert!(launch(small).is_ok());
}

#[test]
fn overlapping_bindings_of_which_one_is_written() {
    let cpu = cpu();
    let (accumulate, narrow) = (kernel(&cpu, "accumulate"), kernel(&cpu, "narrow"));
    let all = cpu.zeros::<u32>(64).unwrap();
    let launch = |x: std::ops::Range<usize>, y: std::ops::Range<usize>| {
        let (x, y) = (all.view(x).unwrap(), all.view(y).unwrap());
        accumulate.launch_declared().arg("x", &x).arg("y", &y).run()
    };
    assert!(launch(0..32, 32..64).is_ok());
    assert!(matches!(launch(0..33, 32..64), Err(LaunchError::Overlap { .. })));
    assert!(matches!(launch(0..64, 0..64), Err(LaunchError::Overlap { .. })));

    // The same allocation as u32 and, elsewhere, as u8, one of them written.
    let bytes = RawView { elem: Type::U8, offset: 128, len: 32, ..all.raw().clone() };
    let x = all.view(..32).unwrap();
    let error = narrow.launch_declared().arg("x", &x).arg("y", bytes).run().unwrap_err();
    assert!(matches!(error, LaunchError::ElementSize { .. }), "{error}");
}

#[test]
fn devices_that_cannot_be() {
    let error = Cpu::builder().executor("gpu").build().unwrap_err();
    assert!(error.to_string().contains("no executor `gpu`; there are: auto"), "{error}");
    let workers = Arc::new(phalanx::exec::workers::Sequential);
    assert!(Cpu::builder().threads(2).workers(workers).build().is_err());
    for tier in Tier::ALL {
        assert_eq!(Cpu::builder().simd(*tier).build().is_ok(), tier.is_available(), "{tier}");
    }
    for name in phalanx::EXECUTORS {
        assert!(Cpu::builder().executor(*name).build().is_ok(), "{name}");
    }
}
