//! Edits of the body: a part's text written back into its own bytes, a leaf or the whole body replaced (DESIGN decision 5).

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::content::{Content, Piece};
use super::field::{Change, Field};
use super::header::split;
use super::locate::{self, ByteChange, locate, splice, with_line_ends};
use super::output::LINE_END;
use super::parameter;
use super::part::{Declared, PartId};
use super::text::{Decoded, Transfer};
use super::verbatim::Found;
use super::{Fault, Message, base64, charset, quoted};

const QUOTED: &str = "quoted-printable";

impl Message {
    /// Replaces ranges of [`Message::text`], which must be in order and not overlap, and writes the part back in its own encoding and charset (UTF-8 with the charset parameter changed
    /// where that cannot represent the result). Bytes outside what DESIGN decision 5 allows stay.
    ///
    /// # Errors
    /// As [`Message::text`].
    pub fn edit_text(&mut self, part: PartId, changes: &[Change]) -> Result<(), Fault> {
        if changes.is_empty() {
            return Ok(());
        }
        let text = self.text(part)?;
        self.check(&text, changes)?;
        let (mut left, mut before) = (changes, 0);
        let found = self.search(part, true, &mut |lines, _| {
            let (here, size) = placed(&mut left, before, lines, text.len())?;
            before += size;
            Ok(here)
        });
        match found {
            Ok(Found::New(new)) => self.put_found(part, new),
            Ok(Found::Nothing | Found::Undecided) | Err(Astray::Across) => self.write_back(part, &text, changes),
            Err(Astray::Fault(fault)) => Err(fault),
        }
    }

    /// Through the charset and the transfer encoding, whatever they are.
    pub(super) fn write_back(&mut self, part: PartId, text: &Decoded, changes: &[Change]) -> Result<(), Fault> {
        let (found, slot) = self.leaf(part)?;
        let transfer = Message::transfer(found)?;
        let encoded = self.slot_bytes(slot)?;
        let decoded = transfer.decode(&encoded);
        let label = found.charset.as_deref();
        let expected = changed(text, changes);
        let kept = locate(text.charset.encoding, &decoded, changes).map(|bytes| (splice(&decoded, &bytes), bytes));
        let kept = kept.filter(|(wanted, bytes)| {
            let new_bytes = || bytes.iter().flat_map(|(_, with)| with.iter().copied());
            // What encoding_rs calls windows-1252 has more letters than the charset that was declared.
            let foreign = matches!(label, Some("iso-8859-1" | "latin1" | "l1")) && new_bytes().any(|byte| matches!(byte, 0x80..=0x9f));
            // A guess must come out the same for the new bytes, and plain ASCII is not declared to be more than that.
            let guessed = !text.charset.declared && !wanted.is_ascii();
            let lost = guessed && (decoded.is_ascii() || charset::choose(label, wanted).encoding != text.charset.encoding);
            // Broken bytes beside a change could take in some of it, or become letters with what stood behind it.
            !foreign && !lost && reads_as(text.charset.encoding, wanted, &expected)
        });
        let Some((wanted, bytes)) = kept else {
            let decoded = charset::decode(text.charset.encoding, &decoded);
            // A CR that stands before a line end would be read as part of it.
            let line_end = if expected.contains("\r\n") { "\r\n" } else { locate::line_end(&decoded) };
            let new = expected.replace('\n', line_end);
            return self.recode(part, &encoded, transfer, &new);
        };
        let new = match transfer {
            Transfer::Identity if wanted.is_ascii() || !decoded.is_ascii() || found.encoding != "7bit" => wanted,
            Transfer::Identity => {
                self.may_be_encoded(part)?;
                self.set_part_field(part, "Content-Transfer-Encoding", QUOTED)?;
                quoted::encode(&wanted)
            }
            Transfer::Base64 => rewrite_base64(&encoded, &decoded, &wanted),
            Transfer::Quoted => rewrite_quoted(&encoded, &bytes, &wanted),
        };
        self.put_content(part, new)
    }

