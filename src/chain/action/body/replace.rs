//! `body.replace`: replaces what a pattern finds in the text of the body, or the whole body if it finds anything.
//!
//! | view      | what is searched                                   | what changes                                              |
//! |-----------|----------------------------------------------------|-----------------------------------------------------------|
//! | `decoded` | the decoded source of each text part               | the matches                                               |
//! | `text`    | what a reader sees of each: HTML without its tags  | the letters that are seen; tags between them stay         |
//! | `raw`     | the whole body as it is sent                       | the matches; the structure is then read anew              |
//!
//! Signed and encrypted parts are left alone, and `explain` says so; with `break_signatures: true` on the rule they are parts like others.

use std::sync::Arc;

use super::raw;
use crate::chain::action::found;
use crate::chain::action::header::replace::WITH;
use crate::chain::action::settings::{MATCHES, own_pattern, text};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::html::Visible;
use crate::chain::pattern::{Pattern, Searched};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::string::{VIEW, View};
use crate::chain::text::{Place, Text};
use crate::message::{Found, Part, PartId};
use crate::yaml::{FromNode, Kind, Node, Reported, Settings};

/// What is looked for, where, and what becomes of it.
#[derive(Debug)]
pub struct Replace {
    pub(super) pattern: Arc<Pattern>,
    pub(super) result: Becomes,
    view: View,
    /// Media types in lower case, `text/*` too; empty: all that are read.
    types: Vec<String>,
    pub(super) break_signatures: bool,
}

/// What a match leads to.
#[derive(Debug)]
pub(super) enum Becomes {
    /// The match becomes this text.
    With(Text),
    /// The whole body does.
    Whole(Text),
}

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "body.replace",
    about: "Replaces every match of a pattern in the text of the body, written back in each part's own encoding; or the whole body, if the pattern matches in it. Signed and encrypted parts are left alone, unless the rule says `break_signatures: true`.",
    keys: &[MATCHES, WITH, WHOLE, VIEW, TYPES],
    example: "body.replace: {matches: '\\b(\\d{4})-\\d{4}\\b', with: '$1-XXXX'}",
    before: "Subject: hi\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe, number 1234-5678=\r\n!\r\n",
    after: "Subject: hi\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe, number 1234-XXXX=\r\n!\r\n",
    load,
};

const WHOLE: KeyDoc =
    KeyDoc { name: "whole", wants: "a text", about: "Instead of `with`: what the whole body becomes if the pattern matches anywhere." };
const TYPES: KeyDoc = KeyDoc {
    name: "types",
    wants: "media types, such as text/html or text/*",
    about: "Which parts are looked into; all text a reader sees if absent. Not with `view: raw`.",
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let mut settings = load.settings("body.replace", node)?;
    let pattern = own_pattern(&mut settings, load);
    let result = becomes(&mut settings, &pattern, load);
    let view = settings.take::<View>("view", load.problems);
    let listed = settings.node("types");
    let types = listed.map(|node| media_types(node, load)).transpose();
    settings.finish(load.problems)?;
    let view = view?.unwrap_or(View::Decoded);
    if let (View::Raw, Some(node)) = (view, listed) {
        return Err(load.problems.error(&node.span, "`types` and `view: raw` exclude each other", "the raw body is one text, not parts"));
    }
    Ok(Box::new(Replace {
        pattern: pattern?,
        result: result?,
        view,
        types: types?.unwrap_or_default(),
        break_signatures: load.break_signatures,
    }))
}

/// `with` or `whole`, exactly one of them.
fn becomes(settings: &mut Settings<'_>, pattern: &Result<Arc<Pattern>, Reported>, load: &mut Load<'_>) -> Result<Becomes, Reported> {
    match (settings.node("with").is_some(), settings.node("whole")) {
        (true, Some(node)) => Err(load.problems.error(
            &node.span,
            "`with` and `whole` exclude each other",
            "a match becomes the one, or the body becomes the other",
        )),
        (false, Some(_)) => text(settings, "whole", Some(pattern), load).map(Becomes::Whole),
        _ => text(settings, "with", Some(pattern), load).map(Becomes::With),
    }
}

