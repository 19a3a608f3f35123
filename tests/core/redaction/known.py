"""Values by Faker: formats that we did not think of ourselves, in sentences that say nothing about them.

`python -m tests.core.redaction.known` prints the table of `docs/redaction.md`. What Faker makes up against the rules is
left out: American area codes that nobody has, Britain's `ZZ` insurance numbers, its German "ssn" that is American.
"""

from __future__ import annotations

from faker import Faker

SENTENCES = {
    "en_US": "We spoke with the customer at {} yesterday.",
    "en_GB": "We spoke with the customer at {} yesterday.",
    "de_DE": "Wir haben gestern mit {} gesprochen.",
    "fr_FR": "Hier nous avons parlé avec {} au bureau.",
    "es_ES": "Ayer hablamos con {} en la oficina.",
}
EVERYWHERE = tuple(SENTENCES)
MAKERS = {
    "EMAIL": (EVERYWHERE, ("email", "ascii_company_email")),
    "IBAN": (EVERYWHERE, ("iban",)),
    "IP": (EVERYWHERE, ("ipv4_public", "ipv6")),
    "NATIONAL_ID": (("en_US", "fr_FR"), ("ssn",)),
    "PHONE": (("en_GB", "de_DE", "fr_FR", "es_ES"), ("phone_number",)),
}
CARDS = ("visa16", "mastercard", "amex", "discover", "jcb16", "jcb15", "diners")
BOUNDS = {"EMAIL": 0.99, "IBAN": 0.99, "IP": 0.99, "NATIONAL_ID": 0.99, "CARD": 0.99, "PHONE": 0.9}
DRAWS = 100


def values(kind):
    """Of that kind: Faker's locale, and the value."""
    locales, names = MAKERS.get(kind, (EVERYWHERE, ()))
    for locale in locales:
        fake = Faker(locale)
        fake.seed_instance(3)
        for _ in range(DRAWS):
            for name in names:
                yield locale, getattr(fake, name)()
            if kind == "CARD":
                yield locale, fake.credit_card_number(fake.random_element(CARDS))


def recall(redactor, kind):
    """How many values were found whole, of how many, and which were missed."""
    whole, missed = 0, []
    for locale, value in values(kind):
        text = SENTENCES[locale].format(value)
        start = text.index(value)
        whole += 1
        if not any(f.kind == kind and (f.start, f.end) == (start, start + len(value)) for f in redactor.find(text)):
            missed.append((locale, value))
    return whole - len(missed), whole, missed


def main():
    from spanloom.content.redaction import Patterns

    print("| kind | values | recall |\n|---|---|---|")
    for kind in BOUNDS:
        found, whole, missed = recall(Patterns(), kind)
        print(f"| `{kind}` | {whole} | {found / whole:.3f} |", missed[:8])


if __name__ == "__main__":
    main()
