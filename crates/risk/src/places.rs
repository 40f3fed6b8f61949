//! What a change touches: paths, operations, modes, links, sizes.

mod git_folder;
mod loss;
pub(crate) mod named;
pub(crate) mod naming;

use std::borrow::Cow;
use std::rc::Rc;

use baton_core::envelope::{Finding, QUEUE_ROOT, Severity};
use baton_core::manifest::SSOT;
use baton_core::policy::{PathRule, Policy};
use baton_core::problem::Problem;
use baton_core::rules::{Case, Globs, PathRules, ScopeRules, check_examples};
use baton_core::session::Session;
use baton_core::spelling;
use baton_core::task::Scope;
use baton_patch::{Body, Mode, Op, path};

use crate::book::RuleBook;
use crate::checks::HitKind;
use crate::hit::Hit;
use crate::input::{ScanFile, ScanInput, shown};
use crate::places::named::Named;

/// How much of a file is read for the words that say a program writes it, in bytes.
const HEAD: usize = 2048;
/// What generated files say of themselves.
const GENERATED: [&[u8]; 4] = [
    b"@generated",
    b"DO NOT EDIT",
    b"Do not edit by hand",
    b"generated automatically",
];

/// The compiled path rules of a policy, and the globs of its content rules.
#[derive(Debug)]
pub(crate) struct Places<'p> {
    allowlist: PathRules<'p>,
    forbidding: Vec<(HitKind, &'p PathRule)>,
    /// Of those that forbid; few, and each is held against its examples.
    globs: Globs,
    content: Globs,
}

/// What the matcher says of one path.
#[derive(Debug)]
pub(crate) struct Matched<'p> {
    /// The first forbidding rule of each kind.
    pub(crate) forbidden: Vec<(HitKind, &'p PathRule)>,
    /// The content rules of which a glob fits.
    pub(crate) content: Vec<usize>,
}

