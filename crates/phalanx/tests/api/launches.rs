//! What a launch does, and bindings that run again.

use crate::{cpu, kernel};
use phalanx::exec::Prepared;
use phalanx::exec::reference::Reference;
use phalanx::isa::TrapKind;
use phalanx::verify::Verified;
use phalanx::{Bf16, CancelToken, Cpu, Executor, F16, LaunchError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn buffers_of_every_type_hold_what_is_written() {
    let cpu = cpu();
    macro_rules! check {
        ($($value:expr),*) => { $({
            let data = [$value; 5];
            let b = cpu.buffer(&data).unwrap();
            assert_eq!(b.read().unwrap(), data);
            let z = cpu.zeros(5).unwrap();
            z.view(1..=3).unwrap().write(&data[..3]).unwrap();
            let mut part = [$value; 2];
            z.view(3..).unwrap().read_into(&mut part).unwrap();
            assert_eq!(part[0], $value);
            assert_ne!(part[1], $value, "the fifth is still zero");
        })* };
    }
    check!(-1i8, -1i16, -1i32, -1i64, 1u8, 1u16, 1u32, 1u64, 1.5f32, 1.5f64, F16(1), Bf16(1));
    assert_eq!(cpu.uninit::<u8>(7).unwrap().len(), 7);
    assert!(cpu.buffer::<f64>(&[]).unwrap().is_empty());
}

#[test]
fn external_memory_is_bound_in_place_and_kept_alive() {
    let cpu = cpu();
    let data: Arc<Vec<f32>> = Arc::new((0..100).map(|i| i as f32).collect());
    let weak = Arc::downgrade(&data);
    let x = cpu.external(data);
    let y = cpu.zeros::<f32>(100).unwrap();
    kernel(&cpu, "scale").launch_declared().arg("x", &x).arg("y", &y).arg("by", 2f32).run().unwrap();
    assert_eq!(y.read().unwrap()[99], 198.0);
    assert!(weak.upgrade().is_some());
    drop(x);
    assert!(weak.upgrade().is_none(), "nothing keeps the owner after the buffer");
}

#[test]
fn views_bind_parts_of_one_buffer() {
    let cpu = cpu();
    let all = cpu.buffer(&[1f32, 2.0, 3.0, 0.0, 0.0, 0.0]).unwrap();
    let (x, mut y) = (all.view(..3).unwrap(), all.view(3..6).unwrap());
    kernel(&cpu, "scale").launch_declared().arg("x", &x).arg("y", &mut y).arg("by", 10f32).run().unwrap();
    assert_eq!(all.read().unwrap(), [1.0, 2.0, 3.0, 10.0, 20.0, 30.0]);
    assert!(all.view(3..7).is_err());
    #[allow(clippy::reversed_empty_ranges, reason = "the empty range is what is tested")]
    let backwards = all.view(4..2);
    assert!(backwards.is_err());
}

#[test]
fn a_bound_launch_runs_again_with_other_values() {
    let cpu = cpu();
    let x = cpu.buffer(&[1u32; 100]).unwrap();
    let mut bound = kernel(&cpu, "bump").launch_declared().arg("x", &x).arg("by", 1u32).bind().unwrap();
    assert_eq!(bound.config().grid, [2, 1, 1]);
    bound.run().unwrap();
    bound.run().unwrap();
    assert_eq!(x.read().unwrap(), [3; 100]);
    bound.set("by", 100u32).unwrap();
    bound.run().unwrap();
    assert_eq!(x.read().unwrap(), [103; 100]);

    let y = cpu.buffer(&[0u32; 1000]).unwrap();
    bound.set("x", &y).unwrap();
    assert_eq!(bound.config().grid, [16, 1, 1], "the declared grid follows the new length");
    bound.run().unwrap();
    assert_eq!(y.read().unwrap(), [100; 1000]);

    assert!(matches!(bound.set("by", 1i32), Err(LaunchError::Kind { .. })));
    assert!(matches!(bound.set("bye", 1u32), Err(LaunchError::Unknown { .. })));
    bound.run().unwrap();
    assert_eq!(y.read().unwrap(), [200; 1000], "refused values change nothing");
}

#[test]
fn arrays_of_buffers_and_packed_weights_are_arguments() {
    let cpu = cpu();
    let text = "kernel gather(in xs: u32[][3], out y: u32[]) block 1 grid 3 {
        let v: u32
        ld.u32 v, xs[%block.x][0]
        st.u32 y[%block.x], v
        exit
    }";
    let gather = cpu.load(text).unwrap().only_kernel().unwrap();
    let xs = [5u32, 6, 7].map(|v| cpu.buffer(&[v]).unwrap());
    let y = cpu.zeros::<u32>(3).unwrap();
    gather.launch_declared().arg("xs", &xs).arg("y", &y).run().unwrap();
    assert_eq!(y.read().unwrap(), [5, 6, 7]);
    gather.launch_declared().arg("xs", [&xs[2], &xs[0], &xs[2]]).arg("y", &y).run().unwrap();
    assert_eq!(y.read().unwrap(), [7, 5, 7]);
    let two = gather.launch_declared().arg("xs", &xs[..2]).arg("y", &y).run().unwrap_err();
    assert!(two.to_string().contains("an array of 3 `in` buffers of u32"), "{two}");
}

