//! Programs that are killed at moments of chance, again and again, while they claim, take in, draft, decide,
//! append and land. `BATON_KILLS` says how many (30), `BATON_SEED` from where the chance begins.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::place::{Place, everywhere};
use crate::queue::{Chance, count, is_whole, lines, number, state};
use crate::support::Bench;

mod all {
    use super::*;
    everywhere!(kills_lose_nothing_and_do_nothing_twice);
}

/// What a run of the loop came to.
#[derive(Default)]
struct Told {
    kills: u64,
    tasks: u64,
    /// Tasks that were killed so often that a person had to look.
    spent: u64,
    /// Kills by verb.
    by: std::collections::BTreeMap<String, u64>,
}

struct Loop {
    bench: Bench,
    chance: Chance,
    told: Told,
    /// How long a verb took when nobody killed it, in microseconds.
    took: std::collections::HashMap<String, u64>,
    last: u64,
}

fn kills_lose_nothing_and_do_nothing_twice(place: &Place) {
    let bench = Bench::bare();
    bench.baton(["init", "--store", &place.address]).expect(0);
    bench.commit("ssot");
    bench.patch_file("event.json", "{\"message\": \"a line\"}");
    let mut run = Loop {
        bench,
        chance: Chance::new("kills"),
        told: Told::default(),
        took: std::collections::HashMap::new(),
        last: 0,
    };
    let most = number("BATON_KILLS", 30);
    while run.told.kills < most {
        run.task();
    }
    run.end();
}

impl Loop {
    /// Kills a verb at a moment of chance in the time that it takes.
    fn kill(&mut self, line: &[&str]) {
        let name = line[0].to_owned();
        let took = self.took.get(&name).copied().unwrap_or(100_000);
        let after = Duration::from_micros(self.chance.below(took));
        let mut command = self.bench.command(line);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(after);
        let ended = child.try_wait().unwrap();
        drop(child.kill());
        child.wait().unwrap();
        if ended.is_none() {
            self.told.kills += 1;
            *self.told.by.entry(name).or_default() += 1;
        }
    }

    /// Runs a verb to its end. What is done already may be refused.
    fn run(&mut self, line: &[&str]) -> i32 {
        let began = Instant::now();
        let ran = self.bench.baton(line);
        let took = u64::try_from(began.elapsed().as_micros()).unwrap();
        if ran.code == 0 {
            self.took.insert(line[0].to_owned(), took);
        }
        ran.code
    }

    fn step(&mut self, line: &[&str]) {
        for _ in 0..self.chance.below(3) {
            self.kill(line);
            if self.chance.below(4) == 0 {
                self.kill(&["watchdog", "--once"]);
            }
        }
        if self.chance.below(2) == 0 {
            self.bench.baton(["watchdog", "--once"]).expect(0);
        }
        self.run(line);
    }

    /// One task, from its submission to its landing.
    fn task(&mut self) {
        self.told.tasks += 1;
        let id = format!("K-{}", self.told.tasks);
        let file = format!("src/{id}.txt");
        let text = self
            .bench
            .patch(|root| std::fs::write(root.join(&file), &id).unwrap());
        self.bench.patch_file("x.patch", &text);
        let key = format!("key-of-{id}");
        let submit = [
            "submit", "--id", &id, "--title", "t", "--goal", "g", "--allow", "src/**", "--key",
            &key,
        ];
        self.step(&submit);
        assert_eq!(
            state(&self.bench, &id).as_deref(),
            Some("inbox"),
            "an acknowledged task"
        );
        let run = ["run", &id, "--from", "../x.patch"];
        if self.chance.below(3) == 0 {
            self.step(&run);
        } else {
            self.step(&["claim-lock", "--task", &id, "--owner", "me"]);
            self.step(&["intake-validate", "--task", &id]);
            self.step(&["patch-draft", "--task", &id, "--from", "../x.patch"]);
            self.step(&["audit-append", "--event", "../event.json"]);
            self.step(&["diff-risk-scan", "--task", &id]);
            self.step(&["gate-runner", "--task", &id]);
            self.step(&["decision-router", "--task", &id]);
        }
        self.bench.baton(["watchdog", "--once"]).expect(0);
        if state(&self.bench, &id).as_deref() == Some("blocked") {
            // Tried too often: a person looks, and has it tried again.
            let told = self.story(&id);
            assert!(told.contains("ATTEMPTS_SPENT"), "{told}");
            self.told.spent += 1;
            self.bench.baton(["retry", &id]).expect(0);
        }
        if state(&self.bench, &id).as_deref() != Some("pr") {
            self.bench.baton(run).expect(0);
        }
        assert_eq!(
            state(&self.bench, &id).as_deref(),
            Some("pr"),
            "{}",
            self.story(&id)
        );
        self.land(&id);
        self.look();
    }

    fn land(&mut self, id: &str) {
        self.step(&["approve", id]);
        for _ in 0..1 + self.chance.below(3) {
            self.kill(&["pr-merge-orchestrator", "--task", id, "--execute"]);
        }
        self.step(&["run", id]);
        let lies = state(&self.bench, id);
        assert_eq!(lies.as_deref(), Some("done"), "{}", self.story(id));
    }

    /// What the log says of a task.
    fn story(&self, id: &str) -> String {
        let lines = lines(&self.bench).into_iter();
        let about = lines.filter(|line| line["task_id"] == id);
        let told = about.map(|line| {
            let short = [
                "action",
                "skill",
                "status",
                "from_state",
                "to_state",
                "meta",
                "findings",
            ];
            short.map(|key| line[key].to_string()).join(" ")
        });
        told.collect::<Vec<_>>().join("\n")
    }

    /// The log only grows, and every line is there that was there.
    fn look(&mut self) {
        is_whole(&self.bench).unwrap();
        let seq = lines(&self.bench).last().unwrap()["seq"].as_u64().unwrap();
        assert!(
            seq > self.last,
            "the log went back from {} to {seq}",
            self.last
        );
        self.last = seq;
    }

    fn end(&self) {
        let bench = &self.bench;
        bench.baton(["audit", "verify"]).expect(0);
        let tasks = usize::try_from(self.told.tasks).unwrap();
        let landed = bench.git(&[
            "log",
            "--format=%(trailers:key=Baton-Task,valueonly)",
            "main",
        ]);
        let mut landed: Vec<_> = landed.lines().filter(|line| !line.is_empty()).collect();
        landed.sort_unstable();
        landed.dedup();
        assert_eq!(landed.len(), tasks, "each landed");
        // Who was killed between its line and its move is followed by a run that says it again, of the same
        // commit.
        let lines = lines(bench).into_iter();
        let said = lines.filter(|line| line["action"] == "CHANGE_LANDED");
        let said: BTreeSet<_> = said
            .map(|line| {
                [
                    line["task_id"].to_string(),
                    line["meta"]["commit"].to_string(),
                ]
            })
            .collect();
        assert_eq!(said.len(), tasks, "and each as one commit: {said:?}");
        assert_eq!(bench.git(&["status", "--porcelain"]), "");
        let torn = count(bench, "LOG_REPAIRED");
        eprintln!(
            "{} kills over {tasks} tasks, of which {} were tried too often, {} lines, {torn} torn tails \
             dropped and said: {:?}",
            self.told.kills, self.told.spent, self.last, self.told.by
        );
    }
}
