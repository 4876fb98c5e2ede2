//! Every stage of a next hop × everything that can go wrong there, through the real server, over every way there is to talk to one: each reply the client hears is
//! the one the design names, nothing is acknowledged before the next hop has it, and a client that tries again where it may loses nothing. What it may double
//! stands in [`DOUBLES`].

use std::thread;

use super::support::client::{Client, stuffed};
use super::support::next_hop::{Act, Log, NextHop, Script};
use super::support::transom::Transom;

const ONE: &str = "one@inside.example";
const TWO: &str = "two@inside.example";
const MESSAGE: &[u8] = b"Subject: x\r\n\r\n.hello\r\n..\r\nthere\r\n";

/// How the next hop is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// With PIPELINING.
    Pipelined,
    /// Without: each command waits for the answer to the one before.
    OneByOne,
    /// BDAT (RFC 3030).
    Chunks,
    ChunksOneByOne,
    /// MAIL, RCPT, BDAT LAST and EHLO in one write.
    AtOnce,
    Lmtp,
    LmtpOneByOne,
    LmtpChunks,
    /// TLS after STARTTLS.
    Starttls,
    /// TLS from the start.
    Implicit,
    /// The other ways after STARTTLS.
    StarttlsChunks,
    StarttlsAtOnce,
    StarttlsLmtp,
    StarttlsLmtpChunks,
    /// We log in.
    Login,
}

/// Where it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    Hello,
    StartTls,
    Handshake,
    /// EHLO over TLS.
    SecureHello,
    Login,
    /// Before the transaction that goes out in one write.
    Reset,
    Mail,
    Recipient,
    Data,
    /// At the first byte of content that it reads.
    Content,
    Dot,
    /// EHLO behind the end in the same write.
    Behind,
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
    /// It takes the message, and its answer is lost.
    Lost,
}

use Fault::{Close, Delay, Garbage, Lost, Refuse, Silence, Surplus};

const AT_ONCE: &[Way] = &[Way::AtOnce, Way::StarttlsAtOnce];
/// All by BDAT; where the commands before go one by one, a reply too many is seen before the end.
const CHUNKS: &[Way] = &[Way::Chunks, Way::LmtpChunks, Way::StarttlsChunks, Way::StarttlsLmtpChunks, Way::AtOnce, Way::StarttlsAtOnce];

/// The cases in which a client that tries again, as it has to, doubles the message, for the protocol cannot tell that the next hop has it. They are of all ways
/// where none is named. With a surplus reply it does so only where the rest of the replies is late.
const DOUBLES: &[(&[Way], Stage, &[Fault], &str)] = &[
    (&[], Stage::Dot, &[Lost], "the answer to the end is lost"),
    (&[], Stage::Content, &[Garbage], "what is said in the middle of the content is read as the answer to its end"),
    (CHUNKS, Stage::Mail, &[Surplus], "with one reply too many none can be told from the next, and the end is out already"),
    (CHUNKS, Stage::Recipient, &[Surplus], "the same"),
    (AT_ONCE, Stage::Dot, &[Surplus], "the same"),
    (
        AT_ONCE,
        Stage::Behind,
        &[Refuse, Silence, Garbage, Surplus, Close, Fault::Reset],
        "without a good answer to EHLO the one to the end may have been another's",
    ),
];

/// What the client heard: to each RCPT, and to the end of its data, or to DATA if that was refused.
type Replies = &'static [u16];

impl Way {
    fn pipelines(self) -> bool {
        !matches!(self, Way::OneByOne | Way::ChunksOneByOne | Way::LmtpOneByOne)
    }

    fn chunks(self) -> bool {
        CHUNKS.contains(&self) || self == Way::ChunksOneByOne
    }

    fn lmtp(self) -> bool {
        matches!(self, Way::Lmtp | Way::LmtpOneByOne | Way::LmtpChunks | Way::StarttlsLmtp | Way::StarttlsLmtpChunks)
    }

    fn at_once(self) -> bool {
        AT_ONCE.contains(&self)
    }

