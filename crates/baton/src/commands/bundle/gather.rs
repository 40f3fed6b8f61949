//! What the queue and the single source of truth hold of a task.

use std::io;

use baton_core::approval::{Approval, Verdict};
use baton_core::candidate::Candidate;
use baton_core::envelope::QUEUE_ROOT;
use baton_core::files::Folder;
use baton_core::manifest::SSOT;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::store::{Directory, TaskFolder};

/// The most that goes into a bundle beside the base's files, in bytes.
const MOST: usize = 192 << 20;
/// How deep folders are followed: `attempts/2/evidence/gates/…` and some room.
const DEEPEST: usize = 8;

/// Names from the repository's top, each with its bytes; no link is followed and no secret taken along.
pub(super) fn files(session: &Session) -> Result<Vec<(String, Vec<u8>)>, Problem> {
    let store = session.store()?;
    let task = session.task()?;
    let mut gathered = Gathered {
        files: Vec::new(),
        left: MOST,
    };
    let root = session.root()?;
    let failed = |error: io::Error| Problem::io("bundle", &error);
    let ssot = Folder::open(&root.join(SSOT)).map_err(failed)?;
    gathered.folder(&Directory::Disk(ssot), SSOT, DEEPEST)?;
    let queue = store.directory();
    let inside = |path: &str, gathered: &mut Gathered| {
        let mut folder = queue.sub(path.split('/').next().unwrap_or_default());
        for part in path.split('/').skip(1) {
            folder = folder.and_then(|folder| folder.sub(part));
        }
        gathered.folder(
            &folder.map_err(failed)?,
            &format!("{QUEUE_ROOT}/{path}"),
            DEEPEST,
        )
    };
    inside(
        &format!("{}/{}", task.state().name(), task.id()),
        &mut gathered,
    )?;
    inside("policies", &mut gathered)?;
    let candidates = candidates(task)?;
    let approved = queue.sub("approved").map_err(failed)?;
    for entry in approved.list().map_err(failed)? {
        let bytes = approved.read(&entry.name, gathered.left).map_err(failed)?;
        let is_wanted = |one: &Approval| is_about(one, task, &candidates);
        if Approval::parse(&bytes).as_ref().is_ok_and(is_wanted) {
            gathered.add(format!("{QUEUE_ROOT}/approved/{}", entry.name), bytes)?;
        }
    }
    for (name, bytes) in store.log()?.snapshot(gathered.left)? {
        gathered.add(format!("{QUEUE_ROOT}/audit/{name}"), bytes)?;
    }
    Ok(gathered.files)
}

/// What the task's attempts made, the present one included.
fn candidates(task: &TaskFolder) -> Result<Vec<Candidate>, Problem> {
    let mut candidates: Vec<_> = task.candidate()?.into_iter().collect();
    for number in 1..=task.attempts()? {
        candidates.extend(task.attempt(number)?.candidate()?);
    }
    Ok(candidates)
}

/// Approvals are given for one task; a denial is of the same bytes under any task's name.
fn is_about(approval: &Approval, task: &TaskFolder, candidates: &[Candidate]) -> bool {
    let binds = |one: &Candidate| approval.binds(&one.base, &one.tree, &one.patch_sha256);
    let is_denial = approval.verdict == Verdict::Denied;
    approval.task_id == *task.id() || (is_denial && candidates.iter().any(binds))
}

struct Gathered {
    files: Vec<(String, Vec<u8>)>,
    left: usize,
}

impl Gathered {
    fn folder(&mut self, folder: &Directory, path: &str, deep: usize) -> Result<(), Problem> {
        let failed = |error: io::Error| Problem::io(path, &error);
        let mut entries = folder.list().map_err(failed)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            // Locks and half-written files are nobody's evidence.
            if entry.name.starts_with('.') {
                continue;
            }
            let name = format!("{path}/{}", entry.name);
            if !entry.is_folder {
                let bytes = folder.read(&entry.name, self.left);
                self.add(name, bytes.map_err(failed)?)?;
            } else if deep > 0 {
                let inner = folder.sub(&entry.name).map_err(failed)?;
                self.folder(&inner, &name, deep - 1)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, name: String, bytes: Vec<u8>) -> Result<(), Problem> {
        if name.chars().any(char::is_control) {
            let name = name.escape_debug();
            let why = format!("a file is called \"{name}\"");
            return Err(
                Problem::fail("QUEUE_BROKEN", why).hint("no file of baton's is: look who made it")
            );
        }
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(too_large)?;
        self.files.push((name, bytes));
        Ok(())
    }
}

fn too_large() -> Problem {
    let why =
        format!("log and evidence have more than {MOST} bytes, the most that go into a bundle");
    Problem::fail("BUNDLE_TOO_LARGE", why)
        .hint("check it where it lies: baton verify TASK --strict")
}
