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
    /// Atomic operations release and acquire, and there are fences.
    orders: bool,
    text: String,
    labels: u32,
    /// Loops around the present place.
    loops: u32,
}

/// The text of a program for a seed.
pub fn racy_program(seed: u64) -> String {
    program(seed, false)
}

/// The text of a program for a seed whose atomic operations release and acquire, between fences. What of it is ordered depends on
/// the run.
pub fn ordered_program(seed: u64) -> String {
    program(seed, true)
}

fn program(seed: u64, orders: bool) -> String {
    let mut rng = Rng::new(seed);
    let block = match orders {
        true => *rng.pick(&[[3, 1], [8, 1], [9, 2], [33, 1]]),
        false => *rng.pick(&[[8, 1], [31, 1], [32, 1], [33, 1], [8, 5], [64, 1], [16, 6], [130, 1]]),
    };
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
    let size = if orders { rng.between(4, 12) } else { rng.between(3, 12) };
    let lanes = block[0] * block[1];
    let mut m = Maker { rng: &mut rng, lanes, orders, text: String::new(), labels: 0, loops: 0 };
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
        if self.orders && self.rng.one_in(4) {
            let word = *self.rng.pick(&["fence.grid", "fence.block"]);
            self.line(word);
        }
        // Few elements, where it is about what they make known.
        let few = self.orders && self.rng.one_in(2);
        let o = &OBJECTS[if few { *self.rng.pick(&[0, 4]) } else { self.rng.below(OBJECTS.len()) }];
        let guard = if self.rng.one_in(4) {
            self.condition();
            if self.rng.one_in(2) { "@p " } else { "@!p " }
        } else {
            ""
        };
        // The place: a function of the lane's numbers and of the round.
        let n = self.rng.between(0, 40);
        let place = match if few { 0 } else { self.rng.below(10) } {
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
        let atomic = |m: &mut Self| {
            let kind = m.rng.below(5);
            let order = match kind {
                _ if !m.orders => "relaxed",
                0 => m.rng.pick::<&str>(&["relaxed", "acquire"]),
                1 => m.rng.pick::<&str>(&["relaxed", "release"]),
                _ => m.rng.pick::<&str>(&["relaxed", "acquire", "release", "acq_rel"]),
            };
            match kind {
                0 => format!("aload{space}.{order}.{ty} {v}, {element}"),
                1 => format!("astore{space}.{order}.{ty} {element}, {value}"),
                2 => format!("cas{space}.{order}.{ty} {v}, {element}, 1, {value}"),
                3 => format!("atom{space}.exch.{order}.{ty} {v}, {element}, {value}"),
                _ => format!("red{space}.add.{order}.{ty} {element}, {value}"),
            }
        };
        let text = match (ty, if few { self.rng.below(5) } else { self.rng.below(3) }) {
            ("u32" | "i64", 0 | 3 | 4) => atomic(self),
            ("f32", 0) => format!("red.add.relaxed.f32 {element}, {value}"),
            _ => self.rng.pick(&plain).clone(),
        };
        self.line(&format!("{guard}{text}"));
    }
}

/// The text of a program for a seed whose blocks pass flags, rightly or not: each block waits for flags of lower blocks, works
/// on common data, and stores its own flag.
///
/// What is ordered does not depend on the run: a lane waits, by relaxed loads, for an element that is stored once, and only then
/// loads the one that carries something. Data is atomic where no fence could make order of it.
pub fn flag_program(seed: u64) -> String {
    Flags::new(&mut Rng::new(seed)).text()
}

/// The element that blocks update one after the other, and the first of those that say which have done so.
const CHAIN: u32 = 8;
const GATES: u32 = 16;

struct Flags<'r> {
    rng: &'r mut Rng,
    lanes: u32,
    blocks: u32,
    fences: bool,
    text: String,
}

