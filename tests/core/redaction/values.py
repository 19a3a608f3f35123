"""Personal data and secrets as people write them, made at random; the checksums are computed here, by their
definitions, and not by the library that the redactor asks."""

from __future__ import annotations

import base64
import json
import string

DIGITS = string.digits
LETTERS = string.ascii_letters + string.digits


def digits(random, count):
    return "".join(random.choices(DIGITS, k=count))


def grouped(text, *sizes, by=" "):
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    return by.join(p for p in [*pieces, text[at:]] if p)


def fours(text):
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


NAMES = {
    "en": (["james", "olivia", "noah", "emma.j", "r.patel"], ["smith", "taylor", "obrien", "walker"], "co.uk"),
    "de": (["lukas", "hannah", "jürgen", "m.weber", "anke"], ["schneider", "müller", "koch", "becker"], "de"),
    "fr": (["camille", "hugo", "chloé", "j-p", "lea"], ["dubois", "lefevre", "moreau", "garnier"], "fr"),
    "es": (["lucia", "mateo", "sofía", "j.garcia", "pablo"], ["romero", "navarro", "ibáñez", "ortega"], "es"),
}


def email(random, language):
    first, last, country = (random.choice(x) if isinstance(x, list) else x for x in NAMES[language])
    local = random.choice(
        [f"{first}.{last}", f"{first}_{last}", f"{first}{digits(random, 2)}", f"{first}+shop", f"{first[0]}{last}"]
    )
    domain = random.choice(
        ["gmail.com", f"mail.example.{country}", f"{last.encode('ascii', 'ignore').decode()}-partner.{country}", "x.ai"]
    )
    return random.choice([str, str, str, str.title])(f"{local}@{domain}")


def luhn_digit(number):
    total = 0
    for i, digit in enumerate(reversed(number)):
        double = int(digit) * (2 if i % 2 == 0 else 1)
        total += double - 9 if double > 9 else double
    return str(-total % 10)


def card(random, _language):
    prefix, length = random.choice(
        [("4", 16), ("51", 16), ("55", 16), ("2231", 16), ("6011", 16), ("37", 15), ("34", 15)]
    )
    number = prefix + digits(random, length - len(prefix) - 1)
    number += luhn_digit(number)
    if length == 15:
        return random.choice([number, grouped(number, 4, 6), grouped(number, 4, 6, by="-")])
    return random.choice([number, fours(number), fours(number), grouped(number, 4, 4, 4, by="-")])


def iban(random, language):
    country = {"en": "GB", "de": random.choice(["DE", "AT", "CH"]), "fr": random.choice(["FR", "BE"]), "es": "ES"}[
        language
    ]
    bban = {
        "GB": "NWBK" + digits(random, 14),
        "DE": digits(random, 18),
        "AT": digits(random, 16),
        "CH": digits(random, 17),
        "BE": _belgian(random),
        "FR": _french(random),
        "ES": _spanish(random),
    }[country]
    check = 98 - int("".join(str(int(c, 36)) for c in bban + country + "00")) % 97
    written = f"{country}{check:02}{bban}"
    return random.choice([written, fours(written), fours(written), grouped(written, 4, 4, 4, 4, 4, 4, by="-")])


def _belgian(random):
    ten = "1" + digits(random, 9)
    return f"{ten}{int(ten) % 97 or 97:02}"


def _french(random):
    bank, branch, account = digits(random, 5), digits(random, 5), digits(random, 11)
    key = 97 - (89 * int(bank) + 15 * int(branch) + 3 * int(account)) % 97
    return f"{bank}{branch}{account}{key:02}"


def _spanish(random):
    bank, account = digits(random, 8), digits(random, 10)

    def check(ten):
        rest = 11 - sum(int(d) * w for d, w in zip(ten, (1, 2, 4, 8, 5, 10, 9, 7, 3, 6), strict=True)) % 11
        return {10: "1", 11: "0"}.get(rest, str(rest))

    return f"{bank}{check('00' + bank)}{check(account)}{account}"


def ssn(random):
    area = random.choice([*range(1, 666), *range(667, 900)])
    return f"{area:03}-{random.randint(1, 99):02}-{random.randint(1, 9999):04}"


def itin(random):
    return f"9{random.randint(0, 99):02}-{random.choice([*range(50, 66), *range(70, 89)])}-{digits(random, 4)}"


def nino(random):
    number = random.choice(["AB", "CE", "JG", "PX", "SY"]) + digits(random, 6) + random.choice("ABCD")
    return random.choice([number, grouped(number, 2, 2, 2, 2)])


