"""Features of WhisperFeatureExtractor and Wav2Vec2FeatureExtractor (transformers) for a sound that a formula gives, for test/golden/speech-features.generated.json.

    python bench/peers/log_mel_golden.py > test/golden/speech-features.generated.json

The sound is sin(0.05 n) · n / 24000 + 0.25 sin(0.0001 n²), n from 0 to 23999. Every 37th value of the features is kept.
"""
import json

import numpy as np
from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

n = np.arange(24000, dtype=np.float64)
sound = (np.sin(0.05 * n) * n / 24000 + 0.25 * np.sin(0.0001 * n * n)).astype(np.float32)
cases = []
for settings in [
    {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 80, "chunk_length": 2, "hop_length": 160, "n_fft": 400, "sampling_rate": 16000},
    {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 128, "chunk_length": 1, "hop_length": 160, "n_fft": 400, "sampling_rate": 16000},
    {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True, "sampling_rate": 16000},
    {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": False, "sampling_rate": 16000},
]:
    options = {key: value for key, value in settings.items() if key != "feature_extractor_type"}
    kind = {c.__name__: c for c in (Wav2Vec2FeatureExtractor, WhisperFeatureExtractor)}[settings["feature_extractor_type"]]
    outputs = kind(**options)(sound, sampling_rate=16000, return_tensors="np")
    [features] = [value for key, value in outputs.items() if key.startswith("input_")]
    cases.append({
        "settings": settings,
        "dims": list(features.shape),
        "values": [float(f"{value:.6g}") for value in features.flatten()[::37][:1200]],
    })
print(json.dumps(cases))
