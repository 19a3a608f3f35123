"""Prompts, answers and documents in your own store, encrypted under a key of each user's; the trace has references.

Runs offline: the store is a folder, the keys are in a file. `Vault("s3://bucket/vault", AwsKms(…))` takes their place.
"""

import json
import sqlite3

import spanloom
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from spanloom import ContentPolicy, Keyring, Local, Vault
from spanloom.cli import print_newest
from spanloom.vault import Erased
from spanloom_langchain import SpanloomCallbackHandler


class Contracts(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):  # noqa: ARG002
        return [Document("The rent is 900 a month, due on the third.", id="lease-7")]


def main() -> None:
    vault = Vault("spanloom-vault", Keyring("spanloom-keys.db"))
    content = ContentPolicy.referenced(vault)  # for Otlp(…) and Langfuse(…) all the same

    model = GenericFakeChatModel(messages=iter(["It is due on the third."]))
    chain = Contracts() | RunnableLambda(lambda found: found[0].page_content, name="join") | model
    with spanloom.configure(Local("spanloom.db", content=content)) as loom, spanloom.using(user_id="ann"):
        chain.invoke("When is the rent due?", config={"callbacks": [SpanloomCallbackHandler()]})
        loom.flush()
    print_newest("spanloom.db")

    with sqlite3.connect("spanloom.db") as file:
        newest = "SELECT record FROM spans WHERE kind = 'retriever' ORDER BY start_ns DESC"
        (record,) = file.execute(newest).fetchone()
    reference = json.loads(record)["content"]["documents"][0]["content"]
    print("On the span:  ", reference)
    print("In the vault: ", vault.read(reference))

    erased = vault.erase(user="ann")  # or: spanloom vault erase --user ann
    print("Destroyed:    ", len(erased.keys), "key")
    try:
        vault.read(reference)
    except Erased as error:
        print("Afterwards:   ", error)


if __name__ == "__main__":
    main()
