//! Convolutions one after another take all the memory that they need in their first run.

use phalanx::Cpu;
use phalanx::convolution::{Conv, ConvShape, filters};
use phalanx::isa::PackFormat;
use resnet::Network;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

#[path = "../src/commands/bench/resnet.rs"]
mod resnet;

/// Counts what the whole process allocates.
struct Counting;
static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system allocator's; counting touches no memory that is allocated.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(p, layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(p, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn calls(work: impl FnOnce()) -> usize {
    let before = CALLS.load(Ordering::Relaxed);
    work();
    CALLS.load(Ordering::Relaxed) - before
}

// One test: another beside it would be counted too.
#[test]
fn nothing_is_allocated_again_and_nothing_for_what_does_not_fit() {
    assert!(calls(|| drop(vec![1u8; 100])) > 0, "the count counts");
    for threads in [1, 2] {
        for format in [PackFormat::I8, PackFormat::T2] {
            let network =
                Network::new(&Cpu::builder().threads(threads).build().unwrap(), format, 64).unwrap();
            let first = network.answer().unwrap();
            let again = calls(|| assert!(network.sample(5).is_ok_and(|seconds| seconds > 0.0)));
            assert_eq!(again, 0, "{format}, {threads} threads, {} products", network.macs);
            assert_eq!(network.answer().unwrap(), first);
        }
    }
    let huge = ConvShape { input: [usize::MAX / 3; 2], ..ConvShape::square(1, 3, 4, 3) };
    let groups =
        ConvShape { out_channels: usize::MAX, kernel: [1 << 20; 2], ..ConvShape::square(1 << 21, 1, 1, 1) };
    for shape in [huge, groups] {
        assert_eq!(calls(|| assert!(Conv::new(shape).is_err())), 0);
        assert_eq!(calls(|| assert!(filters(PackFormat::F32, shape, &[]).is_err())), 0);
    }
}
