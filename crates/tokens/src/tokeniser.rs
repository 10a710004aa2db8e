//! A vocabulary and how text becomes its tokens.

use crate::TokensError;
use crate::bytes::{bytes_of, characters};
use crate::merge::{Piece, merge};
use crate::split::Split;
use phalanx_weights::{Array, Gguf, Value};
use regex::Regex;
use std::collections::HashMap;

/// What SentencePiece writes for a space.
const SPACE: &str = "\u{2581}";

/// Types of tokens, as files number them.
mod kind {
    pub(super) const UNKNOWN: i32 = 2;
    pub(super) const CONTROL: i32 = 3;
    pub(super) const USER: i32 = 4;
    pub(super) const UNUSED: i32 = 5;
    pub(super) const BYTE: i32 = 6;
}

/// Names of tokens that end an answer, beside the one that the file names.
const ENDS: [&str; 5] = ["<|eot_id|>", "<|end_of_text|>", "<|im_end|>", "<|end|>", "<|endoftext|>"];

/// Text to tokens and back.
#[derive(Debug)]
pub struct Tokeniser {
    /// The bytes of each token.
    pieces: Vec<Vec<u8>>,
    kinds: Vec<i32>,
    model: Model,
    /// The token of each byte.
    bytes: Vec<Option<u32>>,
    unknown: Option<u32>,
    /// Special tokens by their text, and how to find them.
    specials: HashMap<String, u32>,
    control: Option<Regex>,
    user: Option<Regex>,
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: bool,
    add_eos: bool,
    ends: Vec<u32>,
    template: Option<String>,
}

#[derive(Debug)]
enum Model {
    /// Merges by pair of tokens: rank and what they become.
    Bpe { split: Split, merges: HashMap<(u32, u32), (u64, u32)>, words: HashMap<Vec<u8>, u32> },
    /// Tokens by text, with ranks from their scores.
    Scores { tokens: HashMap<String, (u64, u32)>, space_first: bool },
}

/// A key's value of one type.
macro_rules! array {
    ($gguf:expr, $key:literal, $kind:ident) => {
        match $gguf.get(concat!("tokenizer.ggml.", $key)) {
            None => Ok(None),
            Some(Value::Array(Array::$kind(v))) => Ok(Some(v)),
            Some(v) => Err(TokensError::Key {
                key: $key,
                what: format!("{}; expected {}", v.shown(), stringify!($kind)),
            }),
        }
    };
}

/// A score as a rank: the larger the score, the smaller the rank. NaN is last.
fn rank(score: f32) -> u64 {
    let bits = score.to_bits();
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(if score.is_nan() { u32::MAX } else { !ordered })
}

/// Finds any of some texts, the longest first.
fn finder(all: &[&str]) -> Option<Regex> {
    let mut all: Vec<&str> = all.iter().copied().filter(|t| !t.is_empty()).collect();
    all.sort_by_key(|t| std::cmp::Reverse(t.len()));
    let escaped: Vec<String> = all.iter().map(|t| regex::escape(t)).collect();
    if escaped.is_empty() { None } else { Regex::new(&escaped.join("|")).ok() }
}

