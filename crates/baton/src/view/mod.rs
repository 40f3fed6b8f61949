//! A change as a person is shown it before they approve: read from the two trees, the files that need
//! a look first at the top, every character what it is, and at the end what is not shown.

pub(crate) mod code;
pub(crate) mod glyphs;
mod moved;
mod rows;
#[cfg(test)]
mod tests;

use baton_core::digest;
use baton_core::git::{ObjectStore, Oid};
use baton_core::policy::Policy;
use baton_core::problem::Problem;
use baton_core::rules::{Case, PathRules};
use baton_core::terminal::visible_line;
use baton_patch::raw::{self, RawChange};
use baton_patch::{Limits, LineKind, Mode, Section};

use self::rows::{Left, Line};

/// Changed lines of a generated file that are shown before the rest is folded.
const FOLD: usize = 40;
/// Where a file says that it is generated, in bytes from its beginning.
const HEAD: usize = 2_048;
/// A binary file larger than this is named by git's own id instead of its SHA-256.
const MOST_HASHED: u64 = 64 << 20;

/// What hides secrets in a text.
pub(crate) type Mask<'a> = dyn Fn(&[u8]) -> Result<Vec<u8>, Problem> + 'a;

/// How a change is shown.
pub(crate) struct Settings<'a> {
    /// For protected zones and lockfiles.
    pub(crate) policy: &'a Policy,
    pub(crate) limits: Limits,
    /// How many columns there are.
    pub(crate) width: usize,
    /// How many rows of content are shown in all.
    pub(crate) most: usize,
    /// Show generated files whole.
    pub(crate) unfold: bool,
    /// Hides secrets; keeps the number of lines.
    pub(crate) mask: &'a Mask<'a>,
}

/// What is shown.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Line by line.
    pub(crate) lines: Vec<String>,
    /// What of the change cannot be seen in these lines.
    pub(crate) not_shown: Vec<String>,
}

/// The policy's rules about paths.
struct Rules<'a> {
    zones: PathRules<'a>,
    locks: PathRules<'a>,
}

/// One path of the change.
struct File<'a> {
    raw: RawChange,
    sections: Vec<&'a Section<'a>>,
    lines: Vec<Line>,
    /// What needs a look first.
    flags: Vec<String>,
    /// Why most of it is folded, if it is.
    folded: Option<&'static str>,
}

/// Shows what lies between two trees.
///
/// # Errors
/// `GIT_FAILED`, `PATCH_REFUSED`, `READER_DISAGREES`, and what masking says.
pub(crate) fn of(
    objects: &ObjectStore,
    (base_tree, tree): (&Oid, &Oid),
    settings: &Settings<'_>,
) -> Result<View, Problem> {
    let listing = objects.raw_between(base_tree, tree)?;
    let raws = raw::read(&listing)
        .map_err(|error| Problem::zero_stop("READER_DISAGREES", error.to_string()))?;
    let patch = objects.patch_between(base_tree, tree)?;
    let read = baton_patch::parse(&patch, &settings.limits)
        .map_err(|refusal| baton_core::candidate::refused(&refusal))?;
    let rules = Rules {
        zones: PathRules::compile(&settings.policy.protected_zones, Case::Folded)?,
        locks: PathRules::compile(&settings.policy.lockfiles, Case::Folded)?,
    };
    let mut files = Vec::new();
    for raw in raws {
        let is_its = |section: &&Section<'_>| section.path() == raw.path;
        let sections: Vec<_> = read.sections.iter().filter(is_its).collect();
        let mut file = File {
            lines: lines_of(&sections, settings)?,
            sections,
            flags: Vec::new(),
            folded: None,
            raw,
        };
        look_at(&mut file, objects, &rules, settings.unfold)?;
        files.push(file);
    }
    mark_moved(&mut files);
    // What needs a look first comes first; git's order within.
    files.sort_by_key(|file| file.flags.is_empty());
    let mut view = show(&files, settings);
    view.lines = wrapped(view.lines, settings.width);
    Ok(view)
}

