//! The findings about `git apply` that no reader of text can settle, on the way that a proposal
//! really takes: git applies it to an index of our own, and git's own difference of the two
//! trees is what is read. The numbers, and what `git apply` does in a worktree, are those of
//! `crates/patch/tests/findings.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../patch/tests/common/mod.rs"]
mod common;

use baton_core::candidate::{Proposal, propose};
use baton_core::git::{ObjectStore, Obstacle, Oid, PersonIdent, Repository};
use baton_core::problem::Problem;
use baton_patch::{Change, Limits, Mode, Op, Patch, parse};
use common::Repo;
use common::findings::{self as f, add, edit, moved, names, remove, small};

/// The small repository with its checkout, and a store of our own that borrows from it.
struct Stage {
    repo: Repo,
    repository: Repository,
    store: ObjectStore,
    base: Oid,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let repo = Repo::new();
        let commit = repo.check_out(&small());
        let repository = Repository::open(repo.path()).unwrap();
        let (folder, store) = ObjectStore::temporary(&repository).unwrap();
        Stage {
            repo,
            repository,
            store,
            base: Oid::parse(&commit).unwrap(),
            _folder: folder,
        }
    }

    /// Proposes the patch. Whatever comes of it, the user's checkout, index and objects must be
    /// as before.
    #[track_caller]
    fn propose(&self, patch: &str) -> Result<Proposal, Problem> {
        let before = (self.repo.status(), self.objects());
        let proposal = propose(&self.store, &self.base, patch.as_bytes(), &limits());
        assert_eq!((self.repo.status(), self.objects()), before);
        assert!(!self.repo.path().join(".git/index.lock").exists());
        proposal
    }

    #[track_caller]
    fn refusal(&self, patch: &str) -> String {
        self.propose(patch).expect_err(patch).code
    }

    fn objects(&self) -> Vec<u8> {
        self.repo.git(&["count-objects", "-v"])
    }
}

fn limits() -> Limits {
    Limits {
        allow_delta: true,
        ..Limits::default()
    }
}

fn read(proposal: &Proposal) -> Patch<'_> {
    parse(&proposal.patch, &limits()).unwrap()
}

