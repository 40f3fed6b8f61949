//! What a forger or an enemy puts into a bundle, and what git alone makes of one.

use std::path::{Path, PathBuf};
use std::process::Command;

use baton_core::git::{ObjectStore, Oid, Repository};
use serde_json::Value;

use crate::signing::lands;
use crate::strangers::{bundle, git, key, line, verify};
use crate::support::Bench;

/// The text that a bundle begins with, the tree that it names, and the pack.
fn apart(bytes: &[u8]) -> (String, String, &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap() + 2;
    let header = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let record = header.lines().find_map(|line| line.strip_prefix("record "));
    let record = record.unwrap().to_owned();
    (header, record, &bytes[end..])
}

/// The files of a bundle, changed, and packed as a forger would.
fn forged(bench: &Bench, file: &Path, edit: impl FnOnce(&mut Vec<(String, Vec<u8>)>)) -> PathBuf {
    let bytes = std::fs::read(file).unwrap();
    let (header, record, pack) = apart(&bytes);
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::of_pack(folder.path(), "sha1", pack.to_vec()).unwrap();
    let (_store, objects) = ObjectStore::temporary(&repository).unwrap();
    let entries = objects.entries(&Oid::parse(&record).unwrap()).unwrap();
    let ids: Vec<_> = entries.iter().map(|entry| entry.id.clone()).collect();
    let blobs = objects.blobs(&ids).unwrap();
    let names = entries
        .iter()
        .map(|entry| String::from_utf8(entry.path.clone()).unwrap());
    let mut files: Vec<_> = names.zip(blobs).collect();
    edit(&mut files);
    let tree = objects.store_files(&files).unwrap();
    repack(
        bench,
        &objects,
        &header.replace(&record, tree.as_str()),
        &tree,
    )
}

fn repack(bench: &Bench, objects: &ObjectStore, header: &str, tree: &Oid) -> PathBuf {
    let main = Repository::open(&bench.root()).unwrap();
    let (head, base) = (main.commit("HEAD").unwrap(), main.commit("main^1"));
    // Where nothing landed the base is the head.
    let base = base.unwrap_or_else(|_| head.clone());
    let both = objects.pack_whole(&[&head, &base, tree]);
    let pack = both
        .or_else(|_| objects.pack_whole(&[&base, tree]))
        .unwrap();
    let forged = bench.scratch("forged.bundle");
    std::fs::write(&forged, [header.as_bytes(), &pack].concat()).unwrap();
    forged
}

type Edit = fn(&mut Vec<(String, Vec<u8>)>);

/// Changes one byte in the middle of the first file whose name holds this.
fn flip(files: &mut [(String, Vec<u8>)], name: &str) {
    let (_, bytes) = files
        .iter_mut()
        .find(|(own, _)| own.contains(name))
        .unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'e' { b'a' } else { b'e' };
}

