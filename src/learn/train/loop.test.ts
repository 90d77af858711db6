/** Tests steps, accumulation, evaluations, and patience of the training loop, and how it ends. */
import { describe, expect, test } from "vitest";
import {
  data,
  net,
  type Settings,
  stopAfter,
  trained,
  validation,
  weights,
} from "../../../test/learn/train/corners.ts";
import { temporaryFolder } from "../../../test/temporary.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { open } from "../../core/onnx/index.ts";
import { float32, inMemory, int64 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { accuracy } from "../../runtime/metrics/class-metrics.ts";
import { adam, sgd, train } from "./index.ts";

describe("the loop", () => {
  test("accumulates two batches to the step of one joint batch", async () => {
    const settings = { optimizer: "sgd", epochs: 1, learningRate: 0.1 } as const;
    const once = await trained({ ...settings, batch: 240 });
    const twice = await trained({ ...settings, batch: 120, accumulate: 2 });
    for (const [name, values] of Object.entries(once.weights))
      [...(values as Float32Array)].forEach((value, index) => {
        expect((twice.weights[name] as Float32Array)[index]).toBeCloseTo(value, 5);
      });
    expect(twice.history[0]?.steps).toBe(1);
  });

  test("drops batches that do not fill a step, and fails if none is ever filled", async () => {
    const steps: number[] = [];
    const { history } = await trained({ batch: 24, accumulate: 4 }, { progress: (done) => steps.push(done) });
    // An epoch has ten batches.
    expect(history.map((epoch) => epoch.steps)).toEqual([2, 2, 2]);
    expect(steps.at(-1)).toBe(6);
    await expect(trained({ batch: 100, accumulate: 3 })).rejects.toThrow(
      "corners has fewer than 300 samples, which one step needs (3 batches of 100).",
    );
  });

  test("names data with NaN instead of suggesting a learning rate", async () => {
    const broken = memory("broken", {
      input: float32([4, 3], [1, 2, 3, 4, 5, 6, 7, 8, Number.NaN, 1, 2, 3]),
      label: int64([4], [0, 1, 2, 0]),
    });
    await expect(trained({ data: broken, batch: 4 })).rejects.toMatchObject({
      code: "E_DATA",
      message: 'broken: "input" holds NaN in batch 1 of epoch 1.',
    });
  });

  test("evaluates before the first step and at the end", async () => {
    const { history } = await trained({ validation, every: 1000 });
    expect(history.map(({ evaluations }) => evaluations.map(({ step }) => step))).toEqual([[0], [], [30]]);
  });

  test("starts an optimizer from zero for another network", async () => {
    const [used, fresh] = [adam(), adam()];
    await trained({ optimizer: used });
    expect((await trained({ optimizer: used })).weights).toEqual((await trained({ optimizer: fresh })).weights);
  });

  describe("callbacks", () => {
    test("are called after each step and each epoch, and the training waits for them", async () => {
      const calls: string[] = [];
      const { history, weights } = await trained({
        onStep: async ({ step, epoch, loss, learningRate }) => {
          await Promise.resolve();
          expect(loss).toBeGreaterThan(0);
          expect(learningRate).toBeGreaterThan(0);
          calls.push(`${epoch}/${step}`);
        },
        onEpoch: ({ epoch, steps }) => {
          calls.push(`epoch ${epoch}: ${steps}`);
        },
      });
      expect(calls).toHaveLength(33);
      expect(calls.slice(9, 12)).toEqual(["1/10", "epoch 1: 10", "2/11"]);
      expect(history).toHaveLength(3);
      expect(weights).toEqual((await trained({})).weights);
    });

    test("end the training inside an epoch if onStep returns stop", async () => {
      const notes: string[] = [];
      const { history } = await trained(
        { onStep: ({ step }) => (step === 14 ? "stop" : undefined), validation, every: 5 },
        { log: ({ id, text }) => id === "stop" && notes.push(text) },
      );
      expect(history.map(({ steps }) => steps)).toEqual([10, 4]);
      expect(history[1]?.evaluations.at(-1)?.step).toBe(14);
      expect(notes).toEqual(['ended after 14 steps: onStep returned "stop"']);
    });

    test("end the training if onEpoch returns stop, or onStep at an epoch's end", async () => {
      const byEpoch = await trained({ onEpoch: ({ epoch }) => (epoch === 2 ? "stop" : undefined) });
      const byStep = await trained({ onStep: ({ step }) => (step === 20 ? "stop" : undefined) });
      expect(byEpoch.history.map(({ steps }) => steps)).toEqual([10, 10]);
      expect(byStep.history.map(({ steps }) => steps)).toEqual([10, 10]);
      expect(byStep.weights).toEqual(byEpoch.weights);
      const evaluated = await trained({
        onStep: ({ step }) => (step === 20 ? "stop" : undefined),
        validation,
        every: 15,
      });
      expect(evaluated.history[1]?.evaluations.at(-1)?.step).toBe(20);
    });

    test("leave a checkpoint that continues to the same weights", async () => {
      const checkpoint = temporaryFolder();
      await trained({ checkpoint, onStep: ({ step }) => (step === 14 ? "stop" : undefined) });
      const { weights } = await trained({ checkpoint, resume: true });
      expect(weights).toEqual((await trained({})).weights);
    });

    test.each<readonly [name: "onStep" | "onEpoch", result: unknown, text: string]>([
      ["onEpoch", "halt", '"halt"'],
      ["onStep", "Stop", '"Stop"'],
      ["onStep", false, "false"],
      ["onEpoch", null, "null"],
    ])("%s is rejected if it returns %o, and the model is unchanged", async (name, result, text) => {
      const model = net();
      const before = await weights(model);
      // A program in JavaScript can return anything.
      const callback: (report: never) => never = () => result as never;
      for (const returned of [callback, async () => result as never])
        await expect(train(model, { data, epochs: 3, batch: 24, [name]: returned })).rejects.toMatchObject({
          code: "E_OPTION",
          message: `${name}: expected "stop" or no result, got ${text}.`,
        });
      expect(await weights(model)).toEqual(before);
    });

    test("leave the model unchanged if they throw", async () => {
      const model = net();
      const before = await weights(model);
      const fail = () => {
        throw new RangeError("mine");
      };
      await expect(train(model, { data, epochs: 3, batch: 24, onEpoch: fail })).rejects.toThrow(RangeError);
      expect(await weights(model)).toEqual(before);
    });
  });

  test("ends by patience with the best weights", async () => {
    // With this learning rate the metric improves for a while, then oscillates.
    const messages: string[] = [];
    const settings = { optimizer: "sgd", learningRate: 2, clip: 1, epochs: 20, schedule: "constant" } as const;
    const { history, weights: finalWeights } = await trained(
      { ...settings, validation, every: 1, patience: 3 },
      { log: ({ id, text }) => id === "patience" && messages.push(text) },
    );
    const figures = history.flatMap(({ evaluations }) => evaluations);
    const best = figures.reduce((least, each) => (each.figure < least.figure ? each : least));
    expect(best.step).toBeGreaterThan(0);
    expect(figures.at(-1)?.step).toBe(best.step + 3);
    const after = `better than the one after ${best.step} steps`;
    expect(messages).toEqual([`ended after ${best.step + 3} steps: none of the last 3 evaluations was ${after}`]);
    expect(finalWeights).not.toEqual(await weights(net()));
  });

  describe("a training that makes good weights worse", () => {
    const harmful = { optimizer: "sgd", learningRate: 30, clip: 1, schedule: "constant", validation } as const;
    const good = async (): Promise<Model> => {
      const { model } = await trained({ learningRate: 0.05, validation, metric: accuracy() });
      return model;
    };

    test.each([undefined, accuracy()])("returns the initial weights (case %#)", async (metric) => {
      const model = await good();
      const before = new Map([...model.graph.values()].map(({ name, tensor, role }) => [name, { tensor, role }]));
      const { changes, misses, training, history } = await train(model, { data, epochs: 2, metric, ...harmful });
      expect(changes).toEqual([]);
      expect(misses.map(({ reason }) => reason)).toEqual([
        expect.stringMatching(/^none of 2 evaluations .*, which are kept. /),
      ]);
      expect(training.chosen).toMatchObject({ best: { step: 0 }, evaluations: 3 });
      expect(history.map(({ evaluations }) => evaluations.map(({ step }) => step))).toEqual([[0, 1], [2]]);
      for (const [name, { tensor, role }] of before) {
        expect(model.graph.value(name)?.tensor).toBe(tensor);
        expect(model.graph.value(name)?.role).toEqual(role);
      }
    });

    test("reports a single evaluation in the singular", async () => {
      const { misses } = await train(await good(), { data, ...harmful, epochs: 1 });
      expect(misses.map(({ reason }) => reason)).toEqual([
        "the evaluation was no better than that of the initial weights, which are kept. Try a smaller learning rate",
      ]);
    });

    test("ends by patience and resumes to the same result", async () => {
      const model = await good();
      const initialWeights = await weights(model);
      const messages: string[] = [];
      const settings = { ...harmful, data, epochs: 20, batch: 24, every: 2, patience: 3 } as const;
      const checkpoint = temporaryFolder();
      const stopped = train(model.clone(), { ...settings, checkpoint }, { seed: 1, ...stopAfter(3) });
      await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
      const log = ({ id, text }: { id: string; text: string }): void => void (id === "patience" && messages.push(text));
      const { changes, training } = await train(model, { ...settings, checkpoint, resume: true }, { seed: 1, log });
      expect(messages).toEqual([
        "ended after 6 steps: none of the last 3 evaluations was better than the one before the first step",
      ]);
      expect({ changes, best: training.chosen?.best.step, evaluations: training.chosen?.evaluations }).toEqual({
        changes: [],
        best: 0,
        evaluations: 4,
      });
      expect(await weights(model)).toEqual(initialWeights);
      expect(await weights(await open(`${checkpoint}/best.onnx`))).toEqual(initialWeights);
    });

    test("restores the initial weights if it resumes with a model that was trained further", async () => {
      const model = await good();
      const initialWeights = await weights(model);
      const checkpoint = temporaryFolder();
      const stopped = train(model, { ...harmful, data, batch: 24, checkpoint }, { seed: 1, ...stopAfter(13) });
      await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
      expect(await weights(model)).toEqual(initialWeights);
      const further = await open(`${checkpoint}/last.onnx`);
      expect(await weights(further)).not.toEqual(initialWeights);
      const { changes } = await train(further, { ...harmful, data, batch: 24, checkpoint, resume: true }, { seed: 1 });
      expect(changes.length).toBeGreaterThan(0);
      expect(await weights(further)).toEqual(initialWeights);
    });
  });

  test("rejects a weight of NaN before the first evaluation", async () => {
    const model = net();
    const weight = model.graph.value("fc1.weight");
    if (weight === undefined) throw new Error("no weight");
    weight.tensor = inMemory(float32([8, 3], new Float32Array(24).fill(Number.NaN)));
    await expect(train(model, { data, validation })).rejects.toMatchObject({
      code: "E_DIVERGED",
      message: '"fc1.weight" is not finite, and training has not begun.',
    });
  });

  test("clipping limits the change of a step", async () => {
    const before = await weights(net());
    const { weights: after } = await trained({ optimizer: sgd(), learningRate: 1, clip: 1e-3, epochs: 1, batch: 240 });
    let sum = 0;
    for (const [name, values] of Object.entries(after))
      [...(values as Float32Array)].forEach((value, index) => {
        sum += (value - ((before[name] as Float32Array)[index] ?? 0)) ** 2;
      });
    expect(Math.sqrt(sum)).toBeCloseTo(1e-3, 5);
  });

  test("weight decay shrinks matrices but not biases", async () => {
    const settings = { epochs: 1, batch: 240, learningRate: 0.1 } as const;
    const [plain, decayed] = [
      await trained({ ...settings, optimizer: sgd() }),
      await trained({ ...settings, optimizer: sgd({ weightDecay: 0.5 }) }),
    ];
    expect(decayed.weights["fc1.bias"]).toEqual(plain.weights["fc1.bias"]);
    expect(decayed.weights["fc1.weight"]).not.toEqual(plain.weights["fc1.weight"]);
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

    test("resumes with the same bits", async () => {
      const settings = { validation, every: 2 } as const;
      const [uninterrupted, checkpoint] = [await ended(settings), temporaryFolder()];
      await expect(ended({ ...settings, checkpoint }, stopAfter(3))).rejects.toMatchObject({ code: "E_STOPPED" });
      expect(await ended({ ...settings, checkpoint, resume: true })).toEqual(uninterrupted);
    });
  });
});
