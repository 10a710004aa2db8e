//! Random programs whose lanes get in each other's way: what race checkers are compared on.
//!
//! Values that are loaded decide nothing, neither places nor branches nor what is stored, so that the accesses of a program are
//! the same in every order of lanes and blocks. Barriers stand where all lanes come along. The program is text with a test that
//! binds its parameters.

use crate::Rng;
use std::fmt::Write;

/// A memory object: name, element type, length, whether it is shared, and how many buffers it is an array of.
struct Object {
    name: &'static str,
    ty: &'static str,
    len: u32,
    shared: bool,
    count: u32,
}

const OBJECTS: &[Object] = &[
    Object { name: "a", ty: "u32", len: 600, shared: false, count: 1 },
    Object { name: "b", ty: "u8", len: 300, shared: false, count: 1 },
    Object { name: "c", ty: "i64", len: 40, shared: false, count: 1 },
    Object { name: "d", ty: "f32", len: 90, shared: false, count: 3 },
    Object { name: "s", ty: "u32", len: 200, shared: true, count: 1 },
    Object { name: "t", ty: "u16", len: 70, shared: true, count: 1 },
];

struct Maker<'r> {
    rng: &'r mut Rng,
    lanes: u32,
    text: String,
    labels: u32,
    /// Loops around the present place.
    loops: u32,
}

/// The text of a program for a seed.
pub fn racy_program(seed: u64) -> String {
    let mut rng = Rng::new(seed);
    let block = *rng.pick(&[[8, 1], [31, 1], [32, 1], [33, 1], [8, 5], [64, 1], [16, 6], [130, 1]]);
    let grid = *rng.pick(&[[1, 1], [2, 1], [3, 1], [2, 2]]);
    let params: Vec<String> = OBJECTS
        .iter()
        .filter(|o| !o.shared)
        .map(|o| {
            format!(
                "inout {}: {}[]{}",
                o.name,
                o.ty,
                if o.count > 1 { format!("[{}]", o.count) } else { String::new() }
            )
        })
        .collect();
    let size = rng.between(3, 12);
    let mut m = Maker { rng: &mut rng, lanes: block[0] * block[1], text: String::new(), labels: 0, loops: 0 };
    let _ = writeln!(
        m.text,
        "kernel racy({}) block {}, {} grid {}, {} {{",
        params.join(", "),
        block[0],
        block[1],
        grid[0],
        grid[1]
    );
    for o in OBJECTS.iter().filter(|o| o.shared) {
        let _ = writeln!(m.text, "    shared {}: {}[{}]", o.name, o.ty, o.len);
    }
    m.text +=
        "    let at, h, k0, k1, one, round, v: u32; let p: pred\n    mov.u32 round, 0; mov.u32 one, 1\n";
    for o in OBJECTS {
        let _ = writeln!(m.text, "    let v_{0}: {1}; mov.{1} v_{0}, 0", o.name, o.ty);
    }
    m.statements(size, true);
    m.text += "    exit\n}\n//= test racy\n";
    for o in OBJECTS.iter().filter(|o| !o.shared) {
        for i in 0..o.count {
            let which = if o.count > 1 { format!("[{i}]") } else { String::new() };
            let _ = writeln!(m.text, "//=   {}{which} = iota {} {}", o.name, o.ty, o.len);
        }
    }
    m.text += "//=   expect clean\n";
    m.text
}

