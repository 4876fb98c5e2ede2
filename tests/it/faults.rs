//! Every stage of a next hop × everything that can go wrong there, through the real server, with and without PIPELINING: each reply the client hears is the one
//! the design names, nothing is acknowledged before the next hop has it, and a client that tries again where it may loses nothing and doubles nothing.

use std::thread;

use super::support::client::{Client, stuffed};
use super::support::next_hop::{Act, Log, NextHop, Script};
use super::support::transom::Transom;

const ONE: &str = "one@inside.example";
const TWO: &str = "two@inside.example";
const MESSAGE: &[u8] = b"Subject: x\r\n\r\n.hello\r\n..\r\nthere\r\n";

/// Where it goes wrong: the line at which it does, the usual answer, and one that says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    Hello,
    Mail,
    Recipient,
    Data,
    Dot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Refuse,
    /// The answer comes late, but it comes.
    Delay,
    /// No answer ever comes.
    Silence,
    Garbage,
    /// The usual answer, and one more.
    Surplus,
    Close,
    Reset,
}

const FAULTS: [Fault; 7] = [Fault::Refuse, Fault::Delay, Fault::Silence, Fault::Garbage, Fault::Surplus, Fault::Close, Fault::Reset];

/// What the client heard: to each RCPT, and to the end of its data, or to DATA if that was refused.
type Replies = (u16, u16, u16);

impl Stage {
    fn line(self) -> &'static str {
        match self {
            Stage::Greeting => "connect",
            Stage::Hello => "EHLO",
            Stage::Mail => "MAIL",
            Stage::Recipient => "RCPT TO:<one@",
            Stage::Data => "DATA",
            Stage::Dot => ".",
        }
    }

    fn act(self, fault: Fault, pipelining: bool) -> Act {
        match fault {
            Fault::Refuse => Act::Say(match self {
                Stage::Greeting | Stage::Hello => "554 5.3.2 no service here\r\n",
                Stage::Mail => "550 5.7.1 not you\r\n",
                Stage::Recipient => "550 5.1.1 not here\r\n",
                Stage::Data => "550 5.7.0 no message\r\n",
                Stage::Dot => "550 5.6.0 not this\r\n",
            }),
            Fault::Delay => Act::Late,
            Fault::Silence => Act::Silence,
            Fault::Garbage => Act::Say("what do you want?\r\n"),
            Fault::Surplus => Act::Say(match self {
                Stage::Greeting => "220 scripted.example\r\n250 2.0.0 and more\r\n",
                Stage::Hello if pipelining => "250-scripted.example\r\n250 PIPELINING\r\n250 2.0.0 and more\r\n",
                Stage::Hello => "250 scripted.example\r\n250 2.0.0 and more\r\n",
                Stage::Mail | Stage::Recipient | Stage::Dot => "250 2.0.0 ok\r\n250 2.0.0 and more\r\n",
                Stage::Data => "354 go on\r\n250 2.0.0 and more\r\n",
            }),
            Fault::Close => Act::Close,
            Fault::Reset => Act::Reset,
        }
    }

    /// What the client is to hear (SEMANTICS 2, 3, 11; DESIGN decision 3). Several where the moment at which a reply arrives decides.
    fn replies(self, fault: Fault, pipelining: bool) -> &'static [Replies] {
        match (self, fault) {
            // HELO does as well.
            (_, Fault::Delay) | (Stage::Hello, Fault::Refuse) | (Stage::Dot, Fault::Surplus) => &[(250, 250, 250)],
            (Stage::Mail, Fault::Refuse) => &[(550, 550, 554)],
            // The surplus could be taken for the answer to what was said together with it, until that comes.
            (Stage::Mail | Stage::Recipient, Fault::Surplus) if pipelining => &[(451, 451, 554), (250, 451, 451), (250, 250, 451)],
            (Stage::Greeting | Stage::Hello | Stage::Mail, _) => &[(451, 451, 554)],
            (Stage::Recipient, Fault::Refuse) => &[(550, 250, 250)],
            (Stage::Recipient, _) if pipelining => &[(451, 451, 554)],
            // The second one is asked about on a new connection.
            (Stage::Recipient, _) => &[(451, 250, 250)],
            (Stage::Data | Stage::Dot, Fault::Refuse) => &[(250, 250, 550)],
            (Stage::Data | Stage::Dot, _) => &[(250, 250, 451)],
        }
    }

    /// Whether the line was heard since then.
    fn reached(self, before: &Log, log: &Log) -> bool {
        match self {
            Stage::Greeting => log.connections > before.connections,
            Stage::Dot => log.messages.len() > before.messages.len(),
            _ => log.lines[before.lines.len()..].iter().any(|(_, line)| line.starts_with(self.line())),
        }
    }
}

