//! The least that a put and a claim can cost on this machine: a file or a folder that is durable where it
//! belongs, and the same with everything that has to be left behind here: lease, log line, checkpoint, envelope.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use baton_core::digest;

/// What a process of its own does in `root`, by its role.
pub(crate) fn play(role: &str, root: &Path, name: &str) {
    match role {
        "put" => put(root, name),
        "claim" => claim(root, name),
        "recorded-put" => recorded_put(root, name),
        "recorded-claim" => recorded_claim(root, name),
        _ => panic!("no role is called {role}"),
    }
}

/// The folders that the roles need, and a policy of the usual size.
pub(crate) fn prepare(root: &Path) {
    for folder in ["inbox", "claimed"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(
        root.join("policy"),
        include_bytes!("../../ssot/POLICY.json"),
    )
    .unwrap();
}

fn sync(folder: &Path) {
    File::open(folder).unwrap().sync_all().unwrap();
}

/// A file that is written, synced and renamed; the folder is synced.
fn place(folder: &Path, name: &str, bytes: usize) {
    let temporary = folder.join(".tmp");
    let mut file = File::create(&temporary).unwrap();
    file.write_all(&vec![b'x'; bytes]).unwrap();
    file.sync_all().unwrap();
    fs::rename(&temporary, folder.join(name)).unwrap();
    sync(folder);
}

fn put(root: &Path, name: &str) {
    let temporary = root.join(format!(".tmp-{name}"));
    let mut file = File::create(&temporary).unwrap();
    file.write_all(&[b'x'; 600]).unwrap();
    file.sync_all().unwrap();
    fs::rename(&temporary, root.join("inbox").join(name)).unwrap();
    sync(&root.join("inbox"));
}

fn claim(root: &Path, name: &str) {
    let (inbox, claimed) = (root.join("inbox"), root.join("claimed"));
    fs::rename(inbox.join(name), claimed.join(name)).unwrap();
    sync(&claimed);
    sync(&inbox);
}

/// The policy that decides must be the one that was accepted.
fn read_policy(root: &Path) {
    let bytes = fs::read(root.join("policy")).unwrap();
    assert_eq!(digest::sha256(&bytes).len(), 64);
}

/// A log line, and the signed head of the log with it.
fn record(root: &Path) {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    let mut log = options.open(root.join("log")).unwrap();
    log.write_all(&[b'x'; 1200]).unwrap();
    log.sync_data().unwrap();
    let next = root.join(".checkpoint");
    let mut head = File::create(&next).unwrap();
    head.write_all(&[b'x'; 200]).unwrap();
    head.sync_data().unwrap();
    fs::rename(&next, root.join("checkpoint")).unwrap();
}

fn recorded_put(root: &Path, name: &str) {
    // The log names who put it there as git knows them.
    let mut git = Command::new("git");
    git.args(["config", "--get-regexp", "^user"]);
    let asked = git.stdout(Stdio::piped()).spawn().unwrap();
    read_policy(root);
    let staged = root.join(format!(".tmp-{name}"));
    fs::create_dir(&staged).unwrap();
    place(&staged, "task", 600);
    asked.wait_with_output().unwrap();
    record(root);
    fs::rename(&staged, root.join("inbox").join(name)).unwrap();
    sync(&root.join("inbox"));
}

fn recorded_claim(root: &Path, name: &str) {
    read_policy(root);
    let task = root.join("inbox").join(name);
    place(&task, "lock", 300);
    record(root);
    let envelopes = task.join("envelopes");
    fs::create_dir(&envelopes).unwrap();
    sync(&task);
    place(&envelopes, "envelope", 1100);
    claim(root, name);
}
