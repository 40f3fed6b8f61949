//! One line that says what to do, for each way in which a machine refuses to isolate.

use crate::level::Level;
use crate::refused::{Refused, Tried};

/// No level that the profile allows was reached.
pub(crate) fn unavailable(tried: Vec<Tried>) -> Refused {
    let message = tried
        .iter()
        .map(|tried| format!("{}: {}", tried.level, tried.error))
        .collect::<Vec<_>>()
        .join("; ");
    let fix = tried
        .first()
        .map_or("", |tried| fix(tried.level, &tried.error));
    let mut refused = Refused::new("ISOLATION_UNAVAILABLE", message, fix);
    refused.tried = tried;
    refused
}

/// What to do about the words of a backend.
pub(crate) fn fix(level: Level, words: &str) -> &'static str {
    let has = |needle: &str| words.contains(needle);
    if has("bwrap is at none of") {
        return "install the package bubblewrap (Debian, Ubuntu, Fedora, Arch, Alpine: the same name)";
    }
    if has("others than root may change it") {
        return "give bwrap back to root and take write permission from group and others";
    }
    if has("_namespaces exceeded") || has("ENOSPC") {
        return "raise user.max_user_namespaces (sysctl), or do not nest the runner in another sandbox";
    }
    if has("canary got through") || has("namespace is the host's") {
        return "do not run untrusted gates here: a wall of the kernel did not hold; report it";
    }
    if has("reach:") || has("Permission denied") && has("bind") {
        return "put the tree and the read-only places where the runner's account may go";
    }
    if has("uid map") || has("setting up uid map") || has("loopback") || has("apparmor") {
        return "Ubuntu 23.10 and later: install an AppArmor profile that allows userns for /usr/bin/bwrap";
    }
    if has("Creating new namespace failed") || has("No permissions to create") {
        return "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 and \
                kernel.apparmor_restrict_unprivileged_userns=0, or the container's seccomp profile";
    }
    if has("leave root") || has("leave group") {
        return "start the runner as an ordinary user, or map the accounts 60600 to 61099 into the container";
    }
    if level == Level::I2 {
        return "use a kernel of 6.12 or later with Landlock enabled (lsm=landlock,...)";
    }
    "run the doctor for what this machine lacks"
}
