//! A body, and what is known about it. Most mail is passed on without anybody asking: what lies in memory is looked into when something does. What lies in a
//! file is looked into on its way there, so that it need not be read again.

use std::io;
use std::sync::{Arc, OnceLock};

use super::content::{Content, Piece};
use super::ends::Ends;
use super::flags::Flags;
use super::index::{Index, Indexer};
use super::part::{Declared, Part};
use super::receiver::outer_flags;
use super::slot::Slot;
use super::{Limits, Message};

/// Content with what is known about it. The content begins with the header as received, so that a message without edits is one run of it.
#[derive(Clone, Debug)]
pub struct Body {
    pub content: Content,
    /// Where the fields as received ended.
    pub header: u64,
    /// Where the blank line behind them ended.
    pub start: u64,
    /// Flags that say nothing about the tree, as far as they were raised before anybody asked.
    noted: Flags,
    /// What the header as received raises, and the bytes of the body.
    outer: OnceLock<Flags>,
    tree: OnceLock<Tree>,
}

/// The index of a body.
#[derive(Clone, Debug)]
pub struct Tree {
    /// What the outer header declared when the index was made.
    pub declared: Arc<Declared>,
    /// An edit of the content leaves them as they are.
    pub parts: Arc<Vec<Part>>,
    pub slots: Vec<Slot>,
    pub flags: Flags,
}

impl Tree {
    /// The index of what stands in the content from `start` on. Content that cannot be read is one opaque leaf: a rule that looks inside errs.
    fn read(limits: &Arc<Limits>, declared: Declared, content: &Content, start: u64) -> Tree {
        let mut indexer = Indexer::new(Arc::clone(limits), &declared, start);
        let index = match read_from(content, start, &mut |run| indexer.push(run)) {
            Ok(()) => indexer.finish(),
            Err(_) => Index::closed(limits, &declared, start..content.size()),
        };
        Tree::new(declared, index)
    }

    /// The same, and what its bytes raise.
    pub fn read_with_flags(limits: &Arc<Limits>, declared: Declared, content: &Content, start: u64) -> (Tree, Flags) {
        let mut ends = Ends::default();
        let read = read_from(content, start, &mut |run| ends.push(run));
        (Tree::read(limits, declared, content, start), if read.is_ok() { ends.finish() } else { Flags::default() })
    }

    pub fn new(declared: Declared, index: Index) -> Tree {
        let Index { parts, slots, flags } = index;
        Tree { declared: Arc::new(declared), parts: Arc::new(parts), slots, flags }
    }
}

/// Hands out the bytes from `start` on.
fn read_from(content: &Content, start: u64, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    content.pieces(start..content.size()).try_for_each(|piece| match piece {
        Piece::Memory(bytes) => {
            each(&bytes);
            Ok(())
        }
        file @ Piece::File { .. } => file.for_each(&mut |run| {
            each(run);
            Ok(())
        }),
    })
}

impl Body {
    /// A body as it was received, into memory.
    pub fn received(content: Content, header: u64, start: u64, noted: Flags) -> Body {
        Body { content, header, start, noted, outer: OnceLock::new(), tree: OnceLock::new() }
    }

    /// A body that was looked into, its header too.
    pub fn known(content: Content, start: u64, tree: Tree, noted: Flags) -> Body {
        Body { content, header: start, start, noted, outer: OnceLock::from(Flags::default()), tree: OnceLock::from(tree) }
    }

    /// The flags that its tree does not raise.
    fn beside_the_tree(&self) -> Flags {
        self.noted.and(*self.outer.get_or_init(|| {
            let block = self.content.in_one(0..self.header).expect("a header that was not looked at lies in memory");
            let mut ends = Ends::default();
            read_from(&self.content, self.start, &mut |run| ends.push(run)).expect("and so does the body");
            outer_flags(&block, self.start - self.header).and(ends.finish())
        }))
    }

    /// The slots, if it was looked into: else nothing has changed in it.
    pub fn slots(&self) -> Option<&[Slot]> {
        self.tree.get().map(|tree| &*tree.slots)
    }

    /// Its length as it now stands.
    pub fn size(&self) -> u64 {
        self.slots().map_or_else(|| self.content.size() - self.start, |slots| slots.iter().map(Slot::size).sum())
    }