impl Maker<'_> {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "    {line}");
    }

    /// `together`: all lanes of the block come along.
    fn statements(&mut self, n: u32, together: bool) {
        for _ in 0..n {
            match self.rng.below(12) {
                0 | 1 if together => {
                    let word = *self.rng.pick(&[
                        "bar.sync",
                        "bar.sync",
                        "bar.subgroup",
                        "reduce.add.u32 v, one",
                        "sreduce.add.u32 v, one",
                    ]);
                    self.line(word);
                }
                2 if together && self.loops < 2 => self.rounds(),
                3 => self.branch(),
                _ => self.access(),
            }
        }
    }

    fn rounds(&mut self) {
        let (label, count, n) = (self.labels, self.rng.between(2, 3), self.rng.between(1, 4));
        let counter = format!("k{}", self.loops);
        self.labels += 1;
        self.loops += 1;
        self.line(&format!("mov.u32 {counter}, {count}"));
        let _ = writeln!(self.text, "again{label}:");
        self.line("add.u32 round, round, 1");
        self.statements(n, true);
        self.line(&format!("loop.u32 {counter}, again{label}"));
        self.loops -= 1;
    }

    fn branch(&mut self) {
        let (label, n) = (self.labels, self.rng.between(1, 3));
        self.labels += 1;
        self.condition();
        self.line(&format!("@p bra past{label}"));
        for _ in 0..n {
            self.access();
        }
        let _ = writeln!(self.text, "past{label}:");
    }

    /// Sets the predicate by the lane's or block's number.
    fn condition(&mut self) {
        let half = self.lanes / 2 + 1;
        let bound = self.rng.below(half as usize * 2);
        let cmp = *self.rng.pick(&["lt", "ge", "eq", "ne"]);
        match self.rng.below(4) {
            0 => {
                let bit = 1 << self.rng.below(6);
                self.line(&format!("and.u32 at, %lane.linear, {bit}"));
                self.line("set.eq.u32 p, at, 0");
            }
            1 => self.line(&format!("set.{cmp}.u32 p, %block.linear, 1")),
            _ => self.line(&format!("set.{cmp}.u32 p, %lane.linear, {bound}")),
        }
    }

    fn access(&mut self) {
        let o = &OBJECTS[self.rng.below(OBJECTS.len())];
        let guard = if self.rng.one_in(4) {
            self.condition();
            if self.rng.one_in(2) { "@p " } else { "@!p " }
        } else {
            ""
        };
        // The place: a function of the lane's numbers and of the round.
        let n = self.rng.between(0, 40);
        let place = match self.rng.below(10) {
            0 => format!("mov.u32 at, {}", self.rng.below(4)),
            1 => "mov.u32 at, %block.linear".into(),
            2 => "mov.u32 at, %subgroup.id".into(),
            3 => format!("xor.u32 at, %lane.linear, {n}"),
            4 => format!("shr.u32 at, %lane.linear, {}", n % 3 + 1),
            5 => format!("sub.u32 at, {}, %lane.linear", self.lanes - 1),
            6 => format!("mad.u32 at, round, {n}, %lane.linear"),
            7 => "mov.u32 at, %global.linear".into(),
            8 => format!("add.u32 at, %global.linear, {n}"),
            _ => "mov.u32 at, %lane.linear".into(),
        };
        self.line(&place);
        self.line(&format!("rem.u32 at, at, {}", o.len));
        let which =
            if o.count > 1 { format!("[{}]", self.rng.below(o.count as usize)) } else { String::new() };
        let (element, v, ty) = (format!("{}{which}[at]", o.name), format!("v_{}", o.name), o.ty);
        let space = if o.shared { ".shared" } else { "" };
        // What is stored does not depend on what was loaded.
        let value = match (ty, self.rng.below(3)) {
            (_, 0) => "1".to_string(),
            ("u32", 1) => "%lane.linear".into(),
            ("u32", _) => "%block.linear".into(),
            ("i64", _) => "%global.linear".into(),
            ("f32", _) => "2.5".into(),
            (_, n) => {
                self.line(&format!("mov.u32 h, {}", if n == 1 { "%lane.linear" } else { "%block.linear" }));
                self.line(&format!("cvt.wrap.{ty}.u32 {v}, h"));
                v.clone()
            }
        };
        let plain = [format!("ld{space}.{ty} {v}, {element}"), format!("st{space}.{ty} {element}, {value}")];
        let atomic = |m: &mut Self| match m.rng.below(5) {
            0 => format!("aload{space}.relaxed.{ty} {v}, {element}"),
            1 => format!("astore{space}.relaxed.{ty} {element}, {value}"),
            2 => format!("cas{space}.relaxed.{ty} {v}, {element}, 1, {value}"),
            3 => format!("atom{space}.exch.relaxed.{ty} {v}, {element}, {value}"),
            _ => format!("red{space}.add.relaxed.{ty} {element}, {value}"),
        };
        let text = match (ty, self.rng.below(3)) {
            ("u32" | "i64", 0) => atomic(self),
            ("f32", 0) => format!("red.add.relaxed.f32 {element}, {value}"),
            _ => self.rng.pick(&plain).clone(),
        };
        self.line(&format!("{guard}{text}"));
    }
}

