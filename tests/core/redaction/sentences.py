"""The labelled set: sentences of four languages, made from templates and values; half of the templates are held out.

The redactor was written against `SHOWN`; its figures count over `HELD_OUT` too.
`python -m tests.core.redaction.sentences` prints the table of `docs/redaction.md`.
"""

from __future__ import annotations

import random as randoms
import sys
from collections import Counter
from dataclasses import dataclass

from tests.core.redaction import lookalikes, values

LANGUAGES = ("en", "de", "fr", "es")
MAKERS = {
    "EMAIL": values.email,
    "PHONE": values.phone,
    "CARD": values.card,
    "IBAN": values.iban,
    "NATIONAL_ID": values.national_id,
    "IP": values.ip,
    "KEY": values.key,
    "PASSWORD": values.password,
    "OPAQUE": values.opaque,
}
KINDS = {"KEY": "SECRET", "PASSWORD": "SECRET", "OPAQUE": "SECRET"}

SHOWN = {
    "en": """
        Please send the invoice to {EMAIL} by Friday.
        You can reach me at {EMAIL} or on {PHONE}.
        Call {PHONE} after five.
        My phone number is {PHONE}, ask for Sam.
        {PHONE}
        The card {CARD} was declined, please try again.
        card_number: {CARD}, cvv 123, expires 12/27
        Wire it to {IBAN} with reference 2231.
        IBAN: {IBAN}
        The applicant gave {NATIONAL_ID} as the identity number.
        Id on file: {NATIONAL_ID}.
        Failed login from {IP}, blocked for an hour.
        {{"client": "{IP}", "status": 200}}
        My key is {KEY}, why do I get a 401?
        OPENAI_API_KEY={KEY}
        Authorization: Bearer {OPAQUE}
        password={PASSWORD}
        {{"user": "sam", "password": "{PASSWORD}"}}
        postgresql://{CREDENTIALS}@db.example.com:5432/app
        GET https://api.example.com/v1/items?page=2&access_token={OPAQUE}
    """,
    "de": """
        Bitte senden Sie die Rechnung an {EMAIL} bis Freitag.
        Sie erreichen mich unter {EMAIL} oder {PHONE}.
        Rufen Sie nach 17 Uhr {PHONE} an.
        Meine Telefonnummer ist {PHONE}, danke.
        Tel.: {PHONE}
        Die Karte {CARD} wurde abgelehnt.
        Kreditkarte: {CARD}, gültig bis 12/27
        Bitte überweisen Sie auf {IBAN}, Verwendungszweck 2231.
        IBAN: {IBAN}
        Meine Nummer beim Amt lautet {NATIONAL_ID}.
        Identifikationsnummer: {NATIONAL_ID}
        Fehlgeschlagene Anmeldung von {IP} um 12:30 Uhr.
        Mein Schlüssel ist {KEY}, warum kommt 401?
        Passwort: {PASSWORD}
        Das Passwort lautet {PASSWORD}.
        https://{CREDENTIALS}@intern.example.de/api
    """,
    "fr": """
        Merci d'envoyer la facture à {EMAIL} avant vendredi.
        Vous pouvez me joindre à {EMAIL} ou au {PHONE}.
        Appelez le {PHONE} après 17 h.
        Mon numéro de téléphone est le {PHONE}.
        Tél. : {PHONE}
        La carte {CARD} a été refusée.
        Carte bancaire : {CARD}, expire fin 12/27
        Faites le virement sur {IBAN}, motif 2231.
        IBAN : {IBAN}
        Mon numéro est {NATIONAL_ID}, né à Lyon.
        Assuré : {NATIONAL_ID}
        Échec de connexion depuis {IP} à 12h30.
        Ma clé est {KEY}, pourquoi 401 ?
        Mot de passe : {PASSWORD}
        Le mot de passe est {PASSWORD}.
        https://{CREDENTIALS}@interne.example.fr/api
    """,
    "es": """
        Envíe la factura a {EMAIL} antes del viernes.
        Puede localizarme en {EMAIL} o en el {PHONE}.
        Llame al {PHONE} después de las cinco.
        Mi número de teléfono es {PHONE}.
        Tel.: {PHONE}
        La tarjeta {CARD} fue rechazada.
        Tarjeta: {CARD}, caduca 12/27
        Haga la transferencia a {IBAN}, concepto 2231.
        IBAN: {IBAN}
        Mi documento es {NATIONAL_ID}, gracias.
        Titular: {NATIONAL_ID}
        Intento fallido desde {IP} a las 12:30.
        Mi clave es {KEY}, ¿por qué recibo 401?
        Contraseña: {PASSWORD}
        La contraseña es {PASSWORD}.
        https://{CREDENTIALS}@interno.example.es/api
    """,
}

