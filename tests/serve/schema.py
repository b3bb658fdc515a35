"""The part of JSON Schema that our OpenAPI document uses: whether a value conforms, and values drawn from a schema."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

CHECKED = {"$ref", "anyOf", "oneOf", "enum", "type", "required", "properties", "additionalProperties", "items"}
COUNTED = {"minItems", "maxItems"}
SAID = {"title", "description", "contentEncoding", "contentMediaType"}
KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
MOST_ITEMS = 4
HOSTILE = ("", "NaN", "1e999", "-0", "\x00", "a\nb", "http://192.0.2.1/x", "../../x", "{{7*7}}", "<b>", "\u202e")
TEXTS = st.text(max_size=12) | st.sampled_from(HOSTILE)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
Schema = Mapping[str, Any]


def resolved(schema: Schema, document: Schema) -> Schema:
    """The schema itself, or the one that it refers to."""
    if "$ref" not in schema:
        return schema
    found: Any = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def conforms(value: Any, schema: Schema, document: Schema) -> bool:
    """Whether a value of JSON is what the schema says. A keyword that is not checked here is an error."""
    schema = resolved(schema, document)
    assert set(schema) <= CHECKED | COUNTED | SAID, set(schema) - CHECKED - COUNTED - SAID
    if "anyOf" in schema and not any(conforms(value, each, document) for each in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(conforms(value, each, document) for each in schema["oneOf"]) != 1:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "type" in schema and not any(_is_a(value, name) for name in _types(schema)):
        return False
    if isinstance(value, dict):
        known = schema.get("properties", {})
        if not set(schema.get("required", ())) <= set(value):
            return False
        if schema.get("additionalProperties") is False and not set(value) <= set(known):
            return False
        return all(conforms(item, known[name], document) for name, item in value.items() if name in known)
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return False
        return all(conforms(item, schema.get("items", {}), document) for item in value)
    return True


def values(schema: Schema, document: Schema) -> st.SearchStrategy[Any]:
    """Values that conform to the schema."""
    schema = resolved(schema, document)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return st.one_of([values(each, document) for each in schema[word]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return st.one_of([_values_of(name, schema, document) for name in _types(schema)])


def _values_of(name: str, schema: Schema, document: Schema) -> st.SearchStrategy[Any]:
    if name == "object":
        parts = {key: values(each, document) for key, each in schema.get("properties", {}).items()}
        required = {key: parts[key] for key in schema.get("required", ())}
        return st.fixed_dictionaries(required, optional={key: parts[key] for key in parts if key not in required})
    if name == "array":
        least, most = schema.get("minItems", 0), min(schema.get("maxItems", MOST_ITEMS), MOST_ITEMS)
        return st.lists(values(schema["items"], document), min_size=least, max_size=most)
    if schema.get("contentEncoding") == "base64":
        return st.binary(max_size=30).map(lambda content: base64.b64encode(content).decode()) | TEXTS
    return {"string": TEXTS, "number": NUMBERS, "boolean": st.booleans(), "null": st.none()}[name]


def _types(schema: Schema) -> list[str]:
    given = schema["type"]
    return [given] if isinstance(given, str) else given


def _is_a(value: Any, name: str) -> bool:
    return isinstance(value, KINDS[name]) and (name == "boolean" or not isinstance(value, bool))
