//! The codes that findings and errors have, as two pages list them: for readers of the pages and for
//! `baton explain`.

use baton_risk::Explained;

/// What somebody has to act on stands on the first, everything else on the second.
const PAGES: [(&str, &str); 2] = [
    (
        "docs/operating.md",
        include_str!("../../../../docs/operating.md"),
    ),
    ("docs/codes.md", include_str!("../../../../docs/codes.md")),
];
const HEAD: &str = "| you see | it means | do |";

/// A row of a table.
struct Row {
    page: &'static str,
    codes: Vec<&'static str>,
    means: &'static str,
    next: &'static str,
}

/// The rows of the tables.
fn rows() -> impl Iterator<Item = Row> {
    PAGES.iter().flat_map(|(page, text)| {
        let lines = text.lines().skip_while(|line| *line != HEAD).skip(2);
        lines.map_while(|line| {
            let mut cells = line.strip_prefix('|')?.strip_suffix('|')?.split(" | ");
            Some(Row {
                page,
                codes: cells.next()?.split(',').map(str::trim).collect(),
                means: cells.next()?.trim(),
                next: cells.next()?.trim(),
            })
        })
    })
}

/// Every code of the pages.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    rows().flat_map(|row| row.codes)
}

/// What a code of the pages means.
pub(super) fn explain(id: &str) -> Option<Explained> {
    let is_asked = |code: &&str| code.eq_ignore_ascii_case(id);
    let found = rows().find_map(|row| {
        let code = row.codes.iter().copied().find(is_asked)?;
        Some((code, row))
    });
    let (code, row) = found?;
    Some(Explained {
        id: code.to_owned(),
        source: "baton",
        raises: "a finding or an error of this name".to_owned(),
        reason: plain(row.means),
        looks_at: format!("see {}", row.page),
        next: vec![plain(row.next)],
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
    fn the_pages_have_their_tables_and_each_code_stands_once() {
        let rows: Vec<_> = rows().collect();
        assert!(rows.len() > 120, "{}", rows.len());
        let mut seen = std::collections::HashSet::new();
        let is_code = |code: &str| {
            code.len() > 3
                && code
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        };
        for row in rows {
            let codes = row.codes;
            assert!(codes.iter().all(|code| is_code(code)), "{codes:?}");
            assert!(codes.iter().all(|code| seen.insert(*code)), "{codes:?}");
            assert!(!row.means.is_empty() && !row.next.is_empty(), "{codes:?}");
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
