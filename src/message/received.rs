//! The one `Received` field Transom adds (RFC 5321 4.4), and the token that makes loops visible.
