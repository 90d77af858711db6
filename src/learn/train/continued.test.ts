/** Tests that a stopped or killed training resumes from a checkpoint to the same bits, and that other trainings cannot use it. */
import { cpSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fileKind, joinPath } from "#platform";
import {
  corners,
  data,
  expectContinued,
  net,
  type Settings,
  stopAfter,
  trained,
  validation,
  weights,
} from "../../../test/learn/train/corners.ts";
import { temporaryFolder } from "../../../test/temporary.ts";
import { parseModel } from "../../core/graph/text.ts";
import { open } from "../../core/onnx/index.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { mapBatches, memory } from "../../data/index.ts";
import { linear, network, relu } from "../nn/index.ts";
import { train } from "./index.ts";

describe("a resumed training ends with the same bits as an uninterrupted one", () => {
  test("resumes Adam with clipping and warm-up", async () => {
    await expectContinued({ clip: 0.5, warmup: 5 });
  });
});

test("continues with the next epoch after a kill during an evaluation, with the same bits", async () => {
  const [checkpoint, killed] = [temporaryFolder(), temporaryFolder()];
  const log = ({ id, text }: { readonly id: string; readonly text: string }): void => {
    if (id === "epoch" && text.startsWith("epoch 2/")) cpSync(checkpoint, killed, { recursive: true });
  };
  const uninterrupted = await trained({ checkpoint, validation }, { log });
  const continued = await trained({ checkpoint: killed, validation, resume: true });
  expect(continued.weights).toEqual(uninterrupted.weights);
  expect(continued.history.map(({ epoch, loss }) => [epoch, loss])).toEqual(
    uninterrupted.history.map(({ epoch, loss }) => [epoch, loss]),
  );
});

test("reads only the remaining samples of a resumed epoch", async () => {
  const checkpoint = temporaryFolder();
  await expect(trained({ checkpoint }, stopAfter(14))).rejects.toMatchObject({ code: "E_STOPPED" });
  const counts: number[] = [];
  const counted = mapBatches(data, (batch, { samples }) => {
    counts.push(samples.length);
    return batch;
  });
  await trained({ checkpoint, resume: true, data: counted });
  // Single samples are read to identify the data. Six batches of the second epoch and ten of the third remained.
  expect(counts.filter((count) => count > 1)).toEqual(new Array(16).fill(24));
});

