//! The bounds that the schemas put on texts, times, paths and digests, for the types that read the
//! same documents. Each check says what was got and what was expected.

use std::fmt::Display;

use crate::masking;
use crate::policy::Texts;

/// The answer of a check: nothing, or the field and what is wrong with it.
pub type Checked = Result<(), String>;

fn shown(text: &str) -> String {
    masking::excerpt(text, 80)
}

fn wrong(field: &str, got: impl Display, expected: &str) -> Checked {
    Err(format!("{field} is {got}, expected {expected}"))
}

/// A text of `least` to `most` characters.
pub fn text(field: &str, text: &str, least: usize, most: usize) -> Checked {
    // Most texts are short, and then their bytes need no counting.
    if least <= 1 && (least..=most).contains(&text.len()) {
        return Ok(());
    }
    let length = text.chars().count();
    if (least..=most).contains(&length) {
        return Ok(());
    }
    Err(format!(
        "{field} has {length} characters, expected {least} to {most}"
    ))
}

/// A list of `least` to `most` entries, each of which passes `each`.
pub fn list<T>(
    field: &str,
    list: &[T],
    least: usize,
    most: usize,
    each: impl Fn(&T) -> Checked,
) -> Checked {
    counted(field, list.len(), least, most)?;
    list.iter().try_for_each(each)
}

fn counted(field: &str, entries: usize, least: usize, most: usize) -> Checked {
    if (least..=most).contains(&entries) {
        return Ok(());
    }
    Err(format!(
        "{field} has {entries} entries, expected {least} to {most}"
    ))
}

/// As [`list`], for texts in one piece of memory.
pub fn each_text(
    field: &str,
    list: &Texts,
    least: usize,
    most: usize,
    each: impl Fn(&str) -> Checked,
) -> Checked {
    counted(field, list.len(), least, most)?;
    list.iter().try_for_each(each)
}

/// A list of texts.
pub fn texts(field: &str, entries: &[String], most: usize, longest: usize) -> Checked {
    list(field, entries, 0, most, |entry| {
        text(field, entry, 1, longest)
    })
}

/// No entry twice.
pub fn unique<T: PartialEq>(field: &str, list: &[T]) -> Checked {
    let twice = list
        .iter()
        .enumerate()
        .any(|(at, entry)| list.iter().skip(at + 1).any(|other| other == entry));
    if twice {
        Err(format!("{field} names an entry twice"))
    } else {
        Ok(())
    }
}

/// As [`unique`], for texts, of which there may be many.
pub fn unique_texts(field: &str, list: &Texts) -> Checked {
    let mut sorted: Vec<&str> = list.iter().collect();
    sorted.sort_unstable();
    let pairs = sorted.iter().zip(sorted.iter().skip(1));
    match pairs.into_iter().any(|(one, other)| one == other) {
        true => Err(format!("{field} names an entry twice")),
        false => Ok(()),
    }
}

/// A whole number from `least` to `most`.
pub fn number(field: &str, number: u64, least: u64, most: u64) -> Checked {
    if (least..=most).contains(&number) {
        return Ok(());
    }
    wrong(
        field,
        number,
        &format!("a whole number from {least} to {most}"),
    )
}

/// An RFC 3339 time with upper-case `T` and `Z`, of at most 40 characters.
pub fn timestamp(field: &str, text: &str) -> Checked {
    if is_timestamp(text) {
        Ok(())
    } else {
        wrong(
            field,
            format!("\"{}\"", shown(text)),
            "a time such as 2026-02-08T09:00:00Z",
        )
    }
}

fn is_timestamp(text: &str) -> bool {
    let Some(fixed) = text.as_bytes().first_chunk::<19>() else {
        return false;
    };
    let [
        year @ ..,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
    ] = fixed
    else {
        return false;
    };
    let pairs = [[m1, m2], [d1, d2], [h1, h2], [n1, n2], [s1, s2]];
    let mut digits = pairs.as_flattened().iter().copied().chain(year);
    if !digits.all(u8::is_ascii_digit) {
        return false;
    }
    let [month, day, hour, minute, second] =
        pairs.map(|[tens, ones]| (tens - b'0') * 10 + (ones - b'0'));
    let is_moment = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60;
    let Some(rest) = text.get(19..).filter(|_| is_moment && text.len() <= 40) else {
        return false;
    };
    let zone = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            fraction.get(digits..).unwrap_or_default()
        }
    };
    zone == "Z" || is_offset(zone)
}

