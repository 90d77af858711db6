/** Quantizes a published voice detector, whose layers are inside an If. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import { storedBytes } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { fromNumbers, toFloat64 } from "../../../src/core/tensor/convert.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { shared } from "../../shared.ts";

const bytesOf = ({ graph }: Model): number => storedBytes(graph);

const silero = shared("data/models/silero_vad.onnx");
const wav = shared("data/audio/silero_test.wav");

test.skipIf(silero === undefined || wav === undefined)(
  "a voice detector inside an If detects speech as before",
  async () => {
    const original = await open(silero ?? "");
    const engine = createEngine();
    const samples = readFileSync(wav ?? "").subarray(44);
    const heard = async (model: Model): Promise<readonly number[]> => {
      const session = await engine.load(await open(await encodeToBytes(model)));
      const probabilities: number[] = [];
      let state = fromNumbers("float32", [2, 1, 128], new Array(256).fill(0));
      for (let frame = 1; frame < 400; frame++) {
        const heard = Array.from({ length: 576 }, (_, at) => samples.readInt16LE(2 * (512 * frame + at - 64)) / 32768);
        const sr = fromNumbers("int64", [], [16000]);
        const { output, stateN } = await session.run({ input: fromNumbers("float32", [1, 576], heard), state, sr });
        probabilities.push(toFloat64(output ?? state)[0] ?? Number.NaN);
        state = fromNumbers("float32", [2, 1, 128], toFloat64(stateN ?? state));
      }
      await session.release();
      return probabilities;
    };
    const before = await heard(original);
    expect(before.filter((speech) => speech > 0.5).length).toBeGreaterThan(100);
    for (const [scheme, smaller, agreeing] of [
      ["dynamic", 3.4, 0.98],
      ["weights", 3.4, 0.98],
      ["float16", 1.9, 1],
    ] as const) {
      const model = original.clone();
      expect((await quantize(model, { scheme })).misses).toEqual([]);
      expect(bytesOf(original) / bytesOf(model)).toBeGreaterThan(smaller);
      const after = await heard(model);
      const agree = before.filter((speech, at) => speech > 0.5 === (after[at] ?? Number.NaN) > 0.5).length;
      expect(agree / before.length, scheme).toBeGreaterThanOrEqual(agreeing);
    }
  },
);
