//! A PostgreSQL server that goes away: restarted in the middle of a run, or its answer lost on the way back.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::queue::{Chance, count, is_whole, is_whole_but_for, number, state};
use crate::support::{Bench, ran};

/// A server of the test's own, gone with it.
struct Server {
    script: Child,
    /// `postgres://baton@127.0.0.1:PORT/postgres`.
    address: String,
    data: String,
    bin: PathBuf,
}

impl Server {
    fn new() -> Self {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/stores/postgres.sh"
        );
        let say =
            "echo $BATON_POSTGRES; echo $BATON_POSTGRES_DATA; echo $BATON_POSTGRES_BIN; read line";
        let mut child = Command::new(script)
            .args(["sh", "-c", say])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = || said.next().expect("a server that starts").unwrap();
        let (address, data, bin) = (next(), next(), next().into());
        Self {
            script: child,
            address,
            data,
            bin,
        }
    }

    fn host(&self) -> &str {
        let (_, rest) = self.address.split_once('@').unwrap();
        rest.split_once('/').unwrap().0
    }

    fn restart(&self, mode: &str) {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        let is_root = rustix::process::geteuid().is_root();
        let pg_ctl = self.bin.join("pg_ctl");
        let mut command = if is_root {
            command.arg(pg_ctl);
            command
        } else {
            Command::new(pg_ctl)
        };
        let done = command
            .args([
                "--pgdata", &self.data, "--mode", mode, "--silent", "--wait", "restart",
            ])
            .current_dir("/")
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The script ends the server when its command has read a line.
        drop(self.script.stdin.take());
        drop(self.script.wait());
    }
}

fn bench(address: &str) -> Bench {
    let bench = Bench::bare();
    bench.baton(["init", "--store", address]).expect(0);
    bench.commit("ssot");
    bench
}

const RUN: [&str; 4] = ["run", "", "--from", "../x.patch"];

fn run(id: &str) -> [&str; 4] {
    let mut line = RUN;
    line[1] = id;
    line
}

#[test]
#[ignore = "starts a server: make faults"]
fn a_restart_in_the_middle_loses_no_task_and_the_next_run_goes_on() {
    let server = Server::new();
    let bench = bench(&server.address);
    let mut chance = Chance::new("restarts");
    let (mut failed, most) = (Vec::new(), number("BATON_RESTARTS", 12));
    for at in 0..most {
        let id = format!("R-{at}");
        bench.submit(&id, "src/**");
        let text = bench.patch(|root| std::fs::write(root.join("src").join(&id), &id).unwrap());
        bench.patch_file("x.patch", &text);
        let mut command = bench.command(run(&id));
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(chance.below(700)));
        server.restart(if at % 2 == 0 { "fast" } else { "immediate" });
        let ended = ran(child.wait_with_output().unwrap());
        if ended.code != 0 {
            let said = ended.json();
            let code = said["code"]
                .as_str()
                .or(said["findings"][0]["code"].as_str());
            failed.push(
                code.unwrap_or_else(|| panic!("no code: {ended:?}"))
                    .to_owned(),
            );
        }
        bench.baton(["watchdog", "--once"]).expect(0);
        is_whole(&bench).unwrap();
        if state(&bench, &id).as_deref() != Some("pr") {
            bench.baton(run(&id)).expect(0);
        }
        assert_eq!(state(&bench, &id).as_deref(), Some("pr"));
        bench.baton(["approve", &id]).expect(0);
        bench.baton(["run", &id]).expect(0);
        assert_eq!(state(&bench, &id).as_deref(), Some("done"));
    }
    eprintln!("{most} restarts, {} runs failed: {failed:?}", failed.len());
    assert_eq!(
        count(&bench, "CHANGE_LANDED"),
        usize::try_from(most).unwrap()
    );
    assert!(!failed.is_empty(), "no restart came into a run");
    bench.baton(["audit", "verify"]).expect(0);
}

/// Stands between a program and the server, and lets one answer be lost.
struct Proxy {
    address: String,
    /// So many messages of the program go through before the one whose answer is lost; below zero all do.
    left: Arc<AtomicI64>,
}

impl Proxy {
    fn new(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let left = Arc::new(AtomicI64::new(-1));
        let (server, counter) = (server.to_owned(), Arc::clone(&left));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&server).unwrap();
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || carry(client, server, &counter));
            }
        });
        Self { address, left }
    }
}

