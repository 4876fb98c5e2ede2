//! Exit statuses, as in sysexits(3), so that a script or a service manager can tell what to do.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Success,
    /// The command did its work and the answer is no: tests failed.
    Failed,
    /// The command line is wrong.
    Usage,
    /// What was read is not what it should be: a message, a rule file that is not the configuration's.
    Data,
    /// A file to be read is not there.
    NoInput,
    /// Something needed does not answer: a next hop, an address to listen on.
    Unavailable,
    /// Reading or writing failed; the store cannot be opened.
    Io,
    /// Not now; the same may work later.
    TempFail,
    /// The configuration is wrong.
    Config,
}

impl Exit {
    /// The status told to the system.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failed => 1,
            Exit::Usage => 64,
            Exit::Data => 65,
            Exit::NoInput => 66,
            Exit::Unavailable => 69,
            Exit::Io => 74,
            Exit::TempFail => 75,
            Exit::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
