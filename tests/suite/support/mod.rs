//! A scratch repository with a queue, and a way to run baton's programs on it.

pub(crate) mod model;
pub(crate) mod remote;
pub(crate) mod server;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use baton_core::audit::{Action, Draft};
use baton_core::policy::{Actor, Policy};
use serde_json::Value;

/// The program that holds every skill.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_baton"))
}

/// A repository in a temporary folder; HOME is empty and no configuration of the user is read.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    /// What this is a copy of, for the next test that begins so.
    pub(crate) original: Option<Arc<Self>>,
}

/// What a run gave.
#[must_use]
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The one JSON line on standard output.
    pub(crate) fn json(&self) -> Value {
        let lines: Vec<_> = self.stdout.lines().collect();
        assert_eq!(
            lines.len(),
            1,
            "one line expected, got {:?}; stderr: {}",
            self.stdout,
            self.stderr
        );
        serde_json::from_str(lines[0]).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// Demands an exit code and returns the JSON line.
    pub(crate) fn expect(&self, code: i32) -> Value {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self.json()
    }

    /// The codes of all findings.
    pub(crate) fn findings(&self) -> Vec<String> {
        let json = self.json();
        let findings = json["findings"].as_array().cloned().unwrap_or_default();
        findings
            .iter()
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Bench {
    /// A repository with one commit: README.md, src/app.sh and a test script whose G5 counts tests.
    pub(crate) fn bare() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
            original: None,
        };
        std::fs::create_dir(bench.root()).unwrap();
        std::fs::create_dir(bench.home()).unwrap();
        bench.git(&["init", "-q", "-b", "main"]);
        let person = "[user]\n\tname = Op\n\temail = op@baton.example\n";
        let mut config = std::fs::OpenOptions::new();
        let mut config = config
            .append(true)
            .open(bench.root().join(".git/config"))
            .unwrap();
        config.write_all(person.as_bytes()).unwrap();
        bench.write("README.md", "# demo\n");
        bench.write("src/app.sh", "echo 1\n");
        bench.write("Makefile", "check:\n\t@sh -n src/app.sh\ntest:\n\t@test \"$$(sh src/app.sh)\" != broken && echo '1 passed, 0 failed' || { echo '0 passed, 1 failed'; exit 1; }\n");
        bench.commit("first");
        bench
    }

    /// The same with `baton init`, committed.
    pub(crate) fn new() -> Self {
        let bench = Self::bare();
        bench.baton(["init"]).expect(0);
        bench.commit("ssot");
        bench
    }

    /// Changes the policy, and commits it.
    pub(crate) fn policy(&self, edit: impl FnOnce(&mut Value)) {
        let path = self.root().join(".autodev_ssot/POLICY.json");
        let mut policy = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        edit(&mut policy);
        let text = policy.to_string();
        // In the form that baton writes, in which the rules that it comes with are known. A test may also
        // want what nobody would write.
        let written = Policy::parse(text.as_bytes()).and_then(|policy| policy.to_json());
        std::fs::write(&path, written.unwrap_or(text)).unwrap();
        self.accepted();
        self.commit("another policy");
    }

    /// Puts the policy that lies there down as the accepted one, without a rehearsal.
    pub(crate) fn accepted(&self) {
        let folder = self.root().join(".autodev_ssot");
        let policy = std::fs::read(folder.join("POLICY.json")).unwrap();
        let path = folder.join("POLICY_ACCEPTED.json");
        let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let sha256 = baton_core::digest::sha256(&policy);
        let kept = self.queue().join("policies").join(&sha256);
        std::fs::create_dir_all(&kept).unwrap();
        std::fs::write(kept.join("POLICY.json"), policy).unwrap();
        for rules in ["SECRET_RULES.toml", "OWN.toml"] {
            if folder.join(rules).exists() {
                std::fs::copy(folder.join(rules), kept.join(rules)).unwrap();
            }
        }
        let store = baton_core::store::Store::open(&self.root()).unwrap();
        let draft = Draft::new(Actor::Human, Action::PolicyAccepted, "baton").unwrap();
        let draft = draft.meta("policy_sha256", sha256.clone());
        store.log().unwrap().append(draft).unwrap();
        baton_core::accepted::note(&store, &sha256).unwrap();
        record["policy_sha256"] = sha256.into();
        std::fs::write(path, record.to_string()).unwrap();
    }

    /// A bench of its own that holds the same, for a test that goes on in many ways from one point.
    pub(crate) fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let copied = Command::new("cp")
            .arg("-a")
            .arg(self.folder.path().join("."))
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(copied.success());
        Self {
            folder,
            original: None,
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A path outside the repository for files of a test.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn queue(&self) -> PathBuf {
        self.root().join(".autodev_queue")
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(self.root())
            .env("HOME", self.home())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Makes a patch by an edit, and takes the edit back.
    pub(crate) fn patch(&self, edit: impl FnOnce(&Path)) -> String {
        edit(&self.root());
        self.git(&["add", "-A"]);
        let output = Command::new("git")
            .args([
                "diff",
                "--cached",
                "--binary",
                "--full-index",
                "--no-renames",
            ])
            .current_dir(self.root())
            .env("HOME", self.home())
            .output()
            .unwrap();
        self.git(&["reset", "-q", "--hard"]);
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command for the program with a clean environment, in the repository.
    pub(crate) fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        arguments: I,
    ) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home())
            .env("USER", "tester")
            .env("TMPDIR", std::env::temp_dir())
            .stdin(std::process::Stdio::null());
        command
    }

    pub(crate) fn baton<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Ran {
        ran(self.command(arguments).output().unwrap())
    }

    /// Runs with this text on standard input.
    pub(crate) fn pipe<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        input: &[u8],
        arguments: I,
    ) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // A program that refuses early does not read; that is no failure of the test.
        let _ = child.stdin.take().unwrap().write_all(input);
        ran(child.wait_with_output().unwrap())
    }

    /// Submits a task that may change `allow`.
    pub(crate) fn submit(&self, id: &str, allow: &str) {
        self.baton([
            "submit",
            "--id",
            id,
            "--title",
            "A change",
            "--goal",
            "Change it",
            "--allow",
            allow,
        ])
        .expect(0);
    }

    /// Writes a patch file outside the repository and returns its path.
    pub(crate) fn patch_file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.scratch(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A task with a harmless change, taken as far as waiting for approval.
    pub(crate) fn waiting(&self, id: &str) {
        self.submit(id, "src/**");
        let text = self
            .patch(|root| std::fs::write(root.join("src/app.sh"), format!("echo {id}\n")).unwrap());
        self.patch_file(&format!("{id}.patch"), &text);
        let done = self.run_with(id, id).expect(0);
        assert_eq!(done["task"]["state_after"], "pr", "{done}");
    }

    /// Runs a task with the patch that [`Self::waiting`] made for one.
    pub(crate) fn run_with(&self, id: &str, patch_of: &str) -> Ran {
        let path = self.scratch(&format!("{patch_of}.patch"));
        self.baton(["run", id, "--from", path.to_str().unwrap()])
    }

    /// The folder of a task in a state.
    pub(crate) fn task(&self, state: &str, id: &str) -> PathBuf {
        self.queue().join(state).join(id)
    }
}

pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
