//! `run --explore`, `run --bundle` and `replay`.

use crate::support::Folder;
use serde_json::{Value, json};

/// Block 0 passes a value on; the others take it whether it is there or not. It is, where block 0 runs first.
const PEEK: &str = "kernel peek(inout data: u32[], inout flag: u32[], out y: u32[]) block 1 grid 6 {
    let v: u32; let first: pred
    set.eq.u32      first, %block.x, 0
@!first bra         look
    st.u32          data[0], 5
    astore.release.u32 flag[0], 1
    exit
look:
    aload.acquire.u32 v, flag[0]
    ld.u32          v, data[0]
    st.u32          y[%block.x], v
    exit
}
";
const RUN: &str =
    "run p.phx --arg data=zeros:u32:1 --arg flag=zeros:u32:1 --arg y=zeros:u32:6 --sanitize race";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("p.phx", PEEK);
    folder
}

/// The lines of a report up to its summary.
fn report(stderr: &str) -> Vec<&str> {
    let lines: Vec<&str> = stderr.lines().collect();
    let end = lines.iter().position(|l| l.contains("blocks checked")).expect("a summary");
    lines[..=end].to_vec()
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn a_fault_of_some_schedules_is_found_and_made_small() {
    let folder = folder();
    folder
        .run(&format!("{RUN} --threads 1"))
        .expect(0)
        .says(&["clean: ", "not covered: release and acquire"]);
    let ended = folder.run(&format!("{RUN} --explore 50 --bundle b.json --json")).expect(1);
    let ended = ended.says(&[
        "error[read-write]: lanes of two blocks read and write `data[0]`",
        "that fails on the grid 6,1,1",
        "explored: the smallest grid found that still fails is 2,1,1",
        "the launch is in `b.json`: phalanx replay b.json",
    ]);
    let last = ended.rows().pop().unwrap();
    let explored = &last["explored"];
    assert_eq!((&last["blocks"], &last["clean"]), (&json!(2), &json!(false)));
    assert_eq!(explored["smallest_grid"], json!([2, 1, 1]));
    let (seed, tried) = (explored["failing_seed"].as_u64().unwrap(), explored["tried"].as_u64().unwrap());
    assert!(tried == seed + 1 && seed < 50, "{explored}");
    // Seeds repeat: the first that fails does so alone, and those before it do not.
    folder.run(&format!("{RUN} --threads 1 --schedule-seed {seed}")).expect(1);
    for before in 0..seed {
        folder.run(&format!("{RUN} --threads 1 --schedule-seed {before}")).expect(0);
    }
    let small = explored["smallest_seed"].as_u64().unwrap();
    let again = folder.run(&format!("{RUN} --threads 1 --schedule-seed {small} --grid 2")).expect(1);
    assert_eq!(report(&again.stderr), report(&ended.stderr));

    // The bundle needs nothing but itself, and no certain machine.
    let elsewhere = Folder::new();
    elsewhere.write("b.json", folder.read("b.json"));
    for device in ["", " --simd scalar", " --threads 2"] {
        let replayed = elsewhere.run(&format!("replay b.json --json{device}")).expect(1);
        assert_eq!(report(&replayed.stderr), report(&ended.stderr));
        let replayed = replayed.says(&["peek: the report is the recorded one"]);
        let rows = rows(&replayed.stdout);
        assert_eq!(rows[..rows.len() - 1], ended.rows()[..ended.rows().len() - 1], "the same findings");
        assert_eq!(rows.last().unwrap()["as_recorded"], json!(true));
    }
    let mut bundle: Value = serde_json::from_slice(&folder.read("b.json")).unwrap();
    bundle["report"] = "something else\n".into();
    elsewhere.write("b.json", bundle.to_string());
    let replayed = elsewhere.run("replay b.json --json").expect(1);
    assert_eq!(replayed.rows().last().unwrap()["as_recorded"], json!(false));
    replayed.says(&["recorded was:\nsomething else", "the report is not the one that was recorded"]);
}

#[test]
fn what_never_fails_is_said_to_and_leaves_no_bundle() {
    let folder = Folder::with_add();
    let run = "run add.phx --arg x=random:f32:9:1 --arg y=zeros:f32:9 --arg by=1 --grid 3 --block 4 --sanitize race";
    let ended = folder.run(&format!("{run} --explore 20 --bundle b --json")).expect(0);
    let ended = ended.says(&[
        "checked: race: buffers that the launch writes, shared arrays",
        "clean: 18 accesses, 3 blocks checked",
        "explored: none of 20 schedule seeds fails",
        "nothing failed: `b` is not written",
    ]);
    let last = ended.rows().pop().unwrap();
    assert_eq!(last["explored"]["failing_seed"], Value::Null);
    assert_eq!((&last["explored"]["tried"], &last["clean"]), (&json!(20), &json!(true)));
    assert!(!folder.has("b"));
}

/// Every kind of value; lane 9 divides by zero.
const VALUES: &str = "kernel values(in x: f32[], in xs: i16[][2], out y: f32[], inout z: u32[], n: u32, f: f64) block 16 grid 1 {
    let v: u32; let w: f32; let some: pred
    ld.u32          v, z[%lane.x]
    ld.f32          w, x[%lane.x]
    st.f32          y[%lane.x], w
    sub.u32         v, %lane.x, n
    set.eq.u32      some, v, 0
@some div.u32       v, n, v
    st.u32          z[%lane.x], v
    exit
}
";

#[test]
fn traps_and_all_kinds_of_values_are_replayed() {
    let folder = Folder::new();
    folder.write("v.phx", VALUES);
    let run = "run v.phx --arg x=random:f32:16:3 --arg xs=zeros:i16:2x2 --arg xs=random:i16:3:1 --arg y=zeros:f32:16 \
               --arg z=uninit:u32:16 --arg n=9 --arg f=0.1 --fuel 1000 --class 5 --phase 7 --bundle t";
    let trapped = folder.run(run).expect(1).says(&["error[div_by_zero]", "the launch is in `t`"]);
    let replayed = folder
        .run("replay t")
        .expect(1)
        .says(&["error[div_by_zero]", "values: the report is the recorded one"]);
    assert_eq!(trapped.stderr.lines().next(), replayed.stderr.lines().next());
    // With checkers, and as a binary module.
    folder.run("asm v.phx -o v.phxb").expect(0);
    let checked = folder
        .run(&run.replace("v.phx", "v.phxb --sanitize init,bounds").replace("-bundle t", "-bundle c"))
        .expect(1);
    let replayed = folder.run("replay c --simd scalar").expect(1);
    assert_eq!(report(&checked.stderr), report(&replayed.stderr));
    checked.says(&["error[never-written]: read of `z[0]`, and 15 more", "error[div_by_zero]"]);
}

#[test]
fn what_is_no_bundle_is_refused() {
    let folder = Folder::with_add();
    folder.run("replay none.json").expect(1).says(&["cannot read `none.json`"]);
    folder.run("replay add.phx").expect(1).says(&["`add.phx` is no bundle"]);
    folder.write("b.json", "{\"phalanx_bundle\": 99}");
    folder.run("replay b.json").expect(1).says(&["`b.json` is no bundle", "its form is 99"]);
}
