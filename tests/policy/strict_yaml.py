# SPDX-License-Identifier: Apache-2.0
"""YAML as the loader takes it, for programs that check with the schema: one document, no anchors, no tags, no key
twice, no word that could be two things. Dates stay text, as the files mean them."""
import json
import re

import yaml


class NotTaken(Exception):
    pass


class Unclear:
    """A word that YAML's versions read differently (yes, 0x1bb, 1_000, 443.0): no type that a schema knows."""

    def __init__(self, text):
        self.text = text


class Reader(yaml.SafeLoader):
    def compose_node(self, parent, index):
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise NotTaken("an anchor or alias")
        if getattr(event, "tag", None):
            raise NotTaken("a tag")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        if len(set(keys)) != len(keys):
            raise NotTaken("a key stands twice")
        return super().construct_mapping(node, deep)


def plain(form):
    def construct(reader, node):
        return json.loads(node.value) if re.fullmatch(form, node.value) else Unclear(node.value)
    return construct


Reader.add_constructor("tag:yaml.org,2002:bool", plain("true|false"))
Reader.add_constructor("tag:yaml.org,2002:int", plain("0|-?[1-9][0-9]*"))
Reader.add_constructor("tag:yaml.org,2002:float", plain("(?!)"))


def read(text):
    """The tree; NotTaken or yaml.YAMLError if the text is none."""
    return dates_as_text(yaml.load(text, Reader))


def dates_as_text(value, key=None):
    if isinstance(value, dict):
        return {k: dates_as_text(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [dates_as_text(v) for v in value]
    return value.isoformat() if key == "observe_until" and hasattr(value, "isoformat") else value
