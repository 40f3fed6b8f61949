//! What a change touches: paths, operations, modes, links, sizes.

use std::collections::HashMap;

use baton_patch::{Body, Mode, Op, path};

use super::{Hit, HitKind, ScanFile, ScanInput};
use crate::envelope::{QUEUE_ROOT, Severity};
use crate::manifest::SSOT;
use crate::policy::Policy;
use crate::problem::Problem;
use crate::rules::{Case, PathRules, ScopeRules};
use crate::task::Scope;

/// The compiled path rules of one scan.
struct Places<'a> {
    allowlist: PathRules<'a>,
    denied: PathRules<'a>,
    protected: PathRules<'a>,
    lockfiles: PathRules<'a>,
    scope: Option<ScopeRules>,
}

/// Finds everything that paths and modes tell.
pub(super) fn scan(
    input: &ScanInput<'_>,
    policy: &Policy,
    scope: Option<&Scope>,
) -> Result<Vec<Hit>, Problem> {
    let places = Places {
        allowlist: PathRules::compile(&policy.allowlist, Case::Exact)?,
        denied: PathRules::compile(&policy.deny_paths, Case::Folded)?,
        protected: PathRules::compile(&policy.protected_zones, Case::Folded)?,
        lockfiles: PathRules::compile(&policy.lockfiles, Case::Folded)?,
        scope: scope.map(ScopeRules::compile).transpose()?,
    };
    let mut hits = Vec::new();
    for file in &input.files {
        by_path(&places, file.section.path(), &file.path, &mut hits);
        if let (Some(old), Some(shown)) = (&file.section.old_path, &file.old_path) {
            by_path(&places, old, shown, &mut hits);
        }
        by_name(file, &mut hits);
        by_operation(file, policy, &mut hits);
        by_mode(file, &mut hits);
        link_target(file, &places, &mut hits);
    }
    collisions(input, &mut hits);
    sizes(input, policy, &mut hits);
    Ok(hits)
}

fn hit(
    kind: HitKind,
    rule: &str,
    severity: Severity,
    path: &str,
    message: impl Into<String>,
) -> Hit {
    Hit {
        kind,
        rule: rule.to_owned(),
        severity,
        path: path.to_owned(),
        line: None,
        excerpt: String::new(),
        message: message.into(),
    }
}

/// Folders that no policy opens: a change to them would reach into the running pipeline, or into the
/// rules that judge the next change.
fn built_in(path: &[u8]) -> Option<(HitKind, Severity, &'static str)> {
    let folded = path::fold(path);
    let lies_in = |folder: &str| {
        folded
            .strip_prefix(folder.as_bytes())
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    };
    if path::check(path).is_err() {
        let why = "is no plain path inside the repository, or reaches into .git";
        return Some((HitKind::Allowlist, Severity::Critical, why));
    }
    if lies_in(QUEUE_ROOT) {
        let why = "is part of the queue, which is never committed";
        return Some((HitKind::Allowlist, Severity::Critical, why));
    }
    if lies_in(SSOT) {
        let why = "holds the rules that judge the next change";
        return Some((HitKind::Protected, Severity::High, why));
    }
    None
}

fn by_path(places: &Places<'_>, path: &[u8], shown: &str, hits: &mut Vec<Hit>) {
    let mut add = |kind, rule: &str, severity, message: &str| {
        hits.push(hit(kind, rule, severity, shown, message));
    };
    if let Some((kind, severity, why)) = built_in(path) {
        add(kind, "built-in", severity, why);
    }
    let critical = Severity::Critical;
    if places.allowlist.first_match(path).is_none() {
        let why = "is outside the policy's allowlist";
        add(HitKind::Allowlist, "allowlist", critical, why);
    }
    if places
        .scope
        .as_ref()
        .is_some_and(|scope| !scope.allows(path))
    {
        let why = "is not among the files that the task may change";
        add(HitKind::Allowlist, "task-scope", critical, why);
    }
    for (rules, kind, severity) in [
        (&places.denied, HitKind::Allowlist, critical),
        (&places.protected, HitKind::Protected, Severity::High),
        (&places.lockfiles, HitKind::Lockfile, Severity::High),
    ] {
        if let Some(rule) = rules.first_match_folded(path) {
            add(kind, &rule.id, severity, &rule.reason);
        }
    }
}

fn by_name(file: &ScanFile<'_>, hits: &mut Vec<Hit>) {
    for warning in path::warnings(file.section.path()) {
        hits.push(hit(
            HitKind::Other,
            warning.as_str(),
            Severity::Medium,
            &file.path,
            "the name hides something or means another file elsewhere",
        ));
    }
}

fn by_operation(file: &ScanFile<'_>, policy: &Policy, hits: &mut Vec<Hit>) {
    let share = policy.caps.delete_share_percent;
    let removed = (file.section.deletions as u64).saturating_sub(file.section.insertions as u64);
    let stays = matches!(file.op, Op::Modify | Op::Rename);
    let gone = match file.old_lines.or_else(|| whole_length(file)) {
        _ if file.op == Op::Delete => Some("the file is deleted".to_owned()),
        _ if stays && is_emptied(file) => Some("the file is emptied".to_owned()),
        Some(old) if stays && old > 0 && removed * 100 >= old * share => Some(format!(
            "{removed} of {old} lines are gone, the policy draws the line at {share} percent"
        )),
        _ => None,
    };
    if let Some(message) = gone {
        hits.push(hit(
            HitKind::Delete,
            "delete",
            Severity::Critical,
            &file.path,
            message,
        ));
    }
}

/// How many lines the old file has, where the text alone shows it: one hunk from the first line on,
/// without context, is the whole file, or git would have shown what surrounds it.
fn whole_length(file: &ScanFile<'_>) -> Option<u64> {
    match file.section.hunks() {
        [hunk] if hunk.old_start == 1 && hunk.old_count == hunk.deletions => {
            Some(hunk.old_count as u64)
        }
        _ => None,
    }
}

