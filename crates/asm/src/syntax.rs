//! How an operation is written, for help texts.

use phalanx_isa::{Mnemonic, Role};

/// The instruction with the names of its operands: `ld.f32 d, src[i]`.
pub(crate) fn syntax(m: &Mnemonic) -> String {
    let mut out = m.to_string();
    for (i, arg) in m.op.info().args.iter().enumerate() {
        out.push_str(if i == 0 { " " } else { ", " });
        match arg.role {
            Role::Load | Role::Store | Role::Atomic | Role::Out | Role::Input => {
                out.push_str(&format!("{}[i]", arg.name));
            }
            Role::Dests | Role::Srcs | Role::List => out.push_str(&format!("({}...)", arg.name)),
            _ => out.push_str(arg.name),
        }
    }
    out
}