/// The operations and paths of the canonical patch.
fn said(proposal: &Proposal) -> Vec<(Op, Vec<u8>)> {
    let patch = read(proposal);
    let changes = patch.changes();
    let said = changes
        .iter()
        .map(|change: &Change<'_>| (change.op, change.path.to_vec()));
    said.collect()
}

/// git exits 0 here and has applied half of the patch; its complaint is what refuses the whole.
#[test]
fn finding_03_half_a_patch_is_no_candidate() {
    let stage = Stage::new();
    let patch = format!("{}{}{}", edit("x"), f::corrupt_binary("b"), edit("y"));
    assert_eq!(stage.refusal(&patch), "PATCH_DOES_NOT_APPLY");
}

/// git's words for a text that is no patch of its own say little; the reader's name line and form.
#[test]
fn what_does_not_apply_says_what_the_reader_saw() {
    let stage = Stage::new();
    let coloured: String = edit("x")
        .lines()
        .map(|line| format!("\u{1b}[1m{line}\u{1b}[m\n"))
        .collect();
    let cut = edit("x").replace("+two\n", "+two");
    for (patch, word) in [(coloured, "COLOURED"), (cut, "TRUNCATED")] {
        let problem = stage.propose(&patch).expect_err("no patch");
        let text = problem.finding().message;
        assert!(
            text.contains(word) && !text.contains("allow-empty"),
            "{text}"
        );
    }
}

#[test]
fn finding_04_nothing_is_copied_from_outside() {
    let stage = Stage::new();
    let secret = stage.repo.outside().join("secret");
    std::fs::write(&secret, "a key").unwrap();
    for source in ["../secret", ".git/config", &secret.display().to_string()] {
        for verb in ["copy", "rename"] {
            let patch = moved(verb, source, "n");
            assert_eq!(stage.refusal(&patch), "PATCH_DOES_NOT_APPLY", "{patch}");
            let patch = moved(verb, "x", source);
            assert_eq!(stage.refusal(&patch), "PATCH_DOES_NOT_APPLY", "{patch}");
        }
    }
    // On a file system that drops the invisible letter this is `.git`, so git is told to refuse it.
    let hidden = add(".git\u{200c}/config", "100644");
    assert_eq!(stage.refusal(&hidden), "PATCH_DOES_NOT_APPLY");
}

#[test]
fn finding_05_a_link_in_the_checkout_leads_nowhere() {
    let stage = Stage::new();
    let target = stage.repo.way_out("way");
    let proposal = stage.propose(&add("way/f", "100644")).unwrap();
    assert_eq!(said(&proposal), [(Op::Add, b"way/f".to_vec())]);
    let folder = tempfile::tempdir().unwrap();
    stage
        .store
        .check_out(&proposal.tree, folder.path())
        .unwrap();
    assert!(folder.path().join("way").is_dir(), "not a link here");
    assert!(folder.path().join("way/f").is_file());
    assert_eq!(names(&target), [""; 0]);
    // Landing meets the link again, and stops at it.
    let someone = PersonIdent {
        name: "N".to_owned(),
        email: "n@example.org".to_owned(),
    };
    let commit = stage
        .store
        .commit(&proposal.tree, &stage.base, &someone, &someone, "change")
        .unwrap();
    let repository = &stage.repository;
    repository
        .receive(&stage.store, &commit, &stage.base)
        .unwrap();
    let stopped = [
        repository.obstacle(&stage.base, &commit),
        repository.follow(&stage.base, &commit),
    ];
    for stopped in stopped {
        let stopped = stopped.unwrap();
        assert!(
            matches!(stopped, Some(Obstacle::InTheWay(_))),
            "{stopped:?}"
        );
    }
    assert_eq!(names(&target), [""; 0]);
    // One that is tracked stops git.
    assert_eq!(
        stage.refusal(&add("link/f", "100644")),
        "PATCH_DOES_NOT_APPLY"
    );
}

#[test]
fn finding_06_a_folders_mode_writes_nothing() {
    let stage = Stage::new();
    assert_eq!(stage.refusal(&add("n", "040000")), "PATCH_EMPTY");
    let patch = format!("{}{}", edit("x"), add("n", "040000"));
    let proposal = stage.propose(&patch).unwrap();
    assert_eq!(said(&proposal), [(Op::Modify, b"x".to_vec())]);
    let folder = tempfile::tempdir().unwrap();
    stage
        .store
        .check_out(&proposal.tree, folder.path())
        .unwrap();
    assert_eq!(names(folder.path()), ["link", "sub", "x", "y"]);
}

#[test]
fn finding_08_the_mode_change_shows_where_it_happens() {
    let stage = Stage::new();
    let proposal = stage.propose(&f::mode_change_after_nothing()).unwrap();
    let patch = read(&proposal);
    let change = patch.changes()[0];
    assert_eq!((change.path, change.op), (&b"x"[..], Op::Modify));
    assert_eq!(change.new_mode, Some(Mode::Executable));
    assert!(proposal.normalized.is_some());
}

#[test]
fn finding_09_links_and_submodules_show_their_mode() {
    for (patch, path, mode) in [
        (f::turned_link(), "link", Mode::Symlink),
        (f::turned_submodule(), "sub", Mode::Submodule),
    ] {
        let stage = Stage::new();
        let proposal = stage.propose(&patch).unwrap();
        let patch = read(&proposal);
        let change = patch.changes()[0];
        assert_eq!(change.path, path.as_bytes());
        assert_eq!(change.new_mode, Some(mode));
    }
    // A mode of the base that the patch misstates is put right, too.
    let stage = Stage::new();
    let misstated = edit("x").replace(" 100644", " 100755");
    let proposal = stage.propose(&misstated).unwrap();
    assert_eq!(read(&proposal).changes()[0].new_mode, Some(Mode::Regular));
}

#[test]
fn finding_12_content_named_by_id_is_seen() {
    let stage = Stage::new();
    for content in [&b"nobody saw this\n"[..], b"nobody\0saw this\n"] {
        let id = stage
            .repo
            .git_with(&["hash-object", "-w", "--stdin"], content);
        let id = String::from_utf8(id).unwrap();
        let proposal = stage.propose(&f::blob_by_id(id.trim())).unwrap();
        let patch = read(&proposal);
        let section = patch.sections.first().unwrap();
        let shown = match &section.body {
            baton_patch::Body::Binary { new, .. } => new.clone(),
            _ => section.new_text().flat_map(|side| side.text).collect(),
        };
        assert_eq!(shown, content);
    }
    let unknown = f::blob_by_id(f::NEW_COMMIT);
    assert_eq!(stage.refusal(&unknown), "PATCH_DOES_NOT_APPLY");
}

#[test]
fn finding_13_an_error_in_the_middle_changes_nothing() {
    let stage = Stage::new();
    let patch = format!("{}{}", remove("x"), add("y/inner", "100644"));
    assert_eq!(stage.refusal(&patch), "PATCH_DOES_NOT_APPLY");
    assert!(stage.repo.path().join("x").is_file());
}

#[test]
fn finding_14_an_assertion_in_git_is_a_refusal_and_leaves_no_lock() {
    let stage = Stage::new();
    let code = stage.refusal(&f::creation_with_old_name());
    assert_eq!(code, "PATCH_DOES_NOT_APPLY");
    // The next proposal finds nothing in its way.
    stage.propose(&edit("x")).unwrap();
}
