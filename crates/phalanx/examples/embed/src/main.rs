//! Phalanx inside another program: one launch, a sequence of launches, and what a wrong program looks like.

use phalanx::{Cpu, Error};

fn main() -> Result<(), Error> {
    let cpu = Cpu::new()?;
    one_launch(&cpu)?;
    a_sequence(&cpu)?;
    a_wrong_program(&cpu);
    Ok(())
}

/// A softmax over the rows of a matrix.
fn one_launch(cpu: &Cpu) -> Result<(), Error> {
    let (rows, cols) = (4, 1000);
    let input: Vec<f32> = (0..rows * cols).map(|i| (i % 17) as f32 / 4.0).collect();

    let softmax = cpu.load(include_str!("softmax.phx"))?.kernel("softmax")?;
    let x = cpu.buffer(&input)?;
    let mut y = cpu.zeros::<f32>(rows * cols)?;
    softmax.launch(rows, 256).arg("x", &x).arg("y", &mut y).arg("cols", cols as u32).run()?;
    println!("{:?}", &y.read()?[..4]);
    Ok(())
}

/// A dense layer and a softmax over its outputs, recorded once and run for several inputs. `hidden` exists only inside the
/// sequence, in an arena that all intermediates share.
fn a_sequence(cpu: &Cpu) -> Result<(), Error> {
    let (inputs, outputs) = (64, 10);
    let weights: Vec<f32> = (0..inputs * outputs).map(|i| ((i * 7) % 13) as f32 / 13.0 - 0.5).collect();
    let dense = cpu.load(include_str!("dense.phx"))?.only_kernel()?;
    let softmax = cpu.load(include_str!("softmax.phx"))?.only_kernel()?;
    let w = cpu.buffer(&weights)?;
    let samples = cpu.buffer(&(0..3 * inputs).map(|i| (i as f32).sin()).collect::<Vec<_>>())?;
    let y = cpu.zeros::<f32>(outputs)?;

    let mut record = cpu.sequence();
    let hidden = record.intermediate::<f32>(outputs)?;
    let first = record
        .step(dense.launch_declared().arg("w", &w).arg("x", samples.view(..inputs)?).arg("y", &hidden))?;
    record.step(softmax.launch(1, 64).arg("x", &hidden).arg("y", &y).arg("cols", outputs as u32))?;
    let mut sequence = record.finish()?;

    for sample in 0..3 {
        sequence.rebind(first, "x", samples.view(sample * inputs..(sample + 1) * inputs)?)?;
        sequence.run()?;
        let y = y.read()?;
        let best = (0..outputs).max_by(|a, b| y[*a].total_cmp(&y[*b])).unwrap_or(0);
        println!("sample {sample}: class {best}, probability {:.3}", y[best]);
    }
    println!("arena: {} bytes", sequence.raw().arena_bytes());
    Ok(())
}

/// The message of a program with a mistake.
fn a_wrong_program(cpu: &Cpu) {
    let text = include_str!("dense.phx").replace("st.f32      y[row], sum", "st.u32      y[row], sum");
    match cpu.load_named("dense.phx", &text) {
        Ok(_) => println!("this program was expected to be wrong"),
        Err(e) => println!("{e}"),
    }
}
