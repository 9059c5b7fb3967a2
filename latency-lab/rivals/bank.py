"""Searches the same vectors with FAISS, usearch and hnswlib, one thread, one query per call.

Started by latency-lab/benches/bank.rs:  python bank.py FILE [--exact-only]

FILE, little endian: rows, dimensions, queries, nearest (u32 each); rows and queries (f32); for each query its exactly
nearest rows (u32). The first line on stdout is a JSON object: the recall of each rival that is installed, by name, and
those that are missing. Then each line "NAME COUNT" on stdin is one round: all queries, COUNT nearest; the answer is
the time in ns.
"""

import json
import sys
import time

try:
    import numpy as np
except ImportError:
    print(json.dumps({"recall": {}, "missing": ["numpy"]}), flush=True)
    sys.exit(0)


def read(path):
    with open(path, "rb") as file:
        rows, dimensions, queries, nearest = np.fromfile(file, "<u4", 4).tolist()
        vectors = np.fromfile(file, "<f4", rows * dimensions).reshape(rows, dimensions)
        wanted = np.fromfile(file, "<f4", queries * dimensions).reshape(queries, dimensions)
        exact = np.fromfile(file, "<u4", queries * nearest).reshape(queries, nearest)
    return vectors, wanted, exact


def faiss_flat(vectors):
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return lambda query, count: index.search(query, count)[1][0]


def usearch_hnsw(vectors):
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", expansion_search=64)
    index.add(np.arange(len(vectors)), vectors, threads=0)
    return lambda query, count: index.search(query[0], count, threads=1).keys


def hnswlib_hnsw(vectors):
    import hnswlib

    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=200, M=16, random_seed=1)
    index.add_items(vectors, np.arange(len(vectors)))
    index.set_ef(64)
    index.set_num_threads(1)
    return lambda query, count: index.knn_query(query, count, num_threads=1)[0][0]


EXACT = {"faiss_flat": faiss_flat}
APPROXIMATE = {"usearch_ef64": usearch_hnsw, "hnswlib_ef64": hnswlib_hnsw}


def main():
    vectors, wanted, exact = read(sys.argv[1])
    queries = [np.ascontiguousarray(wanted[i : i + 1]) for i in range(len(wanted))]
    makers = EXACT if "--exact-only" in sys.argv else EXACT | APPROXIMATE
    searches, recall, missing = {}, {}, []
    for name, make in makers.items():
        try:
            search = make(vectors)
        except ImportError:
            missing.append(name)
            continue
        count = exact.shape[1]
        hits = sum(len(set(search(q, count).tolist()) & set(e.tolist())) for q, e in zip(queries, exact))
        searches[name], recall[name] = search, hits / exact.size
    print(json.dumps({"recall": recall, "missing": missing}), flush=True)
    for line in sys.stdin:
        name, count = line.split()
        search, count = searches[name], int(count)
        start = time.perf_counter_ns()
        for query in queries:
            search(query, count)
        print(time.perf_counter_ns() - start, flush=True)


if __name__ == "__main__":
    main()
