//! Recipients that the rules tell apart, through the real server: each gets its own change, once; and what the command line says of them.

use std::process::Output;

use serde_json::Value;

use super::support::recorder::Recorder;
use super::support::transom::{Transom, basics};

const RULES: &str = r"rules:
  - name: old names
    at: recipient
    when: {recipient: {domain: old.example}}
    then: [{recipient.replace: {matches: '@old\.example$', with: '@inside.example'}}]
  - name: no mail for robots
    at: recipient
    when: {recipient: {local: robot}}
    then: [{reject: {code: 550, enhanced: 5.7.1, text: nobody reads this}}]
  - name: no large mail for lists
    at: recipient
    when: {recipient: {local: list}, size: {over: 10}}
    then: [{reject: {text: too large}}]
  - name: sales
    when: {recipient: {local: sales}}
    then: [{header.add: {name: X-Desk, value: sales}}]
  - name: leaving
    when: {direction: [outbound, transit]}
    then: [{header.add: {name: X-Way, value: out}}]

tests:
  - name: each gets what is meant for it
    inline: 'Subject: hi'
    envelope: {to: [anna@inside.example, sales@old.example, robot@inside.example]}
    expect:
      outcome: deliver
      recipients: [anna@inside.example, sales@inside.example]
      for:
        anna@inside.example: {unchanged: true, fired: []}
        sales@old.example: {header: {name: X-Desk, equals: sales}, fired: [old names, sales], recipients: sales@inside.example}
        robot@inside.example: {outcome: reject, reply: 550 5.7.1 nobody reads this, fired: [no mail for robots]}
  - name: on its way out
    direction: outbound
    inline: 'Subject: hi'
    expect: {fired: [leaving]}
";

const MAIL: &[u8] = b"Subject: offer\r\n\r\ntext\r\n";

fn start(next_hop: &Recorder) -> Transom {
    let inside = "inside: {domains: [inside.example, old.example], networks: [127.0.0.0/8]}\n";
    Transom::start_with(&format!("{}{inside}chain: [{{include: a.yaml}}]\n", basics(next_hop.address())), &[("a.yaml", RULES)])
}

/// One transaction as a pipelining client makes it: which recipients are to come again, and which were refused.
fn send(server: &Transom, recipients: &[String]) -> (Vec<String>, Vec<String>) {
    let mut client = server.client();
    client.hello();
    let asked = recipients.iter().fold("MAIL FROM:<a@inside.example>\r\n".to_owned(), |asked, path| format!("{asked}RCPT TO:<{path}>\r\n"));
    client.raw(format!("{asked}DATA\r\n").as_bytes());
    assert!(client.reply().starts_with("250 "));
    let (mut again, mut refused) = (Vec::new(), Vec::new());
    for path in recipients {
        match &client.reply() {
            reply if reply.starts_with("250 ") => {}
            reply if reply.starts_with("452 4.5.3 ") => again.push(path.clone()),
            reply => refused.push(format!("{path}: {reply}")),
        }
    }
    assert!(client.reply().starts_with("354 "));
    assert!(client.data(MAIL).starts_with("250 "));
    (again, refused)
}

#[test]
fn recipients_of_different_classes_each_get_their_own_message_once() {
    let next_hop = Recorder::start();
    let server = start(&next_hop);
    let mut left: Vec<String> = ["anna", "sales", "robot", "bob"].map(|name| format!("{name}@inside.example")).to_vec();
    left.extend(["sales@old.example".to_owned(), "x@outside.example".to_owned()]);
    let (mut transactions, mut all_refused) = (0, Vec::new());
    while !left.is_empty() {
        let (again, refused) = send(&server, &left);
        all_refused.extend(refused);
        left = again;
        transactions += 1;
    }
    assert_eq!(all_refused, ["robot@inside.example: 550 5.7.1 nobody reads this"]);
    assert_eq!(transactions, 3);
    let marks = |content: &str| (content.contains("X-Desk: sales\r\n"), content.contains("X-Way: out\r\n"));
    let seen: Vec<_> =
        next_hop.taken().iter().map(|mail| (mail.recipients.join(" "), marks(&String::from_utf8_lossy(&mail.message)))).collect();
    let wanted = [
        ("anna@inside.example bob@inside.example".to_owned(), (false, false)),
        ("sales@inside.example".to_owned(), (true, false)),
        ("x@outside.example".to_owned(), (false, true)),
    ];
    assert_eq!(seen, wanted);
}

fn explain(server: &Transom, arguments: &[&str]) -> Output {
    let message = server.directory().join("m.eml");
    std::fs::write(&message, MAIL).unwrap();
    let recipients =
        ["--to", "anna@inside.example", "--to", "sales@old.example", "--to", "bob@inside.example", "--to", "robot@inside.example"];
    server.command().arg("explain").arg(message).args(recipients).args(arguments).output().unwrap()
}

