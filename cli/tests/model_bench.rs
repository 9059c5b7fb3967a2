//! `pinion model bench`: what it measures on a CPU, and what it says where there is no GPU.

mod support;

use serde_json::Value;
use support::Room;

#[test]
fn graph_on_the_cpu_is_measured_beside_our_own_path() {
    let room = Room::new("bench");
    let mut command = room.command(&["model", "bench", "--model", "models/fraud-v1", "--output", "json"]);
    command.args([
        "--batch",
        "1,4",
        "--rows",
        "300,900",
        "--proposals",
        "128",
        "--json",
        "results.jsonl",
    ]);
    let output = command.env("PINION_RIVALS_PYTHON", "no-python").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("PyTorch is left out: no-python: "), "{told}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let appended = std::fs::read_to_string(room.path("results.jsonl")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&appended).unwrap(), report);
    let lines = report["lines"].as_array().unwrap();
    let cells: Vec<String> = lines
        .iter()
        .map(|line| {
            format!(
                "{} {} {}",
                line["rows"],
                line["batch"],
                line["subject"].as_str().unwrap()
            )
        })
        .collect();
    let expected = ["300 1", "300 4", "900 1", "900 4"];
    let subjects = ["pinion, encoder and bank", "graph on cpu"];
    let expected = expected.map(|cell| subjects.map(|subject| format!("{cell} {subject}")));
    assert_eq!(cells, expected.concat());
    for line in lines {
        assert!(line["p50_us"].as_f64().unwrap() > 0.0, "{line}");
        assert!(line["floor_us"].as_f64().unwrap() > 0.0, "{line}");
    }
    for line in lines.iter().filter(|line| line["subject"] == "graph on cpu") {
        assert_eq!(line["proved"], 1.0, "{line}");
        assert!(line["similarity_off"].as_f64().unwrap() <= 1e-5, "{line}");
    }
    assert_eq!(report["written"].as_array().unwrap().len(), 2);
}

#[test]
#[cfg(not(feature = "cuda"))]
fn gpu_is_refused_in_one_sentence_without_the_feature() {
    let room = Room::new("bench-cuda");
    let output = room
        .command(&["model", "bench", "--device", "cuda"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    let last = told.lines().last();
    assert_eq!(
        last,
        Some("error: device is cuda, expected cpu: this program was built without the feature \"cuda\"")
    );
}

#[test]
#[cfg(feature = "cuda")]
fn gpu_build_that_is_nowhere_is_refused_in_one_sentence() {
    let room = Room::new("bench-cuda");
    let words = ["model", "bench", "--device", "cuda", "--library", "nowhere"];
    let output = room.command(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.lines()
            .last()
            .unwrap()
            .starts_with("error: found no libonnxruntime_providers_cuda.so in any of: nowhere"),
        "{told}"
    );
}

#[test]
fn model_that_is_nowhere_is_refused() {
    let room = Room::new("bench-model");
    let output = room
        .command(&["model", "bench", "--model", "models/none"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("\"models/none\", expected a folder with manifest.toml at one of: "),
        "{told}"
    );
}
