"""What Schemathesis does not know by itself.

A schema cannot say of Idempotency-Key that another request must not have had it (422 idempotency_key_reused). Made-up keys are short and meet,
so each valid one is made unique. What a key does that was there before is held by the stories and tests in internal/server.

The schema of JSON lines is that of a line. Of each answer one is held against it, which the answer's size picks, so that a seed repeats it."""

import json
import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and 0 < len(key) <= 255 - 33 and key.isascii() and key.isprintable():
        case.headers["Idempotency-Key"] = f"{key}-{uuid.uuid4().hex}"


@schemathesis.deserializer("application/x-ndjson")
def one_line(context, response):
    lines = response.content.decode().splitlines()
    return json.loads(lines[len(response.content) % len(lines)])
