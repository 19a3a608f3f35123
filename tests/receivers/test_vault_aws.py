"""The vault on S3, plain and versioned, with data keys from KMS: against moto's server."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
import uuid

import pytest
from click.testing import CliRunner
from spanloom import ConfigurationError
from spanloom.cli import main
from spanloom.identity import Identity
from spanloom.testing import strict
from spanloom.vault import AwsKms, Erased, Keyring, Unreadable, Vault
from spanloom.vault.subject import pseudonym
from vaults import TRACE, balanced, kept, user

from tests.receivers.servers import Server, environment, free_ports

pytestmark = [
    pytest.mark.receiver,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # s3fs leaves connections to the garbage collector
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.timeout(900),  # the first run installs 160 MB
]

WAIT = 60.0


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """boto3, from the server's environment, and two buckets: `plain` and `versioned`."""
    folder = environment("aws", "moto[s3]==5.2.5", "flask", "flask-cors", "joserfc", "s3fs", "boto3")
    (packages,) = folder.parent.glob("lib/python*/site-packages")
    port = free_ports(1)[0]
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "path", [*sys.path, str(packages)])  # last: what is installed here goes before
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(packages)])))
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing"), ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}"), ("AWS_EC2_METADATA_DISABLED", "true"),
    ):  # fmt: skip
        patch.setenv(name, value)
    importlib.invalidate_caches()
    command = [folder / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    try:
        with Server(command, tmp_path_factory.mktemp("aws"), port, ready="/moto-api/"):
            import boto3

            s3 = boto3.client("s3")
            for bucket in ("plain", "versioned"):
                s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
            s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
            yield boto3
    finally:
        patch.undo()


@pytest.fixture
def kms_key(aws):
    return aws.client("kms").create_key()["KeyMetadata"]["KeyId"]


@pytest.fixture(params=["plain", "versioned"])
def bucket(request, aws):
    return request.param


@pytest.fixture
def root(bucket):
    return f"s3://{bucket}/{uuid.uuid4().hex}"


@pytest.fixture
def opened():
    vaults = []

    def open(store, keys, **settings):
        vaults.append(Vault(store, keys, **{"wait_seconds": WAIT, **settings}))
        vaults[-1].open()
        return vaults[-1]

    with strict():
        yield open
    for vault in vaults:
        vault.close()


def versions(aws, root, under=""):
    """Every version of every object, and every delete marker: `{(key, version): bytes or None}`."""
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    s3 = aws.client("s3")
    page = s3.list_object_versions(Bucket=bucket, Prefix=f"{prefix}/{under}")
    assert not page["IsTruncated"]
    found = {(m["Key"], m["VersionId"]): None for m in page.get("DeleteMarkers", ())}
    for v in page.get("Versions", ()):
        body = s3.get_object(Bucket=bucket, Key=v["Key"], VersionId=v["VersionId"])["Body"].read()
        found[v["Key"], v["VersionId"]] = body
    return found


def test_envelope_keys_and_an_erasure_that_takes_every_version_along(aws, kms_key, root, opened):
    vault = opened(f"{root}/vault", AwsKms(kms_key, f"{root}/keys"))
    mine = [kept(vault, f"CANARY-{n}", user("a"), span=n) for n in range(1, 4)]
    other = kept(vault, {"b": ["ü"]}, user("b"))
    assert [vault.read(r) for r in mine] == ["CANARY-1", "CANARY-2", "CANARY-3"]
    everything = versions(aws, root)
    assert len([k for k, _ in everything if "/objects/" in k]) == 4
    wrapped = {v: d for (k, v), d in everything.items() if f"/keys/{pseudonym('user', 'a')}/" in k}
    assert len(wrapped) == 1
    plain = aws.client("kms").decrypt(
        CiphertextBlob=next(iter(wrapped.values())), EncryptionContext={"spanloom:subject": pseudonym("user", "a")}
    )["Plaintext"]
    assert not [d for d in everything.values() if d and (plain in d or b"CANARY" in d)]

    done = vault.erase(user="a")

    assert (len(done.keys), done.objects, done.objects_left, done.verified) == (1, 3, 0, True)
    assert versions(aws, root, f"keys/{pseudonym('user', 'a')}") == {}  # no version, and no delete marker
    assert versions(aws, root, f"vault/objects/{pseudonym('user', 'a')}") == {}
    assert not [d for d in versions(aws, root).values() if d in wrapped.values()]
    for reference in mine:
        with pytest.raises(Erased):
            vault.read(reference)
    assert vault.read(other) == {"b": ["ü"]}
    after = kept(vault, "after", user("a"))
    assert vault.read(after) == "after"
    assert not vault.audit().faults
    assert vault.counts() == {"kept": 5, "stored": 5, "failed": 0, "dropped": 0, "queued": 0}


def test_versions_that_were_overwritten_or_deleted_go_too(aws, kms_key, opened):
    root = f"s3://versioned/{uuid.uuid4().hex}"
    vault = opened(f"{root}/vault", AwsKms(kms_key, f"{root}/keys"))
    reference = kept(vault, "x", user("a"))
    s3, prefix = aws.client("s3"), root.removeprefix("s3://versioned/")
    (key,) = {k for k, _ in versions(aws, root, "keys")}
    s3.copy_object(Bucket="versioned", Key=f"{prefix}/keys/{pseudonym('user', 'a')}/{'0' * 32}",
                   CopySource={"Bucket": "versioned", "Key": key})  # fmt: skip
    s3.copy_object(Bucket="versioned", Key=key, CopySource={"Bucket": "versioned", "Key": key}, Metadata={"n": "2"},
                   MetadataDirective="REPLACE")  # fmt: skip
    s3.delete_object(Bucket="versioned", Key=f"{prefix}/vault/objects/{reference.removeprefix('vault:')}")
    assert len(versions(aws, root, "keys")) == 3
    vault.erase(user="a")
    assert versions(aws, root, "keys") == {}
    assert versions(aws, root, "vault/objects") == {}


def test_more_versions_than_one_page_holds(aws, kms_key, opened, monkeypatch):
    from spanloom.vault import objects

    monkeypatch.setattr(objects, "_AT_ONCE", 4)
    root = f"s3://versioned/{uuid.uuid4().hex}"
    vault = opened(f"{root}/vault", AwsKms(kms_key, f"{root}/keys"))
    for n in range(1, 12):
        kept(vault, n, user("a"), span=n)
    assert vault.erase(user="a").objects == 11
    assert versions(aws, root, "vault/objects") == {}


def test_a_wrapped_key_of_another_subject_opens_nothing(aws, kms_key, root, opened):
    keys = AwsKms(kms_key, f"{root}/keys")
    vault = opened(f"{root}/vault", keys)
    reference = kept(vault, "x", user("a"))
    (stored,) = versions(aws, root, "keys").items()
    bucket, prefix = root.removeprefix("s3://").split("/")
    id = stored[0][0].rpartition("/")[2]
    aws.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/keys/{pseudonym('user', 'b')}/{id}", Body=stored[1])
    import botocore.exceptions

    with pytest.raises(botocore.exceptions.ClientError):  # KMS itself refuses: the encryption context is another
        keys.get(pseudonym("user", "b"), id)
    assert vault.read(reference) == "x"


def test_another_kms_key_reads_nothing(aws, kms_key, root, opened, tmp_path):
    vault = opened(f"{root}/vault", AwsKms(kms_key, f"{root}/keys"))
    reference = kept(vault, "x")
    with pytest.raises(Unreadable, match="not among these keys"):
        opened(f"{root}/vault", Keyring(tmp_path / "k.db")).read(reference)


def test_two_processes_and_a_fork_on_s3(aws, kms_key, root, opened):
    vault = opened(f"{root}/vault", AwsKms(kms_key, f"{root}/keys"))
    first = kept(vault, "parent", user("a"))
    code = f"""
import os, time, warnings
warnings.filterwarnings("ignore")
from spanloom.identity import Identity
from spanloom.vault import AwsKms, Vault
vault = Vault({f"{root}/vault"!r}, AwsKms({kms_key!r}, {f"{root}/keys"!r}), wait_seconds={WAIT})
vault.open()
assert vault.read({first!r}) == "parent"
child = os.fork()
kept = vault.keep(Identity(user_id="a"), {TRACE}, 7 if child else 8, time.time_ns(), "child" if child else "grandchild")
assert kept.wait(), kept.reason
print(kept.reference, flush=True)
if child:
    _, status = os.waitpid(child, 0)
    assert status == 0, status
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=3 * WAIT, check=False)
    assert done.returncode == 0, done.stderr
    references = done.stdout.split()
    assert {vault.read(r) for r in references} == {"child", "grandchild"}
    assert len(vault.erase(user="a").keys) == 3
    for reference in (first, *references):
        with pytest.raises(Erased):
            vault.read(reference)


def test_settings_that_cannot_work(aws, kms_key, tmp_path):
    keys = Keyring(tmp_path / "k.db")
    with pytest.raises(ConfigurationError, match="does not exist"):
        Vault("s3://no-such-bucket/vault", keys).open()
    with pytest.raises(ConfigurationError, match="KMS knows no such key"):
        Vault("s3://plain/x", AwsKms(str(uuid.uuid4()), "s3://plain/keys")).open()
    with pytest.raises(ConfigurationError, match=r"KMS knows no such key|KMS takes it for no key"):
        Vault("s3://plain/x", AwsKms("alias/none", "s3://plain/keys")).open()


def test_no_credentials_are_named(aws, kms_key, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="credentials"):
        Vault("s3://plain/x", Keyring(tmp_path / "k.db")).open()
    with pytest.raises(ConfigurationError, match="boto3 finds no credentials"):
        Vault("s3://plain/x", AwsKms(kms_key, "s3://plain/keys")).open()


def test_a_store_that_nobody_answers_for_delays_nobody(aws, tmp_path, lenient_guard):
    port = free_ports(1)[0]
    vault = Vault(
        "s3://plain/x", Keyring(tmp_path / "k.db"), wait_seconds=0.5,
        storage_options={"endpoint_url": f"http://127.0.0.1:{port}"},
    )  # fmt: skip
    vault.open()  # out of reach for the moment is no wrong configuration
    assert not vault.keep(Identity(user_id="u"), TRACE, 1, time.time_ns(), "x").wait()
    before = time.monotonic()
    several = [vault.keep(Identity(user_id="u"), TRACE, n, time.time_ns(), "x") for n in range(2, 500)]
    assert not any(k.wait() for k in several)
    assert time.monotonic() - before < 20
    assert balanced(vault.counts())
    vault.close(1.0)


@pytest.fixture
def lenient_guard():
    from spanloom.guard import GUARD

    before, GUARD.strict = GUARD.strict, False
    yield
    GUARD.strict = before


def test_the_command_line_on_s3_and_kms(aws, kms_key, root, opened, monkeypatch):
    vault = opened(f"{root}/vault", AwsKms(kms_key, f"{root}/vault/keys"))
    reference = kept(vault, "Where is my order?", user("a"))
    monkeypatch.setenv("SPANLOOM_VAULT_STORE", f"{root}/vault")
    for keys in (f"aws-kms:{kms_key}", f"aws-kms:{kms_key}@{root}/vault/keys"):
        done = CliRunner().invoke(main, ["vault", "show", reference, "--keys", keys])
        assert (done.exit_code, done.output) == (0, "Where is my order?\n")
    monkeypatch.setenv("SPANLOOM_VAULT_KEYS", f"aws-kms:{kms_key}")
    done = CliRunner().invoke(main, ["vault", "erase", "--user", "a", "--yes"])
    assert "1 key destroyed, 1 object deleted" in done.output
    done = CliRunner().invoke(main, ["vault", "show", reference])
    assert (done.exit_code, "was erased" in done.output) == (1, True)
    assert "1 record, unbroken" in CliRunner().invoke(main, ["vault", "audit"]).output
