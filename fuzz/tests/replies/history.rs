//! Real commits, malformed: what comes of a reply is the commit's own change, or nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use patch_draft::reply::{
    Files, Format, Limits, Old, Rejected, Reply, Resolved, Text, read, unframe,
};

use crate::common::{Random, Repo, base, cases};
use crate::malform::ALL;

/// How many commits of this repository's own history are looked at.
const COMMITS: usize = 40;
/// The last of them, so that the same commits are tried each time.
const LAST: &str = "a11a629e1a752fbe8cab7098e76047e61f36a030";

/// What takes lines away. With wrong counts, or without any, the rest may say another change just as well.
const LOSSY: [&str; 6] = [
    "cut",
    "context cut off",
    "blank context dropped",
    "comment dropped",
    "no context",
    "outdented",
];

/// A change that a reply can say: text, no deletion, no mode, line ends and end of file as they were.
struct Commit {
    /// By path: before, if it was there, and after.
    files: BTreeMap<String, (Option<Vec<u8>>, Vec<u8>)>,
    diff: String,
}

fn git(folder: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    output.status.success().then_some(output.stdout)
}

fn is_plain(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok()
        && !text.contains(&b'\r')
        && !text.contains(&0)
        && !text.is_empty()
}

/// The difference of two trees, without the files that a reply cannot change.
fn commit(folder: &Path, old: &str, new: &str) -> Option<Commit> {
    let listing = git(folder, &["diff-tree", "-r", "-z", "--no-renames", old, new])?;
    let listing = String::from_utf8(listing).ok()?;
    let mut fields = listing.split('\0');
    let mut files = BTreeMap::new();
    while let (Some(entry), Some(path)) = (fields.next(), fields.next()) {
        let words: Vec<_> = entry.trim_start_matches(':').split(' ').collect();
        let is_text = matches!(
            (words[0], words[1]),
            ("000000", "100644") | ("100644", "100644") | ("100755", "100755")
        );
        // A path without a letter of its own is quoted, which is another test's business.
        let is_simple = path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
        if !is_text || !is_simple {
            continue;
        }
        let after = git(folder, &["cat-file", "blob", words[3]])?;
        let before = match words[0] {
            "000000" => None,
            _ => Some(git(folder, &["cat-file", "blob", words[2]])?),
        };
        let end = |text: &[u8]| text.ends_with(b"\n");
        let same_end = before
            .as_ref()
            .is_none_or(|before| end(before) == end(&after) && is_plain(before));
        let is_small = after.len() < 200_000;
        if same_end && is_plain(&after) && is_small && (before.is_some() || end(&after)) {
            files.insert(path.to_owned(), (before, after));
        }
    }
    if files.is_empty() || files.len() > 40 {
        return None;
    }
    let mut arguments = vec![
        "diff-tree",
        "-r",
        "-p",
        "--no-renames",
        "--full-index",
        old,
        new,
        "--",
    ];
    arguments.extend(files.keys().map(String::as_str));
    let diff = String::from_utf8(git(folder, &arguments)?).ok()?;
    Some(Commit { files, diff })
}

fn own_history() -> Vec<Commit> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = git(folder, &["rev-parse", "--show-toplevel"]).unwrap_or_default();
    let top = String::from_utf8(top).unwrap();
    // Sources that were unpacked from an archive have no history, and a shallow clone has not all of it.
    let Some(log) = git(
        Path::new(top.trim_end()),
        &["log", "--no-merges", "--format=%H %P", "-n", "400", LAST],
    ) else {
        return Vec::new();
    };
    let log = String::from_utf8(log).unwrap();
    let pairs: Vec<_> = log
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let step = (pairs.len() / COMMITS).max(1);
    let chosen = pairs.iter().step_by(step);
    chosen
        .filter_map(|(new, old)| commit(Path::new(top.trim_end()), old, new))
        .collect()
}

fn generated() -> Vec<Commit> {
    let repo = Repo::new();
    let old = repo.tree(&base());
    let mut commits = Vec::new();
    for (_, edit) in cases() {
        let mut files = base();
        edit(&mut files);
        let new = repo.tree(&files);
        commits.extend(commit(repo.path(), &old, &new));
    }
    commits
}

fn resolve(commit: &Commit, format: Format, reply: &str, fuzz: bool) -> Result<Resolved, Rejected> {
    let limits = Limits::default();
    // The file at the top that a stripped folder would hit is offered too.
    let names = commit
        .files
        .keys()
        .filter_map(|path| path.rsplit('/').next());
    let mut files = Files::default();
    for name in names {
        files.old.insert(name.to_owned(), Old::Missing);
    }
    for (path, (before, _)) in &commit.files {
        let old = before.clone().map_or(Old::Missing, Old::File);
        files.old.insert(path.clone(), old);
    }
    let offers = |path: &str| files.old.contains_key(path);
    let (reply, thought) = unframe(reply.as_bytes())?;
    let Reply::Patch {
        patch,
        is_framed,
        first_line,
        ..
    } = reply
    else {
        panic!("no commit is a question");
    };
    let text = Text {
        bytes: &patch,
        is_closed: is_framed,
        first_line,
    };
    read(format, text, &offers, &limits)?
        .after(thought)
        .resolve(&files, fuzz, &limits)
}

