//! A small host for gates to attack: secrets, listeners and a victim, all of ours and all open to
//! every account, so that only a wall can refuse.

#![allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "each test program uses its own part, and a test that cannot go on fails"
)]

pub(crate) mod attacks;

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use baton_sandbox::{Limits, Outcome, Profile, Refused, Sandbox};
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_baton-walls");
pub(crate) const SECRET: &str = "the-host-s-secret";

/// How one script starts.
#[derive(Clone, Copy)]
pub(crate) enum Script {
    Sh(&'static str),
    Py(&'static str),
}

/// What scripts in Python begin with: `call` is a system call, `-1` when it is refused.
const PRELUDE: &str = "\
import ctypes, os, signal, socket, struct, subprocess, sys, time, threading, mmap
E = os.environ
L = ctypes.CDLL(None, use_errno=True)
L.syscall.restype = ctypes.c_long
def call(number, *arguments):
    fixed = [ctypes.c_void_p(a) if isinstance(a, int) else a for a in arguments]
    return L.syscall(ctypes.c_long(number), *fixed)
def won(): print('WON!', flush=True)
";

impl Script {
    pub(crate) fn argv(self) -> Vec<String> {
        match self {
            Self::Sh(text) => vec!["/bin/sh".into(), "-c".into(), text.into()],
            Self::Py(text) => vec![
                "/usr/bin/python3".into(),
                "-c".into(),
                format!("{PRELUDE}{text}"),
            ],
        }
    }
}

pub(crate) struct Host {
    pub(crate) folder: TempDir,
    pub(crate) tree: PathBuf,
    pub(crate) variables: BTreeMap<String, String>,
    victim: Child,
    reached: Arc<AtomicBool>,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("baton-host-")
            .tempdir()
            .unwrap();
        open(folder.path());
        let tree = folder.path().join("job/tree");
        for name in ["job/tree/src", "home/.ssh", "home/.config/hooks"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for name in [
            "home/.ssh/id_ed25519",
            "home/.config/hooks/pre-commit",
            "home/.bashrc",
            "job/POLICY.json",
        ] {
            fs::write(folder.path().join(name), SECRET).unwrap();
        }
        fs::write(tree.join("src/file"), "of the tree").unwrap();
        walk(folder.path(), &mut |path| open(path));
        let reached = Arc::new(AtomicBool::new(false));
        let mut variables = BTreeMap::from([
            (
                "PATH".to_owned(),
                "/usr/bin:/bin:/usr/sbin:/sbin".to_owned(),
            ),
            ("HOST".to_owned(), text(folder.path())),
            ("CALLER".to_owned(), std::process::id().to_string()),
        ]);
        listen(folder.path(), &mut variables, &reached);
        let victim = Command::new("/bin/sleep")
            .arg("600")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        variables.insert("VICTIM".to_owned(), victim.id().to_string());
        let mut host = Self {
            before: BTreeMap::new(),
            folder,
            tree,
            variables,
            victim,
            reached,
        };
        host.before = host.files();
        host
    }

    /// Every file outside of the tree.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        walk(self.folder.path(), &mut |path| {
            if !path.starts_with(&self.tree) && path.is_file() {
                files.insert(path.to_path_buf(), fs::read(path).unwrap());
            }
        });
        files
    }

    /// What a gate did to the host; empty when nothing.
    pub(crate) fn harm(&mut self) -> Vec<&'static str> {
        let mut harm = Vec::new();
        if self.files() != self.before {
            harm.push("files outside of the tree changed");
        }
        if self.victim.try_wait().unwrap().is_some() {
            harm.push("the victim is dead");
        }
        if self.reached.load(Ordering::SeqCst) {
            harm.push("a listener was reached");
        }
        harm
    }

    pub(crate) fn profile(&self, argv: Vec<String>) -> Profile {
        let mut profile = Profile::new(&self.tree, argv);
        profile.environment = self.variables.clone();
        profile.limits = small();
        profile
    }

    /// Without walls, as a hook runner would do it.
    pub(crate) fn bare(&self, argv: &[String]) -> String {
        let output = Command::new(&argv[0])
            .args(&argv[1..])
            .current_dir(&self.tree)
            .envs(&self.variables)
            .env("HOME", self.folder.path().join("home"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let mut all = String::from_utf8_lossy(&output.stdout).into_owned();
        all.push_str(&String::from_utf8_lossy(&output.stderr));
        all
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let shut = self.tree.join("shut");
        if shut.exists() {
            open(&shut);
        }
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

/// Small enough to be passed without harm to the machine that runs the tests.
pub(crate) fn small() -> Limits {
    Limits {
        wall_ms: 15_000,
        memory_bytes: 160 << 20,
        processes: 48,
        file_bytes: 24 << 20,
        open_files: 128,
        tmp_bytes: 16 << 20,
        tree_growth_bytes: 32 << 20,
        log_bytes: 64 << 10,
        output_bytes: 8 << 20,
    }
}

pub(crate) fn run(profile: &Profile) -> Result<Outcome, Refused> {
    Sandbox::with_program(PROGRAM).run(profile, &|| false)
}

pub(crate) fn log(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.log.text()).into_owned()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// When root runs the tests, runs them once more as an account that owns nothing.
pub(crate) fn again_as_an_ordinary_user() {
    use std::os::unix::process::CommandExt;

    const ACCOUNT: u32 = 61_150;
    if !is_root() {
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--skip", "as_an_ordinary_user", "--test-threads=2"])
        .uid(ACCOUNT)
        .gid(ACCOUNT)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    // Attacks make folders that nobody can list.
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            walk(&path, visit);
        }
        if !kind.is_symlink() {
            visit(&path);
        }
    }
}

/// Listeners on every way in; each notes that it was reached, and answers.
fn listen(folder: &Path, variables: &mut BTreeMap<String, String>, reached: &Arc<AtomicBool>) {
    let mut tell = |name: &str, value: String| variables.insert(name.to_owned(), value);
    let by_path = folder.join("agent.sock");
    let dgram = folder.join("log.sock");
    let name = text(folder);
    let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
    let unix = [
        UnixListener::bind(&by_path).unwrap(),
        UnixListener::bind_addr(&abstract_address).unwrap(),
    ];
    let datagrams = UnixDatagram::bind(&dgram).unwrap();
    open(&by_path);
    open(&dgram);
    let tcp4 = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    tell("SOCK", text(&by_path));
    tell("DGRAM", text(&dgram));
    tell("NAME", name);
    tell("TCP4", tcp4.local_addr().unwrap().port().to_string());
    tell("UDP", udp.local_addr().unwrap().port().to_string());
    let mut tcp = vec![tcp4];
    if let Ok(tcp6) = TcpListener::bind("[::1]:0") {
        tell("TCP6", tcp6.local_addr().unwrap().port().to_string());
        tcp.push(tcp6);
    }
    for listener in tcp {
        let reached = Arc::clone(reached);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                reached.store(true, Ordering::SeqCst);
                let _ = std::io::Write::write_all(&mut stream, b"hello");
            }
        });
    }
    for listener in unix {
        let reached = Arc::clone(reached);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                reached.store(true, Ordering::SeqCst);
                let _ = std::io::Write::write_all(&mut stream, b"hello");
            }
        });
    }
    let (one, two) = (Arc::clone(reached), Arc::clone(reached));
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((count, from)) = udp.recv_from(&mut buffer) {
            one.store(true, Ordering::SeqCst);
            let _ = udp.send_to(&buffer[..count], from);
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while datagrams.recv(&mut buffer).is_ok() {
            two.store(true, Ordering::SeqCst);
        }
    });
}

/// Runs one ignored test of this program where no further user namespace can be made, as in many
/// containers: inside a user namespace of its own, with the limit on more of them at zero.
pub(crate) fn again_without_namespaces(test: &str) {
    const SET_UP: &str = include_str!("without_namespaces.py");
    if !is_root() {
        return;
    }
    for account in ["0", "61150"] {
        let output = Command::new("/usr/bin/python3")
            .args(["-c", SET_UP, account])
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", test, "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        println!("as {account}: {said}");
        assert!(output.status.success(), "as {account}: {said}\n{errors}");
        assert!(said.contains("1 passed"), "as {account}: {said}");
    }
}
