"""A traced JAX program as an ONNX graph whose image sizes stay open.

Converters that exist ask for another version of the packages that isl computes with (jax2onnx for
an older Orbax) and want sizes that are numbers. A program traced with symbols says every size as a
polynomial of the input's: each becomes a few nodes that compute it. The programs are those of
`isl.backbones.portable`, so what has to be known are some fifty operations, each a line or two.
"""

import ast
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from isl.errors import InputError
from isl.export.program import Program
from isl.packages import needed

OPSET = 18
# The newest that opset 18's runtimes read.
_IR_VERSION = 9
_ALL = np.iinfo(np.int64).max


def onnx_model(program: Program) -> Any:
    """A model as `onnx.ModelProto`, checked.

    Raises:
        InputError: The package onnx is missing, or the network has an operation that is not known.
    """
    onnx = needed("onnx", extra="export", what="an export to ONNX")
    closed: ClosedJaxpr = program.traced().jaxpr
    graph = _Graph(onnx, program.input.name, program.input.shape)
    (argument,) = closed.jaxpr.invars
    graph.names[argument] = program.input.name
    outputs = graph.run(closed.jaxpr, closed.consts)
    for port, found in zip(program.outputs, outputs, strict=True):
        graph.add("Identity", [found], output=port.name)
    helper, types = onnx.helper, onnx.TensorProto
    shapes = [variable.aval.shape for variable in closed.jaxpr.outvars]
    proto = helper.make_graph(
        graph.nodes,
        program.name,
        [helper.make_tensor_value_info(program.input.name, types.FLOAT, program.input.shape)],
        [
            helper.make_tensor_value_info(
                port.name, types.FLOAT, [_static(size) or str(size) for size in shape]
            )
            for port, shape in zip(program.outputs, shapes, strict=True)
        ],
        graph.used(),
    )
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION
    )
    model.producer_name = "isl"
    onnx.checker.check_model(model)
    return model


