//! Logins, of clients here and ours at a next hop: who has the password gets in on both sides, nobody else does, whatever is said; who changes a message of
//! SCRAM on its way is found out; and names and users files read as they were written.

use std::sync::{Arc, LazyLock};

use transom::base::secret::Secret;
use transom::config::users::Users;
use transom::smtp::auth::check::{Check, Claim, Proof, Unable};
use transom::smtp::auth::client::{Account, Login, LoginError, Wire};
use transom::smtp::auth::scram::{self, Hash, Keys};
use transom::smtp::auth::server::{Exchange, Turn};
use transom::smtp::auth::{Bindings, Mechanism, login, plain, prepare};
use transom::yaml::{self, FromNode, Problems, Source};

use super::case::Case;

const USER: &str = "user";
const PASSWORD: &str = "pencil";
/// Of that password, hashed as rarely as may be.
const KEYS: &str =
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
/// In a message of the fuzzer: the nonce that the other side has said.
const NONCE: u8 = 1;
/// Iterations beyond this take the fuzzer too long.
const SLOW: u32 = 5000;
/// Turns of an exchange.
const MOST_TURNS: usize = 6;

pub fn run(input: &[u8]) {
    let mut case = Case::of(input);
    match case.number(5) {
        0 => between(&mut case),
        1 => client_says(&mut case),
        2 => server_says(&mut case),
        3 => users_file(case.content),
        _ => names(case.content),
    }
}

/// One user.
#[derive(Debug)]
struct Directory;

static KNOWN: LazyLock<Keys> = LazyLock::new(|| KEYS.parse().expect("keys"));

impl Check for Directory {
    fn password(&self, user: &str, password: &Secret) -> Result<bool, Unable> {
        Ok(user == USER && *password == Secret::new(PASSWORD))
    }

    fn has_keys(&self) -> bool {
        true
    }

    fn keys(&self, user: &str) -> Result<Keys, Unable> {
        let decoy = Keys::decoy(user, &Secret::new("x"), [&*KNOWN].into_iter());
        Ok(if user == USER { KNOWN.clone() } else { decoy })
    }
}

fn bindings(case: &mut Case<'_>) -> Bindings {
    let number = case.number(4);
    Bindings { exporter: (number & 1 == 1).then_some([7; 32]), end_point: (number & 2 == 2).then(|| vec![9; 32]) }
}

/// A message on its way: which one is changed, where, and into what.
struct Between<'a> {
    number: usize,
    which: usize,
    place: usize,
    removed: usize,
    added: &'a [u8],
    has_changed: bool,
}

impl Between<'_> {
    fn pass(&mut self, message: &[u8]) -> Vec<u8> {
        let mut out = message.to_vec();
        if self.number == self.which {
            let start = self.place % (out.len() + 1);
            let end = (start + self.removed).min(out.len());
            out.splice(start..end, self.added.iter().copied());
            self.has_changed = out != message;
        }
        self.number += 1;
        out
    }
}