impl<'p> Places<'p> {
    /// Compiles the path rules, checks their examples, and takes in the globs of content rules, each
    /// with its rule's number.
    pub(crate) fn compile(
        policy: &'p Policy,
        content: &[(usize, &'p str)],
    ) -> Result<Self, Problem> {
        let forbidding: Vec<_> = [
            (HitKind::Allowlist, &policy.deny_paths),
            (HitKind::Protected, &policy.protected_zones),
            (HitKind::Lockfile, &policy.lockfiles),
        ]
        .into_iter()
        .flat_map(|(kind, rules)| rules.iter().map(move |rule| (kind, rule)))
        .collect();
        let paths = forbidding.iter().enumerate();
        let paths = paths.map(|(at, (_, rule))| (at, rule.glob.as_str()));
        let invalid = |why| Problem::fail("POLICY_INVALID", format!("policy: {why}"));
        let globs = Globs::compile(paths, Case::Folded).map_err(invalid)?;
        let content = content.iter().copied();
        let content = Globs::compile(content, Case::Folded).map_err(invalid)?;
        for (at, (_, rule)) in forbidding.iter().enumerate() {
            check_examples(&rule.id, &rule.matches, &rule.no_match, |path| {
                globs.owns(at, path.as_bytes())
            })?;
        }
        Ok(Self {
            allowlist: PathRules::compile(&policy.allowlist, Case::Exact)?,
            forbidding,
            globs,
            content,
        })
    }

    /// Matches a path, and the name that other file systems make of it: `A.PEM.` is a key on some.
    pub(crate) fn matched(&self, path: &[u8]) -> Matched<'p> {
        let mut matched = Matched {
            forbidden: Vec::new(),
            content: Vec::new(),
        };
        let others = spelling::others(path).into_iter().map(Cow::Owned);
        for name in std::iter::once(Cow::Borrowed(path)).chain(others) {
            let forbidding = self.globs.owners(&name).into_iter();
            for (kind, rule) in forbidding.filter_map(|owner| self.forbidding.get(owner)) {
                if matched.forbidden.iter().all(|(known, _)| known != kind) {
                    matched.forbidden.push((*kind, rule));
                }
            }
            matched.content.extend(self.content.owners(&name));
        }
        matched
    }

    /// Whether a path lies in a protected zone.
    pub(crate) fn protects(&self, path: &[u8]) -> bool {
        let forbidden = self.matched(path).forbidden;
        forbidden
            .iter()
            .any(|(kind, _)| *kind == HitKind::Protected)
    }

    /// Whether the policy's allowlist holds a path.
    pub(crate) fn allows(&self, path: &[u8]) -> bool {
        self.allowlist.first_match(path).is_some()
    }

    /// Whether a path is denied.
    fn denies(&self, path: &[u8]) -> bool {
        let forbidden = self.matched(path).forbidden;
        forbidden
            .iter()
            .any(|(kind, _)| *kind == HitKind::Allowlist)
    }
}

/// What tells of each of many paths whether it is denied, and nothing else of it.
///
/// # Errors
/// `POLICY_INVALID`.
pub(crate) fn denying(policy: &Policy) -> Result<impl Fn(&[u8]) -> bool + use<>, Problem> {
    let globs = policy.deny_paths.iter().map(|rule| (0, rule.glob.as_str()));
    let invalid = |why| Problem::fail("POLICY_INVALID", format!("policy: {why}"));
    let globs = Globs::compile(globs, Case::Folded).map_err(invalid)?;
    Ok(move |path: &[u8]| {
        let mut others = spelling::others(path).into_iter();
        !globs.owners(path).is_empty() || others.any(|name| !globs.owners(&name).is_empty())
    })
}

/// Finds everything that paths and modes tell.
pub(crate) fn scan<'p>(
    input: &ScanInput<'_>,
    named: &[Rc<Named<'p>>],
    book: &RuleBook<'p>,
    scope: Option<&Scope>,
) -> Result<Vec<Hit>, Problem> {
    let scope = scope.map(ScopeRules::compile).transpose()?;
    let mut hits = Vec::new();
    for (file, named) in input.files.iter().zip(named) {
        let path = file.section.path();
        by_path(book, scope.as_ref(), path, (&file.path, named), &mut hits);
        if let (Some(old), Some(shown)) = (&file.section.old_path, &file.old_path) {
            let named = book.named(old)?;
            by_path(book, scope.as_ref(), old, (shown, &named), &mut hits);
        }
        hits.extend(copied(book, file)?);
        if named.is_odd {
            naming::by_name(file, &named.matched, &mut hits);
        }
        loss::scan(input, file, book.policy, &mut hits);
        by_mode(file, &mut hits);
        link_target(file, &book.places, scope.as_ref(), &mut hits);
        generated(file, &mut hits);
    }
    for source in unlisted(&input.sources, |path| is_of(input, path)) {
        let named = book.named(source)?;
        by_path(
            book,
            scope.as_ref(),
            source,
            (&shown(source), &named),
            &mut hits,
        );
    }
    naming::collisions(input, &mut hits);
    links_on_the_way(input, &mut hits);
    sizes(input, book.policy, &mut hits);
    git_folder::scan(input, &mut hits);
    Ok(hits)
}

/// Whether a change has a file of this path.
fn is_of(input: &ScanInput<'_>, path: &[u8]) -> bool {
    let mut files = input.files.iter();
    files.any(|file| file.section.path() == path)
}

/// The sources of a text that its change does not name: what goes away from such a place is judged there.
fn unlisted(sources: &[Vec<u8>], is_listed: impl Fn(&[u8]) -> bool) -> Vec<&[u8]> {
    let mut sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
    sources.sort_unstable();
    sources.dedup();
    sources.retain(|source| !is_listed(source));
    sources
}

/// Finds what a text takes out of files that may not be touched, before its change is made, which keeps no
/// word of it. `changed` are the paths of that change.
///
/// # Errors
/// What a rule is refused for, `TASK_INVALID`.
pub fn judge_sources(
    given: &[u8],
    changed: &[Vec<u8>],
    session: &Session,
    scope: &Scope,
) -> Result<Vec<Finding>, Problem> {
    let sources = baton_patch::beside(given).sources;
    let sources = unlisted(&sources, |path| changed.iter().any(|other| other == path));
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let book = RuleBook::of_session(session)?;
    let scope = ScopeRules::compile(scope)?;
    let mut hits = Vec::new();
    for source in sources {
        let named = book.named(source)?;
        by_path(
            &book,
            Some(&scope),
            source,
            (&shown(source), &named),
            &mut hits,
        );
    }
    book.leave();
    hits.retain(|hit| hit.kind == HitKind::Allowlist);
    Ok(hits.iter().map(Hit::finding).collect())
}

/// Folders that no policy opens: a change to them would reach into the running pipeline, or into the
/// rules that judge the next change.
pub(crate) fn always_closed(path: &[u8]) -> Option<(&'static str, &'static str)> {
    let mut names = spelling::others(path);
    names.push(spelling::lower(path));
    let lies_in = |folder: &str| {
        let rests = names
            .iter()
            .filter_map(|name| name.strip_prefix(folder.as_bytes()));
        rests
            .into_iter()
            .any(|rest| matches!(rest.first(), None | Some(b'/')))
    };
    if path::check(path).is_err() {
        let why = "is no plain path inside the repository, or reaches into .git";
        return Some(("PATH_FORBIDDEN", why));
    }
    if lies_in(QUEUE_ROOT) {
        return Some((
            "QUEUE_TOUCHED",
            "is part of the queue, which is never committed",
        ));
    }
    if lies_in(SSOT) {
        return Some(("SSOT_TOUCHED", "holds the rules that judge the next change"));
    }
    None
}

fn by_path(
    book: &RuleBook<'_>,
    scope: Option<&ScopeRules>,
    path: &[u8],
    (shown, named): (&str, &Named<'_>),
    hits: &mut Vec<Hit>,
) {
    if let Some((id, why)) = named.closed {
        hits.push(Hit::built_in(id, shown, why));
    }
    if !named.is_allowed {
        let why = "is outside the policy's allowlist";
        hits.push(Hit::built_in("NOT_ALLOWLISTED", shown, why));
    }
    if scope.is_some_and(|scope| !scope.allows(path)) {
        let why = "is not among the files that the task may change";
        hits.push(Hit::built_in("OUT_OF_SCOPE", shown, why));
    }
    for (kind, rule) in &named.matched.forbidden {
        let severity = match kind {
            HitKind::Allowlist => Severity::Critical,
            _ => Severity::High,
        };
        hits.push(Hit::of_path_rule(
            *kind,
            severity,
            &rule.id,
            shown,
            &rule.reason,
        ));
    }
    let rules = named.by_path_alone.iter();
    for rule in rules.filter_map(|number| book.rule(*number)) {
        hits.push(Hit::of_rule(rule, shown, String::new()));
    }
}

/// What a new file holds that the base holds in nothing but files that may not be touched: to copy one is to
/// bring its content where it may be read and changed. What lies in an open place too is no secret of these.
fn copied<'p>(book: &RuleBook<'p>, file: &ScanFile<'_>) -> Result<Option<Hit>, Problem> {
    let mut first = None;
    for origin in &file.origins {
        let mut hits = Vec::new();
        let named = book.named(origin)?;
        by_path(book, None, origin, (&shown(origin), &named), &mut hits);
        let Some(hit) = hits.into_iter().find(|hit| hit.kind == HitKind::Allowlist) else {
            return Ok(None);
        };
        first.get_or_insert((shown(origin), hit));
    }
    let mut how = "holds what";
    if let (None, Some(near)) = (&first, file.near.first()) {
        let (mut hits, named) = (Vec::new(), book.named(near)?);
        by_path(book, None, near, (&shown(near), &named), &mut hits);
        let hit = hits.into_iter().find(|hit| hit.kind == HitKind::Allowlist);
        first = hit.map(|hit| (shown(near), hit));
        how = "holds most of what";
    }
    Ok(first.map(|(from, hit)| {
        let message = format!("{how} {from} holds, which {}", hit.message);
        let path = file.path.clone();
        Hit {
            message,
            path,
            ..hit
        }
    }))
}

/// A file that a program writes says so at its head.
fn generated(file: &ScanFile<'_>, hits: &mut Vec<Hit>) {
    let old = file.old.as_deref().unwrap_or_default();
    let head = old.get(..HEAD).unwrap_or(old);
    let says = |words: &&[u8]| head.windows(words.len()).any(|part| part == *words);
    if file.op == Op::Modify && GENERATED.iter().any(says) {
        let why = "the file says that a program writes it; change what it is made from";
        hits.push(Hit::in_file("GENERATED_FILE", file, why));
    }
}

fn links_on_the_way(input: &ScanInput<'_>, hits: &mut Vec<Hit>) {
    for (path, link) in input.surroundings.iter().flat_map(|all| &all.links) {
        let why = format!("{} is a symbolic link in the checkout", shown(link));
        hits.push(Hit::built_in("LINK_ON_THE_WAY", &shown(path), why));
    }
}

fn by_mode(file: &ScanFile<'_>, hits: &mut Vec<Hit>) {
    let (old, new) = (file.section.old_mode, file.section.new_mode);
    let mut add = |id: &str, message: &str| hits.push(Hit::in_file(id, file, message));
    match new {
        Some(Mode::Executable) if old != Some(Mode::Executable) => {
            add("MODE_EXECUTABLE", "becomes executable");
        }
        Some(Mode::Regular) if old == Some(Mode::Executable) => {
            add("MODE_PLAIN", "can be run no more");
        }
        Some(Mode::Symlink) => add("SYMLINK", "is a symbolic link"),
        // No allowlist speaks of what a submodule brings in.
        Some(Mode::Submodule) => add(
            "SUBMODULE",
            "is a submodule: its content comes from elsewhere and was not read",
        ),
        _ => {}
    }
    if file.op == Op::Type {
        add("FILE_TYPE_CHANGED", "changes its type");
    }
    if file.section.is_binary() && file.op != Op::Delete {
        add("BINARY", "is binary: nobody can review it as text");
    }
    if matches!(file.section.body, Body::BinaryDelta(_)) && file.new.is_none() {
        let why = "is a binary difference whose content could not be read here";
        add("BINARY_UNREAD", why);
    }
}

/// A link's content is its target; one that is absolute, climbs out of the tree or points at what is
/// denied reaches what the allowlist does not name.
fn link_target(
    file: &ScanFile<'_>,
    places: &Places<'_>,
    scope: Option<&ScopeRules>,
    hits: &mut Vec<Hit>,
) {
    if file.section.new_mode != Some(Mode::Symlink) {
        return;
    }
    let target: Vec<u8> = file
        .section
        .new_text()
        .flat_map(|text| text.text)
        .chain(file.binary().unwrap_or_default().iter().copied())
        .collect();
    if target.is_empty() {
        return;
    }
    let forbidden = resolve(file.section.path(), &target).is_none_or(|path| {
        let closed = always_closed(&path).is_some_and(|(id, _)| id != "SSOT_TOUCHED");
        // A link to a folder of the scope names no file of it.
        let below = [path.as_slice(), b"/file"].concat();
        let out = scope.is_some_and(|scope| !scope.allows(&path) && !scope.allows(below));
        closed || out || places.denies(&path)
    });
    if forbidden {
        let shown: String = target.escape_ascii().map(char::from).take(100).collect();
        let why = format!("links to {shown}, outside of what a change may reach");
        hits.push(Hit::in_file("LINK_LEAVES_TREE", file, why));
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

fn sizes(input: &ScanInput<'_>, policy: &Policy, hits: &mut Vec<Hit>) {
    let files = input.files.len() as u64;
    let most = policy.caps.max_changed_files;
    if files > most {
        let message = format!("{files} files change, the policy allows {most}");
        hits.push(Hit::built_in("TOO_MANY_FILES", "the change", message));
    }
    for file in &input.files {
        let raw: usize = file
            .section
            .hunks()
            .iter()
            .map(|hunk| hunk.raw().len())
            .sum();
        let most = policy.caps.max_file_bytes;
        if file.binary().is_none() && raw as u64 <= most {
            continue;
        }
        let added = file.section.added_text();
        let added: usize = added.map(|(_, text)| text.len() + 1).sum();
        let size = (added + file.binary().map_or(0, <[u8]>::len)) as u64;
        if size > most {
            let message = format!("adds {size} bytes, the policy allows {most} (max_file_bytes)");
            hits.push(Hit::in_file("FILE_TOO_LARGE", file, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use baton_core::policy::Policy;
    use baton_patch::{Limits, parse};

    use super::*;
    use crate::tests::changed;

    #[test]
    fn a_new_file_that_holds_what_only_a_denied_one_holds_is_a_copy() {
        let policy = Policy::parse(include_bytes!("../../../ssot/POLICY.json")).unwrap();
        let book = RuleBook::new(&policy, &[]).unwrap();
        let patch = changed("src/s.txt", &["x"], &["y"]);
        let patch = parse(patch.as_bytes(), &Limits::default()).unwrap();
        let mut input = ScanInput::from_patch(&patch);
        let mut copied_from = |origins: &[&str]| {
            input.files[0].origins = origins
                .iter()
                .map(|path| path.as_bytes().to_vec())
                .collect();
            copied(&book, &input.files[0])
                .unwrap()
                .map(|hit| hit.message)
        };
        let said = copied_from(&[".env"]).unwrap();
        assert!(said.starts_with("holds what .env holds"), "{said}");
        assert_eq!(copied_from(&[".env", "docs/example.env.md"]), None);
        assert_eq!(copied_from(&["docs/a.md"]), None);
        assert_eq!(copied_from(&[]), None);
    }
}
