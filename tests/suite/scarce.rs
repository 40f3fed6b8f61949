//! Where the system has nothing left to give: nobody is kept from stopping, and nothing ends without an answer.

use crate::support::{Bench, Ran, ran};

/// The program where no thread can be made: each would get a stack that no machine has.
fn without_threads(bench: &Bench, line: &[&str]) -> Ran {
    let mut command = bench.command(line);
    ran(command
        .env("RUST_MIN_STACK", "70000000000000")
        .output()
        .unwrap())
}

#[test]
fn stop_needs_no_thread_and_without_one_the_others_say_so() {
    let bench = Bench::new();
    let submit = ["submit", "--title", "t", "--goal", "g", "--allow", "src/**"];
    for (line, code) in [
        (&submit[..], "IO_ERROR"),
        (&["watchdog", "--every", "1s"], "SIGNALS_UNAVAILABLE"),
        (
            &["run", "--watch", "--producer", "command", "--idle", "1s"],
            "SIGNALS_UNAVAILABLE",
        ),
    ] {
        let refused = without_threads(&bench, line);
        assert_eq!(refused.expect(1)["code"], code, "{refused:?}");
    }
    assert!(!bench.queue().join("STOP").exists());
    without_threads(&bench, &["stop", "--reason", "halt"]).expect(0);
    assert!(bench.queue().join("STOP").exists());
    assert_eq!(without_threads(&bench, &["stop-check"]).code, 4);
    bench.baton(["resume"]).expect(0);
    bench.baton(submit).expect(0);
}

#[test]
fn without_a_thread_this_machine_halts_where_the_queue_lies_in_a_database() {
    let bench = Bench::bare();
    bench
        .baton(["init", "--store", "sqlite:.autodev_queue/queue.db"])
        .expect(0);
    let said = without_threads(&bench, &["stop"]).expect(5);
    assert_eq!(
        (&said["stop"], &said["everywhere"]),
        (&true.into(), &false.into())
    );
    assert!(bench.queue().join("STOP").exists());
    assert_eq!(bench.baton(["stop-check"]).code, 4);
}

#[test]
fn stop_is_told_where_it_cannot_be_recorded() {
    let bench = Bench::new();
    bench.submit("T-1", "src/**");
    bench.baton(["stop"]).expect(0);
    std::fs::write(
        bench.queue().join("audit/events.ndjson"),
        "no line of a log\n",
    )
    .unwrap();
    for line in [
        &["stop-check"][..],
        &["stop-check", "--task", "T-1"],
        &["claim-lock", "--next"],
    ] {
        let seen = bench.baton(line);
        let said = seen.expect(4);
        assert_eq!(said["status"], "ZERO_STOP", "{said}");
        assert_eq!(said["signals"]["stop_detected"], true, "{said}");
        assert_eq!(seen.findings()[0], "STOP_PRESENT", "{said}");
        assert!(seen.stdout.contains("this is not recorded"), "{said}");
    }
}