#[test]
fn whatever_a_forger_changes_in_a_bundle_is_found() {
    let bench = Bench::with_landed();
    let file = bundle(&bench, "t1.bundle");
    let nowhere = tempfile::tempdir().unwrap();
    let key = key(&bench);
    let same = forged(&bench, &file, |_| {});
    verify(nowhere.path(), &same, &["--key", &key]).expect(0);
    let edits: [(&str, Edit); 17] = [
        ("audit log", |files| flip(files, "audit/events.ndjson")),
        ("audit log", |files| flip(files, "audit/checkpoint")),
        ("audit log", |files| {
            let (_, log) = files
                .iter_mut()
                .find(|(name, _)| name.ends_with("events.ndjson"))
                .unwrap();
            let cut = log[..log.len() - 1]
                .iter()
                .rposition(|byte| *byte == b'\n')
                .unwrap();
            log.truncate(cut + 1);
        }),
        ("candidate", |files| flip(files, "draft.patch")),
        ("candidate", |files| {
            files.retain(|(name, _)| !name.ends_with("/candidate.json"))
        }),
        ("task as submitted", |files| flip(files, "/task.json")),
        ("kept results", |files| {
            files.retain(|(name, _)| !name.ends_with("claim-lock.json"))
        }),
        ("policy of the time", |files| flip(files, "policies/")),
        ("risk, scanned again", |files| {
            files.retain(|(name, _)| !(name.contains("policies/") && name.ends_with(".toml")));
        }),
        ("evidence", |files| flip(files, "evidence/G5.log")),
        ("evidence", |files| {
            files.retain(|(name, _)| !name.ends_with("evidence/G5.json"))
        }),
        ("gates as defined then", |files| {
            flip(files, "evidence/G5.json")
        }),
        ("evidence manifest and statements", |files| {
            flip(files, "test-result.dsse.json")
        }),
        ("approvals", |files| {
            files.retain(|(name, _)| !name.contains("/approved/"))
        }),
        ("approvals", |files| flip(files, "/approved/")),
        ("decision", |files| {
            files.retain(|(name, _)| !name.ends_with("decision-router.json"))
        }),
        ("place in the queue", |files| {
            for (name, _) in files.iter_mut() {
                *name = name.replace("/done/", "/pr/");
            }
        }),
    ];
    for (point, edit) in edits {
        let forged = forged(&bench, &file, edit);
        let said = verify(nowhere.path(), &forged, &["--key", &key]);
        assert_eq!(said.code, 1, "{point}: {}", said.stdout);
        let said = said.json();
        let wrong = said["wrong"].as_array().unwrap();
        let names = |one: &Value| one.as_str().unwrap().starts_with(point);
        assert!(wrong.iter().any(names), "{point}: {said}");
    }
}

/// A well-formed line behind the last one, as anybody can write it who has no key.
fn one_more(files: &mut [(String, Vec<u8>)]) {
    let (_, log) = files
        .iter_mut()
        .find(|(name, _)| name.ends_with("events.ndjson"))
        .unwrap();
    let text = String::from_utf8(log.clone()).unwrap();
    let last = text.lines().last().unwrap();
    let json: Value = serde_json::from_str(last).unwrap();
    let of = |field: &str| json[field].as_str().unwrap().to_owned();
    let seq = json["seq"].as_u64().unwrap();
    let id = of("event_id");
    let line = last
        .replace(&format!("\"seq\":{seq},"), &format!("\"seq\":{},", seq + 1))
        .replace(&id, &format!("{}0000", &id[..id.len() - 4]))
        .replace(&of("prev_event_id"), &id)
        .replace(
            &of("prev_sha256"),
            &baton_core::digest::sha256(last.as_bytes()),
        );
    log.extend_from_slice(format!("{line}\n").as_bytes());
}

#[test]
fn lines_behind_the_signed_head_prove_nothing() {
    let bench = Bench::new();
    bench.policy(|policy| policy["audit"]["checkpoint"] = serde_json::json!({"every": 1000}));
    bench.waiting("T-1");
    bench.baton(["approve", "T-1"]).expect(0);
    lands(&bench);
    bench
        .baton(["stop", "--reason", "a line of no task"])
        .expect(0);
    let head = || std::fs::read_to_string(bench.queue().join("audit/checkpoint")).unwrap();
    let before = head();
    let file = bundle(&bench, "t1.bundle");
    // What is taken along is signed first.
    assert_ne!(head(), before);
    let key = key(&bench);
    let said = verify(&bench.root(), &file, &["--strict", "--key", &key]).expect(0);
    assert_eq!(said["unknown"], serde_json::json!([]));
    let forged = forged(&bench, &file, |files| one_more(files));
    let said = verify(&bench.root(), &forged, &["--strict", "--key", &key]).expect(1);
    assert_eq!(said["status"], "UNPROVEN", "{said}");
    assert!(
        said["unknown"][0]
            .as_str()
            .unwrap()
            .starts_with("audit log: its signed head covers"),
        "{said}"
    );
}