impl Tokeniser {
    /// Makes the tokeniser that a file's tables describe.
    ///
    /// # Errors
    /// Tables that are missing or do not fit each other, or a rule that is not known.
    pub fn of(gguf: &Gguf) -> Result<Tokeniser, TokensError> {
        let missing = |key| TokensError::Key { key, what: "missing".into() };
        let model = gguf.string("tokenizer.ggml.model").ok_or_else(|| missing("model"))?;
        let tokens = array!(gguf, "tokens", String)?.ok_or_else(|| missing("tokens"))?;
        let count = tokens.len();
        if count == 0 || count > i32::MAX as usize {
            return Err(TokensError::Key { key: "tokens", what: format!("{count} tokens") });
        }
        let kinds = array!(gguf, "token_type", I32)?.cloned().unwrap_or_else(|| vec![1; count]);
        if kinds.len() != count {
            return Err(TokensError::Key {
                key: "token_type",
                what: format!("{} for {count} tokens", kinds.len()),
            });
        }
        let id = |key| {
            let at = format!("tokenizer.ggml.{key}_token_id");
            let id = gguf.get(&at).and_then(Value::as_u64).filter(|id| *id < count as u64);
            // Below the number of tokens, which fits.
            id.map(|id| id as u32)
        };
        let flag = |key: &str| match gguf.get(&format!("tokenizer.ggml.{key}")) {
            Some(Value::Bool(v)) => Some(*v),
            _ => None,
        };
        let ids: HashMap<&str, u32> = (0..).zip(tokens).map(|(i, t)| (t.as_str(), i)).collect();
        let byte_level = match model {
            "gpt2" => true,
            "llama" => false,
            other => {
                return Err(TokensError::Unknown {
                    key: "model",
                    found: other.into(),
                    expected: "gpt2 or llama",
                });
            }
        };
        let is_special = |i: usize| matches!(kinds[i], kind::CONTROL | kind::USER | kind::UNKNOWN);
        let pieces: Vec<Vec<u8>> = tokens
            .iter()
            .enumerate()
            .map(|(i, t)| match (byte_level, kinds[i]) {
                _ if is_special(i) => t.clone().into_bytes(),
                (true, _) => bytes_of(t),
                (false, kind::BYTE) => byte_of(t).map_or_else(Vec::new, |b| vec![b]),
                (false, _) => t.replace(SPACE, " ").into_bytes(),
            })
            .collect();
        let bytes: Vec<Option<u32>> = if byte_level {
            characters().iter().map(|c| ids.get(c.to_string().as_str()).copied()).collect()
        } else {
            (0..=255u8).map(|b| ids.get(format!("<0x{b:02X}>").as_str()).copied()).collect()
        };
        let model = if byte_level {
            let merges = array!(gguf, "merges", String)?.ok_or_else(|| missing("merges"))?;
            let mut known = HashMap::with_capacity(merges.len());
            for (rank, pair) in merges.iter().enumerate() {
                // The first character may itself be a space in no vocabulary: bytes are written as visible characters.
                let (a, b) = pair.split_once(' ').ok_or_else(|| TokensError::Key {
                    key: "merges",
                    what: format!("entry {rank}, `{pair}`, is no pair"),
                })?;
                let (Some(left), Some(right)) = (ids.get(a), ids.get(b)) else { continue };
                if let Some(whole) = ids.get(format!("{a}{b}").as_str()) {
                    known.entry((*left, *right)).or_insert((rank as u64, *whole));
                }
            }
            let split = Split::of(gguf.string("tokenizer.ggml.pre"))?;
            let plain = (0..).zip(&pieces).filter(|(i, _)| !is_special(*i as usize));
            Model::Bpe { split, merges: known, words: plain.map(|(i, p)| (p.clone(), i)).collect() }
        } else {
            let scores = array!(gguf, "scores", F32)?.ok_or_else(|| missing("scores"))?;
            if scores.len() != count {
                return Err(TokensError::Key {
                    key: "scores",
                    what: format!("{} for {count} tokens", scores.len()),
                });
            }
            let usable = |i: &u32| {
                !is_special(*i as usize) && !matches!(kinds[*i as usize], kind::BYTE | kind::UNUSED)
            };
            let plain = (0..).zip(tokens).filter(|(i, _)| usable(i));
            Model::Scores {
                tokens: plain.map(|(i, t)| (t.clone(), (rank(scores[i as usize]), i))).collect(),
                space_first: flag("add_space_prefix").unwrap_or(true),
            }
        };
        let of_kind = |k: i32| -> Vec<&str> {
            tokens.iter().zip(&kinds).filter(|(_, kind)| **kind == k).map(|(t, _)| t.as_str()).collect()
        };
        let (control, user) = (of_kind(kind::CONTROL), of_kind(kind::USER));
        let specials = control.iter().chain(&user).map(|t| (t.to_string(), ids[t])).collect();
        let both: Vec<&str> = control.iter().chain(&user).copied().collect();
        let (bos, eos) = (id("bos"), id("eos"));
        let mut ends: Vec<u32> = eos.into_iter().chain(id("eot")).collect();
        ends.extend(ENDS.iter().filter_map(|t| ids.get(t)).filter(|i| is_special(**i as usize)));
        ends.sort_unstable();
        ends.dedup();
        Ok(Tokeniser {
            bytes,
            unknown: id("unknown")
                .or_else(|| kinds.iter().position(|k| *k == kind::UNKNOWN).map(|i| i as u32)),
            specials,
            control: finder(&both),
            user: finder(&user),
            bos,
            eos,
            add_bos: flag("add_bos_token").unwrap_or(!byte_level) && bos.is_some(),
            add_eos: flag("add_eos_token").unwrap_or(false),
            ends,
            template: gguf.string("tokenizer.chat_template").map(String::from),
            pieces,
            kinds,
            model,
        })
    }

