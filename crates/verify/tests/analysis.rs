//! What the analysis says about small programs, and that nothing makes it fall over.

use phalanx_asm::assemble;
use phalanx_isa::{Base, Kind, Module, Op, Special, Type};
use phalanx_verify::{AccessPattern, Divergence, KernelAnalysis, Scope, Var, Verified, collective, verify};

fn checked(text: &str) -> Verified {
    let module = assemble("t.phx", text).unwrap_or_else(|d| panic!("{d:?}")).module;
    verify(module).unwrap_or_else(|r| panic!("{:?}", r.errors))
}

/// The number of the register or predicate of this name in a function of kernel 0.
fn var(v: &Verified, func: usize, name: &str) -> Var {
    let f = &v.kernels[0].funcs[func];
    let reg = f.regs.iter().position(|r| r.as_ref().is_some_and(|r| r.name == name));
    let pred = f.preds.iter().position(|p| p.as_deref() == Some(name));
    reg.map(|r| Var::Reg(r as u8)).or(pred.map(|p| Var::Pred(p as u8))).expect(name)
}

fn uniform(v: &Verified, func: usize, name: &str) -> bool {
    v.analysis(0).funcs[func].uniformity.is_uniform(var(v, func, name))
}

fn label(v: &Verified, func: usize, name: &str) -> u32 {
    let labels = &v.kernels[0].funcs[func].labels;
    labels.iter().find(|(_, n)| n == name).expect(name).0
}

fn divergence(v: &Verified, func: usize, at: &str) -> Divergence {
    let known = &v.analysis(0).funcs[func];
    known.uniformity.divergence(known.cfg.block_of(label(v, func, at)))
}

/// Positions of an operation in a function.
fn positions(v: &Verified, func: usize, op: Op) -> Vec<u32> {
    let code = v.kernels[0].funcs[func].code.iter().enumerate();
    code.filter(|(_, i)| i.op == op).map(|(n, _)| n as u32).collect()
}

fn pattern(v: &Verified, n: usize) -> AccessPattern {
    let memory = v.kernels[0].funcs[0].code.iter().enumerate();
    let at = memory.filter(|(_, i)| matches!(i.op, Op::Ld | Op::St)).nth(n).unwrap().0;
    v.analysis(0).funcs[0].pattern(at as u32).unwrap()
}

const BRANCHES: &str = "
kernel k(in x: u32[], inout y: u32[], n: u32) {
    let lane, i, sum, found: u32; let mine, all: pred
    mov.u32     lane, %global.x
    mov.u32     i, 0
    mov.u32     sum, 0
outer:
    set.ge.u32  all, i, n
@all bra        done
    set.lt.u32  mine, lane, i
@mine bra       odd
even:
    ld.u32      found, x[i]
    bra         join
odd:
    ld.u32      found, x[lane]
join:
    add.u32     sum, sum, found
    add.u32     i, i, 1
    bra         outer
done:
    st.u32      y[lane], sum
    exit
}";

#[test]
fn blocks_branches_and_joins() {
    let v = checked(BRANCHES);
    let f = &v.analysis(0).funcs[0];
    let cfg = &f.cfg;
    let at = |l: &str| cfg.block_of(label(&v, 0, l));
    assert_eq!(cfg.blocks.len(), 7);
    assert_eq!(cfg.blocks[0].cost(), 3);
    assert_eq!(cfg.blocks[at("even") as usize].succs(), [at("join")]);
    assert_eq!(cfg.preds(at("join")), [at("even"), at("odd")]);
    assert_eq!(cfg.back_edges(), [(at("join"), at("outer"))]);
    assert!(cfg.is_back_edge(at("join"), at("outer")) && !cfg.is_back_edge(at("even"), at("join")));
    let branches = positions(&v, 0, Op::Bra);
    assert_eq!(cfg.reconvergence(branches[0]), Some(label(&v, 0, "done")));
    assert_eq!(cfg.reconvergence(branches[1]), Some(label(&v, 0, "join")));
    assert_eq!(cfg.ipdom(at("done")), None);
    assert!(cfg.post_dominates(at("join"), at("odd")) && !cfg.post_dominates(at("odd"), at("join")));
    assert_eq!(cfg.rpo.len(), 7);
    assert_eq!(cfg.rpo_index(0), 0);
}

