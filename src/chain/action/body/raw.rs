//! `body.replace` with `view: raw`: the whole body as one text.

use super::replace::{Becomes, Replace};
use crate::chain::run::{ActionError, Run};
use crate::chain::text::{Filling, Place};

/// Replaces in the body as it is sent.
///
/// # Errors
/// The body is larger than `limits.chain.text`, or could not be read.
pub(super) fn apply(action: &Replace, run: &mut Run) -> Result<(), ActionError> {
    if !action.break_signatures && run.mail.message.first_protected()?.is_some() {
        run.noted("the body has a signed or encrypted part and is left alone");
        return Ok(());
    }
    let body = run.mail.message.raw_body()?;
    run.charge(body.len() as u64)?;
    let text = Letters::of(&body);
    let Some(new) = replaced(action, &text, run)? else { return Ok(()) };
    let new = text.bytes(&new);
    if new == *body {
        return Ok(());
    }
    if run.is_traced() {
        run.edited("body", &String::from_utf8_lossy(&body), &String::from_utf8_lossy(&new));
    }
    run.mail.message.set_raw_body(new.into())?;
    Ok(())
}

/// The new body; none if nothing matches.
fn replaced(action: &Replace, text: &Letters, run: &Run) -> Result<Option<String>, ActionError> {
    let pattern = action.pattern.regex();
    let with = match &action.result {
        Becomes::Whole(whole) => {
            let Some(found) = pattern.captures(&text.text) else { return Ok(None) };
            return Ok(Some(whole.fill(Place::Body, Some(&found), run)?.into_owned()));
        }
        Becomes::With(with) => with,
    };
    let mut with = Filling::of(with, Place::Body);
    let mut new = String::new();
    let mut done = 0;
    for found in pattern.captures_iter(&text.text) {
        run.check_time()?;
        let range = found.get_match().range();
        new.push_str(&text.text[done..range.start]);
        let with = with.fill(Some(&found), run)?;
        run.charge(with.len() as u64)?;
        new.push_str(&with);
        done = range.end;
    }
    if done == 0 && new.is_empty() {
        return Ok(None);
    }
    new.push_str(&text.text[done..]);
    Ok(Some(new))
}

/// Bytes as letters with `\n` line ends: UTF-8 where the whole is that, else windows-1252, where each byte is one letter.
struct Letters {
    text: String,
    utf8: bool,
}

impl Letters {
    fn of(body: &[u8]) -> Letters {
        let (text, utf8) = match std::str::from_utf8(body) {
            Ok(text) => (text.to_owned(), true),
            Err(_) => (encoding_rs::WINDOWS_1252.decode_without_bom_handling(body).0.into_owned(), false),
        };
        Letters { text: text.replace("\r\n", "\n"), utf8 }
    }

    /// The way back, line ends as CR LF. A letter that windows-1252 does not have is written in UTF-8.
    fn bytes(&self, text: &str) -> Vec<u8> {
        let text = text.replace('\n', "\r\n");
        if self.utf8 {
            return text.into_bytes();
        }
        let mut bytes = Vec::with_capacity(text.len());
        let mut letter = [0; 4];
        for c in text.chars() {
            let letter = c.encode_utf8(&mut letter);
            match encoding_rs::WINDOWS_1252.encode(letter) {
                (byte, _, false) => bytes.extend_from_slice(&byte),
                (_, _, true) => bytes.extend_from_slice(letter.as_bytes()),
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::chain;
    use crate::chain::action::testing::{after, mail, raw, rules, ruling_of};

    #[test]
    fn matches_of_the_forebear_become_templates_with_groups() {
        let mail = "Subject: hi\r\n\r\nkey=abc;\r\nkey=def;\r\n";
        assert_eq!(
            after(mail, &["body.replace: {view: raw, matches: '^key=(\\w)\\w*;$', with: 'key=$1**;'}"]),
            "Subject: hi\r\n\r\nkey=a**;\r\nkey=d**;\r\n"
        );
        assert_eq!(after(mail, &["body.replace: {view: raw, matches: 'abc;\\nkey', whole: \"gone\\n\"}"]), "Subject: hi\r\n\r\ngone\r\n");
        assert_eq!(after(mail, &["body.replace: {view: raw, matches: zzz, with: y}"]), mail);
    }

    #[test]
    fn bytes_that_are_no_utf_8_stay() {
        let message: Vec<u8> =
            [b"Subject: hi\r\n\r\n\x81\xfc x \x8d\xff\r\n".as_slice(), &(0x80..=0xff).collect::<Vec<u8>>(), b"\r\n"].concat();
        let chain = chain(&rules(&["body.replace: {view: raw, matches: x, with: 'ü€語'}"])).unwrap();
        let left = raw(&chain.run(mail(&message), &[]));
        let wanted: Vec<u8> =
            [b"Subject: hi\r\n\r\n\x81\xfc \xfc\x80\xe8\xaa\x9e \x8d\xff\r\n".as_slice(), &(0x80..=0xff).collect::<Vec<u8>>(), b"\r\n"]
                .concat();
        assert_eq!(left, wanted);
    }

    #[test]
    fn an_encoded_part_is_seen_as_it_is_sent() {
        let message = "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nc2VjcmV0\r\n";
        let ruling = ruling_of(
            mail(message.as_bytes()),
            &["body.replace: {view: raw, matches: c2VjcmV0, case: exact, with: b3Blbg==}", "body.replace: {matches: open, with: free}"],
        );
        assert_eq!(raw(&ruling), message.replace("c2VjcmV0", "ZnJlZQ==").into_bytes());
    }
}
