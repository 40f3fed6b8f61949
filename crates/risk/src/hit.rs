//! One thing that was found, before it is counted and written out.

use baton_core::envelope::{Finding, Severity};

use crate::checks::{self, HitKind};
use crate::input::ScanFile;
use crate::rule::Rule;

/// The longest excerpt, in characters.
const EXCERPT: usize = 120;

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) kind: HitKind,
    pub(crate) rule: String,
    /// The finding's code.
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    pub(crate) path: String,
    pub(crate) line: Option<u64>,
    /// Masked already.
    pub(crate) excerpt: String,
    pub(crate) message: String,
}

impl Hit {
    /// A hit of a built-in check.
    pub(crate) fn built_in(id: &str, path: &str, message: impl Into<String>) -> Self {
        let check = checks::built_in(id);
        Self {
            kind: check.kind,
            rule: check.id.to_owned(),
            code: match check.kind {
                // The flags go by their own names, whatever raised them. What a trusted file runs is
                // no zone of its own: the gates still look at it, and a person decides.
                HitKind::Delete | HitKind::Allowlist => check.kind.code(),
                HitKind::Protected if check.id == "SSOT_TOUCHED" => check.kind.code(),
                _ => check.id,
            },
            severity: check.severity,
            path: path.to_owned(),
            line: None,
            excerpt: String::new(),
            message: message.into(),
        }
    }

    /// A hit of a rule that reads text.
    pub(crate) fn of_rule(rule: &Rule<'_>, path: &str, excerpt: String) -> Self {
        let kind = HitKind::from(rule.kind());
        Self {
            kind,
            rule: rule.id().to_owned(),
            code: kind.code(),
            severity: rule.severity(),
            path: path.to_owned(),
            line: None,
            excerpt,
            message: rule.reason().to_owned(),
        }
    }

    /// A hit of a rule that reads paths.
    pub(crate) fn of_path_rule(
        kind: HitKind,
        severity: Severity,
        rule: &str,
        path: &str,
        message: &str,
    ) -> Self {
        Self {
            kind,
            rule: rule.to_owned(),
            code: kind.code(),
            severity,
            path: path.to_owned(),
            line: None,
            excerpt: String::new(),
            message: message.to_owned(),
        }
    }

    pub(crate) fn at(mut self, line: usize) -> Self {
        self.line = Some(line as u64);
        self
    }

    pub(crate) fn showing(mut self, excerpt: impl Into<String>) -> Self {
        self.excerpt = excerpt.into();
        self
    }

    pub(crate) fn in_file(id: &str, file: &ScanFile<'_>, message: impl Into<String>) -> Self {
        Self::built_in(id, &file.path, message)
    }

    /// The finding: rule, file, line, what was seen, and the smallest step that is permitted.
    pub(crate) fn finding(&self) -> Finding {
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        let excerpt = match self.excerpt.as_str() {
            "" => String::new(),
            excerpt => format!(": {excerpt}"),
        };
        let next = match self.severity {
            Severity::Info => String::new(),
            _ => format!("; next: {}", checks::next(&self.rule, self.kind)),
        };
        Finding::new(
            self.severity,
            self.code,
            format!(
                "{}{line}: {} [{}]{excerpt}{next}",
                self.path,
                self.message.trim_end_matches('.'),
                self.rule
            ),
        )
    }
}

/// The text, short and safe to show.
pub(crate) fn shorten(matched: &[u8]) -> String {
    let shown = String::from_utf8_lossy(matched);
    let shown = shown.trim();
    shown
        .chars()
        .flat_map(char::escape_debug)
        .take(EXCERPT)
        .collect()
}

/// The first four characters at the most, and how many there are.
pub(crate) fn mask(secret: &[u8]) -> String {
    let secret = String::from_utf8_lossy(secret);
    let length = secret.chars().count();
    let kept = secret.chars().take((length / 4).min(4));
    let kept: String = kept.flat_map(char::escape_debug).collect();
    format!("{kept}… ({length} characters)")
}
