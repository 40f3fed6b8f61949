//! `make bench-queue`: puts, claims and listings over each store, beside the least that the same machine can
//! do in the same run: bare renames with their syncs, bare rows in SQLite and in PostgreSQL. Prints figures;
//! fails only when something fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench may"
)]

mod bare;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use baton_core::audit::{Action, Draft};
use baton_core::clock::Moment;
use baton_core::lease::Holder;
use baton_core::policy::{Actor, AuditRules};
use baton_core::state::State;
use baton_core::store::{Driver, Store, database};
use serde_json::json;

const DRIVERS: [Driver; 2] = [baton_sqlite::DRIVER, baton_postgres::DRIVER];
const WORKERS: usize = 8;
const LONG: Duration = Duration::from_secs(3600);

fn main() {
    database::begin(&DRIVERS);
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[1..] {
        [role, at, rest @ ..] if !role.starts_with("--") => return play(role, at, rest),
        _ => {}
    }
    let scratch = tempfile::tempdir().unwrap();
    let only = std::env::var("ONLY").unwrap_or_default();
    type Part = (&'static str, fn(&Path));
    let parts: [Part; 4] = [
        ("processes", processes),
        ("growth", growth),
        ("workers", workers),
        ("listing", listing),
    ];
    for (name, part) in parts {
        if only.is_empty() || only == name {
            part(scratch.path());
        }
    }
}

/// What a process of its own does; the bench starts itself for that.
fn play(role: &str, at: &str, rest: &[String]) {
    let root = Path::new(at);
    match role {
        "worker" => worker(root, &rest[0]),
        _ => bare::play(role, root, &rest[0]),
    }
}

fn programs() -> PathBuf {
    PathBuf::from(std::env::var("BATON_BIN").expect("BATON_BIN: run make bench-queue"))
}

fn addresses() -> Vec<(&'static str, String)> {
    let mut found = vec![("folder", "folder".to_owned()), ("sqlite", String::new())];
    if let Ok(server) = std::env::var("BATON_POSTGRES") {
        found.push(("postgres", server));
    }
    found
}

/// A store that nobody used before, and a repository that names it: a process opens each address once.
fn fresh(scratch: &Path, name: &str, address: &str) -> (PathBuf, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let address = match name {
        "sqlite" => format!("sqlite:{}", scratch.join(format!("{number}.db")).display()),
        "postgres" => {
            sql(address, &format!("CREATE DATABASE bench_{number}"));
            let (server, _) = address.rsplit_once('/').unwrap();
            format!("{server}/bench_{number}")
        }
        _ => address.to_owned(),
    };
    let root = scratch.join(format!("{name}-{number}"));
    fs::create_dir_all(root.join(".autodev_ssot")).unwrap();
    fs::create_dir_all(root.join(".git")).unwrap();
    let manifest = json!({"store": address}).to_string();
    fs::write(root.join(".autodev_ssot/MANIFEST.json"), manifest).unwrap();
    (root, address)
}

fn sql(address: &str, text: &str) {
    match address.strip_prefix("sqlite:") {
        Some(path) => {
            let connection = rusqlite::Connection::open(path).unwrap();
            connection.execute_batch(text).unwrap();
        }
        None => {
            let mut client = postgres::Client::connect(address, postgres::NoTls).unwrap();
            client.batch_execute(text).unwrap();
        }
    }
}

fn task(number: usize) -> String {
    json!({"task_id": format!("T-{number:06}"), "title": "A task", "goal": "g",
        "scope": {"target_files": [], "allow_patch_on_files": ["src/**"], "deny_paths_glob": []}})
    .to_string()
}

/// Puts many tasks there at once, past the store: making them is not what is measured.
fn seed(root: &Path, address: &str, count: usize) {
    if address == "folder" {
        for number in 0..count {
            let folder = root.join(format!(".autodev_queue/inbox/T-{number:06}"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("task.json"), task(number)).unwrap();
        }
        return;
    }
    // One statement for the folders and one for the files in them; both databases take the same, but for how
    // they count and what they call bytes.
    let is_sqlite = address.starts_with("sqlite:");
    let (table, series, bytes) = match is_sqlite {
        true => (
            "entry",
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < LAST)",
            "CAST(TEXT AS BLOB)",
        ),
        false => (
            "baton_entry",
            "WITH n(i) AS (SELECT generate_series(0, LAST))",
            "convert_to(TEXT, 'UTF8')",
        ),
    };
    let (yes, no) = if is_sqlite {
        ("1", "0")
    } else {
        ("true", "false")
    };
    let series = series.replace("LAST", &(count - 1).to_string());
    let digits = if is_sqlite {
        "printf('%06d', i)"
    } else {
        "lpad(i::text, 6, '0')"
    };
    let text = format!("replace('{}', '000000', {digits})", task(0));
    let bytes = bytes.replace("TEXT", &text);
    let inbox = format!("(SELECT id FROM {table} WHERE parent = 1 AND name = 'inbox')");
    sql(
        address,
        &format!(
            "{series} INSERT INTO {table} (id, parent, name, is_folder, modified) SELECT 1000000 + 2 * i, {inbox}, 'T-' || {digits}, {yes}, i FROM n;\
             {series} INSERT INTO {table} (id, parent, name, is_folder, bytes, modified) SELECT 1000001 + 2 * i, 1000000 + 2 * i, 'task.json', {no}, {bytes}, i FROM n"
        ),
    );
    if !is_sqlite {
        sql(
            address,
            "ALTER TABLE baton_entry ALTER COLUMN id RESTART WITH 100000000; ANALYZE",
        );
    }
}

/// One claim as claim-lock makes it: lock, line in the log, move.
fn claim(store: &Store, name: &str) -> Option<String> {
    let holder = Holder {
        name,
        of_process: false,
    };
    let claim = store
        .lock_next(holder, LONG, Moment::now(), Actor::System)
        .unwrap()
        .ok()?;
    let mut task = claim.task;
    let draft = Draft::new(Actor::System, Action::TaskClaimed, "claim-lock").unwrap();
    let draft = draft.task(task.id().as_str(), Some(State::Inbox), Some(State::Claimed));
    store.log().unwrap().append(draft).unwrap();
    store
        .transition(&mut task, State::Claimed, Some(claim.lease.fence), false)
        .unwrap();
    Some(task.id().to_string())
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

fn timed(mut act: impl FnMut(usize), rounds: usize) -> f64 {
    let one = |round| {
        let began = Instant::now();
        act(round);
        began.elapsed()
    };
    median((0..rounds).map(one).collect())
}

fn run(command: &mut Command) {
    let done = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success(), "{command:?} ended with {done}");
}

fn itself(role: &str, root: &Path, more: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([role, root.to_str().unwrap(), more]);
    command
}

/// Durable puts and claims, a process each, beside the bare ones.
fn processes(scratch: &Path) {
    const ROUNDS: usize = 100;
    let start = timed(|_| run(&mut Command::new("/bin/true")), ROUNDS);
    println!("a process each, ms (median of {ROUNDS}): /bin/true {start:.2}");
    let pair = |kind: &str| {
        let root = scratch.join(format!("bare{kind}"));
        bare::prepare(&root);
        let role = |verb: &str| {
            let role = format!("{kind}{verb}");
            timed(|n| run(&mut itself(&role, &root, &n.to_string())), ROUNDS)
        };
        (role("put"), role("claim"))
    };
    let (put, take) = pair("");
    println!("  bare      put {put:.2}  claim {take:.2}");
    let (recorded_put, recorded_take) = pair("recorded-");
    println!(
        "  bare, with lease, log line, checkpoint and envelope  put {recorded_put:.2}  claim {recorded_take:.2}"
    );
    for (name, address) in addresses() {
        let (root, address) = fresh(scratch, name, &address);
        let git = |line: &str| run(Command::new("git").args(line.split(' ')).current_dir(&root));
        fs::remove_dir(root.join(".git")).unwrap();
        git("init -q -b main");
        git("-c user.name=b -c user.email=b@baton.example commit -q --allow-empty -m first");
        fs::remove_file(root.join(".autodev_ssot/MANIFEST.json")).unwrap();
        let program = |name: &str| {
            let mut command = Command::new(programs().join(name));
            command.current_dir(&root).env("USER", "bench");
            command
        };
        run(program("baton").args(["init", "--store", &address]));
        let ours_put = timed(
            |n| {
                run(program("baton").args([
                    "submit",
                    "--id",
                    &format!("T-{n}"),
                    "--title",
                    "t",
                    "--goal",
                    "g",
                    "--allow",
                    "src/**",
                ]));
            },
            ROUNDS,
        );
        let ours_claim = timed(
            |_| run(program("claim-lock").args(["--next", "--owner", "b"])),
            ROUNDS,
        );
        println!(
            "  {name:<9} put {ours_put:.2} ({:.1} of the bare one, {:.1} of the recorded one)  claim {ours_claim:.2} ({:.1}, {:.1})",
            ours_put / put,
            ours_put / recorded_put,
            ours_claim / take,
            ours_claim / recorded_take
        );
    }
}

/// A claim in one long-running process, however many wait.
fn growth(scratch: &Path) {
    println!("\none worker, ms a claim (median of 200), with so many waiting:");
    for (name, address) in addresses() {
        let mut line = format!("  {name:<9}");
        for count in [300, 10_000, 100_000] {
            let (root, address) = fresh(scratch, name, &address);
            let (store, _) = Store::create(&root).unwrap();
            store.set_audit_rules(AuditRules::default());
            seed(&root, &address, count);
            // The first one lists the inbox.
            claim(&store, "b").unwrap();
            let mut names = Vec::new();
            let middle = timed(|_| names.push(claim(&store, "b").unwrap()), 200);
            let is_fifo = names.is_sorted();
            line += &format!(
                "  {count}: {middle:.2}{}",
                if is_fifo { "" } else { " (not in order)" }
            );
        }
        println!("{line}");
    }
}

fn worker(root: &Path, name: &str) {
    let store = Store::open(root).unwrap();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let mut count = 0;
    while claim(&store, name).is_some() {
        count += 1;
    }
    println!("{count}");
}

/// Eight workers, each a process, take everything there is.
fn workers(scratch: &Path) {
    let tasks: usize = std::env::var("TASKS").map_or(10_000, |text| text.parse().unwrap());
    println!("\n{WORKERS} workers, {tasks} tasks, durable claims a second:");
    for (name, address) in addresses() {
        let (root, address) = fresh(scratch, name, &address);
        let (store, _) = Store::create(&root).unwrap();
        seed(&root, &address, tasks);
        assert!(store.has_next(Moment::now()).unwrap());
        let mut running: Vec<_> = (0..WORKERS)
            .map(|which| {
                itself("worker", &root, &format!("w-{which}"))
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        let began = Instant::now();
        for one in &mut running {
            one.stdin.take().unwrap().write_all(b"go\n").unwrap();
        }
        let mut total = 0;
        for one in running {
            let said = one.wait_with_output().unwrap();
            total += String::from_utf8(said.stdout)
                .unwrap()
                .trim()
                .parse::<usize>()
                .unwrap();
        }
        let took = began.elapsed();
        let (counts, _) = store.scan(&State::ALL).unwrap();
        assert_eq!(
            (total, counts.inbox, counts.claimed),
            (tasks, 0, tasks as u64),
            "{name}"
        );
        store.log().unwrap().verify(|_, _| ()).unwrap();
        println!("  {name:<9} {:.0}", total as f64 / took.as_secs_f64());
    }
    bare_workers(scratch, tasks);
}

/// The least that each kind of store can do: the claim's one durable change and nothing else.
fn bare_workers(scratch: &Path, tasks: usize) {
    let root = scratch.join("bare-workers");
    fs::create_dir_all(root.join("inbox")).unwrap();
    fs::create_dir_all(root.join("claimed")).unwrap();
    for number in 0..tasks {
        File::create(root.join("inbox").join(number.to_string())).unwrap();
    }
    let rate = spread(tasks, |number| {
        bare::play("claim", &root, &number.to_string())
    });
    println!("  bare rename, both folders synced: {rate:.0}");
    let path = scratch.join("bare.db");
    let open = || {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.busy_timeout(Duration::from_secs(60)).unwrap();
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .unwrap();
        connection
            .pragma_update(None, "synchronous", "FULL")
            .unwrap();
        connection
    };
    open()
        .execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, state TEXT); CREATE INDEX s ON t (state, id)",
        )
        .unwrap();
    open()
        .execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) INSERT INTO t SELECT i, 'inbox' FROM n", [tasks])
        .unwrap();
    let next = "UPDATE t SET state = 'claimed' WHERE id = (SELECT id FROM t WHERE state = 'inbox' ORDER BY id LIMIT 1)";
    let rate = spread_with(tasks, open, |connection, _| {
        connection
            .prepare_cached(next)
            .unwrap()
            .execute([])
            .unwrap();
    });
    println!("  bare row in SQLite, synchronous FULL: {rate:.0}");
    let Ok(server) = std::env::var("BATON_POSTGRES") else {
        return;
    };
    sql(
        &server,
        &format!(
            "CREATE TABLE bare (id int PRIMARY KEY, state text); CREATE INDEX ON bare (state, id); INSERT INTO bare SELECT i, 'inbox' FROM generate_series(1, {tasks}) i; ANALYZE bare"
        ),
    );
    let connect = || postgres::Client::connect(&server, postgres::NoTls).unwrap();
    let next = "UPDATE bare SET state = 'claimed' WHERE id = (SELECT id FROM bare WHERE state = 'inbox' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)";
    let rate = spread_with(tasks, connect, |client, _| {
        client.execute(next, &[]).unwrap();
    });
    println!("  bare row in PostgreSQL, SKIP LOCKED: {rate:.0}");
}

