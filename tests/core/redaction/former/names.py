"""What secrets are called."""

from __future__ import annotations

from .words import lowered

# Names of secrets, in lower case, with spaces for `_`, `-` and `.`. What a weak one names must look like a secret.
STRONG = (
    *("password", "passwd", "passwort", "kennwort", "passphrase", "mot de passe", "mdp"),
    *("contraseña", "contrasena", "pwd"),
    *("api key", "apikey", "access key", "accesskey", "account key", "accountkey", "secret key", "secretkey"),
    *("private key", "privatekey", "signing key", "encryption key", "sharedaccesskey", "client secret", "clientsecret"),
    *("webhook secret", "access token", "accesstoken", "auth token", "bearer token", "refresh token", "id token"),
    *("api token", "bot token", "session token", "api schlüssel", "clé api", "clé d'api", "clave api", "clave de api"),
    *("clave de acceso", "clave secreta"),
)  # fmt: skip
WEAK = ("token", "secret", "clave", "credential", "credentials", "auth")
SPACED = str.maketrans("_-.’", "   '")


def names_a_secret(name: str) -> bool:
    """Whether what stands under `name` (a key of a dict, a header, an argument) is a secret whatever it looks like."""
    spaced = lowered(name).translate(SPACED).removesuffix("s")
    return spaced.endswith(STRONG) or spaced in _KEPT_SECRET or spaced.endswith(_KEPT_ENDINGS)


_KEPT_SECRET = {"token", "secret", "credential", "authorization", "cookie"}
_KEPT_ENDINGS = (" secret", " credential", " authorization", " cookie", "x auth token")
