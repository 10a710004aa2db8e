//! From places in a module back to the text.

use phalanx_isa::{Loc, Module, Place, PlaceItem, Span};

/// Where everything in a module stands in the text it was assembled from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceMap {
    pub(crate) kernels: Vec<KernelMap>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KernelMap {
    pub name: Span,
    pub params: Vec<Span>,
    pub shared: Vec<Span>,
    pub private: Vec<Span>,
    pub funcs: Vec<FuncMap>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FuncMap {
    pub name: Span,
    pub regs: Vec<Span>,
    pub preds: Vec<Span>,
    /// Mnemonic, guard and operands of every instruction, one after the other.
    pub spans: Vec<Span>,
    /// Where an instruction's spans begin.
    pub insts: Vec<u32>,
}

impl FuncMap {
    /// The n-th span of an instruction.
    fn part(&self, inst: u32, n: usize) -> Option<Span> {
        let from = *self.insts.get(inst as usize)? as usize;
        let to = self.insts.get(inst as usize + 1).map_or(self.spans.len(), |t| *t as usize);
        self.spans.get(from..to)?.get(n).copied()
    }
}

impl SourceMap {
    /// Where the place is in the text; line 0 where it is nowhere. A part that was not written (an absent guard) gives the
    /// instruction's mnemonic.
    pub fn span(&self, place: &Place) -> Span {
        self.find(place).unwrap_or_default()
    }

    fn find(&self, place: &Place) -> Option<Span> {
        let kernel = self.kernels.get(usize::from(place.kernel))?;
        let func = kernel.funcs.get(usize::from(place.func));
        let written = |span: Option<Span>| span.filter(|s| s.line > 0);
        match place.item {
            PlaceItem::Kernel => Some(kernel.name),
            PlaceItem::Param(n) => kernel.params.get(usize::from(n)).copied(),
            PlaceItem::Shared(n) => kernel.shared.get(usize::from(n)).copied(),
            PlaceItem::Private(n) => kernel.private.get(usize::from(n)).copied(),
            PlaceItem::Func => Some(func?.name),
            PlaceItem::Reg(n) => written(func?.regs.get(usize::from(n)).copied()).or(Some(func?.name)),
            PlaceItem::Pred(n) => written(func?.preds.get(usize::from(n)).copied()).or(Some(func?.name)),
            PlaceItem::Inst(i) => func?.part(i, 0),
            PlaceItem::Guard(i) => written(func?.part(i, 1)).or_else(|| func?.part(i, 0)),
            PlaceItem::Operand(i, n) => func?.part(i, 2 + usize::from(n)).or_else(|| func?.part(i, 0)),
        }
    }
}

/// Where the place was in the source of a module that came without its text: the line and column that the module records
/// for the declaration or instruction around it.
pub fn span_in_module(module: &Module, place: &Place) -> Span {
    let loc = (|| {
        let kernel = module.kernels.get(usize::from(place.kernel))?;
        let func = kernel.funcs.get(usize::from(place.func));
        Some(match place.item {
            PlaceItem::Kernel => kernel.loc,
            PlaceItem::Param(n) => kernel.params.get(usize::from(n))?.loc,
            PlaceItem::Shared(n) => kernel.shared.get(usize::from(n))?.loc,
            PlaceItem::Private(n) => kernel.private.get(usize::from(n))?.loc,
            PlaceItem::Func | PlaceItem::Reg(_) | PlaceItem::Pred(_) => func?.loc,
            PlaceItem::Inst(i) | PlaceItem::Operand(i, _) | PlaceItem::Guard(i) => {
                func?.code.get(i as usize)?.loc
            }
        })
    })()
    .unwrap_or(Loc::default());
    Span { line: loc.line, col: loc.col, len: 1 }
}
