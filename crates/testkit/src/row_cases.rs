//! The rows of the tables as kernels of one instruction.

use crate::emit::{FuncWriter, GLOBAL, KernelWriter, element};
use crate::ops::type_of;
use crate::{ArgSpec, Case, Rng, values};
use phalanx_isa::{Access, Mnemonic, Operand, Role, Type, parse_mnemonic};

/// A row made into a kernel: which lane holds it, and what must be there.
pub struct RowCase {
    /// The launch.
    pub case: Case,
    /// The lanes that hold the row's operands; the others hold anything that does not trap.
    pub lanes: Vec<usize>,
    /// Type of the result; predicates are shown as u8.
    pub ty: Type,
    /// The result's bits, or the trap's name.
    pub expected: Result<u64, &'static str>,
}

/// Lanes of the launch of a row.
pub const LANES: usize = 40;

/// A row with its operands in registers that vary (`None`: everywhere the same and uniform) in the given lane; the other lanes
/// hold `fill`, the inputs of another row of the same mnemonic.
///
/// # Panics
/// If a row is not one of an operation with sources and one destination, or its text is no number.
pub fn row_case(
    row: &(&'static str, &'static [&'static str], &'static str),
    fill: &[&str],
    lane: Option<usize>,
    rng: &mut Rng,
) -> RowCase {
    let m: Mnemonic = parse_mnemonic(row.0).unwrap_or_else(|e| panic!("{}: {e:?}", row.0));
    let places: Vec<_> = m.op.info().args.iter().collect();
    let mut k = KernelWriter::new();
    let mut f = FuncWriter::new("k");
    let mut args = Vec::new();
    let mut operands = Vec::new();
    let mut list = Vec::new();
    let mut input = 0;
    let dest = places.iter().find(|a| a.role == Role::W).map(|a| type_of(&m, a.ty));
    let ty = dest.unwrap_or_else(|| panic!("{}: no destination", row.0));
    let stored = if ty == Type::Pred { Type::U8 } else { ty };
    let d = f.var(ty);
    let mut source = |ty: Type, at: usize, f: &mut FuncWriter, k: &mut KernelWriter| {
        let bits = |text: &str| values::parse(text, ty).unwrap_or_else(|| panic!("{}: {text}", row.0));
        let own = bits(row.1[at]);
        let stored = if ty == Type::Pred { Type::U8 } else { ty };
        let from = match lane {
            None if ty != Type::Pred && rng.one_in(2) => return Operand::Imm(own),
            None => {
                args.push(ArgSpec::Scalar(stored, own));
                k.scalar(stored)
            }
            Some(lane) => {
                let other = bits(fill.get(at).unwrap_or(&row.1[at]));
                let all: Vec<u64> = (0..LANES).map(|l| if l == lane { own } else { other }).collect();
                args.push(ArgSpec::Buffer(stored, values::to_bytes(stored, &all)));
                element(k.buffer(stored, Access::In), &GLOBAL, 0)
            }
        };
        let r = f.reg(stored);
        f.op(&format!("{}.{stored}", if lane.is_some() { "ld" } else { "mov" }), &[&r, &from]);
        if ty != Type::Pred {
            return r;
        }
        let p = f.pred();
        f.op("set.ne.u8", &[&p, &r, &Operand::Imm(0)]);
        p
    };
    for arg in &places {
        match arg.role {
            Role::W => operands.push(d.clone()),
            Role::List => {
                while input < row.1.len() {
                    list.push(source(type_of(&m, arg.ty), input, &mut f, &mut k));
                    input += 1;
                }
                operands.push(Operand::List(std::mem::take(&mut list)));
            }
            _ => {
                operands.push(source(type_of(&m, arg.ty), input, &mut f, &mut k));
                input += 1;
            }
        }
    }
    f.push(m, None, operands);
    args.push(ArgSpec::Buffer(stored, vec![0; LANES * stored.bytes()]));
    let out = element(k.buffer(stored, Access::Out), &GLOBAL, 0);
    if ty == Type::Pred {
        let r = f.reg(Type::U8);
        f.op("sel.u8", &[&r, &Operand::Imm(1), &Operand::Imm(0), &d]);
        f.op("st.u8", &[&out, &r]);
    } else {
        f.op(&format!("st.{ty}"), &[&out, &d]);
    }
    f.op("exit", &[]);
    let mut case = Case::new(k.finish(vec![f]), args);
    case.block = [LANES as u32, 1, 1];
    let expected = match row.2.strip_prefix("trap ") {
        Some(name) => Err(name),
        None => Ok(values::parse(row.2, ty).unwrap_or_else(|| panic!("{}: {}", row.0, row.2))),
    };
    RowCase { case, lanes: lane.map_or((0..LANES).collect(), |l| vec![l]), ty, expected }
}
