import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type GoldenTensor, golden, goldenNumbers } from "../../../../test/shared.ts";
import { emitInto } from "../../../core/graph/emit.ts";
import type { Model } from "../../../core/graph/model.ts";
import { parameter } from "../../../core/graph/role.ts";
import { parseModel } from "../../../core/graph/text.ts";
import { float32, inMemory, int64 } from "../../../core/tensor/dense.ts";
import type { Batch } from "../../../core/tensor/types.ts";
import { createStep } from "../../../learn/train/index.ts";
import { distillation } from "../distillation.ts";
import { distillationLosses } from "./losses.ts";

interface Case {
  readonly loss: string;
  readonly name: string;
  readonly options: Readonly<Record<string, number>>;
  readonly inputs: Readonly<Record<string, GoldenTensor>>;
  readonly value: number;
  readonly gradients: Readonly<Record<string, GoldenTensor>>;
}

/** Returns a network that outputs stored tensors and ignores its input. */
function answering(tensors: ReadonlyMap<string, GoldenTensor>): Model {
  const model = parseModel(`opset 18
graph (nothing: float32[N]) -> (zero: float32[]) {
  zero = ReduceSum(nothing) {keepdims=0}
}`);
  const { graph } = model;
  const zero = graph.value("zero");
  if (zero === undefined) throw new Error("the network has no zero");
  const emit = emitInto(model);
  const outputs = [...tensors].map(([name, { shape, data }]) => {
    const stored = graph.addTensor(`${name}.stored`, inMemory(float32(shape, data.map(Number))), parameter);
    return emit.named(name).Add([stored, zero]);
  });
  graph.setOutputs(outputs);
  return model;
}

const tensorsOf = (inputs: Case["inputs"], whose: string): ReadonlyMap<string, GoldenTensor> =>
  new Map(Object.entries(inputs).filter(([name]) => name.startsWith(whose)));

/** Returns value and gradients of a loss, given as text, on stored outputs of student and teacher. */
async function lossOf(loss: string, inputs: Case["inputs"], teachers: readonly Model[]) {
  const student = tensorsOf(inputs, "student");
  const samples = [...student.values()][0]?.shape[0] ?? 1;
  const { mask, labels } = inputs;
  const batch: Batch = {
    nothing: float32([samples], new Float32Array(samples)),
    ...(mask === undefined ? {} : { attention_mask: int64(mask.shape, mask.data.map(Number)) }),
    ...(labels === undefined ? {} : { label: int64(labels.shape, labels.data.map(Number)) }),
  };
  const parameters = [...student.keys()].map((name) => `${name}.stored`);
  const step = await createStep(answering(student), batch, {
    loss: distillation({ teacher: teachers, loss }),
    parameters,
  });
  try {
    const gradients = new Map<string, Float64Array>();
    const value = await step.run(batch);
    for (const { name, gradient } of step.parameters)
      gradients.set(name.replace(/\.stored$/, ""), Float64Array.from(gradient));
    return { value, gradients };
  } finally {
    await step.release();
  }
}

/** The text of the loss for each golden case, with weight 1 instead of the published weight. */
const texts: Readonly<Record<string, (options: Case["options"]) => string>> = {
  hinton: ({ T = 1, alpha = 0, beta = 1 }) =>
    `${beta} * hinton(temperature=${T})${alpha > 0 ? ` + ${alpha} * cross-entropy` : ""}`,
  "embedding-mse-cosine": ({ mse, cosine }) => `embedding(mse=${mse}, cosine=${cosine})`,
  "several-teachers": ({ T }) => `hinton(temperature=${T})`,
};

/** Adds the teacher's values, which have the same names with "teacher" instead of "student". */
const withTeacher = (text: string): string =>
  text.replaceAll(
    /student=([^,)]*)/g,
    (_, names: string) => `student=${names}, teacher=${names.replaceAll("student", "teacher")}`,
  );

interface Golden {
  readonly cases: readonly Case[];
}

const published = (golden<Golden>("distillation")?.cases ?? []).flatMap((goldenCase) => {
  const text = texts[goldenCase.loss]?.(goldenCase.options);
  return text === undefined ? [] : [{ ...goldenCase, text }];
});
const customGolden = JSON.parse(
  readFileSync(new URL("../../../../test/golden/distillation.generated.json", import.meta.url), "utf8"),
) as Golden;
/** Mean over labels of KL(σ(t) ‖ σ(s)) = (σ(t) − σ(s)) (t − s) for t = −s; its gradient is (σ(s) − σ(t)) / labels. */
const shareDifference = Math.tanh(1 / 2);
const row = (...data: readonly number[]): GoldenTensor => ({ dtype: "float64", shape: [1, data.length], data });
const independentLabels: Case = {
  loss: "label-bce",
  name: "of labels with equal and opposite logits",
  options: {},
  value: shareDifference / 2,
  inputs: { student: row(0, 1), teacher: row(0, -1) },
  gradients: { student: row(0, shareDifference / 2) },
};
const all = [
  { ...independentLabels, text: "label-bce" },
  ...published.filter(({ text }) => text !== ""),
  ...customGolden.cases.map((goldenCase) => ({ ...goldenCase, text: goldenCase.loss })),
];

