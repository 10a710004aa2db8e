//! Writing names: plain where possible, quoted where a name would mean something else.

use crate::parse::plain;
use std::borrow::Cow;

/// The inside of a string or quoted name that stands for `text`.
pub(crate) fn escape(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{{{:x}}}", c as u32));
            }
            c => out.push(c),
        }
    }
    out
}

/// A name as program text.
pub(crate) fn ident(name: &str) -> Cow<'_, str> {
    let first = name.bytes().next();
    let is_name = first.is_some_and(|b| !b.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_name && plain(name).is_none() && !matches!(name, "inf" | "nan") {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(format!("`{}`", escape(name, '`')))
    }
}
