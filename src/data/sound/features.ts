/**
 * Computes the inputs of speech models from sound, as preprocessor_config.json describes. The work is an ONNX graph.
 *
 *   samples ──reflect, windows, DFT──▶ power ──mel filters──▶ log₁₀, at most 8 below the peak ──▶ (x + 4) / 4       (Whisper)
 *   samples ──▶ as they are, or with mean 0 and variance 1                                        (Moonshine, Wav2Vec2)
 *
 * Source: WhisperFeatureExtractor and Wav2Vec2FeatureExtractor of transformers.
 */

import { type Batch, type Dense, float32, Miss, parseModel } from "#ir";
import { joinPath } from "#platform";
import type { Engine } from "../../core/engine/index.ts";
import { readSettings } from "../text/tokenizer.ts";

export interface FeatureExtractor {
  /** In Hz. */
  readonly rate: number;
  readonly maxSeconds: number;
  /** Returns one tensor with a batch axis of 1 per sound. */
  extract(engine: Engine, sounds: readonly Float32Array[]): Promise<readonly Dense[]>;
}

/** Returns whether a model's input has the name that exporters give to features of sound. */
export const isSoundInput = (name: string): boolean => name === "input_features" || name === "input_values";

/** If no file states it. */
const defaultSeconds = 30;

/** Reads preprocessor_config.json. @returns undefined if the folder has no such file for sound, a Miss for features that are not supported. */
export async function openFeatureExtractor(folder: string): Promise<FeatureExtractor | Miss | undefined> {
  const settings = await readSettings(joinPath(folder, "preprocessor_config.json"));
  if (typeof settings?.sampling_rate !== "number") return undefined;
  const { feature_extractor_type: kind, sampling_rate: rate } = settings;
  const number = (name: string, fallback: number): number => {
    const value = settings[name];
    return typeof value === "number" && value > 0 ? value : fallback;
  };
  if (kind === "WhisperFeatureExtractor") {
    const maxSeconds = number("chunk_length", defaultSeconds);
    const sizes = { mels: number("feature_size", 80), width: number("n_fft", 400), hop: number("hop_length", 160) };
    return logMel({ ...sizes, rate, maxSeconds });
  }
  if (kind === "Wav2Vec2FeatureExtractor" || kind === "MoonshineFeatureExtractor") {
    const isNormalized = settings.do_normalize ?? kind === "Wav2Vec2FeatureExtractor";
    return { rate, maxSeconds: defaultSeconds, extract: extractor(isNormalized === true ? zScoreGraph : rawGraph) };
  }
  return new Miss(`features of kind ${JSON.stringify(kind ?? "")} are not supported`);
}

function extractor(text: string, constants: Batch = {}, length?: number): FeatureExtractor["extract"] {
  return async (engine, sounds) => {
    const session = await engine.load(parseModel(text));
    try {
      const features: Dense[] = [];
      for (const sound of sounds) {
        const samples = new Float32Array(length ?? sound.length);
        samples.set(sound.subarray(0, samples.length));
        const outputs = await session.run({ samples: float32([1, samples.length], samples), ...constants });
        if (outputs.features !== undefined) features.push(outputs.features);
      }
      return features;
    } finally {
      await session.release();
    }
  };
}

const rawGraph = `opset 17
graph (samples: float32[1, length]) -> (features: float32[1, length]) {
  features = Identity(samples)
}`;

const zScoreGraph = `opset 17
graph (samples: float32[1, length]) -> (features: float32[1, length]) {
  epsilon: float32[1] = [0.0000001]
  mean = ReduceMean(samples) {axes=[1], keepdims=1}
  centered = Sub(samples, mean)
  squares = Mul(centered, centered)
  variance = ReduceMean(squares) {axes=[1], keepdims=1}
  positive = Add(variance, epsilon)
  deviation = Sqrt(positive)
  features = Div(centered, deviation)
}`;

