//! The six queue states and the moves between them.

use serde::{Deserialize, Serialize};

/// The queue folder that a task lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits to be claimed.
    Inbox,
    /// Owned, not yet validated.
    Claimed,
    /// Being drafted, scanned, gated.
    Work,
    /// Decided; waits for approval and landing.
    Pr,
    /// Landed, or handed over as a branch, or closed by a person without a change.
    Done,
    /// Stopped; an incident says why.
    Blocked,
}

impl State {
    /// Every state, in the order of the way through.
    pub const ALL: [Self; 6] = [
        Self::Inbox,
        Self::Claimed,
        Self::Work,
        Self::Pr,
        Self::Done,
        Self::Blocked,
    ];

    /// The folder's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Claimed => "claimed",
            Self::Work => "work",
            Self::Pr => "pr",
            Self::Done => "done",
            Self::Blocked => "blocked",
        }
    }

    /// The state with this folder name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether a task may move from here to `to`. Nothing leaves `done`.
    #[must_use]
    pub const fn may_move_to(self, to: Self) -> bool {
        matches!(
            (self, to),
            (Self::Inbox, Self::Claimed)
                // To done: closed without a change, by a person's word.
                | (Self::Claimed, Self::Work | Self::Inbox | Self::Done)
                | (Self::Work, Self::Pr | Self::Inbox | Self::Done)
                | (Self::Pr, Self::Done | Self::Inbox)
                | (Self::Blocked, Self::Inbox)
                | (
                    Self::Inbox | Self::Claimed | Self::Work | Self::Pr,
                    Self::Blocked
                )
        )
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
