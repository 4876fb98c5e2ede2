//! The `malformed` flags (RULES.md): places where readers could take a message in two ways.

/// One flag. The order is that of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    AmbiguousParameter,
    BadDelimiter,
    BadEncoding,
    BadHeaderLine,
    BareLineEnding,
    ControlCharacters,
    Deep,
    DuplicateField,
    EightBitHeader,
    EmbeddedFile,
    MissingBoundary,
    Nul,
    TooLarge,
    TooManyFields,
    TooManyParts,
    TwoBoundaries,
}

const NAMES: [(Flag, &str); 16] = [
    (Flag::AmbiguousParameter, "ambiguous_parameter"),
    (Flag::BadDelimiter, "bad_delimiter"),
    (Flag::BadEncoding, "bad_encoding"),
    (Flag::BadHeaderLine, "bad_header_line"),
    (Flag::BareLineEnding, "bare_line_ending"),
    (Flag::ControlCharacters, "control_characters"),
    (Flag::Deep, "deep"),
    (Flag::DuplicateField, "duplicate_field"),
    (Flag::EightBitHeader, "eight_bit_header"),
    (Flag::EmbeddedFile, "embedded_file"),
    (Flag::MissingBoundary, "missing_boundary"),
    (Flag::Nul, "nul"),
    (Flag::TooLarge, "too_large"),
    (Flag::TooManyFields, "too_many_fields"),
    (Flag::TooManyParts, "too_many_parts"),
    (Flag::TwoBoundaries, "two_boundaries"),
];

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    pub fn raise(&mut self, flag: Flag) {
        self.0 |= 1 << flag as u32;
    }

    pub fn raise_if(&mut self, condition: bool, flag: Flag) {
        if condition {
            self.raise(flag);
        }
    }

    #[must_use]
    pub fn has(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u32) != 0
    }

    #[must_use]
    pub fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// The names as rules write them, sorted.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        NAMES.iter().filter(|(flag, _)| self.has(*flag)).map(|(_, name)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_sorted_and_each_flag_has_one() {
        let mut all = Flags::default();
        for (index, (flag, _)) in NAMES.iter().enumerate() {
            assert_eq!(*flag as usize, index);
            all.raise(*flag);
        }
        let names = all.names();
        assert_eq!(names.len(), NAMES.len());
        assert!(names.is_sorted());
    }
}
