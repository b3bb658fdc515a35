"""P13, P15: what is written as JSON and read again is the same."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from deepen.core.jsontext import json_text, parse_json

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
leaves = st.none() | st.booleans() | numbers | st.text(st.characters(codec=None))
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)


@given(values)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_round_trip_is_the_identity(value):
    assert parse_json(json_text(value, indent=2).encode(), place="x") == value
