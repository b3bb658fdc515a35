"""Requests made from the document that a server publishes: whatever is sent, it answers as the document says."""

from __future__ import annotations

import json
import urllib.parse
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from deepen.verbs.serve import serving
from deepen.verbs.train import train
from tests.serve.echo import FIELD, Client, fields, model, served, written
from tests.serve.schema import conforms, resolved, values

JSON, FORM, BOUNDARY = "application/json", "multipart/form-data", "x-openapi"
PREDICT, EXPLAIN = "/v1/predict", "/v1/explain"
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["rows", "a"]), inner, max_size=2),
    max_leaves=8,
)
KINDS = st.sampled_from(
    [JSON, f"{FORM}; boundary={BOUNDARY}", FORM, "text/plain", "", f"{JSON}; charset=latin-1", "application/json,"]
)
ODD_HEADERS = st.sampled_from(
    [{}, {}, {}, {"origin": "http://evil.example"}, {"content-encoding": "gzip"}, {"host": "evil.example"}]
)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A server with models that read each kind of field."""
    folder = tmp_path_factory.mktemp("models")
    city = {**FIELD, "name": "city", "kind": "category", "choices": ["Lima", "Oslo"], "example": "Oslo"}
    tokens = {**FIELD, "name": "tokens", "kind": "words", "instead": "text"}
    given_fields = {
        "pictures": fields(image="picture"),
        "texts": fields(text="text"),
        "tables": [*fields(age="number", born="date"), city],
        "words": [tokens],
        "mixed": fields(image="picture", line="line"),
    }
    models = [model(written(folder / name, fields=each)) for name, each in given_fields.items()]
    with served(models, idle_seconds=600) as (_, found):
        yield found


@pytest.fixture(scope="module")
def client(told):
    """A connection to it."""
    return Client(told)


@pytest.fixture(scope="module")
def document(client):
    """What it publishes."""
    return client.ask("GET", "/openapi.json")[1]


def examples(count):
    """So many, always the same."""
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def asked(client, document, method, path, query=None, body=None, headers=None):
    """Status and answer, after both were compared with the document."""
    address = f"{path}?{urllib.parse.urlencode(query)}" if query else path
    try:
        status, said, found = client.ask(method.upper(), address, body, headers)
    except OSError:  # the connection was closed while it was idle; a new one is made
        status, said, found = client.ask(method.upper(), address, body, headers)
    operation = document["paths"][path][method]
    assert status < 500, (status, said)
    assert str(status) in operation["responses"], (method, path, status, said)
    content = operation["responses"][str(status)]["content"]
    kind = found["content-type"].partition(";")[0]
    assert kind in content, (kind, said)
    text = said.decode() if isinstance(said, bytes) else said
    assert conforms(text, content[kind]["schema"], document), (status, said)
    return status, said


def form(parts):
    """A body of multipart/form-data from lists of texts or bytes by name."""
    found = b""
    for name, cells in parts.items():
        head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n'.encode()
        for cell in cells:
            found += head + (cell if isinstance(cell, bytes) else cell.encode()) + b"\r\n"
    return found + f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize(
    ("value", "schema", "is_so"),
    [
        ({"a": 1}, {"type": "object", "required": ["a"]}, True),
        ({"b": 1}, {"type": "object", "required": ["a"]}, False),
        ({"b": 1}, {"type": "object", "properties": {}, "additionalProperties": False}, False),
        ({"a": "x"}, {"properties": {"a": {"type": "number"}}}, False),
        (True, {"type": "number"}, False),
        (None, {"type": ["number", "null"]}, True),
        ([1, "x"], {"type": "array", "items": {"type": "number"}}, False),
        ([], {"type": "array", "minItems": 1}, False),
        ([1, 2], {"type": "array", "maxItems": 1}, False),
        ({}, {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, False),
        ({"a": 1, "b": 1}, {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, False),
        ({"a": 1, "b": 1}, {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, True),
        ("x", {"enum": ["y"]}, False),
        ("x", {"$ref": "#/there"}, True),
    ],
)
def test_the_test_itself_tells_what_conforms(value, schema, is_so):
    assert conforms(value, schema, {"there": {"type": "string"}}) == is_so


def test_the_document_holds_together(document):
    """Every reference leads somewhere, every operation has a name of its own, and its examples conform."""
    for schema in _schemas(document):
        assert resolved(schema, document)
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    for operation in operations:
        for content in operation.get("requestBody", {"content": {}})["content"].values():
            assert "example" not in content or conforms(content["example"], content["schema"], document)


def test_its_example_is_answered(client, document):
    example = document["paths"][PREDICT]["post"]["requestBody"]["content"][JSON]["example"]
    status, said = asked(client, document, "post", PREDICT, None, json.dumps(example), {"content-type": JSON})
    assert status == 200 and said["results"][0]["answer"]["source"] == "rows[0]"


def test_requests_that_the_document_allows(client, document):
    _requests_that_it_allows(client, document, 120)


def test_requests_that_it_does_not_allow(client, document):
    _requests_that_it_does_not_allow(client, document, 150)


def test_routes_and_methods(client, document):
    _routes_and_methods(client, document, 40)


def _requests_that_it_allows(client, document, count):
    """JSON and forms drawn from the schemas: each is answered, or each of its rows says why it is not."""
    content = document["paths"][PREDICT]["post"]["requestBody"]["content"]
    (query,) = document["paths"][PREDICT]["post"]["parameters"]
    runs = st.none() | values(query["schema"], document)
    bodies, forms = values(content[JSON]["schema"], document), values(content[FORM]["schema"], document)
    seen: Counter[int] = Counter()

    @examples(count)
    @given(bodies, runs, st.sampled_from([PREDICT, PREDICT, EXPLAIN]))
    def as_json(body, run, path):
        query = {} if run is None else {"run": run}
        status, said = asked(client, document, "post", path, query, json.dumps(body), {"content-type": JSON})
        seen[status] += 1
        assert status in (200, 422), said
        if path == PREDICT and (status == 200 or "results" in said):
            assert len(said["results"]) == len(body["rows"])
            assert ("answer" in str(said["results"])) or status == 422
            sources = [each["answer"]["source"] for each in said["results"] if "answer" in each]
            places = [place for place, each in enumerate(said["results"]) if "answer" in each]
            assert sources == [f"rows[{place}]" for place in places]

    @examples(count // 2)
    @given(forms, runs)
    def as_form(parts, run):
        query = {} if run is None else {"run": run}
        kind = {"content-type": f"{FORM}; boundary={BOUNDARY}"}
        seen[asked(client, document, "post", PREDICT, query, form(parts), kind)[0]] += 1

    as_json()
    as_form()
    assert set(seen) <= {200, 400, 422} and min(seen[200], seen[422]) > count // 20, seen


def _requests_that_it_does_not_allow(client, document, count):
    """Other JSON, other bytes, cut bodies, other types, unknown runs, odd headers: refused with a documented status."""
    schema = document["paths"][PREDICT]["post"]["requestBody"]["content"][JSON]["schema"]
    names = document["paths"][PREDICT]["post"]["parameters"][0]["schema"]["enum"]
    whole = values(schema, document).map(lambda body: json.dumps(body).encode())
    cut = st.tuples(whole, st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]])
    other = ANYTHING.map(lambda value: json.dumps(value).encode())
    bodies = cut | other | st.binary(max_size=60) | st.just(form({"file": [b"x"]})[:-6])
    runs = st.sampled_from(["", *names]) | st.text(max_size=8)
    seen: Counter[int] = Counter()

    @examples(count)
    @given(bodies, KINDS, runs, ODD_HEADERS, st.sampled_from([PREDICT, EXPLAIN]))
    def refused(body, kind, run, odd, path):
        headers = {**({"content-type": kind} if kind else {}), **odd}
        status, said = asked(client, document, "post", path, {"run": run} if run else {}, body, headers)
        seen[status] += 1
        if status == 200:
            assert not odd and kind == JSON and conforms(json.loads(body), schema, document), (body, said)

    refused()
    assert {400, 403, 404, 415, 421, 422} <= set(seen), seen


def _routes_and_methods(client, document, count):
    """What is asked for with GET is answered; another method is refused on every route."""
    routes = [(path, method) for path, methods in document["paths"].items() for method in methods]

    @examples(count)
    @given(st.sampled_from(routes), st.sampled_from(["get", "post", "put", "patch", "delete"]), st.text(max_size=8))
    def ask(route, method, run):
        path, own = route
        if method != own:
            status, said, _ = client.ask(method.upper(), path, None if method == "get" else b"{}")
            assert status == 405 and conforms(said, {"$ref": "#/components/schemas/Problem"}, document)
        elif own == "get":
            asked(client, document, own, path, {"run": run} if run and path == "/v1/schema" else {})

    ask()


@pytest.mark.torture
def test_runs_of_three_kinds_keep_to_their_documents(tmp_path):
    """The same with thousands of requests, and with real runs in processes of their own."""
    tasks = ("image-classification", "tabular-classification", "text-classification")
    folders = [train(task, "tiny", {"epochs": 1}, out=tmp_path / task).folder for task in tasks]
    with serving(folders, {"port": 0, "max_rows": 7}) as told:
        client = Client(told)
        document = client.ask("GET", "/openapi.json")[1]
        _requests_that_it_allows(client, document, 1_500)
        _routes_and_methods(client, document, 200)
        _requests_that_it_does_not_allow(client, document, 3_000)


def _schemas(value):
    """Every object in the document that refers to another one."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value
        for each in value.values():
            yield from _schemas(each)
    elif isinstance(value, list):
        for each in value:
            yield from _schemas(each)
