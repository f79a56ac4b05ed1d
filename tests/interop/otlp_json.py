"""Writes OTLP requests as JSON by protobuf's own library.

Standard input: one request a line, protobuf in hexadecimal. Standard output: one JSON object a line.
"""

import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

for line in sys.stdin:
    request = trace_service_pb2.ExportTraceServiceRequest.FromString(bytes.fromhex(line))
    print(json_format.MessageToJson(request, indent=None))
