//! Trust that is handed on: scripts that a hook, a workflow, an agent's guide or a gate of the policy
//! runs, and those that they run in turn. Who changes them changes what the trusted file does.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use baton_core::policy::{Gate, Policy};
use baton_patch::Op;

use crate::hit::Hit;
use crate::input::{ScanFile, ScanInput, shown};
use crate::mention::{Mentions, is_work_file, names_for};

/// Parts of a package file that say what is run.
const RUN_BY_A_PACKAGE: [&str; 5] = ["scripts", "bin", "husky", "lint-staged", "pre-commit"];
/// Protected files that list paths, for git or for the forge, and run none of them.
const LISTS: [&[u8]; 10] = [
    b"codeowners",
    b"owners",
    b"owners_aliases",
    b".gitattributes",
    b".mailmap",
    b"labeler.yml",
    b"labeler.yaml",
    b"dependabot.yml",
    b"dependabot.yaml",
    b"funding.yml",
];
/// How the forms begin that the forge shows to people, and how their names end.
const FORMS: [&[u8]; 2] = [b"pull_request_template", b"issue_template"];
const OF_FORMS: [&[u8]; 4] = [b"md", b"txt", b"yml", b"yaml"];
/// A folder of files that run whatever they are called.
const WORKFLOWS: &[u8] = b"workflows";
/// Endings of sources that a script can only hand to a compiler, as it does with all of them.
const COMPILED: [&[u8]; 8] = [b"c", b"h", b"cc", b"cpp", b"cxx", b"hh", b"hpp", b"hxx"];
/// Endings of documents.
const DOCUMENTS: [&[u8]; 6] = [b"md", b"mdx", b"rst", b"txt", b"adoc", b"org"];
/// What documents for people are called: a script packs them up, and runs none.
const FOR_PEOPLE: [&[u8]; 20] = [
    b"authors",
    b"changelog",
    b"changes",
    b"code_of_conduct",
    b"contributing",
    b"contributors",
    b"copying",
    b"credits",
    b"faq",
    b"guide",
    b"history",
    b"install",
    b"licence",
    b"license",
    b"news",
    b"notice",
    b"readme",
    b"release-notes",
    b"security",
    b"thanks",
];

/// One trusted file, with the paths that it names.
#[derive(Debug)]
pub(crate) struct Trusted {
    path: Vec<u8>,
    /// Whether it is text that agents read; what that names is text that they are to read as well.
    is_prose: bool,
    mentions: Mentions,
}

impl Trusted {
    pub(crate) fn of(path: &[u8], text: &[u8]) -> Self {
        let name = path.to_ascii_lowercase();
        let is_prose = [&b".md"[..], b".mdc", b".rst", b".txt", b"rules"]
            .iter()
            .any(|end| name.ends_with(end));
        let text = match hands_nothing_on(&name) {
            true => Cow::Borrowed(&b""[..]),
            false => what_runs(&name, text),
        };
        Self {
            path: path.to_vec(),
            is_prose,
            mentions: Mentions::of(&text, is_prose),
        }
    }

    fn folder(&self) -> &[u8] {
        let slash = self.path.iter().rposition(|byte| *byte == b'/');
        self.path.get(..slash.unwrap_or(0)).unwrap_or_default()
    }