    /// Whether it has bytes over 127.
    pub fn eight_bit(&self) -> bool {
        let beyond = |piece: Piece| matches!(piece, Piece::Memory(bytes) if !bytes.is_ascii());
        self.slots().map_or_else(
            || self.content.pieces(self.start..self.content.size()).any(beyond),
            |slots| slots.iter().any(|slot| slot.eight_bit),
        )
    }
}

impl Message {
    /// The index of the body, made when it is first asked for. Fields that bear on it change only after that.
    pub(super) fn tree(&self) -> &Tree {
        let body = &self.body;
        body.tree.get_or_init(|| Tree::read(&self.limits, Declared::read(self.fields.iter(), "text/plain"), &body.content, body.start))
    }

    /// The same, to be changed.
    pub(super) fn tree_mut(&mut self) -> &mut Tree {
        self.tree();
        Arc::make_mut(&mut self.body).tree.get_mut().expect("it was made above")
    }

    pub(super) fn flags(&self) -> Flags {
        self.body.beside_the_tree().and(self.tree().flags)
    }

    /// The pieces of the body as it now stands.
    pub(super) fn body_pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let content = &self.body.content;
        let whole = self.body.slots().is_none().then(|| content.pieces(self.body.start..content.size()));
        let slots = self.body.slots().unwrap_or_default();
        whole.into_iter().flatten().chain(slots.iter().flat_map(|slot| slot.pieces(content)))
    }

    /// Whether there are bytes over 127 in (the header, the body).
    #[must_use]
    pub fn eight_bit(&self) -> (bool, bool) {
        (self.fields.iter().any(|field| !field.raw().is_ascii()), self.body.eight_bit())
    }

    /// Whether there are bytes over 127 in its header, or that of a part (RFC 6532 3).
    #[must_use]
    pub fn has_eight_bit_header(&self) -> bool {
        let (header, body) = self.eight_bit();
        let of_part = |part: &Part| part.header.is_some_and(|slot| self.tree().slots[slot].eight_bit);
        header || body && self.parts().iter().any(of_part)
    }

    /// Puts another body in place of this one, whose flags stay raised.
    pub(super) fn put_content_of(&mut self, content: Content, declared: Declared) {
        let noted = self.flags();
        let (tree, flags) = Tree::read_with_flags(&self.limits, declared, &content, self.body.start);
        self.body = Arc::new(Body::known(content, self.body.start, tree, noted.and(flags)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Field;
    use crate::message::tests::limits;
    use crate::message::{Flag, Message};

    fn message(text: &'static str) -> Message {
        Message::parse(text.into(), &Arc::new(limits())).unwrap()
    }

    const MULTIPART: &str = "Content-Type: multipart/mixed; boundary=b\r\nSubject: a\r\nSubject: b\r\n\r\n--b\r\n\r\nx\u{e9}\r\n--b--\r\n";

    #[test]
    fn a_message_that_nobody_asks_about_is_not_looked_into() {
        let mut message = message(MULTIPART);
        message.insert_field(0, Field::new("X-New", "a"));
        message.remove_field(2);
        let _ = (message.size(), message.pieces(), message.eight_bit(), message.hops("x"));
        assert!(message.body.slots().is_none() && message.body.outer.get().is_none());
    }

    #[test]
    fn what_is_asked_late_is_answered_for_the_message_as_it_came() {
        let early = message(MULTIPART);
        assert!(early.has_flag(Flag::DuplicateField) && early.parts().len() == 2);
        let mut late = message(MULTIPART);
        late.remove_field(2);
        late.insert_field(0, Field::new("X-New", "a"));
        assert_eq!((late.parts(), late.malformed()), (early.parts(), early.malformed()));
        let mut late = message(MULTIPART);
        late.replace_field(0, Field::new("Content-Type", "text/plain"));
        assert_eq!((late.parts().len(), late.malformed()), (1, early.malformed()));
    }

    #[test]
    fn bytes_over_127_are_told_the_same_before_and_after_a_look_inside() {
        for (text, wanted) in [(MULTIPART, true), ("A: \u{e9}\r\n\r\nx", false), ("", false)] {
            let message = message(text);
            assert_eq!(message.eight_bit().1, wanted);
            assert!(!message.parts().is_empty() && message.body.slots().is_some());
            assert_eq!(message.eight_bit().1, wanted);
        }
    }
}
