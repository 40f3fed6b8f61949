//! The code at the end of what is shown: a person who types it has seen the end, and has this very
//! candidate in front of them.

use std::io::{IsTerminal, Read};

use baton_core::candidate::Candidate;
use baton_core::digest;
use baton_core::problem::Problem;
use baton_core::terminal;

/// Crockford's digits: none looks like another.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 8;
/// The most that is read of what a person types, in bytes.
const TYPED: u64 = 64;

/// The code of a candidate, such as `k3xm-9pwq`: 40 bits of a digest over task, base, tree and patch.
pub(crate) fn of(candidate: &Candidate) -> String {
    let text = format!("baton-code {} {}", candidate.task_id, candidate.binding());
    let sha256 = digest::sha256(text.as_bytes());
    let mut code = String::with_capacity(LENGTH + 1);
    for at in 0..LENGTH {
        if at == LENGTH / 2 {
            code.push('-');
        }
        // Two hex digits hold eight bits, of which five are used.
        let byte = sha256
            .get(2 * at..2 * at + 2)
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        let digit = DIGITS.get(usize::from(byte.unwrap_or_default() & 31));
        code.push(char::from(digit.copied().unwrap_or(b'0')));
    }
    code
}

/// Whether what was typed is the code. Case, blanks and hyphens make no difference.
pub(crate) fn is(typed: &str, code: &str) -> bool {
    let plain = |text: &str| {
        let letters = text
            .chars()
            .filter(|c| !matches!(c, '-' | ' ' | '\n' | '\r' | '\t'));
        letters.map(|c| c.to_ascii_lowercase()).collect::<String>()
    };
    plain(typed) == plain(code)
}

/// Whether a person can be asked: both what is typed and what is shown go over a terminal.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for it. What was typed before the question is thrown away: a paste cannot answer it.
pub(crate) fn ask() -> Result<String, Problem> {
    // Where that does not work, the code itself still has to be right.
    let _ = rustix::termios::tcflush(std::io::stdin(), rustix::termios::QueueSelector::IFlush);
    terminal::say("type the code above to approve exactly this, anything else to leave it:");
    let mut typed = Vec::new();
    let mut stdin = std::io::stdin().lock().take(TYPED);
    let mut byte = [0];
    loop {
        let count = stdin
            .read(&mut byte)
            .map_err(|error| Problem::io("standard input", &error))?;
        if count == 0 || byte == *b"\n" {
            return Ok(String::from_utf8_lossy(&typed).into_owned());
        }
        typed.extend(byte);
    }
}