/// Passes on what both say. When it is time, the program's message still goes to the server, which does what it
/// says and answers; nobody hears the answer.
fn carry(mut client: TcpStream, mut server: TcpStream, left: &AtomicI64) {
    let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let lost = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_lost = Arc::clone(&lost);
    std::thread::spawn(move || {
        let mut bytes = [0; 65536];
        while let Ok(count @ 1..) = answers.read(&mut bytes) {
            if is_lost.load(Ordering::SeqCst) || back.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = back.shutdown(Shutdown::Both);
        let _ = answers.shutdown(Shutdown::Both);
    });
    let mut bytes = [0; 65536];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        if left.load(Ordering::SeqCst) >= 0 && left.fetch_sub(1, Ordering::SeqCst) == 0 {
            lost.store(true, Ordering::SeqCst);
        }
        if server.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

#[test]
#[ignore = "starts a server: make faults"]
fn a_lost_answer_is_not_asked_for_twice() {
    let server = Server::new();
    let proxy = Proxy::new(server.host());
    let bench = bench(&format!("postgres://baton@{}/postgres", proxy.address));
    let every = i64::try_from(number("BATON_EVERY_ANSWER", 1)).unwrap();
    let mut told = Vec::new();
    let patch = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo lost\n").unwrap());
    bench.patch_file("x.patch", &patch);
    for verb in ["submit", "claim-lock", "run"] {
        let (mut at, mut lost, mut blocked) = (0, 0, 0);
        // A whole run says very many things; one of forty-one is enough.
        let step = if verb == "run" { 41 } else { 1 } * every;
        loop {
            let id = format!("{verb}-{at}");
            let key = format!("key-of-{id}");
            let submit = [
                "submit", "--id", &id, "--title", "t", "--goal", "g", "--allow", "src/**", "--key",
                &key,
            ];
            let claim = ["claim-lock", "--task", &id, "--owner", "me"];
            let draft = run(&id);
            let (line, ends) = match verb {
                "submit" => (&submit[..], "inbox"),
                "claim-lock" => (&claim[..], "claimed"),
                _ => (&draft[..], "pr"),
            };
            if verb != "submit" {
                bench.baton(submit).expect(0);
            }
            proxy.left.store(at, Ordering::SeqCst);
            let first = bench.baton(line);
            let is_through = proxy.left.swap(-1, Ordering::SeqCst) >= 0;
            if is_through {
                assert_eq!(first.code, 0, "{first:?}");
                break;
            }
            lost += 1;
            if first.code == 0 {
                assert_eq!(
                    state(&bench, &id).as_deref(),
                    Some(ends),
                    "{verb} at {at}: {first:?}"
                );
            }
            bench.baton(["watchdog", "--once"]).expect(0);
            let half = if verb == "submit" { "TASK_GONE" } else { "" };
            is_whole_but_for(&bench, half)
                .unwrap_or_else(|why| panic!("{verb} at {at}: {why}; {first:?}"));
            let lies = state(&bench, &id);
            if verb == "run" && lies.as_deref() == Some("blocked") {
                // A tool that failed gave the task to a person, who has it tried again.
                blocked += 1;
                bench.baton(["retry", &id]).expect(0);
            }
            let was_done = lies.as_deref() == Some(ends);
            let again = bench.baton(line);
            assert!(
                again.code == 0 || was_done,
                "{verb} at {at}: {again:?}; {first:?}"
            );
            assert_eq!(state(&bench, &id).as_deref(), Some(ends), "{verb} at {at}");
            let moves = crate::queue::lines(&bench);
            let moved = |line: &&serde_json::Value| {
                line["task_id"] == id.as_str()
                    && line["from_state"] == "inbox"
                    && line["to_state"] == "claimed"
            };
            let undone =
                ["MOVE_UNDONE", "TASK_RETRIED"].map(|action| count_of(&moves, &id, action));
            let undone: usize = undone.iter().sum();
            let claims = moves.iter().filter(moved).count();
            assert!(
                claims <= 1 + undone,
                "{verb} at {at}: claimed {claims} times, {undone} taken back"
            );
            at += step;
        }
        told.push(format!("{verb}: {lost} answers lost, {blocked} blocked"));
    }
    eprintln!("{}", told.join(", "));
    bench.baton(["audit", "verify"]).expect(0);
}

fn count_of(lines: &[serde_json::Value], id: &str, action: &str) -> usize {
    let is_one = |line: &&serde_json::Value| line["task_id"] == id && line["action"] == action;
    lines.iter().filter(is_one).count()
}
