//! Places in a module lead back to the text.
use phalanx_asm::{assemble, disassemble, span_in_module};
use phalanx_isa::{Place, PlaceItem, Span};

const TEXT: &str = "kernel first() { exit }
kernel second(in x: f32[], n: u32) {
    shared part: f32[4]
    private tmp: f32[4]
    let a, b: f32; let q: pred
    set.lt.u32 p1, n, 7
@!q ld.f32 a, x[r9 + 1]
    add.u32 r9, r9, 1
    exit
    func twice(c: f32) -> (d: f32) {
        add.f32 d, c, c
        ret
    }
}";

/// What stands at a span.
fn text(span: Span) -> &'static str {
    let line = TEXT.lines().nth(span.line as usize - 1).unwrap();
    &line[span.col as usize - 1..(span.col + span.len) as usize - 1]
}

#[test]
fn places_have_spans() {
    let a = assemble("t.phx", TEXT).unwrap_or_else(|d| panic!("{d:#?}"));
    let at = |func: u16, item: PlaceItem| text(a.map.span(&Place { kernel: 1, func, item }));
    assert_eq!(at(0, PlaceItem::Kernel), "second");
    assert_eq!(at(0, PlaceItem::Param(0)), "in x: f32[]");
    assert_eq!(at(0, PlaceItem::Param(1)), "n: u32");
    assert_eq!(at(0, PlaceItem::Shared(0)), "part");
    assert_eq!(at(0, PlaceItem::Private(0)), "tmp");
    assert_eq!(at(0, PlaceItem::Reg(1)), "b");
    assert_eq!(at(0, PlaceItem::Reg(9)), "r9");
    assert_eq!(at(0, PlaceItem::Pred(0)), "q");
    assert_eq!(at(0, PlaceItem::Pred(1)), "p1");
    assert_eq!(at(0, PlaceItem::Inst(0)), "set.lt.u32");
    assert_eq!(at(0, PlaceItem::Guard(0)), "set.lt.u32");
    assert_eq!(at(0, PlaceItem::Guard(1)), "@!q");
    assert_eq!(at(0, PlaceItem::Operand(1, 1)), "x[r9 + 1]");
    assert_eq!(at(0, PlaceItem::Operand(2, 2)), "1");
    assert_eq!(at(1, PlaceItem::Func), "twice");
    assert_eq!(at(1, PlaceItem::Reg(1)), "d");
    assert_eq!(at(1, PlaceItem::Operand(0, 2)), "c");
    let nowhere = Place { kernel: 7, func: 0, item: PlaceItem::Kernel };
    assert_eq!(a.map.span(&nowhere), Span::default());
    assert_eq!(span_in_module(&a.module, &nowhere).line, 0);
}

#[test]
fn modules_without_text_know_lines() {
    let module = assemble("t.phx", TEXT).unwrap().module;
    // Through the disassembler too: its text has other lines, the module keeps the old ones.
    let module = assemble("other", &disassemble(&module).unwrap()).unwrap().module;
    let at = |item| span_in_module(&module, &Place { kernel: 1, func: 0, item });
    assert_eq!(at(PlaceItem::Operand(1, 1)), Span { line: 7, col: 5, len: 1 });
    assert_eq!(at(PlaceItem::Kernel), Span { line: 2, col: 1, len: 1 });
    assert_eq!(at(PlaceItem::Shared(0)).line, 3);
}