def tax_id(random):
    """Steuer-Identifikationsnummer: one of its first ten digits stands twice, one not at all; ISO 7064 mod 11,10."""
    ten = random.sample(DIGITS, 9)
    ten.insert(random.randint(2, 9), ten[0])
    if ten[0] == "0":
        return tax_id(random)
    product = 10
    for digit in ten:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    number = "".join(ten) + str((11 - product) % 10)
    return random.choice([number, grouped(number, 2, 3, 3)])


def pension(random):
    area, birth = (
        random.choice(["12", "15", "53", "65"]),
        f"{random.randint(1, 28):02}{random.randint(1, 12):02}{digits(random, 2)}",
    )
    letter, serial = random.choice(string.ascii_uppercase), digits(random, 2)
    total = 0
    row = area + birth + f"{ord(letter) - 64:02}" + serial
    for digit, weight in zip(row, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True):
        total += sum(map(int, str(int(digit) * weight)))
    number = f"{area}{birth}{letter}{serial}{total % 10}"
    return random.choice([number, grouped(number, 2, 6, 1)])


def nir(random):
    place = random.choice(["75", "69", "13", "33", "2A", "2B"])
    born = f"{random.choice('12')}{random.randint(30, 99)}{random.randint(1, 12):02}"
    number = f"{born}{place}{digits(random, 6)}"
    key = 97 - int(number.replace("2A", "19").replace("2B", "18")) % 97
    written = f"{number}{key:02}"
    return random.choice([written, grouped(written, 1, 2, 2, 2, 3, 3)])


DNI = "TRWAGMYFPDXBNJZSQVHLCKE"


def dni(random):
    number = digits(random, 8)
    letter = DNI[int(number) % 23]
    return random.choice([number + letter, f"{number}-{letter}", f"{grouped(number, 2, 3, by='.')}-{letter}"])


def nie(random):
    letter, number = random.choice("XYZ"), digits(random, 7)
    check = DNI[int(str("XYZ".index(letter)) + number) % 23]
    return random.choice([f"{letter}{number}{check}", f"{letter}-{number}-{check}"])


ODD = dict(zip(DIGITS + string.ascii_uppercase, [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23], strict=True))  # fmt: skip # noqa: E501


def codice_fiscale(random):
    born = f"{random.randint(30, 99)}{random.choice('ABCDEHLMPRST')}{random.randint(1, 28):02}"
    number = random.choice(["RSSMRA", "BNCLCU", "VRDGPP"]) + born + random.choice(["H501", "F205", "L219"])
    even = {c: i for i, c in enumerate(DIGITS)} | {c: i for i, c in enumerate(string.ascii_uppercase)}
    total = sum(ODD[c] if i % 2 == 0 else even[c] for i, c in enumerate(number))
    return number + string.ascii_uppercase[total % 26]


def national_id(random, language):
    makers = {"en": [ssn, ssn, itin, nino], "de": [tax_id, pension], "fr": [nir], "es": [dni, nie]}[language]
    return random.choice([*makers, *makers, codice_fiscale])(random)


