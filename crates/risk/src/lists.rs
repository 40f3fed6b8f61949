//! Lists of texts that a program joins: `["a", "b"].join("")`, and lists that are joined by their names.

use crate::given::{first_name, last_name};

/// Ends of lists that are joined without anything in between.
const JOINS: [&[u8]; 6] = [
    b"].join(\"\")",
    b"].join('')",
    b"].join",
    b"].concat()",
    b"].join(``)",
    b"].implode",
];
/// Calls that join the texts in their parentheses.
const CALLS: [(&[u8], &[u8]); 6] = [
    (b"\"\".join", b"(["),
    (b"''.join", b"(["),
    (b"tring.Concat", b"("),
    (b"tring.Join", b"(\"\","),
    (b".concat", b"("),
    (b"implode", b"('',"),
];
/// Calls that join the list whose name stands in their parentheses.
const NAMED: [&[u8]; 7] = [
    b"\"\".join",
    b"''.join",
    b"tring.Concat",
    b"tring.Join",
    b"strings.Join",
    b"tring.join",
    b"implode",
];

/// Whether a text holds the name of a call that joins texts; most hold none.
pub(crate) fn calls_a_join(raw: &[u8]) -> bool {
    memchr::memchr_iter(b'(', raw).any(|at| {
        let before = raw.get(..at).unwrap_or_default();
        let is_last = |name: &&[u8]| before.ends_with(name);
        [&b"join"[..], b"oncat", b"Join", b"implode", b"joinToString"]
            .iter()
            .any(is_last)
    })
}

/// Whether a line joins a list of texts that stands in it.
pub(crate) fn joins_a_list(line: &[u8]) -> bool {
    let joins = |at: usize| {
        let rest = line.get(at..).unwrap_or_default();
        JOINS.iter().any(|part| rest.starts_with(part))
    };
    let calls = |at: usize| {
        let (before, rest) = line.split_at_checked(at).unwrap_or_default();
        CALLS
            .iter()
            .any(|(name, opens)| before.ends_with(name) && rest.starts_with(opens))
    };
    memchr::memchr_iter(b']', line).any(joins) || memchr::memchr_iter(b'(', line).any(calls)
}

/// The names of lists that a text joins: `"".join(PARTS)`, `PARTS.join("")`, `Join(parts, "")`.
pub(crate) fn joined_names(text: &[u8]) -> Vec<&[u8]> {
    let nothing = [&b"\"\""[..], b"''", b"``"];
    let name = |at: usize| {
        let (before, rest) = text.split_at_checked(at)?;
        let inner = rest.get(1..)?.trim_ascii_start();
        let ends_with = |calls: &[&[u8]]| calls.iter().any(|call| before.ends_with(call));
        let opens = nothing.iter().find_map(|text| inner.strip_prefix(*text));
        if ends_with(&[b".join", b".joinToString"]) && opens.is_some() {
            let dot = memchr::memrchr(b'.', before)?;
            return before.get(..dot).map(last_name);
        }
        // The list is the first argument, or the second one behind nothing to put in between.
        let is_call = ends_with(&NAMED);
        let second = opens.and_then(|rest| rest.trim_ascii_start().strip_prefix(b","));
        let list = second.unwrap_or(inner).trim_ascii_start();
        let list = list.strip_prefix(b"$").unwrap_or(list);
        let (list, tail) = list.split_at_checked(first_name(list).len())?;
        let tail = tail.trim_ascii_start();
        let between = tail.strip_prefix(b",").map(<[u8]>::trim_ascii_start);
        let is_whole = tail.starts_with(b")")
            || between.is_some_and(|rest| nothing.iter().any(|text| rest.starts_with(text)));
        (is_call && is_whole).then_some(list)
    };
    let names = memchr::memchr_iter(b'(', text).filter_map(name);
    names.filter(|name| !name.is_empty()).take(16).collect()
}

/// Whether a line gives a list to this name: what stands between the sign and the first text opens one.
pub(crate) fn is_given_to(name: &[u8], line: &[u8]) -> bool {
    let at = memchr::memmem::find(line, name);
    let rest = at.and_then(|at| line.get(at + name.len()..));
    let rest = rest.map(|rest| rest.trim_ascii_start());
    let given = rest.and_then(|rest| rest.strip_prefix(b":=").or(rest.strip_prefix(b"=")));
    let Some(given) = given else {
        return false;
    };
    let quote = memchr::memchr3(b'"', b'\'', b'`', given).unwrap_or(given.len());
    let head = given.get(..quote).unwrap_or_default().trim_ascii_end();
    matches!(head.last(), Some(b'(' | b'[' | b'{'))
}