/// Our login at a server of ours, somebody between them.
fn between(case: &mut Case<'_>) {
    let mechanism = case.one(&Mechanism::OF_SERVER);
    let has_password = case.number(2) == 0;
    let (here, there) = (bindings(case), bindings(case));
    let [which, place, removed] = [8, 256, 8].map(|limit| case.number(limit));
    let mut between = Between { number: 0, which, place, removed, added: case.content, has_changed: false };
    let password = Secret::new(if has_password { PASSWORD } else { "pencils" });
    let account = Account { user: USER.to_owned(), password, mechanisms: Some(vec![mechanism]), without_tls: true };
    let Ok(mut login) = Login::choose(&Arc::new(account), mechanism.name(), Wire { private: false, bindings: &here }) else {
        assert!(mechanism.binds() && here.best().is_none());
        return;
    };
    let same = !mechanism.binds() || here.best().is_some_and(|kind| here.of_kind(kind) == there.of_kind(kind));
    let offered_plus = mechanism.binds();
    let mut exchange = Exchange::new(mechanism, offered_plus, Arc::new(there));
    let initial = login.begin().map(|message| Secret::new(between.pass(&message)));
    let mut turn = exchange.start(initial);
    // What came of it on our side; none as long as nothing has.
    let mut ended: Option<Result<(), LoginError>> = None;
    let mut user = None;
    for _ in 0..MOST_TURNS {
        turn = match turn {
            Turn::Ask(claim) => exchange.found(claim.check(&Directory).expect("they can be asked")),
            Turn::Challenge(text) => match login.answer(&between.pass(&text)) {
                Ok(answer) => exchange.respond(&Secret::new(between.pass(&answer))),
                Err(error) => {
                    ended = Some(Err(error));
                    break;
                }
            },
            Turn::User(found) => {
                ended = Some(login.end(235, &"2.7.0 ok"));
                user = Some(found);
                break;
            }
            Turn::Failed => {
                ended = Some(login.end(535, &"5.7.8 no"));
                break;
            }
        };
    }
    let ended = ended.expect("a login ends");
    assert!(user.as_deref().is_none_or(|user| user == USER), "somebody else got in");
    if !between.has_changed {
        let right = has_password && same;
        assert_eq!((ended.is_ok(), user.is_some()), (right, right), "{mechanism}: {ended:?}");
    } else if !mechanism.shows_password() && which <= 2 {
        // Both proofs are of all that was said before them.
        assert!(ended.is_err() && user.is_none(), "{mechanism}: message {which} was changed and nobody saw it");
    }
}

/// The fuzzer's messages.
fn messages(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|byte| *byte == b'\n')
}

/// With the nonce filled in that the other side has said.
fn filled_in(message: &[u8], said: &[u8]) -> Vec<u8> {
    let nonce = said.windows(2).position(|two| two == b"r=").map_or(&b""[..], |at| &said[at + 2..]);
    let nonce = nonce.split(|byte| *byte == b',').next().unwrap_or_default();
    message.iter().flat_map(|byte| if *byte == NONCE { nonce } else { std::slice::from_ref(byte) }).copied().collect()
}

/// Any client at our server.
fn client_says(case: &mut Case<'_>) {
    let mechanism = case.one(&Mechanism::BEST_FIRST);
    let (offered_plus, begins) = (case.number(2) == 1, case.number(2) == 0);
    let mut exchange = Exchange::new(mechanism, offered_plus, Arc::new(bindings(case)));
    let mut messages = messages(case.content);
    let initial = if begins { messages.next().map(Secret::new) } else { None };
    let mut knows_password = initial.as_ref().is_some_and(shows_password);
    let mut turn = exchange.start(initial);
    for _ in 0..2 * MOST_TURNS {
        turn = match turn {
            Turn::Ask(Claim { user, identity, proof }) => {
                for name in identity.iter().chain([&user]) {
                    assert_eq!(prepare::name(name).as_ref(), Some(name), "a name is looked up under another");
                }
                if let Proof::Password(password) = &proof {
                    assert!((1..=prepare::LONGEST).contains(&password.bytes().len()));
                }
                exchange.found(Claim { user, identity, proof }.check(&Directory).expect("they can be asked"))
            }
            Turn::Challenge(text) => {
                assert!(text.len() < 1000, "a challenge of {} bytes", text.len());
                let Some(message) = messages.next() else { return };
                let message = Secret::new(filled_in(message, &text));
                knows_password |= shows_password(&message);
                exchange.respond(&message)
            }
            Turn::User(user) => {
                assert!(knows_password && mechanism.shows_password() && &*user == USER, "{user} got in");
                return;
            }
            Turn::Failed => {
                assert_eq!(exchange.respond(&Secret::new("")), Turn::Failed, "it goes on after its end");
                return;
            }
        };
    }
    panic!("a login without an end");
}

/// Whether the password is in a message, however it is written.
fn shows_password(message: &Secret) -> bool {
    let text = String::from_utf8_lossy(message.bytes());
    text.split('\0').any(|part| prepare::password(part).is_some_and(|part| part == Secret::new(PASSWORD)))
}

