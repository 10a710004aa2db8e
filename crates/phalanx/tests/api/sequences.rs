//! Launch sequences.

use crate::{cpu, kernel};
use phalanx::{Buffer, BufferError, CancelToken, Cpu, LaunchError, StepId};
use std::time::Duration;

const N: usize = 1000;

/// `y = x * 2^steps` by way of intermediates.
fn chain(
    cpu: &Cpu,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    steps: usize,
) -> (phalanx::Sequence, Vec<Buffer<f32>>, Vec<StepId>) {
    let scale = kernel(cpu, "scale");
    let mut record = cpu.sequence();
    let mut from = x.clone();
    let (mut intermediates, mut ids) = (Vec::new(), Vec::new());
    for step in 0..steps {
        let to = if step + 1 == steps { y.clone() } else { record.intermediate::<f32>(x.len()).unwrap() };
        let launch = scale.launch_declared().arg("x", &from).arg("y", &to).arg("by", 2f32);
        ids.push(record.step(launch).unwrap());
        if step + 1 < steps {
            intermediates.push(to.clone());
        }
        from = to;
    }
    (record.finish().unwrap(), intermediates, ids)
}

#[test]
fn a_chain_runs_again_and_its_intermediates_share_an_arena() {
    let cpu = cpu();
    let x = cpu.buffer(&(0..N).map(|i| i as f32).collect::<Vec<_>>()).unwrap();
    let y = cpu.zeros::<f32>(N).unwrap();
    let (sequence, intermediates, ids) = chain(&cpu, &x, &y, 10);
    for round in 0..3 {
        x.write(&[round as f32]).unwrap();
        sequence.run().unwrap();
        let got = y.read().unwrap();
        assert_eq!(got[0], round as f32 * 1024.0);
        assert!((1..N).all(|i| got[i] == i as f32 * 1024.0));
    }
    // Nine intermediates of 4000 bytes; two are needed at a time, rounded up to 64 bytes.
    let raw = sequence.raw();
    assert_eq!(raw.intermediate_bytes(), 9 * 4000);
    assert_eq!(raw.arena_bytes(), 2 * 4032);
    let offsets: Vec<u64> = intermediates.iter().map(|b| raw.arena_offset(b.raw()).unwrap()).collect();
    assert!(offsets.windows(2).all(|w| w[0] != w[1]));
    assert_eq!(offsets[0], offsets[2]);
    assert_eq!(raw.arena_offset(x.raw()), None);

    assert_eq!(raw.dependencies(ids[0]), []);
    assert_eq!(raw.dependencies(ids[5]), [ids[4]]);
    assert_eq!(raw.len(), 10);
    assert_eq!(raw.kernel(ids[3]).unwrap().name, "scale");
    let times = sequence.run_timed().unwrap();
    assert_eq!(times.len(), 10);
    assert!(times.iter().sum::<Duration>() > Duration::ZERO);
}

#[test]
fn steps_depend_on_each_other_by_what_they_write() {
    let cpu = cpu();
    let (bump, accumulate) = (kernel(&cpu, "bump"), kernel(&cpu, "accumulate"));
    let a = cpu.zeros::<u32>(100).unwrap();
    let b = cpu.zeros::<u32>(100).unwrap();
    let mut record = cpu.sequence();
    let mut bump_of =
        |x: &Buffer<u32>| record.step(bump.launch_declared().arg("x", x).arg("by", 1u32)).unwrap();
    let left = bump_of(&a.view(..50).unwrap());
    let right = bump_of(&a.view(50..).unwrap());
    let other = bump_of(&b);
    let join = record.step(accumulate.launch_declared().arg("x", &a).arg("y", &b)).unwrap();
    let sequence = record.finish().unwrap();
    let after = |step| sequence.raw().dependencies(step);
    assert_eq!(after(right), [], "the halves do not overlap");
    assert_eq!(after(other), []);
    assert_eq!(after(join), [left, right, other]);
    sequence.run().unwrap();
    assert_eq!((a.read().unwrap(), b.read().unwrap()), (vec![1; 100], vec![2; 100]));
}

