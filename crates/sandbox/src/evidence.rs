//! Each limit as the evidence tells it: what was asked, what holds it, how hard.

use crate::level::Level;
use crate::outcome::Limit;
use crate::profile::Profile;
use crate::supervise::Ran;

/// The limits of one run.
pub(crate) fn limits(level: Level, profile: &Profile, own_account: bool, ran: &Ran) -> Vec<Limit> {
    let asked = &profile.limits;
    let counted = level == Level::I3 || own_account;
    let limit = |name, asked, mechanism, hard, peak| Limit {
        name,
        asked,
        mechanism,
        hard,
        peak,
    };
    let milliseconds = u64::try_from(ran.duration.as_millis()).unwrap_or(u64::MAX);
    vec![
        limit(
            "wall_ms",
            asked.wall_ms,
            "supervisor",
            true,
            Some(milliseconds),
        ),
        limit(
            "memory_bytes",
            asked.memory_bytes,
            "watch of the sum every 10 ms, RLIMIT_DATA for each process",
            false,
            Some(ran.peaks.memory),
        ),
        limit(
            "processes",
            asked.processes,
            match (level, counted) {
                (Level::I3, _) => "RLIMIT_NPROC in a user namespace of its own",
                (_, true) => "RLIMIT_NPROC of an account of its own",
                (_, false) => "watch every 10 ms",
            },
            counted,
            Some(ran.peaks.processes),
        ),
        limit("file_bytes", asked.file_bytes, "RLIMIT_FSIZE", true, None),
        limit("open_files", asked.open_files, "RLIMIT_NOFILE", true, None),
        limit(
            "tmp_bytes",
            asked.tmp_bytes,
            if level == Level::I3 {
                "size of the temporary file system"
            } else {
                "none: a folder of the host"
            },
            level == Level::I3,
            None,
        ),
        limit(
            "tree_growth_bytes",
            asked.tree_growth_bytes,
            "watch of the free space, then of the tree",
            false,
            Some(ran.peaks.growth),
        ),
        limit(
            "output_bytes",
            asked.output_bytes,
            "supervisor",
            true,
            Some(ran.log.total_bytes),
        ),
        limit(
            "log_bytes",
            asked.log_bytes as u64,
            "supervisor",
            true,
            Some(ran.log.kept_bytes),
        ),
    ]
}
