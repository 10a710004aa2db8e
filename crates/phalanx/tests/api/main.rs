//! The host interface from outside, one module for each part.

mod launches;
mod loading;
mod program_tests;
mod refusals;
mod sequences;
mod threads;

use phalanx::{Cpu, Kernel};

/// Kernels that the tests share.
const KERNELS: &str = "
// y[i] = x[i] * by
kernel scale(in x: f32[], out y: f32[], by: f32) block 64 grid ceil(len(y), 64) {
    let i, n: u64; let v: f32
    mov.u64     i, %global.linear
    len.u64     n, y
    set.ge.u64  p0, i, n
@p0 exit
    ld.f32      v, x[i]
    mul.f32     v, v, by
    st.f32      y[i], v
    exit
}
// x[i] += by
kernel bump(inout x: u32[], by: u32) block 64 grid ceil(len(x), 64) {
    let i, n: u64; let v: u32
    mov.u64     i, %global.linear
    len.u64     n, x
    set.ge.u64  p0, i, n
@p0 exit
    ld.u32      v, x[i]
    add.u32     v, v, by
    st.u32      x[i], v
    exit
}
// y[i] = x[i] + y[i]; x is read, y is changed
kernel accumulate(in x: u32[], inout y: u32[]) block 64 grid ceil(len(y), 64) {
    let i, n: u64; let a, b: u32
    mov.u64     i, %global.linear
    len.u64     n, y
    set.ge.u64  p0, i, n
@p0 exit
    ld.u32      a, x[i]
    ld.u32      b, y[i]
    add.u32     b, a, b
    st.u32      y[i], b
    exit
}
// y[i] = x[i] as a byte
kernel narrow(in x: u32[], out y: u8[]) block 64 grid ceil(len(y), 64) {
    let i, n: u64; let v: u32; let b: u8
    mov.u64     i, %global.linear
    len.u64     n, y
    set.ge.u64  p0, i, n
@p0 exit
    ld.u32      v, x[i]
    cvt.wrap.u8.u32 b, v
    st.u8       y[i], b
    exit
}
kernel forever(inout x: u32[]) block 4 grid 3 {
    let v: u32
again:
    ld.u32      v, x[0]
    bra         again
}
";

fn cpu() -> Cpu {
    Cpu::builder().threads(2).build().expect("two threads are always possible")
}

fn kernel(cpu: &Cpu, name: &str) -> Kernel {
    cpu.load_named("kernels.phx", KERNELS).unwrap().kernel(name).unwrap()
}
