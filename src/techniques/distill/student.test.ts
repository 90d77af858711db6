import { describe, expect, test } from "vitest";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32, inMemory, int64 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { preprocessingKey } from "../../data/sidecars/preprocessing-spec.ts";
import { flatten, gelu, linear, network, relu, residual, sequential } from "../../learn/nn/index.ts";
import { train } from "../../learn/train/index.ts";
import { distill, studentText } from "./distill.ts";
import { distillation } from "./distillation.ts";

const layer = () => residual(sequential({ up: linear(6, 12), gelu: gelu(), down: linear(12, 6) }));
const teacher = (): Model =>
  network(
    { stem: linear(4, 6), layers: sequential({ 0: layer(), 1: layer(), 2: layer() }), head: linear(6, 3) },
    { input: ["batch", 4], seed: 3 },
  );
const inputs = Float32Array.from({ length: 40 * 4 }, (_, index) => Math.sin(index * 1.7));
const unlabelled = memory("waves", { input: float32([40, 4], inputs) });
/** Options of a training whose learning rate is too small to change a weight visibly. */
const still = { data: unlabelled, alpha: 1, epochs: 1, learningRate: 1e-12 };

async function weights(model: Model, name: string): Promise<readonly number[]> {
  return Array.from((await model.graph.value(name)?.tensor?.read())?.data ?? [], Number);
}

