//! Which registers must keep the values of lanes that are not active.
//!
//! While some lanes of a chunk run, others wait: at the join of a branch that has separated them, or before the other way of
//! it. A register that nobody reads from there on may be written in all lanes at once, which saves the masked write.

use phalanx_isa::Func;
use phalanx_verify::{FuncAnalysis, Var, VarSet, target};

/// By basic block of a function: registers that lanes which wait while the block runs will read.
pub(super) fn parked(func: &Func, analysis: &FuncAnalysis, is_body: bool) -> Vec<VarSet> {
    let (cfg, live) = (&analysis.cfg, &analysis.live);
    // Lanes that have returned from a function wait for the others with their results.
    let mut results = VarSet::EMPTY;
    if !is_body {
        for v in func.results.iter().filter_map(Var::of) {
            results.insert(v);
        }
    }
    let mut parked = vec![results; cfg.blocks.len()];
    for (b, block) in cfg.blocks.iter().enumerate() {
        let branch = block.end - 1;
        if !analysis.divergent_branch(branch) {
            continue;
        }
        let join = cfg.ipdom(b as u32);
        let at_join = join.map_or(VarSet::EMPTY, |j| live.entry[j as usize]);
        let taken = target(&func.code[branch as usize]).map(|t| cfg.block_of(t));
        for way in block.succs().iter().copied().filter(|s| Some(*s) != join) {
            // The taken way goes first, and lanes of the other one wait where that begins.
            let others =
                block.succs().iter().filter(|s| Some(way) == taken && **s != way && Some(**s) != join);
            let waiting = others.fold(at_join, |set, s| set.union(live.entry[*s as usize]));
            let mut seen = vec![false; cfg.blocks.len()];
            let mut work = vec![way];
            while let Some(at) = work.pop() {
                if Some(at) == join || std::mem::replace(&mut seen[at as usize], true) {
                    continue;
                }
                parked[at as usize] = parked[at as usize].union(waiting);
                work.extend(cfg.blocks[at as usize].succs());
            }
        }
    }
    parked
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Registers that some waiting lane will read while the instruction in a line runs.
    fn waiting(text: &str, func: usize, line: u32) -> Vec<u8> {
        let module = phalanx_asm::assemble("", text).map(|a| a.module);
        let module = module.unwrap_or_else(|e| panic!("{e:#?}"));
        let program = phalanx_verify::verify(module).unwrap_or_else(|r| panic!("{:#?}", r.errors));
        let (f, a) = (&program.module().kernels[0].funcs[func], &program.analysis(0).funcs[func]);
        let at = f.code.iter().position(|i| i.loc.line == line).unwrap();
        let set = parked(f, a, func == 0)[a.cfg.block_of(at as u32) as usize];
        (0..=255).filter(|r| set.contains(Var::Reg(*r))).collect()
    }

    const TEXT: &str = "kernel k(out y: u32[], limit: u32) {
        let p, q: pred
            mov.u32 r0, 0
            mov.u32 r1, %lane.x
        again:
            set.ge.u32 p, r1, limit
        @p  bra done
            mul.u32 r1, r1, r1
            set.gt.u32 q, r1, 9
        @q  bra other
            mov.u32 r2, 5
            bra next
        other:
            add.u32 r2, r1, 1
        next:
            add.u32 r0, r0, r2
            bra again
        done:
            st.u32 y[%lane.x], r0
            exit
        }";

    #[test]
    fn loops_and_ways() {
        // Before the loop nobody waits; in it lanes that have left it wait with r0.
        assert_eq!(waiting(TEXT, 0, 3), []);
        assert_eq!(waiting(TEXT, 0, 8), [0]);
        // In a way of a branch, others wait at the join or before their own way.
        assert_eq!(waiting(TEXT, 0, 14), [0, 1, 2]);
        assert_eq!(waiting(TEXT, 0, 11), [0, 1, 2]);
    }

    #[test]
    fn results_of_functions() {
        let text = "kernel k(out y: u32[]) {
                let v: u32
                call (v), f, (%lane.x)
                st.u32 y[%lane.x], v
                exit
            func f(r4: u32) -> (r6: u32) {
                mov.u32 r5, r4
                mov.u32 r6, r5
                ret
            }
            }";
        assert_eq!(waiting(text, 1, 7), [6]);
    }
}
