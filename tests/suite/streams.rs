//! Closed pipes, full disks, open inputs and defects: still one envelope, never a false exit 0.

use std::process::Stdio;

use baton_core::schemas as embedded;

use crate::envelopes::{bench, checked, codes, with_task};
use crate::schemas::validator;

#[test]
fn an_envelope_that_nobody_received_is_never_exit_0() {
    let bench = bench();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = bench
        .command(["stop-check"])
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = bench
        .command(["stop-check"])
        .stdout(writer)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn an_open_standard_input_hangs_no_tool_that_is_told_its_subject() {
    let bench = bench();
    for skill in baton::SKILLS {
        let (_reader, writer) = std::io::pipe().unwrap();
        let (open, _kept) = std::io::pipe().unwrap();
        let mut child = bench
            .command(with_task(skill.name))
            .stdin(open)
            .stdout(writer)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = std::time::Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(
                started.elapsed().as_secs() < 20,
                "{} waits for standard input",
                skill.name
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

#[test]
fn a_defect_in_a_skill_is_a_failure_with_an_envelope() {
    use baton_core::driver::{Skill, Upstream, invoke};
    static BROKEN: Skill = Skill {
        name: "stop-check",
        envelope: "stop-check",
        about: "Break",
        examples: ["", ""],
        classes: &[],
        action: baton_core::audit::Action::Error,
        upstream: Upstream::Never,
        acts_under_stop: true,
        arguments: |command| command,
        has_subject: |_| true,
        run: |_, _| panic!("a wheel came off"),
        refused: stop_check::SKILL.refused,
    };
    let folder = tempfile::tempdir().unwrap();
    let line = ["stop-check".into(), "--repo".into(), folder.path().into()];
    let done = invoke(&BROKEN, line.to_vec(), None).unwrap();
    let envelope = serde_json::to_value(&done.envelope).unwrap();
    assert!(validator(embedded::OUTPUTS).is_valid(&envelope));
    assert_eq!((done.code, codes(&envelope)), (1, vec!["INTERNAL_ERROR"]));
    assert!(done.envelope.summary.contains("a wheel came off"));
}

#[test]
fn a_full_disk_moves_nothing_and_says_so() {
    let bench = bench();
    for number in 2..=12 {
        bench.submit(&format!("T-{number}"), "src/**");
    }
    let audit = bench.queue().join("audit");
    let kept = tempfile::tempdir().unwrap();
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .arg(from.join("."))
            .arg(to)
            .status();
        assert!(copied.unwrap().success());
    };
    copy(&audit, kept.path());
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&audit)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this account cannot mount a small tmpfs");
        return;
    }
    copy(kept.path(), &audit);
    // Fill it to the last byte.
    let mut filler = std::fs::File::create(audit.join("filler")).unwrap();
    while std::io::Write::write(&mut filler, &[0; 512]).is_ok_and(|count| count > 0) {}
    drop(filler);
    // The last page of the log has room for a few lines more; then the disk is full.
    let mut refused = None;
    for number in 1..=12 {
        let id = format!("T-{number}");
        let before = std::fs::read(audit.join("events.ndjson")).unwrap();
        let ran = bench.baton(["claim-lock", "--task", &id]);
        if ran.code != 0 {
            refused = Some((
                id,
                ran,
                before,
                std::fs::read(audit.join("events.ndjson")).unwrap(),
            ));
            break;
        }
    }
    let unmounted = std::process::Command::new("umount")
        .arg(&audit)
        .status()
        .unwrap();
    assert!(unmounted.success());
    let (id, ran, before, after) = refused.expect("twelve lines fit on a full disk");
    let envelope = checked(&ran);
    assert_eq!(codes(&envelope), ["LOG_WRITE_FAILED"], "{envelope}");
    assert!(after == before, "a line was half written");
    assert!(bench.task("inbox", &id).is_dir());
    assert!(
        !bench.task("inbox", &id).join(".lock").exists(),
        "the lock was taken back"
    );
}