/// Breaks lines that are wider than the terminal, which would else go on in its first column: that one
/// is baton's own.
pub(crate) fn wrapped(lines: Vec<String>, width: usize) -> Vec<String> {
    let mut rows = Vec::with_capacity(lines.len());
    for line in lines {
        let mut row = String::new();
        let mut used = 0;
        for c in visible_line(&line).chars() {
            let columns = glyphs::columns(c);
            if used + columns > width {
                rows.push(std::mem::replace(&mut row, "      : ".to_owned()));
                used = row.len();
            }
            row.push(c);
            used += columns;
        }
        rows.push(row);
    }
    rows
}

/// The lines of a file, secrets masked. Whatever masking makes of a text, no line may go missing.
fn lines_of(sections: &[&Section<'_>], settings: &Settings<'_>) -> Result<Vec<Line>, Problem> {
    let mut lines = Vec::new();
    for hunk in sections.iter().flat_map(|section| section.hunks()) {
        for (at, line) in hunk.lines().enumerate() {
            lines.push(Line {
                kind: line.kind,
                text: line.text.to_vec(),
                old: line.old_number,
                new: line.new_number,
                no_newline: line.no_newline,
                moved: false,
                after_gap: at == 0 && !lines.is_empty(),
            });
        }
    }
    let texts: Vec<_> = lines.iter().map(|line| line.text.as_slice()).collect();
    let masked = (settings.mask)(&texts.join(&b'\n'))?;
    let masked: Vec<_> = masked
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    if !lines.is_empty() && masked.len() != lines.len() {
        return Err(Problem::fail(
            "INTERNAL_ERROR",
            "masking lost a line of the change",
        ));
    }
    for (line, text) in lines.iter_mut().zip(masked) {
        line.text = text;
    }
    Ok(lines)
}

/// Says what about a file needs a look first, and whether it is folded.
fn look_at(
    file: &mut File<'_>,
    objects: &ObjectStore,
    rules: &Rules<'_>,
    unfold: bool,
) -> Result<(), Problem> {
    let raw = file.raw.clone();
    let (old, new) = (raw.old_mode, raw.new_mode);
    let mut flags = Vec::new();
    flags.extend(by_mode(old, new, &raw));
    if file.sections.iter().any(|section| section.is_binary()) {
        flags.push("BINARY, content not shown".to_owned());
        flags.extend(binary(objects, &raw)?);
    }
    if glyphs::path(&raw.path).starts_with('"') {
        flags.push("UNUSUAL NAME".to_owned());
    }
    if let Some(zone) = rules.zones.first_match_folded(&raw.path) {
        flags.push(format!("PROTECTED ZONE {}", zone.id));
    }
    let is_lock = rules.locks.first_match_folded(&raw.path).is_some();
    if is_lock {
        flags.push("LOCKFILE".to_owned());
    }
    let changed = file.lines.iter().filter(|line| line.is_changed()).count();
    let head = |mode: Option<Mode>, id: &str| -> Result<bool, Problem> {
        let is_file = matches!(mode, Some(Mode::Regular | Mode::Executable));
        // What is short is shown whole, whatever it says of itself.
        Ok(is_file && changed > FOLD && says_generated(objects, id)?)
    };
    let was = head(old, &raw.old_id)?;
    let is = head(new, &raw.new_id)?;
    // A file that the change itself calls generated is shown whole, or the word would hide anything.
    file.folded = match (was && is, is_lock) {
        _ if unfold => None,
        (true, _) => Some("generated"),
        (_, true) => Some("lockfile"),
        _ => None,
    };
    if is && !was {
        flags.push("SAYS THAT IT IS GENERATED, and did not before: shown whole".to_owned());
    }
    let odd = file
        .lines
        .iter()
        .filter(|line| line.is_changed() && is_odd(&line.text))
        .count();
    if odd > 0 {
        flags.push(format!(
            "{odd} LINES WITH CHARACTERS THAT HIDE OR PASS FOR OTHERS"
        ));
    }
    file.flags = flags;
    Ok(())
}

/// Whether escapes stand in what is shown of a line that were not in its text.
fn is_odd(text: &[u8]) -> bool {
    let count = |text: &str| text.matches("\\u{").count();
    let body = text.strip_suffix(b"\r").unwrap_or(text);
    let shown = glyphs::line(body);
    count(&shown) > count(&String::from_utf8_lossy(body))
        || (shown.contains("\\r") && body.contains(&b'\r'))
}

fn by_mode(old: Option<Mode>, new: Option<Mode>, raw: &RawChange) -> Vec<String> {
    let mut flags = Vec::new();
    match (old, new) {
        (Some(_), None) => flags.push("DELETED".to_owned()),
        (old, Some(Mode::Submodule)) => {
            let from = old.map_or("new".to_owned(), |_| raw.old_id.clone());
            flags.push(format!(
                "SUBMODULE {from} -> {}: its content is not looked at",
                raw.new_id
            ));
        }
        (None, Some(Mode::Symlink)) => flags.push("NEW SYMLINK".to_owned()),
        (Some(Mode::Symlink), Some(Mode::Symlink)) => {
            flags.push("SYMLINK POINTS ELSEWHERE".to_owned())
        }
        (Some(_), Some(Mode::Symlink)) => flags.push("FILE BECOMES A SYMLINK".to_owned()),
        (Some(Mode::Symlink | Mode::Submodule), Some(_)) => flags.push("BECOMES A FILE".to_owned()),
        (None, Some(Mode::Executable)) => flags.push("NEW EXECUTABLE".to_owned()),
        (Some(Mode::Regular), Some(Mode::Executable)) => {
            flags.push("BECOMES EXECUTABLE".to_owned())
        }
        (Some(Mode::Executable), Some(Mode::Regular)) => {
            flags.push("IS NOT EXECUTABLE ANY MORE".to_owned())
        }
        _ => {}
    }
    flags
}

/// Sizes and digests of a binary file, before and after.
fn binary(objects: &ObjectStore, raw: &RawChange) -> Result<[String; 2], Problem> {
    let side = |mode: Option<Mode>, id: &str| -> Result<String, Problem> {
        if mode.is_none() {
            return Ok("nothing".to_owned());
        }
        let id = Oid::parse(id)?;
        let size = objects
            .blob_sizes(std::slice::from_ref(&id))?
            .first()
            .copied()
            .flatten();
        let size = size.unwrap_or_default();
        if size > MOST_HASHED {
            return Ok(format!("{size} bytes git={id}"));
        }
        let content = objects.blobs(&[id])?.pop().unwrap_or_default();
        Ok(format!("{size} bytes sha256={}", digest::sha256(&content)))
    };
    let old = side(raw.old_mode, &raw.old_id)?;
    let new = side(raw.new_mode, &raw.new_id)?;
    Ok([format!("before: {old}"), format!("after: {new}")])
}

fn says_generated(objects: &ObjectStore, id: &str) -> Result<bool, Problem> {
    let id = Oid::parse(id)?;
    let size = objects
        .blob_sizes(std::slice::from_ref(&id))?
        .first()
        .copied()
        .flatten();
    if size.is_none_or(|size| size > MOST_HASHED) {
        return Ok(false);
    }
    let content = objects.blobs(&[id])?.pop().unwrap_or_default();
    let head = String::from_utf8_lossy(content.get(..HEAD).unwrap_or(&content)).to_lowercase();
    Ok(head.contains("@generated") || (head.contains("generated") && head.contains("do not edit")))
}

fn mark_moved(files: &mut [File<'_>]) {
    let collect = |kind: LineKind| {
        let mut all = Vec::new();
        for file in files.iter() {
            let mut before = None;
            for (at, line) in file.lines.iter().enumerate() {
                if line.kind == kind {
                    // Blocks may be broken by lines of the other kind, not by context.
                    let mut between = file
                        .lines
                        .get(before.map_or(at, |before: usize| before + 1)..at)
                        .into_iter()
                        .flatten();
                    let follows =
                        before.is_some() && !line.after_gap && between.all(Line::is_changed);
                    all.push((line.text.clone(), follows));
                    before = Some(at);
                }
            }
        }
        all
    };
    let (added, removed) = (collect(LineKind::Added), collect(LineKind::Removed));
    let added: Vec<_> = added
        .iter()
        .map(|(text, follows)| (text.as_slice(), *follows))
        .collect();
    let removed: Vec<_> = removed
        .iter()
        .map(|(text, follows)| (text.as_slice(), *follows))
        .collect();
    let moved = moved::find(&added, &removed);
    let (mut here, mut away) = (moved.here.into_iter(), moved.away.into_iter());
    for line in files.iter_mut().flat_map(|file| file.lines.iter_mut()) {
        line.moved = match line.kind {
            LineKind::Added => here.next(),
            LineKind::Removed => away.next(),
            LineKind::Context => None,
        }
        .unwrap_or_default();
    }
}

fn count(file: &File<'_>, kind: LineKind) -> usize {
    file.lines.iter().filter(|line| line.kind == kind).count()
}

fn show(files: &[File<'_>], settings: &Settings<'_>) -> View {
    let mut view = View::default();
    let all = |kind| files.iter().map(|file| count(file, kind)).sum::<usize>();
    let moved = files
        .iter()
        .flat_map(|file| &file.lines)
        .filter(|line| line.moved)
        .count();
    view.lines.push(format!(
        "{} files, {} lines added, {} taken away, {moved} of these only moved (marked > and <)",
        files.len(),
        all(LineKind::Added),
        all(LineKind::Removed),
    ));
    for file in files {
        let mark = if file.flags.is_empty() { ' ' } else { '!' };
        let counts = format!(
            "+{} -{}",
            count(file, LineKind::Added),
            count(file, LineKind::Removed)
        );
        let op = if file.raw.old_mode.is_none() {
            " new"
        } else {
            ""
        };
        view.lines.push(format!(
            "{mark} {}{op} {counts}",
            glyphs::path(&file.raw.path)
        ));
        view.lines
            .extend(file.flags.iter().map(|flag| format!("!     {flag}")));
        not_shown(file, &mut view.not_shown);
    }
    let mut room = settings.most;
    let mut left = Left::default();
    for (at, file) in files.iter().enumerate() {
        let name = glyphs::path(&file.raw.path);
        view.lines
            .push(format!("== {} of {}: {name}", at + 1, files.len()));
        content(file, settings, &mut room, &mut left, &mut view);
    }
    if left.characters > 0 {
        view.not_shown
            .push(format!("{} characters of overlong lines", left.characters));
    }
    view
}

fn not_shown(file: &File<'_>, list: &mut Vec<String>) {
    let name = glyphs::path(&file.raw.path);
    if file.sections.iter().any(|section| section.is_binary()) {
        list.push(format!("{name}: the content of a binary file"));
    }
    if file.raw.new_mode == Some(Mode::Submodule) {
        list.push(format!("{name}: everything in the submodule"));
    }
}

/// The rows of one file, as many as there is room for.
fn content(
    file: &File<'_>,
    settings: &Settings<'_>,
    room: &mut usize,
    left: &mut Left,
    view: &mut View,
) {
    let name = glyphs::path(&file.raw.path);
    let changed = file.lines.iter().filter(|line| line.is_changed()).count();
    let mut lines = file.lines.as_slice();
    if let Some(why) = file.folded.filter(|_| changed > FOLD) {
        let mut seen = 0;
        let end = file.lines.iter().position(|line| {
            seen += usize::from(line.is_changed());
            seen > FOLD
        });
        lines = file
            .lines
            .get(..end.unwrap_or(file.lines.len()))
            .unwrap_or_default();
        let folded = changed - FOLD;
        view.not_shown.push(format!(
            "{name}: {folded} changed lines of a {why} file, folded; --unfold shows them"
        ));
    }
    let mut rows = rows::of(lines, settings.width, left);
    if rows.len() > *room {
        let gone = rows.len() - *room;
        rows.truncate(*room);
        view.not_shown
            .push(format!("{name}: {gone} rows, for lack of room"));
        rows.push(format!("{:>16}[{gone} more rows are not shown]", ""));
    }
    *room = room.saturating_sub(rows.len());
    view.lines.append(&mut rows);
    if lines.len() < file.lines.len() {
        view.lines.push(format!(
            "{:>16}[{} more changed lines are folded]",
            "",
            changed.saturating_sub(FOLD)
        ));
    }
}

/// How wide the terminal is that people read standard error on.
pub(crate) fn width() -> usize {
    const USUAL: usize = 100;
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.map_or(USUAL, |size| usize::from(size.ws_col))
        .clamp(60, 240)
}