    fn starttls(self) -> bool {
        use Way::{Starttls, StarttlsAtOnce, StarttlsChunks, StarttlsLmtp, StarttlsLmtpChunks};
        matches!(self, Starttls | StarttlsChunks | StarttlsAtOnce | StarttlsLmtp | StarttlsLmtpChunks)
    }

    fn script(self) -> Script {
        let words = [("PIPELINING", self.pipelines()), ("8BITMIME", true), ("CHUNKING", self.chunks())];
        let words = words.into_iter().chain([("STARTTLS", self.starttls()), ("AUTH PLAIN", self == Way::Login)]);
        let words: Vec<&str> = words.filter(|(_, has)| *has).map(|(word, _)| word).collect();
        let script = Script::offering(&words);
        match self {
            Way::Implicit => script.secured(),
            _ if self.lmtp() => script.lmtp(),
            _ => script,
        }
    }

    fn stages(self) -> Vec<Stage> {
        use Stage::{Content, Data, Dot, Greeting, Handshake, Hello, Login, Mail, Recipient, SecureHello, StartTls};
        match self {
            Way::Starttls => vec![StartTls, Handshake, SecureHello, Mail, Recipient, Data, Content, Dot],
            Way::Implicit => vec![Handshake, Greeting, Hello, Mail, Recipient, Data, Content, Dot],
            Way::Login => vec![Login, Mail, Dot],
            Way::AtOnce | Way::StarttlsAtOnce => vec![Stage::Reset, Mail, Recipient, Content, Dot, Stage::Behind],
            Way::StarttlsChunks => vec![Mail, Recipient, Content, Dot],
            Way::StarttlsLmtp | Way::StarttlsLmtpChunks => vec![StartTls, SecureHello, Mail, Recipient, Content, Dot],
            _ if self.chunks() => vec![Greeting, Hello, Mail, Recipient, Content, Dot],
            _ => vec![Greeting, Hello, Mail, Recipient, Data, Content, Dot],
        }
    }

    /// Beside the next hops, in the configuration.
    fn settings(self) -> &'static str {
        match self {
            _ if self.starttls() => ", tls: [{mode: required}]",
            Way::Implicit => ", tls: [{mode: implicit}]",
            Way::Login => ", auth: {user: relay, password: 'file:secret', without_tls: true}",
            _ => "",
        }
    }

    /// In one write goes what is opened anew, for one recipient.
    fn recipients(self) -> &'static [&'static str] {
        if self.at_once() { &[ONE] } else { &[ONE, TWO] }
    }
}

