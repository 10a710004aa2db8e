//! A network of ResNet-18's shape: what convolutions cost one after another.

use super::resnet::Network;
use super::samples::Samples;
use super::{Row, Table};
use crate::console::say;
use crate::device::Device;
use phalanx::Cpu;
use phalanx::isa::PackFormat;
use phalanx::kernels::limits;
use std::time::Duration;

/// Pixels of a side of ResNet's images.
const SIDE: usize = 224;

/// A row of the whole network; its answer is that of one thread at another level.
pub fn row(
    device: &Device,
    (name, format): (&str, PackFormat),
    threads: usize,
    best: &mut f64,
    table: &mut Table,
) -> anyhow::Result<()> {
    let tier = device.tier();
    let case = format!("{name} resnet18 {SIDE}x{SIDE} {threads}t {tier}");
    if !table.wants(&case) {
        return Ok(());
    }
    let on = Device { threads: Some(u16::try_from(threads)?), ..device.clone() };
    let network = Network::new(&on.open()?, format, SIDE)?;
    let others = phalanx::Tier::available();
    let other = others.iter().rev().find(|t| **t != tier).unwrap_or(&tier);
    let plain = Cpu::builder().simd(*other).threads(1).build()?;
    let verified = network.answer()? == Network::new(&plain, format, SIDE)?.answer()?;
    let samples = Samples::take(&mut |runs| network.sample(runs), None, best)?;
    let (time, _) = samples.medians();
    say!("{case}: {:.2} ms an image", time * 1e3);
    let peak = limits::int8_rate(tier, Duration::from_millis(24)).map(|p| p * threads as f64 / 1e9);
    table.add(&Row {
        case,
        unit: "GMAC/s",
        ours: network.macs as f64 / time / 1e9,
        rival: None,
        ratio: None,
        limit: peak,
        verified: Some(verified),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_network_gives_the_bits_of_the_reference_again_and_again() {
        let reference = Cpu::builder().executor("reference").build().unwrap();
        for format in [PackFormat::I8, PackFormat::T2] {
            let expected = Network::new(&reference, format, 32).unwrap().answer().unwrap();
            let network = Network::new(&Cpu::new().unwrap(), format, 32).unwrap();
            for _ in 0..3 {
                assert_eq!(network.answer().unwrap(), expected);
            }
            assert!(expected.iter().any(|v| *v != expected[0]), "the image reaches the end");
        }
    }
}