HELD_OUT = {
    "en": """
        From: Sam Walker <{EMAIL}>
        cc {EMAIL},{EMAIL}; thanks
        {{"contact": {{"email": "{EMAIL}", "phone": "{PHONE}"}}}}
        ({EMAIL})
        Text {PHONE} and we'll pick you up.
        Contact: {PHONE} (office), {PHONE} (home)
        I'm on {PHONE} until noon
        She read out {CARD} over the phone.
        Charge it to {CARD} please
        Payment method {CARD}; amount 59.99
        Account {IBAN} belongs to the estate.
        transfer from {IBAN} to {IBAN} done
        Verify the holder of {NATIONAL_ID} first.
        Applicant\\nno. {NATIONAL_ID}\\nborn in Leeds
        {IP} - - [18/Jul/2024:12:30:45 +0000] "GET / HTTP/1.1" 200 512
        The host at {IP} does not answer pings.
        I pasted {KEY} into the notebook by mistake.
        client = OpenAI(api_key="{KEY}")
        curl -H 'Authorization: Bearer {OPAQUE}' https://api.example.com
        export DB_PASSWORD='{PASSWORD}'
        my password is {PASSWORD} and it does not work
        db.password: {PASSWORD}
        redis://{CREDENTIALS}@cache:6379/0
        client_secret={OPAQUE}
    """,
    "de": """
        Von: Anke Koch <{EMAIL}>
        Kopie an {EMAIL}, {EMAIL}
        Kontakt: {EMAIL}; Fax {PHONE}
        Schreib mir auf WhatsApp: {PHONE}
        Mobil {PHONE}, privat {PHONE}
        Unter {PHONE} ist immer jemand da.
        Sie hat mir {CARD} vorgelesen.
        Zahlung mit {CARD} über 59,99 EUR
        Das Konto {IBAN} gehört den Erben.
        Lastschrift von {IBAN}
        Laut Bescheid: {NATIONAL_ID}, geboren in Kiel.
        Prüfen Sie bitte {NATIONAL_ID} im System.
        Der Rechner {IP} antwortet nicht.
        Anfrage von {IP} abgewiesen
        Ich habe {KEY} versehentlich gepostet.
        Zugangsdaten: anke / Kennwort: {PASSWORD}
        mein Passwort ist {PASSWORD}, bitte ändern
        LANGFUSE_SECRET_KEY={KEY}
    """,
    "fr": """
        De : Camille Moreau <{EMAIL}>
        Copie à {EMAIL}, {EMAIL}
        Contact : {EMAIL} ; fax {PHONE}
        Écris-moi sur WhatsApp : {PHONE}
        Portable {PHONE}, bureau {PHONE}
        Au {PHONE} il y a toujours quelqu'un.
        Elle m'a dicté {CARD} hier.
        Paiement par {CARD} de 59,99 €
        Le compte {IBAN} appartient aux héritiers.
        Prélèvement depuis {IBAN}
        Selon le dossier : {NATIONAL_ID}, née à Lille.
        Vérifiez {NATIONAL_ID} dans le système.
        La machine {IP} ne répond pas.
        Requête de {IP} refusée
        J'ai publié {KEY} par erreur.
        identifiant camille, mot de passe: {PASSWORD}
        mon mot de passe est {PASSWORD}, il ne marche pas
        GITHUB_TOKEN={KEY}
    """,
    "es": """
        De: Pablo Romero <{EMAIL}>
        Copia a {EMAIL}, {EMAIL}
        Contacto: {EMAIL}; fax {PHONE}
        Escríbeme por WhatsApp: {PHONE}
        Móvil {PHONE}, oficina {PHONE}
        En el {PHONE} siempre hay alguien.
        Me dictó {CARD} ayer.
        Pago con {CARD} de 59,99 €
        La cuenta {IBAN} pertenece a los herederos.
        Cargo desde {IBAN}
        Según el expediente: {NATIONAL_ID}, nacida en Vigo.
        Compruebe {NATIONAL_ID} en el sistema.
        El equipo {IP} no responde.
        Petición de {IP} rechazada
        He publicado {KEY} por error.
        usuario pablo, contraseña: {PASSWORD}
        mi contraseña es {PASSWORD}, no funciona
        ANTHROPIC_API_KEY={KEY}
    """,
}
DRAWS = 5  # sentences of each template


