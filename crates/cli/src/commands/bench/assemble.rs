//! From program text to a first result, cold: nothing of the program is kept between runs.

use super::timing::{after, alone};
use super::{Row, Table};
use phalanx::Cpu;
use std::time::Duration;

/// Lines of the program.
const LINES: usize = 100;
/// Lanes of the one block that is launched.
const LANES: usize = 64;

/// A program of [`LINES`] lines: it adds 1, 2, 3, ... and multiplies by 1 in between. `tag` makes the text a new one.
fn text(tag: u64) -> String {
    let head = format!(
        "// program {tag}\nkernel cold(in x: f32[], out y: f32[]) {{\n    let i: u32; let v: f32\n    \
         mov.u32     i, %global.x\n    ld.f32      v, x[i]\n"
    );
    let tail = "    st.f32      y[i], v\n    exit\n}\n";
    let body = LINES - head.lines().count() - tail.lines().count();
    let line = |n: usize| match n % 2 {
        0 => format!("    add.f32     v, v, {}\n", n / 2 + 1),
        _ => "    mul.f32     v, v, 1\n".to_string(),
    };
    head + &(0..body).map(line).collect::<String>() + tail
}

/// What the program adds.
fn added() -> f32 {
    let adds = text(0).lines().filter(|l| l.contains("add.f32")).count();
    (1..=adds).map(|n| n as f32).sum()
}

pub fn run(cpu: &Cpu, table: &mut Table) -> anyhow::Result<()> {
    let x: Vec<f32> = (0..LANES).map(|i| i as f32).collect();
    let (x, y) = (cpu.buffer(&x)?, cpu.zeros::<f32>(LANES)?);
    let fixed = text(0);
    let module = phalanx::asm::assemble("cold.phx", &fixed).ok().map(|a| a.module);
    let module = module.ok_or_else(|| anyhow::anyhow!("the program does not assemble"))?;

    let mut add = |case: &str, seconds: f64, verified: Option<bool>| {
        let case = format!("{case} {LINES} lines");
        if !table.wants(&case) {
            return Ok(());
        }
        let ours = Duration::from_secs_f64(seconds).as_nanos() as f64 / 1e3;
        table.add(&Row { case, unit: "us", ours, rival: None, ratio: None, limit: None, verified })
    };
    let seconds = alone(&mut || {
        let assembled = phalanx::asm::assemble("cold.phx", &fixed);
        anyhow::ensure!(assembled.is_ok(), "the program does not assemble");
        Ok(())
    })?;
    add("assemble", seconds, None)?;
    // The clone is part of it: the validator takes the module.
    let seconds = alone(&mut || {
        phalanx::verify::verify(module.clone())?;
        Ok(())
    })?;
    add("validate", seconds, None)?;

    let launched = |program: &phalanx::Program| -> anyhow::Result<()> {
        Ok(program.only_kernel()?.launch(1, LANES).arg("x", &x).arg("y", &y).run()?)
    };
    // A module goes past the cache, so its kernel is made ready every time.
    let seconds = after(|| Ok(cpu.load_module(module.clone())?), |program| launched(&program))?;
    add("first launch of", seconds, None)?;

    let mut tag = 0;
    let seconds = alone(&mut || {
        tag += 1;
        launched(&cpu.load(&text(tag))?)
    })?;
    let expected: Vec<f32> = (0..LANES).map(|i| i as f32 + added()).collect();
    add("text to result,", seconds, Some(y.read()? == expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_has_its_lines_and_is_right() {
        assert_eq!(text(7).lines().count(), LINES);
        assert_ne!(text(7), text(8));
        let cpu = Cpu::new().unwrap();
        let program = cpu.load(&text(7)).unwrap();
        let (x, y) = (cpu.buffer(&[1f32; LANES]).unwrap(), cpu.zeros::<f32>(LANES).unwrap());
        program.only_kernel().unwrap().launch(1, LANES).arg("x", &x).arg("y", &y).run().unwrap();
        assert_eq!(y.read().unwrap(), [1.0 + added(); LANES]);
    }
}