class _Graph:
    """Nodes as they are added, and what JAX's variables are called in them."""

    def __init__(self, onnx: Any, given: str, shape: Sequence[int | str]) -> None:
        """A graph whose input is `given`; sizes of it that are names can be computed with."""
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.names: dict[Any, str] = {}
        self.constants: dict[str, np.ndarray] = {}
        # Arrays that are to be repeated along some axes, by name: what they are repeated of.
        self.lazy: dict[str, tuple[str, Sequence[Any]]] = {}
        self._stored: dict[tuple[Any, ...], str] = {}
        self._sizes: dict[str, str] = {}
        self._count = 0
        # Sizes are computed outside of loops, where all can see them.
        self._outermost = self.nodes
        sizes = self.add("Shape", [given])
        for axis, size in enumerate(shape):
            if isinstance(size, str):
                self._sizes[size] = self.add("Gather", [sizes, self.store(np.array([axis]))])

    def add(
        self, operation: str, inputs: Sequence[str], *, output: str | None = None, **attributes: Any
    ) -> str:
        """One node with one result; its name."""
        name = output or self.fresh()
        node = self.onnx.helper.make_node(operation, list(inputs), [name], **attributes)
        self.nodes.append(node)
        return name

    def fresh(self) -> str:
        """A name that nothing has."""
        self._count += 1
        return f"v{self._count}"

    def store(self, array: np.ndarray) -> str:
        """A constant's name; equal ones are stored once."""
        array = np.ascontiguousarray(array)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._stored:
            name = f"c{len(self._stored)}"
            self.initializers.append(self.onnx.numpy_helper.from_array(array, name))
            self._stored[key] = name
            self.constants[name] = array
        return self._stored[key]

    def used(self) -> list[Any]:
        """Constants that a node reads."""
        read: set[str] = set()
        nodes = list(self.nodes)
        while nodes:
            node = nodes.pop()
            read.update(node.input)
            for attribute in node.attribute:
                nodes.extend(attribute.g.node)
        return [constant for constant in self.initializers if constant.name in read]

    def size(self, size: Any) -> str:
        """A size, a number or a polynomial of symbols, as int64 [1]."""
        number = _static(size)
        if number is not None:
            return self.store(np.array([number], np.int64))
        text = str(size)
        if text not in self._sizes:
            with self._outside():
                self._sizes[text] = self._computed(ast.parse(text, mode="eval").body)
        return self._sizes[text]

    def sizes(self, shape: Sequence[Any]) -> str:
        """A shape as int64 [n]."""
        numbers = [_static(size) for size in shape]
        if None not in numbers:
            return self.store(np.array(numbers, np.int64))
        key = str(tuple(map(str, shape)))
        if key not in self._sizes:
            with self._outside():
                parts = [self.size(size) for size in shape]
                self._sizes[key] = self.add("Concat", parts, axis=0)
        return self._sizes[key]

    @contextlib.contextmanager
    def _outside(self) -> Iterator[None]:
        inner, self.nodes = self.nodes, self._outermost
        yield
        self.nodes = inner

    def _computed(self, node: ast.expr) -> str:
        """Nodes for an expression as JAX writes it, such as 8*floordiv(h + 3, 8) + 92."""
        match node:
            case ast.Constant(value=int(number)):
                return self.store(np.array([number], np.int64))
            case ast.Name(id=name):
                return self._sizes[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.add("Neg", [self._computed(operand)])
            case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(power))):
                base = self._computed(left)
                found = base
                for _ in range(power - 1):
                    found = self.add("Mul", [found, base])
                return found
            case ast.BinOp(left=left, op=operator, right=right):
                kinds = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul"}
                pair = [self._computed(left), self._computed(right)]
                return self.add(kinds[type(operator)], pair)
            case ast.Call(func=ast.Name(id=name), args=[left, right]):
                pair = [self._computed(left), self._computed(right)]
                if name == "floordiv":
                    # Integers are cut toward 0: what is left over is taken off first.
                    rest = self.add("Mod", pair)
                    return self.add("Div", [self.add("Sub", [pair[0], rest]), pair[1]])
                return self.add({"mod": "Mod", "max": "Max", "min": "Min"}[name], pair)
        raise InputError(f"a size of this network, {ast.unparse(node)}, cannot be exported")

    def run(self, jaxpr: Jaxpr, consts: Sequence[Any]) -> list[str]:
        """Adds a program's nodes; the names of its results."""
        for variable, array in zip(jaxpr.constvars, consts, strict=True):
            self.names[variable] = self._constant(array)
        for equation in jaxpr.eqns:
            name = equation.primitive.name
            if name in _INNER:
                self._inline(equation, equation.params[_INNER[name]])
            elif name == "scan":
                self._scan(equation)
            elif name in _OPERATIONS:
                found = _OPERATIONS[name](self, equation)
                self.names[equation.outvars[0]] = found
            else:
                raise InputError(
                    f"this network has an operation ({name}) that cannot be exported to ONNX yet; "
                    "StableHLO can have it"
                )
        return [self.of(variable) for variable in jaxpr.outvars]

    def of(self, variable: Any, *, whole: bool = True) -> str:
        """The name of a variable's array, repeated where it is to be, unless not `whole`."""
        if isinstance(variable, Literal):
            return self._constant(np.asarray(variable.val, self.dtype_of(variable)))
        name = self.names[variable]
        if name in self.lazy:
            small, shape = self.lazy[name]
            if not whole:
                return small
            expanded = self.add("Expand", [small, self.sizes(shape)])
            self.names[variable] = expanded
            return expanded
        return name

    @staticmethod
    def dtype_of(variable: Any) -> np.dtype:
        """The type of a variable's numbers."""
        return np.dtype(variable.aval.dtype)

    def type_of(self, dtype: Any) -> int:
        """ONNX's number of a type."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def _constant(self, array: Any) -> str:
        return self.store(np.asarray(array))

    def _inline(self, equation: Any, inner: Any) -> None:
        jaxpr, consts = (
            (inner.jaxpr, inner.consts) if isinstance(inner, ClosedJaxpr) else (inner, ())
        )
        for inside, outside in zip(jaxpr.invars, equation.invars, strict=True):
            self.names[inside] = (
                self.of(outside) if isinstance(outside, Literal) else self.names[outside]
            )
        for outside, name in zip(equation.outvars, self.run(jaxpr, consts), strict=True):
            self.names[outside] = name

    def _scan(self, equation: Any) -> None:
        """A loop over the first axis."""
        params, helper = equation.params, self.onnx.helper
        body, fixed, carried = params["jaxpr"], params["num_consts"], params["num_carry"]
        if params["reverse"]:
            raise InputError("a loop from the end cannot be exported to ONNX")
        for inside, outside in zip(body.jaxpr.invars[:fixed], equation.invars[:fixed], strict=True):
            self.names[inside] = self.of(outside)
        outer = [self.of(variable) for variable in equation.invars[fixed:]]
        inner = body.jaxpr.invars[fixed:]
        for variable in inner:
            self.names[variable] = self.fresh()
        around, self.nodes = self.nodes, []
        # A loop's results are its own, even those that it only passes on.
        results = [self.add("Identity", [name]) for name in self.run(body.jaxpr, body.consts)]
        nodes, self.nodes = self.nodes, around
        infos = [
            [
                helper.make_tensor_value_info(
                    name,
                    self.type_of(variable.aval.dtype),
                    [_static(size) for size in variable.aval.shape],
                )
                for variable, name in pairs
            ]
            for pairs in (
                [(variable, self.names[variable]) for variable in inner],
                list(zip(body.jaxpr.outvars, results, strict=True)),
            )
        ]
        names = [self.fresh() for _ in equation.outvars]
        self.nodes.append(
            helper.make_node(
                "Scan",
                outer,
                names,
                body=helper.make_graph(nodes, self.fresh(), *infos),
                num_scan_inputs=len(outer) - carried,
            )
        )
        for variable, name in zip(equation.outvars, names, strict=True):
            self.names[variable] = name


def _static(size: Any) -> int | None:
    return None if jax.export.is_symbolic_dim(size) else int(size)


_INNER = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
}
"""Programs within a program, by the parameter that holds them."""

_Operation = Callable[[_Graph, Any], str]


def _same(operation: str, **attributes: Any) -> _Operation:
    """Number by number: arrays that are only repeated go in as they are."""

    def convert(graph: _Graph, equation: Any) -> str:
        variables = list(equation.invars)
        repeated = [not isinstance(v, Literal) and graph.names[v] in graph.lazy for v in variables]
        whole = repeated.index(False) if False in repeated else 0
        names = [graph.of(v, whole=i == whole) for i, v in enumerate(variables)]
        # A literal has no shape of its own; something has to have the whole one.
        if all(r or not v.aval.shape for r, v in zip(repeated, variables, strict=True)):
            names = [graph.of(v) for v in variables]
        return graph.add(operation, names, **attributes)

    return convert


def _chain(*operations: str) -> _Operation:
    """One operation after the other, of one array."""

    def convert(graph: _Graph, equation: Any) -> str:
        name = graph.of(equation.invars[0])
        for operation in operations:
            name = graph.add(operation, [name])
        return name

    return convert


def _is_bool(equation: Any) -> bool:
    return np.dtype(equation.invars[0].aval.dtype) == np.bool_


def _ne(graph: _Graph, equation: Any) -> str:
    return graph.add("Not", [_same("Equal")(graph, equation)])


def _logical(boolean: str, bits: str) -> _Operation:
    def convert(graph: _Graph, equation: Any) -> str:
        return _same(boolean if _is_bool(equation) else bits)(graph, equation)

    return convert


def _integer_pow(graph: _Graph, equation: Any) -> str:
    name, power = graph.of(equation.invars[0]), equation.params["y"]
    exponent = np.asarray(power, equation.invars[0].aval.dtype)
    return graph.add("Pow", [name, graph.store(exponent)])


def _square(graph: _Graph, equation: Any) -> str:
    name = graph.of(equation.invars[0])
    return graph.add("Mul", [name, name])


def _rem(graph: _Graph, equation: Any) -> str:
    return _same("Mod", fmod=1)(graph, equation)


def _log1p(graph: _Graph, equation: Any) -> str:
    name = graph.of(equation.invars[0])
    one = graph.store(np.asarray(1, equation.invars[0].aval.dtype))
    return graph.add("Log", [graph.add("Add", [name, one])])


def _is_finite(graph: _Graph, equation: Any) -> str:
    name = graph.of(equation.invars[0])
    either = graph.add("Or", [graph.add("IsNaN", [name]), graph.add("IsInf", [name])])
    return graph.add("Not", [either])


def _select(graph: _Graph, equation: Any) -> str:
    which, false, true = equation.invars
    return graph.add("Where", [graph.of(which), graph.of(true), graph.of(false)])


def _clamp(graph: _Graph, equation: Any) -> str:
    low, x, high = equation.invars
    at_least = graph.add("Max", [graph.of(x), graph.of(low)])
    return graph.add("Min", [at_least, graph.of(high)])


def _cast(graph: _Graph, equation: Any) -> str:
    name, dtype = graph.of(equation.invars[0]), equation.params["new_dtype"]
    if name in graph.constants:
        return graph.store(graph.constants[name].astype(dtype))
    return graph.add("Cast", [name], to=graph.type_of(dtype))


def _identity(graph: _Graph, equation: Any) -> str:
    return graph.of(equation.invars[0])


def _reshape_to(graph: _Graph, name: str, shape: Sequence[Any]) -> str:
    numbers = [_static(size) for size in shape]
    if numbers.count(None) == 1 and 0 not in numbers:
        target = graph.store(np.array([-1 if n is None else n for n in numbers], np.int64))
    else:
        target = graph.sizes(shape)
    return graph.add("Reshape", [name, target])


def _reshape(graph: _Graph, equation: Any) -> str:
    return _reshape_to(graph, graph.of(equation.invars[0]), equation.outvars[0].aval.shape)


def _broadcast(graph: _Graph, equation: Any) -> str:
    operand = equation.invars[0]
    shape, places = equation.params["shape"], equation.params["broadcast_dimensions"]
    spread = [1] * len(shape)
    for size, place in zip(operand.aval.shape, places, strict=True):
        spread[place] = size
    name = graph.of(operand)
    if list(operand.aval.shape) != spread:
        name = _reshape_to(graph, name, spread)
    if all(str(a) == str(b) for a, b in zip(spread, shape, strict=True)):
        return name
    repeated = graph.fresh()
    graph.lazy[repeated] = (name, shape)
    return repeated


def _transpose(graph: _Graph, equation: Any) -> str:
    return _turned(graph, graph.of(equation.invars[0]), equation.params["permutation"])


def _turned(graph: _Graph, name: str, order: Sequence[int]) -> str:
    """A transposed array; of a constant, another constant."""
    if list(order) == sorted(order):
        return name
    if name in graph.constants:
        return graph.store(np.transpose(graph.constants[name], order))
    return graph.add("Transpose", [name], perm=[int(axis) for axis in order])


def _concatenate(graph: _Graph, equation: Any) -> str:
    names = [graph.of(variable) for variable in equation.invars]
    return graph.add("Concat", names, axis=equation.params["dimension"])


def _stack(graph: _Graph, equation: Any) -> str:
    axis = equation.params["axis"]
    place = graph.store(np.array([axis], np.int64))
    names = [graph.add("Unsqueeze", [graph.of(v), place]) for v in equation.invars]
    return graph.add("Concat", names, axis=axis)


def _tile(graph: _Graph, equation: Any) -> str:
    repeats = graph.store(np.array(equation.params["reps"], np.int64))
    return graph.add("Tile", [graph.of(equation.invars[0]), repeats])


def _sliced(
    graph: _Graph, name: str, axis: int, first: Any, after: Any, step: int = 1, full: Any = None
) -> str:
    if _static(first) == 0 and step == 1 and str(after) == str(full):
        return name
    ends = graph.store(np.array([_ALL])) if str(after) == str(full) else graph.size(after)
    axes, steps = (graph.store(np.array([n], np.int64)) for n in (axis, step))
    return graph.add("Slice", [name, graph.size(first), ends, axes, steps])


def _slice(graph: _Graph, equation: Any) -> str:
    (operand,), params = equation.invars, equation.params
    name = graph.of(operand)
    strides = params["strides"] or (1,) * len(operand.aval.shape)
    bounds = zip(
        params["start_indices"], params["limit_indices"], strides, operand.aval.shape, strict=True
    )
    for axis, (first, after, step, full) in enumerate(bounds):
        name = _sliced(graph, name, axis, first, after, step, full)
    return name


def _split(graph: _Graph, equation: Any) -> str:
    name, axis, first = graph.of(equation.invars[0]), equation.params["axis"], 0
    for variable, size in zip(equation.outvars, equation.params["sizes"], strict=True):
        graph.names[variable] = _sliced(graph, name, axis, first, first + size)
        first = first + size
    return graph.names[equation.outvars[0]]


def _reverse(graph: _Graph, equation: Any) -> str:
    name = graph.of(equation.invars[0])
    if name in graph.constants:
        return graph.store(np.flip(graph.constants[name], equation.params["dimensions"]))
    for axis in equation.params["dimensions"]:
        numbers = [np.array([n], np.int64) for n in (-1, np.iinfo(np.int64).min, axis, -1)]
        name = graph.add("Slice", [name, *map(graph.store, numbers)])
    return name


def _pad(graph: _Graph, equation: Any) -> str:
    operand, value = equation.invars
    config = equation.params["padding_config"]
    if any(interior for _, _, interior in config):
        raise InputError("padding between pixels cannot be exported to ONNX")
    amounts = [low for low, _, _ in config] + [high for _, high, _ in config]
    return graph.add("Pad", [graph.of(operand), graph.sizes(amounts), graph.of(value)])


def _reduce(operation: str) -> _Operation:
    def convert(graph: _Graph, equation: Any) -> str:
        axes = graph.store(np.array(equation.params["axes"], np.int64))
        return graph.add(operation, [graph.of(equation.invars[0]), axes], keepdims=0)

    return convert


def _reduce_bool(operation: str) -> _Operation:
    def convert(graph: _Graph, equation: Any) -> str:
        number = graph.add("Cast", [graph.of(equation.invars[0])], to=graph.type_of(np.int32))
        axes = graph.store(np.array(equation.params["axes"], np.int64))
        found = graph.add(operation, [number, axes], keepdims=0)
        return graph.add("Cast", [found], to=graph.type_of(np.bool_))

    return convert


def _argmax(graph: _Graph, equation: Any) -> str:
    (axis,) = equation.params["axes"]
    found = graph.add("ArgMax", [graph.of(equation.invars[0])], axis=int(axis), keepdims=0)
    return graph.add("Cast", [found], to=graph.type_of(equation.params["index_dtype"]))


def _cumsum(graph: _Graph, equation: Any) -> str:
    axis = graph.store(np.array(equation.params["axis"], np.int64))
    reverse = int(equation.params["reverse"])
    return graph.add("CumSum", [graph.of(equation.invars[0]), axis], reverse=reverse)


def _sort(graph: _Graph, equation: Any) -> str:
    if len(equation.invars) > 1:
        raise InputError("sorting by several arrays cannot be exported to ONNX")
    axis = equation.params["dimension"]
    count = graph.size(equation.invars[0].aval.shape[axis])
    given, values = graph.of(equation.invars[0]), graph.fresh()
    outputs = [values, graph.fresh()]
    node = graph.onnx.helper.make_node("TopK", [given, count], outputs, axis=axis, largest=0)
    graph.nodes.append(node)
    return values


def _iota(graph: _Graph, equation: Any) -> str:
    shape, dimension = equation.params["shape"], equation.params["dimension"]
    dtype, length = equation.params["dtype"], _static(shape[dimension])
    if length is None:
        count = graph.add("Squeeze", [graph.size(shape[dimension])])
        first, step = (graph.store(np.array(n, np.int64)) for n in (0, 1))
        numbers = graph.add("Range", [first, count, step])
        numbers = graph.add("Cast", [numbers], to=graph.type_of(dtype))
    else:
        numbers = graph.store(np.arange(length, dtype=dtype))
    if len(shape) == 1:
        return numbers
    spread = [size if axis == dimension else 1 for axis, size in enumerate(shape)]
    return graph.add("Expand", [_reshape_to(graph, numbers, spread), graph.sizes(shape)])


def _dimension(graph: _Graph, equation: Any) -> str:
    number = graph.add("Squeeze", [graph.size(equation.params["dim"])])
    dtype = equation.outvars[0].aval.dtype
    return graph.add("Cast", [number], to=graph.type_of(dtype))


def _gather(graph: _Graph, equation: Any) -> str:
    """Whole slices taken along one axis, as `jnp.take` does it; or one window."""
    operand, indices = equation.invars
    numbers = equation.params["dimension_numbers"]
    shape, sizes = operand.aval.shape, equation.params["slice_sizes"]
    if len(indices.aval.shape) == 1 and not numbers.operand_batching_dims:
        return _window(graph, equation)
    count = len(indices.aval.shape) - 1
    (axis,) = numbers.start_index_map if len(numbers.start_index_map) == 1 else (None,)
    rest = tuple(range(len(equation.outvars[0].aval.shape)))
    taken = () if axis is None else tuple(range(axis, axis + count))
    if (
        axis is None
        or tuple(numbers.collapsed_slice_dims) != (axis,)
        or numbers.operand_batching_dims
        or tuple(numbers.offset_dims) != tuple(i for i in rest if i not in taken)
        or any(
            str(a) != str(b) for i, (a, b) in enumerate(zip(shape, sizes, strict=True)) if i != axis
        )
    ):
        raise InputError("this kind of indexing cannot be exported to ONNX")
    which = graph.add("Squeeze", [graph.of(indices), graph.store(np.array([-1], np.int64))])
    which = graph.add("Cast", [which], to=graph.type_of(np.int64))
    if equation.params["mode"] != jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS:
        first, one = (graph.store(np.array([n], np.int64)) for n in (0, 1))
        last = graph.add("Sub", [graph.size(shape[axis]), one])
        which = graph.add("Min", [graph.add("Max", [which, first]), last])
    return graph.add("Gather", [graph.of(operand), which], axis=axis)


def _window(graph: _Graph, equation: Any) -> str:
    """A window whose corner is computed, as `x[:, a:b]` gives it where sizes are symbols."""
    operand, indices = equation.invars
    numbers = equation.params["dimension_numbers"]
    sizes = equation.params["slice_sizes"]
    axes = list(numbers.start_index_map)
    first = graph.add("Cast", [graph.of(indices)], to=graph.type_of(np.int64))
    after = graph.add("Add", [first, graph.sizes([sizes[axis] for axis in axes])])
    stored = graph.store(np.array(axes, np.int64))
    name = graph.add("Slice", [graph.of(operand), first, after, stored])
    if numbers.collapsed_slice_dims:
        collapsed = graph.store(np.array(numbers.collapsed_slice_dims, np.int64))
        name = graph.add("Squeeze", [name, collapsed])
    return name


def _dot(graph: _Graph, equation: Any) -> str:
    left, right = equation.invars
    (of_left, of_right), (batch_left, batch_right) = equation.params["dimension_numbers"]
    names = [graph.of(left), graph.of(right)]
    ranks = [len(left.aval.shape), len(right.aval.shape)]
    if not batch_left and len(of_left) == 1 and ranks[1] == 2 and of_left[0] == ranks[0] - 1:
        weights = _turned(graph, names[1], (of_right[0], 1 - of_right[0]))
        return graph.add("MatMul", [names[0], weights])
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    terms: list[list[str]] = [[""] * rank for rank in ranks]
    batch = [next(letters) for _ in batch_left]
    for letter, one, other in zip(batch, batch_left, batch_right, strict=True):
        terms[0][one] = terms[1][other] = letter
    for one, other in zip(of_left, of_right, strict=True):
        terms[0][one] = terms[1][other] = next(letters)
    free: list[str] = []
    for term in terms:
        for axis, letter in enumerate(term):
            if not letter:
                term[axis] = next(letters)
                free.append(term[axis])
    words = ["".join(term) for term in terms]
    return graph.add("Einsum", names, equation=f"{words[0]},{words[1]}->{''.join(batch + free)}")


def _convolution(graph: _Graph, equation: Any) -> str:
    x, kernel = equation.invars
    params = equation.params
    layout = params["dimension_numbers"]
    if params["batch_group_count"] != 1:
        raise InputError("a convolution over groups of examples cannot be exported to ONNX")
    name = _turned(graph, graph.of(x), layout.lhs_spec)
    weights = _turned(graph, graph.of(kernel), layout.rhs_spec)
    pads = [_static(n) for pair in zip(*params["padding"], strict=True) for n in pair]
    if None in pads:
        raise InputError("a convolution whose border depends on the image cannot be exported")
    size = [kernel.aval.shape[axis] for axis in layout.rhs_spec[2:]]
    if any(n != 1 for n in params["lhs_dilation"]):
        # Zeros between pixels: a transposed convolution with the kernel turned.
        if set(params["window_strides"]) != {1} or params["feature_group_count"] != 1:
            raise InputError("a transposed convolution with strides cannot be exported to ONNX")
        if weights not in graph.constants:
            raise InputError("a transposed convolution of computed weights cannot be exported")
        array = graph.constants[weights][:, :, ::-1, ::-1].swapaxes(0, 1)
        beyond = [k - 1 - p for k, p in zip(size * 2, pads, strict=True)]
        found = graph.add(
            "ConvTranspose",
            [name, graph.store(array)],
            strides=list(params["lhs_dilation"]),
            pads=beyond,
        )
    else:
        found = graph.add(
            "Conv",
            [name, weights],
            strides=list(params["window_strides"]),
            pads=pads,
            dilations=list(params["rhs_dilation"]),
            group=params["feature_group_count"],
            kernel_shape=size,
        )
    return _turned(graph, found, tuple(np.argsort(layout.out_spec)))


def _max_pool(graph: _Graph, equation: Any) -> str:
    params, rank = equation.params, len(equation.invars[0].aval.shape)
    window = params["window_dimensions"]
    kept = [axis for axis in range(rank) if window[axis] == 1][:2]
    order = [*kept, *(axis for axis in range(rank) if axis not in kept)]
    pads = [n for pair in zip(*params["padding"], strict=True) for n in pair]
    by_axis = [pads[axis] for axis in order[2:]] + [pads[rank + axis] for axis in order[2:]]
    found = graph.add(
        "MaxPool",
        [_turned(graph, graph.of(equation.invars[0]), order)],
        kernel_shape=[window[axis] for axis in order[2:]],
        strides=[params["window_strides"][axis] for axis in order[2:]],
        pads=by_axis,
    )
    return _turned(graph, found, tuple(np.argsort(order)))


_OPERATIONS: dict[str, _Operation] = {
    "abs": _chain("Abs"),
    "add": _same("Add"),
    "add_any": _same("Add"),
    "and": _logical("And", "BitwiseAnd"),
    "argmax": _argmax,
    "broadcast_in_dim": _broadcast,
    "ceil": _chain("Ceil"),
    "clamp": _clamp,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "convert_element_type": _cast,
    "copy": _identity,
    "copy_p": _identity,
    "cumsum": _cumsum,
    "dim_as_value": _dimension,
    "div": _same("Div"),
    "dot_general": _dot,
    "eq": _same("Equal"),
    "erf": _chain("Erf"),
    "exp": _chain("Exp"),
    "expand_dims": _reshape,
    "floor": _chain("Floor"),
    "gather": _gather,
    "ge": _same("GreaterOrEqual"),
    "gt": _same("Greater"),
    "integer_pow": _integer_pow,
    "iota": _iota,
    "is_finite": _is_finite,
    "le": _same("LessOrEqual"),
    "log": _chain("Log"),
    "log1p": _log1p,
    "logistic": _chain("Sigmoid"),
    "lt": _same("Less"),
    "max": _same("Max"),
    "min": _same("Min"),
    "mul": _same("Mul"),
    "ne": _ne,
    "neg": _chain("Neg"),
    "not": _chain("Not"),
    "optimization_barrier": _identity,
    "or": _logical("Or", "BitwiseOr"),
    "pad": _pad,
    "pow": _same("Pow"),
    "reduce_and": _reduce_bool("ReduceMin"),
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_or": _reduce_bool("ReduceMax"),
    "reduce_precision": _identity,
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_window_max": _max_pool,
    "rem": _rem,
    "reshape": _reshape,
    "rev": _reverse,
    "round": _chain("Round"),
    "rsqrt": _chain("Sqrt", "Reciprocal"),
    "select_n": _select,
    "sign": _chain("Sign"),
    "slice": _slice,
    "sort": _sort,
    "split": _split,
    "sqrt": _chain("Sqrt"),
    "square": _square,
    "squeeze": _reshape,
    "stack": _stack,
    "stop_gradient": _identity,
    "sub": _same("Sub"),
    "tan": _chain("Tan"),
    "tanh": _chain("Tanh"),
    "tile": _tile,
    "transpose": _transpose,
}
"""From an equation of JAX's to nodes; the name of its first result."""
