//! Patterns as data: compiled on first use, bounded in size.
//!
//! Letters, digits, blanks and word borders are ASCII's, as in the rule files that teams already
//! have; a pattern that asks for a class of Unicode is compiled with Unicode.

use std::cell::OnceCell;

use regex::bytes::{Regex, RegexBuilder};

/// The largest compiled pattern, in bytes: a pattern is data and must not eat the memory.
const PATTERN_LIMIT: usize = 8 << 20;

/// A pattern that is compiled on first use.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: String,
    compiled: OnceCell<Regex>,
}

impl Pattern {
    pub(crate) fn new(text: String) -> Self {
        Self {
            text,
            compiled: OnceCell::new(),
        }
    }

    /// The compiled pattern.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn get(&self) -> Result<&Regex, String> {
        if let Some(regex) = self.compiled.get() {
            return Ok(regex);
        }
        let regex = compile(&self.text)?;
        Ok(self.compiled.get_or_init(|| regex))
    }
}

/// Compiles a pattern, or says what is wrong with it.
pub(crate) fn compile(text: &str) -> Result<Regex, String> {
    let build = |unicode: bool| {
        RegexBuilder::new(text)
            .unicode(unicode)
            .size_limit(PATTERN_LIMIT)
            .build()
    };
    build(false)
        .or_else(|_| build(true))
        .map_err(|error| format!("pattern \"{}\": {error}", text.escape_debug()))
}
