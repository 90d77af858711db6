import { cpSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fileKind, joinPath } from "#platform";
import { temporaryFolder } from "../../test/temporary.ts";
import { mapBatches, memory } from "../data/index.ts";
import { accuracy } from "../evaluate/index.ts";
import type { Model } from "../graph/model.ts";
import { parseModel } from "../graph/text.ts";
import { linear, network, relu } from "../nn/index.ts";
import { open } from "../onnx/index.ts";
import { float32, inMemory, int64 } from "../tensor/dense.ts";
import { random } from "../tensor/random.ts";
import { adam, train } from "./index.ts";

/** Points around three corners, which are the classes; of another seed, other points. */
function corners(count: number, seed: number) {
  const numbers = random(seed, "corners");
  const labels = Array.from({ length: count }, (_, row) => row % 3);
  const points = labels.flatMap((label) => [0, 1, 2].map((axis) => numbers.normal(axis === label ? 2 : 0, 0.5)));
  return memory("corners", { input: float32([count, 3], points), label: int64([count], labels) });
}

const data = corners(240, 1);
const validation = corners(60, 2);
const net = (): Model =>
  network({ fc1: linear(3, 8), relu: relu(), fc2: linear(8, 3) }, { input: ["batch", 3], seed: 1 });

async function weights(model: Model): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const value of model.graph.values())
    if (value.tensor !== undefined) found[value.name] = (await value.tensor.read()).data;
  return found;
}

type Settings = Partial<Parameters<typeof train>[1]>;

async function trained(settings: Settings, context: Parameters<typeof train>[2] = {}) {
  const model = net();
  const outcome = await train(model, { data, epochs: 3, batch: 24, ...settings }, { seed: 1, ...context });
  return { ...outcome, model, weights: await weights(model) };
}

/** A signal that stops a training after so many steps. */
function stopAfter(steps: number) {
  const controller = new AbortController();
  return { signal: controller.signal, progress: (done: number) => done >= steps && controller.abort() };
}

describe("a training that was stopped and is continued ends where it would have ended, to the bit", () => {
  const settings: readonly (readonly [string, Settings])[] = [
    ["with momentum in the graph", { optimizer: "sgd", learningRate: 0.1 }],
    ["with Nesterov's momentum and weight decay", { optimizer: "sgd", nesterov: true, weightDecay: 0.01 }],
    ["with adam, clipped, averaged and warmed up", { clip: 0.5, average: 0.9, warmup: 5 }],
    ["with several batches a step", { optimizer: "adamw", accumulate: 2 }],
    ["with batches left over at the end of an epoch", { optimizer: "sgd", batch: 8, accumulate: 4 }],
    ["with evaluations in between", { optimizer: "lion", validation, every: 4 }],
    ["with evaluations by a metric", { validation, metric: accuracy(), schedule: "one-cycle" }],
  ];

  test.each(settings)("%s", async (_, given) => {
    const whole = await trained({ ...given, checkpoint: temporaryFolder() });
    // Between epochs, in the middle of one, and where an evaluation is due.
    for (const steps of [3, 8, 10, 13]) {
      const checkpoint = temporaryFolder();
      const stopped = trained({ ...given, checkpoint }, stopAfter(steps));
      await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
      const continued = await trained({ ...given, checkpoint, resume: true });
      expect(continued.weights).toEqual(whole.weights);
      const figures = (history: typeof whole.history) => history.map(({ seconds: __, ...rest }) => rest);
      expect(figures(continued.history)).toEqual(figures(whole.history));
    }
  });
});

test("a training that was killed as an epoch was evaluated is continued with the next one, to the bit", async () => {
  const [checkpoint, killed] = [temporaryFolder(), temporaryFolder()];
  const log = ({ id, text }: { readonly id: string; readonly text: string }): void => {
    if (id === "epoch" && text.startsWith("epoch 2/")) cpSync(checkpoint, killed, { recursive: true });
  };
  const whole = await trained({ checkpoint, validation }, { log });
  const continued = await trained({ checkpoint: killed, validation, resume: true });
  expect(continued.weights).toEqual(whole.weights);
  expect(continued.history.map(({ epoch, loss }) => [epoch, loss])).toEqual(
    whole.history.map(({ epoch, loss }) => [epoch, loss]),
  );
});

