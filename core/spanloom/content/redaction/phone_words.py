"""Words before a number that say that it is a phone number, or something else."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SAYS_PHONE = re.compile(
    r"\b(?:tel|tél|telephone|téléphone|telefono|teléfono|telefon|telefonnummer|phone|phones|cell|mobile|mobil|móvil"
    r"|celular|handy|handynummer|mobilnummer|portable|fax|whatsapp|sms|text|texted|call|called|calling|dial"
    r"|ring (?:me|us|him|her)|reach|hotline|rufnummer|durchwahl|anrufen|ruf|rufen|ruft|anruf|erreichbar|erreichen"
    r"|erreichst|appeler|appelez|appelle|appel|joindre|joignable|rappeler|rappelez|rappel|llamar|llame|llama"
    r"|llamada|llámame|llámeme"
    r"|numéro de téléphone|contact number|phone number|my number|meine nummer|mon numéro|mi número)\b"
    r"|phone|telefon|téléphone|teléfono|手机|电话|電話|هاتف|телефон",
    re.IGNORECASE,
)
# Directly before: "order 415-…", "Auftragsnummer: …", "référence client n° …".
_SAYS_OTHER = re.compile(
    r"(?:\b(?:order|invoice|ticket|tracking|shipment|parcel|sku|isbn|issn|ean|gtin|upc|doi|ref|reference|case|batch"
    r"|serial|part|model|version|build|commit|ids?|uid|uuid|key|price|total|amount|sum|population|article|item|account"
    r"|customer|bestellung|rechnung|auftrag|artikel|kunden?|sendung|vorgang|preis|summe|betrag|konto|aktenzeichen"
    r"|commande|facture|colis|suivi|référence|dossier|série|article|prix|montant|client|compte|pedido|factura|envío"
    r"|seguimiento|referencia|expediente|serie|artículo|precio|importe|cliente|cuenta|timestamp|ts|seed|offset|page)"
    r"|\B(?:(?<!telefon)(?<!handy)(?<!mobil)(?<!ruf)(?<!fax)nummer|_id|_no|zeichen)|#|№)"
    r"(?:[ \t_-]{0,2}\b(?:no|nr|num|number|nummer|número|numéro|ids?|code|cliente?|is|was|ist|war|est|es|of|de|von|n))?"
    r"[ \t.:#°º=\"'-]{0,6}$",
    re.IGNORECASE,
)
# One of these is in whatever `_SAYS_PHONE` finds, and one of those ends whatever `_SAYS_OTHER` does.
_PHONE_STEMS = (
    *("tel", "tél", "phone", "cel", "mobil", "móvil", "handy", "portable", "fax", "whatsapp", "sms", "text", "call"),
    *("dial", "ring", "reach", "hotline", "nummer", "durchwahl", "ruf", "erreich", "appel", "joi", "llam", "llám"),
    *("num", "núm"),
)
_PHONE_PARTS = ("phone", "telefon", "téléphone", "teléfono")
_PHRASES = {"ring", "contact", "my", "meine", "mon", "mi"}  # begin with these
_PHONE_WORDS = frozenset(
    word for word in re.split(r"[|()]", _SAYS_PHONE.pattern.partition("(?:")[2].rpartition(")")[0]) if word.isalpha()
) - {"me", "us", "him", "her"}
_WORD = re.compile(r"\w+")
_OTHER_WORDS = (
    *("order", "invoice", "ticket", "tracking", "shipment", "parcel", "sku", "isbn", "issn", "ean", "gtin", "upc"),
    *("doi", "ref", "reference", "case", "batch", "serial", "part", "model", "version", "build", "commit", "id", "ids"),
    *("uid", "uuid", "key", "price", "total", "amount", "sum", "population", "article", "item", "account", "customer"),
    *("bestellung", "rechnung", "auftrag", "artikel", "kunde", "kunden", "sendung", "vorgang", "preis", "summe"),
    *("betrag", "konto", "aktenzeichen", "commande", "facture", "colis", "suivi", "référence", "dossier", "série"),
    *("prix", "montant", "client", "compte", "pedido", "factura", "envío", "seguimiento", "referencia", "expediente"),
    *("serie", "artículo", "precio", "importe", "cliente", "cuenta", "timestamp", "ts", "seed", "offset", "page"),
    *("nummer", "_id", "_no", "zeichen", "№"),
    *("no", "nr", "num", "number", "nummer", "número", "numéro", "code", "is", "was", "ist", "war", "est", "es"),
    *("of", "de", "von", "n"),
)
_OTHER_ENDS = tuple(
    word for word in _OTHER_WORDS if not any(word != end and word.endswith(end) for end in _OTHER_WORDS)
)
_BEHIND_OTHER = " \t.:#°º=\"'-\n"

REACH, _NEAR = 40, 16  # characters before a number in which a word counts, and in which it wins


def says_phone(before: str) -> bool | None:
    """Whether the words before say that it is a phone number (True), or something else (False)."""
    lower = before.lower()
    if not _is_latin(before):  # outside of Latin-1 a letter may be another's other case
        if _SAYS_PHONE.search(before, max(0, len(before) - _NEAR)):
            return True
        if _SAYS_OTHER.search(before):
            return False
        return True if _SAYS_PHONE.search(before) else None
    last = _last_word(lower) if _any_in(_PHONE_STEMS, lower) else -1
    if last >= max(0, len(before) - _NEAR):
        return True
    if ("#" in before or lower.rstrip(_BEHIND_OTHER).endswith(_OTHER_ENDS)) and _SAYS_OTHER.search(before):
        return False
    return True if last >= 0 else None


def may_say_phone(before: str) -> bool:
    """Whether there may be a word for a phone number, be it cut off at the beginning."""
    return not _is_latin(before) or _any_in(_PHONE_STEMS, before.lower())


def _last_word(lower: str) -> int:
    """Where the last begins that `_SAYS_PHONE` would find; -1 if it finds none."""
    last = max(map(lower.rfind, _PHONE_PARTS))
    for word in _WORD.finditer(lower):
        if word[0] in _PHONE_WORDS or (word[0] in _PHRASES and _SAYS_PHONE.match(lower, word.start())):
            last = max(last, word.start())
    return last


def _is_latin(text: str) -> bool:
    return text.isascii() or max(text) <= "\xff"


def _any_in(stems: Sequence[str], text: str) -> bool:
    for stem in stems:  # noqa: SIM110 - twice as fast as any()
        if stem in text:
            return True
    return False
