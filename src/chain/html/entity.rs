//! Character references: `&amp;`, `&#8211;`, `&#x41;`.

/// No name is longer than 31 letters; a number may have leading zeros.
const LONGEST: usize = 64;

/// The references that end without a semicolon too (HTML Living Standard 13.5), as far as mail uses them.
const OPEN: [(&str, &str); 6] = [("lt", "<"), ("gt", ">"), ("amp", "&"), ("quot", "\""), ("nbsp", "\u{a0}"), ("shy", "\u{ad}")];

/// What the reference at the start of `source` stands for, and its length; none if the `&` there begins none.
pub(super) fn entity(source: &str) -> Option<(String, usize)> {
    let name = source.strip_prefix('&')?;
    if let Some(number) = name.strip_prefix('#') {
        return numbered(number).map(|(letter, length)| (letter.to_string(), 2 + length));
    }
    let length = name.bytes().take(LONGEST).take_while(u8::is_ascii_alphanumeric).count();
    if name[length..].starts_with(';') {
        let mut letters = String::new();
        mail_parser::decoders::html::add_html_token(&mut letters, &source.as_bytes()[..length + 2], false);
        // What it does not know it gives back as it is.
        return (letters == "&" || !letters.starts_with('&')).then_some((letters, length + 2));
    }
    let (name, letters) = OPEN.into_iter().find(|(open, _)| name.starts_with(open))?;
    Some((letters.to_owned(), 1 + name.len()))
}

/// The letter of a number, and how many bytes say it.
fn numbered(number: &str) -> Option<(char, usize)> {
    let (digits, radix, before) = match number.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16, 1),
        None => (number, 10, 0),
    };
    let length = digits.bytes().take(LONGEST).take_while(|byte| char::from(*byte).is_digit(radix)).count();
    if length == 0 {
        return None;
    }
    let code = u32::from_str_radix(&digits[..length], radix).unwrap_or(u32::MAX);
    Some((letter(code), before + length + usize::from(digits[length..].starts_with(';'))))
}

/// HTML Living Standard 13.2.5.80: codes 0x80 to 0x9F are read as windows-1252; 0 and what is no letter are U+FFFD.
fn letter(code: u32) -> char {
    if let Ok(byte @ 0x80..=0x9f) = u8::try_from(code) {
        return encoding_rs::WINDOWS_1252.decode_without_bom_handling(&[byte]).0.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    char::from_u32(code).filter(|letter| *letter != '\0').unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undone(source: &str) -> String {
        let mut text = String::new();
        let mut rest = source;
        while let Some(first) = rest.chars().next() {
            let (letters, length) = entity(rest).unwrap_or_else(|| (first.to_string(), first.len_utf8()));
            text.push_str(&letters);
            rest = &rest[length..];
        }
        text
    }

    #[test]
    fn references_are_undone_once() {
        assert_eq!(undone("&lt;b&gt; &amp;amp; &#65;&#x42; &eacute;&copy;"), "<b> &amp; AB é©");
        assert_eq!(undone("&ltx &#150; &#0; &#xffffffff; &; &nosuch; & AT&T &nbsp"), "<x – \u{fffd} \u{fffd} &; &nosuch; & AT&T \u{a0}");
    }

    #[test]
    fn a_long_run_of_letters_is_no_reference_and_costs_little() {
        let long = format!("&{}", "a".repeat(100_000));
        assert_eq!(entity(&long), None);
    }
}
