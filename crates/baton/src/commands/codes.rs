//! The codes that a run may end with, as the page for operators has them: one table, for readers of the page
//! and for `baton explain`.

use baton_risk::Explained;

const PAGE: &str = include_str!("../../../../docs/operating.md");
const HEAD: &str = "| you see | it means | do |";

/// The rows of the table: codes, meaning, next step.
fn rows() -> impl Iterator<Item = (Vec<&'static str>, &'static str, &'static str)> {
    let lines = PAGE.lines().skip_while(|line| *line != HEAD).skip(2);
    lines.map_while(|line| {
        let mut cells = line.strip_prefix('|')?.strip_suffix('|')?.split(" | ");
        let codes = cells.next()?.split(',').map(str::trim).collect();
        Some((codes, cells.next()?.trim(), cells.next()?.trim()))
    })
}

/// Every code of the page.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    rows().flat_map(|(codes, ..)| codes)
}

/// What a code of the page means.
pub(super) fn explain(id: &str) -> Option<Explained> {
    let is_asked = |code: &&str| code.eq_ignore_ascii_case(id);
    let found = rows().find_map(|(codes, means, next)| {
        let code = codes.into_iter().find(is_asked)?;
        Some((code, means, next))
    });
    let (code, means, next) = found?;
    Some(Explained {
        id: code.to_owned(),
        source: "baton",
        raises: "a run that ends without what it was asked for".to_owned(),
        reason: plain(means),
        looks_at: "see docs/operating.md".to_owned(),
        next: vec![plain(next)],
        ..Explained::default()
    })
}

/// A cell without the marks of its page: code without its quotes, a link by its name.
fn plain(cell: &str) -> String {
    let mut text = String::new();
    let mut rest = cell;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((name, behind)) = link.split_once("](") else {
            break;
        };
        text += before;
        text += name;
        rest = behind.split_once(')').map_or("", |(_, rest)| rest);
    }
    text += rest;
    text.replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_its_table() {
        let rows: Vec<_> = rows().collect();
        assert!(rows.len() > 30, "{}", rows.len());
        let is_code = |code: &str| {
            code.len() > 3
                && code
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        };
        for (codes, means, next) in rows {
            assert!(codes.iter().all(|code| is_code(code)), "{codes:?}");
            assert!(!means.is_empty() && !next.is_empty(), "{codes:?}");
        }
    }

    #[test]
    fn cells_are_plain_text() {
        assert_eq!(
            plain("run `baton x`, [a.md](b/a.md), then"),
            "run baton x, a.md, then"
        );
        assert_eq!(plain("a [b"), "a [b");
    }
}
