// The second half of `programs.rs`: included beside it, with the same helpers.

#[test]
fn broadcast_needs_a_uniform_lane() {
    assert_eq!(lanes_u32(40, "", "bcast.u32 v, l, 3"), [vec![3; 32], vec![35; 8]].concat());
    let text = "kernel k(in from: u32[], out y: u32[]) {
        let v, n: u32; let p: pred
            ld.u32 n, from[%lane.x]
            set.ge.u32 p, %lane.x, 1
            mov.u32 v, 77
        @p  bcast.u32 v, %lane.x, n
            st.u32 y[%lane.x], v
            exit
        }";
    let y = u32s(&[0; 4]);
    // Lane 0 is no member: its operand does not count, and it cannot be the source.
    run(text, &[u32s(&[9, 2, 2, 2]), y.clone()], config(1, 4));
    assert_eq!(read_u32s(&y), [77, 2, 2, 2]);
    run(text, &[u32s(&[9, 0, 0, 0]), y.clone()], config(1, 4));
    assert_eq!(read_u32s(&y), [77, 1, 2, 3]);
    let t = trap(text, &[u32s(&[9, 2, 2, 3]), y.clone()], config(1, 4));
    assert_eq!(place(&t), (TrapKind::NotUniform, 0, 1, 6));
    // Lane 0 does not get past it either, to a trap of its own that would be the lowest.
    let then = text.replace("    st.u32", "@!p trap 5\n st.u32");
    let t = trap(&then, &[u32s(&[9, 2, 2, 3]), y], config(1, 4));
    assert_eq!(place(&t), (TrapKind::NotUniform, 0, 1, 6));
}

#[test]
fn subgroups_meet_each_other_only_at_block_barriers() {
    // The second subgroup has ended when the first reaches its own operations: nothing is missing there.
    let text = "kernel k(out y: u32[]) {
        let v: u32; let p: pred
            set.ge.u32 p, %lane.x, 32
        @p  exit
            bar.subgroup
            sreduce.add.u32 v, 1
            st.u32 y[%lane.x], v
            exit
        }";
    let y = u32s(&[0; 32]);
    run(text, std::slice::from_ref(&y), config(1, 50));
    assert_eq!(read_u32s(&y), [32; 32]);
    let one = text.replace("32\n", "31\n");
    let t = trap(&one, &[y], config(1, 50));
    assert_eq!(place(&t), (TrapKind::Sync, 0, 0, 5));
    assert_eq!(t.lane_trap.detail, TrapDetail::Missing { lanes: vec![31], count: 1 });
}

#[test]
fn atomics_count_in_global_and_shared_memory() {
    let text = "kernel k(inout bins: u32[], inout best: i32[], inout sum: f32[], out old: u32[]) {
        shared seen: u64[1]
        let b, o: u32; let n: i32; let w: u64
            rem.u32 b, %lane.x, 3
            red.add.relaxed.u32 bins[b], 1
            cvt.wrap.i32.u32 n, b
            sub.i32 n, 0, n
            red.min.relaxed.i32 best[0], n
            red.add.relaxed.f32 sum[0], 0.5
            red.shared.or.acq_rel.u64 seen[0], 5
            aload.shared.acquire.u64 w, seen[0]
            cas.acq_rel.u32 o, bins[4], 10, 11
            atom.exch.relaxed.u32 o, bins[3], %lane.x
            st.u32 old[%global.x], o
            fence.grid
            exit
        }";
    let (bins, best, sum) = (u32s(&[0, 0, 0, 99, 10]), i32s(&[5]), f32s(&[0.0]));
    let old = u32s(&[0; 20]);
    run(text, &[bins.clone(), best.clone(), sum.clone(), old.clone()], config(2, 10));
    assert_eq!(read_u32s(&bins), [8, 6, 6, 9, 11]);
    assert_eq!(read_i32s(&best), [-2]);
    assert_eq!(read_f32s(&sum), [10.0]);
    // Lanes run ascending: each sees the one before it.
    let expected: Vec<u32> = std::iter::once(99).chain((0..19).map(|i| i % 10)).collect();
    assert_eq!(read_u32s(&old), expected);
}

