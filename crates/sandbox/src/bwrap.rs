//! The system's own `bwrap`: where it is, and what it is told.
//!
//! Only the system's, because distributions that restrict user namespaces except that one program
//! by its path; and only at fixed places, because a search path is something a change can touch.

use std::ffi::OsString;
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::profile::{HOME, SYSTEM, TREE};
use crate::wire::{KEEPER, OuterPlan};

/// Where systems put it; the last is NixOS.
const FIXED: [&str; 4] = [
    "/usr/bin/bwrap",
    "/bin/bwrap",
    "/usr/local/bin/bwrap",
    "/run/current-system/sw/bin/bwrap",
];
/// Of the system, besides `/usr`: what programs look up, and nothing that tells who works here.
const SHOWN: [&str; 18] = [
    "/nix/store",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/fonts",
    "/etc/java",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/pki",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
];
/// Where the keeper's program lies inside.
const STAGE: &str = "/run/baton/stage";

/// The program that was found, and what it says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
}

/// Finds it once for this process.
pub(crate) fn find() -> Result<&'static Found, String> {
    static FOUND: OnceLock<Result<Found, String>> = OnceLock::new();
    FOUND.get_or_init(search).as_ref().map_err(Clone::clone)
}

fn search() -> Result<Found, String> {
    for place in FIXED.map(Path::new) {
        let Ok(status) = place.metadata() else {
            continue;
        };
        if !is_root_s(status.uid()) || status.mode() & 0o022 != 0 {
            return Err(format!(
                "{}: others than root may change it",
                place.display()
            ));
        }
        let output = Command::new(place)
            .arg("--version")
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", place.display()))?;
        return Ok(Found {
            path: place.to_path_buf(),
            version: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        });
    }
    Err(format!("bwrap is at none of {}", FIXED.join(", ")))
}

/// Inside a user namespace that does not map root, its files show the overflow account.
fn is_root_s(owner: u32) -> bool {
    let overflow = || std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
    owner == 0 || overflow().is_some_and(|text| text.trim().parse() == Ok(owner))
}

/// The whole command line after the program's name.
///
/// The environment is not in it, because other accounts can read command lines: the keeper gets it
/// through its channel. Small files are handed over as open descriptors without close-on-exec.
pub(crate) fn arguments(plan: &OuterPlan) -> io::Result<Vec<OsString>> {
    let mut line = Line::default();
    walls(&mut line);
    system(&mut line)?;
    devices(&mut line, plan);
    line.words(&["--proc", "/proc"]);
    for (number, place) in plan.read_only.iter().enumerate() {
        let source = plan.staged.get(number).unwrap_or(place);
        line.bind("--ro-bind", source, place);
    }
    line.bind("--ro-bind", &plan.program, Path::new(STAGE));
    line.bind("--bind", &plan.tree, Path::new(TREE));
    line.words(&["--remount-ro", "/", "--chdir", TREE, "--", STAGE, KEEPER]);
    Ok(line.0)
}

#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn words(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(OsString::from));
    }

    fn bind(&mut self, how: &str, source: &Path, target: &Path) {
        self.0.extend([how.into(), source.into(), target.into()]);
    }

    /// A file made up here, which is read-only inside.
    fn file(&mut self, path: &str, content: &str) -> io::Result<()> {
        let mut file = std::fs::File::from(memfd_create(c"baton", MemfdFlags::empty())?);
        file.write_all(content.as_bytes())?;
        file.rewind()?;
        let number = file.as_raw_fd().to_string();
        // Left open on purpose: it is for the program that this process is about to become.
        let _ = file.into_raw_fd();
        self.words(&["--perms", "0444", "--file", &number, path]);
        Ok(())
    }
}

fn walls(line: &mut Line) {
    line.words(&[
        "--unshare-user",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--disable-userns",
        "--die-with-parent",
        "--new-session",
        "--as-pid-1",
        "--cap-drop",
        "ALL",
        "--hostname",
        "gate",
        "--uid",
        "1000",
        "--gid",
        "1000",
    ]);
}

/// The system's programs and the few files of `/etc` that programs look for.
fn system(line: &mut Line) -> io::Result<()> {
    line.words(&["--ro-bind", "/usr", "/usr"]);
    for name in SYSTEM {
        let path = Path::new(name);
        match std::fs::read_link(path) {
            Ok(target) => line.bind("--symlink", &target, path),
            Err(_) if path.is_dir() => line.bind("--ro-bind", path, path),
            Err(_) => {}
        }
    }
    for name in SHOWN {
        let path = Path::new(name);
        if path.exists() {
            line.bind("--ro-bind-try", path, path);
        }
    }
    line.file(
        "/etc/passwd",
        &format!(
            "root:x:0:0:root:/:/bin/false\ngate:x:1000:1000:gate:{HOME}:/bin/sh\n\
             nobody:x:65534:65534:nobody:/:/bin/false\n"
        ),
    )?;
    line.file(
        "/etc/group",
        "root:x:0:\ngate:x:1000:\ntty:x:5:\nnogroup:x:65534:\n",
    )?;
    line.file(
        "/etc/hosts",
        "127.0.0.1 localhost gate\n::1 localhost ip6-localhost\n",
    )?;
    line.file(
        "/etc/nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n",
    )
}

fn devices(line: &mut Line, plan: &OuterPlan) {
    let size = plan.tmp_bytes.to_string();
    let quarter = (plan.tmp_bytes / 4).max(1 << 20).to_string();
    line.words(&["--dev", "/dev", "--size", &quarter, "--perms", "1777"]);
    line.words(&["--tmpfs", "/dev/shm", "--remount-ro", "/dev"]);
    line.words(&["--size", &size, "--perms", "1777", "--tmpfs", "/tmp"]);
    line.words(&["--perms", "0700", "--dir", HOME]);
    line.words(&["--dir", "/var", "--symlink", "/tmp", "/var/tmp"]);
}