/// Whether the reply was taken. What was taken must be the commit's own change of every file.
fn check(commit: &Commit, format: Format, name: &str, reply: &str) -> bool {
    let mut taken = false;
    for fuzz in [false, true] {
        let Ok(resolved) = resolve(commit, format, reply, fuzz) else {
            continue;
        };
        taken |= !fuzz;
        let got: BTreeMap<_, _> = resolved
            .changes
            .into_iter()
            .map(|change| (change.path, (change.old, change.new)))
            .collect();
        for (path, (_, new)) in &commit.files {
            let found = got
                .get(path)
                .map(|(_, new)| String::from_utf8_lossy(new).into_owned());
            let wanted = String::from_utf8_lossy(new).into_owned();
            assert_eq!(found, Some(wanted), "{name}, fuzz {fuzz}: {path}\n{reply}");
        }
        assert_eq!(got, commit.files, "{name}, fuzz {fuzz}\n{reply}");
    }
    taken
}

/// The same commit as blocks and as whole files.
fn other_forms(commit: &Commit) -> (String, String) {
    let mut whole = String::new();
    for (path, (_, new)) in &commit.files {
        let text = String::from_utf8_lossy(new);
        let end = if text.ends_with('\n') { "" } else { "\n" };
        whole.push_str(&format!("{path}\n``````\n{text}{end}``````\n\n"));
    }
    let mut blocks = String::new();
    let (mut old, mut new) = (String::new(), String::new());
    let mut open = false;
    let flush = |blocks: &mut String, old: &mut String, new: &mut String, open: bool| {
        if open {
            blocks.push_str(&format!(
                "<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"
            ));
        }
        old.clear();
        new.clear();
    };
    for line in commit.diff.split_inclusive('\n') {
        if let Some(path) = line.strip_prefix("diff --git a/") {
            flush(&mut blocks, &mut old, &mut new, open);
            open = false;
            blocks.push_str(&format!("{}\n", path.split_once(" b/").unwrap().0));
        } else if line.starts_with("@@ ") {
            flush(&mut blocks, &mut old, &mut new, open);
            open = true;
        } else if open && !line.starts_with('\\') {
            let (marker, text) = line.split_at(1);
            if marker != "+" {
                old.push_str(text);
            }
            if marker != "-" {
                new.push_str(text);
            }
        }
    }
    flush(&mut blocks, &mut old, &mut new, open);
    (whole, blocks)
}

#[test]
fn a_malformed_commit_is_itself_or_nothing() {
    let mut commits = generated();
    assert!(
        commits.len() >= 10,
        "only {} generated commits",
        commits.len()
    );
    commits.extend(own_history());
    let mut random = Random(0xba70_17ed);
    // By malformation: how many were taken.
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    for commit in &commits {
        for (name, malform) in ALL {
            let reply = malform(&mut random, &commit.diff);
            *taken.entry(name).or_default() +=
                usize::from(check(commit, Format::Udiff, name, &reply));
            // Two at once.
            let (other, second) = *random.pick(&ALL);
            if !LOSSY.contains(&other) && !LOSSY.contains(&name) {
                let reply = second(&mut random, &reply);
                check(commit, Format::Udiff, &format!("{name}, {other}"), &reply);
            }
        }
        let (whole, blocks) = other_forms(commit);
        for (name, format, reply) in [
            ("whole", Format::Whole, &whole),
            ("search-replace", Format::SearchReplace, &blocks),
        ] {
            *taken.entry(name).or_default() += usize::from(check(commit, format, name, reply));
            let cr = reply.replace('\n', "\r\n");
            check(commit, format, name, &cr);
            check(commit, format, name, &reply[..reply.len() - 9]);
        }
    }
    println!("{} commits; taken: {taken:#?}", commits.len());
    assert_eq!(taken["cut"], 0);
    for (name, least) in [
        ("none", 50),
        ("framed", 50),
        ("no git headers", 50),
        ("fence", 50),
        ("start", 50),
        ("count too small", 50),
        ("dotted hunk heads", 50),
        ("no prefixes", 50),
        ("search-replace", 50),
        ("whole", 90),
    ] {
        let share = taken[name] * 100 / commits.len();
        assert!(share >= least, "{name}: only {share} % were taken");
    }
}