describe("distill with a student built from its teacher", () => {
  test("removes layers and keeps the teacher's weights in the others", async () => {
    const [student, original] = [teacher(), teacher()];
    const messages: string[] = [];
    const log = ({ id, text }: { readonly id: string; readonly text: string }) =>
      id === "student" && messages.push(text);
    const { changes } = await distill(student, { keepLayers: 2, ...still }, { log });
    expect(changes).toContainEqual({ at: "layers.1", what: "removed", decidedBy: "global" });
    for (const name of ["layers.0.up.weight", "layers.2.down.weight", "head.weight"]) {
      const before = await weights(original, name);
      expect(before.length).toBeGreaterThan(0);
      for (const [index, number] of (await weights(student, name)).entries())
        expect(number).toBeCloseTo(before[index] ?? 0, 5);
    }
    expect(await weights(student, "layers.1.up.weight")).toEqual([]);
    expect(messages).toEqual([
      "student: 6 layers (teacher: 8), 375 of 537 parameters (69.8 %), 1.50 kB of weights (teacher: 2.15 kB), 69.6 % of the teacher's MACs",
    ]);
  });

  test("removes a share of each layer's channels and lowers the loss against the teacher", async () => {
    const student = teacher();
    const { history } = await distill(student, { shrink: 0.5, ...still, epochs: 30, batch: 20, learningRate: 0.01 });
    expect(student.graph.value("layers.0.up.weight")?.tensor?.dims).toEqual([6, 3]);
    expect(history.at(-1)?.loss).toBeLessThan((history[0]?.loss ?? 0) / 2);
  });

  test("removes layers and channels of the model if the teacher is another network", async () => {
    const student = teacher();
    const other = network({ fc: linear(4, 3) }, { input: ["batch", 4], seed: 1 });
    await distill(student, { teacher: other, shrink: 0.5, keepLayers: ["layers.1"], ...still });
    expect(student.graph.value("layers.0.up.weight")).toBeUndefined();
    expect(student.graph.value("layers.1.up.weight")?.tensor?.dims).toEqual([6, 3]);
  });

  test("compares MACs per sample if the batch sizes of student and teacher differ", async () => {
    const modelOf = (batch: number | string, width: number): Model =>
      network({ fc: linear(4, width) }, { input: [batch, 4], seed: 1 });
    for (const [batch, other] of [
      ["batch", 1],
      [4, "batch"],
      [2, 8],
    ] as const)
      expect(await studentText(modelOf(batch, 3), modelOf(other, 6))).toMatch(/, 50\.0 % of the teacher's MACs$/);
  });

  test("restores the model if the training fails to start", async () => {
    const student = teacher();
    const unfit = memory("other", { other: float32([4, 2], new Float32Array(8)) });
    await expect(distill(student, { keepLayers: 1, ...still, data: unfit })).rejects.toMatchObject({ code: "E_DATA" });
    expect(student.graph.value("layers.1.up.weight")?.tensor?.dims).toEqual([12, 6]);
  });
});

describe("distill", () => {
  test("learns from the teacher alone if the samples have no labels, and logs this", async () => {
    const distillWith = async (options: { readonly alpha?: number }, data = unlabelled) => {
      const student = teacher();
      const messages: string[] = [];
      const log = ({ id, text }: { readonly id: string; readonly text: string }) =>
        id === "loss" && messages.push(text);
      const { history } = await distill(student, { keepLayers: 2, data, epochs: 2, ...options }, { log });
      return { said: messages, loss: history.at(-1)?.loss };
    };
    const byDefault = await distillWith({});
    expect(byDefault.said).toEqual([
      'loss: 1 * hinton(temperature=4), because "output" [batch, 3] scores classes (`loss` sets another); the training samples have no labels',
    ]);
    expect(byDefault.loss).toBe((await distillWith({ alpha: 1 })).loss);
    await expect(distillWith({ alpha: 0.5 })).rejects.toMatchObject({
      code: "E_DATA",
      message: 'The training samples have no "label".',
    });
    const classes = int64(
      [40],
      Array.from({ length: 40 }, (_, index) => index % 3),
    );
    const labelled = memory("waves", { input: float32([40, 4], inputs), label: classes });
    const both = await distillWith({}, labelled);
    expect(both.said).toEqual([
      'loss: 0.7 * hinton(temperature=4) + 0.3 * cross-entropy(label=label), because "output" [batch, 3] scores classes (`loss` sets another)',
    ]);
    expect(both.loss).toBe((await distillWith({ alpha: 0.7 }, labelled)).loss);
    expect(both.loss).not.toBe(byDefault.loss);
  });

  test("passes the same augmented samples to student and teacher", async () => {
    const net = () => network({ flat: flatten(), fc: linear(48, 3) }, { input: ["batch", 3, 4, 4], seed: 2 });
    const pixels = Float32Array.from({ length: 20 * 48 }, (_, index) => Math.sin(index * 1.7));
    const images = memory("pixels", { input: float32([20, 3, 4, 4], pixels) });
    const options = { data: images, augment: "crop=1 flip", epochs: 3, batch: 10, learningRate: 1e-9 };
    const same = await train(net(), { ...options, loss: distillation({ teacher: net(), alpha: 1 }) });
    for (const { loss } of same.history) expect(Math.abs(loss)).toBeLessThan(1e-6);
  });
});

describe("the default loss of distill", () => {
  const answering = (outputs: string, nodes: string): Model =>
    parseModel(`opset 17
graph (input: float32[batch, 4]) -> (${outputs}) {
  a.weight: float32[4, 5] parameter = random(seed 5)
  b.weight: float32[4, 1] parameter = random(seed 6)
  ${nodes}
}`);
  const both = "a = MatMul (input, a.weight)\n  b = MatMul (input, b.weight)";
  const distillNoisy = async (student: Model, noise = 0.1) => {
    const other = student.clone();
    const messages: string[] = [];
    for (const name of ["a.weight", "b.weight"]) {
      const value = other.graph.value(name);
      const dense = await value?.tensor?.read();
      if (value !== undefined && dense?.type === "float32")
        value.tensor = inMemory(
          float32(
            dense.dims,
            dense.data.map((x, index) => x + noise * Math.sin(index)),
          ),
        );
    }
    const log = ({ id, text }: { readonly id: string; readonly text: string }) =>
      (id === "loss" || id === "matched") && messages.push(text);
    const options = { teacher: other, data: unlabelled, epochs: 40, batch: 20, learningRate: 0.01 };
    const { history, changes } = await distill(student, options, { log });
    expect(history.at(-1)?.loss).toBeLessThan((history[0]?.loss ?? 0) / 4);
    return { said: messages, changed: changes.map(({ at }) => at) };
  };

  test("is `embedding` for embeddings", async () => {
    const { said } = await distillNoisy(
      answering("sentence_embedding: float32[batch, 5]", both.replace("a =", "sentence_embedding =")),
    );
    expect(said).toEqual([
      'loss: embedding, because "sentence_embedding" [batch, 5] is an embedding (`loss` sets another)',
      expect.stringContaining("sentence_embedding"),
    ]);
  });

  test("is `output-mse` on all float outputs of a regression model", async () => {
    const nodes = `${both}\n  most = ArgMax (a) {axis=1}`;
    const model = answering("b: float32[batch, 1], a: float32[batch, 5], most: int64[batch, 1]", nodes);
    const { said, changed } = await distillNoisy(model);
    expect(said[0]).toContain('loss: output-mse, because "b" [batch, 1] does not hold class scores');
    expect(said.slice(1).map((text) => text.split(" ")[1])).toEqual(["b", "a"]);
    expect(changed).toEqual(["a.weight", "b.weight"]);
  });

  test("is rejected if all outputs are integers", async () => {
    const model = answering("most: int64[batch, 1]", `${both}\n  most = ArgMax (a) {axis=1}`);
    await expect(distillNoisy(model)).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: 'The model\'s output "most" [batch, 1] is int64: only floats have a gradient.',
    });
  });

  test("rejects a temperature for outputs that are not class scores", async () => {
    const model = answering("sentence_embedding: float32[batch, 5]", both.replace("a =", "sentence_embedding ="));
    const other = network({ fc: linear(4, 5) }, { input: ["batch", 4], seed: 1 });
    await expect(distill(model, { teacher: other, temperature: 2, ...still })).rejects.toMatchObject({
      code: "E_OPTION",
      message:
        '`temperature` and `alpha` are settings of a loss over class scores, and "sentence_embedding" [batch, 5] is an embedding.',
      hint: 'Its loss is "embedding"; `loss` sets another.',
    });
  });
});

