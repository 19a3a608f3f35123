"""Each receiver's own words for the neutral record: pure functions from a step and its visible content to a span.

Attribute keys live here and nowhere else. No dialect knows a framework, a policy or the OpenTelemetry SDK.
"""