impl Flags<'_> {
    fn new(rng: &mut Rng) -> Flags<'_> {
        let (lanes, blocks) = (*rng.pick(&[1u32, 3, 32, 40]), rng.between(2, 5));
        let fences = rng.one_in(2);
        Flags { rng, lanes, blocks, fences, text: String::new() }
    }

    fn line(&mut self, text: impl AsRef<str>) {
        let _ = writeln!(self.text, "    {}", text.as_ref());
    }

    fn accesses(&mut self) {
        for _ in 0..self.rng.below(3) {
            let (n, last) = (self.rng.below(8), self.lanes - 1);
            match self.rng.below(3) {
                0 => self.line(format!("mov.u32 at, {n}")),
                1 => self.line(format!("add.u32 at, %lane.x, {n}")),
                _ => self.line(format!("sub.u32 at, {last}, %lane.x")),
            }
            match self.rng.below(9) {
                0..3 => self.line("ld.u32 v, a[at]"),
                3 => self.line("st.u32 a[at], %global.x"),
                4 => self.line("st.u32 a[at], 1"),
                5 => {
                    let label = self.text.len();
                    self.line("mov.u32 k, 2");
                    self.line(format!("more{label}: st.u32 a[at], k"));
                    self.line(format!("loop.u32 k, more{label}"));
                }
                6 => self.line("st.shared.u32 s[at], 1"),
                7 => self.line("ld.shared.u32 v, s[at]"),
                // Who updates or loads may learn what fences made known, and whether it does depends on the run.
                _ if self.fences => self.line("astore.relaxed.u32 a[at], 1"),
                _ => {
                    let word =
                        *self.rng.pick(&["red.add.relaxed.u32 a[at], 1", "aload.relaxed.u32 v, a[at]"]);
                    self.line(word);
                }
            }
        }
    }

    fn fence(&mut self) {
        if self.fences {
            let word = *self.rng.pick(&["nop", "fence.grid", "fence.block"]);
            self.line(word);
        }
    }

    fn order<'w>(&mut self, words: &[&'w str]) -> &'w str {
        // Right ones more often.
        if self.rng.one_in(2) { words[0] } else { self.rng.pick::<&'w str>(words) }
    }

    /// Lane `lane` waits until an element is `value`.
    fn wait(&mut self, element: u32, value: u32) {
        let label = self.text.len();
        self.line(format!("wait{label}: aload.relaxed.u32 seen, flag[{element}]"));
        self.line(format!("set.ne.u32 none, seen, {value}"));
        self.line(format!("@none bra wait{label}"));
    }

    fn text(mut self) -> String {
        let (lanes, blocks) = (self.lanes, self.blocks);
        self.text = format!(
            "kernel flags(inout a: u32[], inout flag: u32[]) block {lanes} grid {blocks} {{\n    shared s: u32[64]\n    \
             let at, k, seen, v: u32; let here, none, other: pred\n"
        );
        let links: Vec<u32> = (0..blocks).filter(|_| self.rng.one_in(2)).collect();
        let last_link = links.last().copied().filter(|_| links.len() > 1);
        let mut value = 0;
        for block in 0..blocks {
            self.line(format!("set.ne.u32 here, %block.x, {block}"));
            self.line(format!("@here bra past{block}"));
            let speaker = self.rng.below(lanes as usize);
            self.line(format!("set.ne.u32 other, %lane.x, {speaker}"));
            self.accesses();
            for from in 0..block {
                if self.rng.one_in(3) {
                    continue;
                }
                let label = self.text.len();
                self.line(format!("@other bra waited{label}"));
                self.wait(from, 1);
                let order = self.order(&["acquire", "relaxed"]);
                self.line(format!("aload.{order}.u32 v, flag[{from}]"));
                self.fence();
                self.line(format!("waited{label}: nop"));
                self.barrier();
                self.accesses();
            }
            if let (Some(last), true) = (last_link, links.contains(&block)) {
                let before = links.iter().rev().find(|l| **l < block).copied();
                self.link(block, before, &mut value);
                if block == last && self.rng.one_in(2) {
                    self.accesses();
                }
            } else if let Some(last) = last_link.filter(|l| *l < block) {
                let label = self.text.len();
                self.line(format!("@other bra waited{label}"));
                self.wait(GATES + last, 1);
                let order = self.order(&["acquire", "relaxed"]);
                self.line(format!("aload.{order}.u32 v, flag[{CHAIN}]"));
                self.fence();
                self.line(format!("waited{label}: nop"));
                self.barrier();
                self.accesses();
            }
            self.barrier();
            self.line(format!("@other bra stored{block}"));
            self.fence();
            let order = self.order(&["release", "relaxed"]);
            self.line(format!("astore.{order}.u32 flag[{block}], 1"));
            self.line(format!("stored{block}: nop"));
            self.accesses();
            self.line("exit");
            self.line(format!("past{block}: nop"));
        }
        self.text
            + "    exit\n}\n//= test flags\n//=   a = iota u32 64\n//=   flag = zeros u32 32\n//=   expect clean\n"
    }

    fn barrier(&mut self) {
        match self.rng.below(6) {
            0 => self.line("bar.subgroup"),
            1 => {}
            _ => self.line("bar.sync"),
        }
    }

    /// This block's turn to update the chain, after block `before`.
    fn link(&mut self, block: u32, before: Option<u32>, value: &mut u32) {
        let label = self.text.len();
        self.line(format!("@other bra linked{label}"));
        before.into_iter().for_each(|b| self.wait(GATES + b, 1));
        self.fence();
        let order = self.order(&["acq_rel", "relaxed", "acquire", "release"]);
        let (now, next) = (*value, *value + 1);
        *value = next;
        match self.rng.below(6) {
            0 => {
                let order = self.order(&["release", "relaxed"]);
                self.line(format!("astore.{order}.u32 flag[{CHAIN}], {next}"));
            }
            1 => self.line(format!("atom.exch.{order}.u32 v, flag[{CHAIN}], {next}")),
            2 => self.line(format!("cas.{order}.u32 v, flag[{CHAIN}], {now}, {next}")),
            3 => {
                // It does not exchange.
                self.line(format!("cas.{order}.u32 v, flag[{CHAIN}], {}, {next}", now + 9));
                *value = now;
            }
            _ => self.line(format!("red.add.{order}.u32 flag[{CHAIN}], 1")),
        }
        self.fence();
        self.line(format!("astore.relaxed.u32 flag[{}], 1", GATES + block));
        self.line(format!("linked{label}: nop"));
        self.barrier();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_valid() {
        let all = |s| [(s, racy_program(s)), (s, ordered_program(s)), (s, flag_program(s))];
        for (seed, text) in (0..200).flat_map(all) {
            let module = phalanx_asm::assemble("racy.phx", &text).unwrap_or_else(|d| {
                panic!("seed {seed}:\n{}", phalanx_asm::render_all(&d, "racy.phx", &text, false))
            });
            if let Err(rejected) = phalanx_verify::verify(module.module) {
                panic!("seed {seed}: {:#?}\n{text}", rejected.errors);
            }
        }
    }
}
