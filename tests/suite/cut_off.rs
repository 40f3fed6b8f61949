//! What a submission leaves that ended in the middle, and what becomes of it.

use serde_json::json;

use crate::support::Bench;
use crate::watchdog::{watchdog, whats};
use crate::worker::count;

#[test]
fn a_submission_that_was_cut_off_is_completed_and_one_in_no_log_is_taken_away() {
    let bench = Bench::new();
    let line = [
        "submit", "--id", "T-1", "--title", "t", "--goal", "g", "--allow", "src/**", "--key", "k",
    ];
    bench.baton(line).expect(0);
    // As a crash leaves it between its line and the move, and one from before the line.
    let ready = |id: &str| bench.queue().join(format!("inbox/.tmp-new-{id}"));
    std::fs::rename(bench.task("inbox", "T-1"), ready("T-1")).unwrap();
    std::fs::create_dir(ready("T-2")).unwrap();
    std::fs::write(ready("T-2").join(".tmp-half"), "{").unwrap();
    // Neither is what somebody planted under such a name in the others' way.
    std::os::unix::fs::symlink("/etc", ready("T-0")).unwrap();
    std::fs::remove_dir_all(bench.queue().join("keys")).unwrap();
    std::fs::create_dir(bench.queue().join("keys")).unwrap();
    let said = bench.baton(["watchdog", "--plan"]).expect(0);
    assert_eq!(whats(&said), ["COMPLETED"]);
    assert!(ready("T-1").exists() && ready("T-2").exists());
    let said = watchdog(&bench, &[]).json();
    assert_eq!(whats(&said), ["COMPLETED"]);
    assert_eq!(said["trouble"][0]["task_id"], "T-0");
    std::fs::remove_file(ready("T-0")).unwrap();
    assert_eq!(count(&bench, "T-1", "MOVE_COMPLETED"), 1);
    assert!(!ready("T-1").exists() && !ready("T-2").exists());
    assert_eq!(watchdog(&bench, &[]).expect(0)["acts"], json!([]));
    bench.baton(["doctor", "--queue"]).expect(0);
    // Its key counts again, and it can be picked.
    let again = bench.baton(line).expect(0);
    assert_eq!(again["task_id"], "T-1");
    assert_eq!(count(&bench, "T-1", "TASK_SUBMITTED"), 1);
    bench
        .baton(["claim-lock", "--next", "--owner", "me"])
        .expect(0);
    assert!(bench.task("claimed", "T-1").exists());
}
