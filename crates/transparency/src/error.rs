use std::fmt;

/// How much of a refused value a message repeats, in characters.
const SHOWN: usize = 80;

/// Why a text, a key or a proof was refused: what it was, what was got, what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    what: String,
    got: String,
    expected: String,
}

impl Error {
    /// `got` may come from anybody: it is shortened, and whatever does not print is escaped.
    pub(crate) fn new(what: &str, got: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self {
            what: what.to_owned(),
            got: shown(&got.to_string()),
            expected: expected.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            got,
            expected,
        } = self;
        write!(f, "{what}: got {got}, expected {expected}")
    }
}

impl std::error::Error for Error {}

fn shown(got: &str) -> String {
    if got.is_empty() {
        return "nothing".to_owned();
    }
    let mut short: String = got
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if got.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}
