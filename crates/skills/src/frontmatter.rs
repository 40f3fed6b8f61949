//! The lines between the two `---` of a `SKILL.md`, in the small part of YAML that no parser reads in
//! another way: no flow style, no anchors, no comments, no plain text that could be cut or become a number.

use saphyr::{LoadableYamlNode as _, Yaml};

/// How a value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A bare word.
    Plain,
    /// In double quotes.
    Quoted,
    /// Folded lines after `>-`.
    Folded,
    /// Further keys, indented.
    Map,
}

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The key; of a key inside `metadata`, `metadata.<key>`.
    pub key: String,
    /// The value; empty for a map.
    pub value: String,
    /// How it was written.
    pub style: Style,
    /// The line in the file, counted from 1.
    pub line: usize,
}

/// A line that is not of the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread {
    /// The line in the file, counted from 1.
    pub line: usize,
    /// What is wrong with it, and what to write.
    pub what: String,
}

/// Reads the lines between the dashes; `first` is the number of the first of them in the file.
///
/// # Errors
/// The first line that is not of the form.
pub fn read(text: &str, first: usize) -> Result<Vec<Field>, Misread> {
    let mut fields: Vec<Field> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = first + index;
        match line.strip_prefix("  ") {
            Some(inner) => indented(inner, number, &mut fields)?,
            None => fields.push(field(line, number, "")?),
        }
    }
    let unfilled = fields
        .iter()
        .find(|field| field.style == Style::Folded && field.value.is_empty());
    match unfilled {
        Some(field) => Err(misread(field.line, "nothing follows the >-")),
        None => Ok(fields),
    }
}

/// A line inside a folded value or inside a map.
fn indented(inner: &str, line: usize, fields: &mut Vec<Field>) -> Result<(), Misread> {
    let owner = fields.iter_mut().rfind(|field| !field.key.contains('.'));
    match owner.map(|field| (field.style, field)) {
        Some((Style::Folded, field)) => {
            let odd = inner.is_empty() || inner != inner.trim() || inner.contains('\t');
            if odd {
                return Err(misread(line, "a folded line is two spaces and then text"));
            }
            if !field.value.is_empty() {
                field.value.push(' ');
            }
            field.value.push_str(inner);
            Ok(())
        }
        Some((Style::Map, field)) => {
            let prefix = format!("{}.", field.key);
            let inner = self::field(inner, line, &prefix)?;
            fields.push(inner);
            Ok(())
        }
        _ => Err(misread(line, "an indented line belongs to nothing")),
    }
}

fn field(line: &str, number: usize, prefix: &str) -> Result<Field, Misread> {
    let form = "expected key: \"value\", key: word, key: >- or metadata:";
    let (key, rest) = line.split_once(':').ok_or_else(|| misread(number, form))?;
    let is_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if key.is_empty() || !key.chars().all(is_key) {
        return Err(misread(number, form));
    }
    let (style, value) = match rest {
        "" if prefix.is_empty() => (Style::Map, String::new()),
        " >-" if prefix.is_empty() => (Style::Folded, String::new()),
        _ => {
            let written = rest
                .strip_prefix(' ')
                .ok_or_else(|| misread(number, form))?;
            value(written).map_err(|what| misread(number, what))?
        }
    };
    Ok(Field {
        key: format!("{prefix}{key}"),
        value,
        style,
        line: number,
    })
}

/// A value on the line of its key.
fn value(written: &str) -> Result<(Style, String), &'static str> {
    if let Some(rest) = written.strip_prefix('"') {
        return unquote(rest).map(|text| (Style::Quoted, text));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '_' | '/' | '-');
    let begins = written.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && written.chars().all(is_plain) && written == written.trim_end() {
        return Ok((Style::Plain, written.to_owned()));
    }
    Err("only letters, digits, spaces and ._/- may stand without quotes; put it in double quotes")
}

/// The text of a double-quoted value, behind its first quote.
fn unquote(rest: &str) -> Result<String, &'static str> {
    let mut text = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' if chars.as_str().is_empty() => return Ok(text),
            '"' => return Err("something follows the closing quote"),
            '\\' => match chars.next() {
                Some(c @ ('"' | '\\')) => text.push(c),
                _ => return Err("only \\\" and \\\\ are escapes that all parsers know"),
            },
            c if c.is_control() => return Err("a control character"),
            c => text.push(c),
        }
    }
    Err("the closing quote is missing")
}

fn misread(line: usize, what: &str) -> Misread {
    Misread {
        line,
        what: what.to_owned(),
    }
}

/// Where a YAML parser reads something else than [`read`] did; `None` when it agrees. Only for lines that
/// `read` took: others could make a parser work without end.
#[must_use]
pub fn disagreement(text: &str, fields: &[Field]) -> Option<String> {
    let documents = match Yaml::load_from_str(text) {
        Ok(documents) => documents,
        Err(error) => return Some(format!("a YAML parser refuses it: {error}")),
    };
    let [document] = documents.as_slice() else {
        return Some(format!("a YAML parser sees {} documents", documents.len()));
    };
    let wrong = fields.iter().find(|field| {
        let mut place = Some(document);
        for key in field.key.split('.') {
            place = place.and_then(|place| place.as_mapping_get(key));
        }
        match field.style {
            Style::Map => place.and_then(Yaml::as_mapping).is_none(),
            _ => place.and_then(Yaml::as_str) != Some(field.value.as_str()),
        }
    });
    let wrong = wrong?;
    Some(format!(
        "a YAML parser does not read {} as the text \"{}\"; put it in double quotes",
        wrong.key,
        wrong.value.escape_debug()
    ))
}