fn media_types(node: &Node, load: &mut Load<'_>) -> Result<Vec<String>, Reported> {
    let nodes = match &node.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let types: Vec<_> = nodes.iter().map(|node| media_type(node, load)).collect();
    types.into_iter().collect()
}

fn media_type(node: &Node, load: &mut Load<'_>) -> Result<String, Reported> {
    let name = String::from_node(node, load.problems)?.to_ascii_lowercase();
    if name.split_once('/').is_some_and(|(main, sub)| !main.is_empty() && !sub.is_empty() && !sub.contains('/')) {
        return Ok(name);
    }
    Err(load.problems.error(&node.span, format!("`{name}` is no media type"), "one such as text/html or text/* is wanted"))
}

impl Action for Replace {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        match (&self.result, self.view) {
            (_, View::Raw) => raw::apply(self, run)?,
            (Becomes::Whole(text), view) => self.whole(text, view, run)?,
            (Becomes::With(text), view) => {
                for (part, html) in self.parts(run) {
                    self.part(part, html, view, text, run)?;
                }
            }
        }
        Ok(Flow::Next)
    }
}

impl Replace {
    /// The parts to look into, each with whether it is HTML.
    fn parts(&self, run: &mut Run) -> Vec<(PartId, bool)> {
        let wanted = |part: &&Part| self.types.is_empty() || self.types.iter().any(|wanted| is_of(&part.media_type, wanted));
        let (mut open, mut protected) = (Vec::new(), 0);
        for part in run.mail.message.parts().iter().filter(|part| part.is_readable(false)).filter(wanted) {
            if part.protection.is_some() && !self.break_signatures {
                protected += 1;
            } else {
                open.push((part.id, part.media_types().any(|kind| kind == "text/html")));
            }
        }
        if protected > 0 {
            let parts = if protected == 1 { "part" } else { "parts" };
            run.noted(&format!("{protected} signed or encrypted {parts} left alone"));
        }
        open
    }

    /// Replaces the matches in one part.
    fn part(&self, part: PartId, html: bool, view: View, with: &Text, run: &mut Run) -> Result<(), ActionError> {
        let shown = html && view == View::Text;
        let place = if html && !shown { Place::HtmlSource } else { Place::Body };
        if !shown && self.in_place(part, place, with, run)? {
            return Ok(());
        }
        let source = run.text(part)?;
        let changes = if shown {
            let seen = Visible::of(&source);
            let found = found::changes(&self.pattern, (&*seen.text).into(), with, place, run)?;
            found.into_iter().filter_map(|change| seen.change(&change.range, &change.with)).flatten().collect()
        } else {
            found::changes(&self.pattern, (&**source).into(), with, place, run)?
        };
        if changes.is_empty() {
            return Ok(());
        }
        // Inline PGP inside base64 or quoted-printable shows only now that the text is there.
        if !self.break_signatures && run.mail.message.protection(part)?.is_some() {
            run.noted("a signed or encrypted part left alone");
            return Ok(());
        }
        run.mail.message.edit_text(part, &changes)?;
        if run.is_traced() {
            let after = run.mail.message.text(part)?;
            run.edited("body", &source, &after);
        }
        Ok(())
    }

    /// Replaces the matches where they lie, in a part whose bytes are its text, if there the pattern finds the same. Whether it was so.
    fn in_place(&self, part: PartId, place: Place, with: &Text, run: &mut Run) -> Result<bool, ActionError> {
        if !self.pattern.keeps_within_lines() {
            return Ok(false);
        }
        let message = &run.mail.message;
        // Such a text is searched run by run out of a file, or not at all.
        let encoded = message.parts().iter().find(|one| one.id == part && matches!(&*one.encoding, "base64" | "quoted-printable"));
        let mut charged = 0;
        let mut matches = |text: &str, ascii: bool| {
            encoded.map_or(Ok(()), |part| run.charge_once(part))?;
            let changes = found::changes(&self.pattern, Searched { text, ascii }, with, place, run)?;
            charged += found::charged(&changes);
            Ok::<_, ActionError>(changes)
        };
        let new = match message.search(part, self.pattern.keeps_to_lines(), &mut matches)? {
            Found::Undecided => {
                run.uncharge(charged);
                return Ok(false);
            }
            Found::Nothing => return Ok(true),
            Found::New(new) => new,
        };
        // Inline PGP inside base64 or quoted-printable shows only now.
        if !self.break_signatures && new.protection.is_some() {
            run.noted("a signed or encrypted part left alone");
            return Ok(true);
        }
        let before = if run.is_traced() { Some(run.mail.message.text(part)?) } else { None };
        run.mail.message.put_found(part, new)?;
        if let Some(before) = before {
            let after = run.mail.message.text(part)?;
            run.edited("body", &before, &after);
        }
        Ok(true)
    }

