//! The labelled set: changes with a known answer, each judged as a real candidate of a real repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use baton_core::candidate;
use baton_core::git::{ObjectStore, Oid, Repository};
use baton_core::policy::Policy;
use baton_core::task::Scope;
use baton_risk::{HitKind, RuleBook, Subject};
use serde::Deserialize;

/// A content as the set writes it: text, or something that git keeps in another way.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Text(String),
    Mode { mode: String, text: String },
    Link { link: String },
    Base64 { base64: String },
    Submodule { submodule: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Label {
    Hostile,
    NearMiss,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) label: Label,
    pub(crate) flag: String,
    pub(crate) trick: String,
    #[serde(default)]
    pub(crate) base: BTreeMap<String, Content>,
    pub(crate) new: BTreeMap<String, Option<Content>>,
    #[serde(default)]
    pub(crate) scope: Vec<String>,
}

/// What became of one case.
pub(crate) struct Judged {
    pub(crate) raised: BTreeSet<HitKind>,
    /// Why the door refused it, where it did.
    pub(crate) refused: Option<String>,
    pub(crate) findings: Vec<String>,
}

/// Every case of the set, in the order of its files; of another set where LABELLED names its folder.
pub(crate) fn cases() -> Vec<Case> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/labelled");
    let folder = std::env::var("LABELLED").unwrap_or_else(|_| own.to_owned());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        // The mark keeps made-up credentials from looking alive in this repository.
        let text = std::fs::read_to_string(&file).unwrap().replace("{~~}", "");
        let cases: Vec<Case> = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        all.extend(cases);
    }
    all
}

/// Where the policy lies: the default one, or the one that POLICY names.
fn policy_path() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ssot/POLICY.json");
    PathBuf::from(std::env::var("POLICY").unwrap_or_else(|_| default.to_owned()))
}

/// The policy.
pub(crate) fn policy() -> Policy {
    Policy::parse(&std::fs::read(policy_path()).unwrap()).unwrap()
}

/// Its rule book, with the secret rules that lie beside it.
pub(crate) fn book(policy: &Policy) -> RuleBook<'_> {
    let path = policy_path();
    let rules = policy
        .secret_rules
        .read(path.parent().unwrap(), 1 << 20)
        .unwrap();
    RuleBook::new(policy, &rules).unwrap()
}

/// Judges every case; each is a commit upon a base commit of one throw-away repository.
pub(crate) fn judge(cases: &[Case], book: &RuleBook<'_>) -> Vec<Judged> {
    let folder = tempfile::tempdir().unwrap();
    let commits = build(folder.path(), cases);
    let repository = Repository::open(folder.path()).unwrap();
    let (_objects, store) = ObjectStore::temporary(&repository).unwrap();
    let pairs = cases.iter().zip(commits);
    pairs
        .map(|(case, (base, new))| one(case, book, &store, &base, &new))
        .collect()
}

fn one(case: &Case, book: &RuleBook<'_>, store: &ObjectStore, base: &Made, new: &Made) -> Judged {
    let scope = (!case.scope.is_empty()).then(|| Scope {
        target_files: Vec::new(),
        allow_patch_on_files: case.scope.clone(),
        deny_paths_glob: Vec::new(),
    });
    let scan = || {
        let patch = store.patch_between(&base.tree, &new.tree)?;
        let limits = candidate::limits(book_policy(book));
        let listing = store.raw_between(&base.tree, &new.tree)?;
        candidate::check_reading(&patch, &listing, &limits)?;
        let subject = Subject {
            store,
            base: &base.commit,
            base_tree: &base.tree,
            tree: &new.tree,
            patch: &patch,
            checkout: None,
            matched: candidate::Match::Clean,
            given: b"",
        };
        baton_risk::scan_candidate(&subject, book, scope.as_ref())
    };
    match scan() {
        Ok(report) => Judged {
            raised: report.kinds,
            refused: None,
            findings: report
                .findings
                .into_iter()
                .map(|finding| finding.message)
                .collect(),
        },
        Err(problem) => Judged {
            raised: BTreeSet::new(),
            refused: Some(problem.to_string()),
            findings: Vec::new(),
        },
    }
}

fn book_policy<'b>(book: &'b RuleBook<'_>) -> &'b Policy {
    book.policy()
}

/// A commit of the repository.
struct Made {
    commit: Oid,
    tree: Oid,
}

