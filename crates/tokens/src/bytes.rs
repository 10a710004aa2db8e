//! Bytes as visible characters, as vocabularies of byte-level BPE write them.
//!
//! Printable characters of Latin-1 stand for themselves; the other 68 bytes, ascending, for the characters from U+0100 on.

/// Whether a byte stands for itself.
fn is_plain(b: u8) -> bool {
    matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

/// The character of each byte.
pub(crate) fn characters() -> [char; 256] {
    let mut next = 0x100u32;
    std::array::from_fn(|b| {
        let b = b as u8;
        if is_plain(b) {
            return char::from(b);
        }
        next += 1;
        // U+0100 to U+0143 are characters.
        char::from_u32(next - 1).unwrap_or(char::REPLACEMENT_CHARACTER)
    })
}

/// The bytes of a token's text; characters that stand for no byte are themselves, in UTF-8.
pub(crate) fn bytes_of(token: &str) -> Vec<u8> {
    let all = characters();
    let mut out = Vec::with_capacity(token.len());
    for c in token.chars() {
        match c {
            c if u32::from(c) < 0x100 && is_plain(c as u8) => out.push(c as u8),
            c => match all.iter().position(|a| *a == c) {
                Some(b) => out.push(b as u8),
                None => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            },
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        let all = characters();
        for b in 0..=255u8 {
            assert_eq!(bytes_of(&all[usize::from(b)].to_string()), [b]);
        }
        assert_eq!((all[0x20], all[0x0a], all[0xad]), ('Ġ', 'Ċ', 'Ń'));
    }
}
