//! The watch from outside: memory, processes and disk, which a process cannot hold for all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::disk::{Measure, free_bytes, measure, open_bytes};
use crate::processes::{descendants, look, proportional};
use crate::profile::Limits;

/// How often memory and processes are looked at. Ten times rarer let the sum reach twice its limit
/// before the kill.
pub(crate) const LOOK: Duration = Duration::from_millis(10);
/// How often the tree is measured at most, and the free space of its file system asked for.
const MEASURE: Duration = Duration::from_millis(50);
/// A walk takes at most this share of the time, however large the tree is.
const SHARE: u32 = 20;

/// What was seen so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peaks {
    pub(crate) memory: u64,
    pub(crate) processes: u64,
    pub(crate) growth: u64,
    pub(crate) cpu_ms: u64,
}

pub(crate) struct Watch {
    root: Pid,
    limits: Limits,
    tree: PathBuf,
    measurer: Measurer,
    at_start: u64,
    free_at_start: Option<u64>,
    next_hint: Instant,
    next_measure: Instant,
    /// Whether a measure is being taken: a large tree must not keep us from looking.
    is_measuring: bool,
    pub(crate) peaks: Peaks,
}

impl Watch {
    /// Watches everything below the process `root`, and the tree. The first measure is taken while the walls are
    /// built.
    pub(crate) fn new(root: Pid, limits: &Limits, tree: &Path) -> io::Result<Self> {
        let now = Instant::now();
        let measurer = Measurer::new(tree)?;
        measurer.ask();
        Ok(Self {
            root,
            limits: limits.clone(),
            tree: tree.to_path_buf(),
            measurer,
            at_start: 0,
            free_at_start: None,
            next_hint: now,
            next_measure: now + MEASURE,
            is_measuring: false,
            peaks: Peaks::default(),
        })
    }

    /// Ends the first measure; the gate starts after it, somewhere below the process `root`.
    pub(crate) fn start(&mut self, root: Pid) {
        self.root = root;
        let first = self.measurer.told.recv();
        self.at_start = first.unwrap_or_else(|_| measure(&self.tree)).bytes;
        self.free_at_start = free_bytes(&self.tree);
    }

    /// Looks once; the name of a limit that is passed.
    pub(crate) fn look(&mut self) -> Option<&'static str> {
        let processes = descendants(self.root);
        let (mut resident, mut private, mut threads, mut ticks) = (0_u64, 0_u64, 0_u64, 0_u64);
        for process in &processes {
            let used = look(*process);
            resident = resident.saturating_add(used.resident);
            private = private.saturating_add(used.private);
            threads = threads.saturating_add(used.threads);
            ticks = ticks.max(used.ticks);
        }
        let peaks = &mut self.peaks;
        peaks.processes = peaks.processes.max(threads);
        peaks.cpu_ms = peaks.cpu_ms.max(milliseconds(ticks));
        // The sum of what is resident counts shared pages once for each process. Only when even
        // that would be too much is the exact sum worth its price.
        let memory = if resident > self.limits.memory_bytes {
            processes
                .iter()
                .map(|process| {
                    // One that hides its pages counts with all of them.
                    proportional(*process).unwrap_or_else(|| look(*process).resident)
                })
                .sum::<u64>()
                .max(private)
        } else {
            private
        };
        peaks.memory = peaks.memory.max(memory);
        if memory > self.limits.memory_bytes {
            return Some("memory");
        }
        // The keeper and bwrap's own are among them.
        if threads > self.limits.processes.saturating_add(4) {
            return Some("processes");
        }
        self.disk(&processes)
    }

    /// A measure of the tree costs a walk, so a large one is walked rarely, or when the free space of
    /// its file system hints at growth. Others fill and empty it too: it is no more than a hint.
    fn disk(&mut self, processes: &[Pid]) -> Option<&'static str> {
        let now = Instant::now();
        if now < self.next_hint {
            return None;
        }
        self.next_hint = now + MEASURE;
        let free = free_bytes(&self.tree);
        let gone = match (self.free_at_start, free) {
            (Some(before), Some(now)) => before.saturating_sub(now),
            _ => 0,
        };
        let hinted = gone > self.limits.tree_growth_bytes;
        if !self.is_measuring {
            if hinted || now >= self.next_measure {
                self.measurer.ask();
                self.is_measuring = true;
            }
            return None;
        }
        let measure = match self.measurer.told.try_recv() {
            Ok(measure) => measure,
            Err(TryRecvError::Empty) => return None,
            // It does not end before the watch does; whatever ended it, nothing runs unmeasured.
            Err(TryRecvError::Disconnected) => measure(&self.tree),
        };
        self.next_measure = now + MEASURE.max(measure.took * SHARE);
        self.is_measuring = false;
        let used = measure
            .bytes
            .saturating_add(open_bytes(processes, &measure));
        let growth = used.saturating_sub(self.at_start);
        self.peaks.growth = self.peaks.growth.max(growth);
        // What cannot be walked is judged by the free space alone.
        let hidden = hinted && !measure.whole;
        (hidden || growth > self.limits.tree_growth_bytes).then_some("tree_growth")
    }
}

fn milliseconds(ticks: u64) -> u64 {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    ticks.saturating_mul(1000) / per_second
}

/// A thread that measures the tree whenever it is asked. It is there before the gate is: what runs in there may
/// use up every process that this account or container may have.
struct Measurer {
    asks: Sender<()>,
    told: Receiver<Measure>,
}

impl Measurer {
    fn new(tree: &Path) -> io::Result<Self> {
        let (asks, asked) = channel();
        let (tell, told) = channel();
        let tree = tree.to_path_buf();
        Builder::new().spawn(
            move || {
                while asked.recv().is_ok() && tell.send(measure(&tree)).is_ok() {}
            },
        )?;
        Ok(Self { asks, told })
    }

    /// Has one measure taken. That the thread is gone is seen where it is waited for.
    fn ask(&self) {
        let _ = self.asks.send(());
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{Resource, Rlimit, getpid, setrlimit};

    use super::*;

    const NONE_LEFT: &str = "BATON_TEST_NO_THREAD";

    /// Where no thread is to be had once the gate runs, the tree is measured all the same.
    #[test]
    fn what_takes_all_threads_is_measured() {
        if std::env::var_os(NONE_LEFT).is_none() {
            // The limit would be that of all tests.
            let name = "watch::tests::what_takes_all_threads_is_measured";
            let mut again = Command::new(std::env::current_exe().unwrap());
            let ran = again.args(["--exact", name]).env(NONE_LEFT, "1").output();
            let ran = ran.unwrap();
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let tree = tempfile::tempdir().unwrap();
        let limits = Limits {
            tree_growth_bytes: 1 << 20,
            memory_bytes: u64::MAX,
            processes: 1000,
            ..Limits::default()
        };
        let mut watch = Watch::new(getpid(), &limits, tree.path()).unwrap();
        watch.start(getpid());
        let large = vec![1; 2 << 20];
        let no_more = Rlimit {
            current: Some(1),
            maximum: None,
        };
        setrlimit(Resource::As, no_more).unwrap();
        assert!(Builder::new().spawn(|| ()).is_err(), "none is to be had");
        std::fs::write(tree.path().join("large"), large).unwrap();
        let passed = (0..1000).find_map(|_| {
            std::thread::sleep(LOOK);
            watch.look()
        });
        assert_eq!(passed, Some("tree_growth"));
    }
}
