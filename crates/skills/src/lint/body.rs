//! The Markdown of a `SKILL.md`.

use std::collections::BTreeSet;

use pulldown_cmark::{Event, Parser, Tag};

use super::tree::Tree;
use super::{Part, Report};

const MAX_LINES: usize = 500;
const MAX_BYTES: usize = 20_000;
/// The folders whose files a body names.
const FOLDERS: [&str; 3] = ["references/", "scripts/", "assets/"];

/// The rules about the body.
pub(super) fn check(body: &Part<'_>, tree: &Tree, report: &mut Report<'_>) {
    let lines = body.text.lines().count();
    if body.text.trim().is_empty() || lines > MAX_LINES || body.text.len() > MAX_BYTES {
        let message = format!("got {lines} lines, {} bytes", body.text.len());
        report.skill("BODY_LENGTH", None, message);
    }
    let mut named = BTreeSet::new();
    for (event, range) in Parser::new(body.text).into_offset_iter() {
        let target = match &event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => dest_url,
            Event::Code(code) if FOLDERS.iter().any(|folder| code.starts_with(folder)) => code,
            _ => continue,
        };
        if target.contains("://") || target.starts_with("mailto:") || target.starts_with('#') {
            continue;
        }
        let path = target.split('#').next().unwrap_or_default().to_owned();
        if !tree.files.contains_key(&path) {
            let before = body.text.get(..range.start).unwrap_or_default();
            let line = body.first + before.matches('\n').count();
            let message = format!("{target} is no file of this skill");
            report.skill("LINK_BROKEN", Some(line), message);
        }
        named.insert(path);
    }
    let unused = tree.files.keys().filter(|path| !named.contains(*path));
    for path in unused.filter(|path| path.starts_with("references/")) {
        report.add(
            "REFERENCE_UNUSED",
            path,
            None,
            "name it, and when to read it",
        );
    }
}