    /// Makes a text the whole body if the pattern matches in a part.
    fn whole(&self, whole: &Text, view: View, run: &mut Run) -> Result<(), ActionError> {
        for (part, html) in self.parts(run) {
            let source = run.text(part)?;
            let seen = (html && view == View::Text).then(|| Visible::of(&source).text);
            let Some(captures) = self.pattern.regex().captures(seen.as_deref().unwrap_or(&source)) else { continue };
            if !self.break_signatures && run.mail.message.first_protected()?.is_some() {
                run.noted("the body has a signed or encrypted part and is left alone");
                return Ok(());
            }
            let text = whole.fill(Place::Body, Some(&captures), run)?;
            run.mail.message.replace_body(&text)?;
            run.edited("body", &source, &text);
            return Ok(());
        }
        Ok(())
    }
}

/// `text/*` or a type itself; both in lower case.
fn is_of(media_type: &str, wanted: &str) -> bool {
    match wanted.strip_suffix("/*") {
        Some(main) => media_type.split('/').next() == Some(main),
        None => media_type == wanted,
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::action::testing::{after, after_breaking, bytes, chain, mail, raw, refused, rules, ruling, trace};
    use crate::chain::ruling::Ruling;
    use crate::message::tests::parse_into_file;
    use proptest::prelude::*;

    const HTML: &str = "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p title=\"secret\">a sec<b>ret</b></p>\r\n";

    #[test]
    fn decoded_edits_the_source_and_text_what_a_reader_sees() {
        assert_eq!(after(HTML, &["body.replace: {matches: secret, with: 'x'}"]), HTML.replace("\"secret\"", "\"x\""));
        assert_eq!(
            after(HTML, &["body.replace: {matches: secret, with: '<x>', view: text}"]),
            HTML.replace("sec<b>ret</b>", "&lt;x&gt;<b></b>")
        );
    }

    #[test]
    fn values_from_elsewhere_are_escaped_in_html() {
        let mail = format!("Subject: <i>\r\n{HTML}");
        let left = after(&mail, &["body.replace: {matches: '(<b>)', with: '$1${header:Subject}'}"]);
        assert_eq!(left, mail.replace("<b>", "<b>&lt;i&gt;"));
    }

    #[test]
    fn only_the_given_types_are_looked_into_and_attachments_never() {
        let mail = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\none\r\n--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\none\r\n--b--\r\n";
        let html = after(mail, &["body.replace: {matches: one, with: two, types: text/HTML}"]);
        assert_eq!(html, mail.replacen("text/html\r\n\r\none", "text/html\r\n\r\ntwo", 1));
        let all = after(mail, &["body.replace: {matches: one, with: two, types: [text/*]}"]);
        assert_eq!(all.matches("two").count(), 2);
        assert!(all.ends_with("filename=a.txt\r\n\r\none\r\n--b--\r\n"), "{all}");
    }

    #[test]
    fn signed_parts_are_left_alone_and_explain_says_so() {
        let mail = "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n";
        for action in [
            "body.replace: {matches: one, with: two}",
            "body.replace: {matches: one, whole: two}",
            "body.replace: {matches: one, with: two, view: raw}",
        ] {
            assert_eq!(after(mail, &[action]), mail, "{action}");
            let notes: Vec<String> =
                trace(mail, &[action]).rules.into_iter().flat_map(|rule| rule.edits).filter_map(|edit| edit.note).collect();
            assert!(notes.iter().any(|note| note.contains("left alone") && !note.contains("(s)")), "{action}: {notes:?}");
        }
    }

    #[test]
    fn a_rule_that_breaks_signatures_edits_signed_parts_like_others() {
        let signed = "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n";
        for view in ["decoded", "text", "raw"] {
            let action = format!("body.replace: {{matches: one, with: two, view: {view}}}");
            assert_eq!(after_breaking(signed, &[&action]), signed.replace("one", "two"), "{view}");
        }
        assert!(after_breaking(signed, &["body.replace: {matches: one, whole: two}"]).ends_with("\r\n\r\ntwo"));
        let inline = "Content-Transfer-Encoding: base64\r\n\r\nLS0tLS1CRUdJTiBQR1AgU0lHTkVEIE1FU1NBR0UtLS0tLQ0Kb25lDQo=\r\n";
        assert!(after_breaking(inline, &["body.replace: {matches: one, with: two}"]).ends_with("0KdHdvDQo=\r\n"));
    }

    #[test]
    fn inline_pgp_inside_base64_is_left_alone() {
        // -----BEGIN PGP SIGNED MESSAGE----- / one
        let mail = "Content-Transfer-Encoding: base64\r\n\r\nLS0tLS1CRUdJTiBQR1AgU0lHTkVEIE1FU1NBR0UtLS0tLQ0Kb25lDQo=\r\n";
        for action in [
            "body.replace: {matches: one, with: two}",
            "body.replace: {matches: one, whole: two}",
            "body.replace: {matches: b25l, with: dHdv, view: raw}",
        ] {
            assert_eq!(after(mail, &[action]), mail, "{action}");
        }
    }

    #[test]
    fn whole_makes_the_text_the_body() {
        let left =
            after("Subject: hi\r\n\r\nthe secret plan\r\n", &["body.replace: {matches: '(secret) (\\w+)', whole: \"no $2 here\\n\"}"]);
        assert!(left.ends_with("\r\n\r\nno plan here\r\n") && left.contains("Subject: hi\r\n"), "{left}");
        let same = "Subject: hi\r\n\r\nnothing\r\n";
        assert_eq!(after(same, &["body.replace: {matches: secret, whole: gone}"]), same);
    }

    #[test]
    fn a_body_edit_of_one_line_leaves_the_others() {
        let mail = "Content-Transfer-Encoding: 8bit\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\na\r\nb\r\n\r\nc";
        assert_eq!(after(mail, &["body.replace: {matches: '^b$', with: B2}"]), mail.replace("\r\nb\r\n", "\r\nB2\r\n"));
    }

    #[test]
    fn many_matches_with_a_long_text_are_an_error_and_not_a_full_memory() {
        let mail = format!("X-Long: {}\r\n\r\n{}\r\n", "x".repeat(100_000), "a".repeat(3000));
        let ruling = ruling(&mail, &["body.replace: {matches: a, with: '${header:X-Long}'}"]);
        assert!(ruling.failures[0].error.contains("limits.chain.decoded"), "{:?}", ruling.failures);
        assert_eq!((ruling.word(), bytes(&ruling) == mail), ("quarantine", true));
    }

    /// What comes out of a message in a file after these actions, with so much to decode.
    fn ruling_in_file(message: &[u8], actions: &[&str], decoded: u64) -> Ruling {
        let directory = tempfile::tempdir().unwrap();
        let mut chain = chain(&rules(actions)).unwrap();
        chain.limits.decoded = decoded;
        let mut mail = mail(b"\r\n");
        mail.message = parse_into_file(message, 100, directory.path());
        chain.run(mail, &[])
    }

    #[test]
    fn what_is_found_twice_to_be_written_once_counts_once() {
        // That it is no UTF-8 shows at its end.
        let mail = [b"Subject: x\r\n\r\n".as_slice(), &b"a\r\n".repeat(3000), b"\xe9\r\n"].concat();
        let left = ruling_in_file(&mail, &["body.replace: {matches: a, with: b}"], 120_000);
        assert!(left.failures.is_empty(), "{:?}", left.failures);
        assert_eq!(raw(&left), [b"Subject: x\r\n\r\n".as_slice(), &b"b\r\n".repeat(3000), b"\xe9\r\n"].concat());
    }

    #[test]
    fn an_encoded_text_in_a_file_counts_once_as_decoded() {
        for (encoding, line) in [("base64", "QUFBQUFB\r\n"), ("quoted-printable", "=41AAAAA\r\n")] {
            let mail = format!("Content-Transfer-Encoding: {encoding}\r\n\r\n{}", line.repeat(1000));
            let left = |decoded| ruling_in_file(mail.as_bytes(), &["body.replace: {matches: x, with: y}"; 5], decoded);
            assert!(left(9_000).failures[0].error.contains("limits.chain.decoded"), "{encoding}");
            assert!(left(11_000).failures.is_empty(), "{encoding}");
        }
    }

    #[test]
    fn a_part_is_written_back_in_its_own_encoding_and_nothing_else_moves() {
        let part = |charset: &str, encoding: &str, body: &str| {
            format!(
                "--b\r\nContent-Type: text/plain;\r\n  charset=\"{charset}\"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n"
            )
        };
        let mail = |bodies: [&str; 3]| {
            let [quoted, base64, plain] = bodies;
            let parts = [part("iso-8859-1", "Quoted-Printable", quoted), part("utf-8", "BASE64", base64), part("us-ascii", "7bit", plain)];
            format!("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n{}--b--\r\nepi", parts.concat())
        };
        let before = mail(["Gru=DF=20card 1234\r\nno =65dit\r\nm=65hr card", "Y2FyZCA5OQ==", "no  card"]);
        let left = after(&before, &["body.replace: {matches: 'card', with: 'CARD', case: exact}"]);
        assert_eq!(left, mail(["Gru=DF=20CARD 1234\r\nno =65dit\r\nm=65hr CARD", "Q0FSRCA5OQ==", "no  CARD"]));
        let same = after(&before, &["body.replace: {matches: 'card', with: 'card'}"]);
        assert_eq!(same, before);
    }

    proptest! {
        #[test]
        fn what_is_replaced_in_place_is_what_is_replaced_in_the_text(
            matches in proptest::sample::select(vec![
                "a+", "a|b-", r"\\ba", r"a\\b", "^[ab]", "b$", "(a)(b)?", "[^b]", r"\\S+", "a.", r"a\\s*", r"\\A.", r"b\\z", "[^\\\\s-]{2}", "é", "a\\\\nb", r"(?R)b$",
            ]),
            with in proptest::sample::select(vec!["x", "", "$0", "<é>", "-b"]),
            header in proptest::sample::select(vec!["", "Content-Type: text/html; charset=utf-8\r\n", "Content-Type: text/plain; charset=utf-16\r\n"]),
            body in "([abé\\- ]{0,6}(\r\n|\n|\r|\r\n\r\n)){0,6}[ab]{0,3}",
        ) {
            let with = with.replace("$0", "$$");
            let chain = chain(&rules(&[&format!("body.replace: {{matches: \"{matches}\", with: '{with}'}}")])).unwrap();
            let mail = mail(format!("{header}\r\n{body}").as_bytes());
            // One that knows a line end, though it never finds it, goes through the decoded text.
            let ends = r"\\n\\x01";
            let decoded = self::chain(&rules(&[&format!("body.replace: {{matches: \"(?:{matches})|{ends}\", with: '{with}'}}")])).unwrap();
            let decoded = decoded.run(mail.clone(), &[]);
            let told = chain.parts(&mail, true).remove(0).ruling;
            let ruling = chain.run(mail, &[]);
            prop_assert_eq!((ruling.failures.len(), told.failures.len()), (decoded.failures.len(), decoded.failures.len()));
            prop_assert_eq!((raw(&ruling), raw(&told)), (raw(&decoded), raw(&decoded)));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(refused("body.replace: {matches: a, with: b, whole: c}")[0].contains("exclude each other"));
        assert!(refused("body.replace: {matches: a}")[0].contains("`with`"));
        assert!(refused("body.replace: {matches: a, with: b, view: raw, types: text/plain}")[0].contains("exclude each other"));
        assert!(refused("body.replace: {matches: a, with: b, types: html}")[0].contains("media type"));
        assert_eq!(refused("body.replace: {matches: 'a(', with: $1, view: raww, types: html, x: y}").len(), 4);
        assert!(bytes(&ruling(HTML, &["body.replace: {matches: zzz, with: b}"])) == HTML);
    }
}