#[test]
fn uniform_and_divergent_parts() {
    let v = checked(BRANCHES);
    let f = &v.analysis(0).funcs[0];
    for (name, is) in
        [("lane", false), ("i", true), ("all", true), ("mine", false), ("found", false), ("sum", false)]
    {
        assert_eq!(uniform(&v, 0, name), is, "{name}");
    }
    for (at, is) in [
        ("outer", Divergence::Convergent),
        ("even", Divergence::Split),
        ("odd", Divergence::Split),
        ("join", Divergence::Convergent),
        ("done", Divergence::Convergent),
    ] {
        assert_eq!(divergence(&v, 0, at), is, "{at}");
    }
    let branches = positions(&v, 0, Op::Bra);
    let divergent: Vec<bool> = branches.iter().map(|b| f.divergent_branch(*b)).collect();
    assert_eq!(divergent, [false, true, false, false]);
    // Both sides load into `found`, but on the even side every lane that is there loads the same element.
    assert_eq!(pattern(&v, 0), AccessPattern::Uniform);
    assert_eq!(pattern(&v, 1), AccessPattern::Contiguous);
    assert_eq!(pattern(&v, 2), AccessPattern::Contiguous);
}

#[test]
fn a_loop_that_lanes_leave_at_different_times() {
    let v = checked(
        "kernel k(in x: f32[], out y: f32[], cols: u32) {
            let j, steps: u32; let s, t: f32; let past: pred
            mul.u32     j, %block.x, cols
            add.u32     j, j, %lane.x
            mov.u32     steps, 0
            mov.f32     s, 0
         again:
            set.ge.u32  past, j, cols
         @past bra      done
            ld.f32      t, x[j]
            add.f32     s, s, t
            add.u32     j, j, %block_dim.x
            add.u32     steps, steps, 1
            bra         again
         done:
            reduce.add.f32 s, s
            st.f32      y[steps], s
            exit
        }",
    );
    assert_eq!(divergence(&v, 0, "again"), Divergence::Loop);
    assert_eq!(divergence(&v, 0, "done"), Divergence::Convergent);
    assert!(!uniform(&v, 0, "steps"), "lanes leave with different counts");
    assert!(!uniform(&v, 0, "s"), "it also holds the partial sums");
    assert_eq!(pattern(&v, 0), AccessPattern::Contiguous);
    let known = v.analysis(0);
    let st = positions(&v, 0, Op::St)[0];
    let sum = &v.kernels[0].funcs[0].code[st as usize].args[1];
    assert!(known.uniform_operand(0, st, sum, Scope::Block), "what the reduction just wrote is the same");
}

#[test]
fn lanes_that_end_early_do_not_make_the_others_diverge() {
    for end in ["@out exit", "@out bra end"] {
        let v = checked(&format!(
            "kernel k(inout y: u32[], n: u32) {{
                let i, m: u32; let out: pred
                mov.u32     i, %global.x
                set.ge.u32  out, i, n
             {end}
             rest:
                mul.u32     m, n, 2
                st.u32      y[i], m
                exit
             end:
                exit
            }}"
        ));
        assert_eq!(divergence(&v, 0, "rest"), Divergence::Convergent, "{end}");
        assert!(uniform(&v, 0, "m"), "{end}");
        let at = v.kernels[0].funcs[0].code.iter().position(|i| i.guard.is_some()).unwrap();
        assert!(v.analysis(0).divergent_branch(0, at as u32), "{end}");
    }
}

#[test]
fn a_guarded_exit_in_a_loop_does_not_keep_lanes_apart() {
    let v = checked(
        "kernel k(inout y: u32[], n: u32) {
            let i: u32; let a, b: pred
            mov.u32     i, %lane.x
         again:
            set.gt.u32  a, i, 1000
         @a exit
            add.u32     i, i, n
            set.gt.u32  b, i, 100
         @!b bra        again
         after:
            bar.sync
            st.u32      y[i], i
            exit
        }",
    );
    let bra = positions(&v, 0, Op::Bra)[0];
    assert_eq!(v.analysis(0).funcs[0].cfg.reconvergence(bra), Some(label(&v, 0, "after")));
    assert_eq!(divergence(&v, 0, "after"), Divergence::Convergent);
}

