//! What is wrong usage is refused with status 2 and says why.

use crate::support::{Folder, floats, npy};

#[test]
fn wrong_usage_has_status_2() {
    let folder = Folder::with_add();
    folder.write("two.phx", "kernel a() block 1 grid 1 { exit }\nkernel b() block 1 grid 1 { exit }\n");
    folder.write("x.npy", npy("<f4", 2, &floats(&[1.0, 2.0])));
    let cases: &[(&str, &[&str])] = &[
        ("", &["Usage"]),
        ("nonsense", &["nonsense"]),
        ("asm", &["SRC.phx"]),
        ("asm add.phx -o add.phx", &["overwrite"]),
        ("check add.phx --nonsense", &["--nonsense"]),
        ("completions tcsh", &["tcsh"]),
        ("demo", &["EXAMPLE"]),
        ("demo letters", &["letters"]),
        ("bench", &["NAME"]),
        ("bench nonsense", &["nonsense"]),
        ("test", &["FILE.phx"]),
        // The device.
        ("test add.phx --executor nonsense", &["--executor", "reference"]),
        ("test add.phx --simd nonsense", &["--simd", "scalar"]),
        ("test add.phx --threads 0", &["--threads"]),
        ("test add.phx --threads 1 --threads 2", &["--threads"]),
        // Sizes.
        ("run add.phx --grid 1,1,1,1", &["three"]),
        ("run add.phx --grid x", &["--grid"]),
        ("run add.phx --fuel x", &["--fuel"]),
        ("run add.phx --class 96", &["--class"]),
        ("run add.phx --schedule-seed x", &["--schedule-seed"]),
        ("run add.phx --schedule-seed 1 --deterministic", &["--schedule-seed", "--deterministic"]),
        ("run add.phx --phase 768", &["--phase"]),
        ("run add.phx --explore 4", &["--sanitize"]),
        ("run add.phx --sanitize race --explore 0", &["--explore"]),
        ("run add.phx --sanitize race --explore 4 --schedule-seed 1", &["--schedule-seed"]),
        ("run add.phx --sanitize race --explore 4 --print y", &["--print"]),
        ("replay", &["BUNDLE"]),
        // What does not fit the kernel.
        ("run two.phx", &["--kernel", "a, b"]),
        ("run two.phx --kernel c", &["`c`", "a, b"]),
        ("run two.phx --kernel a --shared 4", &["shared"]),
        ("run two.phx --kernel a --block 2", &["block"]),
        ("run add.phx --arg x", &["NAME=VALUE"]),
        ("run add.phx --arg z=1", &["`z`", "x, y, by"]),
        ("run add.phx --arg by=nonsense", &["by", "f32"]),
        ("run add.phx --arg by=1 --arg by=2", &["twice"]),
        ("run add.phx --arg x=zeros:f32", &["zeros:DTYPE:SHAPE"]),
        ("run add.phx --arg x=zeros:f31:4", &["f31", "f32"]),
        ("run add.phx --arg x=zeros:u32:4", &["f32"]),
        ("run add.phx --arg x=zeros:f32:4y4", &["4x8"]),
        ("run add.phx --arg x=random:f32:4", &["SEED"]),
        ("run add.phx --arg x=random:f32:4:-1", &["seed"]),
        ("run add.phx --arg x=3", &["FILE.npy"]),
        ("run add.phx --arg x=x.npy --arg y=zeros:f32:2 --grid 1 --block 4", &["by", "--arg"]),
        ("run add.phx --arg x=x.npy --arg y=zeros:f32:2 --arg by=1 --grid 1", &["--block"]),
        ("run add.phx --arg x=x.npy --arg y=zeros:f32:2 --arg by=1 --block 4", &["--grid"]),
        ("run add.phx --arg x=x.npy --out z=z.npy", &["`z`", "x"]),
        ("run add.phx --arg x=x.npy --print z", &["`z`"]),
        ("run add.phx --arg x=x.npy --print x[1]", &["no 1"]),
    ];
    for (args, texts) in cases {
        let ended = folder.run(args).expect(2).says(texts);
        assert_eq!(ended.stdout, "", "`{args}`: nothing goes to stdout");
    }
}

#[test]
fn what_is_not_built_is_refused_and_not_in_the_help() {
    let folder = Folder::with_add();
    folder.run("run add.phx --executor compiled").expect(2).says(&["not built yet"]);
    let help: String =
        ["", "run", "demo", "bench"].map(|c| folder.run(&format!("{c} --help")).expect(0).stdout).concat();
    assert!(!help.contains("compiled"), "it is in the help");
}

#[test]
fn a_level_that_the_machine_lacks_is_wrong_usage() {
    let folder = Folder::with_add();
    let lacking = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
    folder.run(&format!("test add.phx --simd {lacking}")).expect(2).says(&["no SIMD level", lacking]);
}

#[test]
fn help_and_version_go_to_stdout() {
    let folder = Folder::new();
    assert!(folder.run("--version").expect(0).stdout.starts_with("phalanx "));
    for command in [
        "asm",
        "dis",
        "check",
        "run",
        "replay",
        "test",
        "explain",
        "demo",
        "generate",
        "perplexity",
        "bench",
        "completions",
    ] {
        let help = folder.run(&format!("{command} --help")).expect(0);
        assert!(help.stdout.contains("Example") && help.stderr.is_empty(), "{help:#?}");
    }
}

#[test]
fn completions_of_every_shell_name_the_commands() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = folder.run(&format!("completions {shell}")).expect(0).stdout;
        assert!(script.contains("explain") && script.contains("executor"), "{shell}");
        assert!(!script.contains("compiled"), "{shell}");
    }
}
