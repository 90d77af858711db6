/**
 * Factorizes each layer of llama260k alone to half of its weights, and compares the output error on held-out tokens with plain truncation.
 * 32 windows of 120 tokens calibrate, and 32 others test.
 */
import { infer } from "../../src/core/analysis/infer.ts";
import { layers } from "../../src/core/analysis/layers.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { open } from "../../src/core/onnx/index.ts";
import { toFloat64 } from "../../src/core/tensor/convert.ts";
import type { Dataset } from "../../src/data/batches/dataset.ts";
import { openTask } from "../../src/judge/task/index.ts";
import { calibrate } from "../../src/techniques/calibrate/calibration.ts";
import { type FactorizeOptions, factorize } from "../../src/techniques/factorize/index.ts";
import { needed } from "../formats/table.ts";
import { line, table } from "../lib/print.ts";
import type { Settings } from "./settings.ts";

const engine = createEngine();
const ways: readonly (readonly [name: string, options: FactorizeOptions])[] = [
  ["weights alone", {}],
  ["whitening", { activations: "whitening" }],
];

export const activations = {
  title: "Output error of each layer of llama260k at half of its weights, on held-out tokens",
  async run({ smoke }: Settings): Promise<void> {
    const path = needed("data/models/llama260k.onnx");
    const original = await open(path);
    const data = needed("data/text/llama260k_eval_64x120_u16le.bin");
    const task = await openTask(original, { data, metric: "cross-entropy", calibrate: 32 });
    const names = layers(original, infer(original)).map(({ name }) => name);
    const rows: string[][] = [];
    let [better, judged] = [0, 0];
    for (const name of smoke ? names.slice(0, 8) : names) {
      const errors: number[] = [];
      for (const [, options] of ways) {
        const candidate = await open(path);
        const settings = {
          ...options,
          layers: name,
          overrides: { [name]: { budget: 0.5 } },
          data: task.calibrate,
          samples: 32,
        };
        const { changes } = await factorize(candidate, settings, { engine });
        if (changes.length > 0) errors.push(await outputError(name, original, candidate, task.test));
      }
      const [plain, whitened] = errors;
      if (plain === undefined || whitened === undefined) continue;
      judged++;
      if (whitened < plain) better++;
      rows.push([name, plain.toFixed(4), whitened.toFixed(4), (whitened / plain).toFixed(2)]);
    }
    table(["layer", ">weights alone", ">whitening", ">whitening / weights"], rows);
    const met = better >= 0.9 * judged ? "met" : "MISSED";
    line(`  whitening is below weights alone in ${better} of ${judged} layers; target 90 %: ${met}`);
  },
};

/** Returns ‖y - ŷ‖ / ‖y‖ for the output of the layer, which has the same name in both models. */
async function outputError(name: string, original: Model, candidate: Model, test: Dataset): Promise<number> {
  const output = layers(original, infer(original)).find((layer) => layer.name === name)?.node.outputs[0]?.name ?? "";
  const [originalCalibration, candidateCalibration] = await Promise.all(
    [original, candidate].map((model) => calibrate(model, { data: test, samples: 32 }, { engine, seed: 1 })),
  );
  let [noise, signal] = [0, 0];
  if (originalCalibration === undefined || candidateCalibration === undefined) return Number.NaN;
  const candidateBatches = candidateCalibration.values([output]);
  for await (const batch of originalCalibration.values([output])) {
    const { value } = await candidateBatches.next();
    const [y, approximate] = [batch[output], value?.[output]];
    if (y === undefined || approximate === undefined) continue;
    const numbers = toFloat64(approximate);
    for (const [at, exact] of toFloat64(y).entries()) {
      noise += (exact - (numbers[at] ?? 0)) ** 2;
      signal += exact ** 2;
    }
  }
  await originalCalibration.release();
  await candidateCalibration.release();
  return Math.sqrt(noise / signal);
}
