//! For a next hop without 8BITMIME or BINARYMIME (SEMANTICS 18).

use super::ascii::in_ascii;
use super::field::Field;
use super::part::{Part, PartId};
use super::text::Transfer;
use super::{Fault, Message, base64, quoted};

impl Message {
    /// This message for a next hop without 8BITMIME: parts that need it become quoted-printable, and headers say in ASCII what they say.
    ///
    /// # Errors
    /// [`Fault::Message`] if such a part may not be edited (signed, encrypted, or not looked into), or a field cannot be said in ASCII.
    pub fn seven_bit(&self) -> Result<Message, Fault> {
        let mut message = self.clone();
        let mut converted = Vec::new();
        for part in self.parts() {
            let slots = &self.tree().slots[part.slots.clone()];
            let inside = part.protection.is_some() || part.opaque;
            if inside && slots.iter().any(|slot| slot.eight_bit) {
                return Err(Fault::Message(format!("part {} has bytes over 127 and may not be re-encoded", part.id.0)));
            }
            if part.leaf && slots.iter().any(|slot| slot.eight_bit) {
                message.convert(part)?;
                converted.push(part.id);
            }
        }
        for part in converted {
            message.relabel(part, &["8bit", "binary"], "7bit")?;
        }
        message.headers_in_ascii()?;
        message.cover_between_parts()?;
        Ok(message)
    }

    fn convert(&mut self, part: &Part) -> Result<(), Fault> {
        if part.media_type.starts_with("multipart/") {
            return Err(Fault::Message(format!("part {} has bytes over 127, and a multipart cannot be encoded", part.id.0)));
        }
        let (_, slot) = self.leaf(part.id)?;
        let encoded = self.slot_bytes(slot)?;
        let transfer = Message::transfer(part)?;
        let decoded = transfer.decode(&encoded);
        let new = match transfer {
            Transfer::Base64 => base64::encode_lines(&decoded),
            Transfer::Identity | Transfer::Quoted => quoted::encode(&decoded),
        };
        if transfer == Transfer::Identity {
            self.set_part_field(part.id, "Content-Transfer-Encoding", "quoted-printable")?;
        }
        self.put_content(part.id, new)
    }

    /// That of the message, and those of parts: none of them is inside of what is signed, which was looked at before.
    fn headers_in_ascii(&mut self) -> Result<(), Fault> {
        for index in 0..self.fields().len() {
            let field = &self.fields()[index];
            if !field.raw().is_ascii() {
                let field = said(field, PartId(0))?;
                self.replace_field(index, field);
            }
        }
        let in_need = |part: &&Part| part.header.is_some_and(|slot| self.tree().slots[slot].eight_bit);
        for part in self.parts().iter().filter(in_need).map(|part| part.id).collect::<Vec<_>>() {
            let fields = self.header(part)?.into_iter();
            let fields =
                fields.map(|field| if field.raw().is_ascii() { Ok(field) } else { said(&field, part) }).collect::<Result<_, _>>()?;
            self.edit_part_header(part, |old| *old = fields)?;
        }
        Ok(())
    }

    /// This message for a next hop without BINARYMIME: parts that are not made of lines, or say so, become base64 (RFC 3030 3).
    ///
    /// # Errors
    /// [`Fault::Message`] if such a part may not be edited (signed, encrypted, or not looked into), or something between the parts is like that.
    pub fn in_lines(&self) -> Result<Message, Fault> {
        let mut message = self.clone();
        let mut converted = Vec::new();
        for part in self.parts().iter().filter(|part| part.leaf) {
            let (_, slot) = self.leaf(part.id)?;
            let lines = is_in_lines(&self.slot_bytes(slot)?);
            let inside = part.protection.is_some() || part.opaque;
            if inside && !lines {
                return Err(Fault::Message(format!("part {} is binary and may not be re-encoded", part.id.0)));
            }
            if !lines || part.encoding == "binary" && !inside {
                message.convert_to_base64(part)?;
                converted.push(part.id);
            }
        }
        for part in converted {
            message.relabel(part, &["binary"], "8bit")?;
        }
        let mut before = 0;
        let mut lines = true;
        message.for_each(&mut |piece| {
            lines &= goes_on_in_lines(&mut before, piece);
            Ok(())
        })?;
        if lines && before != b'\r' {
            return Ok(message);
        }
        Err(Fault::Message("there are line ends or NULs outside of its parts that only BINARYMIME carries".to_owned()))
    }