impl Stage {
    fn line(self, way: Way) -> &'static str {
        match self {
            Stage::Greeting => "connect",
            Stage::Hello if way.lmtp() => "LHLO",
            Stage::Hello => "EHLO",
            Stage::StartTls => "STARTTLS",
            Stage::Handshake => "handshake",
            Stage::SecureHello if way.lmtp() => "tls:LHLO",
            Stage::SecureHello => "tls:EHLO",
            Stage::Login => "AUTH",
            Stage::Reset => "RSET",
            Stage::Mail => "MAIL",
            Stage::Recipient => "RCPT TO:<one@",
            Stage::Data => "DATA",
            Stage::Content => "content",
            Stage::Dot => ".",
            Stage::Behind => "end:EHLO",
        }
    }

    fn faults(self) -> &'static [Fault] {
        match self {
            Stage::Handshake => &[Delay, Silence, Garbage, Close, Fault::Reset],
            // It has nothing to say there that would not be the answer to the end.
            Stage::Content => &[Silence, Garbage, Close, Fault::Reset],
            Stage::Dot => &[Refuse, Delay, Silence, Garbage, Surplus, Close, Fault::Reset, Lost],
            _ => &[Refuse, Delay, Silence, Garbage, Surplus, Close, Fault::Reset],
        }
    }

    fn act(self, fault: Fault, way: Way) -> Act {
        match fault {
            Refuse => Act::Say(match self {
                Stage::Greeting | Stage::Hello | Stage::SecureHello | Stage::Handshake | Stage::Reset | Stage::Behind => {
                    "554 5.3.2 no service here\r\n"
                }
                Stage::StartTls => "454 4.7.0 no TLS now\r\n",
                Stage::Login => "535 5.7.8 not you\r\n",
                Stage::Mail => "550 5.7.1 not you\r\n",
                Stage::Recipient => "550 5.1.1 not here\r\n",
                Stage::Data => "550 5.7.0 no message\r\n",
                Stage::Content | Stage::Dot => "550 5.6.0 not this\r\n",
            }),
            Delay => Act::Late,
            Silence => Act::Silence,
            Garbage => Act::Say("what do you want?\r\n"),
            Surplus => Act::Say(match self {
                Stage::Greeting => "220 scripted.example\r\n250 2.0.0 and more\r\n",
                Stage::Hello | Stage::SecureHello if way.pipelines() => "250-scripted.example\r\n250 PIPELINING\r\n250 2.0.0 and more\r\n",
                Stage::StartTls => "220 2.0.0 go ahead\r\n250 2.0.0 and more\r\n",
                Stage::Login => "235 2.7.0 welcome\r\n250 2.0.0 and more\r\n",
                Stage::Hello | Stage::SecureHello => "250 scripted.example\r\n250 2.0.0 and more\r\n",
                Stage::Data => "354 go on\r\n250 2.0.0 and more\r\n",
                // As a server would that answers a command twice.
                Stage::Mail if way.at_once() => "250 2.1.0 ok\r\n250 2.1.0 ok\r\n",
                Stage::Recipient if way.at_once() => "250 2.1.5 ok\r\n250 2.1.5 ok\r\n",
                Stage::Behind => "250-scripted.example\r\n250 CHUNKING\r\n250 2.0.0 and more\r\n",
                Stage::Handshake | Stage::Mail | Stage::Recipient | Stage::Reset | Stage::Content | Stage::Dot => {
                    "250 2.0.0 ok\r\n250 2.0.0 and more\r\n"
                }
            }),
            Close => Act::Close,
            Fault::Reset => Act::Reset,
            Lost => Act::Lost,
        }
    }

    /// What the client is to hear (SEMANTICS 2, 3, 11; DESIGN decision 3). Several where the moment at which a reply arrives decides.
    fn replies(self, fault: Fault, way: Way) -> &'static [Replies] {
        match way {
            _ if way.at_once() => self.at_once(fault),
            _ if way.lmtp() => self.lmtp(fault),
            _ => self.smtp(fault, way.pipelines()),
        }
    }

    fn smtp(self, fault: Fault, pipelining: bool) -> &'static [Replies] {
        match (self, fault) {
            // HELO does as well.
            (_, Delay) | (Stage::Hello | Stage::SecureHello, Refuse) | (Stage::Dot, Surplus) => &[&[250, 250, 250]],
            (Stage::Mail, Refuse) => &[&[550, 550, 554]],
            // The surplus could be taken for the answer to what was said together with it, until that comes.
            (Stage::Mail | Stage::Recipient, Surplus) if pipelining => &[&[451, 451, 554], &[250, 451, 451], &[250, 250, 451]],
            (Stage::Recipient, Refuse) => &[&[550, 250, 250]],
            (Stage::Recipient, _) if pipelining => &[&[451, 451, 554]],
            // The second one is asked about on a new connection.
            (Stage::Recipient, _) => &[&[451, 250, 250]],
            (Stage::Data | Stage::Dot, Refuse) => &[&[250, 250, 550]],
            (Stage::Data | Stage::Content | Stage::Dot, _) => &[&[250, 250, 451]],
            _ => &[&[451, 451, 554]],
        }
    }

    /// The second recipient waits for a transaction of its own, for each may be answered differently at the end.
    fn lmtp(self, fault: Fault) -> &'static [Replies] {
        match (self, fault) {
            (_, Delay) | (Stage::Dot, Surplus) => &[&[250, 452, 250]],
            (Stage::Mail, Refuse) => &[&[550, 550, 554]],
            (Stage::Mail | Stage::Recipient, Surplus) => &[&[451, 451, 554], &[451, 250, 250], &[250, 452, 451]],
            (Stage::Recipient, Refuse) => &[&[550, 250, 250]],
            // The second one is asked about on a new connection, unless both came together.
            (Stage::Recipient, _) => &[&[451, 250, 250], &[451, 451, 554]],
            (Stage::Data | Stage::Dot, Refuse) => &[&[250, 452, 550]],
            (Stage::Data | Stage::Content | Stage::Dot, _) => &[&[250, 452, 451]],
            _ => &[&[451, 451, 554]],
        }
    }

    /// What goes wrong does so behind an RCPT that was accepted.
    fn at_once(self, fault: Fault) -> &'static [Replies] {
        match (self, fault) {
            // Where the connection closed before anything was said on it, another one will do.
            (_, Delay) | (Stage::Reset, Close | Fault::Reset) => &[&[250, 250]],
            // Which of the two was the answer to the end is not known, if both are here when it is looked at.
            (Stage::Dot | Stage::Behind, Surplus) => &[&[250, 250], &[250, 451]],
            (Stage::Mail | Stage::Dot, Refuse) => &[&[250, 550]],
            _ => &[&[250, 451]],
        }
    }

    /// Whether the line was heard since then.
    fn reached(self, way: Way, before: &Log, log: &Log) -> bool {
        let hellos = log.lines[before.lines.len()..].iter().filter(|(_, line)| line[1..].starts_with("HLO")).count();
        match self {
            Stage::Greeting | Stage::Handshake => log.connections > before.connections,
            // The first was in clear.
            Stage::SecureHello => hellos > 1,
            Stage::Behind => hellos > if way.starttls() { 2 } else { 1 },
            Stage::Content | Stage::Dot => log.messages.len() > before.messages.len(),
            _ => log.lines[before.lines.len()..].iter().any(|(_, line)| line.starts_with(self.line(way))),
        }
    }

    /// The client hears of it when its message is here.
    fn is_late(self, way: Way) -> bool {
        way.at_once() || matches!(self, Stage::Data | Stage::Content | Stage::Dot)
    }
}

