//! Characters that are drawn like one of ASCII.

use std::sync::OnceLock;

/// One a line in the order of their codes: the code in hex and what it is drawn like, after the Unicode
/// list of confusable characters (UTS 39). A test makes it from that list and holds it to it: the whole
/// list would be a sixth of a program that only asks this.
const LIST: &str = include_str!("look_alike.txt");

/// The character of ASCII that another one is drawn like, if it is drawn like one.
#[must_use]
pub fn drawn_like(character: char) -> Option<char> {
    let list = list();
    let at = list
        .binary_search_by_key(&character, |(one, _)| *one)
        .ok()?;
    list.get(at).map(|(_, drawn)| *drawn)
}

fn list() -> &'static [(char, char)] {
    static READ: OnceLock<Vec<(char, char)>> = OnceLock::new();
    let read = |line: &str| {
        let (code, drawn) = line.split_once(' ')?;
        let code = u32::from_str_radix(code, 16).ok()?;
        Some((char::from_u32(code)?, drawn.chars().next()?))
    };
    READ.get_or_init(|| LIST.lines().filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use unicode_security::confusable_detection::skeleton;

    use super::*;

    #[test]
    fn the_list_is_that_of_unicode() {
        let drawn = |one: char| {
            let mut buffer = [0; 4];
            let mut drawn = skeleton(one.encode_utf8(&mut buffer));
            let first = drawn.next().filter(char::is_ascii_graphic)?;
            (drawn.next().is_none() && !one.is_ascii()).then_some((one, first))
        };
        let all: Vec<_> = (char::MIN..=char::MAX).filter_map(drawn).collect();
        let lines = all
            .iter()
            .map(|(one, drawn)| format!("{:x} {drawn}\n", *one as u32));
        let text: String = lines.collect();
        if std::env::var_os("BATON_BLESS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/hidden/look_alike.txt");
            std::fs::write(path, &text).unwrap();
            return;
        }
        assert!(
            text == LIST,
            "make it anew: BATON_BLESS=1 cargo test -p baton-risk"
        );
        assert_eq!(list(), all);
        assert!(all.len() > 1000 && all.is_sorted());
        assert_eq!(drawn_like('\u{430}'), Some('a'));
        assert_eq!((drawn_like('a'), drawn_like('\u{44f}')), (None, None));
    }
}