/// The same bytes, denied under the name of another task.
#[test]
fn a_denial_of_the_same_bytes_goes_along() {
    let bench = Bench::new();
    bench.waiting("T-2");
    bench.submit("T-1", "src/**");
    let patch = bench.scratch("T-2.patch");
    bench
        .baton(["run", "T-1", "--from", patch.to_str().unwrap()])
        .expect(0);
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    bench
        .baton(["reject", "T-2", "--reason", "twice"])
        .expect(0);
    bench.baton(["verify", "T-1", "--strict"]).expect(0);
    let file = bundle(&bench, "t1.bundle");
    let key = key(&bench);
    verify(&bench.root(), &file, &["--strict", "--key", &key]).expect(0);
}

/// A bundle whose record is a tree with this entry.
fn hostile(bench: &Bench, mode: &str, path: &str) -> PathBuf {
    let root = bench.root();
    let mut id = line(git(&root, &["hash-object", "-w", "--stdin"], b"x"));
    let mut mode = mode;
    for name in path.split('/').rev() {
        id = tree(&root, mode, &[name], &id);
        mode = "40000";
    }
    with_record(bench, &id)
}

/// A tree that holds one object by several names, made by hand: git itself writes no such names.
fn tree(root: &Path, mode: &str, names: &[&str], id: &str) -> String {
    let raw = data_encoding::HEXLOWER.decode(id.as_bytes()).unwrap();
    let entry = |name: &&str| [format!("{mode} {name}\0").as_bytes(), &raw].concat();
    let entries: Vec<_> = names.iter().flat_map(entry).collect();
    let make = ["hash-object", "-w", "-t", "tree", "--literally", "--stdin"];
    line(git(root, &make, &entries))
}

/// An honest bundle but for its record, which is this tree.
fn with_record(bench: &Bench, id: &str) -> PathBuf {
    let file = bundle(bench, "honest.bundle");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let (header, record, _) = apart(&bytes);
    let root = bench.root();
    let listing = git(&root, &["rev-list", "--objects", "--no-walk", "HEAD"], b"");
    let more = git(&root, &["rev-list", "--objects", "--no-walk", id], b"");
    let pack = ["pack-objects", "--stdout", "--quiet"];
    let pack = git(&root, &pack, &[listing, more].concat());
    let forged = bench.scratch("hostile.bundle");
    std::fs::write(
        &forged,
        [header.replace(&record, id).as_bytes(), &pack].concat(),
    )
    .unwrap();
    forged
}

#[test]
fn a_hostile_bundle_writes_nothing_anywhere() {
    let bench = Bench::with_landed();
    let nowhere = tempfile::tempdir().unwrap();
    for (mode, path) in [
        ("120000", ".autodev_ssot/POLICY.json"),
        ("100755", ".autodev_ssot/POLICY.json"),
        ("160000", ".autodev_queue/done"),
        ("100644", ".git/config"),
        ("100644", ".autodev_queue/.git/config"),
        ("100644", ".autodev_queue/../../escaped"),
        ("100644", "../escaped"),
        ("100644", "src/app.sh"),
        ("100644", ".autodev_queue"),
        ("100644", ".autodev_queue/audit/signing\\key"),
        ("100644", ".autodev_queue/STOP\nx"),
        ("100644", ".autodev_queue/a/b/c/d/e/f/g/h/i/j/k/l/m"),
    ] {
        let file = hostile(&bench, mode, path);
        let said = verify(nowhere.path(), &file, &[]);
        assert_eq!(said.code, 1, "{path}: {}", said.stdout);
        let code = said.json()["code"].as_str().unwrap_or_default().to_owned();
        assert!(
            ["BUNDLE_INVALID", "GIT_FAILED"].contains(&code.as_str()),
            "{path}: {code}"
        );
    }
    let left = std::fs::read_dir(nowhere.path()).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn what_is_no_bundle_is_refused_with_a_reason() {
    let bench = Bench::with_landed();
    let file = bundle(&bench, "t1.bundle");
    let bytes = std::fs::read(&file).unwrap();
    let (header, _, pack) = apart(&bytes);
    let with = |header: &str, pack: &[u8]| [header.as_bytes(), pack].concat();
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("no lines", pack.to_vec()),
        ("another format", with(&header.replace("v1", "v2"), pack)),
        (
            "a task's name",
            with(&header.replace("T-1", "../T-1"), pack),
        ),
        (
            "no such tree",
            with(&header.replace("record ", "record 00"), pack),
        ),
        ("objects", with(&header.replace("sha1", "sha3"), pack)),
        (
            "a line more",
            with(&header.replace("\n\n", "\nmore x\n\n"), pack),
        ),
        ("cut", bytes[..bytes.len() - 30].to_vec()),
        ("no pack", header.clone().into_bytes()),
        ("another pack", with(&header, b"PACK\0\0\0\x02\0\0\0\0")),
    ] {
        let file = bench.scratch("broken.bundle");
        std::fs::write(&file, bytes).unwrap();
        let said = verify(bench.home().as_path(), &file, &[]);
        assert_eq!(said.code, 1, "{what}: {}", said.stdout);
        let said = said.json();
        assert!(
            !said["next"].to_string().is_empty() && said["code"].is_string(),
            "{what}: {said}"
        );
    }
    // What is there is not overwritten, and what has no change is nothing to check.
    let again = bench.baton(["bundle", "T-1", "--out", file.to_str().unwrap()]);
    assert_eq!(again.code, 1);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    bench.submit("T-2", "src/**");
    let none = bench.baton([
        "bundle",
        "T-2",
        "--out",
        bench.scratch("x").to_str().unwrap(),
    ]);
    assert_eq!(none.json()["code"], "CANDIDATE_MISSING");
}

