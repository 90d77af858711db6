/** Training with image augmentation. */
import { describe, expect, it, test } from "vitest";
import type { Model } from "../../../src/core/graph/model.ts";
import { float32, int64 } from "../../../src/core/tensor/dense.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { type Dataset, memory } from "../../../src/data/index.ts";
import { batchNorm, conv2d, flatten, globalAveragePool, linear, network, relu } from "../../../src/learn/nn/index.ts";
import { crossEntropy, type Loss, train } from "../../../src/learn/train/index.ts";
import { distillation } from "../../../src/techniques/distill/index.ts";
import { temporaryFolder } from "../../temporary.ts";

/** Returns images with a bright spot, whose half (left or right) is the class. Flips change the class; crops and brightness do not. */
function spots(count: number, seed: number) {
  const draws = random(seed, "spots");
  const labels = Array.from({ length: count }, (_, row) => row % 2);
  const pixels = labels.flatMap((label) => {
    const place = draws.integer(8) * 8 + 4 * label + draws.integer(4);
    return Array.from({ length: 64 }, (_, at) => (at === place ? 3 : 0) + draws.normal(0, 0.1));
  });
  return memory("spots", { input: float32([count, 1, 8, 8], pixels), label: int64([count], labels) });
}

const data = spots(128, 1);
const net = (): Model =>
  network(
    { conv: conv2d(1, 4, 3, { padding: 1 }), bn: batchNorm(4), relu: relu(), flatten: flatten(), fc: linear(256, 2) },
    { input: ["batch", 1, 8, 8], seed: 1 },
  );

type Settings = Partial<Parameters<typeof train>[1]>;

async function trained(settings: Settings, context: Parameters<typeof train>[2] = {}, model = net()) {
  const { history } = await train(model, { data, epochs: 3, batch: 16, ...settings }, { seed: 1, ...context });
  const weights: Record<string, unknown> = {};
  for (const { name, tensor } of model.graph.values())
    if (tensor !== undefined) weights[name] = (await tensor.read()).data;
  return { history, weights };
}

/** Returns a loss that also records its batches. */
function noting(loss: Loss, seen: Batch[]): Loss {
  return {
    name: loss.name,
    build: async (scope) => {
      const built = await loss.build(scope);
      const feeds = (batch: Batch): Batch => {
        seen.push(batch);
        return built.feeds(batch);
      };
      return { value: built.value, feeds };
    },
  };
}

describe("train with augment", () => {
  it("uses different images in each epoch, and the same ones for the same seed", async () => {
    const seen: Batch[] = [];
    const first = await trained({ augment: "crop=3", epochs: 2, loss: noting(crossEntropy(), seen) });
    expect(seen).toHaveLength(16);
    const images = seen.map(({ input }) => [...(input?.data ?? [])].join());
    expect(new Set(images).size).toBe(16);
    const again = await trained({ augment: { crop: 3 }, epochs: 2 });
    expect(again.weights).toEqual(first.weights);
    expect((await trained({ augment: "crop=2", epochs: 2 })).weights).not.toEqual(first.weights);
    expect((await trained({ epochs: 2 })).weights).not.toEqual(first.weights);
  });

  it("learns to classify", async () => {
    const { history } = await trained({ augment: "crop=1", epochs: 6, learningRate: 0.01 });
    expect(history.at(-1)?.loss).toBeLessThan(0.6 * (history[0]?.loss ?? 0));
  });

  it("evaluates on unchanged images", async () => {
    const asked: Batch[] = [];
    const validation: Dataset = {
      name: "watched",
      count: data.count,
      async *batches(options) {
        for await (const batch of data.batches(options)) {
          asked.push(batch);
          yield batch;
        }
      },
    };
    const seen: Batch[] = [];
    const loss = noting(crossEntropy(), seen);
    await trained({ augment: "crop=2", epochs: 1, validation, loss });
    expect(asked.length).toBeGreaterThan(0);
    for (const batch of asked) {
      expect(seen).toContain(batch);
      expect(batch.label?.type).toBe("int64");
    }
  });

  test("a resumed training ends with the same weights as an uninterrupted one, bit for bit", async () => {
    const settings = { augment: "crop=1 flip" } as const;
    const uninterrupted = await trained(settings);
    const checkpoint = temporaryFolder();
    const controller = new AbortController();
    const progress = (done: number): void => {
      if (done >= 11) controller.abort();
    };
    const stopped = trained({ ...settings, checkpoint }, { signal: controller.signal, progress });
    await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
    expect((await trained({ ...settings, checkpoint, resume: true })).weights).toEqual(uninterrupted.weights);
  });

  it("teacher and student receive the same images", async () => {
    const model = net();
    // If teacher and student are equal, with frozen statistics, and see the same images, the loss has no gradient.
    for (const value of model.graph.values()) if (value.role?.kind === "state") value.role = undefined;
    const loss = distillation({ teacher: model.clone(), alpha: 1, temperature: 1 });
    const settings = { augment: "crop=2 flip", epochs: 1, optimizer: "sgd", learningRate: 0.1 } as const;
    const before = (await model.graph.value("fc.weight")?.tensor?.read())?.data;
    await trained({ ...settings, loss }, {}, model);
    const after = (await model.graph.value("fc.weight")?.tensor?.read())?.data;
    expect(after?.length).toBe(before?.length);
    (after as Float32Array).forEach((entry, at) => {
      expect(entry).toBeCloseTo(Number(before?.[at]), 5);
    });
  });
});

describe("train with augment rejects", () => {
  it("unknown augmentations, and numbers out of range", async () => {
    await expect(trained({ augment: "crop=4 wave" })).rejects.toThrow(/"augment": "wave" is not known/);
    await expect(trained({ augment: { crop: -1 } })).rejects.toThrow(/crop/);
  });

  it("data without images", async () => {
    const vectors = memory("vectors", {
      input: float32([32, 4], new Float32Array(128)),
      label: int64([32], new Array(32).fill(0)),
    });
    const model = network({ fc: linear(4, 2) }, { input: ["batch", 4], seed: 1 });
    await expect(trained({ data: vectors, augment: "flip" }, {}, model)).rejects.toThrow(/one column of images/);
  });
});

it("pools and images of one channel keep their shapes", async () => {
  const model = network(
    { conv: conv2d(1, 2, 3), mean: globalAveragePool(), flatten: flatten(), fc: linear(2, 2) },
    { input: ["batch", 1, 8, 8], seed: 1 },
  );
  const { history } = await trained({ augment: "crop=3 flip", epochs: 1 }, {}, model);
  expect(Number.isFinite(history[0]?.loss)).toBe(true);
});
