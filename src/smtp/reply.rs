//! Every reply Transom gives, by name. The only file with reply codes: a `Reply` cannot be made anywhere else.

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Enhanced(pub u8, pub u16, pub u16);

/// What a reply is by its first digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 2xx
    Done,
    /// 3xx
    Continue,
    /// 4xx
    Transient,
    /// 5xx
    Permanent,
}