fn is_offset(zone: &str) -> bool {
    let Some(clock) = zone.strip_prefix(['+', '-']) else {
        return false;
    };
    let part = |text: &str, most: u32| {
        text.len() == 2
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|number| number <= most)
    };
    clock
        .split_once(':')
        .is_some_and(|(hours, minutes)| part(hours, 23) && part(minutes, 59))
}

/// A relative path or glob: no leading or doubled `/`, no `.` or `..` part, no NUL, at most `most`
/// characters.
pub fn path(field: &str, path: &str, most: usize) -> Checked {
    let clean = path
        .split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..");
    if clean && !path.contains('\0') && path.chars().count() <= most {
        return Ok(());
    }
    wrong(
        field,
        format!("\"{}\"", shown(path)),
        "a relative path without empty, \".\" or \"..\" parts",
    )
}

/// A path or glob of a task, where a backslash is refused as well: on some platforms it separates.
pub fn task_path(field: &str, text: &str) -> Checked {
    if text.contains('\\') {
        return wrong(
            field,
            format!("\"{}\"", shown(text)),
            "a path with forward slashes only",
        );
    }
    path(field, text, 4096)
}

/// Lower-case hex of one of these lengths.
pub fn hex(field: &str, text: &str, lengths: &[usize]) -> Checked {
    if is_hex(text.as_bytes()) && lengths.contains(&text.len()) {
        return Ok(());
    }
    wrong(
        field,
        format!("\"{}\"", shown(text)),
        &format!("lower-case hex of length {lengths:?}"),
    )
}

/// Every byte is looked at, for that is done many at a time.
#[inline(always)]
fn is_hex(text: &[u8]) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() | (b'a'..=b'f').contains(&byte);
    text.iter().fold(true, |all, byte| all & is_digit(*byte))
}

/// A SHA-256.
pub fn sha256(field: &str, text: &str) -> Checked {
    // A whole log has three of them in each line: a length that is known is looked at in fewer steps.
    if <&[u8; 64]>::try_from(text.as_bytes()).is_ok_and(|text| is_hex(text)) {
        return Ok(());
    }
    hex(field, text, &[64])
}

/// A full git object id.
pub fn object_id(field: &str, text: &str) -> Checked {
    hex(field, text, &[40, 64])
}

/// An identifier: a first character out of letters and digits, then those and `.`, `_`, `-`.
pub fn identifier(field: &str, text: &str, most: usize) -> Checked {
    let first = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if first && rest && text.len() <= most {
        return Ok(());
    }
    wrong(
        field,
        format!("\"{}\"", shown(text)),
        &format!("1 to {most} letters, digits, '.', '_' or '-'"),
    )
}

/// The version every stored shape has today.
pub fn schema_version(text: &str) -> Checked {
    if text == "1.0.0" {
        Ok(())
    } else {
        wrong(
            "schema_version",
            format!("\"{}\"", shown(text)),
            "\"1.0.0\"",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for good in [
            "2026-02-08T09:00:00Z",
            "2026-02-08T09:00:60.123456789+23:59",
            "2026-12-31T23:59:59.1-00:00",
        ] {
            assert!(is_timestamp(good), "{good}");
        }
        for bad in [
            "",
            "2026-02-08",
            "2026-02-08t09:00:00Z",
            "2026-13-08T09:00:00Z",
            "2026-02-08T24:00:00Z",
            "2026-02-08T09:00:00",
            "2026-02-08T09:00:00.Z",
            "2026-02-08T09:00:00+24:00",
            "2026-02-08T09:00:00z",
            "٢026-02-08T09:00:00Z",
        ] {
            assert!(!is_timestamp(bad), "{bad}");
        }
    }

    #[test]
    fn paths() {
        assert!(task_path("x", "a/b.txt").is_ok());
        for bad in ["", "/a", "a//b", "a/", "./a", "a/..", "a\\b", "a\0b"] {
            assert!(task_path("x", bad).is_err(), "{bad:?}");
        }
    }
}