#[test]
fn calls_carry_uniformity_both_ways() {
    let v = checked(
        "kernel k(inout y: u32[], n: u32) {
            let lane, a, b, c: u32; let p: pred
            mov.u32     lane, %lane.x
            call        (a), twice, (n)
            call        (b), pick, (lane, n)
            set.lt.u32  p, lane, n
            mov.u32     c, 0
         @p call        (c), apart, ()
            add.u32     a, a, b
            add.u32     a, a, c
            st.u32      y[lane], a
            exit
            func twice(x: u32) -> (r: u32) {
                add.u32 r, x, x
                ret
            }
            func pick(x: u32, z: u32) -> (r: u32) {
                let w: u32
                mov.u32 w, z
                add.u32 r, x, w
                ret
            }
            func apart() -> (r: u32) {
                bar.sync
                mov.u32 r, 5
                ret
            }
        }",
    );
    let known = v.analysis(0);
    assert!(uniform(&v, 1, "x") && uniform(&v, 1, "r"));
    assert!(!uniform(&v, 2, "x") && uniform(&v, 2, "z") && uniform(&v, 2, "w") && !uniform(&v, 2, "r"));
    assert!(known.funcs[3].uniformity.called_divergent && !uniform(&v, 3, "r"));
    assert!(!uniform(&v, 0, "b") && !uniform(&v, 0, "c"));
    assert!(known.funcs[0].reaches_block_collective && known.funcs[0].block_collectives.is_empty());
    assert!(!known.funcs[1].reaches_block_collective);
    assert_eq!(known.call_depth, Some(1));
    assert!(known.funcs.iter().all(|f| f.called && !f.recursive));
    let barrier = &v.kernels[0].funcs[3].code[0];
    assert_eq!(collective(barrier), Some(Scope::Block));
    assert!(v.warnings().iter().any(|w| w.code == "W0301"));
}

#[test]
fn recursion_is_seen() {
    let v = checked(
        "kernel k(inout y: u32[]) {
            let a: u32
            call        (a), f, (9)
            st.u32      y[0], a
            exit
            func f(x: u32) -> (r: u32) {
                let p: pred
                mov.u32 r, 1
                set.eq.u32 p, x, 0
            @p  ret
                sub.u32 x, x, 1
                call    (r), g, (x)
                ret
            }
            func g(x: u32) -> (r: u32) {
                call    (r), f, (x)
                ret
            }
        }",
    );
    let known = v.analysis(0);
    assert_eq!(known.call_depth, None);
    assert_eq!([0, 1, 2].map(|f| known.funcs[f].recursive), [false, true, true]);
    assert!(uniform(&v, 0, "a"), "the argument, and so the depth, is the same for all");
}

#[test]
fn access_patterns() {
    let first = |block: &str, index: &str| {
        let v = checked(&format!(
            "kernel k(in x: f32[], out y: f32[], n: u32) {block} {{
                let i, j: u32; let wide: u64; let v: f32
                mov.u32 i, 0
                mov.u32 j, 0
                mov.u64 wide, 0
                {index}
                st.f32  y[%lane.linear], v
                exit
            }}"
        ));
        assert_eq!(pattern(&v, 1), AccessPattern::Contiguous);
        pattern(&v, 0)
    };
    use AccessPattern::*;
    for (block, index, is) in [
        ("", "ld.f32 v, x[n]", Uniform),
        ("", "ld.f32 v, x[%block.x + 4]", Uniform),
        ("", "ld.f32 v, x[%lane.linear - 1]", Contiguous),
        ("", "mad.u32 i, %lane.x, 4, n; ld.f32 v, x[i]", Strided(4)),
        ("", "mul.u32 i, n, %block_dim.x; add.u32 i, i, %lane.x; ld.f32 v, x[i]", Contiguous),
        ("", "sub.u32 i, n, %lane.x; ld.f32 v, x[i]", Strided(-1)),
        ("", "shl.u32 i, %lane.x, 3; cvt.wrap.u64.u32 wide, i; ld.f32 v, x[wide + 2]", Strided(8)),
        ("", "mul.u32 i, %lane.x, n; ld.f32 v, x[i]", Varying),
        ("", "and.u32 i, %lane.x, 3; ld.f32 v, x[i]", Varying),
        ("", "ld.f32 v, x[%lane.y]", Varying),
        ("block 8, 4", "mad.u32 i, %lane.y, 8, %lane.x; ld.f32 v, x[i]", Contiguous),
        ("block 8, 4", "mad.u32 i, %lane.y, 9, %lane.x; ld.f32 v, x[i]", Varying),
        ("block 8, 4", "mul.u32 i, %lane.x, 4; add.u32 i, i, %lane.y; ld.f32 v, x[i]", Varying),
        ("block 32, 1", "ld.f32 v, x[%lane.y]", Uniform),
        // One register for two things in turn.
        ("", "mov.u32 i, %lane.x; ld.f32 v, x[i]; mov.u32 i, n; mov.u32 j, i", Contiguous),
    ] {
        assert_eq!(first(block, index), is, "{block} {index}");
    }
}

