//! Trust that is handed on: scripts that a hook, a workflow, an agent's guide, a setting of git's or a gate of
//! the policy runs, and those that they run in turn. Who changes them changes what the trusted file does.

pub(crate) mod aliases;
mod mention;
mod neighbours;
pub(crate) mod obeyed;
mod runners;
mod sorts;
mod word;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use baton_core::policy::{Gate, Policy};
use baton_patch::Op;

use crate::hit::Hit;
use crate::input::{ScanFile, ScanInput, shown};
use crate::trust::aliases::Links;
use crate::trust::mention::{Mentions, names_for};
use crate::trust::runners::is_work_file;
use crate::trust::sorts::{
    hands_nothing_on, is_compiled, is_for_people, kind_of, may_run, name_and_ending,
};
use crate::trust::word::{Kind, name_of};

/// Parts of a package file that say what is run.
const RUN_BY_A_PACKAGE: [&str; 5] = ["scripts", "bin", "husky", "lint-staged", "pre-commit"];

/// One trusted file, or a setting that git obeys, with the paths that it names.
#[derive(Debug)]
pub(crate) struct Trusted {
    path: Vec<u8>,
    kind: Kind,
    mentions: Mentions,
    /// Neighbours that it takes in without their endings, and what git is told to take.
    beside: Vec<Vec<u8>>,
}

impl Trusted {
    pub(crate) fn of(path: &[u8], text: &[u8]) -> Self {
        let name = path.to_ascii_lowercase();
        let kind = kind_of(&name);
        let text = match hands_nothing_on(&name) {
            true => Cow::Borrowed(&b""[..]),
            false => what_runs(&name, text),
        };
        Self {
            path: path.to_vec(),
            kind,
            mentions: Mentions::of(&text, kind),
            beside: neighbours::of(path, &text),
        }
    }

    fn folder(&self) -> &[u8] {
        let slash = self.path.iter().rposition(|byte| *byte == b'/');
        self.path.get(..slash.unwrap_or(0)).unwrap_or_default()
    }

    fn names(&self, path: &[u8]) -> bool {
        let can_be_run = || {
            let is_listed =
                || self.kind == Kind::Settings && self.mentions.take_in(self.folder(), path);
            let is_for_people = || is_for_people(path) && self.kind != Kind::Prose && !is_listed();
            let is_text = is_compiled(path) || is_for_people();
            !is_text || self.mentions.run(path)
        };
        let is_beside = || self.beside.iter().any(|one| one == path);
        let is_named = || can_be_run() && self.mentions.name(self.folder(), path);
        self.path != path && (is_beside() || is_named())
    }

    /// Whether what a path that it names says in turn is trusted too.
    fn is_followed_to(&self, path: &[u8]) -> bool {
        may_run(path) || self.mentions.take_in(self.folder(), path)
    }

    pub(crate) fn is_prose(&self) -> bool {
        self.kind == Kind::Prose
    }

    fn words(&self) -> impl Iterator<Item = &[u8]> {
        let beside = self.beside.iter().map(|path| name_of(path));
        self.mentions.names().chain(beside)
    }
}

/// Of a package file, its path in lower case, the parts that say what is run; any other file as a whole.
fn what_runs<'t>(path: &[u8], text: &'t [u8]) -> Cow<'t, [u8]> {
    let (stem, ending) = name_and_ending(path);
    if ending != b"json" || !matches!(stem, b"package" | b"composer") {
        return Cow::Borrowed(text);
    }
    let Ok(package) = serde_json::from_slice::<serde_json::Value>(text) else {
        return Cow::Borrowed(text);
    };
    let parts = RUN_BY_A_PACKAGE.iter().filter_map(|part| package.get(part));
    let parts: Vec<String> = parts.map(ToString::to_string).collect();
    Cow::Owned(parts.join("\n").into_bytes())
}

