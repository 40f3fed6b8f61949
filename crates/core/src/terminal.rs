//! The two streams: standard output for programs, standard error for people.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use crate::problem::Problem;
use crate::{exit, masking};

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

/// Writes one line to standard error; when that is gone too, there is nobody to tell. What could
/// steer the terminal is shown as escapes, and secrets are masked: the line may quote what a patch or a
/// task says.
pub fn say(line: &str) {
    let line = visible_line(&masking::text(line));
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints what the command line's parser has to say and returns the exit code. What it quotes of a wrong
/// command line is masked.
#[must_use]
pub fn answer_usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Help and version are the only plain text on standard output, and they quote nothing.
        return ExitCode::from(u8::from(error.print().is_err()));
    }
    let plain = error.render().to_string();
    let printed = match masking::text(&plain) {
        Cow::Borrowed(_) => error.print(),
        Cow::Owned(masked) => std::io::stderr().lock().write_all(masked.as_bytes()),
    };
    // When standard error is gone, there is nobody to tell.
    drop(printed);
    ExitCode::from(exit::USAGE)
}

/// Says a problem and its hints on standard error.
pub fn complain(name: &str, problem: &Problem) {
    say(&format!("{name}: {}", problem.message));
    for hint in &problem.hints {
        say(&format!("  next: {hint}"));
    }
}

/// Makes what a program printed fit to be shown and kept as text: what steers a terminal or hides is
/// written as a printable ASCII escape (`\u{1b}`, `\x80` for a byte that is no UTF-8, `\r` for a
/// carriage return that ends no line). Lines, tabs and all that shows stay. A second pass changes
/// nothing.
#[must_use]
pub fn visible(log: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| matches!(byte, b'\t' | b'\n' | b' '..=b'~');
    if log.iter().all(plain) {
        return log.to_vec();
    }
    let mut shown = String::with_capacity(log.len() + log.len() / 8);
    for chunk in log.utf8_chunks() {
        let mut rest = chunk.valid().chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\n' => shown.push('\n'),
                // Two chunks never share a line end: a newline is always valid.
                '\r' if rest.peek() == Some(&'\n') => shown.push('\r'),
                c => push_visible(c, &mut shown),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown.into_bytes()
}

/// The same for a text that must stay one line: line ends are escaped too.
#[must_use]
pub fn visible_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|c| push_visible(c, &mut shown));
    shown
}

fn push_visible(c: char, shown: &mut String) {
    match c {
        '\t' => shown.push('\t'),
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        c if c.is_control() || is_invisible(c) => shown.extend(c.escape_unicode()),
        c => shown.push(c),
    }
}

/// The text as a person reads it on a terminal, without what steers one or does not show, and where
/// in the log each of its bytes stood: `\x1b[31mkey\x1b[0m` reads `key`.
#[must_use]
pub fn as_read(log: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let mut text = Vec::with_capacity(log.len());
    let mut places = Vec::with_capacity(log.len());
    let mut at = 0;
    while let Some(rest) = log.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(length) = escape_sequence(rest) {
            at += length;
            continue;
        }
        let (length, shows) = match rest.first() {
            Some(b'\t' | b'\n' | b' '..=b'~') => (1, true),
            _ => first_character(rest),
        };
        if shows {
            text.extend(rest.iter().take(length));
            places.extend(at..at + length);
        }
        at += length;
    }
    (text, places)
}

/// The length of the escape sequence that a text begins with: `ESC [`, parameters and one letter,
/// or `ESC ]` up to its end, or the escape character alone.
fn escape_sequence(rest: &[u8]) -> Option<usize> {
    const LONGEST: usize = 256;
    let inner = rest.strip_prefix(b"\x1b")?;
    let body = inner.get(1..).unwrap_or_default();
    let mut body = body.iter().take(LONGEST);
    let end = match inner.first() {
        Some(b'[') => body.position(|byte| !matches!(byte, b' '..=b'?')),
        Some(b']') => body.position(|byte| matches!(byte, 0x07 | 0x1b)),
        _ => None,
    };
    Some(end.map_or(1, |end| end + 3))
}

/// The length in bytes of the first character of a text, and whether it shows. A byte that is no
/// UTF-8 does.
fn first_character(rest: &[u8]) -> (usize, bool) {
    let head = rest.get(..4).unwrap_or(rest);
    let first = head.utf8_chunks().next();
    match first.and_then(|chunk| chunk.valid().chars().next()) {
        Some(c @ ('\n' | '\t')) => (c.len_utf8(), true),
        Some(c) => (c.len_utf8(), !(c.is_control() || is_invisible(c))),
        None => (1, true),
    }
}

