"""Searches the same vectors with FAISS, usearch and hnswlib, one thread, one query per call.

Started by latency-lab/benches/bank.rs:  python bank.py FILE [--exact-only]

FILE, little endian: rows, dimensions, queries, nearest, additions (u32 each); rows, queries and additions (f32); for
each query its exactly nearest rows (u32). Approximate rivals are tuned: of the settings tried, the first that finds
RECALL_MIN of the nearest. The first line on stdout is a JSON object: "rivals", each with its name, kind and recall, and
"missing", those that are not installed. Then each line on stdin is one round: "NAME COUNT", all queries, COUNT nearest;
"NAME add", the next ADDED additions, one per call. The answer is the time in ns. PINION_RIVALS_CACHE names a folder where graphs are kept between runs, which take minutes to build.
"""

import hashlib
import json
import os
import sys
import time

try:
    import numpy as np
except ImportError:
    print(json.dumps({"rivals": [], "missing": ["numpy"]}), flush=True)
    sys.exit(0)

RECALL_MIN = 0.98
ADDED = 50
WIDTHS = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768]


class File:
    def __init__(self, path):
        with open(path, "rb") as file:
            rows, dimensions, queries, nearest, additions = np.fromfile(file, "<u4", 5).tolist()
            self.vectors = np.fromfile(file, "<f4", rows * dimensions).reshape(rows, dimensions)
            wanted = np.fromfile(file, "<f4", queries * dimensions).reshape(queries, dimensions)
            self.additions = np.fromfile(file, "<f4", additions * dimensions).reshape(additions, dimensions)
            self.exact = np.fromfile(file, "<u4", queries * nearest).reshape(queries, nearest)
        self.queries = [np.ascontiguousarray(wanted[i : i + 1]) for i in range(queries)]

    def recall(self, search):
        pairs = zip(self.queries, self.exact)
        hits = sum(len(set(search(q, self.exact.shape[1]).tolist()) & set(e.tolist())) for q, e in pairs)
        return hits / self.exact.size

    def time(self, search, count):
        start = time.perf_counter_ns()
        for query in self.queries:
            search(query, count)
        return time.perf_counter_ns() - start


def cached(name, vectors, build, save, load):
    """Builds an index, or loads one built earlier for the same vectors."""
    folder = os.environ.get("PINION_RIVALS_CACHE")
    if folder is None:
        return build()
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{name}-{hashlib.sha256(vectors.tobytes()).hexdigest()[:16]}")
    if os.path.exists(path):
        return load(path)
    index = build()
    save(index, path)
    return index


def faiss_flat(vectors):
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    yield "faiss_flat", lambda query, count: index.search(query, count)[1][0], index.add


def faiss_ivf(vectors, cells):
    import faiss

    def build():
        quantizer = faiss.IndexFlatIP(vectors.shape[1])
        index = faiss.IndexIVFFlat(quantizer, vectors.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
        index.cp.niter, index.cp.max_points_per_centroid = 10, 64
        faiss.omp_set_num_threads(os.cpu_count())
        index.train(vectors)
        index.add(vectors)
        return index

    index = cached(f"ivf{cells}", vectors, build, faiss.write_index, faiss.read_index)
    faiss.omp_set_num_threads(1)
    for probes in [1, 2, 3, 4, 8, 12, *WIDTHS]:
        index.nprobe = probes
        name = f"faiss_ivf_{cells}_nprobe_{probes}"
        yield name, lambda query, count: index.search(query, count)[1][0], index.add


def usearch_hnsw(vectors):
    from usearch.index import Index

    def build():
        index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
        index.add(np.arange(len(vectors)), vectors, threads=0)
        return index

    index = cached("usearch", vectors, build, lambda index, path: index.save(path), Index.restore)
    add = lambda vector: index.add(len(index), vector[0], threads=1)
    for width in WIDTHS:
        index.expansion_search = width
        yield f"usearch_ef_{width}", lambda query, count: index.search(query[0], count, threads=1).keys, add


def hnswlib_hnsw(vectors):
    import hnswlib

    room = len(vectors) + 100_000

    def build():
        index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        index.init_index(max_elements=room, ef_construction=200, M=16, random_seed=1)
        index.add_items(vectors, np.arange(len(vectors)))
        return index

    def load(path):
        index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        index.load_index(path, max_elements=room)
        return index

    index = cached("hnswlib", vectors, build, lambda index, path: index.save_index(path), load)
    index.set_num_threads(1)
    add = lambda vector: index.add_items(vector, [index.get_current_count()], num_threads=1)
    for width in WIDTHS:
        index.set_ef(width)
        yield f"hnswlib_ef_{width}", lambda query, count: index.knn_query(query, count, num_threads=1)[0][0], add


def rivals(rows):
    """Kinds and makers; a maker yields settings, the cheapest first."""
    yield "exact", faiss_flat
    if "--exact-only" in sys.argv:
        return
    for cells in sorted({max(16, int(rows**0.5)), max(16, int(4 * rows**0.5))}):
        yield "approximate", lambda vectors, cells=cells: faiss_ivf(vectors, cells)
    yield "approximate", usearch_hnsw
    yield "approximate", hnswlib_hnsw


def main():
    file = File(sys.argv[1])
    found, told, missing = {}, [], []
    for kind, make in rivals(len(file.vectors)):
        try:
            for name, search, add in make(file.vectors):
                recall = file.recall(search)
                if kind == "exact" or recall >= RECALL_MIN:
                    break
        except ImportError as error:
            missing.append(str(error.name))
            continue
        print(f"{name}: recall {recall:.4f}", file=sys.stderr, flush=True)
        found[name] = search, add
        told.append({"name": name, "kind": kind, "recall": recall})
    print(json.dumps({"rivals": told, "missing": missing}), flush=True)
    added = {name: 0 for name in found}
    for line in sys.stdin:
        name, what = line.split()
        search, add = found[name]
        if what != "add":
            print(file.time(search, int(what)), flush=True)
            continue
        first = added[name] % max(1, len(file.additions) - ADDED)
        added[name] += ADDED
        vectors = [file.additions[i : i + 1] for i in range(first, first + ADDED)]
        start = time.perf_counter_ns()
        for vector in vectors:
            add(vector)
        print(time.perf_counter_ns() - start, flush=True)


if __name__ == "__main__":
    main()
