//! Benches as many tests begin with: each is made once, and copied for every test that begins while
//! another one uses it. A test that needs two queues makes the second one itself: copies have one key.

use std::sync::{Arc, Mutex, Weak};

use crate::changes::gate;
use crate::signing::lands;
use crate::support::Bench;

/// A bench that is there as long as a copy of it is used.
type Shared = Mutex<Weak<Bench>>;

static WAITING: Shared = Mutex::new(Weak::new());
static APPROVED: Shared = Mutex::new(Weak::new());
static LANDED: Shared = Mutex::new(Weak::new());

impl Bench {
    /// T-1 waits for its approval.
    pub(crate) fn with_waiting() -> Self {
        copied(&WAITING, || {
            let bench = Self::new();
            bench.waiting("T-1");
            let (status, note) = gate(&bench, "T-1", "G5");
            assert_eq!(status, "PASS", "{note}");
            bench
        })
    }

    /// T-1 is approved.
    pub(crate) fn with_approved() -> Self {
        copied(&APPROVED, || {
            let bench = Self::with_waiting();
            bench.baton(["approve", "T-1"]).expect(0);
            bench
        })
    }

    /// T-1 landed.
    pub(crate) fn with_landed() -> Self {
        copied(&LANDED, || {
            let bench = Self::with_approved();
            lands(&bench);
            bench
        })
    }
}

fn copied(shared: &Shared, make: impl FnOnce() -> Bench) -> Bench {
    // A test that failed while it made one leaves nothing there.
    let mut there = shared.lock().unwrap_or_else(|broken| broken.into_inner());
    let original = there.upgrade().unwrap_or_else(|| Arc::new(make()));
    *there = Arc::downgrade(&original);
    drop(there);
    let mut copy = original.copy();
    copy.original = Some(original);
    copy
}
