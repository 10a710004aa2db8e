//! Tests inside program files, as `phalanx test` runs them.

use crate::cpu;
use phalanx::testing::{parse, run};
use phalanx::{Type, data};

const PROGRAM: &str = "
//= test adds
//=   n = 5
//=   x = f32: 1 2 3 4
//=       nan
//=   y = zeros f32 5
//=   expect y = f32: 1.5 2.5 3.5 4.5 nan
//=
//= test adds_in_parts kernel add
//=   grid 3
//=   n = 5
//=   x = iota f32 5
//=   y = random f32 5 1 -1 1
//=   block 4
//=   expect y = file want.npy within 1e-6
//=   expect x = iota f32 5
//=
//= test too_short
//=   n = 5
//=   x = zeros f32 5
//=   y = zeros f32 4
//=   expect trap out_of_bounds
kernel add(in x: f32[], inout y: f32[], n: u32) block 4 grid ceil(n, 4) {
    let i: u32; let v: f32
    mov.u32     i, %global.x
    set.ge.u32  p0, i, n
@p0 exit
    ld.f32      v, x[i]
    add.f32     v, v, 0.5
    st.f32      y[i], v
    exit
}
";

/// Runs all tests of a text and gives the messages of those that fail.
fn run_all(text: &str) -> Vec<String> {
    let cpu = cpu();
    let program = cpu.load(text).unwrap();
    let dir = std::env::temp_dir().join(format!("phalanx-program-tests-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let want = data::bytes_of(Type::F32, (0..5).map(|i| (i as f32 + 0.500_000_1).to_bits().into()));
    data::write_npy(dir.join("want.npy"), data::Data { elem: Type::F32, shape: vec![5], bytes: want })
        .unwrap();
    let cases = parse(text).unwrap();
    assert!(!cases.is_empty());
    cases.iter().filter_map(|c| run(&cpu, &program, c, &dir).err()).map(|f| f.to_string()).collect()
}

#[test]
fn right_programs_pass() {
    assert_eq!(run_all(PROGRAM), Vec::<String>::new());
}

#[test]
fn wrong_programs_fail_with_what_differs() {
    let text = PROGRAM.replace("add.f32     v, v, 0.5", "add.f32     v, v, 0.75");
    let failures = run_all(&text);
    assert_eq!(failures.len(), 2, "{failures:#?}");
    assert!(failures[0].contains("test `adds` (line 7)"), "{}", failures[0]);
    assert!(failures[0].contains("4 of 5 elements differ\n  y[0] is 1.75, expected 1.5"), "{}", failures[0]);
    assert!(failures[1].contains("test `adds_in_parts`"), "{}", failures[1]);
}

#[test]
fn tests_that_do_not_fit_their_kernel_fail() {
    let with = |lines: &str| {
        let text = format!("{lines}kernel k(inout x: u8[], in xs: u8[][2]) block 1 grid 1 {{ exit }}");
        run_all(&text).join("\n")
    };
    let full = "//= test t\n//= x = u8: 1\n//= xs[0] = u8: 1\n//= xs[1] = u8: 2\n";
    assert_eq!(with(&format!("{full}//= expect x = u8: 1\n//= expect xs[1] = u8: 2\n")), "");
    for (lines, part) in [
        ("//= expect x = u8: 2\n", "x[0] is 1, expected 2"),
        ("//= expect x = u8: 1 1\n", "has 1 elements, 2 are expected"),
        ("//= expect x = i8: 1\n", "holds u8, not i8"),
        ("//= expect z = u8: 1\n", "`z` is no buffer"),
        ("//= expect xs = u8: 1\n", "`xs` is no buffer"),
        ("//= expect trap fuel\n", "ran to its end"),
        ("//= expect x = file nowhere.npy\n", "nowhere.npy"),
        ("//= z = 1\n//= expect x = u8: 1\n", "no parameter `z`"),
        ("//= xs = u8: 1\n//= expect x = u8: 1\n", "write `xs[0]` to `xs[1]`"),
    ] {
        let message = with(&format!("{full}{lines}"));
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
    let message = with("//= test t\n//= x = u8: 1\n//= xs[1] = u8: 2\n//= expect x = u8: 1\n");
    assert!(message.contains("`xs[0]` has no value"), "{message}");
    let message = with("//= test t kernel other\n//= x = u8: 1\n//= expect x = u8: 1\n");
    assert!(message.contains("no kernel `other`"), "{message}");
    let message = with("//= test t\n//= x = 5\n//= expect x = u8: 1\n");
    assert!(message.contains("`x` is an `inout` buffer of u8"), "{message}");
}
