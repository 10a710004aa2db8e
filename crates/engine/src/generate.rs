//! Text from a model, and how well it knows a text.

use crate::error::EngineError;
use crate::sample::{Sampler, Sampling};
use crate::session::{Entry, Session};
use phalanx::CancelToken;
use std::time::{Duration, Instant};

/// What happens where a text reaches the end of the context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// [`EngineError::Context`].
    #[default]
    Refuse,
    /// The first token and the later half of the context stay; they are computed anew, at their new positions.
    Slide,
}

/// What is to be generated.
#[derive(Clone, Copy, Debug)]
pub struct Generation<'a> {
    /// Tokens that are there.
    pub prompt: &'a [u32],
    /// Tokens to add at most.
    pub most: usize,
    /// How they are chosen.
    pub sampling: Sampling,
    /// At the end of the context.
    pub overflow: Overflow,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// All tokens that were asked for.
    Length,
    /// The model ended its answer.
    End,
    /// Somebody cancelled.
    Cancelled,
}

/// What was generated.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The tokens, without one that ends an answer.
    pub tokens: Vec<u32>,
    /// Why there are no more.
    pub finish: Finish,
    /// The prompt's time.
    pub prompt_time: Duration,
    /// The time from the first to the last token.
    pub tokens_time: Duration,
}

/// Generates tokens after a prompt as text 0 of a session, which is emptied first. `is_end` tells tokens that end an answer; `each`
/// sees the others as they come. When cancelled, what was generated so far is the result.
///
/// # Errors
/// A prompt that is empty or longer than the context, a text that reaches its end unless the window slides, a launch that fails.
pub fn generate(
    session: &mut Session,
    wanted: &Generation<'_>,
    cancel: Option<&CancelToken>,
    is_end: &dyn Fn(u32) -> bool,
    each: &mut dyn FnMut(u32),
) -> Result<Generated, EngineError> {
    let context = session.config().context;
    let Generation { prompt, most, sampling, overflow } = *wanted;
    if prompt.is_empty() {
        return Err(EngineError::Refused("nothing to begin with: the prompt has no token".into()));
    }
    if overflow == Overflow::Refuse && prompt.len() + most > context + 1 {
        return Err(EngineError::Context { needed: prompt.len() + most - 1, context });
    }
    session.truncate(0, 0);
    let mut sampler = Sampler::new(sampling);
    prompt.iter().for_each(|t| sampler.accept(*t));
    let mut all = prompt.to_vec();
    let (mut tokens, mut finish) = (Vec::new(), Finish::Length);
    let begin = Instant::now();
    let mut prompt_time = Duration::ZERO;
    let mut fed = 0;
    while tokens.len() < most {
        if session.len(0) + all.len() - fed > context {
            // What stays: the first token, and half a context up to the newest.
            let later = all.len() - (context / 2).min(all.len() - 1);
            all.drain(1..later);
            session.truncate(0, 0);
            fed = 0;
        }
        let token = match session.feed(0, &all[fed..], cancel) {
            Ok(logits) => sampler.choose(logits),
            Err(EngineError::Cancelled) => {
                finish = Finish::Cancelled;
                break;
            }
            Err(e) => return Err(e),
        };
        fed = all.len();
        if tokens.is_empty() {
            prompt_time = begin.elapsed();
        }
        if is_end(token) {
            finish = Finish::End;
            break;
        }
        sampler.accept(token);
        tokens.push(token);
        all.push(token);
        each(token);
        if cancel.is_some_and(CancelToken::is_cancelled) {
            finish = Finish::Cancelled;
            break;
        }
    }
    let tokens_time = begin.elapsed().saturating_sub(prompt_time);
    Ok(Generated { tokens, finish, prompt_time, tokens_time })
}

/// The loss over a text: the sum of -ln of the probabilities of its tokens, and of how many. Windows as long as the context step by
/// half of it, each begins with `bos` where there is one, and each token counts once, in the first window that holds it; without a
/// `bos` the first does not count.
///
/// # Errors
/// A launch fails or is cancelled.
pub fn perplexity(
    session: &mut Session,
    tokens: &[u32],
    bos: Option<u32>,
    cancel: Option<&CancelToken>,
) -> Result<(f64, usize), EngineError> {
    let (context, most) = (session.config().context, session.config().rows);
    let step = (context / 2).max(1);
    let (mut nats, mut counted) = (0.0, 0);
    let mut at = 0;
    loop {
        let part = &tokens[at..tokens.len().min(at + context)];
        let new = if at == 0 { 0 } else { context - step };
        if new >= part.len() {
            return Ok((nats, counted));
        }
        // Inputs and what follows each of them.
        let inputs: Vec<u32> = bos.into_iter().chain(part.iter().copied()).collect();
        let pairs: Vec<(u32, u32)> = inputs.windows(2).map(|w| (w[0], w[1])).collect();
        let first = new.saturating_sub(usize::from(bos.is_none()));
        session.truncate(0, 0);
        for (i, rows) in pairs.chunks(most).enumerate() {
            let before = i * most;
            let entry = |(j, (token, _)): (usize, &(u32, u32))| Entry {
                text: 0,
                token: *token,
                wanted: before + j >= first,
            };
            let entries: Vec<Entry> = rows.iter().enumerate().map(entry).collect();
            session.forward(&entries, cancel, &mut |row, logits| {
                nats += loss(logits, rows[row].1);
                counted += 1;
            })?;
        }
        at += step;
    }
}

/// -ln of a token's probability.
fn loss(logits: &[f32], token: u32) -> f64 {
    let largest = logits.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v));
    let sum: f64 = logits.iter().map(|v| f64::from(v - largest).exp()).sum();
    sum.ln() - f64::from(logits[token as usize] - largest)
}
