"""Writes the encoder as an ONNX file, and reads it back, by the few protocol buffer messages it needs.

Messages and field numbers are those of onnx.proto3 (IR version 8, operator set 13).
"""

import struct

import numpy

import network
import precision as precisions
from bank import Bank

# TensorProto.DataType, and how numpy calls them.
FLOAT, INT8, INT64, FLOAT16 = 1, 3, 7, 10
KINDS = {FLOAT: "<f4", INT8: "i1", INT64: "<i8", FLOAT16: "<f2"}


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, body):
    body = body.encode() if isinstance(body, str) else body
    return varint(field << 3 | 2) + varint(len(body)) + body


def tensor(name, values, data_type=FLOAT):
    """TensorProto: dims 1, data_type 2, name 8, raw_data 9."""
    values = numpy.asarray(values, dtype=KINDS[data_type])
    dims = b"".join(number(1, size) for size in values.shape)
    return dims + number(2, data_type) + message(8, name) + message(9, values.tobytes())


def node(operator, inputs, output, attributes=()):
    """NodeProto: input 1, output 2, name 3, op_type 4, attribute 5 (name 1, i 3, type 20 = INT)."""
    body = b"".join(message(1, name) for name in inputs) + message(2, output)
    body += message(3, output) + message(4, operator)
    for name, value in attributes:
        body += message(5, message(1, name) + number(3, value) + number(20, 2))
    return body


def value_info(name, columns):
    """ValueInfoProto of f32 with shape [rows, columns]; `rows` is a name (dim_param 2): as many as are given."""
    shape = message(1, message(2, "rows")) + message(1, number(1, columns))
    return message(1, name) + message(2, message(1, number(1, FLOAT) + message(2, shape)))


def matrix(name, values, precision):
    """Initialisers and nodes of a matrix [outputs, inputs], and the name of its f32 values in the graph."""
    wide = f"{name}_f32"
    if precision == "f16":
        return [tensor(name, values, FLOAT16)], [node("Cast", [name], wide, [("to", FLOAT)])], wide
    if precision == "int8":
        # What has a single 1 in each row needs no scales: one of 1 keeps it exact.
        is_selection = name == "repeat"
        scale = numpy.ones((), "f4") if is_selection else precisions.scales(values)
        whole = values if is_selection else precisions.whole(values, scale)
        parts = [tensor(name, whole, INT8), tensor(f"{name}_scale", scale)]
        axis = [] if is_selection else [("axis", 0)]
        return parts, [node("DequantizeLinear", [name, f"{name}_scale"], wide, axis)], wide
    return [tensor(name, values)], [], name


