//! The frontmatter of a `SKILL.md`.

use super::tree::{SKILL, Tree};
use super::{MAX_DESCRIPTION, Part, Report};
use crate::frontmatter::{self, Field, Style};

const KEYS: [&str; 5] = [
    "name",
    "description",
    "license",
    "compatibility",
    "metadata",
];
const MAX_LINES: usize = 64;

/// The text of `SKILL.md`, when it is one.
pub(super) fn text<'a>(tree: &'a Tree, report: &mut Report<'_>) -> Option<&'a str> {
    let Some(file) = tree.files.get(SKILL) else {
        let near = tree
            .files
            .keys()
            .find(|path| path.eq_ignore_ascii_case(SKILL));
        let message = match near {
            Some(near) => format!("the file is called {near}"),
            None => "there is no such file".to_owned(),
        };
        report.skill("SKILL_MISSING", None, message);
        return None;
    };
    let Ok(text) = std::str::from_utf8(&file.bytes) else {
        report.skill("FILE_FORM", None, "it is not UTF-8");
        return None;
    };
    if text.starts_with('\u{feff}') {
        report.skill("FILE_FORM", Some(1), "it begins with a byte order mark");
        return None;
    }
    if let Some(index) = text.split('\n').position(|line| line.contains('\r')) {
        report.skill("FILE_FORM", Some(index + 1), "a carriage return");
    }
    let hidden = text
        .split('\n')
        .enumerate()
        .find_map(|(index, line)| line.chars().find(|c| is_hidden(*c)).map(|c| (index, c)));
    if let Some((index, c)) = hidden {
        // Parsers do not agree on the rest of such a text.
        let message = format!("got {}", c.escape_unicode());
        report.skill("TEXT_HIDDEN", Some(index + 1), message);
        return None;
    }
    Some(text)
}

/// Characters by which a text says something else to an agent than to its reader, or is cut into other
/// lines by older YAML parsers.
fn is_hidden(c: char) -> bool {
    let controls = c.is_control() && !matches!(c, '\t' | '\r');
    controls
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{ffff}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Parts the frontmatter from the body.
pub(super) fn split<'a>(text: &'a str, report: &mut Report<'_>) -> Option<(Part<'a>, Part<'a>)> {
    let Some(rest) = text.strip_prefix("---\n") else {
        report.skill("FRONTMATTER_OPEN", Some(1), "the first line is another");
        return None;
    };
    let mut at = 0;
    for (index, line) in rest.split_inclusive('\n').take(MAX_LINES).enumerate() {
        if line.trim_end_matches('\n') == "---" {
            let (head, body) = (rest.get(..at)?, rest.get(at + line.len()..)?);
            let first = index + 3;
            return Some((
                Part {
                    text: head,
                    first: 2,
                },
                Part { text: body, first },
            ));
        }
        at += line.len();
    }
    report.skill("FRONTMATTER_CLOSE", None, "no line is --- alone");
    None
}

/// The rules about the frontmatter of a skill in the folder `folder`.
pub(super) fn check(head: &Part<'_>, folder: &str, report: &mut Report<'_>) {
    for (index, line) in head.text.lines().enumerate() {
        if line.contains("---") {
            let message = "three hyphens; write a dash or a comma";
            report.skill("FRONTMATTER_DASHES", Some(head.first + index), message);
        }
    }
    let fields = match frontmatter::read(head.text, head.first) {
        Ok(fields) => fields,
        Err(misread) => {
            report.skill("FRONTMATTER_FORM", Some(misread.line), misread.what);
            return;
        }
    };
    keys(&fields, report);
    if let Some(what) = frontmatter::disagreement(head.text, &fields) {
        report.skill("YAML_DISAGREES", None, what);
    }
    for field in &fields {
        one(field, folder, report);
    }
}

fn keys(fields: &[Field], report: &mut Report<'_>) {
    for (index, field) in fields.iter().enumerate() {
        let line = Some(field.line);
        let is_known = field.key.starts_with("metadata.") || KEYS.contains(&field.key.as_str());
        if !is_known {
            let message = format!(
                "{}: strict validators refuse the skill; what one platform alone knows is written when it is installed",
                field.key
            );
            report.skill("KEY_UNKNOWN", line, message);
        }
        if fields
            .iter()
            .take(index)
            .any(|other| other.key == field.key)
        {
            report.skill("KEY_TWICE", line, field.key.clone());
        }
    }
    for key in KEYS {
        if !fields.iter().any(|field| field.key == key) {
            report.skill("KEY_MISSING", None, key);
        }
    }
}

fn one(field: &Field, folder: &str, report: &mut Report<'_>) {
    let (line, value) = (Some(field.line), field.value.as_str());
    let length = value.chars().count();
    match field.key.as_str() {
        "name" => {
            if !is_name(value) {
                report.skill("NAME_FORM", line, format!("got \"{value}\""));
            }
            if value != folder {
                let message = format!("got \"{value}\" in the folder \"{folder}\"");
                report.skill("NAME_FOLDER", line, message);
            }
        }
        "description" => description(field, report),
        "compatibility" if !(1..=500).contains(&length) => {
            report.skill("COMPATIBILITY_LENGTH", line, format!("got {length}"));
        }
        key if key.starts_with("metadata.") && field.style != Style::Quoted => {
            report.skill("METADATA_QUOTES", line, format!("{key}: {value}"));
        }
        _ => {}
    }
}

fn description(field: &Field, report: &mut Report<'_>) {
    let (line, value) = (Some(field.line), field.value.as_str());
    let length = value.chars().count();
    if !matches!(field.style, Style::Quoted | Style::Folded) {
        let message = "plain text is cut at a # and broken by a colon";
        report.skill("DESCRIPTION_QUOTES", line, message);
    }
    if !(1..=MAX_DESCRIPTION).contains(&length) {
        report.skill("DESCRIPTION_LENGTH", line, format!("got {length}"));
    }
    if value.contains(['<', '>']) {
        report.skill("DESCRIPTION_ANGLE", line, "some validators refuse it");
    }
    if !value.contains("Use when") {
        let message = "agents choose by the description alone";
        report.skill("DESCRIPTION_WHEN", line, message);
    }
}

/// Whether this may be the name of a skill.
pub(super) fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        !part.is_empty() && part.chars().all(plain)
    };
    name.len() <= 64 && name.split('-').all(part)
}
