//! The two streams: standard output for programs, standard error for people.

use std::io::Write;
use std::process::ExitCode;

use crate::problem::Problem;

/// Writes to standard output and makes sure that a failure shows in the exit code.
#[must_use]
pub fn write_out(text: &str, code: u8) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => ExitCode::from(code),
        Err(error) => {
            say(&format!("standard output could not be written: {error}"));
            ExitCode::from(code.max(1))
        }
    }
}

/// Writes one line to standard error; when that is gone too, there is nobody to tell. Control
/// characters are shown as escapes: the line may quote what a patch or a task says.
pub fn say(line: &str) {
    let shown: String = line
        .chars()
        .fold(String::with_capacity(line.len()), |mut shown, c| {
            if c.is_control() && c != '\t' {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
            shown
        });
    let _ = writeln!(std::io::stderr().lock(), "{shown}");
}

/// Says a problem and its hints on standard error.
pub fn complain(name: &str, problem: &Problem) {
    say(&format!("{name}: {}", problem.message));
    for hint in &problem.hints {
        say(&format!("  next: {hint}"));
    }
}
