//! The demo, measurements, and how the command behaves at the edges: closed pipes, Ctrl-C.

use crate::support::Folder;
use std::io::Read;
use std::process::Stdio;

#[test]
fn digits_are_read_from_any_folder() {
    let folder = Folder::new();
    let shown = folder.run("demo digits --threads 1").expect(0).stdout;
    assert_eq!(shown.matches("this is a").count(), 4, "{shown}");
    let last = shown.lines().last().unwrap();
    assert!(last.starts_with("353 of 360 right (98.1 %)   "), "{last}");
    assert!(last.ends_with(" images a second   every step a program in programs/digits/"), "{last}");

    let rows = folder.run("demo digits --json").expect(0).rows();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0]["images"].as_u64(), rows[0]["correct"].as_u64()), (Some(360), Some(353)));
    assert!(rows[0]["accuracy"].as_f64() > Some(0.98) && rows[0]["images_per_second"].as_f64() > Some(0.0));

    let rows = folder.run("demo digits --model conv --json").expect(0).rows();
    assert_eq!((rows[0]["images"].as_u64(), rows[0]["correct"].as_u64()), (Some(360), Some(359)));
}

#[test]
fn measurements_are_rows_of_one_form() {
    let folder = Folder::new();
    for name in ["launch", "assemble"] {
        let rows = folder.run(&format!("bench {name} --json --threads 1")).expect(0).rows();
        assert!(rows.len() >= 4, "{rows:?}");
        let keys = [
            "case",
            "unit",
            "ours",
            "rival",
            "ratio",
            "ratio_low",
            "ratio_high",
            "limit",
            "limit_fraction",
            "verified",
            "machine",
        ];
        for row in &rows {
            assert_eq!(row.as_object().unwrap().keys().collect::<Vec<_>>(), keys, "{row}");
            assert!(
                row["ours"].as_f64().is_some() && row["case"].is_string() && row["machine"].is_string(),
                "{row}"
            );
        }
        let checked = rows.iter().filter(|r| r["verified"] == true).count();
        assert_eq!(checked, usize::from(name == "assemble"), "a result of a program is checked");
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let folder = Folder::new();
    let body = "    add.u32 r0, 1, 2\n".repeat(20_000);
    folder.write("long.phx", format!("kernel k() {{\n{body}    exit\n}}\n"));
    folder.run("asm long.phx").expect(0);
    for args in ["dis long.phxb", "dis long.phxb --json", "completions zsh", "run --help"] {
        let mut child = folder.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 16];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.is_empty(), "`{args}`: {:?} {said}", output.status);
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_an_endless_launch() {
    use std::process::Command;
    let folder = Folder::new();
    folder.write("endless.phx", "kernel k() block 1 grid 1 {\nagain:\n    bra again\n}\n");
    for executor in ["auto", "reference"] {
        let mut child = folder
            .command(&format!("run endless.phx --executor {executor} --json"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Whether the launch has begun cannot be seen from outside; before it, Ctrl-C ends the command as well.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success() && child.try_wait().is_ok());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{executor}: {said}");
        assert!(said.contains("interrupted") && output.stdout.is_empty(), "{executor}: {said}");
    }
}
