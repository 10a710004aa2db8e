//! `run --sanitize`: findings as text and rows, statuses, suppression.

use crate::support::Folder;
use serde_json::json;

/// A reversal through shared memory that lacks its barrier, and a flag that all lanes set.
const REVERSE: &str = "kernel reverse(inout x: u32[], inout flag: u32[]) block 64 grid 1 {
    shared tmp: u32[64]
    let i, j, v: u32
    mov.u32         i, %lane.x
    ld.u32          v, x[i]
    st.shared.u32   tmp[i], v
    BETWEEN
    sub.u32         j, 63, i
    ld.shared.u32   v, tmp[j]
    st.u32          x[i], v
    st.u32          flag[0], 1
    exit
}
";
const RUN: &str = "run r.phx --arg x=random:u32:64:1 --arg flag=zeros:u32:1 --sanitize race";

fn folder(between: &str) -> Folder {
    let folder = Folder::with_add();
    folder.write("r.phx", REVERSE.replace("BETWEEN", between));
    folder
}

#[test]
fn a_missing_barrier_is_told_with_both_sites() {
    let ended = folder("nop").run(RUN).expect(1);
    ended.says(&[
        "error[read-write]: two lanes of a block read and write `tmp[0]`, and 63 more",
        "r.phx:6:5",
        "st.shared.u32   tmp[i], v",
        "written by lane 0 of block (0, 0, 0), 0 barriers passed",
        "ld.shared.u32   v, tmp[j]",
        "read by lane 63 of block (0, 0, 0)",
        "warning[equal-value]",
        "2 findings: 320 accesses, 1 blocks checked",
    ]);
}

#[test]
fn equal_values_count_only_if_strict_and_a_clean_run_says_so() {
    let folder = folder("bar.sync");
    folder.run(RUN).expect(0).says(&["warning[equal-value]", "1 finding: 320 accesses"]);
    folder.run(&format!("{RUN} --strict")).expect(1);
    folder.write(
        "r.phx",
        REVERSE.replace("BETWEEN", "bar.sync").replace("    st.u32          flag[0], 1\n", ""),
    );
    folder
        .run(&format!("{RUN} --strict --print x"))
        .expect(0)
        .says(&["clean: 256 accesses, 1 blocks checked"]);
    folder.run("run r.phx --arg x=zeros:u32:64 --arg flag=zeros:u32:1 --strict").expect(2);
    folder.run(&format!("{RUN} --executor reference")).expect(1).says(&["no checkers", "lanes"]);
}

#[test]
fn rows_have_all_of_a_finding() {
    let rows = folder("nop").run(&format!("{RUN} --json")).expect(1).rows();
    let row = &rows[0];
    assert_eq!((&row["kind"], &row["checker"]), (&json!("read-write"), &json!("race")));
    assert_eq!(
        (&row["line"], &row["column"], &row["block"], &row["lane"]),
        (&json!(6), &json!(5), &json!(0), &json!(0))
    );
    assert_eq!((&row["address"], &row["object"]), (&json!("tmp[0]"), &json!("tmp")));
    assert_eq!(
        (&row["elements"], &row["count"], &row["ranges"]),
        (&json!(64), &json!(64), &json!([[0, 63]]))
    );
    let other = &row["sites"][1];
    assert_eq!((&other["line"], &other["lane"], &other["interval"]), (&json!(9), &json!(63), &json!(0)));
    assert_eq!(other["source"], "ld.shared.u32   v, tmp[j]");
    let last = rows.last().unwrap();
    assert_eq!(
        (&last["findings"], &last["clean"], &last["accesses_checked"]),
        (&json!(2), &json!(false), &json!(320))
    );
}

#[test]
fn findings_are_allowed_for_a_reason() {
    let folder = Folder::with_add();
    let allowed =
        REVERSE.replace("BETWEEN", "nop").replace("tmp[i], v", "tmp[i], v  // allow(race): a test").replace(
            "    st.u32          flag",
            "    // allow(race): every lane stores 1\n    st.u32          flag",
        );
    folder.write("r.phx", &allowed);
    folder.run(&format!("{RUN} --strict")).expect(0).says(&["clean: 320 accesses", "2 suppressed"]);
    let rows = folder.run(&format!("{RUN} --json")).expect(0).rows();
    assert_eq!(rows[0]["suppressed"], "a test");
    assert_eq!(rows[1]["suppressed"], "every lane stores 1");
    assert_eq!((&rows[2]["suppressed"], &rows[2]["clean"]), (&json!(2), &json!(true)));
    folder.write("r.phx", allowed.replace(": a test", ":"));
    folder.run(RUN).expect(1).says(&["gives none", "write `// allow(race): why"]);
}

/// Every lane reads one further than it may, from what lane 0 never wrote, and lanes 8.. miss the barrier.
const FAULTS: &str = "kernel faults(in x: u32[], out y: u32[], inout z: u32[], n: u32) block 16 grid 2 {
    shared tmp: u32[16]
    private own: u32[2]
    let i, j, v: u32; let some, low: pred
    mov.u32         i, %lane.x
    ld.u32          v, x[i + 8]
    set.ge.u32      some, i, 1
@some st.shared.u32 tmp[i], v
    bar.sync
    ld.shared.u32   v, tmp[i]
    ld.private.u32  j, own[0]
    ld.u32          v, z[i]
    st.u32          y[i + 4], v
    set.lt.u32      low, i, n
@low bar.sync
    exit
}
";

