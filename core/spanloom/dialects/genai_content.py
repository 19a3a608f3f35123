"""What a policy shows of a step, in the GenAI conventions: whose it is, and what was said, given and answered."""

from __future__ import annotations

from typing import Any

from ..content.visible import Visible
from ..content.written import as_json
from ..identity import NOBODY
from ..step import Kind, Outcome, Step
from . import conversation
from . import messages as shape
from .rendered import Attributes, put

_BROKEN = {Outcome.ERROR, Outcome.CANCELLED, Outcome.ABANDONED, Outcome.INCOMPLETE}


def content(step: Step, visible: Visible, out: Attributes) -> None:
    """Add whose it is and what the policy let through, as JSON strings."""
    _identity(visible, out)
    hashes(visible, out)
    if visible.truncated:
        put(out, "spanloom.content.truncated", visible.truncated)
    if visible.vault_status is not None:
        put(out, "spanloom.vault.status", visible.vault_status)
    if visible.input_messages:
        system, said = shape.split_system(visible.input_messages)
        if system:
            put(out, "gen_ai.system_instructions", as_json(shape.system_instructions(system)))
        if said:
            put(out, "gen_ai.input.messages", conversation.in_genai(said))
    if visible.output_messages:
        answer = shape.output_messages(visible.output_messages, broken=step.outcome in _BROKEN)
        put(out, "gen_ai.output.messages", as_json(answer))
    if visible.tool_definitions:
        put(out, "gen_ai.tool.definitions", as_json(shape.tool_definitions(visible.tool_definitions)))
    if visible.tool_description is not None and step.kind is Kind.TOOL:
        put(out, "gen_ai.tool.description", visible.tool_description)
    if visible.arguments is not None:
        put(out, "gen_ai.tool.call.arguments", _text(visible.arguments))
    if visible.result is not None:
        put(out, "gen_ai.tool.call.result", _text(visible.result))
    if visible.input is not None:
        put(out, "spanloom.step.input", _text(visible.input))
    if visible.output is not None:
        put(out, "spanloom.step.output", _text(visible.output))
    if visible.prompt_variables is not None:
        put(out, "spanloom.prompt.variables", _text(visible.prompt_variables))
    if visible.query is not None:
        put(out, "gen_ai.retrieval.query.text", visible.query)
    if visible.documents:
        put(out, "gen_ai.retrieval.documents", as_json(shape.documents(visible.documents)))


def _identity(visible: Visible, out: Attributes) -> None:
    """Who the span belongs to. Metadata keys stand under `spanloom.metadata.`."""
    who = visible.identity
    if who is not NOBODY:
        put(out, "user.id", who.user_id)
        if who.session_id is not None:
            put(out, "session.id", who.session_id)
            put(out, "gen_ai.conversation.id", who.session_id)
        put(out, "spanloom.tenant", who.tenant)
        if who.tags:
            put(out, "spanloom.tags", list(who.tags))
        if (prompt := who.prompt) is not None:
            put(out, "gen_ai.prompt.name", prompt.name)
            if prompt.version is not None:
                put(out, "gen_ai.prompt.version", str(prompt.version))
    if visible.metadata:
        for key, value in shape.flat(visible.metadata).items():
            out[f"spanloom.metadata.{key}"] = value


def stamp(visible: Visible) -> Attributes:
    """What a span of another library is given of the trace it belongs to."""
    out: Attributes = {}
    if visible.identity is not NOBODY:
        put(out, "user.id", visible.identity.user_id)
        put(out, "session.id", visible.identity.session_id)
    put(out, "spanloom.vault.status", visible.vault_status)
    return out


def hashes(visible: Visible, out: Attributes) -> None:
    """SHA-256 of the whole prompt, of the template that it was made from, and of the answer, where they are told."""
    if visible.prompt_hash is not None:
        put(out, "spanloom.prompt.hash", visible.prompt_hash)
    if visible.template_hash is not None:
        put(out, "spanloom.prompt.template.hash", visible.template_hash)
    if visible.completion_hash is not None:
        put(out, "spanloom.completion.hash", visible.completion_hash)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value)
