//! The users of a listener: a YAML file of SCRAM keys, from which no password can be had back. `transom user` writes it.
//!
//! ```yaml
//! secret: 5pZ…=            # what makes names that are not there look as if they were
//! users:
//!   anna: SCRAM-SHA-256$100000:SALT$STORED:SERVER
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::base::secret::Secret;
use crate::base::{disk, random};
use crate::smtp::auth::check::{Check, Unable};
use crate::smtp::auth::scram::Keys;
use crate::smtp::auth::{decoded, encoded, prepare};
use crate::yaml::{FromNode, Kind, Node, Problems, Reported, Settings, Source, parse, quoted};

const SECRET: usize = 32;
const HEAD: &str =
    "# Made by `transom user`: keys of passwords, not the passwords. Who has them can guess at those: let nobody else read this file.\n";

/// Who may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    secret: Secret,
    keys: BTreeMap<String, Keys>,
}

impl Default for Users {
    /// Nobody, with a secret of its own.
    fn default() -> Users {
        Users { secret: Secret::new(random::bytes::<SECRET>()), keys: BTreeMap::new() }
    }
}

impl Users {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Reported`], every mistake at its place.
    pub fn read(path: &Path, problems: &mut Problems) -> Result<Users, Reported> {
        match disk::read_to_string(path) {
            Ok(text) => Users::parse(&path.display().to_string(), text, problems),
            Err(error) => {
                Err(problems.missing(format!("the users file {} cannot be read: {error}", path.display()), "`transom user add` makes one"))
            }
        }
    }

    fn parse(name: &str, text: String, problems: &mut Problems) -> Result<Users, Reported> {
        let node = parse(&Source::new(name, text), problems).ok_or(Reported)?;
        Users::from_node(&node, problems)
    }

    /// The file.
    #[must_use]
    pub fn written(&self) -> String {
        let mut text = format!("{HEAD}secret: {}\nusers:{}\n", encoded(self.secret.bytes()), if self.keys.is_empty() { " {}" } else { "" });
        for (name, keys) in &self.keys {
            let _ = writeln!(text, "  {}: {keys}", quoted(name));
        }
        text
    }

    /// Each name with how often its password is hashed, in order.
    pub fn names(&self) -> impl Iterator<Item = (&str, u32)> {
        self.keys.iter().map(|(name, keys)| (name.as_str(), keys.iterations()))
    }

    /// Takes a user in, or gives it other keys. Whether it was there.
    pub fn put(&mut self, name: String, keys: Keys) -> bool {
        self.keys.insert(name, keys).is_some()
    }

    /// Whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.keys.remove(name).is_some()
    }
}

impl Check for Users {
    fn password(&self, user: &str, password: &Secret) -> Result<bool, Unable> {
        self.keys(user).map(|keys| keys.is_of(password))
    }

    fn has_keys(&self) -> bool {
        true
    }

    fn keys(&self, user: &str) -> Result<Keys, Unable> {
        // Made for whom is there as well, so that it takes as long.
        let decoy = Keys::decoy(user, &self.secret, self.keys.values());
        Ok(self.keys.get(user).cloned().unwrap_or(decoy))
    }

    fn knows(&self, user: &str) -> bool {
        self.keys.contains_key(user)
    }
}

impl FromNode for Users {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Users, Reported> {
        let mut settings = Settings::of("a users file", node, problems)?;
        let secret = settings.need::<Key>("secret", problems);
        let users = match settings.node("users") {
            Some(node) => users(node, problems),
            None => Ok(BTreeMap::new()),
        };
        settings.finish(problems)?;
        Ok(Users { secret: secret?.0, keys: users? })
    }
}

fn users(node: &Node, problems: &mut Problems) -> Result<BTreeMap<String, Keys>, Reported> {
    // Its keys are names of people.
    let entries = match &node.kind {
        Kind::Null => return Ok(BTreeMap::new()),
        Kind::Map(entries) => entries,
        _ => return Err(node.wants("names, each with its keys", problems)),
    };
    let mut users = Ok(BTreeMap::new());
    for (name, node) in entries {
        let keys = problems.naming(format!("`{}`", name.text), |problems| Keys::from_node(node, problems));
        let named = if prepare::name(&name.text).as_ref() == Some(&name.text) {
            Ok(())
        } else {
            Err(problems.error(&name.span, "this can be no name of a user", "let `transom user add` write it"))
        };
        match (&mut users, keys, named) {
            (Ok(users), Ok(keys), Ok(())) => drop(users.insert(name.text.clone(), keys)),
            (users, ..) => *users = Err(Reported),
        }
    }
    users
}

struct Key(Secret);

impl FromNode for Key {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Key, Reported> {
        let bytes = node.scalar().and_then(decoded).filter(|bytes| bytes.len() >= SECRET);
        let label = "`transom user add` makes one in a new file";
        bytes.map(|bytes| Key(Secret::new(bytes))).ok_or_else(|| problems.error(&node.span, "`secret` wants 32 bytes in base64", label))
    }
}

impl FromNode for Keys {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Keys, Reported> {
        node.scalar().unwrap_or_default().parse().map_err(|error| {
            let title = format!("{} wants {error}", problems.named().unwrap_or("this"));
            problems.error(&node.span, title, "`transom user add` with the same name writes it anew")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::auth::scram::ITERATIONS;

    fn keys(password: &str) -> Keys {
        Keys::of(&Secret::new(password), b"0123456789abcdef", 4096)
    }

    fn read(text: &str) -> Result<Users, Vec<String>> {
        let mut problems = Problems::default();
        Users::parse("users.yaml", text.to_owned(), &mut problems).map_err(|Reported| {
            problems.iter().map(|problem| format!("{} {}", problem.place().unwrap_or_default(), problem.title)).collect()
        })
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut users = Users::default();
        assert_eq!(read(&users.written()), Ok(users.clone()));
        for name in ["anna", "anna@example.org", "a: b", "#1", "jürgen", "true", "'x'"] {
            assert!(!users.put(name.to_owned(), keys(name)));
        }
        assert_eq!(read(&users.written()), Ok(users.clone()));
        assert!(users.put("anna".to_owned(), keys("other")) && users.remove("anna") && !users.remove("anna"));
        assert_eq!(users.names().count(), 6);
    }

    #[test]
    fn a_password_is_right_for_its_user_only() {
        let mut users = Users::default();
        users.put("anna".to_owned(), keys("pencil"));
        let right = |user: &str, password: &str| users.password(user, &Secret::new(password)).unwrap();
        assert!(right("anna", "pencil") && !right("anna", "pen") && !right("bob", "pencil") && !right("Anna", "pencil"));
    }

    #[test]
    fn a_name_that_is_not_there_has_the_same_keys_each_time_and_costs_what_others_cost() {
        let mut users = Users::default();
        users.put("anna".to_owned(), keys("pencil"));
        assert_eq!(users.keys("bob"), users.keys("bob"));
        assert_eq!(users.keys("bob").unwrap().iterations(), 4096);
        assert_eq!(Users::default().keys("bob").unwrap().iterations(), ITERATIONS);
        assert_ne!(Users::default().keys("bob"), users.keys("bob"));
    }

    #[test]
    fn names_that_are_not_there_look_like_all_the_users_and_not_like_their_neighbour() {
        let mut users = Users::default();
        for (name, salt, iterations) in [("anna", 16, 4096), ("zoe", 40, 5000)] {
            users.put(name.to_owned(), Keys::of(&Secret::new("x"), &vec![1; salt], iterations));
        }
        let looks = |name: String| {
            let keys = users.keys(&name).unwrap().to_string();
            let (head, _) = keys.rsplit_once('$').unwrap();
            let (iterations, salt) = head.trim_start_matches("SCRAM-SHA-256$").split_once(':').unwrap();
            (iterations.to_owned(), decoded(salt.split_once('$').map_or(salt, |(salt, _)| salt)).unwrap().len())
        };
        let seen: std::collections::BTreeSet<_> = (0..64).map(|number| looks(format!("bob{number}"))).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [("4096".to_owned(), 16), ("5000".to_owned(), 40)]);
    }

    #[test]
    fn every_mistake_is_told_at_its_place() {
        let good = encoded(&[1; 32]);
        let told = read(&format!(
            "secret: {good}\nusers:\n  anna: x\n  \"b\\nc\": {}\n  d: {}\nuser: 1\n",
            keys("x"),
            keys("y").to_string().replace("$4096:", "$1:")
        ));
        assert_eq!(
            told.unwrap_err(),
            [
                "users.yaml:3:9 `anna` wants keys of SCRAM-SHA-256 as `transom user add` writes them",
                "users.yaml:4:3 this can be no name of a user",
                "users.yaml:5:6 `d` wants between 4096 and 5000000 iterations",
                "users.yaml:6:1 unknown key in a users file: `user`",
            ]
        );
        assert_eq!(read("users: {}").unwrap_err(), ["users.yaml:1:1 a users file has no `secret`"]);
        assert_eq!(read("secret: abc").unwrap_err(), ["users.yaml:1:9 `secret` wants 32 bytes in base64"]);
    }
}