def encoder(inputs, features, layers, precision="f32"):
    """The bytes of: clip((features @ repeat.T - mean) * scale), dense layers with relu between, length 1.

    `inputs` is a network.Inputs; `repeat` [columns, features] has a single 1 in each row, so the product is exact,
    and is left out where each feature is one column. `layers` is [(weights [outputs, inputs], bias)].
    `precision` is that of the matrices: see precision.py. The first dimension is symbolic: any number of rows.
    """
    columns = len(inputs.source)
    initialisers = [tensor("mean", inputs.low), tensor("scale", inputs.slope)]
    initialisers += [tensor("clip_min", [inputs.clip[0]]), tensor("clip_max", [inputs.clip[1]])]
    nodes, first = [], "features"
    if columns != features or (inputs.source != numpy.arange(columns)).any():
        repeat = inputs.source[:, None] == numpy.arange(features)
        stored, widening, name = matrix("repeat", repeat, "f32" if precision == "f32" else "int8")
        initialisers += stored
        nodes += [*widening, node("Gemm", ["features", name], "repeated", [("transB", 1)])]
        first = "repeated"
    nodes += [node("Sub", [first, "mean"], "centred"), node("Mul", ["centred", "scale"], "scaled")]
    nodes += [node("Max", ["scaled", "clip_min"], "floored"), node("Min", ["floored", "clip_max"], "hidden_0")]
    for index, (weights, bias) in enumerate(layers):
        last = index == len(layers) - 1
        stored, widening, name = matrix(f"weight_{index}", weights, precision)
        initialisers += [*stored, tensor(f"bias_{index}", bias)]
        dense = "z" if last else f"dense_{index}"
        taken = [f"hidden_{index}", name, f"bias_{index}"]
        nodes += [*widening, node("Gemm", taken, dense, [("transB", 1)])]
        if not last:
            nodes.append(node("Relu", [dense], f"hidden_{index + 1}"))
    initialisers += [tensor("axes", [1], INT64), tensor("epsilon", [1e-12])]
    nodes += [
        node("Mul", ["z", "z"], "squares"),
        node("ReduceSum", ["squares", "axes"], "square_sum", [("keepdims", 1)]),
        node("Add", ["square_sum", "epsilon"], "square_length"),
        node("Sqrt", ["square_length"], "length"),
        node("Div", ["z", "length"], "embedding"),
    ]
    graph = b"".join(message(1, body) for body in nodes) + message(2, "encoder")
    graph += b"".join(message(5, body) for body in initialisers)
    graph += message(11, value_info("features", features))
    graph += message(12, value_info("embedding", len(layers[-1][1])))
    opset = message(1, "") + number(2, 13)
    return number(1, 8) + message(2, "pinion") + message(7, graph) + message(8, opset)


def bank(rows, names):
    """The bytes of bank.bin; see engine/score/src/bank/start.rs for the format."""
    count, dimensions = rows.embeddings.shape
    out = b"PNBANK01" + struct.pack("<II", count, dimensions)
    out += rows.embeddings.astype("<f4").tobytes() + rows.weights.astype("<f4").tobytes()
    out += rows.labels.astype("u1").tobytes()
    return out + b"".join(name.encode("ascii").ljust(36, b"\0") for name in names)


def fields(body):
    """Number and value of each field of a message: bytes, or an int."""
    position = 0

    def read_varint():
        nonlocal position
        value, shift = 0, 0
        while True:
            byte = body[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(body):
        key = read_varint()
        value = read_varint()
        if key & 7 == 2:
            position += value
            value = body[position - value : position]
        yield key >> 3, value


def read_encoder(body):
    """Inputs and layers, in f32, of a file that `encoder` wrote in any precision."""
    tensors = {}
    graph = dict(fields(body))[7]
    for initialiser in (value for field, value in fields(graph) if field == 5):
        content = list(fields(initialiser))
        shape = [value for field, value in content if field == 1]
        kind, name, raw = (dict(content)[field] for field in (2, 8, 9))
        tensors[name.decode()] = numpy.frombuffer(raw, KINDS[kind]).reshape(shape)
    layers = []
    while f"weight_{len(layers)}" in tensors:
        name = f"weight_{len(layers)}"
        scale = tensors.get(f"{name}_scale", numpy.ones(1, "f4"))
        layers.append((tensors[name].astype("f4") * scale[:, None], tensors[f"bias_{len(layers)}"]))
    clip = float(tensors["clip_min"][0]), float(tensors["clip_max"][0])
    mean = tensors["mean"]
    source = tensors["repeat"].argmax(1) if "repeat" in tensors else numpy.arange(len(mean))
    return network.Inputs(source, mean, tensors["scale"], clip), layers


def read_bank(body):
    """The bank of a file that `bank` wrote."""
    rows, dimensions = struct.unpack_from("<II", body, 8)
    embeddings = numpy.frombuffer(body, "<f4", rows * dimensions, 16).reshape(rows, dimensions)
    weights = numpy.frombuffer(body, "<f4", rows, 16 + 4 * rows * dimensions)
    labels = numpy.frombuffer(body, "u1", rows, 16 + 4 * rows * (dimensions + 1))
    return Bank(embeddings, weights, labels.astype("f4"))