#[test]
fn an_endless_loop_ends_by_cancel_deadline_timeout_and_fuel() {
    let cpu = cpu();
    let forever = kernel(&cpu, "forever");
    let x = cpu.zeros::<u32>(1).unwrap();
    let launch = || forever.launch_declared().arg("x", &x);

    let token = CancelToken::new();
    std::thread::scope(|s| {
        let running = s.spawn(|| launch().cancel(&token).run());
        std::thread::sleep(Duration::from_millis(20));
        token.cancel();
        let error = running.join().unwrap().unwrap_err();
        assert!(error.is_cancelled(), "{error}");
    });
    assert!(launch().deadline(Instant::now() + Duration::from_millis(10)).run().unwrap_err().is_cancelled());
    let bound = launch().timeout(Duration::from_millis(10)).bind().unwrap();
    assert!(bound.run().unwrap_err().is_cancelled());
    assert!(bound.run().unwrap_err().is_cancelled(), "the time begins anew with each run");

    // A token and a time together: either ends it, and the time does not trigger the token.
    let token = CancelToken::new();
    assert!(launch().cancel(&token).timeout(Duration::from_millis(5)).run().unwrap_err().is_cancelled());
    assert!(!token.is_cancelled());
    token.cancel();
    let late = Duration::from_secs(1 << 40);
    assert!(launch().cancel(&token).timeout(late).run().unwrap_err().is_cancelled());

    let error = launch().fuel(1000).run().unwrap_err();
    assert_eq!(error.trap().unwrap().lane_trap.kind, TrapKind::Fuel);
    // After all that the buffer is not locked.
    assert_eq!(x.read().unwrap(), [0]);
}

#[test]
fn a_trap_names_its_place_in_the_source() {
    let cpu = cpu();
    let text = "kernel k(out y: u32[]) block 2 grid 4 {\n    st.u32      y[%global.x], 1\n    exit\n}";
    let program = cpu.load_named("k.phx", text).unwrap();
    let y = cpu.zeros::<u32>(5).unwrap();
    let error = program.only_kernel().unwrap().launch_declared().arg("y", &y).run().unwrap_err();
    let trap = error.trap().expect("a trap");
    assert_eq!(
        (trap.lane_trap.kind, trap.lane_trap.block, trap.lane_trap.lane),
        (TrapKind::OutOfBounds, 2, 1)
    );
    let shown = program.render(&[program.trap_diagnostic(trap)]);
    for part in ["k.phx:2:", "st.u32      y[%global.x], 1", "index 5 of `y`", "in block (2, 0, 0), lane 1"] {
        assert!(shown.contains(part), "{part:?} is missing in\n{shown}");
    }
}

/// Counts how often kernels are made ready, and has the reference executor run them.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Executor for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }
    fn prepare(&self, program: &Verified, kernel_index: usize) -> Result<Arc<dyn Prepared>, LaunchError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Reference.prepare(program, kernel_index)
    }
}

#[test]
fn an_executor_of_the_callers_makes_each_kernel_ready_once() {
    let counting = Arc::new(Counting::default());
    let cpu = Cpu::builder().custom_executor(counting.clone()).build().unwrap();
    assert_eq!(cpu.executor(), "counting");
    let x = cpu.zeros::<u32>(3).unwrap();
    for _ in 0..3 {
        // Loaded anew each time, from the cache.
        kernel(&cpu, "bump").launch_declared().arg("x", &x).arg("by", 1u32).run().unwrap();
    }
    assert_eq!((x.read().unwrap(), counting.0.load(Ordering::Relaxed)), (vec![3; 3], 1));
    kernel(&cpu, "accumulate").prepare().unwrap();
    assert_eq!(counting.0.load(Ordering::Relaxed), 2);
}
