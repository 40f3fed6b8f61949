//! A PostgreSQL server that goes away: restarted in the middle of a run, or its answer lost on the way back.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::queue::{Chance, bench, count, is_whole, lines, number, state};
use crate::support::{Bench, Ran, ran};
use crate::template::Work;

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
            let again = bench.baton(run(&id));
            let seen = bench.baton(["show", &id]).stdout;
            assert_eq!(again.code, 0, "{ended:?}\n{again:?}\n{seen}");
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
    let is_told = |code: &String| code != "QUEUE_BROKEN";
    assert!(failed.iter().all(is_told), "{failed:?}");
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

const SUBMIT: &[&str] = &[
    "submit", "--id", "T-1", "--title", "t", "--goal", "g", "--allow", "src/**", "--key", "key",
];
const CLAIM: &[&str] = &["claim-lock", "--task", "T-1", "--owner", "me"];
const DRAFT: &[&str] = &["run", "T-1", "--from", "../x.patch"];

/// A verb, what runs before it, and where it leads. A whole run says very many things; some of them are enough.
struct Asks {
    before: &'static [&'static [&'static str]],
    line: &'static [&'static str],
    ends: &'static str,
    every: i64,
}

#[test]
#[ignore = "needs a server: make faults"]
fn a_lost_answer_is_not_asked_for_twice() {
    let submits = Asks {
        before: &[],
        line: SUBMIT,
        ends: "inbox",
        every: 1,
    };
    let claims = Asks {
        before: &[SUBMIT],
        line: CLAIM,
        ends: "claimed",
        every: 1,
    };
    let runs = Asks {
        before: &[SUBMIT],
        line: DRAFT,
        ends: "pr",
        every: 11,
    };
    for asks in [submits, claims, runs] {
        every_answer_is_lost_once(&asks);
    }
}

fn every_answer_is_lost_once(asks: &Asks) {
    let work = Work::new();
    let (before, database) = work.address().rsplit_once('/').unwrap();
    let proxy = Proxy::new(before.rsplit_once('@').unwrap().1);
    let start = bench(&format!("postgres://baton@{}/{database}", proxy.address));
    let patch = start.patch(|root| std::fs::write(root.join("src/app.sh"), "echo lost\n").unwrap());
    start.patch_file("x.patch", &patch);
    for line in asks.before {
        start.baton(*line).expect(0);
    }
    work.keep();
    let step = asks.every * i64::try_from(number("BATON_EVERY_ANSWER", 1)).unwrap();
    let (mut at, mut lost, mut blocked) = (0, 0, 0);
    // Each one from the same queue: what a run asks grows with the tasks that there are.
    loop {
        work.again();
        let bench = start.copy();
        proxy.left.store(at, Ordering::SeqCst);
        let first = bench.baton(asks.line);
        let is_through = proxy.left.swap(-1, Ordering::SeqCst) >= 0;
        work.settle();
        if is_through {
            first.expect(0);
            break;
        }
        lost += 1;
        let outcome = after_a_lost_answer(&bench, asks, &first);
        let told = || format!("{:?}, answer {at}: {first:?}", asks.line);
        blocked += usize::from(outcome.unwrap_or_else(|why| panic!("{why}; {}", told())));
        at += step;
    }
    let name = asks.line[0];
    eprintln!("{name}: {lost} of {at} answers lost, {blocked} times a person had to look");
}

/// Watchdog and the verb once more; says whether a person had to look.
fn after_a_lost_answer(bench: &Bench, asks: &Asks, first: &Ran) -> Result<bool, String> {
    let is_there = || state(bench, "T-1").as_deref() == Some(asks.ends);
    if first.code == 0 && !is_there() {
        return Err("said done and it is not".to_owned());
    }
    bench.baton(["watchdog", "--once"]).expect(0);
    is_whole(bench)?;
    let was_done = is_there();
    let is_blocked = state(bench, "T-1").as_deref() == Some("blocked");
    if is_blocked {
        // A tool that failed gave the task to a person, who has it tried again.
        bench.baton(["retry", "T-1"]).expect(0);
    }
    let again = bench.baton(asks.line);
    if again.code != 0 && !was_done {
        return Err(format!("again: {again:?}"));
    }
    if !is_there() {
        return Err(format!("not there in the end: {again:?}"));
    }
    is_whole(bench)?;
    bench.baton(["audit", "verify"]).expect(0);
    let moved = |line: &Value| line["from_state"] == "inbox" && line["to_state"] == "claimed";
    let back = |line: &Value| line["action"] == "MOVE_UNDONE" || line["action"] == "TASK_RETRIED";
    let lines = lines(bench);
    let count = |is_one: &dyn Fn(&Value) -> bool| lines.iter().filter(|line| is_one(line)).count();
    let (claims, backs) = (count(&moved), count(&back));
    if claims > 1 + backs {
        return Err(format!("claimed {claims} times, {backs} times taken back"));
    }
    Ok(is_blocked)
}
