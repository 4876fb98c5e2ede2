"""Asks other readers and Transom what they see in the tricks. Usage: compare.py TRANSOM NODE-MODULES [--update]

Nothing that one of the readers shows may be hidden from the rules: a condition sees it, or a `malformed` flag is raised. What honest programs write raises no flag.
`--update` writes what the readers show to expectations.json and the honest messages to honest.json, which `cargo test` replays without any of these programs."""

import base64
import json
import re
import subprocess
import sys
import tempfile
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from honest import honest
from tricks import tricks

HERE = Path(__file__).resolve().parent
EXPECTATIONS = HERE / "expectations.json"
HONEST = HERE / "honest.json"
# Letters that show nothing, dots and blanks at the end: a name that differs in them only is the same name.
INVISIBLE = {"Cc", "Cf", "Cs"}


def readers(modules):
    return {
        "python": [sys.executable, HERE / "read_python.py"],
        "mail-parser": [sys.executable, HERE / "read_mail_parser.py"],
        "mailparser": ["node", HERE / "read_mailparser.js", modules / "mailparser"],
        "mime-tools": ["perl", HERE / "read_mime_tools.pl"],
    }


def ask(command, messages):
    done = subprocess.run(command, input=messages, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def shown_name(name):
    """As a reader would save it: without path, without what shows nothing."""
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(c for c in name if unicodedata.category(c) not in INVISIBLE)
    return re.sub(r"\s+", " ", name).strip(" '\"").rstrip(". ").strip()


def same_name(shown, seen):
    """Where the reader could not read a character, it may be any."""
    return shown == seen or bool("\ufffd" in shown and re.fullmatch(".*".join(map(re.escape, re.split("\ufffd+", shown))), seen))


def shown_words(texts):
    """The words that must not be hidden."""
    return sorted({word for text in texts for word in re.findall(r"zebra[a-z]*", text)})


def merged(shown):
    """What any of the readers shows of one message, and which."""
    names, words, attachments = {}, {}, []
    for reader, one in shown.items():
        for name in filter(None, map(shown_name, one["names"])):
            names.setdefault(name, []).append(reader)
        for word in shown_words(one["texts"]):
            words.setdefault(word, []).append(reader)
        if one["attachments"]:
            attachments.append(reader)
    unique = lambda found: {key: sorted(set(readers)) for key, readers in sorted(found.items())}
    return {"names": unique(names), "words": unique(words), "attachments": attachments}


def explain(transom, message, rules):
    done = subprocess.run([transom, "explain", "-", "--json", "--rules", rules], input=message, capture_output=True, timeout=60)
    if done.returncode != 0:
        return {"refused": done.stderr.decode()}
    return json.loads(done.stdout)


def hidden(expected, seen):
    """What readers show and neither a condition nor a flag sees."""
    if "refused" in seen or seen["malformed"]:
        return []
    attachments = [part for part in seen["parts"] if part["attachment"]]
    # The path is left to the name as a rule sees it: what a reader saves is behind it.
    names = {shown_name(name) for part in attachments for name in part["names"]}
    texts = [part.get(view, "") for part in seen["parts"] for view in ("text", "shown")]
    words = shown_words(texts)
    out = [f"the name {name!r} ({', '.join(by)})" for name, by in expected["names"].items() if not any(same_name(name, one) for one in names)]
    out += [f"the word {word!r} ({', '.join(by)})" for word, by in expected["words"].items() if not any(word in text for text in texts)]
    if expected["attachments"] and not attachments and not words:
        out.append(f"an attachment ({', '.join(expected['attachments'])})")
    return [f"{one}; Transom sees {sorted(names)}, {words}" for one in out]


def faults(name, seen):
    """What is wrong with the way an honest message is seen."""
    if "refused" in seen:
        return [seen["refused"]]
    names = [name for part in seen["parts"] if part["attachment"] for name in part["names"]]
    out = [f"the flag {flag}" for flag in seen["malformed"]]
    return out + ([f"the name {name!r} is not among {names}"] if name is not None and name not in names else [])


def written(rows):
    return "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n"


def main():
    transom, modules, *options = sys.argv[1:]
    modules = Path(modules).resolve()
    fair = honest(modules)
    messages = json.dumps([base64.b64encode(message).decode() for message in tricks.values()])
    answers = {name: ask(command, messages) for name, command in readers(modules).items()}
    expected = {trick: merged({name: answers[name][index] for name in answers}) for index, trick in enumerate(tricks)}
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(4) as pool:
        rules = Path(directory) / "none.yaml"
        rules.write_text("rules: []\n")
        seen = dict(zip(tricks, pool.map(lambda message: explain(transom, message, rules), tricks.values())))
        fair_seen = list(pool.map(lambda one: explain(transom, one[2], rules), fair))
    failed = 0
    for trick in tricks:
        for one in hidden(expected[trick], seen[trick]):
            failed += 1
            print(f"FAIL  {trick}: {one}")
    for (writer, name, _), one in zip(fair, fair_seen):
        for fault in faults(name, one):
            failed += 1
            print(f"FAIL  written by {writer}: {fault}")
    if "--update" in options:
        EXPECTATIONS.write_text(written({"trick": trick, "message": tricks[trick].decode("latin-1"), **expected[trick]} for trick in tricks))
        HONEST.write_text(written({"writer": writer, "name": name, "message": message.decode("latin-1")} for writer, name, message in fair))
    flagged = sum(bool(one.get("malformed") or one.get("refused")) for one in seen.values())
    print(f"{len(tricks)} tricks, {len(answers)} readers: {flagged} flagged; {len(fair)} honest messages; {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
