//! For a next hop without 8BITMIME (SEMANTICS 18).

use std::sync::Arc;

use super::part::{Part, PartId};
use super::text::Transfer;
use super::{Fault, Message, base64, quoted};

impl Message {
    /// This message for a next hop without 8BITMIME: parts that need it become quoted-printable.
    ///
    /// # Errors
    /// [`Fault::Message`] if such a part may not be edited (signed, encrypted, or not looked into).
    pub fn seven_bit(&self) -> Result<Message, Fault> {
        let mut message = self.clone();
        let mut converted = Vec::new();
        for part in self.parts() {
            let slots = &self.body.slots[part.slots.clone()];
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
            message.relabel(part)?;
        }
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

    /// RFC 2045 6.4: what contains only 7-bit parts says 7bit itself.
    fn relabel(&mut self, part: PartId) -> Result<(), Fault> {
        let mut above = self.part(part).parent;
        while let Some(parent) = above {
            if matches!(self.part(parent).encoding.as_str(), "8bit" | "binary") {
                self.set_part_field(parent, "Content-Transfer-Encoding", "7bit")?;
            }
            above = self.part(parent).parent;
        }
        Ok(())
    }

    /// Preambles, epilogues and delimiters, which no reader shows and nothing can encode, lose their bytes over 127. Headers of parts stay.
    fn cover_between_parts(&mut self) -> Result<(), Fault> {
        let is_header = |message: &Message, index: usize| message.parts().iter().any(|part| part.header == Some(index));
        let list: Vec<usize> = self.body.slots.iter().enumerate().filter(|(_, slot)| slot.eight_bit).map(|(index, _)| index).collect();
        for index in list.into_iter().filter(|index| !is_header(self, *index)).collect::<Vec<_>>() {
            let bytes = self.slot_bytes(&self.body.slots[index])?;
            let covered = self.room_for(bytes.iter().map(|byte| if byte.is_ascii() { *byte } else { b'?' }).collect())?;
            Arc::make_mut(&mut self.body).slots[index].replace(covered);
        }
        Ok(())
    }
}
