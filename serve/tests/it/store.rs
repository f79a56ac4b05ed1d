//! Messages that are posted are in the file: as lines, and as rows for the questions.

use crate::running::{Place, goldens, rows};

#[tokio::test(flavor = "multi_thread")]
async fn every_golden_payload_is_kept_as_engines_post_it() {
    let place = Place::new();
    let server = place.serve().await;
    for (file, path, body) in goldens() {
        assert_eq!(server.post(path, body).await, 200, "{file}");
    }
    server.stop().await;
    let db = place.read();
    let count = i64::try_from(goldens().len()).unwrap();
    let kept: i64 = db.query_row("SELECT sum(messages) FROM batch", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, count);
    let received = "SELECT sum(count) FROM quality WHERE name = 'received'";
    let received: i64 = db.query_row(received, [], |row| row.get(0)).unwrap();
    assert_eq!(received, count);
    let sessions = rows(
        &db,
        "SELECT c.text, e.text, lower(hex(uuid)), beats, reported FROM session \
         JOIN word c ON c.id = contract JOIN word e ON e.id = engine ORDER BY c.text, uuid",
    );
    assert_eq!(
        sessions,
        [
            "lmcache/1|lmcache|0d3a1e0f5c8f4f7d9f0c2b8c6a3b7d41|2|1",
            "lmcache/1|lmcache|6a1c9e521f0a4c6bbb7e90d5c2f3a7e8|6|1",
            "lmcache/1|lmcache|c7d2b1a04e3f4a5b8c6d7e8f9a0b1c2d|0|1",
            "vllm/0.11|vllm|1f6f9d0a2f5c4b838e775b6c1c0d4e92|0|1",
            "vllm/0.4.0|vllm|fbe880e9084d4caba3958984c50f1109|0|1",
            "vllm/0.7|vllm|7c0f2f8e6a0d4d7e9a553a0e5d3a9b21|0|1",
            "vllm/current|vllm|2d9c7a540b0e4b4d8f630a7f3bb0c1d8|0|1",
            "vllm/current|vllm|4b3a7d115cf34b7ab1a79e7c54f6f0d3|0|1",
            "vllm/current|vllm|90bb3c7791c54f0e8a391b2fb3a0d6aa|0|1",
            // The heartbeats are ten minutes apart.
            "vllm/current|vllm|b8a1f6f13a5b4d0e9d2f6f1f0c7b9e10|2|1",
            "vllm/current|vllm|e2f7f0c67a2d4f599a5f4f4e8a5a2c37|0|1",
        ]
    );
    let facets = rows(
        &db,
        "SELECT n.text, v.text FROM facet JOIN session s ON s.id = session JOIN word n ON n.id = name \
         JOIN word v ON v.id = value WHERE lower(hex(uuid)) = 'b8a1f6f13a5b4d0e9d2f6f1f0c7b9e10' ORDER BY n.text",
    );
    assert_eq!(
        facets,
        [
            "accelerator|NVIDIA H100 80GB HBM3",
            "accelerators|8",
            "context|ENGINE_CONTEXT",
            "data_parallel_size|1",
            "dtype|torch.bfloat16",
            "model_architecture|LlamaForCausalLM",
            "pipeline_parallel_size|1",
            "provider|AWS",
            "source|production-docker-image",
            "tensor_parallel_size|8",
            "version|0.26.1",
        ]
    );
    // Without identity there is only a number of starts. LMCache before schema 1 looks like its documentation.
    let starts = rows(&db, "SELECT label, count FROM quality WHERE name = 'start' ORDER BY label");
    assert_eq!(starts, ["lmcache/doc|2"]);
    let sums = rows(
        &db,
        "SELECT m.text, r.text, sequence, sums ->> 'bytes_used', sums ->> 'interval_num_hit_tokens', \
         sums -> 'cache_lifespan_histogram' ->> '5' FROM interval \
         JOIN word m ON m.id = message JOIN word r ON r.id = series ORDER BY 1, 2, 3",
    );
    assert_eq!(
        sums,
        [
            "CacheLifespanMessage||7|null|null|64",
            "ContinuousContextMessage||1|null|1024|null",
            "ContinuousContextMessage||2|null|0|null",
            "ContinuousContextMessage||7|null|393216|null",
            "L1UsageMessage||1|41875931136|null|null",
            "L1UsageMessage||2|-1|null|null",
            "L2ConnectorUsageMessage|fs|1|214748364800|null|null",
            "L2ConnectorUsageMessage|nixl_store|2|-1|null|null",
        ]
    );
    // Nothing of the original body is kept that a contract sanitizes.
    let bytes = std::fs::read(place.data()).unwrap();
    assert!(!bytes.windows(22).any(|piece| piece == b"cache.example.internal"));
    let batches: Vec<Vec<u8>> = db
        .prepare("SELECT lines FROM batch")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for batch in batches {
        let lines = String::from_utf8(zstd::decode_all(batch.as_slice()).unwrap()).unwrap();
        assert!(!lines.contains("cache.example.internal"), "{lines}");
    }
}
