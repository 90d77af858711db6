import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { emitInto } from "../../core/graph/emit.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { open, save } from "../../core/onnx/index.ts";
import { float32, inMemory, int64 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { flatten, linear, network } from "../../learn/nn/index.ts";
import { createStep, train } from "../../learn/train/index.ts";
import { distill } from "./distill.ts";
import { distillation } from "./distillation.ts";

const pixels = (count: number) => Float32Array.from({ length: count * 6 }, (_, index) => Math.sin(index * 1.7));
const data = memory("waves", {
  input: float32([40, 6], pixels(40)),
  label: int64(
    [40],
    Array.from({ length: 40 }, (_, index) => index % 3),
  ),
});

describe("train with a distillation loss", () => {
  const teacher = network({ fc: linear(6, 3) }, { input: ["batch", 6], seed: 2 });
  const student = () => network({ fc: linear(6, 3) }, { input: ["batch", 6], seed: 3 });

  it("makes a student of the same architecture equal its teacher if alpha is 1", async () => {
    const model = student();
    const unlabelled = memory("waves", { input: float32([40, 6], pixels(40)) });
    const loss = distillation({ teacher, temperature: 2, alpha: 1 });
    const { history } = await train(model, { data: unlabelled, loss, epochs: 200, batch: 20, learningRate: 0.05 });
    expect(history.at(-1)?.loss).toBeLessThan(1e-4);
  });

  it("does not train the teacher or add it to the student", async () => {
    const before = await teacher.graph.value("fc.weight")?.tensor?.read();
    const model = student();
    await train(model, { data, loss: distillation({ teacher }), epochs: 1, batch: 20 });
    expect(await teacher.graph.value("fc.weight")?.tensor?.read()).toEqual(before);
    expect([...model.graph.nodes()]).toHaveLength(1);
  });

  const scores = (names: string, { input = "x", type = "float32" } = {}) =>
    parseModel(`opset 17
graph (${input}: ${type}[batch, 6]) -> (${names}) {
  a.weight: ${type}[6, 3] parameter = random(seed 5)
  b.weight: ${type}[6, 3] parameter = random(seed 6)
  a = MatMul (${input}, a.weight)
  b = MatMul (${input}, b.weight)
}`);
  const waves = memory("waves", { x: float32([20, 6], pixels(20)) });
  const lossAgainst = async (other: Model, student = scores("a, b")) => {
    const loss = distillation({ teacher: other, alpha: 1 });
    return (await train(student, { data: waves, loss, epochs: 1, batch: 10, learningRate: 1e-9 })).history[0]?.loss;
  };

  it("compares outputs of the same name, or the first outputs if no name matches", async () => {
    expect(await lossAgainst(scores("b, a"))).toBeCloseTo(0, 5);
    expect(await lossAgainst(scores("b"))).toBeGreaterThan(0.01);
  });

  it.each(["float16", "float64"])("converts the student's samples to a teacher in %s", async (type) => {
    expect(await lossAgainst(scores("a, b", { type }))).toBeCloseTo(0, 5);
  });

  it.each([
    ["dropout", "hidden = Dropout (x, half, yes)"],
    ["batch normalization", "hidden, m2, v2 = BatchNormalization (x, scale, shift, mean, var) {training_mode=1}"],
  ])("runs a teacher in inference mode if its file sets training mode for %s", async (_, node) => {
    const trained = parseModel(`opset 17
graph (x: float32[batch, 6]) -> (a: float32[batch, 3]) {
  a.weight: float32[6, 3] parameter = random(seed 5)
  half: float32[] = [0.5]
  yes: bool[] = [true]
  scale: float32[6] = [1, 1, 1, 1, 1, 1]
  shift: float32[6] = [0, 0, 0, 0, 0, 0]
  mean: float32[6] = [0, 0, 0, 0, 0, 0]
  var: float32[6] = [1, 1, 1, 1, 1, 1]
  ${node}
  a = MatMul (hidden, a.weight)
}`);
    expect(await lossAgainst(trained)).toBeLessThan(1e-4);
  });

  it("feeds a teacher input of another name only if the student has a single input", async () => {
    expect(await lossAgainst(scores("a, b", { input: "pixels" }))).toBeCloseTo(0, 5);
    const two = parseModel(`opset 17
graph (x: float32[batch, 6], other: float32[batch, 6]) -> (a: float32[batch, 3]) {
  a.weight: float32[6, 3] parameter = random(seed 5)
  sum = Add (x, other)
  a = MatMul (sum, a.weight)
}`);
    const loss = distillation({ teacher: scores("a, b", { input: "pixels" }), alpha: 1 });
    const both = memory("waves", { x: float32([20, 6], pixels(20)), other: float32([20, 6], pixels(20)) });
    await expect(train(two, { data: both, loss, epochs: 1 })).rejects.toMatchObject({
      code: "E_NAME",
      message: `The teacher has an input "pixels", and the student's inputs are "x", "other".`,
    });
  });

  it.each(["hinton", "cross-entropy"])(
    "rejects %s over a single output, because its value is always 0",
    async (loss) => {
      const createModel = () => network({ fc: linear(6, 1) }, { input: ["batch", 6], seed: 2 });
      const trained = train(createModel(), { data, loss: distillation({ teacher: createModel(), loss }), epochs: 1 });
      await expect(trained).rejects.toMatchObject({
        code: "E_SHAPE_MISMATCH",
        hint: expect.stringContaining("output-mse"),
      });
    },
  );

  it("rejects labels that are not class probabilities", async () => {
    const numbers = memory("waves", { input: float32([40, 6], pixels(40)), label: float32([40, 3], pixels(20)) });
    await expect(distill(student(), { teacher, data: numbers })).rejects.toMatchObject({
      code: "E_DATA",
      message: expect.stringMatching(/^"label" holds .*expected probabilities/),
    });
  });

  it("reshapes inputs if the teacher's dimensions hold the same number of elements", async () => {
    const square = network({ flat: flatten(), fc: linear(6, 3) }, { input: ["batch", 2, 3], seed: 2 });
    const [flatHistory, squareHistory] = await Promise.all(
      [teacher, square].map((teacherModel) =>
        train(student(), { data, loss: distillation({ teacher: teacherModel }), epochs: 2 }, { seed: 4 }),
      ),
    );
    expect(squareHistory?.history[1]?.loss).toBeCloseTo(flatHistory?.history[1]?.loss ?? 0, 5);
  });

  it("rejects each teacher in channels-last layout for a channels-first student", async () => {
    const images = (dims: readonly number[]): Model =>
      network({ flat: flatten(), fc: linear(12, 3) }, { input: ["batch", ...dims], seed: 2 });
    const samples = memory("waves", {
      input: float32([20, 3, 2, 2], pixels(40)),
      label: int64([20], Array(20).fill(1)),
    });
    const distillWith = (teacher: readonly Model[]) =>
      train(images([3, 2, 2]), { data: samples, loss: distillation({ teacher }), epochs: 1 });
    const sentence = 'The teacher\'s input "input" [20, 2, 2, 3] does not fit the student\'s "input" [20, 3, 2, 2].';
    const last = images([2, 2, 3]);
    await expect(distillWith([last])).rejects.toMatchObject({ code: "E_SHAPE_MISMATCH", message: sentence });
    await expect(distillWith([images([3, 2, 2]), last])).rejects.toMatchObject({
      code: "E_SHAPE_MISMATCH",
      message: sentence,
    });
  });

  it("feeds an empty cache to a teacher layer that the student lacks", async () => {
    const cached = (layers: readonly number[]): Model =>
      parseModel(`opset 18
graph (x: float32[N, 2, 6], ${layers.map((index) => `past.${index}: float32[N, past, 6]`).join(", ")}) -> (y: float32[N, "past + 2", 3]) {
  w: float32[6, 3] parameter = random(seed 1)
  all = Concat(${layers.map((index) => `past.${index}`).join(", ")}, x) {axis=1}
  y = MatMul(all, w)
}`);
    const samples = { x: float32([4, 2, 6], pixels(8).subarray(0, 48)), "past.0": float32([4, 0, 6], []) };
    const loss = distillation({ teacher: cached([0, 1]), alpha: 1 });
    const step = await createStep(cached([0]), samples, { loss });
    expect(await step.run(samples)).toBeCloseTo(0, 6);
    await step.release();
  });

  it("learns equally from scores, probabilities and log-probabilities", async () => {
    const ending = (model: Model, op: "Softmax" | "LogSoftmax"): Model => {
      const ended = model.clone();
      const [scores] = ended.graph.outputs;
      if (scores === undefined) throw new Error("the network has no output");
      ended.graph.setOutputs([emitInto(ended)[op]([scores], { axis: -1 })]);
      return ended;
    };
    const historyOf = async (learns: Model, teaches: Model): Promise<number[]> => {
      const loss = distillation({ teacher: teaches, temperature: 3 });
      const { history } = await train(learns, { data, loss, epochs: 3, batch: 20, learningRate: 0.05 }, { seed: 4 });
      return history.map((epoch) => epoch.loss);
    };
    const expected = await historyOf(student(), teacher);
    for (const op of ["Softmax", "LogSoftmax"] as const) {
      const history = await historyOf(ending(student(), op), ending(teacher, op));
      for (const [epoch, loss] of expected.entries()) expect(history[epoch]).toBeCloseTo(loss, 5);
    }
  });

  it("rejects a teacher with another number of classes", async () => {
    const other = network({ fc: linear(6, 4) }, { input: ["batch", 6], seed: 2 });
    await expect(train(student(), { data, loss: distillation({ teacher: other }), epochs: 1 })).rejects.toMatchObject({
      code: "E_SHAPE_MISMATCH",
    });
  });

  it("names the teacher in the advice if the loss is not finite", async () => {
    const overflowing = scores("a, b");
    for (const value of overflowing.graph.values())
      if (value.tensor !== undefined)
        value.tensor = inMemory(float32(value.tensor.dims, new Float32Array(18).fill(3e38)));
    const loss = distillation({ teacher: overflowing, alpha: 1 });
    await expect(train(scores("a, b"), { data: waves, loss, epochs: 1, batch: 10 })).rejects.toMatchObject({
      code: "E_DIVERGED",
      hint: expect.stringContaining("Check that the outputs of the teacher are finite, too."),
    });
    const steep = { data: waves, epochs: 9, batch: 10, optimizer: "sgd", learningRate: 1e30 } as const;
    const diverged = train(scores("a, b"), {
      ...steep,
      loss: distillation({ teacher: scores("b"), loss: "output-mse(student=a, teacher=b)" }),
    });
    await expect(diverged).rejects.toMatchObject({ code: "E_DIVERGED" });
  });

  it("does not resume with a changed teacher under the same name", async () => {
    const folder = temporaryFolder();
    const path = `${folder}/teacher.onnx`;
    await save(scores("b"), path);
    const trainFor = async (epochs: number, resume: boolean) => {
      const loss = distillation({ teacher: await open(path), alpha: 1 });
      return train(scores("a, b"), { data: waves, loss, epochs, batch: 10, checkpoint: `${folder}/kept`, resume });
    };
    await trainFor(1, false);
    expect((await trainFor(2, true)).history).toHaveLength(2);
    await save(scores("a"), path);
    await expect(trainFor(3, true)).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringMatching(/was trained with `teacher` teacher\.onnx, \w{8}, not teacher\.onnx, \w{8}\.$/),
    });
  });

  it.each([0, -1, Number.NaN, 1e-30, 1e20])("rejects a temperature of %s", (temperature) => {
    expect(() => distillation({ teacher, temperature })).toThrow("between 0.01 and 100");
  });

  it.each([-0.1, 1.1])("rejects alpha = %s", (alpha) => {
    expect(() => distillation({ teacher, alpha })).toThrow("between 0 and 1");
  });
});

describe("distill", () => {
  it("accepts a teacher as a model or as a path that the context opens", async () => {
    const teacher = network({ fc: linear(6, 3) }, { input: ["batch", 6], seed: 2 });
    const [passed, opened] = [1, 2].map(() => network({ fc: linear(6, 3) }, { input: ["batch", 6], seed: 3 }));
    if (passed === undefined || opened === undefined) return;
    await distill(passed, { teacher, data, epochs: 1 });
    await distill(opened, { teacher: "teacher.onnx", data, epochs: 1 }, { open: () => Promise.resolve(teacher) });
    const weights = async (model: typeof passed) => (await model.graph.value("fc.weight")?.tensor?.read())?.data;
    expect(await weights(opened)).toEqual(await weights(passed));
  });

  it("rejects a teacher that is neither a model nor a path", async () => {
    const student = network({ fc: linear(6, 3) }, { input: ["batch", 6], seed: 3 });
    await expect(distill(student, { ...JSON.parse(`{"teacher":5}`), data })).rejects.toMatchObject({
      code: "E_OPTION",
    });
  });
});
