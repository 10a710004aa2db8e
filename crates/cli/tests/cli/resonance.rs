//! `run --resonance` and `--claim`: snapshots go out and come in again, broken claims are reported.

use crate::support::Folder;
use serde_json::Value;

const PROGRAM: &str = "
kernel add(x: f64) block 64 grid 96 {
    let c: u32
    cls.get        c
    res.accum.f64  c, x
    res.accum.i64  c, 1, 192
    phase.adv      10
    exit
}";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("add.phx", PROGRAM);
    folder
}

fn snapshot(folder: &Folder) -> Value {
    serde_json::from_slice(&folder.read("r.json")).unwrap()
}

#[test]
fn a_snapshot_is_carried_from_launch_to_launch() {
    let folder = folder();
    folder.run("run add.phx --arg x=0.1 --resonance r.json --phase 760").expect(0);
    let first = snapshot(&folder);
    assert_eq!(first["resonance"][95], serde_json::json!({"class": 95, "n": 1, "d": 3, "f64": 6.4}));
    assert_eq!(first["neutral"], false);
    assert_eq!(first["phases"].as_array().unwrap()[..3], [2, 3, 4].map(Value::from));
    folder.run("run add.phx --arg x=-0.1 --resonance r.json --class 5 --executor reference").expect(0);
    let second = snapshot(&folder);
    assert_eq!(second["resonance"][4], first["resonance"][4]);
    assert_eq!(second["resonance"][5]["n"], 97);
    // Without a file it says that something is lost.
    folder.run("run add.phx --arg x=1").expect(0).says(&["added to 96 classes, not kept"]);
}

#[test]
fn broken_claims_trap_and_leave_the_file_alone() {
    let folder = folder();
    folder.run("run add.phx --arg x=1 --resonance r.json").expect(0);
    let before = folder.read("r.json");
    let ended =
        folder.run("run add.phx --arg x=1 --resonance r.json --claim neutral --claim mirror").expect(1);
    ended.says(&["claimed", "neutral", "when the launch had ended", "add.phx:5"]);
    folder
        .run("run add.phx --arg x=1 --resonance r.json --claim phase=0,100")
        .expect(1)
        .says(&["block (90, 0, 0), lane 0"]);
    assert_eq!(folder.read("r.json"), before);
    folder.run("run add.phx --arg x=1 --claim mirror --claim neighbours --claim phase=0,106").expect(0);
    folder.run("run add.phx --arg x=1 --claim tidy").expect(2).says(&["write mirror, neutral"]);
}

#[test]
fn a_file_that_is_no_snapshot_is_refused() {
    let folder = folder();
    folder.write("r.json", "{\"resonance\": [{\"class\": 99}]}");
    folder
        .run("run add.phx --arg x=1 --resonance r.json")
        .expect(1)
        .says(&["r.json", "`class` must be 0 to 95"]);
}
