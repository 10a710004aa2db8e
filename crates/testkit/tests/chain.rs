//! A little of what the fuzzer does, with every `cargo test`.

use phalanx_isa::encode;
use phalanx_testkit::fuzz::{fuzz_one_bytes, fuzz_one_module, fuzz_one_text};
use phalanx_testkit::program::{Config, random_program};
use phalanx_testkit::{Rng, mutate};

#[test]
fn damaged_modules_are_refused_or_run_alike() {
    let (mut validated, mut ran, mut trapped, mut compared) = (0, 0, 0, 0);
    const N: u64 = 300;
    for seed in 0..N {
        let mut rng = Rng::new(seed);
        let mut m = random_program(seed, &Config { size: 3, ..Config::of(seed) }).module;
        mutate::module(&mut m, &mut rng);
        let stage = fuzz_one_module(&encode(&m), seed).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        validated += u64::from(stage.validated);
        ran += u64::from(stage.ran);
        trapped += u64::from(stage.trapped);
        compared += u64::from(stage.compared);
    }
    assert!(validated > N / 5 && ran > N / 10 && trapped > N / 20 && compared > N / 20);
}

#[test]
fn damaged_texts_are_refused_or_lead_back() {
    let mut accepted = 0;
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let case = random_program(seed, &Config { size: 2, ..Config::of(seed) });
        let mut text = phalanx_asm::disassemble(&case.module).unwrap();
        for _ in 0..rng.below(3) {
            text = mutate::text(&text, &[], &mut rng);
        }
        accepted += u64::from(fuzz_one_text(&text).unwrap_or_else(|e| panic!("seed {seed}: {e}")));
    }
    assert!((60..290).contains(&accepted), "{accepted} accepted");
}

#[test]
fn damaged_bytes_are_refused_or_written_again() {
    for seed in 0..2000 {
        let mut rng = Rng::new(seed);
        let mut bytes = encode(&random_program(seed % 50, &Config::of(1)).module);
        for _ in 0..rng.between(1, 4) {
            mutate::bytes(&mut bytes, &mut rng);
        }
        fuzz_one_bytes(&bytes).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}
