//! Attacks, each a few lines that print WON! when they succeed, and what is expected of them.
//! The mark ends in a sign that no random name of a folder has, so no message can hold it by chance.

pub(crate) mod daemons;
pub(crate) mod files;
pub(crate) mod kernel;
pub(crate) mod network;
pub(crate) mod processes;
pub(crate) mod resources;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use baton_sandbox::{EndedBy, Level, Profile};

use super::{Host, Script, is_root, log, run};

/// What the attack does without walls.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Bare {
    /// It wins.
    Wins,
    /// It wins as root.
    Root,
    /// It depends on the kernel; where it does not win, the row says little.
    Maybe,
}

/// A level to attack, and what is known to get through there.
pub(crate) struct Target {
    pub(crate) level: Level,
    pub(crate) prepare: fn(&mut Profile),
    pub(crate) known: &'static [&'static str],
}

/// As many attacks at one time: most of them sleep.
const AT_ONE_TIME: usize = 6;

/// What is wrong with any of the rows.
fn all_of<T: Sync>(rows: &[T], tried: impl Fn(&T) -> Vec<String> + Sync) {
    let next = AtomicUsize::new(0);
    let some = || {
        let mut wrong = Vec::new();
        while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
            wrong.extend(tried(row));
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONE_TIME).map(|_| scope.spawn(some)).collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.flatten().collect()
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Each attack bare, then behind the walls.
pub(crate) fn check(rows: &[(&str, Bare, Script)], target: &Target) {
    all_of(rows, |row| attack(row, target));
}

fn attack((name, bare, script): &(&str, Bare, Script), target: &Target) -> Vec<String> {
    let mut wrong = Vec::new();
    let argv = script.argv();
    let said = Host::new().bare(&argv);
    let won = said.contains("WON!");
    let must =
        *bare == Bare::Wins || (*bare == Bare::Root && is_root() && target.level == Level::I3);
    if must && !won {
        wrong.push(format!("{name}: does not work bare: {said:.300}"));
    }
    let mut host = Host::new();
    let mut profile = host.profile(argv);
    (target.prepare)(&mut profile);
    let outcome = match run(&profile) {
        Ok(outcome) => outcome,
        Err(refused) => {
            wrong.push(format!("{name}: {refused}"));
            return wrong;
        }
    };
    assert_eq!(outcome.level, target.level);
    let inside = log(&outcome);
    let mut failed = Vec::new();
    if inside.contains("WON!") {
        failed.push(format!(
            "{name}: ESCAPED ({}): {inside:.300}",
            outcome.ended_by
        ));
    }
    if !outcome.all_dead && target.level == Level::I3 {
        failed.push(format!("{name}: not everything is dead"));
    }
    failed.extend(host.harm().iter().map(|harm| format!("{name}: {harm}")));
    let bare = if won { "wins" } else { "fails here" };
    let word = if failed.is_empty() { "held" } else { "THROUGH" };
    println!("{word}  {name}  (bare: {bare}; {})", outcome.ended_by);
    if !target.known.contains(name) {
        wrong.extend(failed);
    }
    wrong
}

/// Each daemon bare, then behind the walls; it must be counted and killed.
pub(crate) fn check_daemons(target: &Target) {
    all_of(daemons::DAEMONS, |(name, script)| {
        daemon(name, script, target)
    });
}

fn daemon(name: &str, script: &Script, target: &Target) -> Vec<String> {
    let mut wrong = Vec::new();
    let host = Host::new();
    host.bare(&script.argv());
    let inside = Host::new();
    let mut profile = inside.profile(script.argv());
    (target.prepare)(&mut profile);
    let outcome = run(&profile).unwrap();
    // The one behind the walls began later, so it has had its second when both are looked at.
    let began = Instant::now();
    while !host.tree.join("late").exists() && began.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(1300));
    if !host.tree.join("late").exists() {
        wrong.push(format!("{name}: does not work bare"));
    }
    let said = log(&outcome);
    assert_eq!(outcome.level, target.level);
    if inside.tree.join("late").exists() && !target.known.contains(&name) {
        wrong.push(format!("{name}: ESCAPED: {said}"));
    }
    if outcome.ended_by != EndedBy::Exit(0) {
        wrong.push(format!("{name}: {} {said}", outcome.ended_by));
    }
    if (outcome.leaks == 0 || !outcome.all_dead) && target.level == Level::I3 {
        wrong.push(format!(
            "{name}: {} leaks, {}",
            outcome.leaks, outcome.all_dead
        ));
    }
    wrong
}
