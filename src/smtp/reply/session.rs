//! Replies about the session as a whole.

use super::{Enhanced, Reply};

/// 220, the first line of all.
pub fn greeting(hostname: &str, lmtp: bool) -> Reply {
    let protocol = if lmtp { "LMTP" } else { "ESMTP" };
    Reply::plain(220, format!("{hostname} {protocol} Transom"))
}

/// The answer to HELO.
pub fn hello(hostname: &str) -> Reply {
    Reply::plain(250, hostname.to_owned())
}

/// The answer to EHLO: our name, then a keyword a line.
pub fn extended_hello(hostname: &str, keywords: &[String]) -> Reply {
    Reply::plain(250, format!("{hostname}\n{}", keywords.join("\n")))
}

/// The answer to RSET and NOOP.
pub fn ok() -> Reply {
    Reply::new(250, Enhanced(2, 0, 0), "Ok")
}

/// The answer to MAIL.
pub fn sender_ok() -> Reply {
    Reply::new(250, Enhanced(2, 1, 0), "Ok")
}

/// The answer to RCPT where the next hop has nothing to say about it.
pub fn recipient_ok() -> Reply {
    Reply::new(250, Enhanced(2, 1, 5), "Ok")
}

/// The answer to DATA.
pub fn send_data() -> Reply {
    Reply::plain(354, "End data with <CR><LF>.<CR><LF>")
}

/// The answer to HELP.
pub fn help() -> Reply {
    Reply::new(214, Enhanced(2, 0, 0), "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS")
}

/// The answer to STARTTLS (RFC 3207 4).
pub fn ready_for_tls() -> Reply {
    Reply::new(220, Enhanced(2, 0, 0), "Ready to start TLS")
}

/// `tls.required`, before STARTTLS.
pub fn tls_first() -> Reply {
    Reply::new(530, Enhanced(5, 7, 0), "Must issue a STARTTLS command first")
}

/// The answer to VRFY (RFC 5321 3.5.3).
pub fn cannot_verify() -> Reply {
    Reply::new(252, Enhanced(2, 5, 0), "Cannot verify; send some mail and see")
}

/// The answer to QUIT.
pub fn goodbye() -> Reply {
    Reply::new(221, Enhanced(2, 0, 0), "Bye").and_close()
}

/// Shutdown.
pub fn shutting_down() -> Reply {
    Reply::new(421, Enhanced(4, 3, 2), "Service is shutting down").and_close()
}

/// `limits.sessions`, `limits.sessions_per_address`.
pub fn too_many_sessions() -> Reply {
    Reply::new(421, Enhanced(4, 7, 0), "Too many connections, try again later").and_close()
}

/// A trusted peer without a header of the PROXY protocol.
pub fn not_introduced() -> Reply {
    Reply::new(421, Enhanced(4, 7, 0), "Tell with a PROXY protocol header whose connection this is").and_close()
}

/// `limits.commands_per_session`.
pub fn too_many_commands() -> Reply {
    Reply::new(421, Enhanced(4, 7, 0), "Too many commands").and_close()
}

/// `limits.errors_per_session`.
pub fn too_many_errors() -> Reply {
    Reply::new(421, Enhanced(4, 7, 0), "Too many errors").and_close()
}

/// A reload took back what the session stands on.
pub fn no_longer_allowed() -> Reply {
    Reply::new(421, Enhanced(4, 7, 0), "Who may do what has changed, connect again").and_close()
}

/// `timeouts.command`.
pub fn timed_out() -> Reply {
    Reply::new(421, Enhanced(4, 4, 2), "Timed out waiting for you").and_close()
}

/// `limits.min_data_rate`.
pub fn too_slow() -> Reply {
    Reply::new(421, Enhanced(4, 4, 2), "Data comes in too slowly").and_close()
}
