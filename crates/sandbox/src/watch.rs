//! The watch from outside: memory, processes and disk, which a process cannot hold for all.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{Builder, JoinHandle};
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
    /// The first measure, taken while the walls are built where there is a thread for it.
    first: Option<JoinHandle<Measure>>,
    at_start: u64,
    free_at_start: Option<u64>,
    next_hint: Instant,
    next_measure: Instant,
    /// A measure that is being taken: a large tree must not keep us from looking.
    running: Option<Receiver<Measure>>,
    pub(crate) peaks: Peaks,
}

impl Watch {
    /// Watches everything below the process `root`, and the tree.
    pub(crate) fn new(root: Pid, limits: &Limits, tree: &Path) -> Self {
        let now = Instant::now();
        let own = tree.to_path_buf();
        Self {
            root,
            limits: limits.clone(),
            tree: tree.to_path_buf(),
            first: Builder::new().spawn(move || measure(&own)).ok(),
            at_start: 0,
            free_at_start: None,
            next_hint: now,
            next_measure: now + MEASURE,
            running: None,
            peaks: Peaks::default(),
        }
    }

    /// Ends the first measure; the gate starts after it, somewhere below the process `root`.
    pub(crate) fn start(&mut self, root: Pid) {
        self.root = root;
        let first = match self.first.take() {
            Some(first) => first.join().ok(),
            // No thread was to be had: it is taken now.
            None => Some(measure(&self.tree)),
        };
        self.at_start = first.map_or(0, |measure| measure.bytes);
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
        let Some(receiver) = &self.running else {
            if hinted || now >= self.next_measure {
                // Without a thread it is tried again at the next look.
                self.running = measure_aside(&self.tree);
            }
            return None;
        };
        let measure = receiver.try_recv().ok()?;
        self.next_measure = now + MEASURE.max(measure.took * SHARE);
        self.running = None;
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

fn measure_aside(tree: &Path) -> Option<Receiver<Measure>> {
    let (sender, receiver) = channel();
    let tree = tree.to_path_buf();
    let measuring = Builder::new().spawn(move || {
        // A watch that has ended needs no measure.
        let _ = sender.send(measure(&tree));
    });
    measuring.ok().map(|_| receiver)
}
