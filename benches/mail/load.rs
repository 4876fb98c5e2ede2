//! What a run sends.

use std::sync::Arc;

use crate::mail::Template;

/// What to send, and how.
#[derive(Debug, Clone)]
pub struct Load {
    pub port: u16,
    pub template: Arc<Template>,
    pub messages: u64,
    pub sessions: usize,
    /// Messages over one connection, then it is opened anew; all where it is `None`.
    pub per_connection: Option<u64>,
    /// MAIL, RCPT and DATA in one write.
    pub pipelined: bool,
    pub recipients: usize,
    /// Messages a second, whether or not earlier ones were answered; without it a session sends when its last one was answered.
    pub rate: Option<f64>,
}

/// What all sessions do in the end.
pub enum Until<'a> {
    /// All messages were answered.
    Answered,
    /// Each has sent a message but for its dot; then this is called, and then the dots are sent.
    BeforeTheDot(&'a mut dyn FnMut()),
    /// Each has said EHLO; then this is called. No message is sent.
    Greeted(&'a mut dyn FnMut()),
}

impl Load {
    /// What precedes each message: what is sent in one write, and how many replies come to it.
    pub fn commands(&self) -> Vec<(Vec<u8>, u32)> {
        let mut commands = vec![b"MAIL FROM:<ada@example.com>\r\n".to_vec()];
        commands.push(b"RCPT TO:<berta@example.net>\r\n".to_vec());
        commands.extend((1..self.recipients).map(|number| format!("RCPT TO:<berta{number}@example.net>\r\n").into_bytes()));
        commands.push(b"DATA\r\n".to_vec());
        if self.pipelined {
            let count = u32::try_from(commands.len()).expect("not that many recipients");
            vec![(commands.concat(), count)]
        } else {
            commands.into_iter().map(|command| (command, 1)).collect()
        }
    }
}
