//! The door: runs a profile at the strongest level that the machine gives.

use std::path::PathBuf;

use crate::account::{self, Account};
use crate::bait::Laid;
use crate::level::Level;
use crate::outcome::{Backend, Outcome, Walls};
use crate::probe::{self, Probe};
use crate::profile::Profile;
use crate::refused::{Refused, Tried};
use crate::scratch::Scratch;
use crate::supervise::{Attempt, Ran, attempt};
use crate::wire::{OuterPlan, Rlimits, StagePlan};
use crate::{aspects, evidence, fixes, stage, sys};

/// Runs gates. Holds which program is the second stage.
#[derive(Clone, Debug)]
pub struct Sandbox {
    program: PathBuf,
}

impl Sandbox {
    /// The running program is the second stage.
    ///
    /// # Errors
    /// `STAGE_MISSING` when its `main` did not call [`crate::enter_if_called`], or when its file
    /// cannot be found any more.
    pub fn this_program() -> Result<Self, Refused> {
        let missing = |message: String| {
            Refused::new(
                "STAGE_MISSING",
                message,
                "call baton_sandbox::enter_if_called() first in main, and keep the program's file",
            )
        };
        if !stage::is_offered() {
            return Err(missing("this program is no second stage".to_owned()));
        }
        let program = std::env::current_exe()
            .and_then(|path| path.canonicalize())
            .map_err(|error| missing(format!("the file of this program: {error}")))?;
        Ok(Self { program })
    }

