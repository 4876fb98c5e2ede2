//! Client side of SMTP, without I/O: reads the next hop's replies and says what they mean.

use super::reply::{Class, Enhanced};

/// A reply as the next hop gave it: its code, enhanced code and text lines (printable, bounded: 20 lines of 512 bytes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: u16,
    pub enhanced: Option<Enhanced>,
    /// Text of each line, without code, separator and enhanced code.
    pub lines: Vec<String>,
}

impl Answer {
    /// By the first digit.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.code / 100 {
            2 => Class::Done,
            3 => Class::Continue,
            4 => Class::Transient,
            _ => Class::Permanent,
        }
    }
}
