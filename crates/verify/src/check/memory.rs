//! Memory operands and whole objects.

use super::instructions::Checker;
use crate::analysis::mode;
use crate::codes;
use crate::vars::Var;
use phalanx_isa::{Access, Arg, Base, Effect, Kind, Mem, Operand, ParamKind, PlaceItem, Role, Space, Type};

/// Most elements of a displacement, either way.
const DISPLACEMENT: u64 = 1 << 40;

/// The item that declares an object.
pub(super) fn item(base: Base) -> PlaceItem {
    match base {
        Base::Param(p) => PlaceItem::Param(p),
        Base::Shared(s) => PlaceItem::Shared(s),
        Base::Private(p) => PlaceItem::Private(p),
    }
}

fn space_word(space: Space) -> &'static str {
    match space {
        Space::Global => "global memory",
        Space::Shared => "shared memory",
        Space::Private => "private memory",
    }
}

/// A memory element of type `ty`.
pub(super) fn element(c: &mut Checker<'_, '_>, n: u8, arg: &Arg, m: &Mem, ty: Type) {
    let kernel = c.report.kernel;
    let at = c.item(n);
    // What is there.
    let (held, access, count) = match m.base {
        Base::Param(p) => match kernel.params.get(p as usize).map(|p| (&p.kind, &p.name)) {
            Some((ParamKind::Buffer { elem, access, count }, _)) => (*elem, Some(*access), *count),
            Some((_, name)) => {
                let message = format!("`{name}` is not a buffer");
                c.report.add(codes::NO_OBJECT, c.f, at, message, "").also(0, item(m.base), "declared here");
                return index_operand(c, n, &m.index);
            }
            None => return missing(c, n, m.base),
        },
        Base::Shared(s) => match kernel.shared.get(s as usize) {
            Some(a) => (a.elem, None, None),
            None => return missing(c, n, m.base),
        },
        Base::Private(p) => match kernel.private.get(p as usize) {
            Some(a) => (a.elem, None, None),
            None => return missing(c, n, m.base),
        },
    };
    let name = c.report.names(c.f).base(m.base);
    space(c, n, m.base, &name);
    if held != ty {
        elem_type(c, n, arg, m.base, &name, held, ty);
    }
    direction(c, n, arg, m.base, access, &name);
    which(c, n, m, count, &name);
    index_operand(c, n, &m.index);
    if m.disp.unsigned_abs() > DISPLACEMENT {
        let message = format!("a displacement of {} elements is too large", m.disp);
        c.report.add(codes::DISPLACEMENT, c.f, at, message, "").help("add it to the index");
    }
}

fn missing(c: &mut Checker<'_, '_>, n: u8, base: Base) {
    let message = format!("the kernel has no {}", c.report.names(c.f).base(base));
    c.report.add(codes::NO_OBJECT, c.f, c.item(n), message, "");
}

/// The space that the mnemonic names is the operand's.
fn space(c: &mut Checker<'_, '_>, n: u8, base: Base, name: &str) {
    let actual = match base {
        Base::Param(_) => Space::Global,
        Base::Shared(_) => Space::Shared,
        Base::Private(_) => Space::Private,
    };
    let named = mode(c.inst, |m| m.name == "Space" || m.name == "SharedSpace");
    // Operations without a space word take global memory. `SharedSpace` numbers its words as `Space` does.
    let named = named.and_then(Space::from_code).unwrap_or(Space::Global);
    if named == actual {
        return;
    }
    let mnemonic = c.mnemonic();
    let message = format!("`{mnemonic}` takes {}, but `{name}` is {}", space_word(named), space_word(actual));
    let op = c.inst.op;
    let added = c.report.add(codes::SPACE, c.f, c.item(n), message, "").also(0, item(base), "declared here");
    if c.inst.op.info().kind != Kind::Native {
        let word = actual.name();
        let dot = if word.is_empty() { "" } else { "." };
        added.help(format!("write `{op}{dot}{word}`"));
    }
}

fn elem_type(c: &mut Checker<'_, '_>, n: u8, arg: &Arg, base: Base, name: &str, held: Type, ty: Type) {
    let verb = match arg.role {
        Role::Load | Role::Input => "loads",
        Role::Store | Role::Out => "stores",
        _ => "updates",
    };
    let message = format!("`{}` {verb} {ty}, but `{name}` holds {held}", c.mnemonic());
    // Where the form exists for the held type, the mnemonic is at fault as often as the operand.
    let mut fixed = c.inst.mnemonic();
    fixed.ty = Some(held);
    let fits = arg.ty == phalanx_isa::ArgType::T && c.inst.op.info().allows(fixed.modes, fixed.ty, fixed.ty2);
    let help = c.report.names(c.f).with_type(c.inst, held).filter(|_| fits);
    let (place, label) = match fits {
        true => (PlaceItem::Inst(c.i), format!("expected `{fixed}`")),
        false => (c.item(n), format!("expected memory of {ty}")),
    };
    let added =
        c.report.add(codes::ELEM_TYPE, c.f, place, message, label).also(0, item(base), "declared here");
    if let Some(text) = help {
        added.help(format!("write `{text}`"));
    }
}

