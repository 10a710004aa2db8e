//! `run`: values in, results out, traps.

use crate::support::{Folder, floats, npy, npy_of};
use serde_json::Value;

const LAUNCH: &str = "run add.phx --arg x=x.npy --arg y=zeros:f32:3 --arg by=0.5 --grid 1 --block 4";

fn folder() -> Folder {
    let folder = Folder::with_add();
    folder.write("x.npy", npy("<f4", 3, &floats(&[1.0, 2.0, 3.0])));
    folder
}

#[test]
fn arrays_go_in_and_come_out() {
    let folder = folder();
    let ended = folder.run(&format!("{LAUNCH} --out y=y.npy --out x=copy.npy --print y")).expect(0);
    assert_eq!(ended.stdout, "y: f32[3]\n  1.5 2.5 3.5\n");
    assert!(ended.stderr.contains("add: 1 block of 4 lanes in"), "{ended:#?}");
    assert_eq!(folder.read("y.npy"), npy("<f4", 3, &floats(&[1.5, 2.5, 3.5])));
    assert_eq!(folder.read("copy.npy"), folder.read("x.npy"));
    // What was written is read again.
    let again = "run add.phx --arg x=y.npy --arg y=uninit:f32:3x1 --arg by=-1 --grid 1 --block 4 --print y";
    assert_eq!(folder.run(again).expect(0).stdout, "y: f32[3x1]\n  0.5 1.5 2.5\n");
}

#[test]
fn every_executor_and_option_gives_the_same() {
    let folder = folder();
    for options in [
        "--executor reference",
        "--executor auto --threads 2",
        "--simd scalar",
        "--deterministic",
        "--fuel 100",
        "--class 3 --phase 767",
        "--kernel add",
        "--stats",
    ] {
        let ended = folder.run(&format!("{LAUNCH} --print y {options}")).expect(0);
        assert_eq!(ended.stdout, "y: f32[3]\n  1.5 2.5 3.5\n", "{options}");
    }
    folder.run("asm add.phx").expect(0);
    let binary = LAUNCH.replace("add.phx", "add.phxb");
    assert_eq!(folder.run(&format!("{binary} --print y")).expect(0).stdout, "y: f32[3]\n  1.5 2.5 3.5\n");
    folder.run(&format!("{LAUNCH} --stats")).expect(0).says(&[
        "assemble and verify",
        "launch",
        "threads",
        "SIMD",
    ]);
}

#[test]
fn rows_hold_the_launch_and_what_was_asked_for() {
    let folder = folder();
    let rows = folder.run(&format!("{LAUNCH} --json --print y")).expect(0).rows();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["values"], serde_json::json!([1.5, 2.5, 3.5]));
    let row = &rows[1];
    assert_eq!(
        (row["kernel"].as_str(), row["blocks"].as_u64(), row["lanes"].as_u64()),
        (Some("add"), Some(1), Some(4))
    );
    assert!(row["launch_us"].as_f64() > Some(0.0));
}

#[test]
fn a_trap_is_told_with_its_place_and_writes_nothing() {
    let folder = folder();
    let wide = "run add.phx --arg x=x.npy --arg y=zeros:f32:70 --arg by=0 --grid 2 --block 64";
    let ended = folder.run(&format!("{wide} --out y=y.npy")).expect(1);
    let ended = ended.says(&["add.phx:8:5", "ld.f32      v, x[i]", "block (0, 0, 0), lane 3", "`x`"]);
    assert_eq!(ended.stdout, "");
    assert!(!folder.has("y.npy"));
    let rows = folder.run(&format!("{wide} --json")).expect(1).rows();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((row["kind"].as_str(), row["file"].as_str()), (Some("out_of_bounds"), Some("add.phx")));
    let number = |key: &str| row[key].as_u64();
    assert_eq!(["line", "column", "block", "lane"].map(number), [Some(8), Some(5), Some(0), Some(3)]);
    assert!(row["message"].as_str().unwrap().contains("index 3"));
    folder.run(&format!("{LAUNCH} --fuel 3")).expect(1).says(&["fuel"]);
}

