//! Where mail goes: by the recipient's domain, by a rule, by the listener, through the real server.

use std::fmt::Write as _;

use crate::support::next_hop::{Act, NextHop, Script};
use crate::support::transom::Transom;

const MAIL: &[u8] = b"Subject: offer\r\n\r\ntext\r\n";

/// A server with the routes `partner` (by domain) and `other` (by rule or listener), beside the next hops of `relay:`.
struct Ways {
    relay: NextHop,
    partner: NextHop,
    other: NextHop,
}

impl Ways {
    fn new() -> Ways {
        let hop = || NextHop::start([Script::good()]);
        Ways { relay: hop(), partner: hop(), other: hop() }
    }

    fn configuration(&self, rules: &str) -> String {
        let Ways { relay, partner, other } = self;
        let mut text =
            "hostname: filter.example.org\nlisteners: [{address: 127.0.0.1:0}, {name: b, address: 127.0.0.1:0, route: other}]\n".to_owned();
        let _ = writeln!(text, "relay: {{next_hops: [\"{}\"]}}", relay.address);
        let _ =
            writeln!(text, "routes:\n  partner: {{next_hops: [\"{}\"], domains: [partner.example, .partner.example]}}", partner.address);
        let _ = writeln!(text, "  other: {{next_hops: [\"{}\"]}}", other.address);
        if !rules.is_empty() {
            text.push_str("chain: [{include: a.yaml}]\n");
        }
        text
    }

    fn start(&self, rules: &str) -> Transom {
        Transom::start_with(&self.configuration(rules), &[("a.yaml", &format!("rules:\n{rules}"))])
    }

    /// Who got how many messages: relay, partner, other.
    fn got(&self) -> [usize; 3] {
        [&self.relay, &self.partner, &self.other].map(|hop| hop.log().messages.len())
    }
}

#[test]
fn a_recipient_goes_where_its_domain_does_and_those_of_two_ways_come_apart() {
    let ways = Ways::new();
    let server = ways.start("");
    let mut client = server.client();
    client.hello();
    client.expect("MAIL FROM:<a@outside.example>", "250");
    client.expect("RCPT TO:<b@inside.example>", "250");
    client.expect("RCPT TO:<c@partner.example>", "452 4.5.3");
    client.expect("DATA", "354");
    assert!(client.data(MAIL).starts_with("250"));
    assert!(client.send("a@outside.example", &["c@partner.example", "d@x.Partner.example"], MAIL).starts_with("250"));
    assert_eq!(ways.got(), [1, 1, 0]);
    assert_eq!(ways.partner.log().taken, [["c@partner.example", "d@x.Partner.example"]]);
}

#[test]
fn a_listener_has_a_route_and_a_domain_one_before_it() {
    let ways = Ways::new();
    let server = ways.start("");
    let mut client = crate::support::client::Client::connect(server.listener(1));
    client.hello();
    assert!(client.send("a@outside.example", &["b@inside.example"], MAIL).starts_with("250"));
    assert!(client.send("a@outside.example", &["b@partner.example"], MAIL).starts_with("250"));
    assert_eq!(ways.got(), [0, 1, 1]);
}

#[test]
fn more_than_the_next_hop_of_a_route_takes_at_once_have_transactions_of_their_own_or_are_held() {
    let few = Script::offering(&["PIPELINING", "LIMITS RCPTMAX=2"]).at("RCPT TO:<e@", Act::Say("450 4.2.0 later\r\n"));
    let ways = Ways { other: NextHop::start([few]), ..Ways::new() };
    let server = ways.start("  - {name: r, when: {subject: offer}, then: [route: other]}\n");
    let mut client = server.client();
    client.hello();
    let all = ["b@inside.example", "c@inside.example", "d@inside.example", "e@inside.example", "f@inside.example"];
    assert!(client.send("a@outside.example", &all, MAIL).starts_with("250"));
    // One of two is put off there: the two of them are held, and the last one is not.
    assert_eq!(ways.other.log().taken, [vec!["b@inside.example", "c@inside.example"], vec!["f@inside.example"]]);
    let held = String::from_utf8(server.command().args(["quarantine", "list"]).output().unwrap().stdout).unwrap();
    assert!(held.contains("d@inside.example") && !held.contains("b@inside.example") && !held.contains("f@inside.example"), "{held}");
    assert!(server.wait_for_log("are held").contains("450 4.2.0 later"));
    assert_eq!(ways.got(), [0, 0, 2]);
}