describe("distill in a dry run", () => {
  test("logs the student, the loss and the number of steps without training", async () => {
    const student = teacher();
    const messages: string[] = [];
    const log = ({ id, text }: { readonly id: string; readonly text: string }) =>
      ["student", "loss", "plan", "epoch"].includes(id) && messages.push(text);
    const before = await weights(student, "head.weight");
    const options = { keepLayers: 2, data: unlabelled, epochs: 3, batch: 10 };
    const { changes, history } = await distill(student, options, { log, dryRun: true });
    expect(history).toEqual([]);
    expect(changes.map(({ at }) => at)).toEqual(expect.arrayContaining(["layers.1", "head.weight"]));
    expect(await weights(student, "head.weight")).toEqual(before);
    expect(messages).toEqual([
      expect.stringMatching(/^student: 6 layers/),
      expect.stringMatching(/^loss: 1 \* hinton/),
      "3 epochs of 4 steps over 40 samples (batches of 10), adam at 0.001, loss distillation",
    ]);
  });
});

test("warns if the teacher's file states other preprocessing", async () => {
  const warned = async (own: string, other: string): Promise<readonly string[]> => {
    const [student, taught] = [teacher(), network({ fc: linear(4, 3) }, { input: ["batch", 4], seed: 1 })];
    student.header.metadata.set(preprocessingKey, own);
    taught.header.metadata.set(preprocessingKey, other);
    const messages: string[] = [];
    await distill(
      student,
      { teacher: taught, ...still },
      { log: ({ level, text }) => level === "warning" && messages.push(text) },
    );
    return messages;
  };
  expect(await warned("imagenet", "unit")).toEqual([
    `the teacher's file states the preprocessing "unit", the student's "imagenet": both get the student's samples`,
  ]);
  expect(await warned("imagenet", "imagenet")).toEqual([]);
});

