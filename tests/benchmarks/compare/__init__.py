"""What tracing costs: Spanloom, spans written by hand, and the peers, side by side on the same work (`make bench`).

A *workload* is what an application does; a *subject* is one way to trace it. Each subject runs in a process of its own
(`worker.py`), in an environment of its own (`environments.py`), and sends to one *sink* in a third process. They take
turns, A B C B C A (`rounds.py`), so that whatever else the machine does falls on all of them; a turn is the same work
twice, once under the subject and once under a no-op handler beside it (`subjects/switch.py`). `figures.py` makes
medians of the differences, `targets.py` asks whether we are where we want to be, `tables.py` prints.

`workloads/`, `subjects/`, `corpus.py` and `worker.py` are imported in the subjects' environments, where neither
Spanloom nor rich is: they import the standard library, and their own framework or subject inside of functions.
"""