    /// Tokens of the vocabulary.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }
    /// Whether there are none; a tokeniser always has some.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }
    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }
    /// Whether `token` ends an answer.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.binary_search(&token).is_ok()
    }
    /// Whether `token` steers and is no text.
    pub fn is_control(&self, token: u32) -> bool {
        self.kinds.get(token as usize) == Some(&kind::CONTROL)
    }
    /// The token of a special text, such as `<|eot_id|>`.
    pub fn special(&self, text: &str) -> Option<u32> {
        self.specials.get(text).copied()
    }
    /// The file's chat template.
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }
    /// The bytes of a token; none for a number that is no token.
    pub fn piece(&self, token: u32) -> &[u8] {
        self.pieces.get(token as usize).map_or(&[], Vec::as_slice)
    }
    /// The bytes of tokens, one after the other.
    pub fn decode(&self, tokens: &[u32]) -> Vec<u8> {
        tokens.iter().flat_map(|t| self.piece(*t)).copied().collect()
    }

    /// A text as the start of a sequence: with the tokens that the file wants before and after it. Texts of control tokens are
    /// plain text.
    pub fn prompt(&self, text: &str) -> Vec<u32> {
        let mut out: Vec<u32> = self.bos.filter(|_| self.add_bos).into_iter().collect();
        out.extend(self.encode(text));
        out.extend(self.eos.filter(|_| self.add_eos));
        out
    }

    /// The tokens of a text; texts of control tokens are plain text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.divided(text, self.user.as_ref())
    }

    /// The tokens of a text in which texts of control tokens are those tokens, as in a filled-in chat template. Only for text that
    /// the user did not write.
    pub fn encode_with_control(&self, text: &str) -> Vec<u32> {
        self.divided(text, self.control.as_ref())
    }

    /// A text of the user's for a template, with `mark` in every text of a control token, so that
    /// [`Tokeniser::encode_marked`] takes it for text. Marks that are there already are left out.
    pub fn marked(&self, text: &str, mark: char) -> String {
        let text = text.replace(mark, "");
        let Some(control) = &self.control else { return text };
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        // One character at a time, because tokens may overlap.
        while let Some(found) = control.find_at(&text, at) {
            let first = found.as_str().chars().next().map_or(1, char::len_utf8);
            out.push_str(&text[at..found.start() + first]);
            out.push(mark);
            at = found.start() + first;
        }
        out.push_str(&text[at..]);
        out
    }

    /// As [`Tokeniser::encode_with_control`], for a template that was filled in with texts from [`Tokeniser::marked`].
    pub fn encode_marked(&self, text: &str, mark: char) -> Vec<u32> {
        let mut out = Vec::new();
        let mut at = 0;
        for found in self.control.iter().flat_map(|s| s.find_iter(text)) {
            self.plain(&text[at..found.start()].replace(mark, ""), at == 0, &mut out);
            out.extend(self.special(found.as_str()));
            at = found.end();
        }
        self.plain(&text[at..].replace(mark, ""), at == 0, &mut out);
        out
    }

    fn divided(&self, text: &str, specials: Option<&Regex>) -> Vec<u32> {
        let mut out = Vec::new();
        let mut at = 0;
        for found in specials.iter().flat_map(|s| s.find_iter(text)) {
            self.plain(&text[at..found.start()], at == 0, &mut out);
            out.extend(self.special(found.as_str()));
            at = found.end();
        }
        self.plain(&text[at..], at == 0, &mut out);
        out
    }

    /// The tokens of a text without special ones; `first`: it begins the whole text.
    fn plain(&self, text: &str, first: bool, out: &mut Vec<u32>) {
        if text.is_empty() {
            return;
        }
        match &self.model {
            Model::Bpe { split, merges, words } => {
                for word in split.words(text) {
                    if let Some(token) = words.get(word.as_bytes()).filter(|_| split.whole_words) {
                        out.push(*token);
                        continue;
                    }
                    let pieces = word.bytes().enumerate().map(|(i, b)| Piece {
                        start: i,
                        end: i + 1,
                        token: self.bytes[usize::from(b)],
                    });
                    let merged = merge(pieces.collect(), |a, b| merges.get(&(a.token?, b.token?)).copied());
                    out.extend(merged.iter().filter_map(|p| p.token.or(self.unknown)));
                }
            }
            Model::Scores { tokens, space_first } => {
                let mut spaced = text.replace(' ', SPACE);
                if first && *space_first {
                    spaced.insert_str(0, SPACE);
                }
                let token = |part: &str| tokens.get(part).copied();
                let pieces = spaced.char_indices().map(|(i, c)| {
                    let end = i + c.len_utf8();
                    Piece { start: i, end, token: token(&spaced[i..end]).map(|(_, t)| t) }
                });
                let merged = merge(pieces.collect(), |a, b| token(&spaced[a.start..b.end]));
                for piece in merged {
                    match piece.token {
                        Some(t) => out.push(t),
                        None => {
                            let bytes = spaced[piece.start..piece.end].bytes();
                            out.extend(bytes.filter_map(|b| self.bytes[usize::from(b)].or(self.unknown)));
                        }
                    }
                }
            }
        }
    }
}

/// The byte of a token such as `<0x0A>`.
fn byte_of(token: &str) -> Option<u8> {
    u8::from_str_radix(token.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}
