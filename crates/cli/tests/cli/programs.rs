//! `asm`, `dis`, `check`, `test` and `explain`.

use crate::support::{ADD, Folder};

/// A program with an error in each of two lines.
const WRONG: &str = "kernel k(out y: f32[]) {\n    mov.u32 r0, 1.5\n    st.u32 y[0], r0\n    exit\n}\n";

#[test]
fn a_module_and_its_text_are_the_same_program() {
    let folder = Folder::with_add();
    folder.run("asm add.phx").expect(0).says(&["add.phxb", "1 kernel"]);
    let text = folder.run("dis add.phxb").expect(0);
    assert!(text.stdout.contains("kernel add") && text.stderr.is_empty(), "{text:#?}");
    folder.run("dis add.phxb -o again.phx").expect(0);
    folder.run("asm again.phx -o again.phxb").expect(0);
    assert_eq!(folder.read("add.phxb"), folder.read("again.phxb"));
    folder.run("check add.phxb").expect(0).says(&["valid"]);

    let row = &folder.run("asm add.phx --json").expect(0).rows()[0];
    assert_eq!((row["output"].as_str(), row["kernels"].as_u64()), (Some("add.phxb"), Some(1)));
    let row = &folder.run("dis add.phxb --json").expect(0).rows()[0];
    assert!(row["text"].as_str().unwrap().contains("kernel add"));
}

#[test]
fn errors_come_all_at_once_with_their_lines() {
    let folder = Folder::new();
    folder.write("wrong.phx", "kernel k() {\n    nonsense.u32 r0, 1\n    ad.u32 r0, 1, 2\n    exit\n}\n");
    for command in ["asm", "check", "run", "explain", "test"] {
        let ended = folder.run(&format!("{command} wrong.phx")).expect(1);
        let ended = ended.says(&["wrong.phx:2:5", "wrong.phx:3:5", "nonsense", "^", "ad.u32 r0, 1, 2"]);
        assert_eq!(ended.stdout, "", "{command}");
    }
    assert!(!folder.has("wrong.phxb"));
    folder.write("wrong.phx", WRONG);
    let ended = folder.run("check wrong.phx --json").expect(1);
    for row in ended.rows() {
        assert_eq!(row["severity"], "error");
        assert!(
            row["code"].as_str().unwrap().starts_with('E') && !row["message"].as_str().unwrap().is_empty()
        );
        assert!(row["span"]["line"].as_u64() >= Some(2) && row["span"]["column"].as_u64() >= Some(1));
        assert!(row.as_object().unwrap().contains_key("help"));
    }
    assert!(!ended.rows().is_empty());
}

#[test]
fn warnings_leave_the_status_alone() {
    let folder = Folder::new();
    // Whether all lanes reach the barrier is decided at run time.
    let text = "kernel k(in x: u32[]) block 64 grid 1 {\n    let v: u32\n    ld.u32 v, x[%lane.x]\n    \
                set.eq.u32 p0, v, 0\n@p0 exit\n    bar.sync\n    exit\n}\n";
    folder.write("may.phx", text);
    folder.run("check may.phx").expect(0).says(&["warning", "may.phx:6"]);
    let rows = folder.run("check may.phx --json").expect(0).rows();
    assert!(rows.iter().any(|r| r["severity"] == "warning" && r["span"]["line"] == 6), "{rows:?}");
}

#[test]
fn files_of_the_wrong_kind_are_rejected() {
    let folder = Folder::with_add();
    folder.run("asm add.phx").expect(0);
    folder.write("bad.phxb", "PHXB and nonsense");
    folder.write("other.bin", [0xff, 0xfe, 0x00]);
    folder.run("asm none.phx").expect(1).says(&["cannot read `none.phx`"]);
    folder.run("asm add.phxb -o x.phxb").expect(1).says(&["binary module already"]);
    folder.run("dis add.phx").expect(1).says(&["phalanx asm"]);
    folder.run("dis bad.phxb").expect(1).says(&["bad.phxb"]);
    folder.run("check bad.phxb").expect(1).says(&["no Phalanx module"]);
    folder.run("check other.bin").expect(1).says(&["UTF-8"]);
    folder.run("asm add.phx -o none/x.phxb").expect(1).says(&["cannot write `none/x.phxb`"]);
    folder.run("test add.phxb").expect(1).says(&["program text"]);
}