    fn check(&self, text: &str, changes: &[Change]) -> Result<(), Fault> {
        let ordered = changes.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start);
        let inside = |change: &Change| text.get(change.range.clone()).is_some();
        if !ordered || !changes.iter().all(inside) {
            return Err(Fault::Message("the places to change do not lie in the text".to_owned()));
        }
        let (more, less) = changes.iter().fold((0, 0), |(more, less), change| (more + change.with.len(), less + change.range.len()));
        if text.len().saturating_add(more) - less > self.text_limit() {
            return Err(Fault::Message(
                "the new text would be larger than limits.chain.text; raise that, or put less in its place".to_owned(),
            ));
        }
        Ok(())
    }

    /// Writes a text in UTF-8 and says so in the part's two content fields.
    fn recode(&mut self, part: PartId, encoded: &Bytes, transfer: Transfer, text: &str) -> Result<(), Fault> {
        self.may_be_encoded(part)?;
        let content_type = self.content_type_in_utf8(part)?;
        let eight_bit = matches!(&*self.part(part).encoding, "8bit" | "binary");
        let new = match transfer {
            Transfer::Base64 => base64::rewrite(encoded, text.as_bytes(), 0),
            Transfer::Identity if eight_bit || text.is_ascii() => text.as_bytes().to_vec(),
            Transfer::Identity | Transfer::Quoted => quoted::encode(text.as_bytes()),
        };
        if transfer == Transfer::Identity && !eight_bit && !text.is_ascii() {
            self.set_part_field(part, "Content-Transfer-Encoding", QUOTED)?;
        }
        self.edit_part_header(part, |fields| match fields.iter_mut().find(|field| field.is("content-type")) {
            Some(field) => *field = content_type,
            None => fields.insert(0, content_type),
        })?;
        self.put_content(part, new)
    }

    /// The Content-Type of a part with another charset. One that is broken so that this cannot be said in it is left alone.
    fn content_type_in_utf8(&self, part: PartId) -> Result<Field, Fault> {
        let header = match self.part(part).header {
            Some(header) => split(&self.slot_bytes(&self.tree().slots[header])?),
            None => self.fields.to_vec(),
        };
        let new = match header.iter().find(|field| field.is("content-type")) {
            Some(field) => field.with_raw_value(&parameter::with_charset(field.raw_value(), "utf-8")),
            None => Field::new("Content-Type", "text/plain; charset=utf-8"),
        };
        if Declared::read([&new].into_iter(), "text/plain").charset.as_deref() != Some("utf-8") {
            return Err(Fault::Message(format!("part {} has a malformed Content-Type, in which no other charset can be said", part.0)));
        }
        Ok(new)
    }

    /// RFC 2045 6.4: a multipart, even one that holds no parts, has neither transfer encoding nor charset.
    fn may_be_encoded(&self, part: PartId) -> Result<(), Fault> {
        let found = self.part(part);
        if found.media_type.starts_with("multipart/") {
            return Err(Fault::Message(format!("part {} is a multipart without parts; its text cannot be encoded", part.0)));
        }
        Ok(())
    }

    /// Makes `text` the content of a leaf, its Content-Transfer-Encoding quoted-printable (set in place, or added); `content_type` replaces its Content-Type value if given.
    ///
    /// # Errors
    /// Disk.
    pub fn replace_leaf(&mut self, part: PartId, text: &str, content_type: Option<&str>) -> Result<(), Fault> {
        self.leaf(part)?;
        if content_type.is_none() {
            self.may_be_encoded(part)?;
        }
        self.set_part_field(part, "Content-Transfer-Encoding", QUOTED)?;
        if let Some(value) = content_type {
            self.set_part_field(part, "Content-Type", value)?;
        }
        self.put_content(part, quoted::encode(with_line_ends(text, "\r\n").as_bytes()))
    }

    /// Makes `text` the whole body: one text/plain part in quoted-printable, UTF-8, its content fields in the outer header set to match.
    ///
    /// # Errors
    /// Disk.
    pub fn replace_body(&mut self, text: &str) -> Result<(), Fault> {
        // What was odd about the old one stays known; it is read by the fields that it came with.
        self.tree();
        let bytes = self.room_for(quoted::encode(with_line_ends(text, "\r\n").as_bytes()))?;
        let mut fields = self.fields.to_vec();
        fields.retain(|field| !field.is("content-disposition"));
        set_field(&mut fields, "Content-Transfer-Encoding", QUOTED);
        set_field(&mut fields, "Content-Type", "text/plain; charset=utf-8");
        if !fields.iter().any(|field| field.is("mime-version")) {
            fields.insert(0, Field::new("MIME-Version", "1.0"));
        }
        self.fields = Arc::new(fields);
        self.put_body(bytes);
        Ok(())
    }

    /// Makes these bytes the body (bare line ends become CR LF) and builds the index anew.
    ///
    /// # Errors
    /// Budget.
    pub fn set_raw_body(&mut self, body: Bytes) -> Result<(), Fault> {
        let body = match with_crlf(&body) {
            Cow::Borrowed(_) => body,
            Cow::Owned(new) => new.into(),
        };
        let held = self.room_for(body.to_vec())?;
        self.put_body(held);
        Ok(())
    }

    fn put_body(&mut self, bytes: Bytes) {
        self.separate(bytes.is_empty());
        let declared = Declared::read(self.fields.iter(), "text/plain");
        let header = self.body.content.pieces(0..self.body.start);
        let content = Content::new(header.chain([Piece::Memory(bytes)]));
        self.put_content_of(content, declared);
    }

    /// A body needs a blank line before it.
    pub(super) fn separate(&mut self, empty: bool) {
        if !empty && self.blank.is_empty() {
            self.blank = LINE_END;
            self.separated = true;
        }
    }

    /// Sets a field of a part's header in place, or adds it on top; further ones of that name go.
    pub(super) fn set_part_field(&mut self, part: PartId, name: &str, value: &str) -> Result<(), Fault> {
        self.edit_part_header(part, |fields| set_field(fields, name, value))
    }

    pub(super) fn edit_part_header(&mut self, part: PartId, edit: impl FnOnce(&mut Vec<Field>)) -> Result<(), Fault> {
        let found = self.part(part);
        let parent = found.parent;
        let Some(header) = found.header else {
            let mut fields = self.fields.to_vec();
            edit(&mut fields);
            // RFC 2045 4: without it, content fields mean nothing.
            if !fields.iter().any(|field| field.is("mime-version")) {
                fields.insert(0, Field::new("MIME-Version", "1.0"));
            }
            self.set_fields(fields);
            return Ok(());
        };
        let mut bytes = self.slot_bytes(&self.tree().slots[header])?;
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            bytes = [&bytes, b"\r\n".as_slice()].concat().into();
        }
        let mut fields = split(&bytes);
        edit(&mut fields);
        let new = self.room_for(fields.iter().flat_map(|field| field.raw().iter().copied()).collect())?;
        let digest = parent.is_some_and(|parent| self.part(parent).media_type == "multipart/digest");
        let declared = Declared::read(fields.iter(), if digest { "message/rfc822" } else { "text/plain" });
        self.separate(new.is_empty());
        self.end_line_before(part, new.is_empty())?;
        let tree = self.tree_mut();
        tree.slots[header].replace(new);
        Arc::make_mut(&mut tree.parts)[part.index()].declare(&declared);
        Ok(())
    }
}

