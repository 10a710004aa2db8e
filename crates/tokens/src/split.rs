//! Text cut into words before byte-level BPE: the rules of Llama 3 and of GPT-2.

use crate::TokensError;
use regex::Regex;

/// A rule by which text is cut.
#[derive(Debug)]
pub(crate) struct Split {
    regex: Regex,
    /// Whether a word that is a token is taken whole, whatever the merges say.
    pub(crate) whole_words: bool,
}

// Both rules end in "white space that nothing but white space follows, else white space". Without looking ahead that is: a run of
// white space, which leaves its last character to the word after it (see `words`); hence the group of that name.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|(?P<space>\s+)";
const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|(?P<space>\s+)";

impl Split {
    /// The rule that a file names; Llama 3's where it names none.
    pub(crate) fn of(name: Option<&str>) -> Result<Split, TokensError> {
        let (rule, whole_words) = match name {
            None | Some("llama-bpe" | "llama3" | "llama-v3") => (LLAMA_3, true),
            Some("gpt-2") => (GPT_2, false),
            Some(other) => {
                return Err(TokensError::Unknown {
                    key: "pre",
                    found: other.into(),
                    expected: "llama-bpe or gpt-2",
                });
            }
        };
        let regex = Regex::new(rule).map_err(|e| TokensError::Key { key: "pre", what: e.to_string() })?;
        Ok(Split { regex, whole_words })
    }

    /// The words of a text, in order; together they are the text.
    pub(crate) fn words<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut words = Vec::new();
        let mut at = 0;
        while let Some(found) = self.regex.captures_at(text, at) {
            let Some(word) = found.get(0) else { break };
            let mut end = word.end();
            if found.name("space").is_some() && end < text.len() {
                // What follows is no white space, and takes the last character unless that is all there is.
                let last = word.as_str().chars().next_back().map_or(0, char::len_utf8);
                if word.len() > last {
                    end -= last;
                }
            }
            if word.start() > at {
                words.push(&text[at..word.start()]);
            }
            words.push(&text[word.start()..end]);
            at = end;
        }
        if at < text.len() {
            words.push(&text[at..]);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_llama_3() {
        let split = Split::of(None).unwrap();
        for (text, words) in [
            ("", &[][..]),
            ("Hello world", &["Hello", " world"]),
            ("a  b", &["a", " ", " b"]),
            ("a   \n\n  b", &["a", "   \n\n", " ", " b"]),
            ("x   ", &["x", "   "]),
            ("12345 I'LL", &["123", "45", " I", "'LL"]),
            ("a\t\tb!?\n\nc", &["a", "\t", "\tb", "!?\n\n", "c"]),
            (" 7", &[" ", "7"]),
            ("schön(it's)", &["schön", "(it", "'s", ")"]),
        ] {
            assert_eq!(split.words(text), words, "{text:?}");
        }
    }

    #[test]
    fn words_of_gpt_2() {
        let split = Split::of(Some("gpt-2")).unwrap();
        assert_eq!(split.words("it's  12345 x\n\n y"), ["it", "'s", " ", " 12345", " x", "\n\n", " y"]);
        assert!(Split::of(Some("qwen2")).is_err());
    }
}