fn good(pipelining: bool) -> Script {
    Script::offering(if pipelining { &["PIPELINING", "8BITMIME"] } else { &["8BITMIME"] })
}

/// A server that opens a connection for each message, so that every stage comes by.
struct Scene {
    pipelining: bool,
    next_hop: NextHop,
    transom: Transom,
}

impl Scene {
    fn open(pipelining: bool) -> Scene {
        let next_hop = NextHop::start([good(pipelining)]);
        let configuration = format!(
            "hostname: filter.example.org\nlisteners: [{{address: 127.0.0.1:0}}]\nrelay: {{next_hops: [\"{}\"], connections: {{idle: 0}}}}\n\
             timeouts: {{next_hop: 2s, after_dot: 2s}}\n",
            next_hop.address
        );
        let transom = Transom::start_with(&configuration, &[]);
        Scene { pipelining, next_hop, transom }
    }

    fn play(&self, stage: Stage, fault: Fault) {
        let what = format!("{stage:?} {fault:?} pipelining: {}", self.pipelining);
        let before = self.next_hop.log();
        self.next_hop.follow(good(self.pipelining).at(stage.line(), stage.act(fault, self.pipelining)));
        let mut client = self.transom.client();
        client.hello();
        let heard = self.send(&mut client, &[ONE, TWO], (fault == Fault::Delay).then_some((stage, &before)));
        let wanted = stage.replies(fault, self.pipelining);
        assert!(wanted.contains(&(heard[0], heard[1], heard[2])), "{what}: {heard:?}, not {wanted:?}");
        let log = self.next_hop.log();
        let taken: Vec<&String> = log.taken[before.taken.len()..].iter().flatten().collect();
        assert!(log.messages.iter().all(|message| whole(message)), "{what}: the end of a message that is not whole");
        // A 250 to the data speaks for every recipient that had one.
        let accepted: Vec<&str> = [ONE, TWO].into_iter().zip(&heard).filter(|(_, code)| **code == 250).map(|(to, _)| to).collect();
        assert_eq!(taken, if heard[2] == 250 { accepted.clone() } else { Vec::new() }, "{what}: acknowledged and taken");
        if stage == Stage::Dot && matches!(fault, Fault::Silence | Fault::Close | Fault::Reset | Fault::Garbage) {
            self.transom.wait_for_log("in doubt");
        }

        // It is mended; the client comes again with those it may come again for.
        self.next_hop.follow(good(self.pipelining));
        let again: Vec<&str> = match heard[2] {
            250 => [ONE, TWO].into_iter().zip(&heard).filter(|(_, code)| **code == 451).map(|(to, _)| to).collect(),
            451 => vec![ONE, TWO],
            _ => [ONE, TWO].into_iter().zip(&heard).filter(|(_, code)| **code / 100 == 4).map(|(to, _)| to).collect(),
        };
        if !again.is_empty() {
            client.expect("RSET", "250");
            let heard = self.send(&mut client, &again, None);
            assert!(heard.iter().all(|code| *code == 250), "{what}: {heard:?} when it was mended");
        }
        client.expect("QUIT", "221");
        let log = self.next_hop.log();
        let taken: Vec<&String> = log.taken[before.taken.len()..].iter().flatten().collect();
        for (recipient, code) in [ONE, TWO].into_iter().zip(&heard) {
            let refused = code / 100 == 5 || heard[2] / 100 == 5 && *code == 250;
            let copies = taken.iter().filter(|to| **to == recipient).count();
            assert_eq!(copies, usize::from(!refused), "{what}: copies for {recipient}");
        }
    }

