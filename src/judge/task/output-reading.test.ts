import { expect, it } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import { memory } from "../../data/index.ts";
import { findReading } from "./output-reading.ts";
import { selectMetric } from "./select-metric.ts";

it("reads a single output as a probability only if all values are between 0 and 1, and the labels are 0 and 1", async () => {
  const values = Array.from({ length: 40 }, (_, index) => index / 10 - 2);
  const formOf = async (y: string, labels = values.map((value) => Number(value > 0))) => {
    const model = parseModel(`opset 21 graph (x: float32[n, 1]) -> (y: float32[n, 1]) {
      one: float32[] = 1
      m = Neg(x)
      e = Exp(m)
      s = Add(e, one)
      y = ${y}
    }`);
    const data = memory("rows", { x: float32([40, 1], values), label: int64([40], labels) });
    const texts: string[] = [];
    const context = completeContext({ log: ({ text }) => texts.push(text) });
    const request = { metric: "accuracy", labelled: true, isFinal: true } as const;
    return [(await findReading(model, undefined, data, request, context)).from, ...texts];
  };
  expect(await formOf("Reciprocal(s)")).toEqual(["probabilities", expect.stringContaining("on 40 samples")]);
  expect(await formOf("Identity(x)")).toEqual([undefined]);
  expect(await formOf("Reciprocal(s)", Array(40).fill(3))).toEqual([undefined]);
});

const detector = parseModel(`opset 18
graph (x: float32[n, 6, 12]) -> (y: float32[n, 6, 12]) {
  y = Identity(x)
}`);

/** Returns the reading of an output with two classes and 12 boxes of 10 pixels, and the logged texts. */
async function readDetector(change: (row: number, value: number) => number, label?: ReturnType<typeof int64>) {
  const rows = [20, 20, 10, 10, 0.9, 0.1];
  const values = Array.from({ length: 8 * 6 * 12 }, (_, index) => {
    const row = Math.floor(index / 12) % 6;
    return change(row, (rows[row] ?? 0) * (1 - (index % 12) / 24));
  });
  const x = float32([8, 6, 12], values);
  const data = memory("boxes", label === undefined ? { x } : { x, label });
  const texts: string[] = [];
  const context = completeContext({ log: ({ text }) => texts.push(text) });
  const request = { metric: "accuracy", labelled: label !== undefined, isFinal: true } as const;
  return { form: (await findReading(detector, undefined, data, request, context)).form, texts };
}

it("recognizes detections by their values if the graph does not show them, and prints the form", async () => {
  const { form, texts } = await readDetector((_, value) => value);
  expect(form).toEqual({ layout: "[N, 4 + classes, boxes]", classes: 2 });
  expect(texts).toEqual(['"y" contains detections of 2 classes, form [N, 4 + classes, boxes]']);
});

it.each([
  ["scores above 1", (row: number, value: number) => (row < 4 ? value : 3 * value)],
  ["sizes below 0", (row: number, value: number) => (row === 2 ? -value : value)],
  ["coordinates between 0 and 1", (row: number, value: number) => (row < 4 ? value / 100 : value)],
])("recognizes no detections with %s", async (_, change) => {
  expect(await readDetector(change)).toEqual({ form: undefined, texts: [] });
});

/** Returns the reading of boxes that take turns in being one of the rows, the logged texts and the number of samples that were run. */
async function readBoxes(rows: readonly (readonly number[])[], metric: "accuracy" | "detections" = "accuracy") {
  const width = rows[0]?.length ?? 0;
  const shape = `float32[n, 12, ${width}]`;
  const model = parseModel(`opset 18\ngraph (x: ${shape}) -> (y: ${shape}) {\n  y = Identity(x)\n}`);
  const x = float32([8, 12, width], Array.from({ length: 8 * 12 }, (_, box) => rows[box % rows.length] ?? []).flat());
  const texts: string[] = [];
  let readSamples = 0;
  const boxes = memory("boxes", { x });
  const counted = {
    ...boxes,
    async *batches(options: Parameters<typeof boxes.batches>[0]) {
      for await (const batch of boxes.batches(options)) {
        readSamples += batch.x?.dims[0] ?? 0;
        yield batch;
      }
    },
  };
  const request = { metric, labelled: false, isFinal: true } as const;
  const context = completeContext({ log: ({ text }) => texts.push(text) });
  const { form } = await findReading(model, undefined, counted, request, context);
  return { form, texts, readSamples };
}

it.each([
  ["[N, boxes, 6]", [[10, 10, 30, 30, 0.9, 2]]],
  // The last box is background: its objectness is low, and its class scores are arbitrary.
  [
    "[N, boxes, 5 + classes]",
    [
      [20, 20, 10, 10, 0.9, 0.8],
      [20, 20, 10, 10, 0.01, 0.9],
    ],
  ],
  [
    "[N, boxes, 4 + classes]",
    [
      [20, 20, 10, 10, 0.9, 0.1],
      [20, 20, 10, 10, 0.05, 0.8],
      [9, 9, 9, 9, 0, 0.01],
    ],
  ],
])("recognizes the form %s by its values", async (layout, rows) => {
  expect((await readBoxes(rows)).form).toMatchObject({ layout });
});

