//! `generate`: text from a BitNet model.

use crate::commands::model::{self, Source};
use crate::console::{Console, say};
use crate::device::Device;
use crate::failure::{Told, usage};
use crate::interrupt;
use anyhow::Context;
use phalanx_engine::{
    Config, Finish, Generation, Message, Overflow, Sampling, Session, Stream, Tokeniser, chat, generate,
};
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Tokens that are generated unless said otherwise, where the context has room for them.
const TOKENS: usize = 200;

/// Text from a BitNet model.
///
/// The same seed gives the same text, on every machine.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  phalanx generate --prompt \"JULIET:\" --seed 3")]
pub struct Args {
    /// Model file [default: the one that comes with this command]
    #[arg(value_name = "MODEL.gguf")]
    file: Option<PathBuf>,
    /// How it is loaded
    #[command(flatten)]
    source: Source,
    /// The text to go on with [default: one for the model that comes with this]
    #[arg(long, value_name = "TEXT", conflicts_with = "prompt_file")]
    prompt: Option<String>,
    /// A file with the text to go on with
    #[arg(long, value_name = "FILE")]
    prompt_file: Option<PathBuf>,
    /// Tokens at most [default: 200, or as many as fit]
    #[arg(long, value_name = "N")]
    tokens: Option<usize>,
    /// Where the random numbers begin
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Flattens the choice; 0: the likeliest token each time
    #[arg(long, value_name = "T", default_value_t = 0.7, value_parser = positive)]
    temperature: f32,
    /// Choose among the N likeliest; 0: all
    #[arg(long, value_name = "N", default_value_t = 0)]
    top_k: usize,
    /// Choose among the likeliest that add up to so much
    #[arg(long, value_name = "P", default_value_t = 0.95, value_parser = share)]
    top_p: f32,
    /// Choose among those at least so likely as this share of the likeliest
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    min_p: f32,
    /// Makes recent tokens less likely; 1: not
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = penalty)]
    repeat_penalty: f32,
    /// The prompt is a message, in the form of the model's chat template
    #[arg(long)]
    chat: bool,
    /// What the model is told before the message
    #[arg(long, value_name = "TEXT", requires = "chat")]
    system: Option<String>,
    /// Go on when the context is full: keep its later half
    #[arg(long)]
    slide: bool,
    /// Where to run
    #[command(flatten)]
    device: Device,
    /// One row with the text and what it took
    #[arg(long)]
    json: bool,
}

fn number(text: &str, holds: fn(f32) -> bool, expected: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|v: &f32| v.is_finite() && holds(*v))
        .ok_or_else(|| format!("expected {expected}"))
}
fn positive(text: &str) -> Result<f32, String> {
    number(text, |v| v >= 0.0, "0 or more")
}
fn share(text: &str) -> Result<f32, String> {
    number(text, |v| (0.0..=1.0).contains(&v), "0 to 1")
}
fn penalty(text: &str) -> Result<f32, String> {
    number(text, |v| v > 0.0, "more than 0")
}

/// Runs the command.
///
/// # Errors
/// The model cannot be loaded, the text does not fit, somebody interrupts, or stdout cannot be written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let console = Console::new(args.json);
    let text = match (&args.prompt, &args.prompt_file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
        }
        (None, None) => model::PROMPT.to_string(),
    };
    let cpu = args.device.open()?;
    let file = model::open(args.file.as_deref())?;
    let tokeniser = Tokeniser::of(file.gguf())?;
    let prompt = tokens(args, &tokeniser, &text)?;
    let model = args.source.load(&cpu, &file)?;
    let mut session =
        Session::new(&model, Config { context: args.source.context(&model), ..Config::default() })?;
    let context = session.config().context;
    let room = (context + 1).saturating_sub(prompt.len());
    let most = args.tokens.unwrap_or(if args.slide { TOKENS } else { TOKENS.min(room.max(1)) });
    let sampling = Sampling {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        repeat_penalty: args.repeat_penalty,
        seed: args.seed,
        ..Sampling::default()
    };
    let overflow = if args.slide { Overflow::Slide } else { Overflow::Refuse };
    let wanted = Generation { prompt: &prompt, most, sampling, overflow };

    let mut out = Writer::new(console);
    if !args.chat {
        out.write(&text);
    }
    let mut stream = Stream::new(&tokeniser);
    let mut generated = String::new();
    let is_end = |t| tokeniser.is_end(t);
    let result = interrupt::cancellable(|| {
        generate(&mut session, &wanted, Some(interrupt::token()), &is_end, &mut |token| {
            let part = stream.push(token);
            out.write(&part);
            generated.push_str(&part);
        })
    });
    let rest = stream.finish();
    out.write(&rest);
    generated.push_str(&rest);
    out.end()?;
    let done = result?;
    let rate = |n: usize, d: Duration| if d.is_zero() { 0.0 } else { n as f64 / d.as_secs_f64() };
    let (prompt_rate, rate) =
        (rate(prompt.len(), done.prompt_time), rate(done.tokens.len().saturating_sub(1), done.tokens_time));
    say!(
        "{} tokens of prompt, {prompt_rate:.0} a second; {} generated, {rate:.1} a second",
        prompt.len(),
        done.tokens.len()
    );
    console.row(&json!({
        "text": generated, "prompt_tokens": prompt.len(), "tokens": done.tokens.len(),
        "prompt_tokens_per_second": prompt_rate, "tokens_per_second": rate,
    }))?;
    if done.finish == Finish::Cancelled {
        say!("interrupted");
        return Err(Told.into());
    }
    Ok(())
}

/// The prompt as tokens.
fn tokens(args: &Args, tokeniser: &Tokeniser, text: &str) -> anyhow::Result<Vec<u32>> {
    if !args.chat {
        let tokens = tokeniser.prompt(text);
        return if tokens.is_empty() { Err(usage("the prompt is empty")) } else { Ok(tokens) };
    }
    let system = args.system.as_ref().map(|content| Message { role: "system", content });
    let messages: Vec<Message<'_>> =
        system.into_iter().chain([Message { role: "user", content: text }]).collect();
    Ok(chat(tokeniser, &messages)?)
}

/// Text to stdout as it comes. What a model writes must not steer a terminal.
struct Writer {
    on: bool,
    terminal: bool,
    failed: Option<std::io::Error>,
}

impl Writer {
    fn new(console: Console) -> Writer {
        Writer { on: !console.json, terminal: std::io::stdout().is_terminal(), failed: None }
    }

    fn write(&mut self, text: &str) {
        if !self.on || self.failed.is_some() || text.is_empty() {
            return;
        }
        let shown: String = match self.terminal {
            true => text
                .chars()
                .map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c })
                .collect(),
            false => text.into(),
        };
        let mut out = std::io::stdout().lock();
        self.failed = out.write_all(shown.as_bytes()).and_then(|()| out.flush()).err();
        if self.failed.is_some() {
            // Nobody reads: there is no reason to go on.
            interrupt::token().cancel();
        }
    }

    fn end(mut self) -> std::io::Result<()> {
        self.write("\n");
        self.failed.map_or(Ok(()), Err)
    }
}
