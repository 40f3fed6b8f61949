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

/// Root that cannot become anybody else: a container that maps no account but its own.
pub(crate) fn no_account(error: &std::io::Error) -> Refused {
    if error.raw_os_error() != Some(libc::EINVAL) {
        return Refused::failed("an account of its own", error);
    }
    unavailable(vec![Tried {
        level: Level::I3,
        error: format!("cannot leave root for an account of its own: {error}"),
    }])
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
    if has("uid map") || has("loopback") || has("namespace failed") || has("No permissions") {
        return namespaces(&|name| std::fs::read_to_string(format!("/proc/sys/{name}")).ok());
    }
    if has("leave root") || has("leave group") {
        return "start the runner as an ordinary user, or map the accounts 60600 to 61099 into the container";
    }
    if level == Level::I2 {
        return "use a kernel of 6.12 or later with Landlock enabled (lsm=landlock,...)";
    }
    "run the doctor for what this machine lacks"
}

/// Which of the known switches of the kernel refuses user namespaces. `read` gives the text of a
/// file below `/proc/sys`.
fn namespaces(read: &dyn Fn(&str) -> Option<String>) -> &'static str {
    let is = |name: &str, value: &str| read(name).is_some_and(|text| text.trim() == value);
    if is("kernel/unprivileged_userns_clone", "0") {
        return "allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1";
    }
    if is("user/max_user_namespaces", "0") {
        return "allow user namespaces: sysctl -w user.max_user_namespaces=10000";
    }
    if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        return "Ubuntu 23.10 and later: install an AppArmor profile that gives /usr/bin/bwrap the \
                right userns (package apparmor-profiles: bwrap-userns-restrict)";
    }
    "let the container make user namespaces: its seccomp profile must allow unshare, mount and clone"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_refusal_has_its_own_line() {
        let cases = [
            ("bwrap is at none of /usr/bin/bwrap", "bubblewrap"),
            (
                "bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)",
                "max_user_namespaces",
            ),
            ("the canary got through: read a decoy", "did not hold"),
            ("leave root: Invalid argument (os error 22)", "60600"),
            ("reach: /root/x: Permission denied", "may go"),
        ];
        for (words, part) in cases {
            assert!(fix(Level::I3, words).contains(part), "{words}");
        }
        assert!(fix(Level::I2, "landlock: version 3").contains("6.12"));
    }

    #[test]
    fn the_switch_that_refuses_is_named() {
        let only = |switch: &'static str, value: &'static str| {
            namespaces(&move |name| (name == switch).then(|| format!("{value}\n")))
        };
        assert!(only("kernel/unprivileged_userns_clone", "0").contains("userns_clone=1"));
        assert!(only("user/max_user_namespaces", "0").contains("max_user_namespaces"));
        assert!(only("kernel/apparmor_restrict_unprivileged_userns", "1").contains("AppArmor"));
        assert!(only("none", "").contains("seccomp"));
    }
}