#[test]
fn tests_inside_program_files() {
    let folder = Folder::with_add();
    folder.write("fails.phx", ADD.replace("1.5 2.5 3.5", "1.5 2.5 4"));
    folder.write("none.phx", "kernel k() { exit }\n");
    folder.write("typo.phx", ADD.replace("expect", "exepct"));
    let passed = folder.run("test add.phx").expect(0).says(&["1 passed, 0 failed in 1 file"]);
    assert_eq!(passed.stdout, "ok      add.phx small\n");
    folder.run("test add.phx --executor reference --threads 1 --simd scalar").expect(0);

    let failed = folder.run("test fails.phx add.phx").expect(1);
    let failed = failed.says(&["fails.phx:", "y[2] is 3.5, expected 4", "1 passed, 1 failed in 2 files"]);
    assert_eq!(failed.stdout, "FAILED  fails.phx small\nok      add.phx small\n");
    let rows = folder.run("test fails.phx add.phx --json").expect(1).rows();
    assert_eq!(rows.iter().map(|r| r["passed"].as_bool()).collect::<Vec<_>>(), [Some(false), Some(true)]);

    folder.run("test none.phx").expect(1).says(&["no test"]);
    folder
        .run("test typo.phx add.phx")
        .expect(1)
        .says(&["exepct", "1 passed, 0 failed in 2 files, 1 file not run"]);
    folder.run("test missing.phx add.phx").expect(1).says(&["missing.phx", "1 passed"]);
}

#[test]
fn explain_tells_which_algorithm_a_convolution_takes() {
    let folder = Folder::new();
    let told = folder.run_with("explain --conv", &["28x28 64->64 3x3 p1"]).expect(0).stdout;
    assert!(
        told.contains("i8  direct: integers") && told.contains("f32  winograd: 3x3 f32 filters"),
        "{told}"
    );
    let rows = folder.run_with("explain --json --conv", &["28x28 64->64 3x3 p1 fft"]).expect(0).rows();
    let refused = |row: &serde_json::Value| row["refused"].as_str().is_some_and(|t| t.contains("not exact"));
    assert_eq!(rows.iter().filter(|r| refused(r)).count(), 2, "{rows:?}");
    assert_eq!(rows.last().unwrap()["algorithm"], "fft");
    let wrong = folder.run_with("explain --conv", &["8x8 4->4 3x3 s2 winograd"]).expect(1).stderr;
    assert!(wrong.contains("stride and dilation 1"), "{wrong}");
}

#[test]
fn explain_tells_what_every_line_costs() {
    let folder = Folder::with_add();
    let told = folder.run("explain add.phx").expect(0);
    let line =
        |what: &str| told.stdout.lines().find(|l| l.contains(what)).unwrap_or_else(|| panic!("{told:#?}"));
    assert!(line("cpu ").contains("core") && line("measured").contains("GB/s"));
    assert!(line("x  f32[]").contains("read only") && line("y  f32[]").contains("written"));
    assert!(line("order ").contains("order-free"));
    assert!(line("len.u32 n, y").contains("uniform, once a block"));
    assert!(line("ld.f32 v, x[i]").starts_with("   8") && line("ld.f32 v, x[i]").contains("contiguous"));
    assert!(line("@past exit").contains("divergent branch"));
    assert!(line("add.f32 v, v, by").contains("every lane"));
    assert_eq!(told.stdout.lines().find(|l| l.chars().count() > 80), None);

    folder.run("asm add.phx").expect(0);
    let binary = folder.run("explain add.phxb").expect(0).stdout;
    assert!(binary.contains("ld.f32 v, x[i]") && binary.contains("contiguous"), "{binary}");

    let rows = folder.run("explain add.phx --json").expect(0).rows();
    assert!(rows[0]["read_gb_per_s"].as_f64() > Some(0.0) && rows[0]["threads"].as_u64() >= Some(1));
    assert_eq!((rows[1]["kernel"].as_str(), rows[1]["order_free"].as_bool()), (Some("add"), Some(true)));
    assert_eq!(rows[1]["lines"].as_array().map(Vec::len), Some(8));
    assert!(folder.run("explain").expect(0).stdout.contains("SIMD"));
}