/// Makes the repository in one go.
fn build(folder: &Path, cases: &[Case]) -> Vec<(Made, Made)> {
    git(folder, &["init", "-q"], b"");
    let mut stream = Vec::new();
    let mut mark = 0_usize;
    for (number, case) in cases.iter().enumerate() {
        let base: BTreeMap<_, _> = case
            .base
            .iter()
            .map(|(path, one)| (path, Some(one)))
            .collect();
        let new = case.new.iter().map(|(path, one)| (path, one.as_ref()));
        commit(
            &mut stream,
            &mut mark,
            &format!("refs/heads/base{number}"),
            None,
            &base,
        );
        let from = mark;
        let new: BTreeMap<_, _> = new.collect();
        commit(
            &mut stream,
            &mut mark,
            &format!("refs/heads/new{number}"),
            Some(from),
            &new,
        );
    }
    git(folder, &["fast-import", "--quiet"], &stream);
    let listing = git(
        folder,
        &["for-each-ref", "--format=%(refname) %(objectname) %(tree)"],
        b"",
    );
    let mut made: BTreeMap<String, Made> = String::from_utf8(listing)
        .unwrap()
        .lines()
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().unwrap().to_owned();
            let mut id = || Oid::parse(words.next().unwrap()).unwrap();
            let (commit, tree) = (id(), id());
            (name, Made { commit, tree })
        })
        .collect();
    let mut of = |name: String| made.remove(&name).unwrap();
    (0..cases.len())
        .map(|at| {
            (
                of(format!("refs/heads/base{at}")),
                of(format!("refs/heads/new{at}")),
            )
        })
        .collect()
}

fn commit(
    stream: &mut Vec<u8>,
    mark: &mut usize,
    reference: &str,
    from: Option<usize>,
    files: &BTreeMap<&String, Option<&Content>>,
) {
    let mut changes = String::new();
    for (path, content) in files {
        let path = baton_patch::quote(path.as_bytes());
        let path = if path.starts_with('"') {
            path
        } else {
            format!("\"{path}\"")
        };
        let Some(content) = content else {
            writeln!(changes, "D {path}").unwrap();
            continue;
        };
        let (mode, bytes) = match content {
            Content::Text(text) => ("100644", text.clone().into_bytes()),
            Content::Mode { mode, text } => (mode.as_str(), text.clone().into_bytes()),
            Content::Link { link } => ("120000", link.clone().into_bytes()),
            Content::Base64 { base64 } => ("100644", decoded(base64)),
            Content::Submodule { submodule } => {
                writeln!(changes, "M 160000 {submodule} {path}").unwrap();
                continue;
            }
        };
        *mark += 1;
        write!(stream, "blob\nmark :{mark}\ndata {}\n", bytes.len()).unwrap();
        stream.extend_from_slice(&bytes);
        stream.push(b'\n');
        writeln!(changes, "M {mode} :{mark} {path}").unwrap();
    }
    *mark += 1;
    let who = "committer a <a@b.example> 0 +0000";
    write!(stream, "commit {reference}\nmark :{mark}\n{who}\ndata 0\n").unwrap();
    if let Some(from) = from {
        writeln!(stream, "from :{from}").unwrap();
    }
    stream.extend_from_slice(changes.as_bytes());
    stream.push(b'\n');
}

fn decoded(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u8> = text.bytes().filter_map(digit).collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for (at, digit) in group.iter().enumerate() {
            bits |= u32::from(*digit) << (18 - 6 * at);
        }
        bytes.extend(bits.to_be_bytes().into_iter().skip(1).take(group.len() - 1));
    }
    bytes
}

/// A throw-away repository that borrows the objects of another, bare or not.
pub(crate) fn borrowing(folder: &Path) -> tempfile::TempDir {
    let own = tempfile::tempdir().unwrap();
    git(own.path(), &["init", "-q"], b"");
    let objects = [
        "rev-parse",
        "--path-format=absolute",
        "--git-path",
        "objects",
    ];
    let objects = git(folder, &objects, b"");
    std::fs::write(own.path().join(".git/objects/info/alternates"), objects).unwrap();
    own
}

/// Runs git with a configuration of its own and gives its output.
pub(crate) fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .args(["-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    output.stdout
}

/// The kind that a case's flag stands for.
pub(crate) fn kind(flag: &str) -> HitKind {
    match flag {
        "secret" => HitKind::Secret,
        "external_io" => HitKind::ExternalIo,
        "delete" => HitKind::Delete,
        "lockfile" => HitKind::Lockfile,
        "protected" => HitKind::Protected,
        "allowlist" => HitKind::Allowlist,
        "dependency" => HitKind::Dependency,
        "weakened" => HitKind::Weakened,
        "instruction" => HitKind::Instruction,
        "payload" => HitKind::Payload,
        "hidden" => HitKind::Hidden,
        "mode" => HitKind::Mode,
        "binary" => HitKind::Binary,
        other => panic!("no flag is called {other}"),
    }
}

/// The kinds that stop a change.
pub(crate) const STOPS: [HitKind; 4] = [
    HitKind::Secret,
    HitKind::Delete,
    HitKind::Allowlist,
    HitKind::ExternalIo,
];

/// Whether a hostile case was caught, or a near miss let through.
pub(crate) fn is_right(case: &Case, judged: &Judged) -> bool {
    let raised = judged.raised.contains(&kind(&case.flag));
    match case.label {
        Label::Hostile => raised || judged.refused.is_some(),
        Label::NearMiss => {
            let stopped = STOPS.iter().any(|stop| judged.raised.contains(stop));
            !raised && !stopped && judged.refused.is_none()
        }
    }
}