fn direction(c: &mut Checker<'_, '_>, n: u8, arg: &Arg, base: Base, access: Option<Access>, name: &str) {
    let Some(access) = access else { return };
    let atomic = c.inst.op.info().has(Effect::MemAtomic);
    let (wrong, wanted) = match (access, arg.role) {
        (Access::In | Access::Out, _) if atomic => ("accesses atomically", "inout"),
        (Access::In, Role::Store | Role::Out) => ("writes", "out` or `inout"),
        (Access::Out, Role::Load | Role::Input) => ("reads", "inout"),
        _ => return,
    };
    let word = match access {
        Access::In => "an `in`",
        Access::Out => "an `out`",
        Access::InOut => "an `inout`",
    };
    let message = format!("what `{}` {wrong}, `{name}`, is {word} buffer", c.mnemonic());
    c.report
        .add(codes::ACCESS, c.f, c.item(n), message, "")
        .also(0, item(base), "declared here")
        .help(format!("declare it `{wanted}`"));
}

/// The index that selects a buffer.
fn which(c: &mut Checker<'_, '_>, n: u8, m: &Mem, count: Option<u32>, name: &str) {
    let at = c.item(n);
    match (count, &m.which) {
        (None, None) => {}
        (None, Some(_)) => {
            let message = format!("`{name}` is not an array of buffers");
            c.report.add(codes::WHICH, c.f, at, message, "").also(0, item(m.base), "declared here");
        }
        (Some(k), None) => {
            let message = format!("`{name}` is an array of {k} buffers; which one is meant is missing");
            c.report
                .add(codes::WHICH, c.f, at, message, "")
                .also(0, item(m.base), "declared here")
                .help(format!("write `{name}[k][i]`"));
        }
        (Some(k), Some(Operand::Imm(i))) if *i >= u64::from(k) => {
            let message = format!("`{name}` has the buffers 0 to {}, not {i}", k.saturating_sub(1));
            c.report.add(codes::WHICH, c.f, at, message, "").also(0, item(m.base), "declared here");
        }
        (Some(_), Some(o)) => index_operand(c, n, o),
    }
}

/// An index: any number, special register, or a register or scalar of an index type.
fn index_operand(c: &mut Checker<'_, '_>, n: u8, o: &Operand) {
    let at = c.item(n);
    let names = c.report.names(c.f);
    let (shown, ty, place) = match o {
        Operand::Imm(_) | Operand::Special(_) => return,
        Operand::Reg(r) => {
            if !c.declared(Var::Reg(*r), at) {
                return;
            }
            let ty = c.func.regs[*r as usize].as_ref().map(|r| r.ty);
            (names.reg(*r), ty, (c.f, PlaceItem::Reg(*r)))
        }
        Operand::Param(p) => match c.report.kernel.params.get(*p as usize).map(|p| &p.kind) {
            Some(ParamKind::Scalar(t)) => (names.base(Base::Param(*p)), Some(*t), (0, PlaceItem::Param(*p))),
            Some(_) => (names.base(Base::Param(*p)), None, (0, PlaceItem::Param(*p))),
            None => return missing(c, n, Base::Param(*p)),
        },
        Operand::Pred(_)
        | Operand::Mem(_)
        | Operand::Object(_)
        | Operand::Label(_)
        | Operand::Func(_)
        | Operand::List(_) => {
            c.sound = false;
            let message =
                "an index is a number, a register, a special register or a scalar parameter".to_string();
            c.report.add(codes::INDEX, c.f, at, message, "");
            return;
        }
    };
    if ty.is_some_and(Type::is_index) {
        return;
    }
    let is = ty.map_or("not a scalar".to_string(), |t| t.to_string());
    let message = format!("`{shown}` cannot be an index: it is {is}");
    c.report.add(codes::INDEX, c.f, at, message, "expected i32, i64, u32 or u64").also(
        place.0,
        place.1,
        "declared here",
    );
}

/// A buffer, array or packed parameter as a whole.
pub(super) fn object(c: &mut Checker<'_, '_>, n: u8, arg: &Arg, base: Base) {
    let kernel = c.report.kernel;
    let packed = arg.role == Role::Packed;
    let fits = match base {
        Base::Param(p) => kernel.params.get(p as usize).map(|p| match p.kind {
            ParamKind::Packed { format, .. } => packed && c.inst.op.info().packed.contains(&format),
            ParamKind::Buffer { count, .. } => !packed && count.is_none(),
            ParamKind::Scalar(_) => false,
        }),
        Base::Shared(s) => kernel.shared.get(s as usize).map(|_| !packed),
        Base::Private(p) => kernel.private.get(p as usize).map(|_| !packed),
    };
    match fits {
        Some(true) => {}
        None => missing(c, n, base),
        Some(false) => {
            let formats: Vec<&str> = c.inst.op.info().packed.iter().map(|f| f.name()).collect();
            let wanted = match packed {
                true => format!("a packed parameter ({})", formats.join(", ")),
                false => "a single buffer or an array".into(),
            };
            let name = c.report.names(c.f).base(base);
            let message = format!("`{}` takes {wanted}, which `{name}` is not", c.mnemonic());
            c.report.add(codes::NO_OBJECT, c.f, c.item(n), message, "").also(0, item(base), "declared here");
        }
    }
}
