/** Tests losses that read intermediate values of student and teacher. */
import { describe, expect, test } from "vitest";
import { stopAfter } from "../../../test/learn/train/corners.ts";
import { temporaryFolder } from "../../../test/temporary.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { linear, network, relu } from "../nn/index.ts";
import { type Loss, train } from "./index.ts";
import { outputOf, scaledSum } from "./loss.ts";

const net = (width: number, seed: number): Model =>
  network({ fc1: linear(6, width), relu: relu(), fc2: linear(width, 3) }, { input: ["batch", 6], seed });
const teacher = net(8, 1);
const numbers = (count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, index) => Math.sin(index * 1.7));
const data = memory("waves", { input: float32([40, 6], numbers(240)) });

/** Mean squared distance between the hidden layers of teacher and student. */
const hint: Loss = {
  name: "hint",
  async build(scope) {
    const { emit } = scope;
    const teacherHidden = scope.teacher(teacher).value("relu.output");
    const error = emit.Sub([scope.value("relu.output"), teacherHidden]);
    return { value: scaledSum(emit, emit.Mul([error, error]), 1 / (20 * 8)), feeds: () => ({}) };
  },
};

async function weightsOf(model: Model): Promise<unknown> {
  const stored = [...model.graph.values()].filter(({ tensor }) => tensor !== undefined);
  return Promise.all(stored.map(async ({ name, tensor }) => [name, (await tensor?.read())?.data]));
}

describe("a loss over inner values", () => {
  const settings = { data, loss: hint, epochs: 30, batch: 20, learningRate: 0.03 };

  test("trains the student without changing its graph", async () => {
    const model = net(8, 2);
    const before = [...model.graph.values()].map(({ name }) => name);
    const { history, changes } = await train(model, settings);
    expect(history.at(-1)?.loss).toBeLessThan(0.3 * (history[0]?.loss ?? 0));
    expect([...model.graph.values()].map(({ name }) => name)).toEqual(before);
    expect(changes.map(({ at }) => at)).toEqual(["fc1.weight", "fc1.bias"]);
  });

  test("resumes from a checkpoint with the same bits", async () => {
    const options = { ...settings, epochs: 4, validation: data };
    const [uninterrupted, continued] = [net(8, 2), net(8, 2)];
    await train(uninterrupted, { ...options, checkpoint: temporaryFolder() });
    const checkpoint = temporaryFolder();
    await expect(train(net(8, 2), { ...options, checkpoint }, stopAfter(3))).rejects.toMatchObject({
      code: "E_STOPPED",
    });
    await train(continued, { ...options, checkpoint, resume: true });
    expect(await weightsOf(continued)).toEqual(await weightsOf(uninterrupted));
  });

  test("rejects a missing value and lists similar names", async () => {
    const wrong: Loss = { name: "wrong", build: (scope) => ({ value: scope.value("fc"), feeds: () => ({}) }) };
    await expect(train(net(8, 2), { ...settings, loss: wrong })).rejects.toMatchObject({
      code: "E_NAME",
      message: 'The model computes no value "fc".',
      hint: expect.stringContaining("fc1"),
    });
  });
});

test("accepts a teacher with subgraphs and names of the student", async () => {
  const branching = parseModel(`opset 18
graph (input: float32[batch, 6]) -> (y: float32[batch, 3]) {
  w: float32[6, 3] parameter = ones
  zero: float32[] = 0
  sum = ReduceSumSquare (input) {keepdims=0}
  positive = Greater (sum, zero)
  y = If "choice" (positive) {then_branch=graph () -> (output) {
    fc1.output = MatMul (input, w)
    output = Relu (fc1.output)
  }, else_branch=graph () -> (other) {
    fc2.output = MatMul (input, w)
    other = Neg (fc2.output)
  }}
}`);
  const loss: Loss = {
    name: "answers",
    async build(scope) {
      const { emit } = scope;
      const error = emit.Sub([outputOf(scope), outputOf(scope.teacher(branching))]);
      return { value: scaledSum(emit, emit.Mul([error, error]), 1 / 60), feeds: () => ({}) };
    },
  };
  const { history } = await train(net(8, 1), { data, loss, epochs: 60, batch: 20, learningRate: 0.03 });
  expect(history.at(-1)?.loss).toBeLessThan(0.5 * (history[0]?.loss ?? 0));
});
