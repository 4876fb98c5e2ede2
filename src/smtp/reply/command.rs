//! Replies to command lines: what is wrong with one, or not offered.

use super::{Enhanced, Reply};

/// A command line over its limit (RFC 5321 4.5.3.1.4).
pub fn line_too_long() -> Reply {
    Reply::new(500, Enhanced(5, 5, 2), "Line too long")
}

/// A command that ends with a bare LF.
pub fn bad_line_end() -> Reply {
    Reply::new(500, Enhanced(5, 5, 2), "Lines end with <CR><LF>")
}

pub fn unknown_command() -> Reply {
    Reply::new(500, Enhanced(5, 5, 2), "Command not recognized")
}

/// A command of SMTP that is not offered.
pub fn not_implemented() -> Reply {
    Reply::new(502, Enhanced(5, 5, 1), "Command not implemented")
}

pub fn bad_arguments() -> Reply {
    Reply::new(501, Enhanced(5, 5, 4), "Syntax error in parameters or arguments")
}

pub fn bad_sender() -> Reply {
    Reply::new(501, Enhanced(5, 1, 7), "Bad sender address syntax")
}

pub fn bad_recipient() -> Reply {
    Reply::new(501, Enhanced(5, 1, 3), "Bad recipient address syntax")
}

/// A BDAT whose size cannot be read: where its content ends is not known.
pub fn bad_chunk() -> Reply {
    Reply::new(501, Enhanced(5, 5, 4), "Syntax: BDAT size [LAST]").and_close()
}

pub fn unknown_parameter() -> Reply {
    Reply::new(555, Enhanced(5, 5, 4), "Parameter not recognized or not implemented")
}

/// A parameter that only the next hop can judge, while it is not known what that offers (DESIGN decision 10).
pub fn parameter_not_judged() -> Reply {
    Reply::new(451, Enhanced(4, 3, 0), "Not available now, try again later")
}

/// An address beyond ASCII without SMTPUTF8 (RFC 6531 3.5).
pub fn needs_smtputf8() -> Reply {
    Reply::new(553, Enhanced(5, 6, 7), "Address needs SMTPUTF8")
}

pub fn bad_sequence(expected: &'static str) -> Reply {
    Reply::new(503, Enhanced(5, 5, 1), expected)
}

/// XCLIENT or XFORWARD of a peer that is not trusted with it.
pub fn not_trusted() -> Reply {
    Reply::new(550, Enhanced(5, 7, 0), "Not authorized to speak for others")
}

/// DATA without an accepted recipient.
pub fn no_recipients() -> Reply {
    Reply::new(554, Enhanced(5, 5, 1), "No valid recipients")
}

/// Commands sent where the answer had to be waited for (RFC 2920 3.1).
pub fn out_of_step() -> Reply {
    Reply::new(554, Enhanced(5, 5, 0), "Error: input sent before its time").and_close()
}