interface LogMel extends Pick<FeatureExtractor, "rate" | "maxSeconds"> {
  readonly mels: number;
  /** Samples per window of the DFT. */
  readonly width: number;
  /** Samples between the starts of two windows. */
  readonly hop: number;
}

function logMel({ rate, maxSeconds, mels, width, hop }: LogMel): FeatureExtractor {
  const half = Math.floor(width / 2);
  const bins = half + 1;
  const text = `opset 17
graph (samples: float32[1, length], waves: float32[${2 * bins}, 1, ${width}], filters: float32[${mels}, ${bins}]) -> (features: float32[1, ${mels}, frames]) {
  pads: int64[4] = [0, ${half}, 0, ${half}]
  row: int64[3] = [1, 1, -1]
  parts: int64[4] = [1, 2, ${bins}, -1]
  zero: int64[1] = [0]
  end: int64[1] = [-1]
  axis: int64[1] = [2]
  smallest: float32[] = [0.0000000001]
  decade: float32[] = [${Math.LN10}]
  range: float32[] = [8.0]
  shift: float32[] = [4.0]
  padded = Pad(samples, pads) {mode="reflect"}
  signal = Reshape(padded, row)
  spectrum = Conv(signal, waves) {strides=[${hop}]}
  complex = Reshape(spectrum, parts)
  power = ReduceSumSquare(complex) {axes=[1], keepdims=0}
  energies = MatMul(filters, power)
  positive = Max(energies, smallest)
  natural = Log(positive)
  logarithms = Div(natural, decade)
  kept = Slice(logarithms, zero, end, axis)
  peak = ReduceMax(kept) {keepdims=0}
  floor = Sub(peak, range)
  limited = Max(kept, floor)
  shifted = Add(limited, shift)
  features = Div(shifted, shift)
}`;
  // Cosines, then sines, of each bin over a Hann window.
  const waves = Float32Array.from({ length: 2 * bins * width }, (_, index) => {
    const [row, sample] = [Math.floor(index / width), index % width];
    const hann = 0.5 - 0.5 * Math.cos((2 * Math.PI * sample) / width);
    const angle = (2 * Math.PI * (((row % bins) * sample) % width)) / width;
    return hann * (row < bins ? Math.cos(angle) : Math.sin(angle));
  });
  const constants = {
    waves: float32([2 * bins, 1, width], waves),
    filters: float32([mels, bins], melFilters(bins, mels, rate)),
  };
  return { rate, maxSeconds, extract: extractor(text, constants, Math.round(maxSeconds * rate)) };
}

/** Highest frequency of the filters in Hz, for any sample rate. */
const maxFrequency = 8000;
/** Below `knee` Hz, a mel is `linear` Hz. Above, 27 mels are a factor of 6.4 (Slaney, Auditory Toolbox, 1998). */
const [knee, linear, growth] = [1000, 200 / 3, Math.log(6.4) / 27];

/** Returns triangular filters of equal area [mels, bins], whose corners are equally spaced in mels. */
function melFilters(bins: number, mels: number, rate: number): Float32Array {
  const kneeMel = knee / linear;
  const maxMel = kneeMel + Math.log(maxFrequency / knee) / growth;
  const corners = Array.from({ length: mels + 2 }, (_, index) => {
    const mel = (index * maxMel) / (mels + 1);
    return mel < kneeMel ? mel * linear : knee * Math.exp((mel - kneeMel) * growth);
  });
  return Float32Array.from({ length: mels * bins }, (_, index) => {
    const frequency = ((index % bins) * Math.floor(rate / 2)) / (bins - 1);
    const [low = 0, center = 0, high = 0] = corners.slice(Math.floor(index / bins), Math.floor(index / bins) + 3);
    const height = Math.min((frequency - low) / (center - low), (high - frequency) / (high - center));
    return (Math.max(0, height) * 2) / (high - low);
  });
}