/// Finds changed files that a gate of the policy, or a trusted file of the base, runs or reads.
pub(crate) fn scan(input: &ScanInput<'_>, policy: &Policy, hits: &mut Vec<Hit>) {
    let gates: Vec<_> = policy
        .gates
        .iter()
        .filter(|gate| gate.is_command())
        .collect();
    let gates: Vec<_> = gates
        .into_iter()
        .map(|gate| (gate, commands(gate)))
        .collect();
    let surroundings = input.surroundings.iter();
    let trusted = surroundings.clone().flat_map(|all| &all.trusted);
    let trusted: Vec<&Trusted> = trusted.collect();
    let aliases: Vec<_> = surroundings.flat_map(|all| &all.aliases).collect();
    for file in &input.files {
        let old = file.section.old_path.as_deref();
        for path in [Some(file.section.path()), old].into_iter().flatten() {
            let names = names_of(input, path);
            for (gate, commands) in &gates {
                let run = names.iter().find(|name| runs(gate, commands, name));
                if let Some(name) = run.filter(|_| is_run(file)) {
                    let message = match **name == *path {
                        true => format!("gate {} runs it", gate.id),
                        false => format!("gate {} runs it as {}", gate.id, shown(name)),
                    };
                    hits.push(Hit::in_file("GATE_SCRIPT", file, message));
                }
            }
            if let Some((_, alias)) = aliases.iter().find(|(real, _)| real == path) {
                let message = format!("it is read through a link as {}", shown(alias));
                hits.push(Hit::in_file("TRUSTED_SCRIPT", file, message));
            }
            by_trusted(file, &names, &trusted, hits);
            if old.is_none_or(|old| old == file.section.path()) {
                break;
            }
        }
    }
}

/// A path and the names that links give it.
fn names_of<'p>(input: &ScanInput<'_>, path: &'p [u8]) -> Vec<Cow<'p, [u8]>> {
    let links = input.surroundings.iter().map(|all| &all.by_target);
    let others = links.flat_map(|links| links.names_of(path));
    let others = others.map(Cow::Owned);
    std::iter::once(Cow::Borrowed(path)).chain(others).collect()
}

fn by_trusted(
    file: &ScanFile<'_>,
    names: &[Cow<'_, [u8]>],
    trusted: &[&Trusted],
    hits: &mut Vec<Hit>,
) {
    let find = |does: &dyn Fn(&Trusted, &[u8]) -> bool| {
        let mut trusted = trusted.iter();
        trusted.find(|one| names.iter().any(|name| does(one, name)))
    };
    // What is new was named by nobody before, unless the name waited for it.
    let named = find(&Trusted::names);
    let taken = || {
        let one = find(&|one, name| one.mentions.take_from(name));
        one.filter(|_| is_run(file))
    };
    if let Some(one) = named.or_else(taken) {
        let what = match file.op {
            Op::Delete => "needs it",
            _ => "runs or reads it",
        };
        let message = format!("{} {what}, so trust is handed on", shown(&one.path));
        hits.push(Hit::in_file("TRUSTED_SCRIPT", file, message));
    }
}

/// Whether what a change does to a file can change what runs: a package file holds much besides.
fn is_run(file: &ScanFile<'_>) -> bool {
    let name = file.section.path().rsplit(|byte| *byte == b'/').next();
    if !matches!(name, Some(b"package.json" | b"composer.json")) {
        return true;
    }
    let read = |text: &Option<Vec<u8>>| -> Option<serde_json::Value> {
        serde_json::from_slice(text.as_deref()?).ok()
    };
    match (read(&file.old), read(&file.new)) {
        (Some(old), Some(new)) => RUN_BY_A_PACKAGE
            .iter()
            .any(|part| old.get(part) != new.get(part)),
        _ => true,
    }
}

/// Trusted files of the base with the files that they name, and those that these name, as long as there
/// are any: a workflow runs a script, which reads another.
pub(crate) fn handed_on<E>(
    mut trusted: Vec<Trusted>,
    index: &ByName<'_>,
    most: usize,
    mut read: impl FnMut(&[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, E>,
) -> Result<Vec<Trusted>, E> {
    let mut known: HashSet<Vec<u8>> = trusted.iter().map(|one| one.path.clone()).collect();
    let most = trusted.len() + most;
    let mut waiting: VecDeque<&[u8]> = trusted.iter().flat_map(|one| index.named(one)).collect();
    // All that is named by now is asked for at once: a repository answers a list as fast as a line.
    while !waiting.is_empty() && trusted.len() < most {
        let mut asked = Vec::new();
        while let Some(path) = waiting.pop_front() {
            if !known.contains(path) {
                known.insert(path.to_vec());
                asked.push(path);
            }
            if trusted.len() + asked.len() == most {
                break;
            }
        }
        for (path, text) in asked.iter().zip(read(&asked)?) {
            let Some(text) = text else { continue };
            let script = Trusted::of(path, &text);
            waiting.extend(index.named(&script));
            trusted.push(script);
        }
    }
    Ok(trusted)
}

/// A file of the base under one of its names.
struct Place<'p> {
    real: &'p [u8],
    alias: Option<Vec<u8>>,
}

impl Place<'_> {
    fn name(&self) -> &[u8] {
        self.alias.as_deref().unwrap_or(self.real)
    }
}

/// The files of the base by the last parts of the words that can mean them, and those that programs take their
/// work from.
pub(crate) struct ByName<'p> {
    places: Vec<Place<'p>>,
    index: HashMap<Cow<'p, [u8]>, Vec<usize>>,
    work: Vec<usize>,
}