describe("golden values of PyTorch", () => {
  test.each(all.map((goldenCase) => [`${goldenCase.loss}: ${goldenCase.name}`, goldenCase] as const))(
    "%s",
    async (_, goldenCase) => {
      const teacherTensors = tensorsOf(goldenCase.inputs, "teacher");
      const parted = [...teacherTensors.keys()].every((name) => /_\d$/.test(name));
      const teachers = parted
        ? [...teacherTensors].map((entry) => answering(new Map([entry])))
        : [answering(teacherTensors)];
      const { value, gradients } = await lossOf(withTeacher(goldenCase.text), goldenCase.inputs, teachers);
      expect(Math.abs(value - goldenCase.value)).toBeLessThanOrEqual(1e-5 * Math.abs(goldenCase.value));
      expect([...gradients.keys()].sort()).toEqual(Object.keys(goldenCase.gradients).sort());
      const expected = Object.entries(goldenCase.gradients).map(
        ([name, tensor]) => [name, goldenNumbers(tensor)] as const,
      );
      const largest = Math.max(...expected.flatMap(([, numbers]) => [...numbers].map(Math.abs)));
      for (const [name, numbers] of expected)
        for (const [index, number] of numbers.entries())
          expect(Math.abs(number - (gradients.get(name)?.[index] ?? Number.NaN))).toBeLessThanOrEqual(1e-5 * largest);
    },
  );

  test.skipIf(published.length === 0)("cover every loss", () => {
    const testedTexts = all.map(({ text }) => text).join("\n");
    for (const { name } of distillationLosses) expect(testedTexts).toMatch(new RegExp(`(^|[ *])${name}(\\W|$)`, "m"));
  });

  test("belong to losses whose formulas are in the guide", () => {
    const guide = readFileSync(new URL("../../../../docs/distillation.md", import.meta.url), "utf8");
    for (const { name } of distillationLosses) expect(guide).toContain(`\n| \`${name}\` | `);
  });
});

const numbers = (shape: readonly number[], seed = 0): GoldenTensor => {
  const count = shape.reduce((product, size) => product * size, 1);
  return { dtype: "float64", shape, data: Array.from({ length: count }, (_, index) => Math.sin(1.7 * index + seed)) };
};
const between = (text: string, student: readonly number[], teacher: readonly number[], more: Case["inputs"] = {}) => {
  const inputs = { student: numbers(student), teacher: numbers(teacher, 1), ...more };
  return lossOf(text, inputs, [answering(tensorsOf(inputs, "teacher"))]);
};
const named = "student=student, teacher=teacher";

describe("a loss rejects", () => {
  test.each([
    ["other classes", "hinton", [3, 4], [3, 5], "The student has 3 × 4 logits for a batch, the teacher 3 × 5."],
    ["other shapes", `output-mse(${named})`, [2, 3, 4], [2, 5, 4], "have different shapes"],
    [
      "other tokens of vectors",
      `embedding(${named})`,
      [2, 3, 4],
      [2, 5, 4],
      "[2, 5, 4] have different numbers of tokens",
    ],
    ["other samples", `output-mse(${named})`, [2, 3], [4, 3], "[4, 3] differ along their first axis, the samples"],
    [
      "an unknown value",
      "output-mse(student=none, teacher=teacher)",
      [2, 3],
      [2, 3],
      'the student has no value, layer or block "none"',
    ],
  ] as const)("%s: %s", async (_, text, student, teacher, message) => {
    await expect(between(text, student, teacher)).rejects.toThrow(message);
  });

  test.each([
    ["hinton(temperature=0)", "temperature must lie between 0.01 and 100: beyond, the gradient is lost in float32."],
    ["hinton(temperature=1e20)", "temperature must lie between 0.01 and 100"],
    ["output-mse(width=3)", 'The loss output-mse has no setting "width": it has student, teacher.'],
    ["hinton + output-mze", /^"output-mze" is not a loss\.$/],
    ["hints", /"hints" is not a loss; the losses are cross-entropy, .*, hinton, .*, embedding\./],
  ])("%s", (loss, message) => {
    expect(() => distillation({ teacher: [], loss })).toThrow(message);
  });

  test("a separate temperature if the loss is text", () => {
    expect(() => distillation({ teacher: [], loss: "hinton", temperature: 2 })).toThrow("are settings of the default");
  });
});

describe("losses if the mask excludes all tokens", () => {
  const mask = { dtype: "int64", shape: [2, 3], data: [0, 0, 0, 0, 0, 0] };
  test.each([
    ["hinton", [2, 3, 4]],
    [`output-mse(${named})`, [2, 3, 4]],
    [`embedding(${named})`, [2, 3, 4]],
  ] as const)("%s is finite and has zero gradients", async (text, shape) => {
    const { value, gradients } = await between(text, shape, shape, { mask });
    expect(value).toSatisfy(Number.isFinite);
    for (const gradient of gradients.get("student") ?? []) expect(Math.abs(gradient)).toBe(0);
  });
});

test("output-mse is the mean of the relative noise of the parts if an output has several", async () => {
  const detector = (boxes: readonly number[], scores: readonly number[]) =>
    parseModel(`opset 18
graph (nothing: float32[N, 1, 1]) -> (y: float32[N, 3, 2]) {
  boxes: float32[1, 2, 2] parameter = ${JSON.stringify(boxes)}
  scores: float32[1, 1, 2] parameter = ${JSON.stringify(scores)}
  b = Add(boxes, nothing)
  s = Add(scores, nothing)
  y = Concat(b, s) {axis=1}
}`);
  const [teacher, student] = [detector([300, 400, 0, 0], [0.6, 0.8]), detector([300, 450, 0, 0], [0.6, 0.3])];
  const batch = { nothing: float32([1, 1, 1], [0]) };
  const loss = distillation({ teacher, loss: "output-mse" });
  const step = await createStep(student, batch, { loss, parameters: ["boxes", "scores"] });
  try {
    // (50² / 500² + 0.5² / 1²) / 2
    expect(await step.run(batch)).toBeCloseTo((0.01 + 0.25) / 2, 5);
  } finally {
    await step.release();
  }
});
