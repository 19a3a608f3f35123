"""A LangGraph agent that calls two tools at once. `instrument()` traces every run: nothing is passed.

Runs offline: any chat model with tools takes the place of the scripted one.
"""

from collections.abc import Sequence
from typing import Any

import spanloom
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.tools import tool
from spanloom.cli import print_newest
from spanloom_langchain import instrument


class ScriptedModel(GenericFakeChatModel):
    """Says what it is told to, tools or not."""

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> "ScriptedModel":  # noqa: ARG002
        return self


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"It rains in {city}."


@tool
def trains(city: str) -> str:
    """The next trains to a city."""
    return f"Trains to {city}: 10:05, 10:35."


def main() -> None:
    calls = [ToolCall(name=name, args={"city": "Bergen"}, id=f"call_{name}") for name in ("weather", "trains")]
    usage = {"input_tokens": 80, "output_tokens": 31, "total_tokens": 111}
    script = [AIMessage("", tool_calls=calls, usage_metadata=usage), "Take the 10:05, and an umbrella."]
    model = ScriptedModel(messages=iter(script))
    agent = create_agent(model, [weather, trains], name="travel_agent")
    with spanloom.configure(spanloom.Local("spanloom.db"), service_name="travel"):
        instrument()
        result = agent.invoke({"messages": [("user", "How do I get to Bergen, and what do I wear?")]})
        print(result["messages"][-1].text)
    print_newest("spanloom.db")


if __name__ == "__main__":
    main()
