#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is a record what OCSF 1.8.0 says of its class? The part of the schema that the log uses, written down by hand.

    sallyport audit tail DIR --json | tests/e2e/ocsf.py

`problems(record)` gives sentences, none when the record is good."""
import ipaddress
import json
import re
import sys

CLASSES = {
    1008: (1, range(0, 15)),  # Event Log Activity
    3004: (3, range(0, 14)),  # Entity Management
    4001: (4, range(0, 8)),   # Network Activity
    4002: (4, range(0, 10)),  # HTTP Activity
    4003: (4, range(0, 8)),   # DNS Activity
}
OTHER = 99
REQUIRED = ("activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid")
ENDPOINT_KEYS = {"ip", "hostname", "name", "uid", "instance_uid", "mac", "svc_name", "interface_uid", "interface_name",
                 "domain"}
UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
UNSIGNED = ("count", "duration", "start_time", "end_time", "time", "query_time")


def problems(record):
    out = [f"{key} is missing" for key in REQUIRED if key not in record]
    if out:
        return out
    out += numbers(record) + metadata(record["metadata"])
    if record["class_uid"] in (4001, 4002, 4003):
        out += network(record)
    if record["class_uid"] == 4002 and not ("http_request" in record or "http_response" in record):
        out.append("http_request or http_response is missing")
    if record["class_uid"] == 4003:
        out += dns(record)
    if record["class_uid"] == 1008 and not any(k in record for k in ("log_name", "log_file", "log_provider", "message")):
        out.append("an event log activity names no log")
    if record["class_uid"] == 3004 and not isinstance(record.get("entity"), dict):
        out.append("entity is missing")
    return out + objects(record) + texts(record, "")


def numbers(record):
    out = []
    known = CLASSES.get(record["class_uid"])
    if known is None:
        return [f"class_uid {record['class_uid']} is not one of the log's"]
    category, activities = known
    activity = record["activity_id"]
    if record["category_uid"] != category:
        out.append(f"category_uid {record['category_uid']}, expected {category}")
    if activity not in activities and activity != OTHER:
        out.append(f"activity_id {activity} is not defined in {record['class_uid']}")
    if activity == OTHER and not record.get("activity_name"):
        out.append("activity 99 without activity_name")
    if record["type_uid"] != record["class_uid"] * 100 + activity:
        out.append(f"type_uid {record['type_uid']} is not class_uid * 100 + activity_id")
    if record["severity_id"] not in range(0, 7):
        out.append(f"severity_id {record['severity_id']}")
    for key, allowed in (("action_id", range(0, 5)), ("status_id", (0, 1, 2, 99)), ("disposition_id", range(0, 28))):
        if key in record and record[key] not in allowed:
            out.append(f"{key} {record[key]}")
    for key in UNSIGNED:
        if key in record and not (isinstance(record[key], int) and record[key] >= 0):
            out.append(f"{key} is not a whole number: {record[key]!r}")
    if not 1_500_000_000_000 < record["time"] < 10_000_000_000_000:
        out.append(f"time {record['time']} is not in milliseconds")
    return out


def metadata(meta):
    out = [f"metadata.{key} is missing" for key in ("product", "version", "uid", "sequence", "log_name", "profiles")
           if key not in meta]
    if meta.get("version") != "1.8.0":
        out.append(f"metadata.version {meta.get('version')!r}")
    product = meta.get("product", {})
    if not (product.get("name") and product.get("vendor_name")):
        out.append("metadata.product needs name and vendor_name")
    if not UUID.match(str(meta.get("uid", ""))):
        out.append(f"metadata.uid {meta.get('uid')!r} is not a UUIDv7")
    if not isinstance(meta.get("sequence"), int):
        out.append(f"metadata.sequence {meta.get('sequence')!r}")
    return out


def network(record):
    if not ("src_endpoint" in record or "dst_endpoint" in record):
        return ["src_endpoint or dst_endpoint is missing"]
    return []


RCODES = ("NoError", "FormError", "ServError", "NXDomain", "NotImp", "Refused", "YXDomain", "YXRRSet", "NXRRSet",
          "NotAuth", "NotZone", "DSOTYPENI")


def dns(record):
    """The question, with what dns_query and dns_answer require, and the answer's code with its caption."""
    query = record.get("query", {})
    out = [f"query.{key} is missing" for key in ("hostname", "class", "type") if not query.get(key)]
    for answer in record.get("answers", []):
        out += [f"answers.{key} is missing" for key in ("rdata", "class", "type") if not answer.get(key)]
        if answer.get("type") in ("A", "AAAA") and not is_address(answer.get("rdata")):
            out.append(f"answers.rdata {answer.get('rdata')!r}")
        if not (isinstance(answer.get("ttl"), int) and answer["ttl"] >= 0):
            out.append(f"answers.ttl {answer.get('ttl')!r}")
    rcode = record.get("rcode_id")
    if rcode is not None and rcode != OTHER and record.get("rcode") != dict(enumerate(RCODES)).get(rcode):
        out.append(f"rcode {record.get('rcode')!r} is not the caption of {rcode}")
    if rcode == OTHER and not record.get("rcode"):
        out.append("rcode_id 99 without rcode")
    if "query_time" in record and record["query_time"] > record["time"]:
        out.append("query_time is behind time")
    return out


def objects(record):
    out = []
    for key in ("src_endpoint", "dst_endpoint"):
        if key in record:
            endpoint = record[key]
            if not set(endpoint) & ENDPOINT_KEYS:
                out.append(f"{key} identifies nothing: {endpoint}")
            if "ip" in endpoint and not is_address(endpoint["ip"]):
                out.append(f"{key}.ip {endpoint['ip']!r}")
            if "port" in endpoint and not 0 <= endpoint["port"] <= 65535:
                out.append(f"{key}.port {endpoint['port']!r}")
    for key, needed in (("connection_info", "direction_id"), ("tls", "version"), ("http_response", "code")):
        if key in record and needed not in record[key]:
            out.append(f"{key}.{needed} is missing")
    url = record.get("http_request", {}).get("url")
    if url is not None and not ("url_string" in url or "path" in url):
        out.append("http_request.url needs url_string or path")
    if "policy" in record and not set(record["policy"]) & {"name", "type", "uid"}:
        out.append("policy needs name, type or uid")
    for key, value in record.get("traffic", {}).items():
        if not (isinstance(value, int) and value >= 0):
            out.append(f"traffic.{key} {value!r}")
    return out


def texts(value, path):
    """No empty objects, no control characters that were not escaped on purpose, no lone surrogates."""
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in texts(v, f"{path}.{k}")]
    if isinstance(value, list):
        return [p for v in value for p in texts(v, path + "[]")]
    if isinstance(value, str) and any(0xd800 <= ord(c) < 0xe000 for c in value):
        return [f"{path} holds a lone surrogate"]
    if value is None:
        return [f"{path} is null"]
    return []


def is_address(text):
    try:
        return str(ipaddress.ip_address(text)) and True
    except ValueError:
        return False


def main():
    bad = 0
    for number, line in enumerate(sys.stdin):
        for problem in problems(json.loads(line)):
            print(f"record {number}: {problem}")
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