#[test]
fn recursion_up_to_the_limit() {
    let text = "kernel k(out y: u32[], n: u32) {
        let v: u32
            call (v), down, (n)
            st.u32 y[0], v
            exit
        func down(a: u32) -> (b: u32) {
            let p: pred; let c: u32
            mov.u32 b, 0
            set.eq.u32 p, a, 0
        @p  ret
            sub.u32 c, a, 1
            call (c), down, (c)
            add.u32 b, c, a
            ret
        }
        }";
    let y = u32s(&[0]);
    run(text, &[y.clone(), u32_arg(63)], config(1, 2));
    assert_eq!(read_u32s(&y), [63 * 64 / 2]);
    let t = trap(text, &[y, u32_arg(64)], config(1, 2));
    assert_eq!(place(&t), (TrapKind::CallDepth, 0, 0, 12));
}

#[test]
fn pools_allocate_and_refuse_freed_handles() {
    let text = "kernel k(out y: u32[], bad: u32) {
        let h, g: u64; let v: u32; let p: pred
            pool.alloc.u32 h, 4
            pool.alloc.u32 g, 4
            pool.st.u32 h, 3, %lane.x
            pool.ld.u32 v, g, 3
            pool.free g
            set.eq.u32 p, bad, 1
        @p  pool.free g
            set.eq.u32 p, bad, 2
        @p  pool.ld.u32 v, h, 4
            pool.ld.u32 v, h, 3
            st.u32 y[%lane.x], v
            exit
        }";
    let y = u32s(&[9; 5]);
    run(text, &[y.clone(), u32_arg(0)], config(1, 5));
    assert_eq!(read_u32s(&y), [0, 1, 2, 3, 4]);
    assert_eq!(place(&trap(text, &[y.clone(), u32_arg(1)], config(1, 5))), (TrapKind::BadHandle, 0, 0, 9));
    let t = trap(text, &[y.clone(), u32_arg(2)], config(1, 5));
    assert_eq!((place(&t), t.lane_trap.detail), ((TrapKind::OutOfBounds, 0, 0, 11), TrapDetail::Value(4)));
    // 32 bytes a lane: the second allocation does not fit, whatever other lanes do.
    let small = RunOptions { pool_limit_bytes: 5 * 32, ..Default::default() };
    let t = trap_with(&*executor(), text, &[y, u32_arg(0)], config(1, 5), &small);
    assert_eq!(place(&t), (TrapKind::PoolExhausted, 0, 0, 4));
}

#[test]
fn pools_need_no_parameter() {
    let text = "kernel k() {
        let h: u64; let v: u32
            pool.alloc.u32 h, 2
            pool.st.u32 h, 1, %lane.x
            pool.ld.u32 v, h, 1
            pool.free h
            pool.free h
            exit
        }";
    assert_eq!(place(&trap(text, &[], config(1, 5))), (TrapKind::BadHandle, 0, 0, 7));
}

#[test]
fn private_arrays_belong_to_their_lane() {
    let text = "kernel k(out y: i8[]) {
        private tmp: i8[4]
        private wide: f64[2]
        let v: i8; let i: u32; let w: f64
            cvt.wrap.i8.u32 v, %lane.x
            and.u32 i, %lane.x, 3
            sub.i8 v, v, 10
            st.private.i8 tmp[i], v
            st.private.f64 wide[1], 2.5
            ld.private.i8 v, tmp[3]
            ld.private.f64 w, wide[0]
            st.i8 y[%lane.x], v
            exit
        }";
    let y = i8s(&[99; 8]);
    run(text, std::slice::from_ref(&y), config(1, 8));
    assert_eq!(read_i8s(&y), [0, 0, 0, -7, 0, 0, 0, -3]);
}

