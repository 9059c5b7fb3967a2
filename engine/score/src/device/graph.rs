//! The one graph, as the bytes of an ONNX file: the encoder as it was trained, and the search behind it.
//!
//! ```text
//!   features ─encoder─▶ embedding ─┬────────────────────────────────────────────────────────────────────▶ ┐
//!                                  └ + 1 ─▶ × slice_0 ─▶ S ┐                                                │
//!                                           …              ├ max ─▶ M ─▶ best groups ─▶ best columns of M  │ found
//!                                           × slice_7 ─▶ S ┘                            └▶ of each S ─▶ top │
//! ```
//!
//! A scan for the `n` largest of a million values by one operator is the slowest part of such a graph, on a GPU by far: it
//! takes one block of threads per query. So the rows stand in [`SLICES`] tensors whose similarities are compared place by
//! place, and the places in groups of [`GROUP`]. The `n` groups with the largest values have all that are larger than the
//! `n`-th largest of all, and so have the `n` places among them, so each step keeps `n` and none is lost.
//!
//! Row `r` stands in slice `r / slice_rows`. A row has one value more than its embedding, 0 if a case is there and
//! [`ABSENT`] if not; the query has a 1 there. So an empty row is further from everything than any case can be.
//!
//! Invariant: all shapes are fixed, as a captured graph needs them.

use crate::initialisers::{Field, fields};

/// Tensors that the bank's rows stand in: as many as one operator takes the largest of at once.
pub(super) const SLICES: usize = 8;

/// Places of a slice that are looked at as one.
pub(super) const GROUP: usize = 64;

/// The value more of a row without a case.
pub(super) const ABSENT: f32 = -4.0;

/// Name of the output.
pub(super) const FOUND: &str = "bank/found";

/// Names of the graph that writes rows: the slice before, where, what, the slice after.
pub(super) const WRITE: [&str; 4] = ["before", "places", "rows", "after"];

/// Data types of a tensor.
const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// What is fixed of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shapes {
    /// Vectors of a run.
    pub(super) batch: usize,
    /// Features of a vector.
    pub(super) features: usize,
    /// Values of an embedding.
    pub(super) dimensions: usize,
    /// Rows of a slice; a multiple of [`GROUP`].
    pub(super) slice_rows: usize,
    /// Rows found for each vector; at most those of all slices.
    pub(super) found: usize,
}

impl Shapes {
    /// Values of a row on the device: those of the embedding, whether a case is there, and zeros.
    pub(super) fn width(&self) -> usize {
        (self.dimensions + 1).next_multiple_of(4)
    }

    /// Values of a line of the output: the embedding as the device has it, similarities, and their rows, which are whole
    /// numbers below 2²⁴ and so exact in f32.
    pub(super) fn line(&self) -> usize {
        self.dimensions + 2 * self.found
    }
}

/// Name of the input of a slice.
pub(super) fn slice_name(slice: usize) -> String {
    format!("bank/slice_{slice}")
}

/// The graph: the encoder in the file `onnx`, with input and output of these names, and the search.
///
/// Inputs:  the encoder's, shape `[batch, features]`; each slice, named by [`slice_name`], shape `[slice_rows, width]`.
/// Output:  [`FOUND`], shape `[batch, line]`; the most similar row of each vector first.
///
/// # Errors
/// `onnx` is no ONNX file.
pub(super) fn search(onnx: &[u8], [input, output]: [&str; 2], shapes: &Shapes) -> Result<Vec<u8>, String> {
    let mut graph = Graph::default();
    let opsets = graph.take_encoder(onnx).ok_or("not an ONNX file")?;
    graph.value_info(11, input, &[shapes.batch, shapes.features]);
    for slice in 0..SLICES {
        graph.value_info(11, &slice_name(slice), &[shapes.slice_rows, shapes.width()]);
    }
    graph.similarities(output, shapes);
    let columns = graph.best_columns(shapes);
    graph.best_rows(columns, shapes);
    let rows = "bank/rows_f32";
    graph.node("Cast", &["bank/rows"], &[rows], &[("to", FLOAT)]);
    graph.node("Concat", &[output, "bank/best", rows], &[FOUND], &[("axis", 1)]);
    graph.value_info(12, FOUND, &[shapes.batch, shapes.line()]);
    Ok(graph.file("scores", &opsets))
}

/// The graph that writes rows over those of a slice, any number of them, in place where both are bound to one memory.
pub(super) fn write(shapes: &Shapes) -> Vec<u8> {
    let mut graph = Graph::default();
    let [before, places, rows, after] = WRITE;
    graph.node("ScatterND", &[before, places, rows], &[after], &[]);
    let slice = [shapes.slice_rows, shapes.width()].map(Dimension::Fixed);
    graph.value_info_of(11, before, FLOAT, &slice);
    graph.value_info_of(11, places, INT64, &[Dimension::Any, Dimension::Fixed(1)]);
    graph.value_info_of(
        11,
        rows,
        FLOAT,
        &[Dimension::Any, Dimension::Fixed(shapes.width())],
    );
    graph.value_info_of(12, after, FLOAT, &slice);
    graph.file("write", &opset(13))
}

