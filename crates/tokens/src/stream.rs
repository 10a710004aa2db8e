//! Tokens to text as they come: a character may be spread over several tokens.

use crate::Tokeniser;

/// Text of tokens that come one by one. Bytes that are no complete character yet wait for the next token; bytes that will never
/// be one become U+FFFD.
#[derive(Debug)]
pub struct Stream<'a> {
    tokeniser: &'a Tokeniser,
    waiting: Vec<u8>,
}

impl<'a> Stream<'a> {
    /// Nothing so far.
    pub fn new(tokeniser: &'a Tokeniser) -> Stream<'a> {
        Stream { tokeniser, waiting: Vec::new() }
    }

    /// The text that a token completes.
    pub fn push(&mut self, token: u32) -> String {
        self.waiting.extend_from_slice(self.tokeniser.piece(token));
        let mut out = String::new();
        loop {
            match std::str::from_utf8(&self.waiting) {
                Ok(text) => {
                    out.push_str(text);
                    self.waiting.clear();
                    return out;
                }
                Err(e) => {
                    let (good, rest) = self.waiting.split_at(e.valid_up_to());
                    out.push_str(&String::from_utf8_lossy(good));
                    // Without a length the end is only cut short: more may come.
                    let bad = e.error_len();
                    if bad.is_some() {
                        out.push(char::REPLACEMENT_CHARACTER);
                    }
                    self.waiting = rest[bad.unwrap_or(0)..].to_vec();
                    if bad.is_none() {
                        return out;
                    }
                }
            }
        }
    }

    /// What is left at the end.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.waiting).into_owned()
    }
}
