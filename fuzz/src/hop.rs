//! The next hop: its replies read the same in any pieces, are bounded, and pass through another server of ours unchanged; and what a client says in MAIL,
//! RCPT, XCLIENT and XFORWARD is said to it so that it reads the same, and with nothing that it has not offered; and who a client says it is ends no clause of
//! our Received.

use transom::base::clock;
use transom::message::received::{self, Stamp};
use transom::smtp::client::{Answer, Capabilities, Replies, Stage};
use transom::smtp::command::{Command, SyntaxError};
use transom::smtp::envelope::{Body, Declared, LONGEST_ORCPT, Recipient};
use transom::smtp::extension::{Extensions, Offer, Submitter};
use transom::smtp::identity::{Attribute, Identity, XCLIENT, XFORWARD, attributes};
use transom::smtp::path::Path;
use transom::smtp::reply::{self, Class, Reply};

use super::case::Case;
use super::session::sound;

/// Stands between what the next hop says and what the client says.
const HERE_THE_CLIENT: &[u8] = b"\n=\n";
const OFFER: Offer = Offer {
    size: 1000,
    room: 1000,
    recipients: 5,
    announced: Extensions::ALL,
    understood: Extensions::ALL,
    submitter: Submitter::Passed,
    known: true,
};
/// RFC 5321 4.5.3.1.4.
const LONGEST_COMMAND: usize = 512;

pub fn run(input: &[u8]) {
    let mut case = Case::of(input);
    let first = case.number(Stage::ALL.len());
    // Nearly as long as a reply may be.
    let lines = case.one(&[0, 0, 0, 0, 0, 0, 0, 129]);
    let here = case.content.windows(3).position(|three| three == HERE_THE_CLIENT);
    let (hop, client) = here.map_or((case.content, &b""[..]), |at| (&case.content[..=at], &case.content[at + 3..]));
    let filler = [hop.get(..3).unwrap_or_default(), b"-", &[b'x'; 500], b"\r\n"].concat().repeat(lines);
    let (whole, mut pieces) = ([&filler, hop].concat(), vec![&filler[..]]);
    pieces.extend(case.pieces(hop));
    assert_eq!(answers(first, &[&whole]), answers(first, &pieces), "the next hop's replies depend on how they were cut");
    let offered = Offered::by(hop);
    for line in client.split(|byte| *byte == b'\n') {
        match Command::parse(&[line.strip_suffix(b"\r").unwrap_or(line), b"\r\n"].concat(), &OFFER) {
            Ok(Command::Mail { sender, declared }) => mail(&sender, &declared, &offered),
            Ok(Command::Rcpt(one)) => recipient(&one, &offered),
            Ok(Command::Xclient(told)) => identity(&told, "XCLIENT", XCLIENT, &offered.capabilities.xclient),
            Ok(Command::Xforward(told)) => identity(&told, "XFORWARD", XFORWARD, &offered.capabilities.xforward),
            _ => {}
        }
    }
}

/// What was heard, and how each was passed on; the stages follow each other.
fn answers(first: usize, pieces: &[&[u8]]) -> Vec<String> {
    let mut replies = Replies::default();
    let mut stages = Stage::ALL.into_iter().cycle().skip(first);
    let mut stage = stages.next().expect("there are stages");
    let mut heard = Vec::new();
    for piece in pieces {
        replies.push(piece);
        loop {
            match replies.next(stage) {
                Ok(Some(answer)) => {
                    bounded(stage, &answer);
                    for passed in [reply::passed(stage, &answer), reply::passed_silently(stage, &answer)] {
                        pass(stage, &answer, &passed);
                    }
                    heard.push(format!("{stage:?} {:?} {answer:?}", answer.meaning(stage)));
                    stage = stages.next().expect("there are stages");
                }
                Ok(None) => break,
                // What follows garbage is never read.
                Err(error) => {
                    assert!(error.to_string().len() < 1000);
                    heard.push("garbage".to_owned());
                    return heard;
                }
            }
        }
        assert!(replies.waiting() <= 64 * 1024, "a reply that never ends is kept");
    }
    heard.push(format!("{} more bytes", replies.waiting()));
    heard
}

