"""A model judges another model's answer: the score stands on the answer's trace, the judge's run is a trace of its own.

Runs offline: any chat model takes the place of the scripted ones.
"""

import spanloom
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from spanloom.cli import print_newest
from spanloom_langchain import SpanloomCallbackHandler

NOTES = "A parcel may be sent back within thirty days."
QUESTION = "How long may I send a parcel back?"
VERDICT = '{"faithful": true, "helpful": 0.8, "why": "It is what the notes say, but not where to send it."}'


def main() -> None:
    answer = (
        ChatPromptTemplate.from_template("Answer from these notes: {notes}\n\n{question}")
        | GenericFakeChatModel(messages=iter(["You may send it back within thirty days."]))
        | StrOutputParser()
    ).with_config(run_name="answer")
    judge = (
        ChatPromptTemplate.from_template(
            "Notes: {notes}\nQuestion: {question}\nAnswer: {answer}\n\nIs the answer faithful to the notes (true, "
            'false), and how helpful is it (0 to 1)? Say it as JSON: {{"faithful": …, "helpful": …, "why": …}}'
        )
        | GenericFakeChatModel(messages=iter([VERDICT]))
        | JsonOutputParser()
    ).with_config(run_name="judge")

    with spanloom.configure(spanloom.Local("spanloom.db"), service_name="shop") as loom:
        handler = SpanloomCallbackHandler(loom)
        said = answer.invoke({"notes": NOTES, "question": QUESTION}, {"callbacks": [handler]})
        judged = handler.last_trace_id
        print(said)

        verdict = judge.invoke({"notes": NOTES, "question": QUESTION, "answer": said}, {"callbacks": [handler]})
        loom.score("faithful", verdict["faithful"], trace_id=judged)
        loom.score("helpful", verdict["helpful"], trace_id=judged, comment=verdict["why"])
    print_newest("spanloom.db", traces=2, content=True)


if __name__ == "__main__":
    main()