/// A server that opens a connection for each message, so that every stage comes by.
struct Scene {
    way: Way,
    next_hop: NextHop,
    transom: Transom,
    configuration: String,
}

impl Scene {
    fn open(way: Way) -> Scene {
        let next_hop = NextHop::start([way.script()]);
        let protocol = if way.lmtp() { "lmtp:" } else { "" };
        let configuration = format!(
            "hostname: filter.example.org\nlisteners: [{{address: 127.0.0.1:0}}]\nrelay: {{next_hops: [\"{protocol}{}\"], connections: {{idle: 0}}{}}}\n\
             chain: [{{include: rules.yaml}}]\n",
            next_hop.address,
            way.settings()
        );
        // Another sender makes another transaction.
        let rules = if way.at_once() { "rules: [{name: other sender, then: [{sender.set: b@outside.example}]}]" } else { "rules: []" };
        let transom = Transom::start_with(&configuration, &[("rules.yaml", rules), ("secret", "pencil")]);
        Scene { way, next_hop, transom, configuration }
    }

    /// From now on silence is soon over; what takes its time on a busy machine is not.
    fn tire(&self) {
        let log = self.transom.reload(&format!("{}timeouts: {{next_hop: 2s, after_dot: 2s}}\n", self.configuration), &[]);
        assert!(!log.contains("not reloaded"), "{log}");
    }