#[test]
fn faults_that_are_no_races() {
    let folder = Folder::with_add();
    folder.write("f.phx", FAULTS);
    let run = "run f.phx --arg x=random:u32:16:1 --arg y=zeros:u32:16 --arg z=uninit:u32:16 --arg n=8";
    let ended = folder.run(&format!("{run} --sanitize bounds,init,sync")).expect(1);
    ended.says(&[
        "error[load-outside]: load of `x[16]`, and 7 more: outside, it gives 0",
        "by lane 8 of block (0, 0, 0)",
        "error[never-written]: read of `tmp[0]`, which was never written",
        "error[never-written]: read of `own[0]`",
        "error[never-written]: read of `z[0]`, and 15 more",
        "error[store-outside]: store to `y[16]`, and 3 more: outside, it is dropped",
        "error[missed-barrier]: 8 lanes miss a barrier that others wait at (8, 9, 10, 11, 12, 13, 14, 15)",
        "6 findings",
    ]);
    // Each checker finds its own; without `bounds` the first access outside is the trap that it always is.
    let found = |checker: &str, status| -> Vec<(String, u64)> {
        let rows = folder.run(&format!("{run} --json --sanitize {checker}")).expect(status).rows();
        let found = rows.iter().filter(|r| r["checker"].is_string());
        found.map(|r| (r["kind"].as_str().unwrap().into(), r["count"].as_u64().unwrap())).collect()
    };
    assert_eq!(
        found("bounds", 1),
        [("load-outside".into(), 8), ("store-outside".into(), 4)],
        "block 0 traps at the barrier"
    );
    assert_eq!(found("init", 1), []);
    folder.write("f.phx", FAULTS.replace("x[i + 8]", "x[i]").replace("y[i + 4]", "y[i]"));
    let (tmp, own, z) =
        (("never-written".into(), 1), ("never-written".into(), 16), ("never-written".into(), 16));
    assert_eq!(found("init", 1), [tmp, own, z]);
    assert_eq!(found("sync", 1), [("missed-barrier".into(), 2)]);
    folder.write(
        "f.phx",
        FAULTS.replace("x[i + 8]", "x[i]").replace("y[i + 4]", "y[i]").replace("@low bar", "bar"),
    );
    assert_eq!(found("bounds,sync", 0), []);
}

#[test]
fn barriers_of_two_kinds_name_both_places() {
    let folder = Folder::with_add();
    let two = "kernel two(in x: u32[], out y: u32[]) block 64 grid 1 {
    let v: u32; let odd: pred
    ld.u32          v, x[%lane.x]
    and.u32         v, v, 1
    set.ne.u32      odd, v, 0
@odd bra other
    bar.sync
    bra done
other:
    bar.sync
done:
    st.u32          y[%lane.x], v
    exit
}
";
    folder.write("two.phx", two);
    let run = "run two.phx --arg x=random:u32:64:1 --arg y=zeros:u32:64 --sanitize sync --json";
    let rows = folder.run(run).expect(1).rows();
    assert_eq!(
        (&rows[0]["kind"], &rows[0]["elsewhere"].as_array().unwrap().len()),
        (&json!("missed-barrier"), &1)
    );
    let lines = [rows[0]["line"].as_u64().unwrap(), rows[0]["elsewhere"][0]["line"].as_u64().unwrap()];
    assert!(lines == [7, 10] || lines == [10, 7], "{lines:?}");
}

#[test]
fn pool_memory_that_is_gone() {
    let folder = Folder::with_add();
    let gone = "kernel gone(out y: u32[]) block 4 grid 1 {
    let h: u64; let v: u32
    pool.alloc.u32  h, 2
    pool.st.u32     h, 1, 7
    pool.ld.u32     v, h, 2
    pool.free       h
    pool.ld.u32     v, h, 1
    pool.free       h
    st.u32          y[%lane.x], v
    exit
}
";
    folder.write("gone.phx", gone);
    let ended = folder.run("run gone.phx --arg y=zeros:u32:4 --sanitize bounds --print y").expect(1);
    let ended = ended.says(&[
        "error[load-outside]: load of element 2 of pool memory",
        "error[bad-handle]",
        "4 lanes",
        "3 findings",
    ]);
    assert_eq!(ended.stdout, "y: u32[4]\n  0 0 0 0\n");
}

/// One block passes a value on; ORDER and TAKE say how.
const PASS: &str = "kernel pass(inout data: u32[], inout flag: u32[], out y: u32[]) block 1 grid 2 {
    let n, v: u32; let second, none: pred
    set.eq.u32      second, %block.x, 1
@second bra         take
    st.u32          data[0], 5
    astore.ORDER.u32 flag[0], 1
    exit
take:
wait:
    aload.TAKE.u32  n, flag[0]
    set.eq.u32      none, n, 0
@none bra           wait
    ld.u32          v, data[0]
    st.u32          y[0], v
    exit
}
";

#[test]
fn release_and_acquire_order() {
    let folder = Folder::with_add();
    let run = "run p.phx --arg data=zeros:u32:1 --arg flag=zeros:u32:1 --arg y=zeros:u32:1 --sanitize race";
    for (order, take, status) in [
        ("release", "acquire", 0),
        ("release", "relaxed", 1),
        ("relaxed", "acquire", 1),
        ("relaxed", "relaxed", 1),
    ] {
        folder.write("p.phx", PASS.replace("ORDER", order).replace("TAKE", take));
        for more in ["", " --threads 2", " --schedule-seed 3"] {
            let mut ended = folder.run(&format!("{run}{more}")).expect(status);
            if (order, take) != ("relaxed", "relaxed") {
                ended = ended.says(&["release and acquire ordered as in this run"]);
            }
            if status == 1 {
                ended.says(&["error[read-write]", "`data[0]`", "p.phx:5"]);
            }
        }
    }
}