#[test]
fn one_place_in_the_arena_serves_several_element_types() {
    let cpu = cpu();
    let (accumulate, narrow, bump) =
        (kernel(&cpu, "accumulate"), kernel(&cpu, "narrow"), kernel(&cpu, "bump"));
    let widen = "kernel widen(in x: u8[], out y: u32[]) block 64 grid ceil(len(y), 64) {
        let i, n: u64; let v: u8; let w: u32
        mov.u64     i, %global.linear
        len.u64     n, y
        set.ge.u64  p0, i, n
    @p0 exit
        ld.u8       v, x[i]
        cvt.wrap.u32.u8 w, v
        st.u32      y[i], w
        exit
    }";
    let widen = cpu.load(widen).unwrap().only_kernel().unwrap();
    let x = cpu.buffer(&(0..256u32).collect::<Vec<_>>()).unwrap();
    let y = cpu.zeros::<u32>(256).unwrap();
    let mut record = cpu.sequence();
    let bytes = record.intermediate::<u8>(256).unwrap();
    let words = record.intermediate::<u32>(256).unwrap();
    let again = record.intermediate::<u8>(256).unwrap();
    let back = record.intermediate::<u32>(64).unwrap();
    record.step(narrow.launch_declared().arg("x", &x).arg("y", &bytes)).unwrap();
    record.step(widen.launch_declared().arg("x", &bytes).arg("y", &words)).unwrap();
    record.step(bump.launch_declared().arg("x", &words).arg("by", 1u32)).unwrap();
    record.step(narrow.launch_declared().arg("x", &words).arg("y", &again)).unwrap();
    record.step(widen.launch_declared().arg("x", &again).arg("y", &back)).unwrap();
    record.step(accumulate.launch_declared().arg("x", &back).arg("y", y.view(..64).unwrap())).unwrap();
    let sequence = record.finish().unwrap();
    for round in 1..=2 {
        sequence.run().unwrap();
        let got = y.read().unwrap();
        assert!((0..64).all(|i| got[i] == round * (i as u32 + 1)), "{got:?}");
    }
    let raw = sequence.raw();
    let bytes_place = raw.arena_offset(bytes.raw()).unwrap();
    assert!([raw.arena_offset(again.raw()), raw.arena_offset(back.raw())].contains(&Some(bytes_place)));
    assert!(raw.arena_bytes() < raw.intermediate_bytes());
}

#[test]
fn values_are_rebound_between_runs() {
    let cpu = cpu();
    let bump = kernel(&cpu, "bump");
    let x = cpu.zeros::<u32>(200).unwrap();
    let mut record = cpu.sequence();
    let step = record.step(bump.launch_declared().arg("x", x.view(..100).unwrap()).arg("by", 1u32)).unwrap();
    let mut sequence = record.finish().unwrap();
    sequence.run().unwrap();
    sequence.set_scalar(step, "by", 10u32).unwrap();
    sequence.rebind(step, "x", x.view(50..200).unwrap()).unwrap();
    sequence.run().unwrap();
    let expected = |i: usize| u32::from(i < 100) + if i >= 50 { 10 } else { 0 };
    assert!(x.read().unwrap().iter().enumerate().all(|(i, v)| *v == expected(i)));

    let other = cpu.zeros::<u32>(3).unwrap();
    sequence.rebind(step, "x", &other).unwrap();
    sequence.run().unwrap();
    assert_eq!(other.read().unwrap(), [10; 3]);
    assert_eq!(x.read().unwrap()[199], 10, "the buffer before is left alone");

    assert!(sequence.set_scalar(step, "by", 1f32).is_err());
    assert!(sequence.set_scalar(step, "bye", 1u32).is_err());
    let error = sequence.rebind(step, "x", cpu.zeros::<f32>(3).unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("step 0: "), "{error}");
    sequence.run().unwrap();
    assert_eq!(other.read().unwrap(), [20; 3], "refused values change nothing");
}

#[test]
fn intermediates_are_for_their_sequence_and_written_before_they_are_read() {
    let cpu = cpu();
    let scale = kernel(&cpu, "scale");
    let x = cpu.zeros::<f32>(100).unwrap();
    let mut record = cpu.sequence();
    let h = record.intermediate::<f32>(100).unwrap();
    let launch = |from: &Buffer<f32>, to: &Buffer<f32>| {
        scale.launch_declared().arg("x", from).arg("y", to).arg("by", 1f32)
    };

    let planned = |e: &LaunchError| e.to_string().contains("intermediate of a launch sequence");
    assert!(planned(&launch(&x, &h).run().unwrap_err()));
    assert_eq!(h.read(), Err(BufferError::Planned));
    assert_eq!(h.write(&[1.0]), Err(BufferError::Planned));
    assert!(planned(&cpu.sequence().step(launch(&x, &h)).unwrap_err()), "of another recording");

    record.step(launch(&x.view(..50).unwrap(), &h.view(..50).unwrap())).unwrap();
    record.step(launch(&h.view(25..75).unwrap(), &x.view(..50).unwrap())).unwrap();
    let error = record.finish().err().expect("half of it is not written");
    assert!(
        error.to_string().contains("step 1") && error.to_string().contains("no earlier step writes"),
        "{error}"
    );

    let mut record = cpu.sequence();
    let h = record.intermediate::<f32>(100).unwrap();
    record.step(launch(&x.view(..50).unwrap(), &h.view(..50).unwrap())).unwrap();
    record.step(launch(&x.view(..50).unwrap(), &h.view(50..).unwrap())).unwrap();
    let last = record.step(launch(&h.view(25..75).unwrap(), &x.view(..50).unwrap())).unwrap();
    let mut sequence = record.finish().unwrap();
    sequence.run().unwrap();
    sequence.rebind(last, "x", h.view(50..).unwrap()).unwrap();
    sequence.run().unwrap();
    let error = sequence.rebind(last, "x", x.view(50..).unwrap()).unwrap_err();
    assert!(error.to_string().contains("other parts of itself"), "{error}");
    sequence.run().unwrap();
}