#[test]
fn files_that_do_not_fit_are_rejected_with_a_remedy() {
    let folder = folder();
    folder.write("u.npy", npy("<u4", 1, &[0; 4]));
    folder.write("broken.npy", b"no numpy file");
    let with = |x: &str| format!("run add.phx --arg x={x} --arg y=zeros:f32:1 --arg by=0 --grid 1 --block 1");
    folder.run(&with("none.npy")).expect(1).says(&["none.npy", "zeros:f32:SHAPE"]);
    folder.run(&with("u.npy")).expect(1).says(&["u.npy", "uint32", "astype(\"float32\")"]);
    folder.run(&with("broken.npy")).expect(1).says(&["broken.npy"]);
    folder.run(&format!("{LAUNCH} --out y=none/y.npy")).expect(1).says(&["--out y=none/y.npy"]);
}

#[test]
fn numbers_have_the_type_of_their_parameter() {
    let folder = Folder::new();
    folder.write(
        "n.phx",
        "kernel n(out y: u8[], out z: bf16[], a: u8, b: bf16) block 1 grid 1 {\n    st.u8 y[0], a\n    st.bf16 z[0], b\n    \
         exit\n}\n",
    );
    let run = |a: &str, b: &str| {
        folder.run(&format!(
            "run n.phx --arg y=zeros:u8:1 --arg z=zeros:bf16:1 --arg a={a} --arg b={b} --print y --print z"
        ))
    };
    assert_eq!(run("255", "1.5").expect(0).stdout, "y: u8[1]\n  255\nz: bf16[1]\n  1.5\n");
    assert_eq!(run("0x10", "-inf").expect(0).stdout, "y: u8[1]\n  16\nz: bf16[1]\n  -inf\n");
    run("256", "0").expect(2).says(&["a", "u8"]);
    run("-1", "0").expect(2).says(&["u8"]);
    run("1.5", "0").expect(2).says(&["u8"]);

    folder.write("bf.npy", npy("<u2", 1, &0x3fc0u16.to_le_bytes()));
    let ended = folder
        .run("run n.phx --arg y=zeros:u8:1 --arg z=bf.npy --arg a=1 --arg b=2 --out z=out.npy")
        .expect(0);
    assert_eq!(ended.stdout, "");
    assert_eq!(folder.read("out.npy"), npy("<u2", 1, &0x4000u16.to_le_bytes()));
}

#[test]
fn arrays_of_buffers_take_an_option_each() {
    let folder = Folder::new();
    folder.write(
        "pick.phx",
        "kernel pick(in xs: u32[][2], out y: u32[], which: u32) block 1 grid 1 {\n    let v: u32\n    \
         ld.u32 v, xs[which][0]\n    st.u32 y[0], v\n    exit\n}\n",
    );
    folder.write("a.npy", npy("<u4", 1, &7u32.to_le_bytes()));
    folder.write("b.npy", npy("<u4", 1, &9u32.to_le_bytes()));
    let both = "run pick.phx --arg xs=a.npy --arg xs=b.npy --arg y=zeros:u32:1 --arg which=1";
    let ended = folder.run(&format!("{both} --print y --print xs[0]")).expect(0);
    assert_eq!(ended.stdout, "y: u32[1]\n  9\nxs[0]: u32[1]\n  7\n");
    folder.run(&format!("{both} --print xs")).expect(2).says(&["xs[0]"]);
    folder.run(&both.replace("--arg xs=b.npy ", "")).expect(2).says(&["2 times, not 1"]);
}