it.each([
  ["never high", [[20, 20, 10, 10, 0.1, 0.8]]],
  [
    "high with and without another score",
    [
      [20, 20, 10, 10, 0.9, 0.8],
      [20, 20, 10, 10, 0.9, 0.1],
    ],
  ],
])(
  "compares numbers if the fifth value of a box is %s, and names the metric that reads it as objectness",
  async (_, rows) => {
    expect(await readBoxes(rows)).toMatchObject({
      form: undefined,
      texts: [expect.stringContaining('`metric: "detections"` reads the first form')],
    });
    expect((await readBoxes(rows, "detections")).form).toMatchObject({ layout: "[N, boxes, 5 + classes]" });
  },
);

it("runs the samples once for all checks of an output", async () => {
  expect(await readBoxes([[20, 20, 10, 10, 0.1, 0.8]])).toMatchObject({ form: undefined, readSamples: 8 });
});

it("compares numbers if the original detects nothing", async () => {
  const { form, texts } = await readDetector((row, value) => (row < 4 ? value : value / 10));
  expect(form).toBeUndefined();
  expect(texts).toEqual([expect.stringContaining("none on 8 samples has a score of at least 0.25")]);
});

it("reads scores as independent labels if the labels are rows of 0 and 1, and a Sigmoid as classes if they are classes", async () => {
  const readingFor = async (operator: string, label: ReturnType<typeof int64>) => {
    const text = `opset 18\ngraph (x: float32[n, 4]) -> (scores: float32[n, 3]) {\n  w: float32[4, 3] = zeros\n  s = MatMul(x, w)\n  scores = ${operator}\n}`;
    const data = memory("rows", { x: float32([4, 4], new Float32Array(16)), label });
    const request = { metric: "accuracy", labelled: true, isFinal: true } as const;
    const context = completeContext({});
    const { form, from } = await findReading(parseModel(text), undefined, data, request, context);
    return { form, from };
  };
  const sets = int64([4, 3], [1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0]);
  expect(await readingFor("Identity(s)", sets)).toEqual({ form: "label sets", from: undefined });
  expect(await readingFor("Sigmoid(s)", sets)).toEqual({ form: "label sets", from: "probabilities" });
  expect(await readingFor("Sigmoid(s)", int64([4], [0, 1, 2, 1]))).toEqual({ form: undefined, from: "probabilities" });
  expect((await readingFor("Softmax(s) {axis=1}", sets)).form).toBeUndefined();
});

it("says that every position counts if a text recognizer scores classes at each, but not for the tokens of a text", async () => {
  const textsFor = async (input: string, type: "float32" | "int64") => {
    const text = `opset 18
graph (${input}: ${type}[n, 8]) -> (y: float32[n, 8, 6]) {
  axes: int64[1] = 2
  w: float32[1, 6] = zeros
  f = Cast(${input}) {to=1}
  u = Unsqueeze(f, axes)
  s = MatMul(u, w)
  y = Softmax(s) {axis=2}
}`;
    const data = memory("rows", { [input]: (type === "int64" ? int64 : float32)([4, 8], Array(32).fill(1)) });
    const texts: string[] = [];
    const context = completeContext({ log: ({ text: logged }) => texts.push(logged) });
    const request = { metric: "accuracy", labelled: false, isFinal: true } as const;
    await findReading(parseModel(text), undefined, data, request, context);
    return texts;
  };
  expect(await textsFor("image", "float32")).toEqual([
    '"y" scores classes at each position: every position counts, also the blanks of a text recognizer (CTC)',
  ]);
  expect(await textsFor("input_ids", "int64")).toEqual([]);
});

it("divides an output into parts by its scales on samples, and then compares numbers", async () => {
  const model = parseModel(`opset 18
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  scales: float32[4] = [900, 500, 0.2, 0.1]
  y = Mul(x, scales)
}`);
  const { normal } = random(1, "rows");
  const data = memory("rows", {
    x: float32(
      [32, 4],
      Array.from({ length: 128 }, () => normal()),
    ),
  });
  const request = { metric: "accuracy", labelled: false, isFinal: true } as const;
  const reading = await findReading(model, undefined, data, request, completeContext({}));
  expect(reading.parts?.map(({ name }) => name)).toEqual(["y[:, 0:2]", "y[:, 2:4]"]);
  expect(selectMetric(model, "accuracy", undefined, { labelled: false, reading }).name).toBe("R²");
  const labelled = await findReading(model, undefined, data, { ...request, labelled: true }, completeContext({}));
  expect(labelled.parts).toBeUndefined();
});
