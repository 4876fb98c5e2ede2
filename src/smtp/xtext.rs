//! xtext: any text as one word of printable ASCII (RFC 3461 section 4).

/// The word for a text.
#[must_use]
pub fn encode(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut word = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'+' | b'=') {
            word.push(char::from(byte));
        } else {
            let digit = |four: u8| char::from(DIGITS[usize::from(four)]);
            word.extend(['+', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    word
}

/// Whether a word is xtext to the letter: what has to be encoded is, with digits in upper case.
#[must_use]
pub fn is_strict(word: &str) -> bool {
    let hex = |digit: Option<u8>| digit.is_some_and(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
    let mut bytes = word.bytes();
    while let Some(byte) = bytes.next() {
        let sound = if byte == b'+' { hex(bytes.next()) && hex(bytes.next()) } else { byte.is_ascii_graphic() && byte != b'=' };
        if !sound {
            return false;
        }
    }
    true
}

/// The text that a word stands for; none if it is no xtext, or not of UTF-8. What should have been encoded and was not is taken as it is.
#[must_use]
pub fn decode(word: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.bytes();
    let hex = |letter: u8| char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'+' { hex(rest.next()?)? << 4 | hex(rest.next()?)? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        for (text, word) in [("a@b.example", "a@b.example"), ("a+b=c d", "a+2Bb+3Dc+20d"), ("grün\r\n", "gr+C3+BCn+0D+0A"), ("", "")] {
            assert_eq!(encode(text), word);
            assert_eq!(decode(word).as_deref(), Some(text));
        }
        assert_eq!(decode("a+2bb=c").as_deref(), Some("a+b=c"));
        assert!(
            is_strict("a+2Bb") && !is_strict("a+2bb") && !is_strict("a=b") && !is_strict("a b") && !is_strict("a+2") && !is_strict("ü")
        );
    }

    #[test]
    fn a_broken_word_is_no_text() {
        for word in ["+", "+2", "+G0", "a+ü", "+FF"] {
            assert_eq!(decode(word), None, "{word}");
        }
    }
}