/// Any server at our client.
fn server_says(case: &mut Case<'_>) {
    let here = bindings(case);
    let mechanism = case.one(&[None, Some(Mechanism::ScramSha1), Some(Mechanism::ScramSha256), Some(Mechanism::Login)]);
    let (without_tls, code) = (case.number(2) == 0, case.one(&[235, 334, 454, 504, 530, 534, 535, 538, 250]));
    let mut messages = messages(case.content);
    let offered = String::from_utf8_lossy(messages.next().unwrap_or_default());
    let account =
        Account { user: USER.to_owned(), password: Secret::new(PASSWORD), mechanisms: mechanism.map(|one| vec![one]), without_tls };
    let mut login = match Login::choose(&Arc::new(account), &offered, Wire { private: false, bindings: &here }) {
        Ok(login) => login,
        Err(error) => return told(&error),
    };
    let mechanism = login.mechanism();
    assert!(!mechanism.shows_password() || without_tls, "the password crosses an open wire");
    assert!(offered.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case(mechanism.name())), "{mechanism} was not offered");
    let mut said = login.begin().map_or_else(Vec::new, |message| message.to_vec());
    for message in messages {
        let message = filled_in(message, &said);
        if is_slow(&message) {
            return;
        }
        match login.answer(&message) {
            Ok(answer) => {
                let shown = answer.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
                assert!(!shown || mechanism.shows_password(), "the password was said");
                said = answer.to_vec();
            }
            Err(error) => return told(&error),
        }
    }
    match login.end(code, &"a reply") {
        Ok(()) => assert!(code == 235 && mechanism.shows_password(), "who does not know the password was believed"),
        Err(error) => told(&error),
    }
}

fn is_slow(message: &[u8]) -> bool {
    let text = String::from_utf8_lossy(message);
    text.split(',').any(|part| part.strip_prefix("i=").and_then(|number| number.parse().ok()).is_some_and(|number: u32| number > SLOW))
}

/// What goes into a log.
fn told(error: &LoginError) {
    let text = error.to_string();
    assert!(text.len() < 1000 && !text.contains(char::is_control), "{text:?}");
}

fn users_file(content: &[u8]) {
    let Ok(text) = std::str::from_utf8(content) else { return };
    let mut problems = Problems::default();
    let read = |text: &str, problems: &mut Problems| {
        yaml::parse(&Source::new("users.yaml", text), problems).and_then(|node| Users::from_node(&node, problems).ok())
    };
    let Some(users) = read(text, &mut problems) else {
        assert!(problems.any_error(), "nothing was read and nothing is told");
        problems.sort();
        assert!(!problems.render(false).is_empty());
        return;
    };
    for (name, iterations) in users.names() {
        assert!(users.knows(name) && users.keys(name).is_ok_and(|keys| keys.iterations() == iterations));
    }
    written(&users);
}

/// It is read again as it is.
fn written(users: &Users) {
    let (text, mut problems) = (users.written(), Problems::default());
    let node = yaml::parse(&Source::new("users.yaml", text.as_str()), &mut problems);
    let again = node.and_then(|node| Users::from_node(&node, &mut problems).ok());
    assert!(again.as_ref() == Some(users), "{text}\n{}", problems.render(false));
}

/// A name and a password, however they are spelled.
fn names(content: &[u8]) {
    let content = String::from_utf8_lossy(content);
    let (raw, password) = content.split_once('\n').unwrap_or((&content, PASSWORD));
    let (Some(name), Some(prepared)) = (prepare::name(raw), prepare::password(password)) else { return };
    assert_eq!(prepare::name(&name).as_ref(), Some(&name), "prepared twice it is another");
    let mut users = Users::default();
    users.put(name.clone(), KNOWN.clone());
    written(&users);
    let proof = Proof::Password(prepared);
    if !raw.contains('\0') && !password.contains('\0') {
        let claim = plain::read(&plain::write(raw, &Secret::new(password)));
        assert_eq!(claim, Some(Claim { user: name.clone(), identity: None, proof: proof.clone() }));
    }
    assert_eq!(login::read(raw.as_bytes(), password.as_bytes()), Some(Claim { user: name.clone(), identity: None, proof }));
    let said = scram::Client::new(Hash::Sha256, raw, &Secret::new(password), None, false).first();
    let first = scram::First::read(said.as_bytes(), false, false, &Bindings::default());
    assert_eq!(first.map(|first| first.user), Some(name), "{said}");
}
