//! `transom user`: who may log in at a listener (`auth.users`). The file is replaced as a whole; a server that runs reads it when it is told to reload.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde_json::json;

use super::{Exit, Global, complain, say, show};
use crate::base::disk::Replacement;
use crate::base::secret::Secret;
use crate::config::users::Users;
use crate::smtp::auth::prepare;
use crate::smtp::auth::scram::Keys;
use crate::yaml::Problems;

const EXAMPLES: &str = "\
Examples:
  transom user add --users users.yaml anna@example.org
  pass show mail/anna | transom user add --users users.yaml --password-stdin anna@example.org
  transom user list --users users.yaml
  transom user remove --users users.yaml anna@example.org
  systemctl reload transom                              so that the server reads the file again

The file holds keys made of the passwords (SCRAM-SHA-256), not the passwords. A listener names it:
  listeners: [{address: 0.0.0.0:587, auth: {users: users.yaml, required: true}}]";

/// Who may log in: add, list, remove
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Add(Add),
    List(List),
    Remove(Remove),
}

const ADD_EXAMPLES: &str = "\
Examples:
  transom user add --users users.yaml anna@example.org
  transom user add --users users.yaml --password-stdin anna@example.org < password

The password is asked for twice. A user that is there already gets the new one.";

/// Takes a user in, or gives it another password; makes the file if it is not there
#[derive(Debug, clap::Args)]
#[command(after_help = ADD_EXAMPLES)]
struct Add {
    #[command(flatten)]
    file: File,
    /// The password is what standard input has, but for one final line end
    #[arg(long)]
    password_stdin: bool,
    /// As the user will say it when logging in; capital letters count
    name: String,
}

/// Lists the users
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  transom user list --users users.yaml\n  transom user list --users users.yaml --json | jq -r '.[].name'"
)]
struct List {
    #[command(flatten)]
    file: File,
    /// A list of objects, on standard output
    #[arg(long)]
    json: bool,
}

/// Takes a user out
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  transom user remove --users users.yaml anna@example.org")]
struct Remove {
    #[command(flatten)]
    file: File,
    name: String,
}

#[derive(Debug, clap::Args)]
struct File {
    /// The file that `auth.users` names
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
}

/// Does what was asked.
pub fn run(args: Args, _: &Global) -> Exit {
    let done = match args.what {
        What::Add(add) => add.run(),
        What::List(list) => list.run(),
        What::Remove(remove) => remove.run(),
    };
    done.unwrap_or_else(|exit| exit)
}

impl Add {
    fn run(self) -> Result<Exit, Exit> {
        let Add { file: File { users: path }, password_stdin, name } = self;
        let name = prepare::name(&name).ok_or_else(|| {
            complain("error: this can be no name of a user: it is empty, longer than 255 bytes, or has control characters");
            Exit::Usage
        })?;
        // What is wrong with the file is told before a password is asked for.
        if path.exists() {
            read(&path)?;
        }
        let password = password(&name, password_stdin)?;
        let keys = Keys::new(&password);
        let changed = change(&path, true, |users| Ok(users.put(name.clone(), keys)))?;
        Ok(say(&format!("{name}: {}\n", if changed { "has another password" } else { "added" })))
    }
}

impl List {
    fn run(self) -> Result<Exit, Exit> {
        let users = read(&self.file.users)?;
        if self.json {
            let all: Vec<_> = users.names().map(|(name, iterations)| json!({ "name": name, "iterations": iterations })).collect();
            return Ok(say(&format!("{:#}\n", json!(all))));
        }
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(["user", "iterations"]);
        for (name, iterations) in users.names() {
            table.add_row([name.to_owned(), iterations.to_string()]);
        }
        let nobody = users.names().next().is_none();
        Ok(say(&if nobody { "nobody\n".to_owned() } else { format!("{}\n", table.trim_fmt()) }))
    }
}

impl Remove {
    fn run(self) -> Result<Exit, Exit> {
        let name = prepare::name(&self.name).unwrap_or(self.name);
        let path = self.file.users;
        change(&path, false, |users| {
            if users.remove(&name) {
                return Ok(());
            }
            complain(&format!("error: {} has no user `{}`", path.display(), name.escape_debug()));
            Err(Exit::NoInput)
        })?;
        Ok(say(&format!("{name}: removed\n")))
    }
}

fn read(path: &Path) -> Result<Users, Exit> {
    let mut problems = Problems::default();
    Users::read(path, &mut problems).map_err(|_| {
        show(&problems);
        if path.exists() { Exit::Config } else { Exit::NoInput }
    })
}

/// Reads the file, changes it and puts it back; nobody else can meanwhile.
fn change<T>(path: &Path, may_be_new: bool, change: impl FnOnce(&mut Users) -> Result<T, Exit>) -> Result<T, Exit> {
    let failed = |error: &io::Error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            let beside = Replacement::beside(path);
            complain(&format!("error: {} is there: another `transom user` is at work, or was killed; then remove it", beside.display()));
            return Exit::TempFail;
        }
        complain(&format!("error: cannot write {}: {error}", path.display()));
        Exit::Io
    };
    let is_new = may_be_new && !path.exists();
    if !is_new {
        read(path)?;
    }
    let replacement = Replacement::begin(path).map_err(|error| failed(&error))?;
    // Not before nobody else can write it any more.
    let mut users = if path.exists() { read(path)? } else { Users::default() };
    let changed = change(&mut users)?;
    replacement.finish(users.written().as_bytes()).map_err(|error| failed(&error))?;
    Ok(changed)
}

/// From the terminal, twice, or from standard input.
fn password(name: &str, from_stdin: bool) -> Result<Secret, Exit> {
    let text = if from_stdin {
        let mut text = zeroize::Zeroizing::new(String::new());
        io::stdin().lock().take(64 * 1024).read_to_string(&mut text).map_err(|error| {
            complain(&format!("error: cannot read the password from standard input: {error}"));
            if error.kind() == io::ErrorKind::InvalidData { Exit::Data } else { Exit::Io }
        })?;
        let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        Secret::new(line)
    } else if io::stdin().is_terminal() {
        let first = ask(&format!("Password for {name}: "))?;
        if ask("Once more: ")? != first {
            complain("error: these are two passwords; nothing has changed");
            return Err(Exit::Data);
        }
        first
    } else {
        complain("error: there is no terminal to ask for the password: say --password-stdin and give it on standard input");
        return Err(Exit::Usage);
    };
    text.text().and_then(prepare::password).ok_or_else(|| {
        complain("error: this can be no password: it is empty, longer than 255 bytes, or has control characters");
        Exit::Data
    })
}

fn ask(prompt: &str) -> Result<Secret, Exit> {
    rpassword::prompt_password(prompt).map(Secret::new).map_err(|error| {
        complain(&format!("error: cannot ask for a password: {error}"));
        Exit::Io
    })
}
