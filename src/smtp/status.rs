//! What a reply says in numbers: its code, the class of that, and the enhanced code.

use std::fmt;

use crate::base::text::add_number;

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Enhanced(pub u8, pub u16, pub u16);

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

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

/// By the first digit.
pub(super) fn class(code: u16) -> Class {
    match code / 100 {
        2 => Class::Done,
        3 => Class::Continue,
        4 => Class::Transient,
        _ => Class::Permanent,
    }
}

/// Appends codes and lines, LF between them, as one line for logs.
pub(super) fn add_in_one_line(code: u16, enhanced: Option<Enhanced>, lines: &str, out: &mut String) {
    add_number(code.into(), out);
    out.push(' ');
    if let Some(Enhanced(class, subject, detail)) = enhanced {
        for (number, end) in [(u16::from(class), '.'), (subject, '.'), (detail, ' ')] {
            add_number(number.into(), out);
            out.push(end);
        }
    }
    let (first, more) = lines.split_once('\n').map_or((lines, None), |(first, more)| (first, Some(more)));
    out.push_str(first);
    more.into_iter().flat_map(|more| more.split('\n')).for_each(|line| out.extend([" / ", line]));
}

/// What stands before the text of a line.
pub(super) fn push_codes(out: &mut Vec<u8>, code: u16, separator: u8, enhanced: Option<Enhanced>) {
    push_number(out, code);
    out.push(separator);
    if let Some(Enhanced(class, subject, detail)) = enhanced {
        for (number, end) in [(u16::from(class), b'.'), (subject, b'.'), (detail, b' ')] {
            push_number(out, number);
            out.push(end);
        }
    }
}

/// In decimal digits.
fn push_number(out: &mut Vec<u8>, number: u16) {
    if number >= 10 {
        push_number(out, number / 10);
    }
    out.push(b'0' + (number % 10) as u8);
}