    fn play(&self, stage: Stage, fault: Fault) {
        let what = format!("{:?} {stage:?} {fault:?}", self.way);
        let before = self.next_hop.log();
        let script = self.way.script().at(stage.line(self.way), stage.act(fault, self.way));
        let mut client = self.transom.client();
        client.hello();
        if !self.way.at_once() {
            self.next_hop.follow(script.clone());
        }
        let late = (fault == Delay).then_some((stage, &before));
        let heard = self.send(&mut client, self.way.recipients(), late, || {
            if self.way.at_once() {
                self.next_hop.follow(script.clone());
            }
        });
        let wanted = stage.replies(fault, self.way);
        assert!(wanted.contains(&&heard[..]), "{what}: {heard:?}, not {wanted:?}\n{:#?}", self.next_hop.log().lines);
        let (end, to) = heard.split_last().unwrap();
        let listed = |(ways, at, with, _): &(&[Way], Stage, &[Fault], &str)| {
            (ways.is_empty() || ways.contains(&self.way)) && *at == stage && with.contains(&fault)
        };
        let may_double = *end == 451 && DOUBLES.iter().any(listed);
        // What was sent has been read.
        let log = self.next_hop.wait_for(|log| log.closed == log.connections);
        let doubles = may_double && log.taken.len() > before.taken.len();
        assert!(doubles || !may_double || fault == Surplus, "{what}: it is listed and doubles nothing");
        assert!(log.messages.iter().all(|message| whole(message)), "{what}: the end of a message that is not whole");
        // A 250 to the data speaks for every recipient that had one.
        let accepted = || self.way.recipients().iter().zip(to).filter(|(_, code)| **code == 250).map(|(to, _)| *to);
        let expected: Vec<&str> = if *end == 250 || doubles { accepted().collect() } else { Vec::new() };
        assert_eq!(self.taken_since(&before), expected, "{what}: acknowledged and taken");
        if matches!(stage, Stage::Dot | Stage::Behind) && matches!(fault, Silence | Close | Fault::Reset | Garbage | Lost) {
            self.transom.wait_for_log("in doubt");
        }
        self.comes_again(&mut client, &heard);
        client.expect("QUIT", "221");
        let taken = self.taken_since(&before);
        for (recipient, code) in self.way.recipients().iter().zip(to) {
            let refused = code / 100 == 5 || end / 100 == 5 && *code == 250;
            let copies = taken.iter().filter(|to| to == recipient).count();
            let once = usize::from(!refused) + usize::from(doubles && *code == 250);
            assert_eq!(copies, once, "{what}: copies for {recipient}");
        }
    }

    fn taken_since(&self, before: &Log) -> Vec<String> {
        self.next_hop.log().taken[before.taken.len()..].iter().flatten().cloned().collect()
    }

    /// It is mended; the client comes again with those it may come again for, each on its own if it has to, until nobody is left.
    fn comes_again(&self, client: &mut Client, heard: &[u16]) {
        self.next_hop.follow(self.way.script());
        let (end, to) = heard.split_last().unwrap();
        let again = |code: u16| match end {
            451 => code / 100 != 5,
            _ => code / 100 == 4,
        };
        let mut left: Vec<&str> = self.way.recipients().iter().zip(to).filter(|(_, code)| again(**code)).map(|(to, _)| *to).collect();
        while !left.is_empty() {
            client.expect("RSET", "250");
            let heard = self.send(client, &left, None, || ());
            let (end, to) = heard.split_last().unwrap();
            assert!(*end == 250 && to[0] == 250, "{:?}: {heard:?} when it was mended", self.way);
            let mut codes = to.iter();
            left.retain(|_| *codes.next().unwrap() != 250);
        }
    }

    /// One transaction; the replies to each RCPT and to the end, and, if one is late, that nothing is said before it. What is to happen before the end of the
    /// data does so when DATA was answered.
    fn send(&self, client: &mut Client, recipients: &[&str], late: Option<(Stage, &Log)>, then: impl Fn()) -> Vec<u16> {
        let mut lines: Vec<String> = recipients.iter().map(|to| format!("RCPT TO:<{to}>\r\n")).collect();
        lines.push("DATA\r\n".to_owned());
        let mail = "MAIL FROM:<a@outside.example>\r\n".to_owned();
        let late_recipient = late.filter(|(stage, _)| !stage.is_late(self.way));
        let mut heard = Vec::new();
        if self.way.pipelines() {
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
            then();
            client.raw(&stuffed(MESSAGE));
            self.nothing_early(client, late.filter(|_| late_recipient.is_none()));
            heard.push(code(client));
        }
        heard
    }

    fn nothing_early(&self, client: &mut Client, late: Option<(Stage, &Log)>) {
        let Some((stage, before)) = late else { return };
        self.next_hop.wait_for(|log| stage.reached(self.way, before, log));
        assert!(client.hears_nothing(), "{stage:?}: an answer before the next hop's");
        self.next_hop.answer_now();
    }
}

