//! Numbers that a check holds a change to: a floor that must not fall, a ceiling that must not rise.

use std::collections::HashMap;

use crate::pattern::Regex;

/// How a number of a rule may change without a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The group `floor`: it may rise.
    Floor,
    /// The group `ceiling`: it may fall.
    Ceiling,
}

impl Limit {
    /// What a pattern says of the number that its matches hold.
    pub(crate) fn of(pattern: &Regex) -> Option<Self> {
        let is = |name| pattern.has_group(name);
        match (is("floor"), is("ceiling")) {
            (true, _) => Some(Self::Floor),
            (false, true) => Some(Self::Ceiling),
            (false, false) => None,
        }
    }

    /// The weakest number of each limit that these matches set: another line, or a comment, must not speak
    /// for the one that counts.
    pub(crate) fn weakest(self, new: &[Vec<u8>]) -> HashMap<Vec<u8>, f64> {
        let mut all = HashMap::new();
        for (name, now) in new.iter().filter_map(|new| parts(new)) {
            let weakest = all.entry(name).or_insert(now);
            *weakest = match self {
                Self::Floor => now.min(*weakest),
                Self::Ceiling => now.max(*weakest),
            };
        }
        all
    }

    /// Whether a match that is gone set no stricter limit than the weakest that is set now.
    pub(crate) fn is_kept(self, old: &[u8], weakest: &HashMap<Vec<u8>, f64>) -> bool {
        parts(old).is_some_and(|(name, before)| match (self, weakest.get(&name)) {
            (_, None) => false,
            (Self::Floor, Some(now)) => *now >= before,
            (Self::Ceiling, Some(now)) => *now <= before,
        })
    }
}

/// What is limited, without blanks and quotes, and the last number of a match.
fn parts(matched: &[u8]) -> Option<(Vec<u8>, f64)> {
    let end = matched.iter().rposition(u8::is_ascii_digit)? + 1;
    let head = matched.get(..end)?;
    let digits = |text: &[u8]| {
        let start = text
            .iter()
            .rposition(|byte| !(byte.is_ascii_digit() || *byte == b'.'));
        start.map_or(0, |last| last + 1)
    };
    let mut start = digits(head);
    // What stands before an exponent is a part of the number: `1e-9`.
    let before = head.get(..start)?;
    let power = before.strip_suffix(b"-").or(before.strip_suffix(b"+"));
    let base = power.unwrap_or(before);
    if let Some(base) = base.strip_suffix(b"e").or(base.strip_suffix(b"E"))
        && base.last().is_some_and(u8::is_ascii_digit)
    {
        start = digits(base);
    }
    let (name, number) = head.split_at_checked(start)?;
    let name = name.iter().copied();
    let name = name.filter(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\''));
    Some((
        name.collect(),
        std::str::from_utf8(number).ok()?.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(limit: Limit, old: &str, new: &[Vec<u8>]) -> bool {
        limit.is_kept(old.as_bytes(), &limit.weakest(new))
    }

    #[test]
    fn a_limit_is_kept_where_it_is_no_weaker() {
        let new = [b"\"lines\": 80,".to_vec(), b"fail_under=72.5".to_vec()];
        for (old, is_kept) in [
            ("lines: 80", true),
            ("lines : 79.5 ", true),
            ("lines: 81", false),
            ("branches: 10", false),
            ("fail_under = 72", true),
            ("fail_under = none", false),
        ] {
            assert_eq!(keeps(Limit::Floor, old, &new), is_kept, "{old}");
        }
        let near = [b"delta=1e-9".to_vec(), b"size = 2.5E+3".to_vec()];
        assert!(keeps(Limit::Ceiling, "delta=1e-6", &near));
        assert!(!keeps(Limit::Ceiling, "delta=1e-12", &near));
        assert!(!keeps(Limit::Ceiling, "size = 2400", &near));
        let beside = [b"# fail_under = 95".to_vec(), b"fail_under = 10".to_vec()];
        let plain = [b"fail_under = 95".to_vec(), b"fail_under = 10".to_vec()];
        assert!(!keeps(Limit::Floor, "fail_under = 90", &beside));
        assert!(!keeps(Limit::Floor, "fail_under = 90", &plain));
        assert!(keeps(Limit::Ceiling, "lines: 81", &new));
        assert!(!keeps(Limit::Ceiling, "lines: 79", &new));
    }
}