@dataclass(frozen=True)
class Sentence:
    language: str
    text: str
    gold: tuple[tuple[int, int, str], ...]


def sentence(template, language, random):
    text, gold = "", []
    rest = template.replace("{{", "\1").replace("}}", "\2").replace("\\n", "\n")
    while "{" in rest:
        before, _, rest = rest.partition("{")
        kind, _, rest = rest.partition("}")
        text += before
        if kind == "CREDENTIALS":
            value = f"{random.choice(['app', 'sam', 'root'])}:{values.opaque(random)[:12]}"
        else:
            value = MAKERS[kind](random, language)
        gold.append((len(text), len(text) + len(value), "SECRET" if kind == "CREDENTIALS" else KINDS.get(kind, kind)))
        text += value
    text += rest
    return Sentence(language, text.replace("\1", "{").replace("\2", "}"), tuple(gold))


def templates(table, language):
    return [line.strip() for line in table[language].strip().splitlines()]


def positives(table, seed=6):
    random = randoms.Random(seed)
    return [
        sentence(template, language, random)
        for language in LANGUAGES
        for template in templates(table, language)
        for _ in range(DRAWS)
    ]


def negatives(seed=6):
    random = randoms.Random(seed)
    return [Sentence(language, text, ()) for language in LANGUAGES for text in lookalikes.texts(language, random)]


class Score:
    """Counts, by kind and language, of spans that were found exactly, and of all."""

    def __init__(self, redactor, sentences):
        self.right, self.gold, self.found = Counter(), Counter(), Counter()
        self.missed, self.wrong = [], []
        for one in sentences:
            found = {(f.start, f.end, str(f.kind)) for f in redactor.find(one.text)}
            for span in one.gold:
                self.gold[span[2], one.language] += 1
                if span in found:
                    self.right[span[2], one.language] += 1
                else:
                    self.missed.append((span[2], one.text[span[0] : span[1]], one.text))
            for span in found:
                self.found[span[2], one.language] += 1
                if span not in one.gold:
                    self.wrong.append((span[2], one.text[span[0] : span[1]], one.text))

    def recall(self, kind, languages=LANGUAGES):
        return self._share(self.gold, kind, languages)

    def precision(self, kind, languages=LANGUAGES):
        return self._share(self.found, kind, languages)

    def _share(self, of, kind, languages):
        whole = sum(of[kind, language] for language in languages)
        return sum(self.right[kind, language] for language in languages) / whole if whole else 1.0


def table(score):
    """Recall / precision, as Markdown."""
    kinds = sorted({kind for kind, _ in score.gold})
    lines = ["| kind | spans | en | de | fr | es | all |", "|---|---|---|---|---|---|---|"]
    for kind in kinds:
        cells = [f"{score.recall(kind, [x]):.3f} / {score.precision(kind, [x]):.3f}" for x in LANGUAGES]
        whole = f"{score.recall(kind):.3f} / {score.precision(kind):.3f}"
        lines.append(f"| `{kind}` | {sum(score.gold[kind, x] for x in LANGUAGES)} | {' | '.join(cells)} | {whole} |")
    return "\n".join(lines)


def main():
    from spanloom.content.redaction import Patterns

    print(f"{len(positives(SHOWN))} + {len(positives(HELD_OUT))} sentences, {len(negatives())} lookalikes\n")
    for title, sentences in (
        ("All", positives(SHOWN) + positives(HELD_OUT) + negatives()),
        (
            "Held-out templates, other values",
            positives(HELD_OUT, seed=int(sys.argv[1]) if sys.argv[1:] else 7) + negatives(7),
        ),
    ):
        score = Score(Patterns(), sentences)
        print(f"{title}\n\n{table(score)}\n")
        for name, listed in (("missed", score.missed), ("wrong", score.wrong)):
            for kind, value, text in listed:
                print(f"{name} {kind} {value!r} in {text!r}", file=sys.stderr)


if __name__ == "__main__":
    main()
