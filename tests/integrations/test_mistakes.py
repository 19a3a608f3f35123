"""What is passed by mistake: told at once by what to pass instead, or harmless where nobody asks Spanloom first."""

from __future__ import annotations

import pytest
import spanloom_langchain
import spanloom_llama_index
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from llama_index.core.callbacks import CallbackManager
from spanloom import ConfigurationError, Otlp
from spanloom.testing import strict


@pytest.mark.parametrize(
    "take",
    [
        spanloom_langchain.SpanloomCallbackHandler,
        spanloom_langchain.instrument,
        lambda loom: spanloom_langchain.trace_embeddings(DeterministicFakeEmbedding(size=2), loom),
        spanloom_llama_index.SpanloomCallbackHandler,
        spanloom_llama_index.instrument,
    ],
)
def test_a_destination_in_place_of_what_configure_returned_is_refused(take):
    with pytest.raises(ConfigurationError, match=r"what spanloom\.configure\(\) returned"):
        take(Otlp())


@pytest.mark.parametrize("given", [DeterministicFakeEmbedding, "text-embedding-3-small", None])
def test_what_cannot_embed_is_refused(given):
    with pytest.raises(ConfigurationError, match="OpenAIEmbeddings"):
        spanloom_langchain.trace_embeddings(given)


@pytest.mark.parametrize("adapter", [spanloom_langchain, spanloom_llama_index])
def test_a_prompts_name_in_place_of_a_prompt_is_refused(adapter):
    with pytest.raises(ConfigurationError, match="get_prompt"):
        adapter.prompt_from_langfuse("support")


def test_the_other_frameworks_handler_is_told_apart():
    with pytest.raises(AttributeError, match="pass spanloom_llama_index's"):
        CallbackManager([spanloom_langchain.SpanloomCallbackHandler()]).start_trace("query")
    handler = spanloom_llama_index.SpanloomCallbackHandler()
    try:
        with pytest.raises(AttributeError, match="pass spanloom_langchain's"):
            FakeListChatModel(responses=["yes"]).invoke("?", config={"callbacks": [handler]})
    finally:
        spanloom_llama_index.uninstrument()


def test_the_handlers_class_in_place_of_a_handler_raises_nothing_into_the_application():
    with strict():
        config = {"callbacks": [spanloom_langchain.SpanloomCallbackHandler]}
        assert FakeListChatModel(responses=["yes"]).invoke("?", config=config).content == "yes"