/// A message as the next hop hears it, under the `Received` of Transom.
fn whole(message: &[u8]) -> bool {
    let plain = message.ends_with(MESSAGE);
    message.starts_with(b"Received: ") && (plain || stuffed(MESSAGE).strip_suffix(b".\r\n").is_some_and(|sent| message.ends_with(sent)))
}

fn code(client: &mut Client) -> u16 {
    let reply = client.reply();
    reply[..3].parse().unwrap_or_else(|_| panic!("no reply: {reply}"))
}

fn everything_that_can_go_wrong(way: Way) {
    let stages = way.stages();
    let threads: Vec<_> = stages
        .into_iter()
        .map(|stage| {
            thread::spawn(move || {
                let scene = Scene::open(way);
                let (silent, others): (Vec<Fault>, Vec<Fault>) = stage.faults().iter().partition(|fault| **fault == Silence);
                for fault in others {
                    scene.play(stage, fault);
                }
                if !silent.is_empty() {
                    scene.tire();
                }
                for fault in silent {
                    scene.play(stage, fault);
                }
            })
        })
        .collect();
    // All have ended, and their servers with them, before one's failure is told.
    let ended: Vec<_> = threads.into_iter().map(thread::JoinHandle::join).collect();
    for result in ended {
        result.unwrap();
    }
}

#[test]
fn faults_with_pipelining() {
    everything_that_can_go_wrong(Way::Pipelined);
}

#[test]
fn faults_one_command_at_a_time() {
    everything_that_can_go_wrong(Way::OneByOne);
}

#[test]
fn faults_with_bdat() {
    everything_that_can_go_wrong(Way::Chunks);
}

#[test]
fn faults_with_bdat_one_command_at_a_time() {
    everything_that_can_go_wrong(Way::ChunksOneByOne);
}

#[test]
fn faults_of_a_transaction_in_one_write() {
    everything_that_can_go_wrong(Way::AtOnce);
}

/// What would be taken for the answer to the message is one too many of RCPT.
#[test]
fn a_message_that_is_refused_behind_a_surplus_reply_is_never_acknowledged() {
    let scene = Scene::open(Way::AtOnce);
    let mut client = scene.transom.client();
    client.hello();
    let surplus = Act::Say("250 2.1.5 ok\r\n250 2.0.0 more\r\n");
    let script = scene.way.script().at("RCPT TO:<one@", surplus).at(".", Act::Say("550 5.7.1 not this\r\n"));
    let heard = scene.send(&mut client, &[ONE], None, || scene.next_hop.follow(script.clone()));
    assert_eq!(heard, [250, 451]);
    let log = scene.next_hop.log();
    assert_eq!((log.messages.len(), log.taken.len()), (1, 0));
    scene.transom.wait_for_log("in doubt");
}

#[test]
fn faults_of_lmtp() {
    everything_that_can_go_wrong(Way::Lmtp);
}

#[test]
fn faults_of_lmtp_one_command_at_a_time() {
    everything_that_can_go_wrong(Way::LmtpOneByOne);
}

#[test]
fn faults_of_lmtp_with_bdat() {
    everything_that_can_go_wrong(Way::LmtpChunks);
}

#[test]
fn faults_of_starttls() {
    everything_that_can_go_wrong(Way::Starttls);
}

#[test]
fn faults_of_tls() {
    everything_that_can_go_wrong(Way::Implicit);
}

#[test]
fn faults_of_bdat_in_tls() {
    everything_that_can_go_wrong(Way::StarttlsChunks);
}

#[test]
fn faults_of_a_transaction_in_one_write_in_tls() {
    everything_that_can_go_wrong(Way::StarttlsAtOnce);
}

#[test]
fn faults_of_lmtp_in_tls() {
    everything_that_can_go_wrong(Way::StarttlsLmtp);
}

#[test]
fn faults_of_lmtp_with_bdat_in_tls() {
    everything_that_can_go_wrong(Way::StarttlsLmtpChunks);
}

#[test]
fn faults_of_logging_in() {
    everything_that_can_go_wrong(Way::Login);
}
