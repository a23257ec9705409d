"""Looks for every request to change something in the audit: `audit.py BASE_URL NOTES`.

Exits 1 and names what is missing. Reports without news are no changes: they are counted, and not looked for.
"""

import collections
import json
import sys
import time
import urllib.request

# Refusals are written beside the answers.
DEADLINE_SECONDS = 15
SHOWN = 20


def recorded(base):
    """Outcomes by request id, and how many entries there are for what has none."""
    request = urllib.request.Request(
        f"{base}/api/hyperfleet/v1/history?outcome=all", headers={"Accept": "application/x-ndjson"}
    )
    by_id, by_path = collections.defaultdict(set), collections.Counter()
    with urllib.request.urlopen(request) as lines:
        for line in lines:
            item = json.loads(line)
            by_id[item["request_id"]].add(item["outcome"])
            if item["outcome"] == "refused":
                by_path[item["method"], item["path"]] += 1
    return by_id, by_path


def expected(note):
    """The outcome that the answer promised."""
    if note["status"] >= 400:
        return "refused"
    outcomes = {"changed": "accepted", "unchanged": "unchanged", "dropped": "unchanged", "replayed": "replayed"}
    return outcomes.get(note["effect"], "an outcome")


def missing(notes, base):
    by_id, by_path = recorded(base)
    unnamed = collections.Counter()
    for note in notes:
        if note["request_id"]:
            if expected(note) not in by_id[note["request_id"]]:
                yield note
            continue
        # What no route serves has no id; the audit has its path, cut at 512 bytes.
        place = note["method"], note["path"] if len(note["path"]) <= 512 else note["path"][:512] + "…"
        unnamed[place] += 1
        if unnamed[place] > by_path[place]:
            yield note


def main(base, file):
    with open(file, encoding="utf-8") as lines:
        sent = [json.loads(line) for line in lines]
    # A redirection asks for the request to be sent elsewhere: nothing was carried out or refused.
    sent = [note for note in sent if not 300 <= note["status"] < 400]
    without_news = sum(note["effect"] == "liveness" for note in sent)
    notes = [note for note in sent if note["effect"] != "liveness"]
    until = time.monotonic() + DEADLINE_SECONDS
    while (lost := list(missing(notes, base))) and time.monotonic() < until:
        time.sleep(0.5)
    for note in lost[:SHOWN]:
        print(f"not in the audit: {json.dumps(note)}")
    counts = collections.Counter(map(expected, notes))
    kinds = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    print(
        f"audit: {len(notes) - len(lost)} of {len(notes)} changes found ({kinds}); "
        f"{without_news} reports without news"
    )
    return 1 if lost or not notes else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