/// Characters that take no room of their own, or change how those around them are shown.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Wraps a log so that GitHub's runner takes no line of it for a command to itself. `token` ends the
/// wrapping and must be one that the log's author could not know: [`crate::ids::random_hex`].
///
/// # Errors
/// `TOKEN_UNSAFE` when the token is short, holds anything but ASCII letters and digits, or stands in
/// the log.
pub fn github_safe(log: &[u8], token: &str) -> Result<Vec<u8>, Problem> {
    let shown = visible(log);
    let plain = token.len() >= 16 && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let known = plain
        && shown
            .windows(token.len())
            .any(|part| part == token.as_bytes());
    if !plain || known {
        return Err(Problem::fail(
            "TOKEN_UNSAFE",
            "the token must have at least 16 ASCII letters and digits and stand nowhere in the log",
        )
        .hint("make a new random token for each log"));
    }
    let mut wrapped = format!("::stop-commands::{token}\n").into_bytes();
    wrapped.extend_from_slice(&shown);
    if !shown.ends_with(b"\n") && !shown.is_empty() {
        wrapped.push(b'\n');
    }
    wrapped.extend_from_slice(format!("::{token}::\n").as_bytes());
    Ok(wrapped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(log: &[u8]) -> String {
        String::from_utf8(visible(log)).unwrap()
    }

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        for (log, expected) in [
            (&b"plain\ttext\n"[..], "plain\ttext\n"),
            ("ü 漢字 ✓ 🦀\n".as_bytes(), "ü 漢字 ✓ 🦀\n"),
            (
                b"\x1b[2J\x1b]0;title\x07x",
                "\\u{1b}[2J\\u{1b}]0;title\\u{7}x",
            ),
            (b"\0\x08\x0b\x0c\x7f", "\\u{0}\\u{8}\\u{b}\\u{c}\\u{7f}"),
            ("\u{9b}31m\u{85}".as_bytes(), "\\u{9b}31m\\u{85}"),
            (b"50%\r100%\r\ndone\r", "50%\\r100%\r\ndone\\r"),
            (b"a\r\r\nb", "a\\r\r\nb"),
            ("a\u{202e}b\u{2066}c".as_bytes(), "a\\u{202e}b\\u{2066}c"),
            (
                "z\u{200b}\u{feff}\u{ad}".as_bytes(),
                "z\\u{200b}\\u{feff}\\u{ad}",
            ),
            ("\u{e0041}\u{2028}".as_bytes(), "\\u{e0041}\\u{2028}"),
            (b"\xff\xc3\xa4\xc3", "\\xffä\\xc3"),
            (b"\xed\xa0\x80\xc0\x9b", "\\xed\\xa0\\x80\\xc0\\x9b"),
        ] {
            assert_eq!(shown(log), expected, "{log:?}");
        }
    }

    #[test]
    fn what_is_read_is_what_shows() {
        for (log, expected) in [
            (&b"plain\ttext\n"[..], "plain\ttext\n"),
            (b"\x1b[31mAK\x1b[0;1mIA\x1b[K", "AKIA"),
            (b"\x1b]0;title\x07k\x1b]8;;u\x1b\\ey", "k\\ey"),
            (b"a\x08b\0c\rd\x1b", "abcd"),
            ("z\u{200b}\u{ad}\u{9b}e".as_bytes(), "ze"),
        ] {
            let (text, places) = as_read(log);
            assert_eq!(String::from_utf8_lossy(&text), expected, "{log:?}");
            let found: Vec<u8> = places.iter().map(|place| log[*place]).collect();
            assert_eq!(found, text);
        }
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(visible_line("a\r\nb\tc\u{1b}[0m"), "a\\r\\nb\tc\\u{1b}[0m");
    }

    #[test]
    fn a_log_gives_the_runner_no_commands() {
        let token = "0123456789abcdef";
        let log = b"::set-output name=x::y\n##[error]z\n\r::add-mask::a";
        let wrapped = String::from_utf8(github_safe(log, token).unwrap()).unwrap();
        let lines: Vec<_> = wrapped.lines().collect();
        assert_eq!(lines.first(), Some(&"::stop-commands::0123456789abcdef"));
        assert_eq!(lines.last(), Some(&"::0123456789abcdef::"));
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[3], "\\r::add-mask::a");
        assert_eq!(
            github_safe(b"", token).unwrap(),
            b"::stop-commands::0123456789abcdef\n::0123456789abcdef::\n"
        );
    }

    #[test]
    fn a_token_that_the_log_knows_is_refused() {
        let token = "0123456789abcdef";
        assert!(github_safe(b"x\n::0123456789abcdef::\n::error::y", token).is_err());
        assert!(github_safe(b"x", "short").is_err());
        assert!(github_safe(b"x", "0123456789abcdef\n::error::x").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_come_out_as_text_that_shows(log in proptest::collection::vec(any::<u8>(), 0..200)) {
            let once = visible(&log);
            let text = String::from_utf8(once.clone()).unwrap();
            let rest = text.replace("\r\n", "\n");
            prop_assert!(rest.chars().all(|c| matches!(c, '\n' | '\t') || !(c.is_control() || is_invisible(c))));
            prop_assert_eq!(visible(&once), once);
        }

        #[test]
        fn any_text_comes_out_as_text_that_shows(log in "(\\PC|\\p{C}|\r|\n){0,60}") {
            let once = visible(log.as_bytes());
            prop_assert_eq!(visible(&once), once);
        }
    }
}