#[test]
fn geometry_of_a_declared_block() {
    let text = |block: &str| {
        format!(
            "kernel k(inout y: u32[]) {block} {{
                let a, b, c, d: u32
                mov.u32 a, %lane.y
                mov.u32 b, %subgroup.id
                mov.u32 c, %lane.x
                sreduce.add.u32 d, c
                add.u32 a, a, b
                add.u32 a, a, c
                add.u32 a, a, d
                st.u32  y[0], a
                exit
            }}"
        )
    };
    let of = |block: &str, scope: Scope| {
        let v = checked(&text(block));
        let f = &v.analysis(0).funcs[0];
        let u = if scope == Scope::Block { &f.uniformity } else { &f.subgroup };
        ["b", "c", "d"].map(|n| u.is_uniform(var(&v, 0, n)))
    };
    assert_eq!(of("", Scope::Block), [false, false, false]);
    assert_eq!(of("block 32", Scope::Block), [true, false, false]);
    assert_eq!(of("block 1", Scope::Block), [true, true, false]);
    assert_eq!(of("", Scope::Subgroup), [true, false, true]);
    let first = |v: &Verified, scope: Scope| {
        let inst = &v.kernels[0].funcs[0].code[0];
        v.analysis(0).uniform_operand(0, 0, &inst.args[1], scope)
    };
    let row = checked(&text("block 32, 8"));
    assert!(!first(&row, Scope::Block) && first(&row, Scope::Subgroup));
    let odd = checked(&text("block 24, 8"));
    assert!(!first(&odd, Scope::Subgroup));
    assert!(first(&checked(&text("block 64")), Scope::Block));
}

#[test]
fn live_ranges() {
    let v = checked(BRANCHES);
    let f = &v.analysis(0).funcs[0];
    let at = |l: &str| f.cfg.block_of(label(&v, 0, l)) as usize;
    let live = |set: phalanx_verify::VarSet| {
        ["lane", "i", "sum", "found", "mine", "all"].map(|n| set.contains(var(&v, 0, n)))
    };
    assert_eq!(live(f.live.entry[0]), [false; 6]);
    assert_eq!(live(f.live.entry[at("outer")]), [true, true, true, false, false, false]);
    assert_eq!(live(f.live.entry[at("join")]), [true, true, true, true, false, false]);
    assert_eq!(live(f.live.entry[at("done")]), [true, false, true, false, false, false]);
    assert_eq!(live(f.live.exit[at("done")]), [false; 6]);
    assert_eq!((f.live.max_regs, f.live.max_preds), (4, 1));
}

#[test]
fn use_of_memory_and_launch_values() {
    let v = checked(
        "kernel k(in x: u32[], out y: u32[], inout z: u32[], n: u32, w: u64) {
            shared part: u32[8]
            shared rest: u32[]
            private tmp: u32[2]
            let a: u32; let b: u64; let h: u64
            len.u32     a, x
            len.u64     b, rest
            ld.u32      a, x[%block.x]
            st.u32      y[a], %global.x
            red.add.relaxed.u32 z[0], n
            ld.shared.u32 a, part[a]
            st.private.u32 tmp[0], a
            mov.u64     h, %global.x
            pool.alloc.u32 h, h
            pool.free   h
            exit
        }",
    );
    let k: &KernelAnalysis = v.analysis(0);
    let flags = |u: &phalanx_verify::ObjectUse| (u.read, u.written, u.atomic);
    let params: Vec<_> = k.params.iter().map(flags).collect();
    let (no, yes) = (false, true);
    assert_eq!(params, [(yes, no, no), (no, yes, no), (no, yes, yes), (yes, no, no), (no, no, no)]);
    assert_eq!(k.shared.iter().map(flags).collect::<Vec<_>>(), [(yes, no, no), (no, no, no)]);
    assert_eq!(flags(&k.private[0]), (no, yes, no));
    let gx = Special::GlobalX;
    assert_eq!(k.specials, [(Special::BlockX, Type::U64), (gx, Type::U32), (gx, Type::U64)]);
    assert_eq!(k.lengths, [(Base::Param(0), Type::U32), (Base::Shared(1), Type::U64)]);
    assert!(k.order_free() && k.pool && !k.native);
    assert_eq!((k.frame_regs, k.frame_preds), (3, 0));
    assert_eq!(v.kernels[0].funcs[0].code[0].op.info().kind, Kind::Memory);
}

