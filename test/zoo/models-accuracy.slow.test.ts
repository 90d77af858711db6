/** Real networks on real data: the numbers of correct predictions equal those of other tools on the same files. */
import { describe, expect, it } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { open } from "../../src/core/onnx/index.ts";
import { openDataset, parsePreprocessing, preprocess, presets, take } from "../../src/data/index.ts";
import { accuracy, agreement, compareRows, evaluate, judge, measure } from "../../src/judge/index.ts";
import { guessPreprocessing, imageInput } from "../../src/judge/task/guess-preprocessing.ts";
import { crossEntropy, topK } from "../../src/runtime/metrics/class-metrics.ts";
import { meanKl, signalToNoise } from "../../src/runtime/metrics/comparison-metrics.ts";
import { shared } from "../shared.ts";

const engine = createEngine();

/** Numbers of correct predictions on the first thousand test images. */
const table = [
  { model: "vnncomp_mnist-net_256x2", data: "mnist", preprocessing: "unit", right: 978 },
  { model: "mnist_cntk", data: "mnist", preprocessing: "raw", right: 987 },
  { model: "resnet20", data: "cifar10", preprocessing: "imagenet", right: 915 },
  { model: "resnet8_cifar10", data: "cifar10", preprocessing: "raw", right: 881 },
  { model: "vnncomp_resnet_2b", data: "cifar10", preprocessing: "cifar10", right: 703 },
  { model: "vnncomp_cifar_base_kw", data: "cifar10", preprocessing: "mean=.485,.456,.406 std=.225", right: 611 },
  { model: "vnncomp_cifar10_small", data: "cifar10", preprocessing: "unit", right: 630 },
  { model: "vnncomp_cifar10_medium", data: "cifar10", preprocessing: "unit", right: 706 },
];

describe.each(table)("$model with $preprocessing", ({ model, data, preprocessing, right }) => {
  const file = shared(`data/models/${model}.onnx`);
  const folder = shared(`data/${data}`);

  it.skipIf(file === undefined || folder === undefined)(
    `predicts ${right} of 1,000 ${data} images correctly`,
    async () => {
      const network = await open(file ?? "");
      const images = take(await openDataset(folder ?? "", { part: "test" }), 1000);
      const ready = preprocess(images, imageInput(network), parsePreprocessing(preprocessing));
      const { rows, estimate } = await evaluate(engine, network, ready, accuracy());
      expect(estimate.count).toBe(1000);
      expect(rows.reduce((sum, row) => sum + row, 0)).toBe(right);
    },
  );
});

const [resnet20, resnet56] = ["resnet20", "resnet56"].map((name) => shared(`data/models/${name}.onnx`));
const cifar10 = shared("data/cifar10");

describe.skipIf(resnet20 === undefined || resnet56 === undefined || cifar10 === undefined)("ResNet-20", () => {
  it("has its preprocessing detected by trials, and distinguished from wrong ones", async () => {
    const network = await open(resnet20 ?? "");
    const images = take(await openDataset(cifar10 ?? ""), 256);
    const guess = await guessPreprocessing(engine, network, images);
    expect(["imagenet", "cifar10"]).toContain(guess.chosen.name);
    expect(guess.trusted).toBe(true);
    expect(guess.indistinct.map(({ name }) => name)).not.toContain("unit");
    expect(guess.scores.at(-1)?.accuracy.value).toBeLessThan(0.3);
  });

  it("differs from ResNet-56 on 300 images as computed by NumPy", async () => {
    const [small, large] = [await open(resnet20 ?? ""), await open(resnet56 ?? "")];
    const images = preprocess(take(await openDataset(cifar10 ?? ""), 300), imageInput(small), presets.imagenet);
    const metrics = [accuracy(), crossEntropy(), topK(3), agreement(), meanKl(), signalToNoise()];
    const [ofSmall = [], ofLarge = []] = await measure(engine, [small, large], images, metrics);
    const figures = (rows: readonly Float64Array[]): number[] =>
      metrics.map((metric, at) => metric.reduce(rows[at] ?? new Float64Array()));
    const close = (found: readonly number[], expected: readonly number[]): void => {
      expected.forEach((value, at) => {
        expect(found[at]).toBeCloseTo(value, 4);
      });
    };
    close(figures(ofSmall).slice(0, 4), [274 / 300, 0.312066, 0.993333, 1]);
    close(figures(ofLarge), [282 / 300, 0.273914, 0.996667, 281 / 300, 0.319803, 7.330328]);
    const pairs = { bothRight: 270, onlyOriginal: 4, onlyCandidate: 12, bothWrong: 14 };
    const [smallRows, largeRows] = [ofSmall[0] ?? new Float64Array(), ofLarge[0] ?? new Float64Array()];
    expect(compareRows(accuracy(), smallRows, largeRows).pairs).toMatchObject(pairs);
    expect(judge(compareRows(accuracy(), largeRows, smallRows), { maxDrop: 0 })).toMatchObject({
      verdict: "lost",
      met: false,
    });
  });
});