fn bounded(stage: Stage, answer: &Answer) {
    assert!((200..600).contains(&answer.code));
    assert!((1..=if stage == Stage::Hello { 200 } else { 20 }).contains(&answer.text.split('\n').count()));
    assert!(answer.text.split('\n').all(|line| line.len() <= 512 && line.bytes().all(|byte| matches!(byte, b' '..=b'~'))), "{answer:?}");
    assert!(answer.enhanced.is_none_or(|enhanced| u16::from(enhanced.0) == answer.code / 100));
}

fn pass(stage: Stage, answer: &Answer, passed: &Reply) {
    let bytes = sound(passed);
    // What is no verdict is our trouble; a 2xx is 250.
    assert!(
        passed.code() == answer.code || passed.class() == Class::Transient || (passed.code(), answer.class()) == (250, Class::Done),
        "{answer:?} is passed on as {passed:?}"
    );
    if !matches!(stage, Stage::Mail | Stage::Recipient | Stage::Data | Stage::Dot) {
        return;
    }
    let mut replies = Replies::default();
    replies.push(&bytes);
    let again = replies.next(stage).ok().flatten().expect("a reply is read as one");
    assert_eq!((replies.waiting(), sound(&reply::passed(stage, &again))), (0, bytes), "another server passes on something else");
}

/// What a next hop offers, and the keywords it said that with.
struct Offered {
    capabilities: Capabilities,
    keywords: Vec<String>,
}

impl Offered {
    fn by(hop: &[u8]) -> Offered {
        let mut replies = Replies::default();
        replies.push(hop);
        let Ok(Some(answer)) = replies.next(Stage::Hello) else {
            return Offered { capabilities: Capabilities::default(), keywords: Vec::new() };
        };
        let keywords = answer.text.split('\n').skip(1).filter_map(|line| line.split_ascii_whitespace().next());
        let keywords = keywords.map(str::to_ascii_uppercase).collect();
        let capabilities = Capabilities::read(&answer);
        assert!(capabilities.chunking || !capabilities.binary);
        assert!(capabilities.limits.recipients != Some(0) && capabilities.limits.transactions != Some(0), "nothing could be sent");
        Offered { capabilities, keywords }
    }

    /// The parameters of a command are its own.
    fn has_said(&self, line: &str) {
        for parameter in line.trim_end().split(' ').skip_while(|word| !word.ends_with('>')).skip(1) {
            let keyword = parameter.split('=').next().unwrap_or_default();
            let extensions: &[&str] = match keyword {
                "BODY" => &["8BITMIME", "BINARYMIME"],
                "RET" | "ENVID" | "NOTIFY" | "ORCPT" => &["DSN"],
                // Whoever says it has seen to it.
                "REQUIRETLS" => continue,
                _ => &[keyword],
            };
            assert!(extensions.iter().any(|one| self.keywords.iter().any(|known| known == one)), "{keyword} was not offered: {line}");
        }
    }
}

/// What a server of ours offers.
fn everything() -> Capabilities {
    let auth = vec!["PLAIN".to_owned()];
    let (size, eight_bit, smtputf8, chunking, binary, dsn, requiretls) = (true, true, true, true, true, true, true);
    Capabilities { size, eight_bit, smtputf8, chunking, binary, dsn, requiretls, auth, ..Capabilities::default() }
}

fn read(line: &str) -> Result<Command, SyntaxError> {
    Command::parse(line.as_bytes(), &OFFER)
}

fn mail(sender: &Path, declared: &Declared, offered: &Offered) {
    assert_eq!(Path::parse(sender.address()).as_ref(), Ok(sender));
    let body = declared.body.filter(|body| *body == Body::BinaryMime).unwrap_or(Body::EightBitMime);
    let said = Command::Mail { sender: sender.clone(), declared: Declared { body: Some(body), ..declared.clone() } };
    assert_eq!(read(&everything().mail(sender, declared, false)), Ok(said), "MAIL was changed on its way");
    if offered.capabilities.can_say(std::iter::once(sender)) {
        let line = offered.capabilities.mail(sender, declared, false);
        assert!(matches!(read(&line), Ok(Command::Mail { sender: back, .. }) if back == *sender), "{line}");
        // The sender may have blanks and `>` in quotes.
        if !sender.address().contains('"') {
            offered.has_said(&line);
        }
    }
}

