INSERT INTO jobs (id, owner, key, spec, status, stage, error, created_at, updated_at, holder, held_until, last_event,
  place, deaths, points, team, shared)
VALUES ('demo-3f9a1c', 'ada', 'k', '{"name":"demo","space":"hybrid-lm","task":{"name":"text"},"targets":[{"device":"laptop","runtime":"onnxruntime","dtype":"fp32","threads":1,"phase":"prefill","batch":1,"tokens":1024}],"objectives":["quality","latency_ms"],"bounds":{},"budget":{"profile":{"measurements":48,"minimum":16,"holdout":16,"tolerance":0.04,"predictor":"auto"},"train":{"steps":1000,"batch":16,"learning_rate":0.003,"sandwich":false,"seed":null},"search":{"evaluations":160,"batch":16,"strategy":"default"},"verify":{"rounds":3,"tolerance":0.05,"evaluations":32}},"seed":0}', 'running', 'search', NULL, 1.5, 2.5, 'process', 99999999999.0, 1, 'search 3/160', 1, 1, '', FALSE);
INSERT INTO events (job, sequence, time, kind, stage, message, done, total, data)
VALUES (1, 1, 1.5, 'note', 'profile', 'begun', 0.0, 0.0, '{}');
INSERT INTO states (job, name, state) VALUES (1, 'search', '{"told": 3}');
INSERT INTO states (job, name, state) VALUES (1, 'verify-1', '{"strategy": {"pool": []}, "pending": [[0, 1]], "told": 2}');
INSERT INTO news (job, name, news) VALUES (1, 'verify-1', '{"rows": {"dtype": "|u1", "shape": [3, 2], "data": "AQIAAQIA"}, "positions": {"dtype": "<i8", "shape": [2], "data": "AAAAAAAAAAACAAAAAAAAAA=="}, "values": {"dtype": "<f8", "shape": [2, 1], "data": "AAAAAAAA4D8AAAAAAADQPw=="}}');
INSERT INTO architectures (digest, architecture) VALUES ('6320b153c8ec68b1', '{"layers":[{"channel":"mlp","heads":4,"mixer":"window:64","ratio":2.0},{"channel":"mlp","heads":0,"mixer":"none","ratio":4.0}],"vocabulary":256,"width":64}');
INSERT INTO targets (text) VALUES ('laptop/onnxruntime/fp32/1t/prefill/b1/n1024');
INSERT INTO measurements (target, digest, latency_ms, spread_ms, error_ms, wall_ms, reference_ms, drift,
  peak_memory_bytes, repeats, rejected, noisy, measured_at, corrected_ms, corrected_error_ms, slowdown, calls, conditions, attention, retired)
VALUES (1, 'a', 2.0, 0.1, 0.01, 2.1, 1.5, 1.02, 4096, 30, 2, FALSE, 1.5, NULL, NULL, 1.0, 1, '', '', FALSE);
INSERT INTO evaluations (supernet, split, share, digest, value, seconds, sequences) VALUES ('net', 'validation', 1.0, 'a', 2.5, 0.25, NULL);
INSERT INTO supernets (digest, space, task, seed, steps, tokens_per_second, path)
VALUES ('net', 'hybrid-lm', 'text', 0, 1000, 9000.0, 'supernets/net.safetensors');
INSERT INTO objectives (kind, target) VALUES ('quality', ''), ('parameters', ''), ('macs', ''), ('state_bytes', ''),
  ('latency_ms', 'laptop/onnxruntime/fp32/1t/prefill/b1/n1024');
INSERT INTO predictors (objective, space, state) VALUES (5, 'space', '{"rows": 1}');
INSERT INTO points (job, digest, validation, test, preset, on_front)
VALUES (1, '6320b153c8ec68b1', 2.5, NULL, NULL, TRUE);
INSERT INTO point_values (point, objective, predicted, predicted_std, measured, measured_std, slowdown)
VALUES (1, 2, 100, NULL, NULL, NULL, 1.0), (1, 3, 1000, NULL, NULL, NULL, 1.0), (1, 4, 10, NULL, NULL, NULL, 1.0),
  (1, 5, 2.0, 0.1, 2.5, 0.01, 1.0);
INSERT INTO extents (job, objective, lowest, highest)
VALUES (1, 1, 2.5, 2.5), (1, 2, 100, 100), (1, 3, 1000, 1000), (1, 4, 10, 10), (1, 5, 2.5, 2.5);
INSERT INTO files (path, sha256) VALUES ('supernets/net.safetensors', 'abc');
INSERT INTO forgotten (target, digest, latency_ms, measured_at, forgotten_at, "by", why)
VALUES (1, 'b', 1e300, 1.5, 2.5, 'ada', 'absurd');
INSERT INTO repeats (target, digest, session, latency_ms, error_ms, measured_at)
VALUES (1, 'a', 'demo-3f9a1c verify', 2.1, 0.02, 2.5);