#[test]
fn aliasing_holds_within_a_step() {
    let cpu = cpu();
    let accumulate = kernel(&cpu, "accumulate");
    let mut record = cpu.sequence();
    let h = record.intermediate::<u32>(100).unwrap();
    let error = record.step(accumulate.launch_declared().arg("x", &h).arg("y", &h)).unwrap_err();
    assert!(matches!(error, LaunchError::Overlap { .. }), "{error}");
}

#[test]
fn a_failing_step_ends_the_run_and_is_named() {
    let cpu = cpu();
    let (bump, scale) = (kernel(&cpu, "bump"), kernel(&cpu, "scale"));
    let a = cpu.zeros::<u32>(10).unwrap();
    let (x, y) = (cpu.zeros::<f32>(5).unwrap(), cpu.zeros::<f32>(10).unwrap());
    let mut record = cpu.sequence();
    record.step(bump.launch_declared().arg("x", &a).arg("by", 1u32)).unwrap();
    record.step(scale.launch_declared().arg("x", &x).arg("y", &y).arg("by", 1f32)).unwrap();
    record.step(bump.launch_declared().arg("x", &a).arg("by", 1u32)).unwrap();
    let sequence = record.finish().unwrap();
    let error = sequence.run().unwrap_err();
    assert!(matches!(error, LaunchError::Step { step: 1, .. }), "{error}");
    assert!(error.trap().is_some() && !error.is_cancelled());
    assert_eq!(a.read().unwrap(), [1; 10], "the first step ran, the last did not");

    a.free();
    let error = sequence.run().unwrap_err();
    assert!(matches!(error, LaunchError::Step { step: 0, .. }), "{error}");
}

#[test]
fn a_token_ends_a_run_between_and_inside_steps() {
    let cpu = cpu();
    let (bump, forever) = (kernel(&cpu, "bump"), kernel(&cpu, "forever"));
    let a = cpu.zeros::<u32>(10).unwrap();
    let mut record = cpu.sequence();
    record.step(bump.launch_declared().arg("x", &a).arg("by", 1u32)).unwrap();
    let before = record.finish().unwrap();
    let token = CancelToken::new();
    before.run_cancellable(&token).unwrap();
    token.cancel();
    assert!(before.run_cancellable(&token).unwrap_err().is_cancelled());
    assert_eq!(a.read().unwrap(), [1; 10]);

    let mut record = cpu.sequence();
    record.step(bump.launch_declared().arg("x", &a).arg("by", 1u32)).unwrap();
    record.step(forever.launch_declared().arg("x", &a)).unwrap();
    let endless = record.finish().unwrap();
    let token = CancelToken::new();
    std::thread::scope(|s| {
        let run = s.spawn(|| endless.run_cancellable(&token));
        std::thread::sleep(Duration::from_millis(20));
        token.cancel();
        let error = run.join().unwrap().unwrap_err();
        assert!(error.is_cancelled() && matches!(error, LaunchError::Step { step: 1, .. }), "{error}");
    });
    assert_eq!(a.read().unwrap(), [2; 10]);
}

#[test]
fn runs_from_several_threads_take_turns() {
    let cpu = cpu();
    let x = cpu.buffer(&[1f32; 100]).unwrap();
    let y = cpu.zeros::<f32>(100).unwrap();
    let (sequence, ..) = chain(&cpu, &x, &y, 4);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..10 {
                    sequence.run().unwrap();
                    assert_eq!(y.read().unwrap(), [16.0; 100]);
                }
            });
        }
    });
}

#[test]
fn a_sequence_without_steps_does_nothing() {
    let sequence = cpu().sequence().finish().unwrap();
    assert!(sequence.raw().is_empty());
    sequence.run().unwrap();
}