/// The text of a program for a seed whose blocks pass flags, rightly or not: each block waits for flags of lower blocks, works
/// on common data, and stores its own flag. Every wait ends with the value that one store has left, so what is ordered does
/// not depend on the run.
pub fn flag_program(seed: u64) -> String {
    let mut rng = Rng::new(seed);
    let (lanes, blocks) = (*rng.pick(&[1u32, 3, 32, 40]), rng.between(2, 4));
    let mut t = format!(
        "kernel flags(inout a: u32[], inout flag: u32[]) block {lanes} grid {blocks} {{\n    \
         let at, seen, v: u32; let here, none, other: pred\n    set.ne.u32 other, %lane.x, 0\n"
    );
    let mut line = |text: &str| t += &format!("    {text}\n");
    // Whether block 1 passes on flag 0: whoever comes later then waits for its 2.
    let relays = blocks > 2 && rng.one_in(2);
    let accesses = |rng: &mut Rng, line: &mut dyn FnMut(&str)| {
        for _ in 0..rng.below(3) {
            let n = rng.below(8);
            line(&match rng.below(3) {
                0 => format!("mov.u32 at, {n}"),
                1 => format!("add.u32 at, %lane.x, {n}"),
                _ => format!("sub.u32 at, {}, %lane.x", lanes - 1),
            });
            line(match rng.below(6) {
                0..3 => "ld.u32 v, a[at]",
                3 | 4 => "st.u32 a[at], %global.x",
                _ => "red.add.relaxed.u32 a[at], 1",
            });
        }
    };
    let fence = |rng: &mut Rng| *rng.pick(&["nop", "fence.grid", "fence.block"]);
    for block in 0..blocks {
        line(&format!("set.ne.u32 here, %block.x, {block}"));
        line(&format!("@here bra past{block}"));
        accesses(&mut rng, &mut line);
        let mut waited = Vec::new();
        for flag in 0..block {
            let passes_on = relays && block == 1 && flag == 0;
            if !passes_on && rng.one_in(3) {
                continue;
            }
            waited.push(flag);
            let least = if relays && flag == 0 && block > 1 { 2 } else { 1 };
            let order = *rng.pick(&["acquire", "acquire", "relaxed"]);
            line(&format!("@other bra seen{block}_{flag}"));
            line(&format!("wait{block}_{flag}: aload.{order}.u32 seen, flag[{flag}]"));
            line(&format!("set.lt.u32 none, seen, {least}"));
            line(&format!("@none bra wait{block}_{flag}"));
            line(fence(&mut rng));
            if passes_on {
                let words = [
                    "red.add.relaxed.u32 flag[0], 1",
                    "red.add.acq_rel.u32 flag[0], 1",
                    "red.add.release.u32 flag[0], 1",
                    "astore.relaxed.u32 flag[0], 2",
                    "astore.release.u32 flag[0], 2",
                ];
                line(rng.pick::<&str>(&words));
            }
            line(&format!("seen{block}_{flag}: nop"));
            if !rng.one_in(4) {
                line("bar.sync");
            }
            accesses(&mut rng, &mut line);
        }
        if !rng.one_in(4) {
            line("bar.sync");
        }
        line(&format!("@other bra stored{block}"));
        line(fence(&mut rng));
        // A flag that is stored twice would be waited for twice.
        line(&format!("astore.{}.u32 flag[{block}], 1", rng.pick(&["release", "release", "relaxed"])));
        line(&format!("stored{block}: nop"));
        accesses(&mut rng, &mut line);
        line("exit");
        line(&format!("past{block}: nop"));
    }
    t + "    exit\n}\n//= test flags\n//=   a = iota u32 64\n//=   flag = zeros u32 4\n//=   expect clean\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_valid() {
        for (seed, text) in (0..200).flat_map(|s| [(s, racy_program(s)), (s, flag_program(s))]) {
            let module = phalanx_asm::assemble("racy.phx", &text).unwrap_or_else(|d| {
                panic!("seed {seed}:\n{}", phalanx_asm::render_all(&d, "racy.phx", &text, false))
            });
            if let Err(rejected) = phalanx_verify::verify(module.module) {
                panic!("seed {seed}: {:#?}\n{text}", rejected.errors);
            }
        }
    }
}
