/**
 * Factorizes ResNet-56 to 1/1.5 of its multiply-accumulates with one budget for all layers, then distills it from the original on 15,000 images of
 * CIFAR-10. The original was trained on all 50,000 images; the 1,000 test images are new to it.
 */
import { cost } from "../../src/core/analysis/cost.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { open } from "../../src/core/onnx/index.ts";
import type { IndexedDataset } from "../../src/data/batches/dataset.ts";
import { openDataset, preprocess, presets, take } from "../../src/data/index.ts";
import { accuracy, compare, latency } from "../../src/judge/index.ts";
import { train } from "../../src/learn/train/index.ts";
import { fixInputs } from "../../src/rewrite/edit/set-input-shapes.ts";
import { distillation } from "../../src/techniques/distill/index.ts";
import { factorize } from "../../src/techniques/factorize/index.ts";
import { needed } from "../formats/table.ts";
import { dropTarget, line, points, target } from "../lib/print.ts";
import type { Settings } from "./settings.ts";

const engine = createEngine();
const times = 1.5;

export const resnet56 = {
  title: `resnet56 with a ${times}th of its multiply-accumulates`,
  async run({ smoke, epochs, threads }: Settings): Promise<void> {
    const original = await open(needed("data/models/resnet56.onnx"));
    const folder = needed("data/cifar10");
    const input = { name: "input", type: { type: "float32", dims: [1, 3, 32, 32] } } as const;
    const ready = async (part: "train" | "test", count: number): Promise<IndexedDataset> =>
      take(preprocess((await openDataset(folder, { part })) as IndexedDataset, input, presets.imagenet), count);
    const [data, test] = [await ready("train", smoke ? 1024 : 15_000), await ready("test", smoke ? 256 : 1000)];
    const thin = original.clone();
    // The budget is slightly below 1/1.5, because ranks are integers.
    const { changes } = await factorize(thin, { budget: 0.66, cost: "macs" }, { engine, seed: 1 });
    const [before = 0, after = 0] = [original, thin].map((model) => {
      const single = model.clone();
      fixInputs(single, { input: [1, 3, 32, 32] });
      return Number(cost(single, infer(single)).macs);
    });
    line(
      `  ${(before / 1e6).toFixed(1)} M multiply-accumulates, ${(after / 1e6).toFixed(1)} M: ${(before / after).toFixed(2)} × fewer`,
    );
    line(`  ${changes.length} layers: ${changes.map(({ at, what }) => `${at} ${what}`).join("; ")}`);
    const show = async (what: string) => {
      const comparison = await compare(engine, original, thin, test, accuracy(), { batch: 100, threads });
      const { candidate, difference } = comparison;
      line(`  ${what}: ${(100 * candidate.value).toFixed(2)} %, ${points(difference)}, n = ${difference.count}`);
      return comparison;
    };
    await show("factorized");
    const began = performance.now();
    const loss = distillation({ teacher: original });
    const how = {
      batch: 128,
      optimizer: "sgd",
      learningRate: 0.02,
      batchStatistics: true,
      augment: "crop=4 flip",
      threads,
    } as const;
    await train(thin, { ...how, data, epochs, loss }, { engine, seed: 1 });
    const minutes = (performance.now() - began) / 60_000;
    const comparison = await show(`${epochs} epochs of ${data.count} images, ${minutes.toFixed(0)} minutes`);
    line(`  ${dropTarget(0.01, comparison)}; ${target(`${times} × fewer`, before / after >= times, true)}`);
    for await (const batch of test.batches({ size: 1 })) {
      const { models } = await latency(engine, [original, thin], batch, { rounds: smoke ? 5 : 50, threads });
      const { median, low, high } = models[1]?.speedup ?? { median: Number.NaN, low: Number.NaN, high: Number.NaN };
      line(`  one image: ${median.toFixed(2)} × as fast (${low.toFixed(2)} … ${high.toFixed(2)})`);
      break;
    }
  },
};
