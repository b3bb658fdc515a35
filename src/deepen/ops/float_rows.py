"""Arithmetic on rows of float32 tables inside numba functions, as vector instructions and nothing around them.

LLVM makes vector instructions of plain loops too, but guards each by tests of whether its arrays overlap and rounds it
off with a scalar rest, which for rows of a hundred numbers takes longer than the arithmetic. Here the instructions are
written out: 16 numbers at a time (LLVM splits them where the processor's registers are shorter), then the rest one by
one. So rows of a multiple of 16 numbers are the fastest. All tables are C-contiguous [n, D] float32, and rows must be
whole numbers within them: nothing is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_FAST = ("reassoc", "contract", "nsz")


def _intrinsic(function: Any) -> Any:
    """What numba makes of it is called without the first argument."""
    return intrinsic(function)


@_intrinsic
def dots_1(typing, x, i, y, a):
    """(x[i] . y[a],)"""
    return _dots(1, (x, i, y, a))


@_intrinsic
def dots_3(typing, x, i, y, a, b, c):
    """(x[i] . y[a], x[i] . y[b], x[i] . y[c])"""
    return _dots(3, (x, i, y, a, b, c))


@_intrinsic
def dots_6(typing, x, i, y, a, b, c, d, e, f):
    """(x[i] . y[a], ..., x[i] . y[f])"""
    return _dots(6, (x, i, y, a, b, c, d, e, f))


@_intrinsic
def add_1(typing, to, row, y, a, f):
    """to[row] += f y[a]"""
    return _added(1, (to, row, y, a, f))


@_intrinsic
def add_3(typing, to, row, y, a, b, c, f, g, h):
    """to[row] += f y[a] + g y[b] + h y[c]"""
    return _added(3, (to, row, y, a, b, c, f, g, h))


@_intrinsic
def add_6(typing, to, row, y, a, b, c, d, e, f, g, h, i, j, k, m):
    """to[row] += g y[a] + h y[b] + i y[c] + j y[d] + k y[e] + m y[f]"""
    return _added(6, (to, row, y, a, b, c, d, e, f, g, h, i, j, k, m))


@_intrinsic
def fetch(typing, table, row):
    """Asks for a row to be brought near, without waiting for it; a row outside the table is asked for in vain."""
    signature = types.void(table, row)

    def code(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        rows = _Rows(context, builder, signature.args, values)
        begin = rows.at(0, 1)
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        how = [ir.Constant(number, 1), ir.Constant(number, 3), ir.Constant(number, 1)]  # to write, to keep, of data

        def line(place: Any) -> None:
            builder.call(ask, [builder.bitcast(builder.gep(begin, [place]), byte), *how])

        rows.through(line, lambda place: None)
        return context.get_dummy_value()

    return signature, code


def _dots(number: int, given: Sequence[Any]) -> tuple[Any, Callable[..., Any]]:
    """The type and the code of `number` inner products of one row with others."""
    signature = types.UniTuple(types.float32, number)(*given)

    def code(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        rows = _Rows(context, builder, signature.args, values)
        x, others = rows.at(0, 1), [rows.at(2, 3 + n) for n in range(number)]
        wide = [cgutils.alloca_once_value(builder, ir.Constant(_VECTOR, [0.0] * LANES)) for _ in others]
        rest = [cgutils.alloca_once_value(builder, ir.Constant(_FLOAT, 0.0)) for _ in others]

        def step(kind: ir.Type, sums: list[Any], place: Any) -> None:
            left = rows.load(kind, x, place)
            for total, other in zip(sums, others, strict=True):
                product = builder.fmul(left, rows.load(kind, other, place), flags=_FAST)
                builder.store(builder.fadd(builder.load(total), product, flags=_FAST), total)

        rows.through(lambda place: step(_VECTOR, wide, place), lambda place: step(_FLOAT, rest, place))
        reduce = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR]), f"llvm.vector.reduce.fadd.v{LANES}f32"
        )
        found = [
            builder.call(reduce, [builder.load(one), builder.load(many)], fastmath=_FAST)
            for one, many in zip(rest, wide, strict=True)
        ]
        return context.make_tuple(builder, signature.return_type, found)

    return signature, code


def _added(number: int, given: Sequence[Any]) -> tuple[Any, Callable[..., Any]]:
    """The type and the code of adding `number` rows, each times a number, to one row."""
    signature = types.void(*given)

    def code(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> Any:
        rows = _Rows(context, builder, signature.args, values)
        to, others = rows.at(0, 1), [rows.at(2, 3 + n) for n in range(number)]
        factors = values[3 + number :]
        wide = [_spread(builder, factor) for factor in factors]

        def step(kind: ir.Type, scales: Sequence[Any], place: Any) -> None:
            total = rows.load(kind, to, place)
            for other, scale in zip(others, scales, strict=True):
                product = builder.fmul(scale, rows.load(kind, other, place), flags=_FAST)
                total = builder.fadd(total, product, flags=_FAST)
            rows.store(total, to, place)

        rows.through(lambda place: step(_VECTOR, wide, place), lambda place: step(_FLOAT, factors, place))
        return context.get_dummy_value()

    return signature, code


class _Rows:
    """Rows of the arrays among an intrinsic's arguments, all of the width of the first."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kinds: Sequence[Any], values: Sequence[Any]) -> None:
        self._context, self._builder = context, builder
        self._kinds, self._values = kinds, values
        first = context.make_array(kinds[0])(context, builder, values[0])
        self._width = builder.extract_value(first.shape, 1)

    def at(self, array: int, row: int) -> Any:
        """Where the row begins that argument `row` names in the array that is argument `array`."""
        builder = self._builder
        table = self._context.make_array(self._kinds[array])(self._context, builder, self._values[array])
        number = self._context.cast(builder, self._values[row], self._kinds[row], types.int64)
        return builder.gep(table.data, [builder.mul(number, self._width)])

    def load(self, kind: ir.Type, row: Any, place: Any) -> Any:
        """The numbers of a row from a place on."""
        return self._builder.load(self._pointer(kind, row, place), align=4)

    def store(self, value: Any, row: Any, place: Any) -> None:
        """Puts numbers into a row from a place on."""
        self._builder.store(value, self._pointer(value.type, row, place), align=4)

    def through(self, wide: Callable[[Any], None], single: Callable[[Any], None]) -> None:
        """Calls `wide` at each place 0, 16, ... that has 16 numbers, and `single` at each place that is left."""
        builder, index = self._builder, self._width.type
        lanes, one = ir.Constant(index, LANES), ir.Constant(index, 1)
        whole = builder.and_(self._width, ir.Constant(index, -LANES))
        with cgutils.for_range_slice(builder, ir.Constant(index, 0), whole, lanes, intp=index) as (place, _):
            wide(place)
        with cgutils.for_range_slice(builder, whole, self._width, one, intp=index) as (place, _):
            single(place)

    def _pointer(self, kind: ir.Type, row: Any, place: Any) -> Any:
        return self._builder.bitcast(self._builder.gep(row, [place]), kind.as_pointer())


def _spread(builder: ir.IRBuilder, value: Any) -> Any:
    """A vector of the same number."""
    index = ir.IntType(32)
    vector = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(index, 0))
    mask = ir.Constant(ir.VectorType(index, LANES), [0] * LANES)
    return builder.shuffle_vector(vector, ir.Constant(_VECTOR, ir.Undefined), mask)