test("of an epoch that is continued only those samples are read that were not trained on", async () => {
  const checkpoint = temporaryFolder();
  await expect(trained({ checkpoint }, stopAfter(14))).rejects.toMatchObject({ code: "E_STOPPED" });
  const counts: number[] = [];
  const counted = mapBatches(data, (batch, { samples }) => {
    counts.push(samples.length);
    return batch;
  });
  await trained({ checkpoint, resume: true, data: counted });
  // A sample by itself tells that the data is the same; six batches of the second epoch and ten of the third were to be done.
  expect(counts.filter((count) => count > 1)).toEqual(new Array(16).fill(24));
});

describe("checkpoints", () => {
  test("are ordinary models that answer as what was trained", async () => {
    const checkpoint = temporaryFolder();
    const { weights: own } = await trained({ checkpoint, validation });
    expect(await weights(await open(`${checkpoint}/best.onnx`))).toEqual(own);
    const last = await weights(await open(`${checkpoint}/last.onnx`));
    expect(Object.keys(last)).toEqual(expect.arrayContaining([...Object.keys(own), "pith.training/fc1.weight/first"]));
  });

  test("of other settings are refused by the setting", async () => {
    const checkpoint = temporaryFolder();
    await trained({ checkpoint, epochs: 1 });
    const again = trained({ checkpoint, resume: true, batch: 12 });
    await expect(again).rejects.toMatchObject({
      code: "E_OPTION",
      message: `"${checkpoint}/last.onnx" was trained with \`batch\` 24, not 12.`,
    });
    const other = trained({ checkpoint, resume: true, optimizer: "sgd" });
    await expect(other).rejects.toThrow("was trained with `optimizer` adam, not sgd.");
  });

  test.each<[Settings, string]>([
    [{ learningRate: 0.01 }, "with `learningRate` 0.001, not 0.01."],
    [{ clip: 1 }, "without `clip`, not with 1."],
    [{ loss: "mse" }, "with `loss` cross-entropy, not mse."],
    [{ average: 0.9 }, "without `average`, not with 0.9."],
    [{ layers: "fc1" }, "without `layers`, not with fc1."],
    [{ validation: 0.25 }, "without `validation`, not with 0.25."],
    [{ data: corners(120, 1) }, "on 240 samples, not 120."],
    [{ data: corners(240, 3) }, "on other samples than these: the first is another one."],
  ])("are not continued with %j", async (settings, difference) => {
    const checkpoint = temporaryFolder();
    await trained({ checkpoint, epochs: 1 });
    const said: string[] = [];
    const again = trained({ checkpoint, resume: true, ...settings }, { log: ({ text }) => said.push(text) });
    await expect(again).rejects.toMatchObject({
      code: "E_OPTION",
      message: `"${checkpoint}/last.onnx" was trained ${difference}`,
    });
    expect(said).toEqual([]);
  });

  test("of another model are said to be so", async () => {
    const checkpoint = temporaryFolder();
    await trained({ checkpoint, epochs: 1 });
    const wider = network({ fc1: linear(3, 9), relu: relu(), fc2: linear(9, 3) }, { input: ["batch", 3], seed: 1 });
    const other = network({ first: linear(3, 3) }, { input: ["batch", 3], seed: 1 });
    const options = { data, epochs: 3, batch: 24, checkpoint, resume: true };
    const message = (why: string) => ({
      code: "E_OPTION",
      message: `"${checkpoint}/last.onnx" is a checkpoint of another model: ${why}.`,
    });
    await expect(train(wider, options, { seed: 1 })).rejects.toMatchObject(
      message('"fc1.weight" was [8, 3] there, and is [9, 3] here'),
    );
    await expect(train(other, options, { seed: 1 })).rejects.toMatchObject(
      message('it trained "fc1.weight", which this model does not have'),
    );
  });

  test("are not overwritten by a training that does not continue them", async () => {
    const checkpoint = temporaryFolder();
    await trained({ checkpoint, epochs: 1 });
    const before = await weights(await open(`${checkpoint}/last.onnx`));
    await expect(trained({ checkpoint, epochs: 2 })).rejects.toMatchObject({
      code: "E_FILE",
      message: `"${checkpoint}" has the checkpoint of an earlier training, which would be overwritten.`,
    });
    expect(await weights(await open(`${checkpoint}/last.onnx`))).toEqual(before);
  });

  test("a start that fails makes no folder for them", async () => {
    const checkpoint = joinPath(temporaryFolder(), "later");
    const short = memory("short", { input: float32([4, 2], new Float32Array(8)), label: int64([4], [0, 1, 2, 0]) });
    await expect(trained({ checkpoint, data: short })).rejects.toThrow();
    expect(await fileKind(checkpoint)).toBeUndefined();
    await trained({ checkpoint, epochs: 1 });
    expect(await fileKind(checkpoint)).toBe("folder");
  });

  test("that are not there yet are begun, which is said", async () => {
    const said: string[] = [];
    const checkpoint = temporaryFolder();
    await trained({ checkpoint, resume: true, epochs: 1 }, { log: ({ text }) => said.push(text) });
    expect(said[0]).toBe(`there is no checkpoint in ${checkpoint} yet: training begins`);
  });

  test("a training that was through is handed back, not trained on", async () => {
    const checkpoint = temporaryFolder();
    const first = await trained({ checkpoint });
    const again = await trained({ checkpoint, resume: true });
    expect(again.weights).toEqual(first.weights);
    expect(again.history).toEqual(first.history);
  });

  test("more epochs than before go on", async () => {
    const checkpoint = temporaryFolder();
    await trained({ checkpoint, epochs: 1, schedule: "constant" });
    const longer = await trained({ checkpoint, resume: true, schedule: "constant" });
    expect(longer.weights).toEqual((await trained({ schedule: "constant" })).weights);
  });

  describe("of a training that diverged", () => {
    const settings = { optimizer: "sgd", learningRate: 0.01 } as const;
    const diverged = async (checkpoint: string, after: number): Promise<unknown> => {
      const schedule = (step: number): number => (step < after ? 1 : 1e30);
      return trained({ ...settings, schedule, checkpoint }).catch((error: unknown) => error);
    };

    test("hold the last weights that were finite, and the error says to begin again without them", async () => {
      const checkpoint = temporaryFolder();
      expect(await diverged(checkpoint, 12)).toMatchObject({
        code: "E_DIVERGED",
        hint:
          "Begin again from the model as it was, with another `checkpoint`, and a smaller `learningRate` or `clip` 1, and check that the " +
          `inputs are of ordinary size. "${checkpoint}/last.onnx" has the weights after 10 steps, which may be ruined.`,
      });
      const last = await weights(await open(`${checkpoint}/last.onnx`));
      expect(
        Object.values(last)
          .flatMap((values) => [...(values as Float32Array)])
          .every(Number.isFinite),
      ).toBe(true);
      const other = trained({ ...settings, learningRate: 0.001, checkpoint, resume: true });
      await expect(other).rejects.toMatchObject({
        hint:
          "A training is continued with the settings that it was begun with; `epochs` may be more. To train otherwise, begin again from the " +
          `model itself, with another \`checkpoint\`. "${checkpoint}/last.onnx" is a model like any other, too, but its weights may be ruined ` +
          "where the training diverged.",
      });
    });

    test("say which weights were best by validation", async () => {
      const checkpoint = temporaryFolder();
      const schedule = (step: number): number => (step < 12 ? 1 : 1e30);
      const again = { ...settings, schedule, checkpoint, validation } as const;
      const error: unknown = await trained(again).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: "E_DIVERGED",
        hint: expect.stringMatching(/best\.onnx" has the best ones, after 10 steps: validation loss \d\.\d+\.$/),
      });
      await expect(trained({ ...again, learningRate: 0.001, resume: true })).rejects.toMatchObject({
        hint: expect.stringContaining(`or from "${checkpoint}/best.onnx", the best weights by validation, with`),
      });
    });

    test("say so where none were better than those that training began with", async () => {
      const checkpoint = temporaryFolder();
      const harmful = { ...settings, schedule: () => 1e30, checkpoint, validation };
      await expect(trained(harmful)).rejects.toMatchObject({
        code: "E_DIVERGED",
        hint: expect.stringMatching(
          /of ordinary size\. ".*best\.onnx" has the best ones, before the first step: validation loss \d\.\d+\.$/,
        ),
      });
    });

    test("are trained as the model that they are, without what is left in them, and continued to the bit", async () => {
      const checkpoint = temporaryFolder();
      await diverged(checkpoint, 12);
      const gently = { data, epochs: 2, batch: 24, ...settings, learningRate: 0.001 } as const;
      const again = async (kept: string, context: Parameters<typeof train>[2] = {}, resume = false) => {
        const model = await open(`${checkpoint}/last.onnx`);
        await train(model, { ...gently, checkpoint: kept, resume }, { seed: 1, ...context });
        return model;
      };
      const whole = await again(temporaryFolder());
      expect(Object.keys(await weights(whole)).toSorted()).toEqual(Object.keys(await weights(net())).toSorted());
      expect(whole.header.metadata.has("pith.training")).toBe(false);
      const second = temporaryFolder();
      await expect(again(second, stopAfter(13))).rejects.toMatchObject({ code: "E_STOPPED" });
      const names = Object.keys(await weights(await open(`${second}/last.onnx`))).filter((name) => name.includes("/"));
      expect(names.toSorted()).toEqual(
        ["steps", ...["fc1", "fc2"].flatMap((fc) => [`${fc}.bias/carried`, `${fc}.weight/carried`])]
          .map((name) => `pith.training/${name}`)
          .toSorted(),
      );
      expect(await weights(await again(second, {}, true))).toEqual(await weights(whole));
    });

    test("are not there before anything was kept", async () => {
      const error = await diverged(temporaryFolder(), 3);
      expect(error).toMatchObject({ code: "E_DIVERGED", hint: expect.stringMatching(/ordinary size\.$/) });
    });
  });

  test("resume without a folder is refused", async () => {
    await expect(trained({ resume: true })).rejects.toMatchObject({ code: "E_OPTION" });
  });
});