#[test]
fn indices_are_exact() {
    let outside = |ty: &str, index: &str, disp: &str| {
        let text = format!(
            "kernel k(in x: u32[], out y: u32[]) {{\nlet i: {ty}; let v: u32\nmov.{ty} i, {index}\n\
             ld.u32 v, x[i{disp}]\nst.u32 y[0], v\nexit\n}}"
        );
        let y = u32s(&[0]);
        match run_with(
            &*executor(),
            &text,
            &[u32s(&[7, 8, 9]), y.clone()],
            config(1, 1),
            &RunOptions::default(),
        ) {
            Ok(()) => Ok(read_u32s(&y)[0]),
            Err(LaunchError::Trap(t)) => match t.lane_trap.detail {
                TrapDetail::Index { index, len: 3, .. } if t.lane_trap.kind == TrapKind::OutOfBounds => {
                    Err(index)
                }
                other => panic!("{other:?}"),
            },
            Err(e) => panic!("{e}"),
        }
    };
    assert_eq!(outside("u32", "2", ""), Ok(9));
    assert_eq!(outside("u32", "3", ""), Err(3));
    assert_eq!(outside("u32", "3", " - 1"), Ok(9));
    assert_eq!(outside("u32", "0", " - 1"), Err(-1));
    assert_eq!(outside("i32", "-1", ""), Err(-1));
    assert_eq!(outside("i32", "-1", " + 2"), Ok(8));
    assert_eq!(outside("i64", "-5", " + 5"), Ok(7));
    // Nothing wraps: neither at 32 bits nor at 64.
    assert_eq!(outside("u32", "4294967295", " + 2"), Err(4_294_967_297));
    assert_eq!(outside("u64", "18446744073709551615", " + 2"), Err(u64::MAX as i128 + 2));
    assert_eq!(outside("u64", "18446744073709551615", ""), Err(u64::MAX as i128));
    assert_eq!(outside("i64", "-9223372036854775808", " - 1"), Err(i64::MIN as i128 - 1));
}

#[test]
fn arrays_of_buffers_check_both_indices() {
    let text = "kernel k(in xs: u32[][2], out y: u32[], which: u32, at: u32) {
        let v: u32
            ld.u32 v, xs[which][at]
            st.u32 y[0], v
            exit
        }";
    let view = |v: &[u32]| match u32s(v) {
        ArgValue::Buffer(v) => v,
        _ => unreachable!(),
    };
    let xs = ArgValue::Buffers(vec![view(&[1, 2]), view(&[3, 4, 5])]);
    let y = u32s(&[0]);
    let args = |which, at| [xs.clone(), y.clone(), u32_arg(which), u32_arg(at)];
    run(text, &args(1, 2), config(1, 1));
    assert_eq!(read_u32s(&y), [5]);
    for (which, at, index, len) in [(0, 2, 2, 2), (2, 0, 2, 2), (1, 3, 3, 3)] {
        let t = trap(text, &args(which, at), config(1, 1));
        let TrapDetail::Index { index: i, len: l, .. } = t.lane_trap.detail else { panic!("{t}") };
        assert_eq!((i, l), (index, len));
    }
}

#[test]
fn stores_show_one_nan() {
    let text = "kernel k(in x: u32[], out y: f32[], inout z: f32[]) {
        let v: f32; let b: u32
            ld.u32 b, x[0]
            bitcast.f32.u32 v, b
            st.f32 y[0], v
            neg.f32 v, v
            st.f32 y[1], v
            red.add.relaxed.f32 z[0], v
            exit
        }";
    let (y, z) = (f32s(&[0.0; 2]), f32s(&[1.0]));
    run(text, &[u32s(&[0x7f80_1234]), y.clone(), z.clone()], config(1, 1));
    let bits = |a: &ArgValue| read_f32s(a).iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
    assert_eq!((bits(&y), bits(&z)), (vec![0x7fc0_0000; 2], vec![0x7fc0_0000]));
}

#[test]
fn guards_predicate_every_kind_of_instruction() {
    let body = "mov.u32 v, 5
        set.lt.u32 p, l, 2
        @p mov.u32 v, 6
        @!p add.u32 v, v, l
        set.eq.u32 q, l, 3
        @q loop.u32 v, twice
        bra done
        twice:
        add.u32 v, v, 100
        done:
        nop";
    assert_eq!(lanes_u32(5, "", body), [6, 6, 7, 107, 9]);
}

