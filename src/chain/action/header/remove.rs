//! `header.remove`: takes fields out of the outer header.

use super::Choice;
use crate::chain::action::settings::spelled;
use crate::chain::entry::{Entry, Load};
use crate::chain::run::{Action, ActionError, Flow, Run};
use crate::chain::string::VALUE_TESTS;
use crate::yaml::{Node, Reported};

/// Which fields go.
#[derive(Debug)]
struct Remove(Choice);

pub const ENTRY: Entry<dyn Action> = Entry {
    name: "header.remove",
    about: "Takes fields out of the outer header: those whose name and value both pass.",
    keys: &[super::NAME, VALUE_TESTS, super::WHICH],
    example: "header.remove: {name: X-Originating-IP}",
    before: "Subject: hi\r\nX-Originating-IP: [10.1.2.3]\r\n\r\nbody\r\n",
    after: "Subject: hi\r\n\r\nbody\r\n",
    load,
};

fn load(node: &Node, load: &mut Load<'_>) -> Result<Box<dyn Action>, Reported> {
    let node = spelled(node, "name");
    let mut settings = load.settings("header.remove", &node)?;
    let fields = Choice::by_name_and_value(&mut settings, load);
    settings.finish(load.problems)?;
    Ok(Box::new(Remove(fields?)))
}

impl Action for Remove {
    fn apply(&self, run: &mut Run) -> Result<Flow, ActionError> {
        let places = self.0.places(run);
        super::take_out(run, &places);
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::chain::action::testing::{after, bytes, mail, refused, ruling_of};

    const MAIL: &str = "A: 1\r\nX-a: one\r\n two\r\nB: 2\r\nX-A: three\r\nx-a: one\r\n\r\n";

    #[test]
    fn no_rule_takes_a_received_of_our_own() {
        let own = "Received: from a by b with ESMTP id 01ARZ3NDEKTSV4RRFFQ69G5FAV.ABCDEFGHIJ; Sat, 21 Nov 2026 10:00:00 +0000\r\n";
        let message = format!("Received: from x by y id 4711; Sat, 21 Nov 2026 10:00:00 +0000\r\n{own}Subject: hi\r\n\r\n");
        for action in ["header.remove: Received", "header.mask: Received", "header.rename: {name: Received, to: X-Received}"] {
            let mut mail = mail(message.as_bytes());
            Arc::make_mut(&mut mail.origin).token = Arc::from("ABCDEFGHIJ");
            let left = bytes(&ruling_of(mail, &[action]));
            assert!(left.contains(own) && !left.starts_with("Received: from x"), "{left}");
        }
    }

    #[test]
    fn a_received_goes_by_the_address_it_names() {
        let inner = "Received: from EX1 (10.1.2.3) by EX2;\r\n Sat, 21 Nov 2026 10:00:00 +0000\r\n";
        let outer = "Received: from [10.1.2.3] (a.example [192.0.2.1])\r\n\tby [10.1.2.4]; Sat, 21 Nov 2026 10:00:00 +0000\r\n";
        let left = after(&format!("{outer}{inner}{outer}\r\n"), &["header.remove: {name: Received, from_address: 10.0.0.0/8}"]);
        assert_eq!(left, format!("{outer}{outer}\r\n"));
        assert!(refused("header.remove: {name: Received, from_address: 10.0.0.0/64}")[0].contains("is no network"));
    }

    #[test]
    fn name_and_value_choose_and_which_narrows() {
        assert_eq!(after(MAIL, &["header.remove: X-A"]), "A: 1\r\nB: 2\r\n\r\n");
        assert_eq!(after(MAIL, &["header.remove: [A, B]"]), "X-a: one\r\n two\r\nX-A: three\r\nx-a: one\r\n\r\n");
        assert_eq!(after(MAIL, &["header.remove: {name: X-A, contains: ONE}"]), "A: 1\r\nB: 2\r\nX-A: three\r\n\r\n");
        assert_eq!(after(MAIL, &["header.remove: {name: X-A, which: last}"]), "A: 1\r\nX-a: one\r\n two\r\nB: 2\r\nX-A: three\r\n\r\n");
        assert_eq!(
            after(MAIL, &["header.remove: {name: {starts_with: x-}, which: first}"]),
            "A: 1\r\nB: 2\r\nX-A: three\r\nx-a: one\r\n\r\n"
        );
    }
}