fn spread(tasks: usize, act: impl Fn(usize) + Sync) -> f64 {
    spread_with(tasks, || (), |(), number| act(number))
}

/// The same act for every number, by as many threads as there are workers; how many a second.
fn spread_with<C>(
    tasks: usize,
    open: impl Fn() -> C + Sync,
    act: impl Fn(&mut C, usize) + Sync,
) -> f64 {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for which in 0..WORKERS {
            let (open, act) = (&open, &act);
            scope.spawn(move || {
                let mut own = open();
                (which..tasks)
                    .step_by(WORKERS)
                    .for_each(|number| act(&mut own, number));
            });
        }
    });
    tasks as f64 / began.elapsed().as_secs_f64()
}

/// A listing of 100,000 tasks, beside a bare one of their names.
fn listing(scratch: &Path) {
    println!("\na listing of 100,000 tasks, ms (median of 5):");
    for (name, address) in addresses() {
        let (root, address) = fresh(scratch, name, &address);
        let (store, _) = Store::create(&root).unwrap();
        seed(&root, &address, 100_000);
        let ours = timed(
            |_| assert_eq!(store.scan(&State::ALL).unwrap().1.len(), 100_000),
            5,
        );
        let mut line = format!("  {name:<9} {ours:.0}");
        if address == "folder" {
            let inbox = root.join(".autodev_queue/inbox");
            let names = timed(
                |_| assert_eq!(fs::read_dir(&inbox).unwrap().count(), 100_000),
                5,
            );
            let times = timed(
                |_| {
                    let entries = fs::read_dir(&inbox).unwrap();
                    assert_eq!(
                        entries
                            .filter(|one| one.as_ref().unwrap().metadata().is_ok())
                            .count(),
                        100_000
                    );
                },
                5,
            );
            line += &format!("  (names alone {names:.0}, names with their times {times:.0})");
        }
        println!("{line}");
    }
}
