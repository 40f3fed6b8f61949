//! C-style quoting of path names, byte for byte as git writes it.

/// Spells `path` as git does. With `high`, bytes from 0x80 on are escaped too, which is git's
/// default (`core.quotePath=true`).
pub(crate) fn encode(path: &[u8], high: bool) -> Vec<u8> {
    if !needs_quotes(path, high) {
        return path.to_vec();
    }
    let mut out = Vec::with_capacity(path.len() * 2);
    out.push(b'"');
    for byte in path.iter().copied() {
        match letter(byte) {
            Some(letter) => out.extend([b'\\', letter]),
            None if byte < 0x20 || byte == 0x7f || (high && byte >= 0x80) => {
                out.push(b'\\');
                out.extend([byte >> 6, (byte >> 3) & 7, byte & 7].map(|digit| b'0' + digit));
            }
            None => out.push(byte),
        }
    }
    out.push(b'"');
    out
}

/// Undoes the quoting. A name that does not start with a quote is returned as it is; a quoted
/// one must end with its closing quote and use git's escapes only. None if it does not.
pub(crate) fn decode(name: &[u8]) -> Option<Vec<u8>> {
    let Some(inner) = name.strip_prefix(b"\"") else {
        return Some(name.to_vec());
    };
    let mut rest = inner.strip_suffix(b"\"")?.iter().copied();
    let mut out = Vec::with_capacity(inner.len());
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => return None,
            b'\\' => out.push(escaped(rest.next()?, &mut rest)?),
            _ => out.push(byte),
        }
    }
    Some(out)
}

/// Undoes the quoting, and checks that git would write the name exactly like this, under
/// either setting of `core.quotePath`.
pub(crate) fn decode_exact(name: &[u8]) -> Option<Vec<u8>> {
    if !needs_quotes(name, false) {
        return Some(name.to_vec());
    }
    let path = decode(name)?;
    let exact = encode(&path, false) == name || encode(&path, true) == name;
    exact.then_some(path)
}

fn needs_quotes(path: &[u8], high: bool) -> bool {
    path.iter().any(|byte| {
        letter(*byte).is_some() || *byte < 0x20 || *byte == 0x7f || (high && *byte >= 0x80)
    })
}

fn letter(byte: u8) -> Option<u8> {
    Some(match byte {
        0x07 => b'a',
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0b => b'v',
        0x0c => b'f',
        b'\r' => b'r',
        b'"' | b'\\' => byte,
        _ => return None,
    })
}

fn escaped(first: u8, rest: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(match first {
        b'a' => 0x07,
        b'b' => 0x08,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'r' => b'\r',
        b'"' | b'\\' => first,
        b'0'..=b'3' => {
            let mut value = first - b'0';
            for _ in 0..2 {
                let digit = rest.next().filter(|digit| (b'0'..=b'7').contains(digit))?;
                value = value * 8 + (digit - b'0');
            }
            value
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_git_does() {
        for (path, quoted, relaxed) in [
            (&b"plain name"[..], &b"plain name"[..], &b"plain name"[..]),
            (b"a\tb", b"\"a\\tb\"", b"\"a\\tb\""),
            (b"q\"b\\", b"\"q\\\"b\\\\\"", b"\"q\\\"b\\\\\""),
            (b"\xc3\xa9", b"\"\\303\\251\"", b"\xc3\xa9"),
            (b"\x01\x7f", b"\"\\001\\177\"", b"\"\\001\\177\""),
        ] {
            assert_eq!(encode(path, true), quoted);
            assert_eq!(encode(path, false), relaxed);
            assert_eq!(decode_exact(quoted).as_deref(), Some(path));
            assert_eq!(decode_exact(relaxed).as_deref(), Some(path));
        }
    }

    #[test]
    fn refuses_spellings_git_does_not_write() {
        for name in [
            &b"\"plain\""[..],
            b"\"open",
            b"\"\\x41\"",
            b"\"\\11\"",
            b"\"\\400\"",
            b"\"\\011\"",
            b"\"a\"b\"",
            b"\"",
            b"tab\there",
            b"back\\slash",
        ] {
            assert_eq!(decode_exact(name), None, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn every_byte_round_trips() {
        let path: Vec<u8> = (1..=255).collect();
        for high in [false, true] {
            assert_eq!(decode_exact(&encode(&path, high)), Some(path.clone()));
        }
    }
}
