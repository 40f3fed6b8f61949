//! The processes below one of ours, and what they use, as `/proc` tells it.

use rustix::process::Pid;

/// So many are looked at and no more: a fork bomb must not keep the watch busy.
const MOST: usize = 4096;

/// Every process below this one, without itself.
pub(crate) fn descendants(root: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for child in children(parent) {
            if found.len() >= MOST {
                return found;
            }
            found.push(child);
            open.push(child);
        }
    }
    found
}

/// The children of each thread of a process; none when it is gone.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let id = parent.as_raw_pid();
    let Ok(threads) = std::fs::read_dir(format!("/proc/{id}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_ascii_whitespace()
                .filter_map(|word| Pid::from_raw(word.parse().ok()?))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// What one process uses now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Use {
    /// Resident bytes, shared ones included.
    pub(crate) resident: u64,
    /// Resident bytes of its own.
    pub(crate) private: u64,
    /// Processor time of itself and of the children it has reaped, in ticks.
    pub(crate) ticks: u64,
    pub(crate) threads: u64,
}

/// Looks at one process; all zeroes when it is gone.
pub(crate) fn look(process: Pid) -> Use {
    let id = process.as_raw_pid();
    let page = rustix::param::page_size() as u64;
    let mut used = Use::default();
    if let Ok(text) = std::fs::read_to_string(format!("/proc/{id}/statm")) {
        let mut pages = text
            .split_ascii_whitespace()
            .map(|word| word.parse::<u64>().unwrap_or(0));
        used.resident = pages.nth(1).unwrap_or(0).saturating_mul(page);
        let shared = pages.next().unwrap_or(0).saturating_mul(page);
        used.private = used.resident.saturating_sub(shared);
    }
    if let Ok(text) = std::fs::read_to_string(format!("/proc/{id}/stat")) {
        // The name is in parentheses and may hold anything, parentheses too.
        let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let numbers: Vec<u64> = fields
            .split_ascii_whitespace()
            .skip(11)
            .take(7)
            .map(|word| word.parse().unwrap_or(0))
            .collect();
        used.ticks = numbers.iter().take(4).sum();
        used.threads = numbers.get(6).copied().unwrap_or(0);
    }
    used
}

/// The memory of one process with shared pages counted by their share, without the files it maps.
/// None where the kernel does not let us look.
pub(crate) fn proportional(process: Pid) -> Option<u64> {
    let id = process.as_raw_pid();
    let text = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let kilobytes = |name: &str| -> u64 {
        text.lines()
            .find_map(|line| {
                line.strip_prefix(name)?
                    .split_ascii_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .unwrap_or(0)
    };
    Some((kilobytes("Pss_Anon:") + kilobytes("Pss_Shmem:")).saturating_mul(1024))
}
