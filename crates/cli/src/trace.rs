//! Timelines in Chrome's trace format, which Perfetto and chrome://tracing open.

use phalanx::exec::workers::{Grain, Task, Workers};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

struct Span {
    name: String,
    thread: ThreadId,
    start: Duration,
    length: Duration,
}

/// Spans of a command, from its start.
pub struct Recorder {
    origin: Instant,
    /// The thread that began; it is number 1 in the timeline.
    main: ThreadId,
    spans: Mutex<Vec<Span>>,
}

impl Recorder {
    /// Starts the clock.
    pub fn start() -> Arc<Recorder> {
        let main = std::thread::current().id();
        Arc::new(Recorder { origin: Instant::now(), main, spans: Mutex::default() })
    }

    /// Adds a span of the calling thread that began at `from` and ends now.
    pub fn add(&self, name: impl Into<String>, from: Instant) {
        let (start, length) = (from.saturating_duration_since(self.origin), from.elapsed());
        let span = Span { name: name.into(), thread: std::thread::current().id(), start, length };
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }

    /// Workers whose shares of each run are recorded.
    pub fn workers(self: &Arc<Recorder>, inner: Arc<dyn Workers>) -> Recorded {
        Recorded { recorder: Arc::clone(self), inner }
    }

    /// The timeline as a JSON document.
    pub fn document(&self) -> Value {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let mut numbers = HashMap::from([(self.main, 1u64)]);
        let mut events = vec![named_thread(1, "main")];
        for span in spans.iter() {
            let next = numbers.len() as u64 + 1;
            let number = *numbers.entry(span.thread).or_insert(next);
            if number == next {
                events.push(named_thread(number, &format!("worker {}", number - 1)));
            }
            let us = |d: Duration| d.as_nanos() as f64 / 1e3;
            events.push(json!({
                "name": span.name, "cat": "phalanx", "ph": "X",
                "ts": us(span.start), "dur": us(span.length), "pid": 1, "tid": number,
            }));
        }
        json!({"displayTimeUnit": "ns", "traceEvents": events})
    }
}

fn named_thread(number: u64, name: &str) -> Value {
    json!({"name": "thread_name", "ph": "M", "pid": 1, "tid": number, "args": {"name": name}})
}

/// Workers that record when each thread worked on what share.
pub struct Recorded {
    recorder: Arc<Recorder>,
    inner: Arc<dyn Workers>,
}

impl Workers for Recorded {
    fn threads(&self) -> usize {
        self.inner.threads()
    }
    fn run(&self, n: usize, grain: Grain, task: Task<'_>) {
        self.inner.run(n, grain, &|i| {
            let from = Instant::now();
            task(i);
            self.recorder.add(format!("blocks, share {} of {n}", i + 1), from);
        });
    }
    fn are_awake(&self) -> bool {
        self.inner.are_awake()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx::exec::workers::Threads;

    #[test]
    fn every_share_is_a_span_of_its_thread() {
        let recorder = Recorder::start();
        let workers = recorder.workers(Arc::new(Threads::new(2)));
        let from = Instant::now();
        workers.run(3, Grain::Short, &|_| std::thread::sleep(Duration::from_millis(1)));
        recorder.add("launch", from);
        let document = recorder.document();
        let events = document["traceEvents"].as_array().unwrap();
        let spans: Vec<&Value> = events.iter().filter(|e| e["ph"] == "X").collect();
        assert_eq!(spans.len(), 4);
        let launch = spans.iter().find(|s| s["name"] == "launch").unwrap();
        assert_eq!(launch["tid"], 1);
        for span in &spans {
            let named = events.iter().any(|e| e["ph"] == "M" && e["tid"] == span["tid"]);
            assert!(named, "{span} has a thread without a name");
            let inside = span["ts"].as_f64() >= launch["ts"].as_f64()
                && span["dur"].as_f64() <= launch["dur"].as_f64();
            assert!(inside, "{span} is not inside {launch}");
        }
    }
}
