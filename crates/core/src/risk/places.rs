//! What a change touches: paths, operations, modes, links, sizes.

use std::collections::HashMap;

use baton_patch::{Body, Mode, Op, path};

use super::{Hit, HitKind, ScanFile, ScanInput};
use crate::envelope::Severity;
use crate::policy::{PathRule, Policy};
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
        for path in [Some(&file.path), file.old_path.as_ref()]
            .into_iter()
            .flatten()
        {
            by_path(&places, path, &mut hits);
        }
        by_name(file, &mut hits);
        by_operation(file, policy, &mut hits);
        by_mode(file, &mut hits);
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

fn by_path(places: &Places<'_>, path: &str, hits: &mut Vec<Hit>) {
    if places.allowlist.first_match(path).is_none() {
        hits.push(hit(
            HitKind::Allowlist,
            "allowlist",
            Severity::Critical,
            path,
            "is outside the policy's allowlist",
        ));
    }
    if places
        .scope
        .as_ref()
        .is_some_and(|scope| !scope.allows(path))
    {
        hits.push(hit(
            HitKind::Allowlist,
            "task-scope",
            Severity::Critical,
            path,
            "is not among the files that the task may change",
        ));
    }
    // What folding makes of a name is matched too: `A.PEM.` is a key on some file systems.
    let folded = String::from_utf8_lossy(&path::fold(path.as_bytes())).into_owned();
    let rule = |rules: &PathRules<'_>| -> Option<PathRule> {
        rules
            .first_match(path)
            .or_else(|| rules.first_match(&folded))
            .cloned()
    };
    if let Some(rule) = rule(&places.denied) {
        hits.push(hit(
            HitKind::Allowlist,
            &rule.id,
            Severity::Critical,
            path,
            rule.reason,
        ));
    }
    if let Some(rule) = rule(&places.protected) {
        hits.push(hit(
            HitKind::Protected,
            &rule.id,
            Severity::High,
            path,
            rule.reason,
        ));
    }
    if let Some(rule) = rule(&places.lockfiles) {
        hits.push(hit(
            HitKind::Lockfile,
            &rule.id,
            Severity::High,
            path,
            rule.reason,
        ));
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
    let gone = match (file.op, file.old_lines) {
        (Op::Delete, _) => Some("the file is deleted".to_owned()),
        (Op::Modify, _) if is_emptied(file) => Some("the file is emptied".to_owned()),
        (Op::Modify, Some(old)) if old > 0 && removed * 100 >= old * share => Some(format!(
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
    match new {
        Some(Mode::Symlink) => link_target(file, hits),
        // No allowlist speaks of what a submodule brings in.
        Some(Mode::Submodule) => hits.push(hit(
            HitKind::Allowlist,
            "SUBMODULE",
            Severity::Critical,
            &file.path,
            "is a submodule: its content comes from elsewhere and was not read",
        )),
        _ => {}
    }
}

/// A link's content is its target; one that is absolute or climbs out of the tree reaches what the
/// allowlist does not name.
fn link_target(file: &ScanFile<'_>, hits: &mut Vec<Hit>) {
    let target: Vec<u8> = file
        .section
        .added_text()
        .flat_map(|(_, text)| text.to_vec())
        .collect();
    let depth = file
        .section
        .path()
        .iter()
        .filter(|byte| **byte == b'/')
        .count();
    let mut level = depth;
    let mut leaves = target.starts_with(b"/");
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b".." if level == 0 => leaves = true,
            b".." => level -= 1,
            b"" | b"." => {}
            _ => level += 1,
        }
    }
    let into_git = target
        .split(|byte| *byte == b'/')
        .any(|part| part.eq_ignore_ascii_case(b".git"));
    if leaves || into_git {
        let shown = target.escape_ascii().to_string();
        let shown: String = shown.chars().take(100).collect();
        hits.push(hit(
            HitKind::Allowlist,
            "LINK_LEAVES_TREE",
            Severity::Critical,
            &file.path,
            format!("links to {shown}, outside the tree"),
        ));
    }
}

/// Two paths that are one file on some file systems.
fn collisions(input: &ScanInput<'_>, hits: &mut Vec<Hit>) {
    let mut seen: HashMap<Vec<u8>, &str> = HashMap::new();
    for file in input.files.iter().filter(|file| file.op != Op::Delete) {
        let key = path::fold(file.section.path());
        if let Some(other) = seen
            .insert(key, &file.path)
            .filter(|other| *other != file.path)
        {
            hits.push(hit(
                HitKind::Allowlist,
                "PATH_COLLISION",
                Severity::Critical,
                &file.path,
                format!("is the same file as {other} on some file systems"),
            ));
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
