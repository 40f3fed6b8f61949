//! The log as people and other programs read it: export, search, tail, summary.

use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::support::Bench;

fn bench() -> Bench {
    let bench = Bench::new();
    for id in ["T-1", "T-2", "T-3"] {
        bench.submit(id, "src/**");
    }
    bench
        .baton(["stop", "--reason", "say \"halt\"\n=1+1"])
        .expect(0);
    bench.baton(["resume"]).expect(0);
    bench
}

fn log(bench: &Bench) -> String {
    std::fs::read_to_string(bench.queue().join("audit/events.ndjson")).unwrap()
}

fn events(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn an_export_is_the_log_byte_for_byte() {
    let bench = bench();
    let all = bench.baton(["audit", "export"]);
    assert_eq!((all.code, all.stdout), (0, log(&bench)));
    let lines: Vec<String> = log(&bench)
        .lines()
        .map(|line| format!("{line}\n"))
        .collect();
    let part = bench.baton(["audit", "export", "--since", "3"]);
    assert_eq!((part.code, part.stdout), (0, lines[2..].concat()));
    let time = events(&log(&bench))[3]["ts"].as_str().unwrap().to_owned();
    let part = bench.baton(["audit", "export", "--since", &time]);
    assert!(lines.concat().ends_with(&part.stdout) && part.stdout.contains(&lines[3]));
    let none = bench.baton(["audit", "export", "--since", "2999-01-01T00:00:00Z"]);
    assert_eq!((none.code, none.stdout.as_str()), (0, ""));
    assert_eq!(
        bench
            .baton(["audit", "export", "--since", "yesterday"])
            .code,
        2
    );
}

#[test]
fn otel_and_csv_hold_every_line() {
    let bench = bench();
    let count = log(&bench).lines().count();
    let otel = bench.baton(["audit", "export", "--format", "otel"]);
    let batch = otel.expect(0);
    let records = &batch["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
    let bodies = records.as_array().unwrap().iter();
    let bodies: Vec<_> = bodies
        .map(|one| one["body"]["stringValue"].as_str().unwrap())
        .collect();
    assert_eq!(bodies, log(&bench).lines().collect::<Vec<_>>());
    let csv = bench.baton(["audit", "export", "--format", "csv"]);
    assert_eq!(
        (csv.code, csv.stdout.matches("\r\n").count()),
        (0, count + 1)
    );
    assert!(csv.stdout.starts_with("\"ts\",\"seq\","));
}

#[test]
fn an_export_of_a_broken_chain_fails() {
    let bench = bench();
    let path = bench.queue().join("audit/events.ndjson");
    let changed = log(&bench).replacen("T-2", "T-9", 1);
    std::fs::write(&path, changed).unwrap();
    let said = bench.baton(["audit", "export"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains("LOG_BROKEN"), "{}", said.stdout);
}

#[test]
fn search_finds_by_each_field_and_by_text() {
    let bench = bench();
    let found = |arguments: &[&str]| {
        let ran = bench.baton([&["audit", "search"][..], arguments].concat());
        assert_eq!(ran.code, i32::from(ran.stdout.is_empty()), "{ran:?}");
        events(&ran.stdout)
    };
    let all = events(&log(&bench));
    let of = |field: &str, value: &str| {
        all.iter()
            .filter(|one| one[field] == value)
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&[]), all);
    assert_eq!(found(&["--task", "T-2"]), of("task_id", "T-2"));
    assert!(!of("task_id", "T-2").is_empty());
    assert_eq!(found(&["--action", "STOP_SET"]), of("action", "STOP_SET"));
    assert_eq!(found(&["--by", "human"]), of("actor", "human"));
    assert_eq!(found(&["--level", "INFO"]), all);
    assert_eq!(found(&["--level", "WARN"]), of("level", "WARN"));
    assert_eq!(found(&["--text", "say \"halt\"\n"]).len(), 1);
    assert_eq!(found(&["--text", "nowhere in it"]), Vec::<Value>::new());
    assert_eq!(found(&["--since", "2", "--until", "3"]), all[1..3]);
    assert_eq!(
        found(&["--action", "TASK_SUBMITTED", "--limit", "2"]).len(),
        2
    );
    assert_eq!(found(&["--limit", "0"]), Vec::<Value>::new());
    assert_eq!(
        found(&["--task", "T-1", "--action", "STOP_SET"]),
        Vec::<Value>::new()
    );
    let last = all.last().unwrap()["ts"].as_str().unwrap().to_owned();
    assert_eq!(found(&["--until", &last]), all);
    for wrong in [
        ["--action", "NOTHING"],
        ["--level", "LOUD"],
        ["--task", "../x"],
        ["--since", "x"],
    ] {
        assert_ne!(
            bench
                .baton([&["audit", "search"][..], &wrong].concat())
                .code,
            0
        );
    }
}

#[test]
fn tail_shows_the_last_lines_and_follows_new_ones() {
    let bench = bench();
    let lines: Vec<String> = log(&bench).lines().map(str::to_owned).collect();
    let last = bench.baton(["audit", "tail", "-n", "2"]);
    assert_eq!(
        last.stdout.lines().collect::<Vec<_>>(),
        lines[lines.len() - 2..]
    );
    let all = bench.baton(["audit", "tail", "-n", "1000"]);
    assert_eq!(all.stdout, log(&bench));
    assert_eq!(bench.baton(["audit", "tail", "-n", "0"]).stdout, "");
    let mut follower = bench
        .command(["audit", "tail", "-f", "-n", "1"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(told.next().unwrap().unwrap(), lines[lines.len() - 1]);
    for id in ["T-7", "T-8"] {
        bench.submit(id, "src/**");
        let next: Value = serde_json::from_str(&told.next().unwrap().unwrap()).unwrap();
        assert_eq!(next["task_id"], id);
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn the_summary_counts_actions_actors_and_levels() {
    let bench = bench();
    let summary = bench.baton(["audit", "summary"]).expect(0);
    let all = events(&log(&bench));
    for (field, title) in [
        ("action", "actions"),
        ("actor", "actors"),
        ("level", "levels"),
    ] {
        let counts = summary[title].as_object().unwrap();
        for (name, count) in counts {
            let there = all.iter().filter(|one| one[field] == name.as_str()).count();
            assert_eq!(count, there, "{field} {name}");
        }
        let sum: u64 = counts.values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(sum, all.len() as u64);
    }
}
