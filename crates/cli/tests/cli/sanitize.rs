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