/// The graph of one product of two square matrices: what a device reaches with it is taken for its peak.
pub(super) fn product(size: usize) -> Vec<u8> {
    let mut graph = Graph::default();
    graph.node("Gemm", &["a", "b"], &["c"], &[]);
    for (field, name) in [(11, "a"), (11, "b"), (12, "c")] {
        graph.value_info(field, name, &[size, size]);
    }
    graph.file("product", &opset(13))
}

/// A size in a shape.
#[derive(Clone, Copy)]
enum Dimension {
    Fixed(usize),
    Any,
}

/// A graph under way: fields of a GraphProto (node 1, name 2, initialiser 5, input 11, output 12).
#[derive(Default)]
struct Graph {
    nodes: Vec<u8>,
    others: Vec<u8>,
}

impl Graph {
    /// Takes nodes and initialisers of a file over as they are. Returns its operator sets.
    fn take_encoder(&mut self, onnx: &[u8]) -> Option<Vec<u8>> {
        let mut opsets = Vec::new();
        for (number, field) in fields(onnx)? {
            match number {
                7 => {
                    for (number, field) in fields(field.bytes()?)? {
                        match (number, field) {
                            (1, Field::Bytes(node)) => self.nodes.extend(message(1, node)),
                            (5, Field::Bytes(tensor)) => self.others.extend(message(5, tensor)),
                            _ => {}
                        }
                    }
                }
                8 => opsets.extend(message(8, field.bytes()?)),
                _ => {}
            }
        }
        (!self.nodes.is_empty()).then_some(opsets)
    }

    /// The similarity of each row, `bank/similar_i` of slice `i`, and in `bank/largest` the largest of each place.
    fn similarities(&mut self, embedding: &str, shapes: &Shapes) {
        let more = shapes.width() - shapes.dimensions;
        let mut present = vec![0.0; shapes.batch * more];
        present.iter_mut().step_by(more).for_each(|value| *value = 1.0);
        self.floats("bank/present", &[shapes.batch, more], &present);
        self.node(
            "Concat",
            &[embedding, "bank/present"],
            &["bank/query"],
            &[("axis", 1)],
        );
        let similar: Vec<String> = (0..SLICES).map(|slice| format!("bank/similar_{slice}")).collect();
        for (slice, name) in similar.iter().enumerate() {
            let taken = ["bank/query", &slice_name(slice)];
            self.node("Gemm", &taken, &[name], &[("transB", 1)]);
        }
        let similar: Vec<&str> = similar.iter().map(String::as_str).collect();
        self.node("Max", &similar, &["bank/largest"], &[]);
    }

    /// The places with the largest values, `bank/columns`; returns how many.
    fn best_columns(&mut self, shapes: &Shapes) -> usize {
        let (batch, groups) = (shapes.batch, shapes.slice_rows / GROUP);
        let kept = shapes.found.min(groups);
        self.reshape("bank/largest", "bank/grouped", &[batch, groups, GROUP]);
        self.top("bank/grouped", 1, ["bank/top_of_group", "bank/top_place"], false);
        self.reshape("bank/top_of_group", "bank/tops", &[batch, groups]);
        self.top("bank/tops", kept, ["bank/kept_tops", "bank/groups"], false);
        // Place p of group g is column g · GROUP + p.
        self.reshape("bank/groups", "bank/groups_apart", &[batch, kept, 1]);
        self.wholes("bank/group_len", &[1], &[GROUP as i64]);
        let places: Vec<i64> = (0..GROUP as i64).collect();
        self.wholes("bank/places", &[1, 1, GROUP], &places);
        self.node(
            "Mul",
            &["bank/groups_apart", "bank/group_len"],
            &["bank/firsts"],
            &[],
        );
        self.node(
            "Add",
            &["bank/firsts", "bank/places"],
            &["bank/columns_apart"],
            &[],
        );
        self.reshape(
            "bank/columns_apart",
            "bank/columns_of_groups",
            &[batch, kept * GROUP],
        );
        let taken = ["bank/largest", "bank/columns_of_groups"];
        self.node("GatherElements", &taken, &["bank/values"], &[("axis", 1)]);
        let columns = shapes.found.min(kept * GROUP);
        self.top("bank/values", columns, ["bank/kept_values", "bank/kept"], false);
        let taken = ["bank/columns_of_groups", "bank/kept"];
        self.node("GatherElements", &taken, &["bank/columns"], &[("axis", 1)]);
        columns
    }

