"""Reads an export as OpenTelemetry's own types do: usage: otlp.py EXPORT.json; prints the names of its spans, one a line.

Whatever those types do not know is lost on the way through them, and what is lost is an error.
"""

import json
import sys

from opentelemetry.proto_json.collector.trace.v1.trace_service import ExportTraceServiceRequest

text = open(sys.argv[1], encoding="utf-8").read()
request = ExportTraceServiceRequest.from_json(text)


def less_empty(value):
    """Without what the types leave out, because it is the default."""
    if isinstance(value, dict):
        value = {key: less_empty(inner) for key, inner in value.items()}
        return {key: inner for key, inner in value.items() if inner not in ("", [], {})}
    return [less_empty(inner) for inner in value] if isinstance(value, list) else value


if less_empty(request.to_dict()) != less_empty(json.loads(text)):
    sys.exit("the export holds what OpenTelemetry does not know")
spans = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
ids = {span.span_id for span in spans}
for span in spans:
    if len(span.trace_id) != 16 or len(span.span_id) != 8 or span.end_time_unix_nano < span.start_time_unix_nano:
        sys.exit(f"not a span: {span}")
    if span.parent_span_id and span.parent_span_id not in ids:
        sys.exit(f"nobody's child: {span}")
    print(span.name)
