//! Launches of every program: of the tests in its file the one with most accesses, with new buffers each time.

use super::timing::{Paired, interval, median};
use anyhow::Context;
use phalanx::testing::{Case, bind, parse};
use phalanx::{BoundLaunch, Checks, Cpu, Program};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Pairs of launches.
const PAIRS: usize = 201;

/// A test in a program's file.
pub struct FileTest {
    program: Program,
    case: Case,
    folder: PathBuf,
}

impl FileTest {
    /// The test of `programs/NAME.phx` with most accesses; `None` where all of them trap. Reads the files that tests name, so it
    /// must run in the repository's root.
    ///
    /// # Errors
    /// Such a file is missing.
    pub fn largest(cpu: &Cpu, p: &phalanx_programs::Program) -> anyhow::Result<Option<FileTest>> {
        let base = Path::new("programs");
        let folder = base.join(p.name).parent().unwrap_or(base).to_path_buf();
        let program = cpu.load_named(&format!("programs/{}.phx", p.name), p.text)?;
        let cases = parse(p.text).map_err(|e| anyhow::anyhow!("{}: {e:?}", p.name))?;
        let mut most: Option<(u64, Case)> = None;
        for case in cases.into_iter().filter(|c| c.trap.is_none()) {
            let launch = bind(cpu, &program, &case, &folder)
                .with_context(|| format!("{}: run this in the repository's root", p.name))?;
            let accesses = launch.sanitize(Checks { race: true, ..Checks::default() })?.report.accesses;
            if most.as_ref().is_none_or(|(n, _)| *n < accesses) {
                most = Some((accesses, case));
            }
        }
        Ok(most.map(|(_, case)| FileTest { program, case, folder }))
    }

    /// Times two ways to run the launch, each on its device, in interleaved pairs.
    ///
    /// # Errors
    /// A launch fails.
    pub fn paired(&self, ours: (&Cpu, Run<'_>), rival: (&Cpu, Run<'_>)) -> anyhow::Result<Paired> {
        let timed = |(cpu, run): (&Cpu, Run<'_>)| {
            let program = cpu.load_named(self.program.name(), self.program.text())?;
            let launch = bind(cpu, &program, &self.case, &self.folder)?;
            let from = Instant::now();
            run(&launch)?;
            anyhow::Ok(from.elapsed().as_secs_f64())
        };
        let (mut a, mut b, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 0..PAIRS {
            let (x, y) = if pair % 2 == 0 {
                let x = timed(ours)?;
                (x, timed(rival)?)
            } else {
                let y = timed(rival)?;
                (timed(ours)?, y)
            };
            a.push(x);
            b.push(y);
            ratios.push(y / x);
        }
        Ok(Paired { ours: median(&mut a), rival: median(&mut b), ratio: interval(&ratios) })
    }
}

/// A way to run a launch.
pub type Run<'a> = &'a dyn Fn(&BoundLaunch) -> anyhow::Result<()>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_test_is_found_and_runs() {
        let cpu = Cpu::new().unwrap();
        let test = FileTest::largest(&cpu, phalanx_programs::find("matmul_tiled").unwrap()).unwrap().unwrap();
        assert_eq!(test.case.name, "ones_times_iota");
        let run: Run<'_> = &|l| Ok(l.run()?);
        assert!(test.paired((&cpu, run), (&cpu, run)).unwrap().ours > 0.0);
    }
}