/// Why changes of a text are not made where it lies.
enum Astray {
    /// One reaches from a run of lines into the next.
    Across,
    Fault(Fault),
}

impl From<Fault> for Astray {
    fn from(fault: Fault) -> Astray {
        Astray::Fault(fault)
    }
}

/// The changes of a text with `\n` line ends that lie in these lines of it, as they stand in the message, and how long the lines are with `\n`; `before` of the
/// text stands before them. The changes are taken off the front of those that are left.
fn placed(left: &mut &[Change], before: usize, lines: &str, whole: usize) -> Result<(Vec<Change>, usize), Astray> {
    let size = lines.len() - memchr::memmem::find_iter(lines.as_bytes(), b"\r\n").count();
    let end = before + size;
    let count = if end == whole { left.len() } else { left.partition_point(|change| change.range.start < end) };
    let (here, later) = left.split_at(count);
    *left = later;
    if here.last().is_some_and(|change| change.range.end > end) {
        return Err(Astray::Across);
    }
    let moved = |change: &Change| Change { range: change.range.start - before..change.range.end - before, with: change.with.clone() };
    let mut here: Vec<Change> = here.iter().map(moved).collect();
    let places = locate::unfold(lines, &here);
    for (change, place) in here.iter_mut().zip(places.chunks_exact(2)) {
        change.range = place[0]..place[1];
    }
    Ok((here, size))
}

/// Sets a field in place, or adds it on top; further ones of that name go.
fn set_field(fields: &mut Vec<Field>, name: &str, value: &str) {
    let Some(first) = fields.iter().position(|field| field.is(name)) else {
        fields.insert(0, Field::new(name, value));
        return;
    };
    fields[first] = fields[first].with_value(value);
    let mut index = 0;
    fields.retain(|field| {
        index += 1;
        index <= first + 1 || !field.is(name)
    });
}

/// The text with its changes, line ends `\n`.
fn changed(text: &str, changes: &[Change]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for change in changes {
        out.push_str(&text[done..change.range.start]);
        out.push_str(&change.with.replace("\r\n", "\n"));
        done = change.range.end;
    }
    out.push_str(&text[done..]);
    out
}

/// Whether these bytes are this text, line ends aside.
fn reads_as(encoding: &'static encoding_rs::Encoding, bytes: &[u8], text: &str) -> bool {
    charset::with_lf(&charset::decode(encoding, bytes)) == text
}

/// From the first group that changes on; anew as a whole where readers could disagree about what was there.
fn rewrite_base64(encoded: &[u8], decoded: &[u8], wanted: &[u8]) -> Vec<u8> {
    let same = decoded.iter().zip(wanted).take_while(|(old, new)| old == new).count();
    let new = base64::rewrite(encoded, wanted, same);
    if base64::decode(&new) == (wanted.to_vec(), true) { new } else { base64::encode_lines(wanted) }
}

fn rewrite_quoted(encoded: &[u8], changes: &[ByteChange], wanted: &[u8]) -> Vec<u8> {
    let new = quoted::rewrite(encoded, changes);
    if quoted::decode(&new).0 == wanted { new } else { quoted::encode(wanted) }
}

/// Bare CR and LF become CR LF.
fn with_crlf(bytes: &[u8]) -> Cow<'_, [u8]> {
    let bare = |at: usize| match bytes[at] {
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => at == 0 || bytes[at - 1] != b'\r',
    };
    if !memchr::memchr2_iter(b'\r', b'\n', bytes).any(bare) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    let mut done = 0;
    for at in memchr::memchr2_iter(b'\r', b'\n', bytes).filter(|at| bare(*at)) {
        out.extend_from_slice(&bytes[done..at]);
        out.extend_from_slice(b"\r\n");
        done = at + 1;
    }
    out.extend_from_slice(&bytes[done..]);
    Cow::Owned(out)
}