#[test]
fn valid_programs_that_look_wrong() {
    // Each of these keeps the rules by a reason that a simpler check would miss.
    for text in [
        // The branch tells which side wrote the value.
        "kernel k(in x: u32[], out y: u32[], n: u32) {
            let v: u32
            set.lt.u32 p0, %lane.x, n
        @p0 ld.u32  v, x[0]
        @!p0 bra    past
            st.u32  y[0], v
        past:
            exit
        }",
        // Written on both sides of a branch, once under each guard.
        "kernel k(out y: u32[], n: u32) {
            let v: u32
            set.lt.u32 p0, %lane.x, n
        @p0 bra     a
            mov.u32 v, 1
            bra     b
        a:  mov.u32 v, 2
        b:
        @p0 st.u32  y[0], v
        @!p0 st.u32 y[1], v
            exit
        }",
        // A loop that writes before it reads, in every round.
        "kernel k(out y: u32[], n: u32) {
            let v, i: u32
            mov.u32 i, n
        again:
            mov.u32 v, i
            loop.u32 i, again
            st.u32  y[v], v
            exit
        }",
        // All lanes reach the barrier: the comparison holds for every lane of the block.
        "kernel k(inout y: u32[]) block 32 {
            set.lt.u32 p0, %lane.x, 32
        @p0 bar.sync
            st.u32  y[0], 1
            exit
        }",
        // Some lanes skip the first barrier and meet the others at the second: decided at run time, by the launch.
        "kernel k(inout y: u32[], n: u32) block 32 {
            set.lt.u32 p0, %lane.x, 16
            set.lt.u32 p1, n, 16
        @p1 bra     skip
        @p0 st.u32  y[0], 1
        skip:
            bar.sync
            exit
        }",
    ] {
        checked(text);
    }
}

#[test]
fn verified_modules_are_shared_between_threads() {
    fn shared<T: Clone + Send + Sync>() {}
    shared::<Verified>();
    let v = checked(BRANCHES);
    let copy = v.clone();
    assert!(std::ptr::eq(v.module(), copy.module()));
    assert_eq!(v.kernel_number("k"), Some(0));
    assert_eq!(v.kernel_number("q"), None);
    assert_eq!(format!("{v:?}"), "Verified { source: \"t.phx\", kernels: [\"k\"] }");
    let rejected =
        verify(Module { kernels: vec![Default::default(), Default::default()], ..Default::default() });
    let text = rejected.unwrap_err().to_string();
    assert!(
        text.starts_with("[E0230] `` is not a name for a kernel (and ") && text.ends_with(" more errors)"),
        "{text}"
    );
}

#[test]
fn loops_that_may_wait_for_another_block_are_known() {
    let around = |body: &str| {
        format!("kernel k(in x: u32[], inout y: u32[]) block 32 {{\n{body}\nst.u32 y[2], 1\nexit\n}}")
    };
    let cases = [
        ("again: aload.acquire.u32 r0, y[0]\nset.eq.u32 p0, r0, 0\n@p0 bra again", true),
        ("again: ld.u32 r0, y[0]\nset.eq.u32 p0, r0, 0\n@p0 bra again", true),
        ("again: cas.acq_rel.u32 r0, y[0], 0, 1\nset.ne.u32 p0, r0, 0\n@p0 bra again", true),
        // The read before the loop is none of its rounds; what only this launch's blocks read, or only add to, tells nothing.
        (
            "ld.u32 r0, y[0]\nagain: ld.u32 r1, x[r0]\nadd.u32 r0, r0, r1\nset.lt.u32 p0, r0, 9\n@p0 bra again",
            false,
        ),
        ("mov.u32 r0, 9\nagain: red.add.relaxed.u32 y[0], r0\nloop.u32 r0, again", false),
        ("aload.acquire.u32 r0, y[0]\nst.u32 y[1], r0", false),
    ];
    for (body, expected) in cases {
        assert_eq!(checked(&around(body)).analysis(0).may_wait, expected, "{body}");
    }
    let in_function = "kernel k(inout y: u32[]) block 32 {
        again:
            call (r0), look, ()
            set.eq.u32 p0, r0, 0
        @p0 bra again
            st.u32 y[1], 1
            exit
            func look() -> (seen: u32) {
                aload.acquire.u32 seen, y[0]
                ret
            }
        }";
    assert!(checked(in_function).analysis(0).may_wait);
    assert!(!checked(&in_function.replace("st.u32 y[1], 1", "nop")).analysis(0).may_wait, "nobody writes it");
}
