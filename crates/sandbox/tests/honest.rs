//! What ordinary tests and builds do must work behind the walls, and the watch must tell the truth
//! about it: how it ended, what it wrote, what it left behind.

#![cfg(target_os = "linux")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use baton_sandbox::{Aspect, Cover, EndedBy, Level, Profile, Relax, Sandbox, TREE};
use common::Script::{Py, Sh};
use common::{Host, PROGRAM, Script, log, run};

const HONEST: &[(&str, Script)] = &[
    (
        "a server and a client on the loopback",
        Py("
s = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname())
a, _ = s.accept(); c.sendall(b'hi'); assert a.recv(9) == b'hi'
if socket.has_ipv6:
    s = socket.create_server(('::1', 0), family=socket.AF_INET6); socket.create_connection(s.getsockname()[:2])
won()
"),
    ),
    (
        "unix sockets of its own",
        Py("
for n in ('own.sock', '\\0own', '/tmp/own.sock'):
    s = socket.socket(socket.AF_UNIX); s.bind(n); s.listen()
    c = socket.socket(socket.AF_UNIX); c.connect(n)
won()
"),
    ),
    (
        "multiprocessing with semaphores and a pool",
        Py("
import multiprocessing as m
with m.Pool(2) as p: assert sum(p.map(abs, range(9))) == 36
q = m.Queue(); l = m.Lock(); p = m.Process(target=lambda: (l.acquire(), q.put(7)))
p.start(); assert q.get() == 7; p.join(); won()
"),
    ),
    (
        "names: localhost, the user, the home",
        Py("
import getpass, pwd
assert socket.gethostbyname('localhost') == '127.0.0.1'
socket.getaddrinfo('localhost', 80); socket.gethostbyname(socket.gethostname())
assert getpass.getuser() == 'gate' and pwd.getpwuid(os.getuid()).pw_dir == os.path.expanduser('~')
open(os.path.expanduser('~/.x'), 'w'); won()
"),
    ),
    (
        "temporary files, links, modes, renames",
        Py("
import tempfile
with tempfile.TemporaryDirectory() as d:
    p = d + '/a'; open(p, 'w').write('x'); os.chmod(p, 0o755); os.link(p, d + '/b'); os.symlink('a', d + '/c')
    os.rename(p, d + '/d'); os.mkfifo(d + '/e'); os.utime(d + '/d', (1, 1))
os.makedirs('out/deep'); os.rename('out/deep', 'src/deep'); open('/var/tmp/x', 'w'); won()
"),
    ),
    (
        "threads, children, signals, a terminal of its own",
        Py("
import pty, resource
t = threading.Thread(target=lambda: 1); t.start(); t.join()
assert subprocess.run(['sh', '-c', 'kill -TERM $$']).returncode == -15
os.openpty(); signal.alarm(0); os.getpgid(0); won()
"),
    ),
    ("devices", Sh("head -c9 /dev/urandom >/dev/null && echo x >/dev/null && : </dev/zero && test ! -t 0 && echo WON!")),
    ("pipes and substitution", Sh("test \"$(seq 9 | sort -r | head -1)\" = 9 && bash -c 'cat <(echo WON!)'")),
    ("a certificate store", Sh("test ! -e /etc/ssl/certs || test -n \"$(ls /etc/ssl/certs | head -1)\" && echo WON!")),
    ("perl", Sh("perl -e 'print qq(WON!\\n)'")),
];

#[test]
fn what_ordinary_tests_do_works() {
    let mut wrong = Vec::new();
    for (name, script) in HONEST {
        let host = Host::new();
        let outcome = run(&host.profile(script.argv())).unwrap();
        let said = log(&outcome);
        if !said.contains("WON!") || outcome.ended_by != EndedBy::Exit(0) || outcome.leaks != 0 {
            wrong.push(format!(
                "{name}: {} {} {said}",
                outcome.ended_by, outcome.leaks
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_toolchain_under_a_closed_home_runs_read_only() {
    let Some(home) = std::env::var_os("HOME").map(PathBuf::from) else {
        return;
    };
    let (rustup, cargo) = (home.join(".rustup"), home.join(".cargo"));
    if !rustup.join("toolchains").is_dir() || !cargo.join("bin/cargo").exists() {
        return;
    }
    let host = Host::new();
    let bin = cargo.join("bin");
    let mut profile = host.profile(
        Sh("cargo --version && rustc --version && echo 'fn main(){}' > a.rs && rustc a.rs && ./a && ! touch $RUSTUP_HOME/x 2>/dev/null && echo WON!").argv(),
    );
    profile.limits.memory_bytes = 2 << 30;
    profile.limits.file_bytes = 1 << 30;
    profile.limits.processes = 128;
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    profile
        .environment
        .insert("PATH".into(), format!("{}:/usr/bin:/bin", text(&bin)));
    profile
        .environment
        .insert("RUSTUP_HOME".into(), text(&rustup));
    profile.read_only = vec![rustup, bin];
    let outcome = run(&profile).unwrap();
    assert!(log(&outcome).contains("WON!"), "{}", log(&outcome));
}

#[test]
fn the_end_is_told_apart() {
    let host = Host::new();
    let ends = [
        ("exit 0", EndedBy::Exit(0)),
        ("exit 137", EndedBy::Exit(137)),
        ("kill -9 $$", EndedBy::Signal(9)),
        ("kill -SEGV $$", EndedBy::Signal(11)),
    ];
    for (script, end) in ends {
        let argv = vec!["/bin/sh".into(), "-c".into(), script.into()];
        assert_eq!(run(&host.profile(argv)).unwrap().ended_by, end, "{script}");
    }
}

#[test]
fn a_program_that_is_not_there_is_no_failure_of_the_gate() {
    let host = Host::new();
    let refused = run(&host.profile(vec!["no-such-program".into()])).unwrap_err();
    assert_eq!(refused.code, "TOOL_MISSING");
    assert!(refused.message.contains("no-such-program"), "{refused}");
}

#[test]
fn time_ends_a_gate_that_ignores_signals() {
    let host = Host::new();
    let mut profile = host.profile(
        Py("
for s in range(1, 65):
    try: signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError): pass
print('ready', flush=True)
while True: time.sleep(1)
")
        .argv(),
    );
    profile.limits.wall_ms = 4000;
    let outcome = run(&profile).unwrap();
    assert_eq!(outcome.ended_by, EndedBy::Timeout);
    assert!(outcome.all_dead && log(&outcome).contains("ready"));
    assert!(outcome.duration_ms < 30_000, "{}", outcome.duration_ms);
}

#[test]
fn stop_ends_a_gate_at_once() {
    let host = Host::new();
    let began = Instant::now();
    let started = host.tree.join("started");
    let stop = || started.exists();
    let gate = Sh("sleep 30 & touch started; sleep 30").argv();
    let outcome = Sandbox::with_program(PROGRAM)
        .run(&host.profile(gate), &stop)
        .unwrap();
    assert_eq!((outcome.ended_by, outcome.leaks), (EndedBy::Stopped, 0));
    assert!(outcome.all_dead);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_child_that_holds_the_pipe_does_not_hold_the_runner() {
    let host = Host::new();
    let began = Instant::now();
    let outcome = run(&host.profile(Sh("sleep 30 & echo done").argv())).unwrap();
    assert_eq!((outcome.ended_by, outcome.leaks), (EndedBy::Exit(0), 1));
    assert_eq!(log(&outcome), "done\n");
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    assert!(outcome.duration_ms < 15_000);
}

#[test]
fn the_log_is_bounded_and_counted() {
    let host = Host::new();
    let outcome = run(&host.profile(
        Sh("echo first; head -c 4000000 /dev/zero | tr '\\0' a; echo; echo 3 passed").argv(),
    ))
    .unwrap();
    let said = log(&outcome);
    assert!(said.starts_with("first\naaa") && said.ends_with("\n3 passed\n"));
    assert_eq!(outcome.log.total_bytes, 4_000_016);
    assert!(outcome.log.is_truncated() && said.len() < 70_000);
}

#[test]
fn only_what_the_profile_names_comes_in() {
    let host = Host::new();
    // A caller with a token, with preloads and start-up files, and with an open descriptor.
    let script = "env; ls /proc/self/fd; cat <&9";
    let output = Command::new("/bin/bash")
        .args(["-c", "exec 9< \"$SECRET\"; exec \"$@\"", "bash", PROGRAM])
        .arg(&host.tree)
        .args(["/bin/sh", "-c", script])
        .env("SECRET", host.folder.path().join("home/.bashrc"))
        .env("FORGE_TOKEN", "a-token")
        .env("LD_PRELOAD", "/no/such/library.so")
        .env("BASH_ENV", "/no/such/file")
        .env("GIT_DIR", "/no/such/folder")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let inside = said.split("\n{").next().unwrap();
    for name in ["TOKEN", "LD_", "BASH_ENV", "GIT_", "CARGO", common::SECRET] {
        assert!(!inside.contains(name), "{name} came in: {inside}");
    }
    assert!(said.contains("\"level\": \"I3\""), "{said}");
    // Input, output, error, and the listing's own.
    let numbers: Vec<&str> = inside
        .lines()
        .filter(|line| line.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    assert_eq!(numbers, ["0", "1", "2", "3"], "{inside}");
}

#[test]
fn a_relaxed_call_works_and_is_recorded_as_weaker() {
    let host = Host::new();
    let mut profile = host.profile(Py("os.memfd_create('x'); won()").argv());
    assert!(!log(&run(&profile).unwrap()).contains("WON!"));
    profile.relax = vec![Relax::Memfd];
    let outcome = run(&profile).unwrap();
    assert!(log(&outcome).contains("WON!"), "{}", log(&outcome));
    assert_eq!(outcome.aspects[&Aspect::Ipc].cover, Cover::Weaker);
    assert_eq!(outcome.aspects[&Aspect::Network].cover, Cover::Enforced);
}

#[test]
fn every_aspect_is_verified_and_every_limit_is_told() {
    let host = Host::new();
    let outcome = run(&host.profile(Sh("pwd; id -u").argv())).unwrap();
    assert_eq!(outcome.level, Level::I3);
    for (aspect, covered) in &outcome.aspects {
        assert!(
            covered.verified && covered.cover == Cover::Enforced,
            "{aspect:?} {covered:?}"
        );
    }
    assert_eq!(outcome.aspects.len(), 8);
    assert_eq!(log(&outcome), format!("{TREE}\n1000\n"));
    assert_ne!(outcome.uid_outside, 0);
    assert!(outcome.fallback_from.is_empty());
    let text = serde_json::to_string(&outcome).unwrap();
    assert!(text.contains("\"ended_by\":\"exit:0\"") && text.contains("RLIMIT_DATA"));
}

#[test]
fn evidence_of_a_profile_names_variables_only() {
    let mut profile = Profile::new("/tmp", vec!["true".into()]);
    profile.environment.insert("A".into(), "value".into());
    let text = serde_json::to_string(&profile).unwrap();
    assert!(text.contains("\"environment\":[\"A\"]") && !text.contains("value"));
}

#[test]
fn profiles_that_open_more_than_they_say_are_refused() {
    let host = Host::new();
    let argv = || vec!["true".to_owned()];
    let mut cases: Vec<Profile> = Vec::new();
    for place in ["/", "relative", "/usr/../etc", "/no/such/place"] {
        let mut profile = host.profile(argv());
        profile.read_only = vec![place.into()];
        cases.push(profile);
    }
    let mut above = host.profile(argv());
    above.read_only = vec![host.folder.path().to_path_buf()];
    cases.push(above);
    let mut outside = host.profile(argv());
    outside.cwd = "..".into();
    cases.push(outside);
    std::os::unix::fs::symlink("/etc", host.tree.join("out")).unwrap();
    let mut link = host.profile(argv());
    link.cwd = "out".into();
    cases.push(link);
    let mut asserted = host.profile(argv());
    asserted.minimum = Level::E;
    cases.push(asserted);
    cases.push(host.profile(Vec::new()));
    for profile in cases {
        let refused = run(&profile).unwrap_err();
        assert_eq!(refused.code, "PROFILE_INVALID", "{refused}");
    }
}

#[test]
fn as_an_ordinary_user() {
    common::again_as_an_ordinary_user();
}

#[test]
fn a_doctor_is_told_what_the_machine_gives() {
    let probe = Sandbox::with_program(PROGRAM).probe();
    assert_eq!(probe.level, Some(Level::I3), "{probe:?}");
    assert!(probe.levels.iter().all(|tried| tried.reached), "{probe:?}");
    assert!(probe.gaps.is_empty(), "{:?}", probe.gaps);
}

#[test]
fn a_runner_that_is_killed_takes_the_gate_with_it() {
    let host = Host::new();
    let mut runner = Command::new(PROGRAM)
        .arg(&host.tree)
        .args(["/bin/sh", "-c", "touch began; sleep 4; touch late"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !host.tree.join("began").exists() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(10));
    }
    runner.kill().unwrap();
    runner.wait().unwrap();
    std::thread::sleep(Duration::from_millis(4300));
    assert!(host.tree.join("began").exists() && !host.tree.join("late").exists());
}

#[test]
fn gates_run_side_by_side() {
    let threads: Vec<_> = (0..8)
        .map(|number| {
            std::thread::spawn(move || {
                let host = Host::new();
                let count =
                    "n=0; for p in /proc/[0-9]*; do n=$((n+1)); done; echo $n; sleep 0.2; id -u";
                let argv = Sh(count).argv();
                let outcome = run(&host.profile(argv)).unwrap();
                (number, outcome.uid_outside, log(&outcome))
            })
        })
        .collect();
    let mut accounts = std::collections::BTreeSet::new();
    for thread in threads {
        let (number, account, said) = thread.join().unwrap();
        accounts.insert(account);
        // The keeper and the shell.
        assert_eq!(said, "2\n1000\n", "{number}");
    }
    assert_eq!(accounts.len(), if common::is_root() { 8 } else { 1 });
}

/// Under load the end of everything can be seen before the word of how the gate ended is read.
#[test]
fn how_a_gate_ended_is_never_lost_under_load() {
    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load: Vec<_> = (0..6)
        .map(|_| {
            let is_over = is_over.clone();
            std::thread::spawn(move || {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    let gates: Vec<_> = (0..6)
        .map(|_| {
            std::thread::spawn(|| {
                let host = Host::new();
                let run = || run(&host.profile(vec!["true".into()])).unwrap().ended_by;
                (0..25).map(|_| run()).collect::<Vec<_>>()
            })
        })
        .collect();
    let ends: Vec<_> = gates
        .into_iter()
        .flat_map(|gate| gate.join().unwrap())
        .collect();
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    for thread in load {
        thread.join().unwrap();
    }
    assert_eq!(ends, vec![EndedBy::Exit(0); 150]);
}

#[test]
fn a_real_build_with_its_tests_passes() {
    let Some(home) = std::env::var_os("HOME").map(PathBuf::from) else {
        return;
    };
    let toolchains = home.join(".rustup/toolchains");
    let Ok(mut entries) = std::fs::read_dir(&toolchains) else {
        return;
    };
    let Some(toolchain) = entries.find_map(|entry| {
        let path = entry.ok()?.path();
        path.join("bin/cargo").exists().then_some(path)
    }) else {
        return;
    };
    let host = Host::new();
    let manifest = "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    std::fs::write(host.tree.join("Cargo.toml"), manifest).unwrap();
    let lib = "#[test] fn loopback() { let l = std::net::TcpListener::bind(\"localhost:0\").unwrap(); \
               std::net::TcpStream::connect(l.local_addr().unwrap()).unwrap(); }";
    std::fs::write(host.tree.join("src/lib.rs"), lib).unwrap();
    let mut profile = host.profile(vec!["cargo".into(), "test".into(), "--offline".into()]);
    profile.limits = baton_sandbox::Limits::default();
    let bin = toolchain.join("bin").to_str().unwrap().to_owned();
    let path = format!("{bin}:/usr/bin:/bin");
    profile.environment.insert("PATH".into(), path);
    profile.read_only = vec![toolchain];
    let outcome = run(&profile).unwrap();
    assert!(log(&outcome).contains("1 passed"), "{}", log(&outcome));
    assert_eq!((outcome.ended_by, outcome.leaks), (EndedBy::Exit(0), 0));
    assert!(outcome.cpu_ms > 0 && outcome.peak_memory_bytes > 0);
}