describe("checkpoints", () => {
  test("are ordinary models with the trained outputs", async () => {
    const checkpoint = temporaryFolder();
    const { weights: finalWeights } = await trained({ checkpoint, validation });
    expect(await weights(await open(`${checkpoint}/best.onnx`))).toEqual(finalWeights);
    const last = await weights(await open(`${checkpoint}/last.onnx`));
    expect(Object.keys(last)).toEqual(
      expect.arrayContaining([...Object.keys(finalWeights), "pith.training/fc1.weight/first"]),
    );
  });

  test("are rejected for other settings, with the name of the setting", async () => {
    const checkpoint = temporaryFolder();
    await trained({ checkpoint, epochs: 1 });
    const resumed = trained({ checkpoint, resume: true, batch: 12 });
    await expect(resumed).rejects.toMatchObject({
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
    [{ warmup: 5 }, "with `warmup` 0, not 5."],
    [{ layers: "fc1" }, "without `layers`, not with fc1."],
    [{ validation: 0.25 }, "without `validation`, not with 0.25."],
  ])("are not resumed with %j", async (settings, difference) => {
    const checkpoint = temporaryFolder();
    await trained({ checkpoint, epochs: 1 });
    const messages: string[] = [];
    const resumed = trained({ checkpoint, resume: true, ...settings }, { log: ({ text }) => messages.push(text) });
    await expect(resumed).rejects.toMatchObject({
      code: "E_OPTION",
      message: `"${checkpoint}/last.onnx" was trained ${difference}`,
    });
    expect(messages).toEqual([]);
  });

  test("are rejected for another model", async () => {
    const checkpoint = temporaryFolder();
    await trained({ checkpoint, epochs: 1 });
    const wider = network({ fc1: linear(3, 9), relu: relu(), fc2: linear(9, 3) }, { input: ["batch", 3], seed: 1 });
    const other = network({ first: linear(3, 3) }, { input: ["batch", 3], seed: 1 });
    const options = { data, epochs: 3, batch: 24, checkpoint, resume: true };
    const message = `"${checkpoint}/last.onnx" is a checkpoint of another model, or of other values that are not trained.`;
    for (const model of [wider, other])
      await expect(train(model, options, { seed: 1 })).rejects.toMatchObject({ code: "E_OPTION", message });
  });

  test("are rejected for another attribute", async () => {
    const checkpoint = temporaryFolder();
    const steep = (alpha: number) =>
      parseModel(`opset 21
graph (input: float32[batch, 3]) -> (logits: float32[batch, 3]) {
  w: float32[3, 3] parameter = random(seed 1)
  h = LeakyRelu(input) {alpha=${alpha}}
  logits = MatMul(h, w)
}`);
    await train(steep(0.1), { data, epochs: 1, batch: 24, checkpoint }, { seed: 1 });
    const options = { data, epochs: 2, batch: 24, checkpoint, resume: true };
    await expect(train(steep(0.9), options, { seed: 1 })).rejects.toMatchObject({ code: "E_OPTION" });
  });

  test("are rejected for other samples", async () => {
    const checkpoint = temporaryFolder();
    await trained({ checkpoint, epochs: 1 });
    for (const samples of [corners(120, 1), corners(240, 3)])
      await expect(trained({ checkpoint, resume: true, data: samples })).rejects.toMatchObject({
        code: "E_OPTION",
        message: expect.stringMatching(/was trained with `data` 240 samples, \w{8}, not \d+ samples, \w{8}\.$/),
      });
  });

  test("are not overwritten without resume", async () => {
    const checkpoint = temporaryFolder();
    await trained({ checkpoint, epochs: 1 });
    const before = await weights(await open(`${checkpoint}/last.onnx`));
    await expect(trained({ checkpoint, epochs: 2 })).rejects.toMatchObject({
      code: "E_FILE",
      message: `"${checkpoint}" has the checkpoint of an earlier training, which would be overwritten.`,
    });
    expect(await weights(await open(`${checkpoint}/last.onnx`))).toEqual(before);
  });

  test("are not created if the training fails to start", async () => {
    const checkpoint = joinPath(temporaryFolder(), "later");
    const short = memory("short", { input: float32([4, 2], new Float32Array(8)), label: int64([4], [0, 1, 2, 0]) });
    await expect(trained({ checkpoint, data: short })).rejects.toThrow();
    expect(await fileKind(checkpoint)).toBeUndefined();
    await trained({ checkpoint, epochs: 1 });
    expect(await fileKind(checkpoint)).toBe("folder");
  });

  test("are created with a message if resume finds none", async () => {
    const messages: string[] = [];
    const checkpoint = temporaryFolder();
    await trained({ checkpoint, resume: true, epochs: 1 }, { log: ({ text }) => messages.push(text) });
    expect(messages[0]).toBe(`${checkpoint} has no checkpoint yet: training starts from the model`);
  });

  test("return the result of a finished training without more steps", async () => {
    const checkpoint = temporaryFolder();
    const first = await trained({ checkpoint });
    const resumed = await trained({ checkpoint, resume: true });
    expect(resumed.weights).toEqual(first.weights);
    expect(resumed.history).toEqual(first.history);
  });

  test("more epochs than before go on, at a constant rate", async () => {
    const schedule = "constant";
    const checkpoint = temporaryFolder();
    const notes: string[] = [];
    await trained({ checkpoint, epochs: 1, schedule });
    const log = ({ text, level }: { text: string; level?: string }) => level === "warning" && notes.push(text);
    const longer = await trained({ checkpoint, resume: true, schedule }, { log });
    expect(longer.weights).toEqual((await trained({ schedule })).weights);
    expect(notes).toEqual([]);
  });

  describe("after a divergence", () => {
    const settings = { optimizer: "sgd", learningRate: 0.01 } as const;
    const diverged = async (checkpoint: string, after: number): Promise<unknown> => {
      const schedule = (step: number): number => (step < after ? 1 : 1e30);
      return trained({ ...settings, schedule, checkpoint }).catch((error: unknown) => error);
    };

    test("contain the last finite weights, and the error advises to start without them", async () => {
      const checkpoint = temporaryFolder();
      expect(await diverged(checkpoint, 12)).toMatchObject({
        code: "E_DIVERGED",
        hint:
          "Start again from the original model, with another `checkpoint`, and a smaller `learningRate` or `clip` 1, and check that the " +
          `inputs are properly scaled. "${checkpoint}/last.onnx" has the weights after 10 steps, which may be useless.`,
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
          "Training continues only with the settings that it started with; `epochs` may be larger. To train with other settings, start again from the " +
          `model itself, with another \`checkpoint\`. "${checkpoint}/last.onnx" is an ordinary model too, but its weights may be useless ` +
          "if the training diverged.",
      });
    });

    test("name the best weights by validation", async () => {
      const checkpoint = temporaryFolder();
      const schedule = (step: number): number => (step < 12 ? 1 : 1e30);
      const resumedSettings = { ...settings, schedule, checkpoint, validation } as const;
      const error: unknown = await trained(resumedSettings).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: "E_DIVERGED",
        hint: expect.stringMatching(/best\.onnx" has the best ones, after 10 steps: validation loss \d\.\d+\.$/),
      });
      await expect(trained({ ...resumedSettings, learningRate: 0.001, resume: true })).rejects.toMatchObject({
        hint: expect.stringContaining(`or from "${checkpoint}/best.onnx", the best weights by validation, with`),
      });
    });

    test("report if no weights are better than the initial ones", async () => {
      const checkpoint = temporaryFolder();
      const harmful = { ...settings, schedule: () => 1e30, checkpoint, validation };
      await expect(trained(harmful)).rejects.toMatchObject({
        code: "E_DIVERGED",
        hint: expect.stringMatching(
          /properly scaled\. ".*best\.onnx" has the best ones, before the first step: validation loss \d\.\d+\.$/,
        ),
      });
    });

    test("can be trained as models, without their stored state", async () => {
      const checkpoint = temporaryFolder();
      await diverged(checkpoint, 12);
      const gently = { data, epochs: 2, batch: 24, ...settings, learningRate: 0.001 } as const;
      const resumeTraining = async (kept: string, context: Parameters<typeof train>[2] = {}, resume = false) => {
        const model = await open(`${checkpoint}/last.onnx`);
        await train(model, { ...gently, checkpoint: kept, resume }, { seed: 1, ...context });
        return model;
      };
      const uninterrupted = await resumeTraining(temporaryFolder());
      expect(Object.keys(await weights(uninterrupted)).toSorted()).toEqual(
        Object.keys(await weights(net())).toSorted(),
      );
      expect(uninterrupted.header.metadata.has("pith.training")).toBe(false);
      const second = temporaryFolder();
      await expect(resumeTraining(second, stopAfter(13))).rejects.toMatchObject({ code: "E_STOPPED" });
      const names = Object.keys(await weights(await open(`${second}/last.onnx`))).filter((name) => name.includes("/"));
      expect(names.toSorted()).toEqual(
        ["steps", ...["fc1", "fc2"].flatMap((fc) => [`${fc}.bias/carried`, `${fc}.weight/carried`])]
          .map((name) => `pith.training/${name}`)
          .toSorted(),
      );
      expect(await weights(await resumeTraining(second, {}, true))).toEqual(await weights(uninterrupted));
    });

    test("are not mentioned before the first save", async () => {
      const error = await diverged(temporaryFolder(), 3);
      expect(error).toMatchObject({ code: "E_DIVERGED", hint: expect.stringMatching(/properly scaled\.$/) });
    });
  });

  test("resume without a checkpoint folder is rejected", async () => {
    await expect(trained({ resume: true })).rejects.toMatchObject({ code: "E_OPTION" });
  });
});