fn recipient(recipient: &Recipient, offered: &Offered) {
    assert_eq!(Path::parse(recipient.address()).as_ref(), Ok(recipient.path()));
    let elsewhere = Path::parse("new@elsewhere.example").expect("an address");
    for one in [recipient.clone(), recipient.rewritten(elsewhere)] {
        let say = |capabilities: &Capabilities, smtputf8| {
            let mut line = String::new();
            capabilities.rcpt(&one, smtputf8, &mut line);
            line
        };
        assert!(same(&read(&say(&everything(), true)), &one), "RCPT was changed on its way: {one:?}");
        if one.is_ascii() {
            let line = say(&everything(), false);
            assert!(line.is_ascii(), "{line}");
            assert!(same(&read(&line), &one), "RCPT was changed in ASCII: {line}");
        }
        if !one.address().contains('"') {
            offered.has_said(&say(&offered.capabilities, true));
        }
    }
}

/// The same recipient. Its ORCPT may be written in other letters, and is left out where it gets too long.
fn same(back: &Result<Command, SyntaxError>, one: &Recipient) -> bool {
    let Ok(Command::Rcpt(back)) = back else { return false };
    let notify = |one: &Recipient| one.wishes().and_then(|wishes| wishes.notify);
    let original = |one: &Recipient| one.wishes().and_then(|wishes| wishes.orcpt.as_deref()).map(str::to_owned);
    let (said, heard) = (original(one), original(back));
    let too_long = said.as_ref().is_some_and(|said| in_ascii(said) > LONGEST_ORCPT);
    let same = said.as_deref().map(spelled_out) == heard.as_deref().map(spelled_out);
    back.path() == one.path() && notify(back) == notify(one) && (same || (too_long && heard.is_none()))
}

/// Bytes of an ORCPT that is written in ASCII.
fn in_ascii(orcpt: &str) -> usize {
    orcpt.chars().map(|letter| if letter.is_ascii() { 1 } else { format!("\\x{{{:X}}}", u32::from(letter)).len() }).sum()
}

/// With its `\x{HEX}` as letters (RFC 6533 3).
fn spelled_out(orcpt: &str) -> String {
    let mut pieces = orcpt.split("\\x{");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let (digits, rest) = piece.split_once('}').unwrap_or(("", piece));
        let letter = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
        letter.map_or_else(|| format!("{text}\\x{{{piece}"), |letter| format!("{text}{letter}{rest}"))
    })
}

fn identity(told: &[Attribute], verb: &str, known: &[&str], announced: &[String]) {
    let words: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert_eq!(attributes(&words.join(" "), known).as_deref(), Some(told), "{words:?} reads differently");
    let identity = Identity::default().told(told.to_vec());
    traced(&identity);
    let all: Vec<String> = known.iter().map(|one| (*one).to_owned()).collect();
    let mut back = Identity::default();
    for command in identity.commands(verb, &all) {
        assert!(command.len() <= LONGEST_COMMAND, "{command}");
        match read(&command) {
            Ok(Command::Xclient(told) | Command::Xforward(told)) => back = back.told(told),
            other => panic!("{command} is {other:?}"),
        }
    }
    // What is too long for a command is told as unknown.
    if words.iter().all(|word| verb.len() + 1 + word.len() + 2 <= LONGEST_COMMAND) {
        assert_eq!(back, identity, "somebody else arrives");
    }
    for command in identity.commands(verb, announced) {
        let names = command.trim_end().split(' ').skip(1).filter_map(|word| word.split('=').next());
        names.for_each(|name| assert!(announced.iter().any(|known| known == name), "{name} was not announced: {command}"));
    }
}

/// What we write of it is one field of ASCII, in which our own token is found.
fn traced(identity: &Identity) {
    let stamp = Stamp {
        helo: identity.helo.as_deref().unwrap_or_default(),
        name: identity.name.as_deref(),
        address: identity.address,
        by: "mx.example",
        with: "ESMTP",
        tls: None,
        id: "1",
        token: "TOKEN",
        recipient: None,
        time: clock::now(),
    };
    let field = received::field(&stamp);
    let text = std::str::from_utf8(field.raw()).expect("ASCII");
    let lines: Vec<&str> = text.strip_suffix("\r\n").expect("a field ends in CR LF").split("\r\n").collect();
    assert!(lines.iter().skip(1).all(|line| line.starts_with(' ')), "{text}");
    assert!(lines.iter().all(|line| line.len() <= 998 && line.bytes().all(|byte| matches!(byte, b' '..=b'~'))), "{text}");
    assert_eq!(received::hops(std::slice::from_ref(&field), "TOKEN"), (1, 1), "{text}");
}
