//! What a container has of its own: layers of files, and clocks.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::{Bench, ran};
use crate::watchdog::claim;

/// Whether a command that needs rights went well.
fn may(program: &str, line: &[&str]) -> bool {
    let ended = Command::new(program).args(line).output();
    ended.is_ok_and(|ended| ended.status.success())
}

/// A folder with an overlay over another one, until dropped.
struct Overlay {
    folder: tempfile::TempDir,
}

impl Overlay {
    fn over(lower: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::create_dir(at("upper")).unwrap();
        std::fs::create_dir(at("merged")).unwrap();
        // The upper layer may not lie on any file system.
        if !may("mount", &["-t", "tmpfs", "none", &at("upper")]) {
            return None;
        }
        std::fs::create_dir(at("upper/files")).unwrap();
        std::fs::create_dir(at("upper/work")).unwrap();
        let options = format!(
            "redirect_dir=off,lowerdir={},upperdir={},workdir={}",
            lower.display(),
            at("upper/files"),
            at("upper/work")
        );
        let made = may(
            "mount",
            &["-t", "overlay", "overlay", "-o", &options, &at("merged")],
        );
        let overlay = Self { folder };
        made.then_some(overlay)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("merged")
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        for name in ["merged", "upper"] {
            let path = self.folder.path().join(name);
            may("umount", &[path.to_str().unwrap()]);
        }
    }
}

#[test]
fn a_queue_of_an_images_layer_says_what_to_do() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    let Some(overlay) = Overlay::over(&bench.root()) else {
        eprintln!("not run: this account cannot mount an overlay");
        return;
    };
    let there = overlay.path();
    let repo = there.to_str().unwrap();
    let refused = bench.baton(["claim-lock", "--repo", repo, "--next"]);
    assert_eq!(refused.findings()[0], "QUEUE_BROKEN", "{}", refused.stdout);
    let way_out = "cp -a .autodev_queue q && rm -r .autodev_queue && mv q .autodev_queue";
    assert!(refused.stdout.contains(way_out), "{}", refused.stdout);
    let said = bench.baton(["doctor", "--repo", repo, "--queue"]);
    assert!(
        said.stdout.contains("lies on an overlay file system"),
        "{}",
        said.stdout
    );
    let copied = Command::new("sh")
        .args(["-c", way_out])
        .current_dir(&there)
        .status();
    assert!(copied.unwrap().success());
    bench
        .baton(["claim-lock", "--repo", repo, "--next"])
        .expect(0);
}

#[test]
fn a_clock_of_its_own_ends_no_lease_and_no_process() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    claim(&bench, "T-1");
    let program = crate::support::program();
    for offset in ["100000", "-100"] {
        let offset = format!("--boottime={offset}");
        if !may("unshare", &["--time", &offset, "--fork", "true"]) {
            eprintln!("not run: this account cannot make a time namespace");
            return;
        }
        let mut command = Command::new("unshare");
        command.args(["--time", &offset, "--fork"]).arg(&program);
        command
            .args(["watchdog", "--once", "--repo"])
            .arg(bench.root());
        let said = ran(command.env("HOME", bench.home()).output().unwrap()).expect(0);
        assert_eq!(said["acts"], json!([]), "{said}");
    }
}