fn is_emptied(file: &ScanFile<'_>) -> bool {
    match &file.section.body {
        Body::Text(hunks) => {
            matches!(hunks.as_slice(), [hunk] if hunk.new_count == 0 && hunk.new_start == 0)
        }
        Body::Binary { new, .. } => new.is_empty(),
        Body::BinaryDelta(_) => file.binary.as_ref().is_some_and(Vec::is_empty),
        Body::None => false,
    }
}

fn by_mode(file: &ScanFile<'_>, hits: &mut Vec<Hit>) {
    let (old, new) = (file.section.old_mode, file.section.new_mode);
    let mut add = |rule: &str, severity, message: &str| {
        hits.push(hit(HitKind::Other, rule, severity, &file.path, message))
    };
    match new {
        Some(Mode::Executable) if old != Some(Mode::Executable) => {
            add("MODE_EXECUTABLE", Severity::Medium, "becomes executable");
        }
        Some(Mode::Symlink) => add("SYMLINK", Severity::Medium, "is a symbolic link"),
        _ => {}
    }
    if file.op == Op::Type {
        add("TYPE_CHANGE", Severity::High, "changes its type");
    }
    if file.section.is_binary() && file.op != Op::Delete {
        add(
            "BINARY",
            Severity::Medium,
            "is binary: nobody can review it as text",
        );
    }
    if matches!(file.section.body, Body::BinaryDelta(_)) && file.binary.is_none() {
        add(
            "BINARY_UNREAD",
            Severity::High,
            "is a binary difference whose content could not be read here",
        );
    }
    // No allowlist speaks of what a submodule brings in.
    if new == Some(Mode::Submodule) {
        hits.push(hit(
            HitKind::Allowlist,
            "SUBMODULE",
            Severity::Critical,
            &file.path,
            "is a submodule: its content comes from elsewhere and was not read",
        ));
    }
}

/// A link's content is its target; one that is absolute, climbs out of the tree or points at what is
/// denied reaches what the allowlist does not name.
fn link_target(file: &ScanFile<'_>, places: &Places<'_>, hits: &mut Vec<Hit>) {
    if file.section.new_mode != Some(Mode::Symlink) {
        return;
    }
    let target: Vec<u8> = file
        .section
        .new_text()
        .flat_map(|text| text.text)
        .chain(file.binary.iter().flatten().copied())
        .collect();
    if target.is_empty() {
        return;
    }
    let forbidden = resolve(file.section.path(), &target).is_none_or(|path| {
        let closed = built_in(&path).is_some_and(|(kind, ..)| kind == HitKind::Allowlist);
        closed || places.denied.first_match_folded(&path).is_some()
    });
    if forbidden {
        let shown: String = target.escape_ascii().map(char::from).take(100).collect();
        hits.push(hit(
            HitKind::Allowlist,
            "LINK_LEAVES_TREE",
            Severity::Critical,
            &file.path,
            format!("links to {shown}, outside of what a change may reach"),
        ));
    }
}

/// The path that a link at `path` points at; none when it is absolute or climbs out of the tree.
fn resolve(path: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    if target.starts_with(b"/") {
        return None;
    }
    let mut parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    parts.pop();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b".." => drop(parts.pop()?),
            b"" | b"." => {}
            name => parts.push(name),
        }
    }
    // The root counts as outside, for `.git` lies below it.
    (!parts.is_empty()).then(|| parts.join(&b'/'))
}

/// Two paths that are one file on some file systems, or one that is a folder of the other there.
fn collisions(input: &ScanInput<'_>, hits: &mut Vec<Hit>) {
    let stays = |file: &&ScanFile<'_>| file.op != Op::Delete;
    let mut add = |file: &ScanFile<'_>, other: &str| {
        hits.push(hit(
            HitKind::Allowlist,
            "PATH_COLLISION",
            Severity::Critical,
            &file.path,
            format!("meets {other} on some file systems"),
        ));
    };
    let mut seen: HashMap<Vec<u8>, &ScanFile<'_>> = HashMap::new();
    for file in input.files.iter().filter(stays) {
        if let Some(other) = seen
            .insert(path::fold(file.section.path()), file)
            .filter(|other| other.section.path() != file.section.path())
        {
            add(file, &other.path);
        }
    }
    for file in input.files.iter().filter(stays) {
        let folded = path::fold(file.section.path());
        let folders = folded.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for folder in folders.filter_map(|(at, _)| folded.get(..at)) {
            if let Some(other) = seen.get(folder) {
                add(file, &other.path);
            }
        }
    }
}

fn sizes(input: &ScanInput<'_>, policy: &Policy, hits: &mut Vec<Hit>) {
    let files = input.files.len() as u64;
    if files > policy.caps.max_changed_files {
        let message = format!(
            "{files} files change, the policy allows {}",
            policy.caps.max_changed_files
        );
        hits.push(hit(
            HitKind::Other,
            "TOO_MANY_FILES",
            Severity::High,
            "the change",
            message,
        ));
    }
    for file in &input.files {
        let added: usize = file
            .section
            .added_text()
            .map(|(_, text)| text.len() + 1)
            .sum();
        let binary = file.binary.as_ref().map_or(0, Vec::len);
        let size = (added + binary) as u64;
        if size > policy.caps.max_file_bytes {
            let message = format!(
                "adds {size} bytes, the policy allows {} (max_file_bytes)",
                policy.caps.max_file_bytes
            );
            hits.push(hit(
                HitKind::Other,
                "FILE_TOO_LARGE",
                Severity::High,
                &file.path,
                message,
            ));
        }
    }
}