#[test]
fn explain_shows_which_recipients_part_and_by_which_rule() {
    let server = start(&Recorder::start());
    let text = String::from_utf8(explain(&server, &[]).stdout).unwrap();
    assert!(text.contains("for <anna@inside.example>, <bob@inside.example>\n"), "{text}");
    assert!(text.contains("for <sales@old.example>  told apart by: sales\n"), "{text}");
    assert!(text.contains("for <robot@inside.example>  told apart by: no mail for robots\n"), "{text}");
    let told: Value = serde_json::from_slice(&explain(&server, &["--json"]).stdout).unwrap();
    assert_eq!((&told["given"], &told["told_apart_by"]), (&serde_json::json!(["anna@inside.example", "bob@inside.example"]), &Value::Null));
    let others = told["others"].as_array().unwrap();
    assert_eq!(others.len(), 2);
    assert_eq!((&others[0]["recipients"], &others[0]["told_apart_by"]), (&serde_json::json!(["sales@inside.example"]), &"sales".into()));
    assert_eq!((&others[1]["outcome"], &others[1]["reply"]), (&"reject".into(), &"550 5.7.1 nobody reads this".into()));
    let inside: Value =
        serde_json::from_slice(&explain(&server, &["--json", "--client", "127.0.0.1", "--to", "x@outside.example"]).stdout).unwrap();
    assert_eq!(inside["others"][2]["fired"], serde_json::json!(["leaving"]));
    // As servers do, it announces the size.
    let text = String::from_utf8(explain(&server, &["--to", "list@inside.example"]).stdout).unwrap();
    assert!(text.contains("550 5.7.1 too large") && !text.contains("not announced"), "{text}");
}

#[test]
fn explain_shows_what_became_at_rcpt_of_each_recipient_of_one_copy() {
    let server = start(&Recorder::start());
    let message = server.directory().join("m.eml");
    std::fs::write(&message, MAIL).unwrap();
    let explain = |recipients: [&str; 2]| {
        let output = server.command().arg("explain").arg(&message).args(["--to", recipients[0], "--to", recipients[1]]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let text = explain(["sales@inside.example", "sales@old.example"]);
    assert!(text.contains("a.yaml:2  for <sales@old.example>\n"), "{text}");
    assert!(text.contains("deliver · to <sales@inside.example> · "), "{text}");
    let text = explain(["anna@inside.example", "bob@inside.example"]);
    assert!(!text.contains("for <bob") && text.contains("deliver · nothing changed"), "{text}");
}

fn check(configuration: &str, rules: &str) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let basics = "hostname: filter.example.org\nlisteners: [{address: 127.0.0.1:0}]\nrelay: {next_hops: [127.0.0.1:2525], split: client}\n";
    std::fs::write(directory.path().join("transom.yaml"), format!("{basics}chain: [{{include: a.yaml}}]\n{configuration}")).unwrap();
    std::fs::write(directory.path().join("a.yaml"), rules).unwrap();
    let output = super::support::transom::transom(directory.path()).arg("check").output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn check_warns_of_a_text_that_names_the_recipient_and_wants_inside_for_direction() {
    let named = "rules:\n  - name: mark\n    then:\n      - header.add: {name: X-For, value: '${recipient}'}\n";
    let (status, told) = check("", named);
    assert_eq!(status, 0, "{told}");
    assert!(told.contains("`${recipient}` makes every recipient a class of its own") && told.contains("a.yaml:4:"), "{told}");
    let direction = "rules:\n  - name: out\n    when: {direction: outbound}\n    then: [discard]\n";
    let (status, told) = check("", direction);
    assert_eq!(status, 78, "{told}");
    assert!(told.contains("`direction` needs to know what is inside") && told.contains("a.yaml:3:"), "{told}");
    assert_eq!(check("inside: {domains: [inside.example]}\n", direction).0, 0);
    let early = "rules:\n  - name: early\n    at: recipient\n    when: {subject: x}\n    then: [discard]\n";
    let (status, told) = check("", early);
    assert!(status == 78 && told.contains("runs before the message is here: no `subject`"), "{told}");
}

const HELD: &str = r"rules:
  - name: look at it
    at: recipient
    when: {recipient: {local: desk}}
    then: [{recipient.set: new@inside.example}, {quarantine: {reason: '${recipient} is watched'}}, {tag: watched}]
  - name: later
    when: {tag: watched}
    then: [{header.add: {name: X-Watched, value: 'yes'}}]
";

#[test]
fn what_a_rule_at_rcpt_holds_is_released_to_whom_the_rules_left() {
    let next_hop = Recorder::start();
    let server = Transom::start_with(&format!("{}chain: [{{include: a.yaml}}]\n", basics(next_hop.address())), &[("a.yaml", HELD)]);
    for form in [&[][..], &["--received"]] {
        let (again, refused) = send(&server, &["desk@inside.example".to_owned(), "anna@inside.example".to_owned()]);
        assert_eq!((again, refused), (vec!["anna@inside.example".to_owned()], Vec::new()));
        let rows: Value =
            serde_json::from_slice(&server.command().args(["quarantine", "list", "--json"]).output().unwrap().stdout).unwrap();
        assert_eq!(rows[0]["reason"], "new@inside.example is watched", "{rows}");
        let id = rows[0]["id"].to_string().replace('"', "");
        let output = server.command().arg("quarantine").arg("release").arg(id).args(form).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let got: Vec<_> = next_hop
        .taken()
        .iter()
        .map(|mail| (mail.recipients.join(" "), String::from_utf8_lossy(&mail.message).contains("X-Watched: yes")))
        .collect();
    assert_eq!(got, [("new@inside.example".to_owned(), true), ("new@inside.example".to_owned(), false)]);
}
