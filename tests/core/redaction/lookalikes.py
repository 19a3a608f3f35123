"""What looks like personal data or a secret and is none."""

from __future__ import annotations

from tests.core.redaction.values import digits, iban, luhn_digit

HEXADECIMAL = "0123456789abcdef"

# The same in every language: traces, code, logs.
TECHNICAL = """
    trace {hex32} span {hex16} sampled
    request_id={uuid} took 1.2342 s
    commit {hex40} on main
    sha256:{hex64}
    "id": "chatcmpl-{alnum29}"
    run {uuid} of RunnableSequence ended in ChatPromptTemplate
    gpt-4o-mini-2024-07-18, claude-sonnet-4-20250514, text-embedding-3-small
    {{"temperature": 0.7, "top_p": 0.{d16}, "max_tokens": 4096, "seed": {d10}}}
    2024-07-18T12:30:45.123456+00:00 INFO started
    ts={epoch} ms={epoch}{d3} us={epoch}{d6} ns={epoch}{d9}
    langchain-core==1.7.2 requires pydantic>=2.7.4,<3.0.0 (version 1.2.3.4)
    Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0.0.0 Safari/537.36
    score: 0.{d15}, -{d1}.{d8}e-05
    array([[0.{d8}, 1.{d8}], [2.{d8}, 3.{d8}]])
    x = a[::2] if std::vector<int>::iterator else b
    @tool def search(query: str, api_key: SecretStr | None = None) -> str: ...
    client = Client(api_key=os.environ["API_KEY"], password=settings.password, token=token)
    password: str = Field(default="", description="required")
    git@github.com:acme/app-{d4}.git and icon@2x.png
    usage: input_tokens=12345 output_tokens=678 total_tokens={d8}
    MAC 00:1a:2b:{h2}:{h2}:{h2}, PCI 0000:00:1f.2
    10.1145/{d7}.{d7} arXiv:2401.{d5} ISBN 978-3-16-14{d4}-0
    http://localhost:4318/v1/traces, 127.0.0.1:6379, 0.0.0.0
    docs/page_{d8}.html#section-1.2.3
    {{"token": "Hello", "logprob": -0.{d12}}}
    def f(x): return x @ w.T  # (1024, 768) @ (768, 10)
    bytes 0-1048575/{d10}, offset 00{d7}
    0x{hex8} 1e-{d2} {d1}/{d2} #{d6}
    <OrderId>{d12}</OrderId>
    https://example.com/items/{d10}?page=2&sort=key&lang=en
    v{d1}.{d2}.{d1}, build {d1}.{d2}.{d1}.{d2}, section 3.1.2.4
    Bearer tokens and basic authentication are explained below.
    Authorization: required
    (12, 345, 6789) [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    1 2 3 4 5 6 7 8 9 10 11 12 13
    Cell In[{d2}], line {d1}: ZeroDivisionError at 0x{hex8}
    weights: {{"a": 0.{d5}, "b": 1.{d4}}}, shape ({d3}, {d4}), step {d5}/{d6}
    <EMAIL_1> wrote to <EMAIL_2> about <CARD_1>, password=<SECRET_3>
"""

WRITTEN = {
    "en": """
        Your order {d10} ships on 2024-07-18.
        Order no. {d3}-{d7}-{d7} was refunded, $1,234.56 in total.
        Invoice 2024-{d6} over 12,345,678.90 dollars
        Tracking number 1Z{d10}
        The card ending in {d4} was declined.
        Card {badcard} is a test that fails its check.
        Account {badiban} was mistyped.
        Id 000-12-{d4} is not a valid one.
        Password: must be at least 12 characters long
        The password is wrong. The token is valid for 3600 seconds.
        The population is {d3} million, up 4.5 % since 2019-2024.
        Meet @sam at 10:30-11:45 on 07/18/2024, room 4.2.1
        Customer id: {d9}
    """,
    "de": """
        Ihre Bestellung {d10} kommt am 18.07.2024.
        Auftragsnummer {d3}-{d7}-{d7}, zusammen 1.234,56 €
        Rechnung 2024-{d6} über 12.345.678,90 Euro
        Sendungsnummer {d12}
        Die Karte mit den Endziffern {d4} wurde abgelehnt.
        Die Karte {badcard} besteht die Prüfung nicht.
        Das Konto {badiban} ist falsch geschrieben.
        Passwort: muss 12 Zeichen haben
        Das Passwort ist falsch. Das Token gilt 3600 Sekunden.
        Es gibt 83 200 000 Einwohner, 4,5 % mehr als 2019-2024.
        Treffen um 10:30-11:45 am 18.07.2024 in Raum 4.2.1
        Kundennummer: {d9}
    """,
    "fr": """
        Votre commande {d10} arrive le 18/07/2024.
        Commande n° {d3}-{d7}-{d7}, total 1 234,56 €
        Facture 2024-{d6} de 12 345 678,90 euros
        Colis {d12}
        La carte se terminant par {d4} a été refusée.
        La carte {badcard} ne passe pas le contrôle.
        Le compte {badiban} est mal saisi.
        Mot de passe : doit compter 12 caractères
        Le mot de passe est faux. Le jeton vaut 3600 secondes.
        On compte 68 373 433 habitants, 4,5 % de plus qu'en 2019-2024.
        Rendez-vous de 10h30 à 11h45 le 18/07/2024, salle 4.2.1
        Référence client : {d9}
    """,
    "es": """
        Su pedido {d10} llega el 18/07/2024.
        Pedido n.º {d3}-{d7}-{d7}, total 1.234,56 €
        Factura 2024-{d6} de 12.345.678,90 euros
        Seguimiento {d12}
        La tarjeta terminada en {d4} fue rechazada.
        La tarjeta {badcard} no pasa el control.
        La cuenta {badiban} está mal escrita.
        Contraseña: debe tener 12 caracteres
        La contraseña es incorrecta. El token vale 3600 segundos.
        Hay 48 592 909 habitantes, un 4,5 % más que en 2019-2024.
        Reunión de 10:30 a 11:45 el 18/07/2024, sala 4.2.1
        Referencia de cliente: {d9}
    """,
}


class Values(dict):
    """Makes what a template asks for: `d10` is ten digits, `hex32` 32 hexadecimal ones."""

    def __init__(self, random, language):
        super().__init__()
        self.random, self.language = random, language

    def __missing__(self, name):
        random = self.random
        letters = name.rstrip("0123456789")
        count = int(name[len(letters) :] or 0)
        match letters:
            case "d":
                return str(random.randint(1, 9)) + digits(random, count - 1)
            case "hex" | "h":
                return "".join(random.choices(HEXADECIMAL, k=count))
            case "alnum":
                return "".join(random.choices("ABCDEFabcdef0123456789xyz", k=count))
            case "uuid":
                return "-".join("".join(random.choices(HEXADECIMAL, k=n)) for n in (8, 4, 4, 4, 12))
            case "epoch":
                return str(random.randint(1_600_000_000, 1_790_000_000))
            case "badcard":
                number = "4" + digits(random, 14)
                number += str((int(luhn_digit(number)) + random.randint(1, 9)) % 10)
                return " ".join(number[i : i + 4] for i in range(0, 16, 4))
            case "badiban":
                right = iban(random, self.language)
                return right[:2] + f"{(int(right[2:4]) + random.randint(1, 90)) % 97:02}" + right[4:]
        raise KeyError(name)


def texts(language, random):
    return [
        line.strip().format_map(Values(random, language))
        for part in (TECHNICAL, WRITTEN[language])
        for line in part.strip().splitlines()
    ]