#[test]
fn class_and_phase_are_state_of_the_lane() {
    let text = "kernel k(out y: u32[]) {
        let c, f, v: u32; let p: pred; let d: u16
            cls.get c
            cvt.wrap.u16.u32 d, %lane.x
            phase.adv d
            phase.adv 700
            phase.get f
            phase.in p, 760, 10
            mad.u32 v, f, 1000, c
            mul.u32 v, v, 2
        @p  add.u32 v, v, 1
            st.u32 y[%global.x], v
            exit
        }";
    let y = u32s(&[0; 300]);
    run_with(
        &*executor(),
        text,
        std::slice::from_ref(&y),
        config(100, 3),
        &RunOptions { phase: 20, ..Default::default() },
    )
    .unwrap();
    for (i, v) in read_u32s(&y).into_iter().enumerate() {
        let (block, lane) = (i as u32 / 3, i as u32 % 3);
        let phase = (20 + block + lane + 700) % 768;
        let inside = !(2..760).contains(&phase);
        assert_eq!(v, (phase * 1000 + block % 96) * 2 + u32::from(inside), "block {block}, lane {lane}");
    }
    let one = RunOptions { class: Some(95), ..Default::default() };
    run_with(&*executor(), text, std::slice::from_ref(&y), config(1, 1), &one).unwrap();
    assert_eq!(read_u32s(&y)[0], (700 * 1000 + 95) * 2);
}

#[test]
fn native_products_are_exact_and_need_uniform_operands() {
    let text = "kernel k(inout y: i32[], in w: packed[t2, n, k], in x: i8[], in odd: u32[], n: u32, k: u32, m: u32) {
        let c: u32
            ld.u32 c, odd[%lane.x]
            matmul.t2.i8 y[1], w, x[0], m, c, 2, 4, k
            exit
        }";
    let (n, k) = (5usize, 20usize);
    let weights: Vec<i8> = (0..n * k).map(|i| (i * i % 3) as i8 - 1).collect();
    let activations: Vec<i8> = (0..2 * k).map(|i| (i * 37 % 251) as u8 as i8).collect();
    let packed = ArgValue::Packed(std::sync::Arc::new(kernels::pack_t2(n, k, &weights).unwrap()));
    let y = i32s(&[-9; 7]);
    let args = |odd: &[u32], m| {
        [
            y.clone(),
            packed.clone(),
            i8s(&activations),
            u32s(odd),
            u32_arg(n as u32),
            u32_arg(k as u32),
            u32_arg(m),
        ]
    };
    run(text, &args(&[2, 2, 2], 2), config(1, 3));
    let dot = |row: usize, r: usize| -> i32 {
        (0..k).map(|c| i32::from(weights[row * k + c]) * i32::from(activations[r * k + c])).sum()
    };
    assert_eq!(read_i32s(&y), [-9, dot(2, 0), dot(3, 0), -9, -9, dot(2, 1), dot(3, 1)]);
    let t = trap(text, &args(&[2, 1, 2], 2), config(1, 3));
    assert_eq!(place(&t), (TrapKind::NotUniform, 0, 0, 4));
    let t = trap(text, &args(&[4; 3], 2), config(1, 3));
    assert_eq!(place(&t), (TrapKind::Shape, 0, 0, 4));
    let t = trap(text, &args(&[2; 3], 3), config(1, 3));
    assert_eq!(place(&t), (TrapKind::OutOfBounds, 0, 0, 4));
    let t = trap(text, &args(&[2; 3], 2), config(2, 3));
    assert_eq!(place(&t), (TrapKind::Overlap, 1, 0, 4));
}

#[test]
fn bad_classes_say_which() {
    let text = "kernel k(out y: u32[], c: u32) {\nlet v: u32\ncls.mirror v, c\nst.u32 y[0], v\nexit\n}";
    let t = trap(text, &[u32s(&[0]), u32_arg(96)], config(1, 1));
    assert_eq!((place(&t), t.lane_trap.detail), ((TrapKind::BadClass, 0, 0, 3), TrapDetail::Value(96)));
}