#[test]
fn where_one_way_refused_all_another_is_open() {
    let ways = Ways { relay: NextHop::start([Script::good().at("RCPT", Act::Say("550 5.1.1 no such user\r\n"))]), ..Ways::new() };
    let server = ways.start("");
    let mut client = server.client();
    client.hello();
    client.expect("MAIL FROM:<a@outside.example>", "250");
    client.expect("RCPT TO:<b@inside.example>", "550 5.1.1");
    client.expect("RCPT TO:<c@partner.example>", "250");
    client.expect("RCPT TO:<d@inside.example>", "452 4.5.3");
    client.expect("DATA", "354");
    assert!(client.data(MAIL).starts_with("250"));
    assert_eq!(ways.got(), [0, 1, 0]);
}

#[test]
fn a_rule_says_it_for_a_recipient_or_moves_the_whole_mail() {
    let ways = Ways::new();
    let server = ways.start(
        "  - {name: there, at: recipient, when: {recipient: {local: there}}, then: [{route: other}]}
  - {name: moved, when: {subject: moved}, then: [{route: other}]}\n",
    );
    let mut client = server.client();
    client.hello();
    assert!(client.send("a@outside.example", &["there@partner.example"], MAIL).starts_with("250"));
    assert_eq!(ways.got(), [0, 0, 1]);
    assert!(client.send("a@outside.example", &["b@inside.example"], b"Subject: moved\r\n\r\nx\r\n").starts_with("250"));
    assert_eq!(ways.got(), [0, 0, 2]);
    let log = ways.relay.wait_for(|log| log.count("RSET") == 1);
    assert_eq!((log.count("RCPT"), log.count("DATA")), (1, 0));
    // The next one is on its own way again.
    assert!(client.send("a@outside.example", &["b@inside.example"], MAIL).starts_with("250"));
    assert_eq!(ways.got(), [1, 0, 2]);
}

#[test]
fn who_is_refused_where_a_rule_sent_the_mail_was_never_asked_about_and_is_held() {
    let ways = Ways { other: NextHop::start([Script::good().at("RCPT", Act::Say("550 5.1.1 no such user\r\n"))]), ..Ways::new() };
    let server = ways.start("  - {name: moved, then: [{route: other}]}\n");
    let mut client = server.client();
    client.hello();
    assert!(client.send("a@outside.example", &["b@inside.example"], MAIL).starts_with("250"));
    assert_eq!(ways.got(), [0, 0, 0]);
    let listed = server.command().args(["quarantine", "list", "--json"]).output().unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(rows[0]["reason"].as_str().unwrap().contains("no such user"), "{rows}");
}

#[test]
fn what_is_held_is_released_by_its_own_route() {
    let ways = Ways::new();
    let rules = "  - {name: held, then: [quarantine]}\n";
    let server = ways.start(rules);
    let mut client = server.client();
    client.hello();
    assert!(client.send("a@outside.example", &["b@partner.example"], MAIL).starts_with("250"));
    assert_eq!(ways.got(), [0, 0, 0]);
    server.wait_for_log("outcome=quarantine");
    let command = |arguments: &[&str]| {
        let output = server.command().args(["quarantine"]).args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let rows: serde_json::Value = serde_json::from_str(&command(&["list", "--json"]).1).unwrap();
    let id = rows[0]["id"].as_str().unwrap();
    assert!(command(&["show", id]).1.contains("route       partner"));
    // Without that route it stays.
    let whole = ways.configuration(rules);
    let without: String = whole.split_inclusive('\n').filter(|line| !line.starts_with("  partner")).collect();
    std::fs::write(server.directory().join("transom.yaml"), without).unwrap();
    let (released, told) = command(&["release", id]);
    assert!(!released && told.contains("there is no route called `partner` any more"), "{told}");
    std::fs::write(server.directory().join("transom.yaml"), whole).unwrap();
    let (released, told) = command(&["release", id]);
    assert!(released, "{told}");
    assert_eq!(ways.got(), [0, 1, 0]);
}

#[test]
fn a_route_that_leads_back_to_us_refuses_the_start() {
    let ways = Ways::new();
    let server = ways.start("");
    // The second one's route leads to the first, which has the same store and so the same token.
    let text = ways.configuration("").replace(&ways.other.address.to_string(), &server.address().to_string());
    std::fs::write(server.directory().join("second.yaml"), text).unwrap();
    let output = server.command().args(["serve", "--config", "second.yaml"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("is this Transom itself") && told.contains("routes.other.next_hops"), "{told}");
}

#[test]
fn a_reload_keeps_the_route_of_a_listener_that_stays() {
    let ways = Ways::new();
    let server = ways.start("");
    let text = ways.configuration("");
    let gone: String = text.split_inclusive('\n').filter(|line| !line.starts_with("  other")).collect();
    let told = server.reload(&gone.replace(", {name: b, address: 127.0.0.1:0, route: other}", ""), &[]);
    assert!(told.contains("its route `other` is gone"), "{told}");
}