describe("distill rejects", () => {
  test("a teacher with other classes before it trains", async () => {
    const student = network({ fc: linear(4, 5) }, { input: ["batch", 4], seed: 1 });
    await expect(distill.checkReference?.(student, teacher(), {})).rejects.toMatchObject({
      code: "E_SHAPE_MISMATCH",
      message: "The student scores 5 classes, the teacher 3.",
    });
    await expect(distill.checkReference?.(student, teacher(), { loss: "output-mse" })).resolves.toBeUndefined();
  });

  test.each([1e-30, 1e30])("a temperature of %s, whose square float32 cannot represent", async (temperature) => {
    await expect(distill(teacher(), { keepLayers: 2, ...still, temperature })).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringContaining("must lie between 0.01 and 100"),
    });
  });

  test("a teacher that equals the student, also as a copy", async () => {
    const refused = { code: "E_OPTION", message: expect.stringContaining("are the same model") };
    const [student, copy] = [teacher(), teacher()];
    await expect(distill(student, { teacher: student, ...still })).rejects.toMatchObject(refused);
    await expect(distill(student, { teacher: copy, ...still })).rejects.toMatchObject(refused);
    await expect(distill(student, { keepLayers: 3, ...still })).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: "`keepLayers`: no layer can be removed: all repeated layers are kept.",
    });
  });

  test("nothing if a student has fewer layers with the same shared weight", async () => {
    const net = parseModel(`opset 18
graph (input: float32[batch, 4]) -> (logits) {
  u: float32[4, 4] = random(seed 1)
  a0 = MatMul(input, u)
  r0 = Relu(a0)
  h1 = Add(r0, input)
  a1 = MatMul(h1, u)
  r1 = Relu(a1)
  h2 = Add(r1, h1)
  a2 = MatMul(h2, u)
  r2 = Relu(a2)
  logits = Add(r2, h2)
}`);
    const [...before] = net.graph.nodes();
    await distill(net, { keepLayers: 2, ...still });
    expect([...net.graph.nodes()].length).toBe(before.length - 3);
  });

  test("a network without removable channels, with the reasons", async () => {
    const net = network({ fc: linear(4, 3), relu: relu() }, { input: ["batch", 4], seed: 1 });
    await expect(distill(net, { shrink: 0.5, ...still })).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: expect.stringMatching(
        /^`shrink`: no channels can be removed: fc: the channels cannot be removed: .*output/,
      ),
    });
  });

  test("options with neither a teacher nor a way to build a student", async () => {
    await expect(distill(teacher(), still)).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringContaining("`teacher` is needed, or `shrink` or `keepLayers`"),
    });
  });
});

test("counts bytes of parameters but not of constants", async () => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 4]) -> (y: float32[batch, 4]) {
  fc.weight: float32[4, 4] parameter = random(seed 1)
  mask: float32[1, 4] buffer = zeros
  h = MatMul "fc" (x, fc.weight)
  y = Add(h, mask)
}`);
  expect(await studentText(model, model)).toContain(
    "16 of 16 parameters (100.0 %), 64 bytes of weights (teacher: 64 bytes)",
  );
});

describe("callbacks of distill", () => {
  const plan = { keepLayers: 2, data: unlabelled, alpha: 1, batch: 10, epochs: 3, learningRate: 1e-12 };

  test("are called after each step and each epoch of the student", async () => {
    const steps: number[] = [];
    const epochs: (readonly [number, number])[] = [];
    await distill(teacher(), {
      ...plan,
      onStep: ({ step, loss }) => void (Number.isFinite(loss) && steps.push(step)),
      onEpoch: ({ epoch, steps: done }) => void epochs.push([epoch, done]),
    });
    expect(steps).toEqual(Array.from({ length: 12 }, (_, index) => index + 1));
    expect(epochs.map(([epoch]) => epoch)).toEqual([1, 2, 3]);
  });

  test("end the distillation if they return stop", async () => {
    const { history } = await distill(teacher(), {
      ...plan,
      onEpoch: ({ epoch }) => (epoch === 2 ? "stop" : undefined),
    });
    expect(history).toHaveLength(2);
    const steps: number[] = [];
    await distill(teacher(), {
      ...plan,
      onStep: ({ step }) => {
        steps.push(step);
        return step === 5 ? "stop" : undefined;
      },
    });
    expect(steps).toEqual([1, 2, 3, 4, 5]);
  });
});