    fn names(&self, path: &[u8]) -> bool {
        let can_be_run = || {
            let is_text = is_compiled(path) || (is_for_people(path) && !self.is_prose);
            !is_text || self.mentions.run(path)
        };
        self.path != path && can_be_run() && self.mentions.name(self.folder(), path)
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

/// Whether a protected file, its path in lower case, trusts nothing that it names.
fn hands_nothing_on(path: &[u8]) -> bool {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let is_list = parts.last().is_some_and(|name| LISTS.contains(name));
    let is_form = |part: &&[u8]| FORMS.iter().any(|form| part.starts_with(form));
    let is_form = OF_FORMS.contains(&name_and_ending(path).1) && parts.iter().any(is_form);
    (is_list || is_form) && !parts.contains(&WORKFLOWS)
}

/// The name of a file without its last ending, and that ending.
fn name_and_ending(path: &[u8]) -> (&[u8], &[u8]) {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let dot = name.iter().rposition(|byte| *byte == b'.');
    match dot.and_then(|dot| name.split_at_checked(dot)) {
        Some((stem, ending)) => (stem, ending.get(1..).unwrap_or_default()),
        None => (name, b""),
    }
}

fn is_compiled(path: &[u8]) -> bool {
    let ending = name_and_ending(path).1.to_ascii_lowercase();
    COMPILED.contains(&ending.as_slice())
}

/// Whether a file is a document for people by its name. Without an ending it is one only where it is
/// written in capitals: `INSTALL` is, `install` is a script.
fn is_for_people(path: &[u8]) -> bool {
    let (stem, ending) = name_and_ending(path);
    let is_document = match ending {
        b"" => !stem.iter().any(u8::is_ascii_lowercase),
        _ => DOCUMENTS.contains(&ending.to_ascii_lowercase().as_slice()),
    };
    let stem = stem.to_ascii_lowercase();
    is_document && FOR_PEOPLE.contains(&stem.as_slice())
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
            for (gate, commands) in &gates {
                if runs(gate, commands, path) && is_run(file) {
                    let message = format!("gate {} runs it", gate.id);
                    hits.push(Hit::in_file("GATE_SCRIPT", file, message));
                }
            }
            let alias = aliases
                .iter()
                .find(|(_, target)| is_at_or_below(path, target));
            if let Some((link, _)) = alias {
                let message = format!("it is read through the link {}", shown(link));
                hits.push(Hit::in_file("TRUSTED_SCRIPT", file, message));
            }
            by_trusted(file, path, &trusted, hits);
            if old.is_none_or(|old| old == file.section.path()) {
                break;
            }
        }
    }
}

fn by_trusted(file: &ScanFile<'_>, path: &[u8], trusted: &[&Trusted], hits: &mut Vec<Hit>) {
    // What is new was named by nobody before, unless the name waited for it.
    let named = trusted.iter().find(|one| one.names(path));
    let taken = || {
        let one = trusted.iter().find(|one| one.mentions.take_from(path));
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
    paths: &[&[u8]],
    most: usize,
    mut read: impl FnMut(&[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, E>,
) -> Result<Vec<Trusted>, E> {
    let index = ByName::of(paths);
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

/// The files of the base by the last parts of the words that can mean them, and those that programs take their
/// work from.
struct ByName<'p> {
    index: HashMap<&'p [u8], Vec<&'p [u8]>>,
    work: Vec<&'p [u8]>,
}

impl<'p> ByName<'p> {
    fn of(paths: &[&'p [u8]]) -> Self {
        let mut index: HashMap<&[u8], Vec<&[u8]>> = HashMap::new();
        for path in paths {
            for name in names_for(path) {
                index.entry(name).or_default().push(path);
            }
        }
        let work = paths.iter().filter(|path| is_work_file(path));
        Self {
            index,
            work: work.copied().collect(),
        }
    }

    fn named(&self, trusted: &Trusted) -> Vec<&'p [u8]> {
        let names = trusted.mentions.names();
        let names = names.filter_map(|name| self.index.get(name));
        let named = names.flatten().filter(|path| trusted.names(path));
        let taken = self.work.iter();
        let taken = taken.filter(|path| trusted.mentions.take_from(path));
        let mut paths: Vec<_> = named.chain(taken).copied().collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

/// What the words of a gate's command name; a shell's script is one word that holds many.
fn commands(gate: &Gate) -> Mentions {
    Mentions::of(gate.argv.join(" ").as_bytes(), false)
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

fn is_at_or_below(path: &[u8], target: &[u8]) -> bool {
    let rest = path.strip_prefix(target);
    !target.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let found = handed_on(trusted(), &paths, 10, read).unwrap();
        let found: Vec<_> = found.iter().map(|one| one.path.as_slice()).collect();
        assert_eq!(
            found,
            [&b"a.yml"[..], b"one.sh", b"lib/two.sh", b"lib/three.sh"]
        );
        assert_eq!(handed_on(trusted(), &paths, 1, read).unwrap().len(), 2);
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
            let found = handed_on(vec![first], &paths, 10, read).unwrap();
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