// The buffer is address space that is never touched, which not every system hands out.
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
#[test]
fn a_length_that_does_not_fit_its_type_refuses_the_launch() {
    let text = |ty: &str| {
        format!(
            "kernel k(in x: u8[], out y: {ty}[]) {{\nlet n: {ty}\nlen.{ty} n, x\nst.{ty} y[0], n\nexit\n}}"
        )
    };
    let bytes = 1usize << 31;
    let x = ArgValue::Buffer(
        Buffer::external(0, std::sync::Arc::new(vec![0u8; bytes])).view(phalanx_isa::Type::U8),
    );
    let options = RunOptions::default();
    let refused = run_with(&*executor(), &text("i32"), &[x.clone(), i32s(&[0])], config(1, 1), &options);
    assert!(
        matches!(&refused, Err(LaunchError::Config { what, .. }) if what.contains("`x` as i32")),
        "{refused:?}"
    );
    let y = u32s(&[0]);
    run(&text("u32"), &[x, y.clone()], config(1, 1));
    assert_eq!(read_u32s(&y), [1 << 31]);
    let y = i32s(&[0]);
    run(&text("i32"), &[u8s(&[1; 77]), y.clone()], config(1, 1));
    assert_eq!(read_i32s(&y), [77]);
}

#[test]
fn a_barrier_missed_by_some_of_many_lanes_names_them() {
    // More lanes than run together: those that wait at the same instance wait together, wherever they are.
    let text = "kernel k(in arrives: u32[]) {
        let v: u32; let p: pred
            ld.u32 v, arrives[%lane.linear]
            set.eq.u32 p, v, 0
        @p  bra out
            bar.sync
        out:
            exit
        }";
    let mut arrives = vec![1; 300];
    for lane in [5, 140, 141, 299] {
        arrives[lane] = 0;
    }
    let t = trap(text, &[u32s(&arrives)], config(1, 300));
    assert_eq!(place(&t), (TrapKind::Sync, 0, 0, 6));
    assert_eq!(t.lane_trap.detail, TrapDetail::Missing { lanes: vec![5, 140, 141, 299], count: 4 });
}

#[test]
fn rounds_of_a_loop_that_all_lanes_go_alike_differ() {
    // Lanes below 128 skip the first round's barrier, the others the second's: nobody meets anybody.
    for back in ["loop.u32 n, again", "sub.u32 n, n, 1\nset.ne.u32 q, n, 0\n@q bra again"] {
        let text = format!(
            "kernel k(in skips: u32[]) {{
        let n, s: u32; let p, q: pred
            ld.u32 s, skips[%lane.linear]
            mov.u32 n, 2
        again:
            set.eq.u32 p, n, s
        @p  bra over
            bar.sync
        over:
            nop
            {back}
            exit
        }}"
        );
        let skips: Vec<u32> = (0..256).map(|l| if l < 128 { 2 } else { 1 }).collect();
        let t = trap(&text, &[u32s(&skips)], config(1, 256));
        assert_eq!(place(&t), (TrapKind::Sync, 0, 0, 8), "{back}");
        let missing = TrapDetail::Missing { lanes: (128..136).collect(), count: 128 };
        assert_eq!(t.lane_trap.detail, missing, "{back}");
    }
}

#[test]
fn a_negative_index_into_an_array_of_buffers_is_reported_as_it_is() {
    let text = |ty: &str| {
        format!(
            "kernel k(in xs: u32[][2], out y: u32[], which: {ty}) {{
        let v: u32
            ld.u32 v, xs[which][0]
            st.u32 y[0], v
            exit
        }}"
        )
    };
    let ArgValue::Buffer(view) = u32s(&[1]) else { unreachable!() };
    let xs = ArgValue::Buffers(vec![view.clone(), view]);
    for (ty, scalar, bits) in [("i32", phalanx_isa::Type::I32, 0xffff_fffe), ("i64", phalanx_isa::Type::I64, u64::MAX - 1)] {
        let args = [xs.clone(), u32s(&[0]), ArgValue::Scalar(scalar, bits)];
        let t = trap(&text(ty), &args, config(1, 3));
        let TrapDetail::Index { index, len, .. } = t.lane_trap.detail else { panic!("{t}") };
        assert_eq!((index, len), (-2, 2), "{ty}");
    }
}

