"""Encodes the same vectors and searches the same rows with PyTorch: weights of the ONNX file, matmul, topk.

Started by `pinion model bench`:  python model.py CASES ENCODER.onnx DEVICE

CASES, little endian: rows, dimensions, features, vectors, neighbours (u32 each); rows and vectors (f32); for each vector
the similarities of its nearest rows (f32). DEVICE is cpu, which is one thread, or cuda, where each batch size is captured
as a CUDA graph and vectors and results go through pinned memory. The first line on stdout is a JSON object: "name" and
"similarity_off", or "missing", why it cannot. Then each line on stdin is a number of vectors; the answer is the time of
one run over the first so many, from vectors in the CPU's memory to rows in the CPU's memory, in ns.
"""

import json
import sys
import time

try:
    import numpy
    import torch
except ImportError as error:
    print(json.dumps({"missing": f"no module {error.name}"}), flush=True)
    sys.exit(0)

KINDS = {1: "<f4", 3: "i1", 10: "<f2"}


def fields(body):
    """Number and value of each field of a protocol buffer message: bytes, or an int."""
    position = 0

    def read_varint():
        nonlocal position
        value = shift = 0
        while True:
            byte = body[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(body):
        key = read_varint()
        if key & 7 == 2:
            size = read_varint()
            position += size
            yield key >> 3, body[position - size : position]
        elif key & 7 == 0:
            yield key >> 3, read_varint()
        else:
            position += 8 if key & 7 == 1 else 4


def initialisers(path):
    """The constants of an ONNX file, as they are stored."""
    with open(path, "rb") as file:
        graph = dict(fields(file.read()))[7]
    found = {}
    for tensor in (value for field, value in fields(graph) if field == 5):
        content = list(fields(tensor))
        shape = [value for field, value in content if field == 1]
        kind, name, raw = (dict(content).get(field) for field in (2, 8, 9))
        if kind in KINDS and raw is not None:
            found[name.decode()] = numpy.frombuffer(raw, KINDS[kind]).reshape(shape)
    return found


class Model:
    def __init__(self, path, device):
        stored = initialisers(path)
        put = lambda values: torch.tensor(numpy.ascontiguousarray(values, dtype="f4"), device=device)

        def matrix(name):
            scale = stored.get(f"{name}_scale", numpy.ones((), "f4")).astype("f4")
            return put(stored[name].astype("f4") * (scale[:, None] if scale.ndim else scale)).T.contiguous()

        self.repeat = matrix("repeat") if "repeat" in stored else None
        self.mean, self.scale = put(stored["mean"]), put(stored["scale"])
        self.clip = float(stored["clip_min"].reshape(-1)[0]), float(stored["clip_max"].reshape(-1)[0])
        count = sum(name.startswith("bias_") for name in stored)
        self.layers = [(matrix(f"weight_{i}"), put(stored[f"bias_{i}"])) for i in range(count)]

    def __call__(self, x):
        if self.repeat is not None:
            x = x @ self.repeat
        x = ((x - self.mean) * self.scale).clamp(*self.clip)
        for index, (weights, bias) in enumerate(self.layers):
            x = torch.addmm(bias, x, weights)
            if index + 1 < len(self.layers):
                x = x.relu()
        return x / (x.square().sum(1, keepdim=True) + 1e-12).sqrt()


class Search:
    """One batch size, ready to run."""

    def __init__(self, model, bank, vectors, neighbours, device):
        self.device, self.vectors = device, vectors
        self.step = lambda x: torch.topk(model(x) @ bank.T, neighbours, dim=1)
        if device != "cuda":
            return
        self.given = vectors.pin_memory()
        self.x = self.given.to(device)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step(self.x)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.out = self.step(self.x)
        self.taken = [torch.empty(part.shape, dtype=part.dtype, pin_memory=True) for part in self.out]

    def __call__(self):
        if self.device != "cuda":
            return self.step(self.vectors)
        self.x.copy_(self.given, non_blocking=True)
        self.graph.replay()
        for to, part in zip(self.taken, self.out):
            to.copy_(part, non_blocking=True)
        torch.cuda.synchronize()
        return self.taken


def read(path):
    with open(path, "rb") as file:
        rows, dimensions, features, vectors, neighbours = numpy.fromfile(file, "<u4", 5).tolist()
        take = lambda a, b: torch.from_numpy(numpy.fromfile(file, "<f4", a * b).reshape(a, b))
        return take(rows, dimensions), take(vectors, features), take(vectors, neighbours), neighbours


def main():
    cases, encoder, device = sys.argv[1:4]
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    if device == "cuda" and not torch.cuda.is_available():
        print(json.dumps({"missing": "PyTorch sees no GPU"}), flush=True)
        return
    bank, vectors, expected, neighbours = read(cases)
    where = torch.cuda.get_device_name() if device == "cuda" else "one thread"
    with torch.inference_mode():
        model, bank = Model(encoder, device), bank.to(device)
        searches = {}

        def search(batch):
            if batch not in searches:
                searches[batch] = Search(model, bank, vectors[:batch].clone(), neighbours, device)
            return searches[batch]

        found = search(len(vectors))()[0]
        off = float((found.cpu() - expected).abs().max())
        name = f"{torch.__version__}, {where}, built for CUDA {torch.version.cuda}"
        print(json.dumps({"name": name, "similarity_off": off}), flush=True)
        for line in sys.stdin:
            run = search(int(line))
            start = time.perf_counter_ns()
            run()
            print(time.perf_counter_ns() - start, flush=True)


if __name__ == "__main__":
    main()
