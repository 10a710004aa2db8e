//! What the executor tests share: programs as text, buffers as vectors.
#![allow(dead_code, reason = "each test file uses its part")]

use phalanx_exec::launch::Bound;
use phalanx_exec::workers::Sequential;
use phalanx_exec::*;
use phalanx_isa::{TrapKind, Type};
use phalanx_verify::{Verified, verify};

/// Assembles and validates.
pub fn program(text: &str) -> Verified {
    let module = match phalanx_asm::assemble("test.phx", text) {
        Ok(assembled) => assembled.module,
        Err(diags) => panic!("{diags:#?}\n{text}"),
    };
    verify(module).unwrap_or_else(|r| panic!("{:#?}\n{text}", r.errors))
}

pub fn config(blocks: u32, lanes: u32) -> LaunchConfig {
    LaunchConfig::new([blocks, 1, 1], [lanes, 1, 1])
}

/// Runs the first kernel of a program.
pub fn run_with(
    executor: &dyn Executor,
    text: &str,
    args: &[ArgValue],
    config: LaunchConfig,
    options: &RunOptions,
) -> Result<(), LaunchError> {
    let program = program(text);
    let bound = Bound::new(0, &program, 0, args.to_vec(), Some(config))?;
    let prepared = executor.prepare(&program, 0)?;
    bound.run(&*prepared, &Sequential, options)
}

/// The trap that a run must end with.
pub fn trap_with(
    executor: &dyn Executor,
    text: &str,
    args: &[ArgValue],
    config: LaunchConfig,
    options: &RunOptions,
) -> Trap {
    match run_with(executor, text, args, config, options) {
        Err(LaunchError::Trap(t)) => *t,
        other => panic!("expected a trap, got {other:?}"),
    }
}

/// Kind, lane and source line of a trap.
pub fn place(t: &Trap) -> (TrapKind, u64, u32, u32) {
    (t.lane_trap.kind, t.lane_trap.block, t.lane_trap.lane, t.loc.line)
}

macro_rules! buffers {
    ($($name:ident $read:ident: $t:ty, $elem:expr;)*) => { $(
        /// A buffer with these elements.
        pub fn $name(values: &[$t]) -> ArgValue {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            ArgValue::Buffer(Buffer::from_bytes(0, &bytes).unwrap().view($elem))
        }
        /// The elements of a bound buffer.
        pub fn $read(value: &ArgValue) -> Vec<$t> {
            let ArgValue::Buffer(view) = value else { panic!("no buffer: {value:?}") };
            let mut bytes = vec![0; view.len as usize * size_of::<$t>()];
            view.buffer.read(view.offset, &mut bytes).unwrap();
            bytes.chunks_exact(size_of::<$t>()).map(|c| <$t>::from_le_bytes(c.try_into().unwrap())).collect()
        }
    )* };
}
buffers! {
    f32s read_f32s: f32, Type::F32;
    i8s read_i8s: i8, Type::I8;
    i32s read_i32s: i32, Type::I32;
    u8s read_u8s: u8, Type::U8;
    u32s read_u32s: u32, Type::U32;
    u64s read_u64s: u64, Type::U64;
}

pub fn u32_arg(v: u32) -> ArgValue {
    ArgValue::Scalar(Type::U32, v.into())
}