#[test]
fn a_declared_block_size_makes_special_registers_uniform_and_nothing_traps_for_absent_lanes() {
    // In a block of one lane %lane.x is uniform, and so is what follows from it: lanes that do not exist must not be looked at.
    let text = "kernel k(in x: u32[], out y: u32[]) block 1 {
        let v, d: u32
            ld.u32 v, x[%global.linear]
            sub.u32 d, 1, %lane.x
            div.u32 v, v, d
            st.u32 y[%global.linear], v
            exit
        }";
    let y = u32s(&[0; 2]);
    run(text, &[u32s(&[7, 8]), y.clone()], config(2, 1));
    assert_eq!(read_u32s(&y), [7, 8]);
}

#[test]
fn what_lanes_that_have_ended_left_behind_reaches_nobody() {
    // `r` has a value per lane at first and the same in all lanes later: then what follows from it is uniform, but the lanes that
    // have ended still hold their first value.
    let text = "kernel k(in x: u32[], out y: u32[], out z: u32[], n: u32) {
        let r, u, w, s: u32; let p, q: pred
            mov.u32 r, %lane.x
            ld.u32 s, x[r]
            set.eq.u32 p, r, 5
        @p  exit
            mov.u32 r, n
            add.u32 u, r, 1
            set.eq.u32 q, r, n
            sel.u32 w, u, 0, q
            call (s), twice, (r)
            fold.add.u32 w, (w, r, s)
            st.u32 y[%lane.x], u
            st.u32 z[%lane.x], w
            exit
        func twice(a: u32) -> (b: u32) {
            add.u32 b, a, a
            ret
        }
        }";
    let (y, z) = (u32s(&[0; 64]), u32s(&[0; 64]));
    run(text, &[u32s(&[1; 64]), y.clone(), z.clone(), u32_arg(100)], config(1, 64));
    let all_but_5 = |v: u32| (0..64).map(|i| if i == 5 { 0 } else { v }).collect::<Vec<u32>>();
    assert_eq!(read_u32s(&y), all_but_5(101));
    assert_eq!(read_u32s(&z), all_but_5(401));
}

#[test]
fn a_result_across_the_lanes_of_a_small_block_is_not_seen_by_absent_lanes() {
    let text = "kernel k(out y: u32[]) block 16 {
        let s: u32
            sreduce.add.u32 s, 2
            div.u32 s, 64, s
            st.u32 y[%lane.x], s
            exit
        }";
    let y = u32s(&[0; 16]);
    run(text, std::slice::from_ref(&y), config(1, 16));
    assert_eq!(read_u32s(&y), [2; 16]);
}

#[test]
fn a_predicate_that_is_a_number_reaches_all_lanes_of_a_call() {
    let text = "kernel k(out y: u32[]) {
        let v: u32
            call (v), choose, (1)
            st.u32 y[%lane.x], v
            exit
        func choose(p: pred) -> (a: u32) {
            sel.u32 a, %lane.x, 999, p
            ret
        }
        }";
    let y = u32s(&[0; 300]);
    run(text, std::slice::from_ref(&y), config(1, 300));
    assert_eq!(read_u32s(&y), (0..300).collect::<Vec<u32>>());
}