describe("the loop", () => {
  test("two batches a step move as one of both would", async () => {
    const settings = { optimizer: "sgd", epochs: 1, learningRate: 0.1 } as const;
    const once = await trained({ ...settings, batch: 240 });
    const twice = await trained({ ...settings, batch: 120, accumulate: 2 });
    for (const [name, values] of Object.entries(once.weights))
      [...(values as Float32Array)].forEach((value, at) => {
        expect((twice.weights[name] as Float32Array)[at]).toBeCloseTo(value, 5);
      });
    expect(twice.history[0]?.steps).toBe(1);
  });

  test("batches that fill no step at the end of an epoch are left out; where none is ever filled, that is refused", async () => {
    const steps: number[] = [];
    const { history } = await trained({ batch: 24, accumulate: 4 }, { progress: (done) => steps.push(done) });
    // Ten batches an epoch.
    expect(history.map((epoch) => epoch.steps)).toEqual([2, 2, 2]);
    expect(steps.at(-1)).toBe(6);
    await expect(trained({ batch: 100, accumulate: 3 })).rejects.toThrow(
      "corners has no 300 samples, which a step takes (3 batches of 100).",
    );
  });

  test("data that holds NaN is named, instead of a learning rate", async () => {
    const broken = memory("broken", {
      input: float32([4, 3], [1, 2, 3, 4, 5, 6, 7, 8, Number.NaN, 1, 2, 3]),
      label: int64([4], [0, 1, 2, 0]),
    });
    await expect(trained({ data: broken, batch: 4 })).rejects.toMatchObject({
      code: "E_DATA",
      message: 'broken: "input" holds NaN in batch 1 of epoch 1.',
    });
  });

  test("before the first step and where it ends it is evaluated, however rarely else", async () => {
    const { history } = await trained({ validation, every: 1000 });
    expect(history.map(({ evaluations }) => evaluations.map(({ step }) => step))).toEqual([[0], [], [30]]);
  });

  test("an optimizer that has trained one network begins anew with the next", async () => {
    const [used, fresh] = [adam(), adam()];
    await trained({ optimizer: used });
    expect((await trained({ optimizer: used })).weights).toEqual((await trained({ optimizer: fresh })).weights);
  });

  test("patience ends it, and the best weights are the result", async () => {
    // It gets better for a while, and then jumps about.
    const said: string[] = [];
    const settings = { optimizer: "sgd", learningRate: 2, clip: 1, epochs: 20, schedule: "constant" } as const;
    const { history, weights: own } = await trained(
      { ...settings, validation, every: 1, patience: 3 },
      { log: ({ id, text }) => id === "patience" && said.push(text) },
    );
    const figures = history.flatMap(({ evaluations }) => evaluations);
    const best = figures.reduce((least, each) => (each.figure < least.figure ? each : least));
    expect(best.step).toBeGreaterThan(0);
    expect(figures.at(-1)?.step).toBe(best.step + 3);
    const after = `better one than that after ${best.step} steps`;
    expect(said).toEqual([`ended after ${best.step + 3} steps: 3 evaluations without a ${after}`]);
    expect(own).not.toEqual(await weights(net()));
  });

  describe("that makes good weights worse", () => {
    const harmful = { optimizer: "sgd", learningRate: 30, clip: 1, schedule: "constant", validation } as const;
    const good = async (): Promise<Model> => {
      const { model } = await trained({ learningRate: 0.05, validation, metric: accuracy() });
      return model;
    };

    test.each([undefined, accuracy()])("hands the weights back that it was given, by %#", async (metric) => {
      const model = await good();
      const before = new Map([...model.graph.values()].map(({ name, tensor, role }) => [name, { tensor, role }]));
      const { changes, misses, training, history } = await train(model, { data, epochs: 2, metric, ...harmful });
      expect(changes).toEqual([]);
      expect(misses.map(({ reason }) => reason)).toEqual([
        expect.stringMatching(/^none of 2 evaluations .*: they stay. /),
      ]);
      expect(training.chosen).toMatchObject({ best: { step: 0 }, evaluations: 3 });
      expect(history.map(({ evaluations }) => evaluations.map(({ step }) => step))).toEqual([[0, 1], [2]]);
      for (const [name, { tensor, role }] of before) {
        expect(model.graph.value(name)?.tensor).toBe(tensor);
        expect(model.graph.value(name)?.role).toEqual(role);
      }
    });

    test("is said of one evaluation as of one", async () => {
      const { misses } = await train(await good(), { data, ...harmful, epochs: 1 });
      expect(misses.map(({ reason }) => reason)).toEqual([
        "the evaluation was no better than that of the weights that training began with: they stay. A smaller learning rate may do better",
      ]);
    });

    test("ends by patience as soon as that, and is continued to the same end", async () => {
      const model = await good();
      const own = await weights(model);
      const said: string[] = [];
      const settings = { ...harmful, data, epochs: 20, batch: 24, every: 2, patience: 3 } as const;
      const checkpoint = temporaryFolder();
      const stopped = train(model.clone(), { ...settings, checkpoint }, { seed: 1, ...stopAfter(3) });
      await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
      const log = ({ id, text }: { id: string; text: string }): void => void (id === "patience" && said.push(text));
      const { changes, training } = await train(model, { ...settings, checkpoint, resume: true }, { seed: 1, log });
      expect(said).toEqual(["ended after 6 steps: 3 evaluations without a better one than that before the first step"]);
      expect({ changes, best: training.chosen?.best.step, evaluations: training.chosen?.evaluations }).toEqual({
        changes: [],
        best: 0,
        evaluations: 4,
      });
      expect(await weights(model)).toEqual(own);
      expect(await weights(await open(`${checkpoint}/best.onnx`))).toEqual(own);
    });

    test("and is continued with a model that is further on gives back the weights that it began with", async () => {
      const model = await good();
      const own = await weights(model);
      const checkpoint = temporaryFolder();
      const stopped = train(model, { ...harmful, data, batch: 24, checkpoint }, { seed: 1, ...stopAfter(13) });
      await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
      expect(await weights(model)).not.toEqual(own);
      const { changes } = await train(model, { ...harmful, data, batch: 24, checkpoint, resume: true }, { seed: 1 });
      expect(changes.length).toBeGreaterThan(0);
      expect(await weights(model)).toEqual(own);
    });
  });

  test("a weight that is no number is refused before anything is judged by it", async () => {
    const model = net();
    const weight = model.graph.value("fc1.weight");
    if (weight === undefined) throw new Error("no weight");
    weight.tensor = inMemory(float32([8, 3], new Float32Array(24).fill(Number.NaN)));
    await expect(train(model, { data, validation })).rejects.toMatchObject({
      code: "E_DIVERGED",
      message: '"fc1.weight" is not finite, and training has not begun.',
    });
  });

  test("clipping bounds what one step moves", async () => {
    const before = await weights(net());
    const { weights: after } = await trained({
      optimizer: "sgd",
      momentum: 0,
      learningRate: 1,
      clip: 1e-3,
      epochs: 1,
      batch: 240,
    });
    let sum = 0;
    for (const [name, values] of Object.entries(after))
      [...(values as Float32Array)].forEach((value, at) => {
        sum += (value - ((before[name] as Float32Array)[at] ?? 0)) ** 2;
      });
    expect(Math.sqrt(sum)).toBeCloseTo(1e-3, 5);
  });

  test("a rate of 0 for a layer leaves it as it was; a name that fits nothing is refused", async () => {
    const before = await weights(net());
    const { weights: after } = await trained({ rates: { "fc*": 0, fc2: 1 }, epochs: 1 });
    expect(after["fc1.weight"]).toEqual(before["fc1.weight"]);
    expect(after["fc1.bias"]).toEqual(before["fc1.bias"]);
    expect(after["fc2.weight"]).not.toEqual(before["fc2.weight"]);
    await expect(trained({ rates: { fc3: 1 } })).rejects.toThrow('No layer or tensor is called "fc3"');
  });

  test("weight decay shrinks matrices, and leaves biases to their gradients", async () => {
    const settings = { optimizer: "sgd", momentum: 0, epochs: 1, batch: 240, learningRate: 0.1 } as const;
    const [plain, decayed] = [await trained(settings), await trained({ ...settings, weightDecay: 0.5 })];
    expect(decayed.weights["fc1.bias"]).toEqual(plain.weights["fc1.bias"]);
    expect(decayed.weights["fc1.weight"]).not.toEqual(plain.weights["fc1.weight"]);
  });

  test("an average lies between where it began and where the steps ended", async () => {
    const settings = { optimizer: "sgd", epochs: 1, batch: 240, schedule: "constant", momentum: 0 } as const;
    const before = await weights(net());
    const [last, averaged] = [await trained(settings), await trained({ ...settings, average: 0.75 })];
    for (const [name, values] of Object.entries(last.weights))
      [...(values as Float32Array)].forEach((value, at) => {
        const start = (before[name] as Float32Array)[at] ?? 0;
        expect((averaged.weights[name] as Float32Array)[at]).toBeCloseTo(0.75 * start + 0.25 * value, 5);
      });
  });

  describe("with batch statistics", () => {
    const normalized = (): Model =>
      parseModel(`opset 21
graph (input: float32[batch, 3]) -> (y) {
  scale: float32[3] parameter = ones
  shift: float32[3] parameter = zeros
  mean: float32[3] = [5, 5, 5]
  variance: float32[3] = ones
  w: float32[3, 3] parameter = random(seed 1)
  n = BatchNormalization (input, scale, shift, mean, variance) {momentum=0.5}
  y = MatMul (n, w)
}`);
    const ended = async (settings: Settings, context: Parameters<typeof train>[2] = {}) => {
      const model = normalized();
      await train(model, { data, epochs: 2, batch: 48, batchStatistics: true, ...settings }, { seed: 1, ...context });
      return (await weights(model)) as Record<string, Float32Array>;
    };

    test("an average is one of the running statistics too", async () => {
      const settings = { epochs: 1, batch: 240, average: 0.75 } as const;
      const before = (await weights(normalized())) as Record<string, Float32Array>;
      const [last, averaged] = [await ended({ ...settings, average: undefined }), await ended(settings)];
      for (const name of ["w", "mean", "variance"])
        [...(last[name] ?? [])].forEach((value, at) => {
          expect(Math.abs(value - (before[name]?.[at] ?? 0))).toBeGreaterThan(1e-6);
          expect(averaged[name]?.[at]).toBeCloseTo(0.75 * (before[name]?.[at] ?? 0) + 0.25 * value, 5);
        });
    });

    test("and is continued to the bit", async () => {
      const settings = { average: 0.75, validation, every: 2 } as const;
      const [whole, checkpoint] = [await ended(settings), temporaryFolder()];
      await expect(ended({ ...settings, checkpoint }, stopAfter(3))).rejects.toMatchObject({ code: "E_STOPPED" });
      expect(await ended({ ...settings, checkpoint, resume: true })).toEqual(whole);
    });
  });
});
