"""Runs in Presidio's environment: trains a small model of names, reads texts with it, and says what it found.

Every attempt to reach the network is refused, and told.
"""

import json
import random
import socket
import sys

attempts = []


def refuse(*address, **_):
    attempts.append(str(address))
    raise OSError("no network here")


socket.socket.connect = refuse
socket.getaddrinfo = refuse

import spacy  # noqa: E402
from spacy.training import Example  # noqa: E402

NAMES = [
    "Olivia Walker",
    "James Smith",
    "Emma Taylor",
    "Noah Patel",
    "Lucy Brown",
    "Henry Clark",
    "Grace Adams",
    "Peter Miller",
]
PLACES = ["Leeds", "Boston", "Berlin", "Madrid", "Lyon", "Dublin", "Chicago", "Vienna"]
SENTENCES = (
    "My name is {n} and I live in {p}.",
    "{n} moved to {p} last year.",
    "Please call {n} about the order.",
    "The office in {p} is closed.",
    "Yesterday {n} wrote to us from {p}.",
    "The order was sent on Friday.",
    "Write to support@example.com.",
    "An invoice has 00:11:22:33:44:55 on it.",
    "You said that it works.",
)


def example(nlp, sentence, name, place):
    entities, text, rest = [], "", sentence
    while "{" in rest:
        before, _, rest = rest.partition("{")
        text += before
        value, label = (name, "PERSON") if rest[0] == "n" else (place, "GPE")
        entities.append((len(text), len(text) + len(value), label))
        text, rest = text + value, rest[2:]
    return Example.from_dict(nlp.make_doc(text + rest), {"entities": entities})


def trained(folder):
    spacy.util.fix_random_seed(0)
    random.seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    examples = [example(nlp, s, n, p) for s in SENTENCES for n, p in zip(NAMES, PLACES, strict=True)]
    nlp.initialize(lambda: examples)
    for _ in range(20):
        random.shuffle(examples)
        for at in range(0, len(examples), 8):
            nlp.update(examples[at : at + 8])
    nlp.to_disk(folder)


def main():
    folder, *texts = sys.argv[1:]
    trained(folder)

    from spanloom.content.redaction import Placeholders, Presidio, redacted
    from spanloom.errors import ConfigurationError

    names = Presidio({"en": folder})
    everything = Presidio({"en": folder}, entities=("PERSON", "LOCATION", "EMAIL_ADDRESS", "MAC_ADDRESS"))
    placeholders = Placeholders()
    try:
        Presidio({"en": "en_core_web_lg"})
        refused = ""
    except ConfigurationError as error:
        refused = str(error)
    once = [redacted(text, names, placeholders, 1)[0] for text in texts]
    print(
        json.dumps(
            {
                "redacted": once,
                "again": [redacted(text, names, placeholders, 1)[0] for text in once],
                "long": len(names.find("My name is Olivia Walker and I live in Leeds. " * 2_500)),
                "own": [f.kind for f in everything.find("olivia@example.com has 00:1a:2b:3c:4d:5e")],
                "alone": [
                    kind
                    for *_, kind in Presidio({"en": folder}, entities=("EMAIL_ADDRESS",))._named("olivia@example.com")
                ],
                "refused": refused,
                "attempts": attempts,
            }
        )
    )


if __name__ == "__main__":
    main()
