"""What the routes take and give, in OpenAPI 3.1, made from the fields of the runs that are served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deepen import __version__
from deepen.prepare.fields import Field
from deepen.serve.limits import ServeOptions

PROBLEMS = {
    400: "The request is malformed.",
    401: "A token is needed.",
    403: "Sent by a page of another site.",
    404: "There is no such thing.",
    405: "Not asked for in that way.",
    408: "The body did not arrive in time.",
    413: "Too large, or too many rows.",
    415: "Neither JSON nor multipart/form-data, or compressed.",
    421: "The server is not known by that name.",
    422: "No row can be answered; each says why.",
    429: "Too many requests wait; the header Retry-After says when to come again.",
    500: "A fault of the server or of the model; its log has it by the id.",
    503: "The run cannot answer now.",
    504: "Not answered within the deadline.",
}
ALWAYS = (401, 421, 500)
SMALLEST_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="  # 1 x 1, grey
)


def document(runs: Mapping[str, Sequence[Field]], options: ServeOptions) -> dict[str, Any]:
    """The document. `runs` holds the fields of each run; the first answers where none is named."""
    row = [_row(name, fields) for name, fields in runs.items()]
    rows = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {
            "rows": {"type": "array", "minItems": 1, "maxItems": options.max_rows, "items": _one_of(row)},
        },
    }
    body = {
        "required": True,
        "content": {
            "application/json": {"schema": rows, "example": {"rows": [_example(next(iter(runs.values())))]}},
            "multipart/form-data": {"schema": _one_of([_parts(name, fields) for name, fields in runs.items()])},
        },
    }
    which = {
        "name": "run",
        "in": "query",
        "description": "Which run answers; the first, where none is named.",
        "schema": {"type": "string", "enum": list(runs)},
    }
    posted = (400, 403, 404, 408, 413, 415, 422, 429, 503, 504)
    paths = {
        "/v1/predict": {
            "post": _operation("Answer rows", posted, "Results", parameters=[which], requestBody=body),
        },
        "/v1/schema": {"get": _operation("What a row consists of", (404, 503), "About", parameters=[which])},
        "/v1/runs": {"get": _operation("The runs that are served", (503,), "Runs")},
        "/v1/explain": {
            "post": _operation(
                "Explain the answer to one row", posted, "Explanation", parameters=[which], requestBody=body
            )
        },
        "/healthz": {"get": _operation("Whether the process lives", (), "Status")},
        "/readyz": {"get": _operation("Whether every run can answer", (), "Status", 503)},
        "/metrics": {"get": _operation("Figures for Prometheus", (), "")},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "deepen", "version": __version__, "description": "Answers of trained runs."},
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(summary: str, problems: Sequence[int], gives: str, *more: int, **rest: Any) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{gives}"}
    content = {"application/json": {"schema": schema}} if gives else {"text/plain": {"schema": {"type": "string"}}}
    responses: dict[str, Any] = {str(code): {"description": summary, "content": content} for code in (200, *more)}
    for code in sorted({*problems, *ALWAYS}):
        schema = _one_of([{"$ref": "#/components/schemas/Problem"}, {"$ref": "#/components/schemas/Results"}])
        responses[str(code)] = {"description": PROBLEMS[code], "content": {"application/json": {"schema": schema}}}
    return {"summary": summary, "operationId": summary.lower().replace(" ", "-"), "responses": responses, **rest}


def _schemas() -> dict[str, Any]:
    text, anything = {"type": "string"}, {"type": "object", "additionalProperties": True}
    result = {
        "oneOf": [
            {"type": "object", "required": ["answer"], "properties": {"answer": anything}},
            {"type": "object", "required": ["error"], "properties": {"error": text}},
        ]
    }
    return {
        "Problem": {"type": "object", "required": ["error", "id"], "properties": {"error": text, "id": text}},
        "Results": {
            "type": "object",
            "required": ["run", "version", "results"],
            "properties": {
                "run": text,
                "version": text,
                "notes": {"type": "array", "items": text},
                "results": {"type": "array", "items": result},
            },
        },
        "About": anything,
        "Runs": {"type": "object", "required": ["runs"], "properties": {"runs": {"type": "array", "items": anything}}},
        "Explanation": {"type": "object", "required": ["page"], "properties": {"page": text}},
        "Status": {"type": "object", "required": ["status"], "properties": {"status": text}},
    }


def _row(name: str, fields: Sequence[Field]) -> dict[str, Any]:
    whole = {
        "title": f"a row of {name}",
        "type": "object",
        "required": [field.name for field in fields if not field.instead],
        "properties": _properties(fields),
    }
    return _one_of([whole, next(iter(_properties(fields).values()))]) if len(fields) == 1 else whole


def _properties(fields: Sequence[Field]) -> dict[str, Any]:
    found = {field.name: _cell(field) for field in fields}
    return found | {field.instead: {"type": "string"} for field in fields if field.instead}


def _cell(field: Field) -> dict[str, Any]:
    if field.kind == "picture":
        return {"type": "string", "contentEncoding": "base64", "description": "An image file as base64."}
    if field.kind == "words":
        return {"type": "array", "items": {"type": "string"}}
    if field.kind in ("text", "line"):
        return {"type": "string"}
    types = ["number", "string", "null"] if field.kind == "number" else ["string", "number", "boolean", "null"]
    more = {"description": f"Known: {', '.join(field.choices[:20])}"} if field.choices else {}
    return {"type": types, **more}


def _parts(name: str, fields: Sequence[Field]) -> dict[str, Any]:
    binary = {"type": "array", "items": {"type": "string", "contentMediaType": "application/octet-stream"}}
    plain = {"type": "array", "items": {"type": "string"}}
    parts = {field.name: binary if field.kind == "picture" else plain for field in fields}
    return {"title": f"rows of {name}, the k-th part of a name for the k-th row", "type": "object", "properties": parts}


def _example(fields: Sequence[Field]) -> dict[str, Any]:
    return {field.name: example_of(field) for field in fields[:20]}


def example_of(field: Field) -> Any:
    """A value such as one would send in JSON."""
    if field.kind == "picture":
        return SMALLEST_PNG
    if field.kind == "words":
        return ["Ada", "lives", "here"]
    if field.kind == "number":
        return float(field.example or 0)
    return field.example or "some text"


def _one_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
