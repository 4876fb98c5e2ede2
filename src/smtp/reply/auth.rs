//! Replies to AUTH (RFC 4954 6).

use super::{Enhanced, Reply};

/// What a client has to answer, in base64.
pub fn challenge(text: String) -> Reply {
    Reply::plain(334, text)
}

/// The client is who it says.
pub fn logged_in() -> Reply {
    Reply::new(235, Enhanced(2, 7, 0), "Authentication successful")
}

/// It is not, whatever is wrong: no such user, another password, no right to act as another.
pub fn not_logged_in() -> Reply {
    Reply::new(535, Enhanced(5, 7, 8), "Authentication credentials invalid")
}

/// The same, once too often.
pub fn too_many_logins() -> Reply {
    Reply::new(421, Enhanced(4, 7, 0), "Too many failed logins").and_close()
}

/// `*`
pub fn login_cancelled() -> Reply {
    Reply::new(501, Enhanced(5, 7, 0), "Authentication cancelled")
}

pub fn bad_base64() -> Reply {
    Reply::new(501, Enhanced(5, 5, 2), "Cannot decode base64")
}

/// An answer to a challenge over every limit.
pub fn login_line_too_long() -> Reply {
    Reply::new(500, Enhanced(5, 5, 6), "Authentication exchange line is too long")
}

/// Who knows the users cannot be asked.
pub fn login_not_possible() -> Reply {
    Reply::new(454, Enhanced(4, 7, 0), "Temporary authentication failure, try again later")
}

/// MAIL before AUTH, where `auth.required` says so.
pub fn login_required() -> Reply {
    Reply::new(530, Enhanced(5, 7, 0), "Authentication required")
}

/// AUTH without TLS.
pub fn login_needs_tls() -> Reply {
    Reply::new(538, Enhanced(5, 7, 11), "Encryption required for authentication")
}

/// A mechanism that could be had and is not wanted here.
pub fn mechanism_too_weak() -> Reply {
    Reply::new(534, Enhanced(5, 7, 9), "Authentication mechanism is too weak")
}

pub fn unknown_mechanism() -> Reply {
    Reply::new(504, Enhanced(5, 5, 4), "Unrecognized authentication mechanism")
}
