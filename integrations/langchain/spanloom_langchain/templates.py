"""The static template of a prompt, as LangChain's callbacks tell it: the serialized prompt. Pure; runs on the worker.

Values of variables, partial ones too, are no part of it. What LangChain does not serialize (few-shot prompts) is told
as its `repr`, which holds the template and its examples; addresses in it, which differ by process, are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from spanloom.loaded import loaded
from spanloom.step import Message, OtherPart, Part, Text, ToolCall

from .blocks import parts_of, role_of
from .by_json import ByJson

_ROLES = {
    "SystemMessagePromptTemplate": "system",
    "HumanMessagePromptTemplate": "user",
    "AIMessagePromptTemplate": "assistant",
}
_PLACEHOLDER = "placeholder"
_VALUES = ("partial_variables", "input_variables", "optional_variables", "input_types")
_PASSING = re.compile(rf" at 0x[0-9a-fA-F]+|({'|'.join(_VALUES)})=(\{{[^{{}}]*\}}|\[[^\[\]]*\]),? ?")


def template_among(prompts: Sequence[tuple[Mapping[str, Any], Any]], given: Any) -> tuple[Message, ...]:
    """The template, among `prompts`, of the one that a model's prompt was made from; none where that is not certain.

    `prompts` are serialized forms and what they rendered, the newest first; `given` is what the model was given. It was
    made from a prompt if the first and the last of the prompt's messages are in it; or the last one alone, where that
    is true of no other prompt (messages in between are trimmed).
    """
    given = given if isinstance(given, (list, tuple)) else (given,)
    of_prompt = loaded("langchain_core.prompt_values", "PromptValue")
    fed = []
    for serialized, rendered in prompts:
        said = rendered.to_messages() if isinstance(rendered, of_prompt) else ()
        if said and _is_in(given, said[-1]):
            if _is_in(given, said[0]):
                return template_of(serialized)
            fed.append(serialized)
    return template_of(fed[0]) if len(fed) == 1 else ()


def _is_in(given: Sequence[Any], message: BaseMessage) -> bool:
    """Whether a model was given `message`, or more than its text."""
    if any(one is message for one in given):
        return True
    text = str(message.text)
    return bool(text) and any(text in (str(one.text) if isinstance(one, BaseMessage) else str(one)) for one in given)


def template_of(serialized: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages of a serialized prompt with their placeholders; a string prompt is one message of the user.

    A `MessagesPlaceholder` is a message of the role `placeholder`. The same prompt comes with request after request: it
    is read once.
    """
    return _known.read(serialized)


def _read(serialized: Mapping[str, Any]) -> tuple[Message, ...]:
    messages = _kwargs(serialized).get("messages")
    if isinstance(messages, (list, tuple)):
        return tuple(_message(m) for m in messages)
    return (Message("user", tuple(_parts(serialized))),)


_known = ByJson(_read)


def _message(item: Any) -> Message:
    """One message of a chat prompt: a template, a placeholder for messages, or a message as it will be sent."""
    kwargs = _kwargs(item)
    if isinstance(name := kwargs.get("variable_name"), str):
        return Message(_PLACEHOLDER, (Text(f"{{{name}}}"),))
    if "prompt" in kwargs:
        prompts = kwargs["prompt"] if isinstance(kwargs["prompt"], (list, tuple)) else [kwargs["prompt"]]
        return Message(_role(item, kwargs), tuple(part for p in prompts for part in _parts(p)))
    if "content" in kwargs:
        calls = [ToolCall(c["name"], c["args"]) for c in kwargs.get("tool_calls") or ()]
        return Message(_role(item, kwargs), (*parts_of(kwargs["content"]), *calls))
    return Message(_PLACEHOLDER, tuple(_parts(item)))


def _role(item: Any, kwargs: Mapping[str, Any]) -> str:
    role = kwargs.get("role")
    return role if isinstance(role, str) else _ROLES.get(_class_of(item)) or role_of(str(kwargs.get("type", "user")))


def _parts(prompt: Any) -> Iterator[Part]:
    kwargs = _kwargs(prompt)
    template = kwargs.get("template")
    if isinstance(template, str):
        yield Text(template)
    elif template is not None:  # of a picture, or of any other block
        yield OtherPart("template", template)
    else:  # a class of the application's own, or one that is not serialized
        rest = kwargs or (prompt.get("repr") if isinstance(prompt, Mapping) else prompt)
        yield OtherPart(_class_of(prompt), _lasting(rest))


def _lasting(value: Any) -> str:
    """`value` as text, less what differs from one process or request to the next."""
    return _PASSING.sub("", value if isinstance(value, str) else json.dumps(_less_values(value), sort_keys=True))


def _less_values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _less_values(v) for k, v in value.items() if k not in _VALUES}
    if isinstance(value, (list, tuple)):
        return [_less_values(v) for v in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _kwargs(item: Any) -> Mapping[str, Any]:
    kwargs = item.get("kwargs") if isinstance(item, Mapping) else None
    return kwargs if isinstance(kwargs, Mapping) else {}


def _class_of(item: Any) -> str:
    path = item.get("id") if isinstance(item, Mapping) else None
    return str(path[-1]) if isinstance(path, (list, tuple)) and path else "prompt"