    /// The best rows of those in `columns` places, `bank/rows`, and their similarities, `bank/best`, the largest first.
    fn best_rows(&mut self, columns: usize, shapes: &Shapes) {
        let batch = shapes.batch;
        let mut gathered = Vec::new();
        for slice in 0..SLICES {
            let (similar, name) = (format!("bank/similar_{slice}"), format!("bank/gathered_{slice}"));
            self.node(
                "GatherElements",
                &[&similar, "bank/columns"],
                &[&name],
                &[("axis", 1)],
            );
            gathered.push(name);
        }
        let gathered: Vec<&str> = gathered.iter().map(String::as_str).collect();
        self.node("Concat", &gathered, &["bank/gathered"], &[("axis", 1)]);
        // Place p of slice s is row s · slice_rows + p.
        self.reshape("bank/columns", "bank/columns_of_all", &[batch, 1, columns]);
        let firsts: Vec<i64> = (0..SLICES)
            .map(|slice| (slice * shapes.slice_rows) as i64)
            .collect();
        self.wholes("bank/slice_firsts", &[1, SLICES, 1], &firsts);
        let taken = ["bank/columns_of_all", "bank/slice_firsts"];
        self.node("Add", &taken, &["bank/rows_apart"], &[]);
        self.reshape("bank/rows_apart", "bank/rows_of_all", &[batch, SLICES * columns]);
        self.top(
            "bank/gathered",
            shapes.found,
            ["bank/best", "bank/best_places"],
            true,
        );
        let taken = ["bank/rows_of_all", "bank/best_places"];
        self.node("GatherElements", &taken, &["bank/rows"], &[("axis", 1)]);
    }

    fn top(&mut self, from: &str, count: usize, to: [&str; 2], is_sorted: bool) {
        let size = format!("{from}_count");
        self.wholes(&size, &[1], &[count as i64]);
        self.node("TopK", &[from, &size], &to, &[("sorted", u64::from(is_sorted))]);
    }

    fn reshape(&mut self, from: &str, to: &str, shape: &[usize]) {
        let name = format!("{to}_shape");
        let sizes: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        self.wholes(&name, &[shape.len()], &sizes);
        self.node("Reshape", &[from, &name], &[to], &[]);
    }

    /// NodeProto: input 1, output 2, name 3, op_type 4, attribute 5 (name 1, i 3, type 20 = INT).
    fn node(&mut self, operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[(&str, u64)]) {
        let mut body = Vec::new();
        inputs
            .iter()
            .for_each(|name| body.extend(message(1, name.as_bytes())));
        outputs
            .iter()
            .for_each(|name| body.extend(message(2, name.as_bytes())));
        body.extend(message(3, outputs[0].as_bytes()));
        body.extend(message(4, operator.as_bytes()));
        for (name, value) in attributes {
            let parts = [message(1, name.as_bytes()), number(3, *value), number(20, 2)];
            body.extend(message(5, &parts.concat()));
        }
        self.nodes.extend(message(1, &body));
    }

    fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, FLOAT, shape, &raw);
    }

    fn wholes(&mut self, name: &str, shape: &[usize], values: &[i64]) {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, INT64, shape, &raw);
    }

    /// TensorProto: dims 1, data_type 2, name 8, raw_data 9.
    fn tensor(&mut self, name: &str, data_type: u64, shape: &[usize], raw: &[u8]) {
        let dims: Vec<u8> = shape.iter().flat_map(|&size| number(1, size as u64)).collect();
        let parts = [
            dims,
            number(2, data_type),
            message(8, name.as_bytes()),
            message(9, raw),
        ];
        self.others.extend(message(5, &parts.concat()));
    }

    fn value_info(&mut self, field: u64, name: &str, shape: &[usize]) {
        let shape: Vec<Dimension> = shape.iter().map(|&size| Dimension::Fixed(size)).collect();
        self.value_info_of(field, name, FLOAT, &shape);
    }

    /// ValueInfoProto: name 1, type 2 (tensor 1: element 1, shape 2, of dimensions 1: value 1 or name 2).
    fn value_info_of(&mut self, field: u64, name: &str, data_type: u64, shape: &[Dimension]) {
        let dimension = |dimension: &Dimension| match dimension {
            Dimension::Fixed(size) => message(1, &number(1, *size as u64)),
            Dimension::Any => message(1, &message(2, b"any")),
        };
        let shape: Vec<u8> = shape.iter().flat_map(dimension).collect();
        let tensor = [number(1, data_type), message(2, &shape)].concat();
        let info = [message(1, name.as_bytes()), message(2, &message(1, &tensor))].concat();
        self.others.extend(message(field, &info));
    }

    /// ModelProto: ir_version 1, producer 2, graph 7, opset_import 8.
    fn file(self, name: &str, opsets: &[u8]) -> Vec<u8> {
        let graph = [self.nodes, message(2, name.as_bytes()), self.others].concat();
        [&number(1, 8), &message(2, b"pinion"), &message(7, &graph), opsets]
            .map(AsRef::<[u8]>::as_ref)
            .concat()
    }
}

/// OperatorSetIdProto: domain 1, version 2.
fn opset(version: u64) -> Vec<u8> {
    message(8, &[message(1, b""), number(2, version)].concat())
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn message(field: u64, body: &[u8]) -> Vec<u8> {
    [&varint(field << 3 | 2), &varint(body.len() as u64), body].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
