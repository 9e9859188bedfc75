//! What `jetmill bench` prints of a model.

use serde_json::Value;

use crate::site::{Site, model_file};

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_measured_without_a_broker() {
    let site = Site::new();
    let model = model_file().display().to_string();
    let arguments = [
        "--model",
        &model,
        "--num-threads",
        "1",
        "--kv-cache-mib",
        "64",
        "--prompts",
        "24",
        "--batches",
        "1,3",
        "--output-tokens",
        "4",
        "--rounds",
        "1",
        "--json",
    ];
    let report: Value = serde_json::from_str(&site.print("bench", &arguments).await).unwrap();
    assert_eq!(report["prefill"][0]["size"], 24);
    assert_eq!(report["decode"].as_array().unwrap().len(), 2);
    for rate in [&report["prefill"][0], &report["decode"][0], &report["decode"][1]] {
        assert!(rate["tokens_per_second"].as_f64().unwrap() > 0.0, "{report}");
        let share = rate["forward_share"].as_f64().unwrap();
        assert!(share > 0.0 && share <= 1.0, "{report}");
    }
    assert!(report["num_weight_bytes"].as_u64().unwrap() > 50_000_000, "{report}");
    assert!(!site.path("data/nats").exists());
}
