//! Ctrl-C: the first one cancels the launches that hold the token, a second one ends the process.

use crate::console::say;
use phalanx::CancelToken;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

static TOKEN: LazyLock<CancelToken> = LazyLock::new(CancelToken::new);
/// Whether a launch that holds the token is under way.
static LAUNCHING: AtomicBool = AtomicBool::new(false);

/// Installs the handler. Where that is not possible, Ctrl-C does what the system makes it do.
pub fn install() {
    let _ = ctrlc::set_handler(|| {
        if LAUNCHING.load(Ordering::SeqCst) && !TOKEN.is_cancelled() {
            TOKEN.cancel();
            return;
        }
        say!("interrupted");
        std::process::exit(1);
    });
}

/// The token that Ctrl-C triggers.
pub fn token() -> &'static CancelToken {
    &TOKEN
}

/// Runs something that stops when the token triggers.
pub fn cancellable<T>(run: impl FnOnce() -> T) -> T {
    LAUNCHING.store(true, Ordering::SeqCst);
    let result = run();
    LAUNCHING.store(false, Ordering::SeqCst);
    result
}
