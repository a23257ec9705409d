"""What the contract asks for, or takes, that the document's types do not say."""

import hashlib
import json
import threading
import urllib.parse

import schemathesis
from schemathesis.generation import GenerationMode

LOCK = threading.Lock()


@schemathesis.hook
def after_call(context, case, response):
    """Notes every request to change something, for `audit.py`."""
    if case.method not in ("POST", "PUT", "PATCH", "DELETE"):
        return
    header = lambda name: (response.headers.get(name.lower()) or [""])[0]
    note = {
        "method": case.method,
        "path": urllib.parse.urlsplit(response.request.url).path,
        "status": response.status_code,
        "request_id": header("X-Request-Id"),
        "effect": header("HyperFleet-Effect"),
    }
    with LOCK, open("mutations.ndjson", "a", encoding="utf-8") as file:
        file.write(json.dumps(note) + "\n")


@schemathesis.hook
def filter_query(context, query):
    """A blank page or size is the same as none, and of several the first counts."""
    values = [(query or {}).get(name) for name in ("page", "size")]
    return not any(isinstance(value, (dict, list)) or value == "" for value in values)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Lets most of the requests that satisfy the document be accepted.

    Without it every create is refused for its kind or its name, so that no answer but refusals is ever
    compared, and no sequence gets beyond its first request. Requests that are meant to be wrong stay as
    they are; of the others one in four keeps its body.
    """
    meta = case.meta
    if meta is None or meta.generation.mode != GenerationMode.POSITIVE:
        return
    # Their grammar is not in the document, and a bad one is refused before anything else is looked at.
    for header in ("If-Match", "Idempotency-Key"):
        (case.headers or {}).pop(header, None)
    digest = hashlib.sha256(json.dumps(case.body, sort_keys=True, default=str).encode()).digest()
    if not isinstance(case.body, dict) or digest[0] % 4 == 0:
        return
    name = digest[1:5].hex()
    if case.method == "POST" and not case.path.endswith("/force-delete"):
        (tag,) = case.operation.definition.raw["tags"]
        # The root route takes any kind without a parent.
        kind = "Channel" if tag == "Resource" else tag
        case.body = {**case.body, "kind": kind, "name": f"n{name}", "labels": {"label": name}, "references": {}}
    elif case.method == "PATCH":
        case.body = {"spec": case.body.get("spec") or {}, "labels": {"label": name}}
    elif case.method == "PUT" and case.path.endswith("/statuses"):
        conditions = [
            {"type": condition, "status": ("True", "False", "Unknown")[byte % 3], "reason": "Reason"}
            for condition, byte in zip(("Available", "Applied", "Health"), digest[5:])
        ]
        report = {"adapter": "validation", "observed_generation": 1, "conditions": conditions}
        # Left out, it is the server's time; others are mostly too old.
        case.body = {key: value for key, value in case.body.items() if key != "observed_time"} | report