impl<'p> ByName<'p> {
    pub(crate) fn of(paths: &[&'p [u8]], links: &Links) -> Self {
        let mut all = Self {
            places: Vec::with_capacity(paths.len()),
            index: HashMap::new(),
            work: Vec::new(),
        };
        for real in paths {
            for name in names_for(real) {
                all.add(Cow::Borrowed(name), is_work_file(real));
            }
            all.places.push(Place { real, alias: None });
            for alias in links.names_of(real) {
                for name in names_for(&alias) {
                    all.add(Cow::Owned(name.to_vec()), is_work_file(&alias));
                }
                let alias = Some(alias);
                all.places.push(Place { real, alias });
            }
        }
        all
    }

    /// Puts the place that is pushed next under a name.
    fn add(&mut self, name: Cow<'p, [u8]>, is_work: bool) {
        let number = self.places.len();
        self.index.entry(name).or_default().push(number);
        if is_work && self.work.last() != Some(&number) {
            self.work.push(number);
        }
    }

    /// The files that a trusted one names and whose text says what else is trusted.
    fn named(&self, trusted: &Trusted) -> Vec<&'p [u8]> {
        let words = trusted.words().filter_map(|name| self.index.get(name));
        let words = words.flatten().filter_map(|at| self.places.get(*at));
        // A star may mean any file.
        let any = match trusted.mentions.has_stars() {
            true => self.places.as_slice(),
            false => &[],
        };
        let any = any.iter();
        let any = any.filter(|place| trusted.mentions.starred(place.name()));
        let named = words.chain(any).filter(|place| {
            let name = place.name();
            trusted.names(name) && (trusted.is_followed_to(name) || may_run(place.real))
        });
        let taken = self.work.iter().filter_map(|at| self.places.get(*at));
        let taken = taken.filter(|place| trusted.mentions.take_from(place.name()));
        let mut paths: Vec<_> = named.chain(taken).map(|place| place.real).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

/// What the words of a gate's command name; a shell's script is one word that holds many.
fn commands(gate: &Gate) -> Mentions {
    Mentions::of(gate.argv.join(" ").as_bytes(), Kind::Script)
}

/// Whether a gate's command takes its work from this file.
fn runs(gate: &Gate, commands: &Mentions, path: &[u8]) -> bool {
    let inside = match gate.cwd.as_str() {
        "." => Some(path),
        folder => path
            .strip_prefix(folder.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"/")),
    };
    inside.is_some_and(|path| commands.name(b"", path) || commands.take_from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index<'p>(paths: &[&'p [u8]]) -> ByName<'p> {
        ByName::of(paths, &Links::default())
    }

    #[test]
    fn a_trusted_file_names_what_lies_beside_it() {
        let names = |by: &str, text: &str, path: &str| {
            Trusted::of(by.as_bytes(), text.as_bytes()).names(path.as_bytes())
        };
        assert!(names(
            ".husky/pre-commit",
            "exec ./pre/check.sh",
            ".husky/pre/check.sh"
        ));
        assert!(names(
            "pkg/AGENTS.md",
            "python tools/a.py",
            "pkg/tools/a.py"
        ));
        assert!(!names(
            "pkg/AGENTS.md",
            "python tools/a.py",
            "lib/tools/a.py"
        ));
    }

    #[test]
    fn what_nobody_runs_is_handed_nothing() {
        let names = |by: &str, path: &str| {
            let text = format!("x: \"{path}\"\nrun: ./{path}");
            Trusted::of(by.as_bytes(), text.as_bytes()).names(path.as_bytes())
        };
        let workflow = ".github/workflows/release.yml";
        for path in [
            "CHANGELOG.md",
            "docs/README.rst",
            "INSTALL",
            "lib/url.c",
            "include/a.HPP",
        ] {
            assert!(!names(workflow, path), "{path}");
        }
        for path in [
            "ci/install",
            "scripts/changes.sh",
            "prompts/review.md",
            "docs/readme.py",
            "Makefile",
            "tools/gen.go",
            "build.rs",
        ] {
            assert!(names(workflow, path), "{path}");
        }
        let run = Trusted::of(workflow.as_bytes(), b"run: bash INSTALL");
        assert!(run.names(b"INSTALL") && !run.names(b"README"));
        for by in [
            ".github/CODEOWNERS",
            ".github/labeler.yml",
            ".gitattributes",
            ".github/pull_request_template.md",
            ".github/ISSUE_TEMPLATE/bug.md",
        ] {
            assert!(!names(by, "ci/x.sh"), "{by}");
        }
        for by in [
            ".github/workflows/labeler.yml",
            ".github/workflows/pull_request_template.yml",
            "scripts/issue_template.sh",
        ] {
            assert!(names(by, "ci/x.sh"), "{by}");
        }
        assert!(names("AGENTS.md", "docs/README.md"));
        assert!(!names("AGENTS.md", "src/main.c"));
    }

    #[test]
    fn what_a_script_runs_is_followed_to_the_end() {
        let files = [
            ("a.yml", "run: ./one.sh"),
            ("one.sh", ". lib/two.sh"),
            ("lib/two.sh", "bash three.sh"),
            ("lib/three.sh", "./one.sh"),
            ("other.sh", "x"),
        ];
        let paths: Vec<_> = files.iter().map(|(path, _)| path.as_bytes()).collect();
        let trusted = || vec![Trusted::of(b"a.yml", files[0].1.as_bytes())];
        let text = |path: &&[u8]| {
            let file = files.iter().find(|(own, _)| own.as_bytes() == *path);
            file.map(|(_, text)| text.as_bytes().to_vec())
        };
        let read = |paths: &[&[u8]]| Ok::<_, ()>(paths.iter().map(text).collect());
        let found = handed_on(trusted(), &index(&paths), 10, read).unwrap();
        let found: Vec<_> = found.iter().map(|one| one.path.as_slice()).collect();
        assert_eq!(
            found,
            [&b"a.yml"[..], b"one.sh", b"lib/two.sh", b"lib/three.sh"]
        );
        assert_eq!(
            handed_on(trusted(), &index(&paths), 1, read).unwrap().len(),
            2
        );
    }

    #[test]
    fn what_a_makefile_or_a_package_runs_is_followed_too() {
        let files = [
            (".github/workflows/a.yml", "run: make ci && npm test"),
            ("Makefile", "ci:\n\tsh tools/x.sh\n"),
            ("tools/x.sh", "python tools/y.py"),
            ("tools/y.py", "x"),
            (
                "package.json",
                r#"{"main": "src/index.js", "scripts": {"test": "node build/b.js"}}"#,
            ),
            ("build/b.js", "x"),
            ("src/index.js", "node src/other.js"),
            ("sub/Makefile", "all:\n\tsh sub/z.sh\n"),
        ];
        let paths: Vec<_> = files.iter().map(|(path, _)| path.as_bytes()).collect();
        let text = |path: &&[u8]| {
            let file = files.iter().find(|(own, _)| own.as_bytes() == *path);
            file.map(|(_, text)| text.as_bytes().to_vec())
        };
        let read = |paths: &[&[u8]]| Ok::<_, ()>(paths.iter().map(text).collect());
        let follow = |first: Trusted| {
            let found = handed_on(vec![first], &index(&paths), 10, read).unwrap();
            let mut found: Vec<_> = found
                .into_iter()
                .map(|one| String::from_utf8(one.path).unwrap())
                .collect();
            found.sort();
            found.join(" ")
        };
        let all = follow(Trusted::of(files[0].0.as_bytes(), files[0].1.as_bytes()));
        assert_eq!(
            all,
            ".github/workflows/a.yml Makefile build/b.js package.json tools/x.sh tools/y.py"
        );
    }

    #[test]
    fn a_gate_runs_its_words_and_its_runners_files() {
        let runs = |argv: &[&str], cwd: &str, path: &str| {
            let gate = serde_json::json!({
                "id": "G4", "name": "build", "kind": "command", "argv": argv, "cwd": cwd, "timeout_seconds": 5,
                "required": true, "reason": "a test"
            });
            let gate: Gate = serde_json::from_value(gate).unwrap();
            runs(&gate, &commands(&gate), path.as_bytes())
        };
        assert!(runs(&["make", "test"], ".", "Makefile"));
        assert!(runs(&["make"], "sub", "sub/Makefile"));
        assert!(!runs(&["make"], "sub", "Makefile"));
        assert!(runs(&["bash", "./ci/all.sh"], ".", "ci/all.sh"));
        assert!(runs(&["sh", "-c", "cd ci && ./run.sh"], ".", "ci/run.sh"));
        assert!(!runs(&["cargo", "test"], ".", "src/lib.rs"));
    }
}
