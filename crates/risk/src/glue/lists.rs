//! Lists of texts that a program joins: `["a", "b"].join("")`, and lists that are joined by their names.

use crate::glue::given::{first_name, last_name};

/// Signs that a token, a host or a path is put together with; prose is joined by others.
const SIGNS: &[u8] = b"-_.:/@=+~";
/// Ends of lists that are joined without anything in between.
const JOINS: [&[u8]; 2] = [b"].concat()", b"].implode"];
/// Calls that join the texts in their parentheses.
const CALLS: [&[u8]; 2] = [b"tring.Concat", b".concat"];
/// Calls that join what follows the first text in their parentheses by that text.
const CALLS_BY: [&[u8]; 2] = [b"tring.Join", b"implode"];
/// Calls that join the list whose name stands in their parentheses.
const NAMED: [&[u8]; 5] = [
    b"tring.Concat",
    b"tring.Join",
    b"strings.Join",
    b"tring.join",
    b"implode",
];

/// A list that is joined by its name.
pub(crate) struct Named<'t> {
    pub(crate) name: &'t [u8],
    /// What stands between its texts then.
    pub(crate) sign: &'t [u8],
}

/// What the quotes hold that a text begins with, where that is nothing or one of the signs, and what comes
/// behind them.
fn sign(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (quote, rest) = text.trim_ascii_start().split_first()?;
    let length = usize::from(rest.first().is_some_and(|byte| SIGNS.contains(byte)));
    let (sign, rest) = rest.split_at_checked(length)?;
    let rest = rest.strip_prefix(std::slice::from_ref(quote))?;
    matches!(quote, b'"' | b'\'' | b'`').then_some((sign, rest))
}

/// The same of the quotes that a text ends with.
fn last_sign(text: &[u8]) -> Option<&[u8]> {
    let (quote, rest) = text.split_last()?;
    let length = usize::from(rest.last().is_some_and(|byte| SIGNS.contains(byte)));
    let (rest, sign) = rest.split_at_checked(rest.len() - length)?;
    let is_quoted = matches!(quote, b'"' | b'\'' | b'`') && rest.last() == Some(quote);
    is_quoted.then_some(sign)
}

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

/// What a line joins a list of texts by that stands in it; none where it joins none.
pub(crate) fn joins_a_list(line: &[u8]) -> Option<&[u8]> {
    let joins = |at: usize| {
        let rest = line.get(at..)?;
        if let Some(call) = rest.strip_prefix(b"].join") {
            let inner = call.trim_ascii_start().strip_prefix(b"(");
            return Some(inner.and_then(sign).map_or(&b""[..], |(sign, _)| sign));
        }
        let is_join = JOINS.iter().any(|part| rest.starts_with(part));
        is_join.then_some(&b""[..])
    };
    let calls = |at: usize| {
        let (before, rest) = line.split_at_checked(at)?;
        let is_one = |calls: &[&[u8]]| calls.iter().any(|call| before.ends_with(call));
        if rest.starts_with(b"([")
            && let Some(sign) = before.strip_suffix(b".join").and_then(last_sign)
        {
            return Some(sign);
        }
        if is_one(&CALLS_BY)
            && let Some((sign, rest)) = rest.get(1..).and_then(sign)
            && rest.starts_with(b",")
        {
            return Some(sign);
        }
        is_one(&CALLS).then_some(&b""[..])
    };
    let mut brackets = memchr::memchr_iter(b']', line);
    let mut calls_in = memchr::memchr_iter(b'(', line);
    brackets
        .find_map(joins)
        .or_else(|| calls_in.find_map(calls))
}

/// The lists that a text joins by their names: `"".join(PARTS)`, `PARTS.join("-")`, `Join(parts, "")`.
pub(crate) fn joined_names(text: &[u8]) -> Vec<Named<'_>> {
    let named = |at: usize| {
        let (before, rest) = text.split_at_checked(at)?;
        let inner = rest.get(1..)?.trim_ascii_start();
        let ends_with = |calls: &[&[u8]]| calls.iter().any(|call| before.ends_with(call));
        let first = sign(inner);
        if ends_with(&[b".join", b".joinToString"])
            && let Some((sign, _)) = first
        {
            let dot = memchr::memrchr(b'.', before)?;
            let name = last_name(before.get(..dot)?);
            return Some(Named { name, sign });
        }
        // The list is the first argument, or the second one behind what is put in between.
        let own = before.strip_suffix(b".join").and_then(last_sign);
        let second = first.and_then(|(sign, rest)| {
            let rest = rest.trim_ascii_start().strip_prefix(b",")?;
            Some((sign, rest))
        });
        let list = second.map_or(inner, |(_, rest)| rest).trim_ascii_start();
        let list = list.strip_prefix(b"$").unwrap_or(list);
        let (name, tail) = list.split_at_checked(first_name(list).len())?;
        let tail = tail.trim_ascii_start();
        let last = tail.strip_prefix(b",").and_then(sign);
        let is_whole = tail.starts_with(b")") || last.is_some();
        let is_call = own.is_some() || ends_with(&NAMED);
        let given = second.or(last).map(|(sign, _)| sign);
        let sign = own.or(given).unwrap_or_default();
        (is_call && is_whole).then_some(Named { name, sign })
    };
    let names = memchr::memchr_iter(b'(', text).filter_map(named);
    names
        .filter(|list| !list.name.is_empty())
        .take(16)
        .collect()
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