    /// Another program is the second stage; its `main` calls [`crate::enter_if_called`].
    #[must_use]
    pub fn with_program(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
        }
    }

    /// Runs one gate to its end. `is_stopped` is asked at least every 50 milliseconds.
    ///
    /// As root the tree changes its owner to an account of its own.
    ///
    /// # Errors
    /// `ISOLATION_UNAVAILABLE` when no level that the profile allows is reached, `TOOL_MISSING`
    /// when the program does not start, `PROFILE_INVALID` and `SANDBOX_FAILED`. Nothing of the
    /// gate has run then.
    pub fn run(
        &self,
        profile: &Profile,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Outcome, Refused> {
        let profile = profile.checked()?;
        let mut machine = Machine::prepare(&profile)?;
        let mut tried: Vec<Tried> = Vec::new();
        for level in profile.levels() {
            match self.reach(level, &profile, &mut machine, is_stopped)? {
                Attempt::Ran(ran) => {
                    return Ok(machine.outcome(level, &profile, *ran, tried));
                }
                Attempt::Unreached(error) => tried.push(Tried { level, error }),
                Attempt::NotStarted(error) => {
                    return Err(Refused::new(
                        "TOOL_MISSING",
                        error,
                        "install the program, name its folder as read-only, or correct PATH",
                    ));
                }
                Attempt::StoppedEarly => {
                    return Err(Refused::new("STOPPED", "stopped before the gate began", ""));
                }
            }
        }
        Err(fixes::unavailable(tried))
    }

    /// What would build the strongest walls here, without building them: a result that was got
    /// behind other walls is told from one that would be got now.
    #[must_use]
    pub fn walls(&self) -> Walls {
        Walls {
            backend: backend(Level::I3),
            kernel: kernel(),
            landlock_abi: sys::landlock_abi(),
        }
    }

    /// Tries each level once with a program that does nothing, for a doctor. Takes as long as
    /// three gates, some tens of milliseconds.
    #[must_use]
    pub fn probe(&self) -> Probe {
        probe::look(&|level| self.try_level(level))
    }

    /// The whole of one run at one level, or the words of what refused it.
    fn try_level(&self, level: Level) -> Result<Outcome, String> {
        let words = |refused: Refused| refused.to_string();
        let tree = tempfile::tempdir().map_err(|error| error.to_string())?;
        let profile = Profile::new(tree.path(), vec!["/bin/sh".into(), "-c".into(), ":".into()]);
        let profile = profile.checked().map_err(words)?;
        let mut machine = Machine::prepare(&profile).map_err(words)?;
        match self
            .reach(level, &profile, &mut machine, &|| false)
            .map_err(words)?
        {
            Attempt::Ran(ran) => Ok(machine.outcome(level, &profile, *ran, Vec::new())),
            Attempt::Unreached(error) | Attempt::NotStarted(error) => Err(error),
            Attempt::StoppedEarly => Err("stopped".to_owned()),
        }
    }

    fn reach(
        &self,
        level: Level,
        profile: &Profile,
        machine: &mut Machine,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Attempt, Refused> {
        let backend = match level {
            Level::I3 => match bwrap() {
                Ok((path, _)) => Some(path),
                Err(words) => return Ok(Attempt::Unreached(words)),
            },
            _ => None,
        };
        let account = machine.account.as_ref().map(|account| account.id);
        let laid =
            Laid::out(account).map_err(|error| Refused::failed("the canary's bait", &error))?;
        let outer = machine.outer(level, profile, self.program.clone(), backend)?;
        let stage = machine.stage(level, profile, &laid);
        let outside = stage::namespaces();
        attempt(
            &self.program,
            profile,
            (&outer, stage),
            &laid,
            &|ready| aspects::judge(level, &outside, ready),
            is_stopped,
        )
    }
}

/// What a run takes from the machine, and gives back.
struct Machine {
    account: Option<Account>,
    staging: Option<PathBuf>,
    scratch: Option<Scratch>,
}

impl Machine {
    fn prepare(profile: &Profile) -> Result<Self, Refused> {
        if !account::is_root() {
            return Ok(Self {
                account: None,
                staging: None,
                scratch: None,
            });
        }
        let failed = |error: std::io::Error| Refused::failed("an account of its own", &error);
        let account = Account::take().map_err(failed)?;
        account::give(&profile.tree, account.id).map_err(|error| fixes::no_account(&error))?;
        if let Some(shell) = &profile.shell {
            std::os::unix::fs::lchown(shell, Some(account.id), Some(account.id))
                .map_err(|error| fixes::no_account(&error))?;
        }
        Ok(Self {
            account: Some(account),
            staging: Some(account::staging().map_err(failed)?),
            scratch: None,
        })
    }

    fn outer(
        &mut self,
        level: Level,
        profile: &Profile,
        program: PathBuf,
        bwrap: Option<PathBuf>,
    ) -> Result<OuterPlan, Refused> {
        if level < Level::I3 && self.scratch.is_none() {
            self.scratch = Some(self.scratch()?);
        }
        Ok(OuterPlan {
            level,
            account: self.account.as_ref().map(|account| account.id),
            staging: self.staging.clone(),
            bwrap,
            program,
            tree: profile.tree.clone(),
            scratch: self
                .scratch
                .as_ref()
                .map(|folder| folder.path().to_path_buf()),
            read_only: profile.read_only.clone(),
            staged: Vec::new(),
            tmp_bytes: profile.limits.tmp_bytes,
        })
    }

    /// Home and temporary files where there is no file system of its own for them.
    fn scratch(&self) -> Result<Scratch, Refused> {
        let make = || {
            let folder = Scratch::new()?;
            std::fs::create_dir(folder.path().join("home"))?;
            std::fs::create_dir(folder.path().join("tmp"))?;
            if let Some(account) = &self.account {
                account::give(folder.path(), account.id)?;
            }
            Ok(folder)
        };
        make().map_err(|error: std::io::Error| Refused::failed("a temporary folder", &error))
    }

    fn stage(&self, level: Level, profile: &Profile, laid: &Laid) -> StagePlan {
        let limits = &profile.limits;
        // Only where nothing else is counted with it: the kernel counts all of an account in a
        // user namespace.
        let counts_alone = level == Level::I3 || self.account.is_some();
        StagePlan {
            level,
            own_account: self.account.is_some(),
            argv: profile.argv.clone(),
            environment: profile.environment.clone(),
            cwd: profile.cwd.clone(),
            read_only: profile.read_only.clone(),
            limits: Rlimits {
                data: limits.memory_bytes,
                file: limits.file_bytes,
                open: limits.open_files,
                processes: counts_alone.then_some(limits.processes),
            },
            relax: profile.relax.clone(),
            bait: laid.bait.clone(),
        }
    }

    fn outcome(
        &self,
        level: Level,
        profile: &Profile,
        ran: Ran,
        fallback_from: Vec<Tried>,
    ) -> Outcome {
        // A namespace whose first process is gone has nothing left to look for.
        let all_dead = ran.all_dead || self.account.as_ref().is_some_and(Account::clear);
        Outcome {
            level,
            throwaway_asserted: profile.throwaway,
            backend: backend(level),
            aspects: aspects::covered(level, profile, &ran.ready.trials),
            limits: evidence::limits(level, profile, self.account.is_some(), &ran),
            canary: ran.ready.trials,
            relaxed: profile.relax.clone(),
            uid_outside: self
                .account
                .as_ref()
                .map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.id),
            uid_inside: ran.ready.uid,
            kernel: kernel(),
            landlock_abi: sys::landlock_abi(),
            landlock: ran.ready.landlock,
            seccomp: ran.ready.seccomp,
            ended_by: ran.ended_by,
            duration_ms: u64::try_from(ran.duration.as_millis()).unwrap_or(u64::MAX),
            setup_us: u64::try_from(ran.setup.as_micros()).unwrap_or(u64::MAX),
            cpu_ms: ran.cpu_ms,
            peak_memory_bytes: ran.peaks.memory,
            leaks: ran.leaks,
            all_dead,
            log: ran.log,
            fallback_from,
        }
    }
}

fn kernel() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

fn backend(level: Level) -> Backend {
    let found = bwrap().ok().filter(|_| level == Level::I3);
    Backend {
        name: match level {
            Level::I3 => "bwrap",
            Level::I2 if cfg!(target_os = "macos") => "seatbelt",
            Level::I2 => "landlock",
            Level::I1 | Level::E => "process-group",
        },
        version: found.as_ref().map(|(_, version)| version.clone()),
        path: found.map(|(path, _)| path),
    }
}

/// Where the system's `bwrap` is, and its version.
#[cfg(target_os = "linux")]
pub(crate) fn bwrap() -> Result<(PathBuf, String), String> {
    crate::bwrap::find().map(|found| (found.path.clone(), found.version.clone()))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn bwrap() -> Result<(PathBuf, String), String> {
    Err("this system has no namespaces".to_owned())
}