def phone(random, language):
    d = lambda count: digits(random, count)  # noqa: E731
    n = lambda: str(random.randint(2, 9))  # noqa: E731
    if language == "en":
        area, exchange, line = (
            random.choice(["212", "415", "617", "312", "206", "404", "713"]),
            f"{n()}{random.choice('023456789')}{d(1)}",
            d(4),
        )
        mobile = "79" + random.choice(["00", "11", "12", "46"]) + d(6)
        return random.choice([
            f"({area}) {exchange}-{line}", f"{area}-{exchange}-{line}", f"{area}.{exchange}.{line}",
            f"{area} {exchange} {line}",
            f"+1 {area} {exchange} {line}", f"+1-{area}-{exchange}-{line}", f"+1 ({area}) {exchange}-{line}",
            f"+1{area}{exchange}{line}",
            f"1-{area}-{exchange}-{line}", f"+44 {mobile[:4]} {mobile[4:]}", f"0{mobile[:4]} {mobile[4:]}",
            f"020 7{d(3)} {d(4)}",
            f"+44 20 7{d(3)} {d(4)}", f"+44 (0)20 7{d(3)} {d(4)}", f"0{mobile}",
        ])  # fmt: skip
    if language == "de":
        mobile, rest, city = (
            random.choice(["151", "160", "170", "171", "176"]),
            n() + d(6),
            random.choice(["30", "89", "40", "221"]),
        )
        rest = rest + d(1) if mobile in {"151", "176"} else rest
        line = n() + d(6)
        return random.choice([
            f"0{mobile} {rest}", f"0{mobile}/{rest}", f"0{mobile}-{rest}", f"+49 {mobile} {rest}",
            f"+49 (0){mobile} {rest}",
            f"+49{mobile}{rest}", f"0049 {mobile} {rest}", f"0{city} {line}", f"0{city}/{line}", f"(0{city}) {line}",
            f"+49 {city} {line[:4]}-{line[4:]}", f"0{city} {line[:3]} {line[3:5]} {line[5:]}", f"0{mobile}{rest}",
        ])  # fmt: skip
    if language == "fr":
        kind = random.choice("1467")
        pairs = [str(random.randint(20, 79)), *(d(2) for _ in range(3))]
        return random.choice([
            f"0{kind} {' '.join(pairs)}", f"0{kind} {' '.join(pairs)}", f"0{kind}.{'.'.join(pairs)}",
            f"0{kind}-{'-'.join(pairs)}",
            f"0{kind}{''.join(pairs)}", f"+33 {kind} {' '.join(pairs)}", f"+33{kind}{''.join(pairs)}",
            f"+33 (0){kind} {' '.join(pairs)}",
            f"0033 {kind} {' '.join(pairs)}",
        ])  # fmt: skip
    mobile, city = "6" + str(random.randint(10, 79)), random.choice(["91", "93", "95", "96"])
    rest = n() + d(5)
    return random.choice([
        f"{mobile} {rest[:3]} {rest[3:]}", f"{mobile} {rest[:2]} {rest[2:4]} {rest[4:]}",
        f"{mobile}-{rest[:3]}-{rest[3:]}", mobile + rest,
        f"+34 {mobile} {rest[:3]} {rest[3:]}", f"+34{mobile}{rest}", f"(+34) {mobile} {rest[:3]} {rest[3:]}",
        f"0034 {mobile} {rest[:3]} {rest[3:]}",
        f"{city} {n()}{d(2)} {d(2)} {d(2)}", f"{city}{n()} {d(3)} {d(3)}",
    ])  # fmt: skip


def ip(random, _language):
    first = random.choice([10, 31, 62, 85, 91, 172, 192, 203])
    v4 = f"{first}.{random.randint(1, 250)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
    groups = ["2001", random.choice(["db8", "4860", "16b8"]), *(f"{random.randint(1, 65535):x}" for _ in range(6))]
    return random.choice(
        [v4, v4, v4, ":".join(groups), f"{groups[0]}:{groups[1]}::{groups[2]}", f"fe80::{groups[3]}:{groups[4]}"]
    )


def _alphanumeric(random, count, alphabet=LETTERS):
    return "".join(random.choices(alphabet, k=count))


def key(random, _language=None):
    a = lambda count, alphabet=LETTERS: _alphanumeric(random, count, alphabet)  # noqa: E731
    h = lambda count: a(count, "0123456789abcdef")  # noqa: E731
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")  # noqa: E731
    amazon = string.ascii_uppercase + "234567"
    header, payload = {"alg": "HS256", "typ": "JWT"}, {"sub": digits(random, 10), "iat": 1516239022}
    return random.choice(
        [
            f"sk-proj-{a(40)}_{a(20)}",
            f"sk-{a(48)}",
            f"sk-ant-api03-{a(40)}-{a(30)}_AA",
            f"AKIA{a(16, amazon)}",
            f"ghp_{a(36)}",
            f"github_pat_{a(22)}_{a(59)}",
            f"glpat-{a(20)}",
            f"xoxb-{digits(random, 12)}-{digits(random, 12)}-{a(24)}",
            f"sk_live_{a(24)}",
            f"AIza{a(35)}",
            f"sk-lf-{h(8)}-{h(4)}-{h(4)}-{h(12)}",
            f"pk-lf-{h(8)}-{h(4)}-{h(4)}-{h(12)}",
            f"hf_{a(34)}",
            f"lsv2_pt_{h(32)}_{h(10)}",
            f"{part(header)}.{part(payload)}.{a(43)}",
        ]
    )


def password(random, _language=None):
    word = random.choice(["hunter", "Sommer", "soleil", "Verano", "tr0ub4dor", "correcthorse"])
    return random.choice(
        [
            f"{word}{digits(random, 2)}",
            f"{word}!{digits(random, 3)}",
            f"{word.title()}#{digits(random, 4)}",
            _alphanumeric(random, 14) + "7x",
        ]
    )


def opaque(random, _language=None):
    return _alphanumeric(random, 31) + random.choice(DIGITS)
