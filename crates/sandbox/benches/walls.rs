//! What the walls cost: `true` bare, and at level I3 with the canary, in one process as a runner
//! does it. Prints microseconds; nothing is compared.

#![allow(clippy::print_stdout, reason = "a bench prints")]

use std::process::Command;
use std::time::{Duration, Instant};

use baton_sandbox::{Profile, Sandbox, enter_if_called};

const ROUNDS: usize = 100;

fn main() {
    enter_if_called();
    let Ok(folder) = tempfile::tempdir() else {
        return;
    };
    let profile = Profile::new(folder.path(), vec!["/bin/true".to_owned()]);
    let Ok(sandbox) = Sandbox::this_program() else {
        return;
    };
    let mut setups = Vec::new();
    let mut refused = None;
    let walls = times(|| match sandbox.run(&profile, &|| false) {
        Ok(outcome) => setups.push(Duration::from_micros(outcome.setup_us)),
        Err(error) => refused = Some(error),
    });
    if let Some(error) = refused {
        println!("not measured: {error}");
        return;
    }
    let bare = times(|| drop(Command::new("/bin/true").status()));
    setups.sort_unstable();
    print("bare", &bare);
    print("I3 with canary", &walls);
    print("  of it until the gate starts", &setups);
    let cost = median(&walls).saturating_sub(median(&bare));
    println!("cost of the walls, median: {} us", cost.as_micros());
}

fn times(mut work: impl FnMut()) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

fn median(times: &[Duration]) -> Duration {
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn print(name: &str, times: &[Duration]) {
    let at = |share: usize| {
        times
            .get(times.len() * share / 100)
            .map_or(0, Duration::as_micros)
    };
    println!(
        "{name}: median {} us, p10 {}, p90 {}",
        at(50),
        at(10),
        at(90)
    );
}