#[test]
fn packed_weights_come_from_int8_arrays() {
    let folder = Folder::new();
    folder.write(
        "mv.phx",
        "kernel mv(in x: i8[], in w: packed[t2, n, k], out y: i32[], n: u32, k: u32) block 1 grid 1 {\n    \
         matmul.t2.i8 y[0], w, x[0], 1, 0, n, n, k\n    exit\n}\n",
    );
    let run = |w: &str| {
        folder.run(&format!(
            "run mv.phx --arg x=x.npy --arg w={w} --arg y=zeros:i32:2 --arg n=2 --arg k=2 --print y"
        ))
    };
    folder.write("x.npy", npy("|i1", 2, &[10, 20]));
    folder.write("w.npy", npy_of("|i1", "(2, 2)", &[1, 1, 0xff, 1]));
    assert_eq!(run("w.npy").expect(0).stdout, "y: i32[2]\n  30 10\n");
    run("x.npy").expect(1).says(&["two dimensions"]);
    run("zeros:i8:3x2").expect(1).says(&["packed"]);
    run("zeros:u8:2x2").expect(2).says(&["i8"]);
}

#[test]
fn filters_of_a_convolution_come_from_arrays() {
    let folder = Folder::new();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../programs/conv2d.phx");
    folder.write("conv2d.phx", std::fs::read(program).unwrap());
    folder.write("x.npy", npy("|i1", 9, &[1; 9]));
    folder.write("w.npy", npy_of("|i1", "(1, 1, 3, 3)", &[0, 1, 0, 1, 0xff, 1, 0, 1, 0]));
    let launch = "run conv2d.phx --kernel conv2d_q --arg x=x.npy --arg y=zeros:i8:9 --arg scale=zeros:f32:1 --arg bias=zeros:i32:1 \
        --arg n=1 --arg k=9 --arg rows=3 --arg images=1 --arg step_x=9 --arg step_y=9 --arg row_y=3 --arg channel_y=1 \
        --arg tile_r=2 --arg tile_c=64 --arg zx=0 --arg zy=10 --print y";
    folder.write("one.npy", npy("<f4", 1, &floats(&[1.0])));
    let ones = launch.replace("scale=zeros:f32:1", "scale=one.npy");
    let run = |w: &str| folder.run_with(&format!("{ones} --arg"), &[&format!("w={w}")]);
    let found = run("conv:3x3 1->1 3x3 p1:w.npy").expect(0).stdout;
    assert_eq!(found, "y: i8[9]\n  11 12 11 12 13 12 11 12 11\n");
    run("conv:3x3 1->1 3x3 p1:random:i8:1x1x3x3:5").expect(0);
    run("conv:3x3 1->2 3x3 p1:w.npy").expect(1).says(&["[2, 1, 3, 3]", "[1, 1, 3, 3]"]);
    run("conv:1x1 1->1 3x3:w.npy").expect(1).says(&["spans 3 rows", "pad more"]);
    run("conv:3x3 1->1 3x3 p1 winograd:w.npy").expect(1).says(&["integers are summed exactly"]);
    run("conv:3x3 1-1 3x3:w.npy").expect(2).says(&["columns x rows"]);
    run("conv:3x3 1->1 3x3").expect(2).says(&["conv:SHAPE:FILE.npy"]);
    run("w.npy").expect(1).says(&["conv:SHAPE:FILE.npy"]);
    run("conv:3x3 1->1 3x3 p1:zeros:u8:1x1x3x3").expect(2).says(&["i8"]);
}

#[test]
fn a_trace_is_a_timeline() {
    let folder = folder();
    folder.run(&format!("{LAUNCH} --trace t.json --threads 2")).expect(0);
    let document: Value = serde_json::from_slice(&folder.read("t.json")).unwrap();
    let events = document["traceEvents"].as_array().unwrap();
    for name in ["read", "assemble and verify", "prepare", "launch"] {
        let span = events.iter().find(|e| e["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        assert!(span["ph"] == "X" && span["ts"].is_number() && span["dur"].is_number(), "{span}");
    }
    folder.run(&format!("{LAUNCH} --trace none/t.json")).expect(1).says(&["none/t.json"]);
}