    fn convert_to_base64(&mut self, part: &Part) -> Result<(), Fault> {
        if part.media_type.starts_with("multipart/") {
            return Err(Fault::Message(format!("part {} is binary, and a multipart cannot be encoded", part.id.0)));
        }
        let (_, slot) = self.leaf(part.id)?;
        let encoded = self.slot_bytes(slot)?;
        let transfer = Message::transfer(part)?;
        let mut new = base64::encode_lines(&transfer.decode(&encoded));
        if part.parent.is_some() && new.ends_with(b"\r\n") {
            // RFC 2046 5.1.1: the line end before a delimiter belongs to that.
            new.truncate(new.len() - 2);
        }
        if transfer != Transfer::Base64 {
            self.set_part_field(part.id, "Content-Transfer-Encoding", "base64")?;
        }
        self.put_content(part.id, new)
    }

    /// RFC 2045 6.4: what contains no such parts any more says so itself.
    fn relabel(&mut self, part: PartId, labels: &[&str], label: &str) -> Result<(), Fault> {
        let mut above = self.part(part).parent;
        while let Some(parent) = above {
            if labels.contains(&&*self.part(parent).encoding) {
                self.set_part_field(parent, "Content-Transfer-Encoding", label)?;
            }
            above = self.part(parent).parent;
        }
        Ok(())
    }

    /// Preambles, epilogues and delimiters, which no reader shows and nothing can encode, lose their bytes over 127.
    fn cover_between_parts(&mut self) -> Result<(), Fault> {
        let list: Vec<usize> = self.tree().slots.iter().enumerate().filter(|(_, slot)| slot.eight_bit).map(|(index, _)| index).collect();
        for index in list {
            let bytes = self.slot_bytes(&self.tree().slots[index])?;
            let covered = self.room_for(bytes.iter().map(|byte| if byte.is_ascii() { *byte } else { b'?' }).collect())?;
            self.tree_mut().slots[index].replace(covered);
        }
        Ok(())
    }
}

fn said(field: &Field, part: PartId) -> Result<Field, Fault> {
    in_ascii(field).ok_or_else(|| {
        let name = String::from_utf8_lossy(field.name()).into_owned();
        Fault::Message(format!("`{name}` in the header of part {} has bytes over 127 that cannot be said in ASCII", part.0))
    })
}

/// Lines with CR LF at their ends, and no NUL.
fn is_in_lines(bytes: &[u8]) -> bool {
    let mut before = 0;
    goes_on_in_lines(&mut before, bytes) && before != b'\r'
}

/// The same, piece by piece; a CR at the end of one needs its LF in the next.
fn goes_on_in_lines(before: &mut u8, bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| {
        let before = std::mem::replace(before, byte);
        byte != 0 && (before == b'\r') == (byte == b'\n')
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::tests::limits;
    use std::sync::Arc;

    use super::*;

    fn message(bytes: &'static [u8]) -> Message {
        Message::parse(Bytes::from_static(bytes), &Arc::new(limits())).unwrap()
    }

    fn written(message: &Message) -> Vec<u8> {
        let mut all = Vec::new();
        message
            .for_each(&mut |piece| {
                all.extend_from_slice(piece);
                Ok(())
            })
            .unwrap();
        all
    }

    #[test]
    fn what_is_not_made_of_lines_becomes_base64_and_all_else_stays() {
        let binary = message(
            b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n--b\r\n\r\nplain\r\n\
              --b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00a\nb\rc\xff\r\n--b--\r\n",
        );
        let lines = written(&binary.in_lines().unwrap());
        assert_eq!(
            String::from_utf8(lines).unwrap(),
            "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n\r\nplain\r\n\
             --b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAGEKYg1j/w==\r\n--b--\r\n"
        );
    }

    #[test]
    fn what_is_made_of_lines_and_says_nothing_else_is_not_touched() {
        let plain = message(b"Subject: x\r\n\r\nhello\r\n");
        assert!(plain.in_lines().unwrap().is_same_as(&plain));
    }

    #[test]
    fn what_is_signed_is_refused_and_so_is_what_stands_between_parts() {
        let signed = message(
            b"Content-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\r\n\r\n--b\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb\r\n\
              --b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n",
        );
        assert!(matches!(signed.in_lines(), Err(Fault::Message(_))));
        let between = message(b"Content-Type: multipart/mixed; boundary=b\r\n\r\npre\namble\r\n--b\r\n\r\nx\r\n--b--\r\n");
        assert!(matches!(between.in_lines(), Err(Fault::Message(_))));
    }
}
