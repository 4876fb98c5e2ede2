"""`transom schema` against a validator that nobody here wrote: what Transom takes passes, what it refuses does not. Usage: schema.py TRANSOM"""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml
from jsonschema import Draft7Validator

ROOT = Path(__file__).resolve().parents[2]
TRANSOM = sys.argv[1]


class Loader(yaml.SafeLoader):
    """YAML 1.2: `no` is a text, `22:00` too."""


Loader.yaml_implicit_resolvers = {}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))
Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile("^-?[0-9]+$"), list("-0123456789"))
Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^-?[0-9]+\.[0-9]+$"), list("-0123456789"))
Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^(?:~|null|)$"), ["~", "n", ""])


def keys_as_text(node):
    """The keys `true` and `false` are texts."""
    if isinstance(node, dict):
        return {str(key).lower() if isinstance(key, bool) else key: keys_as_text(value) for key, value in node.items()}
    return [keys_as_text(item) for item in node] if isinstance(node, list) else node


def read(text):
    return keys_as_text(yaml.load(text, Loader))


def transom(*arguments):
    return json.loads(subprocess.run([TRANSOM, *arguments], check=True, capture_output=True).stdout)


validators = {name: Draft7Validator(transom("schema", name)) for name in ["configuration", "rules"]}
for validator in validators.values():
    Draft7Validator.check_schema(validator.schema)

right = [("rules", path.name, path.read_text()) for path in sorted((ROOT / "rules").glob("*.yaml"))]
for block in re.findall("```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S):
    kind = "rules" if block.startswith("# rules/") else "configuration"
    right.append((kind, "README.md", block))
reference = (ROOT / "docs/reference.md").read_text()
right.append(("configuration", "docs/reference.md", re.search("```yaml\n(.*?)```", reference, re.S).group(1)))
manual = transom("reference", "--json")
for entry in manual["conditions"]:
    rule = {"name": "r", "when": read(entry["example"]), "then": ["discard"]}
    right.append(("rules", f"condition {entry['name']}", json.dumps({"rules": [rule]})))
for entry in manual["actions"]:
    right.append(("rules", f"action {entry['name']}", json.dumps({"rules": [{"name": "r", "then": [read(entry["example"])]}]})))

wrong = [
    ("configuration", "no relay", "listeners: [{address: 127.0.0.1:25}]"),
    ("configuration", "an unknown key", "listeners: [{adress: a:1}]\nrelay: {next_hops: [a:1]}"),
    ("configuration", "no size", "listeners: [{address: a:1}]\nrelay: {next_hops: [a:1]}\nlimits: {message_size: fifty}"),
    ("configuration", "no time", "listeners: [{address: a:1}]\nrelay: {next_hops: [a:1]}\ntimeouts: {command: 5}"),
    ("rules", "an unknown action", "rules: [{name: a, then: [tagg: x]}]"),
    ("rules", "an unknown condition", "rules: [{name: a, when: {subjet: x}, then: [discard]}]"),
    ("rules", "an unknown key of a condition", "rules: [{name: a, when: {client: {adress: 192.0.2.1}}, then: [discard]}]"),
    ("rules", "an unknown test", "rules: [{name: a, when: {subject: {containz: x}}, then: [discard]}]"),
    ("rules", "two actions in one item", "rules: [{name: a, then: [{tag: x, log: y}]}]"),
    ("rules", "an unknown word", "rules: [{name: a, on_error: ignore, then: [discard]}]"),
    ("rules", "an unknown outcome", "tests: [{name: a, inline: x, expect: {outcome: delivered}}]"),
]

failed = 0
for kind, name, text in right:
    for error in validators[kind].iter_errors(read(text)):
        failed += 1
        print(f"FAIL  schema: {name}: {error.message[:200]} at {'/'.join(map(str, error.absolute_path))}")
for kind, name, text in wrong:
    if validators[kind].is_valid(read(text)):
        failed += 1
        print(f"FAIL  schema: {name} passes")
if not failed:
    print(f"ok    schema: {len(right)} right files and examples pass, {len(wrong)} wrong ones do not")
sys.exit(failed != 0)
