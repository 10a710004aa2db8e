//! The test rows of the operation tables, evaluated by the reference's formulas.

use phalanx_exec::reference::eval;
use phalanx_isa::{ArgType, Class, Mnemonic, Role, Type, parse_mnemonic};
use phalanx_simd::half;

#[path = "../../testkit/src/rows.rs"]
mod rows;

/// The bits that a table's text stands for.
fn bits(text: &str, ty: Type) -> u64 {
    let mask = u64::MAX >> (64 - ty.bits());
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).unwrap();
    }
    match ty.class() {
        Class::Pred => text.parse::<u64>().unwrap(),
        Class::Sint | Class::Uint => text.parse::<i128>().unwrap() as u64 & mask,
        Class::Float => {
            // The halves' texts are short enough for the detour over f64 to be exact.
            let wide: f64 = text.parse().unwrap();
            match ty {
                Type::F16 => half::f64_to_f16(wide).into(),
                Type::Bf16 => half::f64_to_bf16(wide).into(),
                Type::F32 => text.parse::<f32>().unwrap().to_bits().into(),
                _ => wide.to_bits(),
            }
        }
    }
}

fn is_nan(v: u64, ty: Type) -> bool {
    match ty {
        Type::F16 => v & 0x7fff > 0x7c00,
        Type::Bf16 => v & 0x7fff > 0x7f80,
        Type::F32 => f32::from_bits(v as u32).is_nan(),
        Type::F64 => f64::from_bits(v).is_nan(),
        _ => false,
    }
}

#[test]
fn every_row_of_the_tables_holds() {
    assert!(rows::ROWS.len() > 150, "only {} rows", rows::ROWS.len());
    for (text, inputs, expected) in rows::ROWS {
        let m: Mnemonic = parse_mnemonic(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let args = m.op.info().args;
        let type_of = |ty: ArgType| match ty {
            ArgType::T => m.ty.unwrap(),
            ArgType::S => m.ty2.unwrap(),
            ArgType::Is(t) => t,
            ArgType::None => panic!("{text}: an operand without a type"),
        };
        let dest = type_of(args.iter().find(|a| a.role == Role::W).unwrap().ty);
        let places: Vec<Type> = args.iter().filter(|a| a.role != Role::W).map(|a| type_of(a.ty)).collect();
        // A list takes all further inputs.
        let sources: Vec<u64> =
            inputs.iter().enumerate().map(|(i, v)| bits(v, places[i.min(places.len() - 1)])).collect();
        let t = m.ty.unwrap_or(Type::U32);
        let got = eval(m.op, t, m.ty2.unwrap_or(t), m.modes, &sources)
            .unwrap_or_else(|| panic!("{text}: no formula"));
        match expected.strip_prefix("trap ") {
            Some(name) => assert_eq!(got.map_err(|k| k.name()), Err(name), "{text} {inputs:?}"),
            None => {
                let (got, want) = (got.unwrap(), bits(expected, dest));
                let same = got == want || (is_nan(got, dest) && is_nan(want, dest));
                assert!(same, "{text} {inputs:?}: {got:#x}, the table says {want:#x} ({expected})");
            }
        }
    }
}