    /// One transaction; the replies to each RCPT and to the end, and, if one is late, that nothing is said before it.
    fn send(&self, client: &mut Client, recipients: &[&str], late: Option<(Stage, &Log)>) -> Vec<u16> {
        let mut lines: Vec<String> = recipients.iter().map(|to| format!("RCPT TO:<{to}>\r\n")).collect();
        lines.push("DATA\r\n".to_owned());
        let mail = "MAIL FROM:<a@outside.example>\r\n".to_owned();
        let late_recipient = late.filter(|(stage, _)| !matches!(stage, Stage::Data | Stage::Dot));
        let mut heard = Vec::new();
        if self.pipelining {
            client.raw((mail + &lines.concat()).as_bytes());
            // MAIL is answered by the server itself, together with what follows it or before.
            let mail_first = late_recipient.is_none() || !client.hears_nothing();
            assert!(!mail_first || code(client) == 250);
            self.nothing_early(client, late_recipient);
            assert!(mail_first || code(client) == 250);
            heard.extend(lines.iter().map(|_| code(client)));
        } else {
            assert_eq!(client.say(mail.trim_end()).get(..4), Some("250 "));
            for line in lines {
                client.raw(line.as_bytes());
                if heard.is_empty() {
                    self.nothing_early(client, late_recipient);
                }
                heard.push(code(client));
            }
        }
        if heard.last() == Some(&354) {
            heard.pop();
            client.raw(&stuffed(MESSAGE));
            self.nothing_early(client, late.filter(|_| late_recipient.is_none()));
            heard.push(code(client));
        }
        heard
    }

    fn nothing_early(&self, client: &mut Client, late: Option<(Stage, &Log)>) {
        let Some((stage, before)) = late else { return };
        self.next_hop.wait_for(|log| stage.reached(before, log));
        assert!(client.hears_nothing(), "{stage:?}: an answer before the next hop's");
        self.next_hop.answer_now();
    }
}

/// A message as the next hop hears it, under the `Received` of Transom.
fn whole(message: &[u8]) -> bool {
    message.starts_with(b"Received: ") && stuffed(MESSAGE).strip_suffix(b".\r\n").is_some_and(|sent| message.ends_with(sent))
}

fn code(client: &mut Client) -> u16 {
    let reply = client.reply();
    reply[..3].parse().unwrap_or_else(|_| panic!("no reply: {reply}"))
}

fn every_fault_at(stage: Stage) {
    let threads = [true, false].map(|pipelining| {
        thread::spawn(move || {
            let scene = Scene::open(pipelining);
            for fault in FAULTS {
                scene.play(stage, fault);
            }
        })
    });
    // Both have ended, and their servers with them, before either's failure is told.
    for ended in threads.map(thread::JoinHandle::join) {
        ended.unwrap();
    }
}

#[test]
fn faults_when_connecting() {
    every_fault_at(Stage::Greeting);
}

#[test]
fn faults_at_ehlo() {
    every_fault_at(Stage::Hello);
}

#[test]
fn faults_at_mail() {
    every_fault_at(Stage::Mail);
}

#[test]
fn faults_at_rcpt() {
    every_fault_at(Stage::Recipient);
}

#[test]
fn faults_at_data() {
    every_fault_at(Stage::Data);
}

#[test]
fn faults_at_the_dot() {
    every_fault_at(Stage::Dot);
}