#[test]
fn a_bundle_holds_no_secret_of_the_queue() {
    let bench = Bench::with_landed();
    let file = bundle(&bench, "t1.bundle");
    let secret = std::fs::read_to_string(bench.queue().join("audit/signing.key")).unwrap();
    let mut names = Vec::new();
    forged(&bench, &file, |files| {
        for (name, bytes) in files.iter() {
            let text = String::from_utf8_lossy(bytes);
            assert!(!text.contains(secret.trim()), "{name}");
            names.push(name.clone());
        }
    });
    assert!(
        names
            .iter()
            .any(|name| name.ends_with("audit/events.ndjson"))
    );
    assert!(
        !names.iter().any(|name| name.contains("signing.key")),
        "{names:?}"
    );
}

/// The page's own lines: git alone opens a bundle.
#[test]
fn git_alone_opens_a_bundle_as_the_page_says() {
    let bench = Bench::with_landed();
    let file = bundle(&bench, "t1.bundle");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/verifying.md");
    let text = std::fs::read_to_string(page).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
    let lines: Vec<_> = lines.filter(|line| line.contains("t1.pack")).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let mut shell = Command::new("sh");
        let folder = file.parent().unwrap();
        let done = shell
            .args(["-euc", line])
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(done.status.success(), "{line}: {done:?}");
    }
    let index = file.with_file_name("t1.idx");
    let held = git(
        &bench.root(),
        &["verify-pack", "-v", index.to_str().unwrap()],
        b"",
    );
    let held = String::from_utf8(held).unwrap();
    for commit in ["main", "main^"] {
        let id = bench.git(&["rev-parse", commit]);
        assert!(held.contains(&format!("{id} commit")), "{commit}: {held}");
    }
}

/// Ten names for the same tree, nine times over: some hundred bytes, and a billion files.
#[test]
fn a_tree_of_a_billion_files_is_not_unfolded() {
    let bench = Bench::with_landed();
    let root = bench.root();
    let names: Vec<_> = (0..10).map(|digit| digit.to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut id = line(git(&root, &["hash-object", "-w", "--stdin"], b"x"));
    id = tree(&root, "100644", &names, &id);
    for _ in 0..8 {
        id = tree(&root, "40000", &names, &id);
    }
    let file = with_record(&bench, &tree(&root, "40000", &[".autodev_ssot"], &id));
    let said = verify(&root, &file, &[]);
    assert_eq!(said.code, 1, "{}", said.stdout);
    assert_eq!(said.json()["code"], "GIT_OUTPUT_TOO_LARGE");
}