#[test]
fn lanes_that_end_on_the_way_do_not_part_the_others() {
    // A guarded end in a loop, and in a branch that one chunk goes as a whole and the other in part; then a barrier for all.
    for end in ["exit", "ret", "trap 1"] {
        let text = format!(
            "kernel k(in x: u32[], out y: u32[]) {{
        let v, n: u32; let p, q: pred
            ld.u32 v, x[%lane.linear]
            mov.u32 n, 2
        again:
            set.eq.u32 p, v, 1
        @p  bra over
            set.eq.u32 q, v, 9
        @q  {end}
        over:
            loop.u32 n, again
            bar.sync
            st.u32 y[%lane.linear], v
            exit
        }}"
        );
        let mut x = vec![1; 300];
        x[130..].fill(2);
        let y = u32s(&[0; 300]);
        run(&text, &[u32s(&x), y.clone()], config(1, 300));
        assert_eq!(read_u32s(&y), x, "{end}");
        if end != "trap 1" {
            x[200] = 9;
            let t = trap(&text, &[u32s(&x), y], config(1, 300));
            assert_eq!(t.lane_trap.detail, TrapDetail::Missing { lanes: vec![200], count: 1 }, "{end}");
        }
    }
}

#[test]
fn waiting_lanes_find_their_registers_as_they_left_them() {
    // Registers that lanes wait with: beside a loop that they have left (`n`, `last`), before the other way of a branch (`a`), with
    // the result of a function (`r`), inside a loop for the next round (`sum`); `t` belongs to no waiting lane.
    let text = "kernel k(out y: u32[], out z: u32[]) {
        let n, last, a, sum, t, l: u32; let p, q: pred
            mov.u32 l, %lane.x
            mov.u32 n, 0
            mov.u32 sum, 0
            mov.u32 last, 99
        round:
            rem.u32 t, l, 7
            set.ge.u32 p, n, t
        @p  bra done
            add.u32 a, n, 10
            and.u32 t, l, 1
            set.ne.u32 q, t, 0
        @q  bra odd
            mul.u32 t, a, 2
            add.u32 sum, sum, t
            bra next
        odd:
            mul.u32 t, a, 3
            call (t), capped, (t, l)
            add.u32 sum, sum, t
        next:
            mov.u32 last, a
            add.u32 n, n, 1
            bra round
        done:
            mad.u32 t, n, 1000, last
            st.u32 y[l], t
            st.u32 z[l], sum
            exit
        func capped(v: u32, l: u32) -> (r: u32) {
            let p: pred; let t: u32
            mov.u32 r, 31
            set.gt.u32 p, v, 31
        @p  ret
            add.u32 t, v, l
            mov.u32 r, t
            ret
        }
        }";
    for lanes in [100usize, 128] {
        let (y, z) = (u32s(&vec![0; lanes]), u32s(&vec![0; lanes]));
        run(text, &[y.clone(), z.clone()], config(1, lanes as u32));
        let expected = |l: u32| {
            let rounds = l % 7;
            let sum = (0..rounds).map(|n| match (n + 10, l % 2) {
                (a, 0) => a * 2,
                (a, _) if a * 3 > 31 => 31,
                (a, _) => a * 3 + l,
            });
            (rounds * 1000 + if rounds == 0 { 99 } else { rounds + 9 }, sum.sum::<u32>())
        };
        let all: Vec<(u32, u32)> = read_u32s(&y).into_iter().zip(read_u32s(&z)).collect();
        assert_eq!(all, (0..lanes as u32).map(expected).collect::<Vec<_>>());
    }
}

#[test]
fn a_result_for_all_lanes_stays_in_its_register() {
    // Everything here is the same for all lanes of a block: registers of one value each lie side by side.
    let text = "kernel k(in x: f32[], out y: f32[], out n: u32[]) block 1 {
        let a, b, c: u32; let u, v, w: f32
            ld.f32 u, x[0]
            ld.f32 v, x[1]
            ld.f32 w, x[2]
            mov.u32 a, 1
            mov.u32 c, 3
            len.u32 b, x
            add.f32 u, u, v
            add.f32 u, u, w
            st.f32 y[%block.x], u
            add.u32 a, a, c
            mad.u32 a, a, 100, b
            st.u32 n[%block.x], a
            exit
        }";
    let (y, n) = (f32s(&[0.0; 3]), u32s(&[0; 3]));
    run(text, &[f32s(&[1.0, 2.0, 4.0]), y.clone(), n.clone()], config(3, 1));
    assert_eq!((read_f32s(&y), read_u32s(&n)), (vec![7.0; 3], vec![403; 3]));
}
