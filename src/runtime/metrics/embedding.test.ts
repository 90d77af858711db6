import { describe, expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { Miss } from "../../core/errors.ts";
import { parseModel } from "../../core/graph/text.ts";
import { percent } from "../../core/numbers.ts";
import { fromNumbers } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import { memory } from "../../data/index.ts";
import { chooseBatch, measureInvariance } from "../../judge/compare/batch-dependence.ts";
import { isMeaninglessByNaN } from "../../judge/compare/compare.ts";
import { cosineText } from "../../judge/compare/same-outputs.ts";
import { cosine, embeddings, neighborOverlap } from "./embedding.ts";
import { evaluate } from "./evaluate.ts";

const engine = createEngine();
const integers = (dims: readonly number[], values: readonly number[]) => fromNumbers("int64", dims, values);

describe("embeddings", () => {
  test("scales vectors to length 1, except zeros", () => {
    const { values } = embeddings({ y: float32([2, 2], [3, 4, 0, 0]) }, undefined);
    expect([...values].map((value) => Number(value.toFixed(6)))).toEqual([0.6, 0.8, 0, 0]);
  });

  test("averages over the positions of the attention mask", () => {
    const output = { y: float32([1, 3, 2], [1, 0, 0, 1, 50, 60]) };
    const counted = embeddings(output, { attention_mask: integers([1, 3], [1, 1, 0]) });
    expect(counted.values[0]).toBeCloseTo(Math.SQRT1_2, 6);
    expect(embeddings(output, {}).values[0]).toBeCloseTo(51 / Math.hypot(51, 61), 6);
  });

  test("rejects an output without a feature axis", () => {
    expect(() => embeddings({ y: float32([2], [1, 2]) }, undefined)).toThrow("is not an embedding");
  });
});

describe("against the original", () => {
  const draw = random(1, "vectors");
  const values = Float32Array.from({ length: 40 * 8 }, () => draw.normal());
  const data = memory("vectors", { x: float32([40, 8], values) });
  const scaled = (by: string) =>
    parseModel(`opset 21 graph (x: float32[n, 8]) -> (y: float32[n, 8]) {
  s: float32[8] = ${by}
  y = Mul(x, s)
}`);
  const original = scaled("[1, 1, 1, 1, 1, 1, 1, 1]");

  test("ignores the length of vectors", async () => {
    const longer = scaled("[3, 3, 3, 3, 3, 3, 3, 3]");
    expect((await evaluate(engine, longer, data, cosine(), { original })).estimate.value).toBeCloseTo(1, 6);
    const kept = await evaluate(engine, longer, data, neighborOverlap(5), { original });
    expect(kept.estimate).toMatchObject({ value: 1, count: 40 });
  });

  test("finds neighbors among all samples, whatever the batch size", async () => {
    const other = scaled("[1, 1, 1, 1, 0, 0, 0, 0]");
    const shares = await Promise.all(
      [3, 40].map(async (batch) => {
        const { estimate } = await evaluate(engine, other, data, neighborOverlap(5), { original, batch });
        return estimate.value;
      }),
    );
    const findNearest = (sample: number, width: number): number[] => {
      const at = (index: number) => values.subarray(index * 8, index * 8 + width);
      const similarityOf = (index: number): number => {
        const [a, b] = [at(sample), at(index)];
        const dot = a.reduce((sum, value, position) => sum + value * (b[position] ?? 0), 0);
        return dot / Math.hypot(...a) / Math.hypot(...b);
      };
      const otherSamples = Array.from({ length: 40 }, (_, index) => index).filter((index) => index !== sample);
      return otherSamples.sort((a, b) => similarityOf(b) - similarityOf(a)).slice(0, 5);
    };
    let kept = 0;
    for (let sample = 0; sample < 40; sample++) {
      const before = new Set(findNearest(sample, 8));
      kept += findNearest(sample, 4).filter((index) => before.has(index)).length / 5 / 40;
    }
    expect(kept).toBeLessThan(0.9);
    for (const share of shares) expect(share).toBeCloseTo(kept, 9);
  });

  test("counts no neighbors for vectors of NaN", async () => {
    const broken = scaled("[nan, 1, 1, 1, 1, 1, 1, 1]");
    const { estimate } = await evaluate(engine, broken, data, neighborOverlap(5), { original: broken });
    expect(estimate.value).toBe(0);
    const none = { predicted: new Float64Array(), labels: new Float64Array() };
    expect(isMeaninglessByNaN(neighborOverlap(5), estimate, none)).toBe(true);
  });

  test("rejects too few samples for neighbors", async () => {
    const few = memory("few", { x: float32([6, 8], values.slice(0, 48)) });
    // A model that outputs NaN keeps neighbors by chance only.
    const broken = scaled("[nan, 1, 1, 1, 1, 1, 1, 1]");
    expect((await evaluate(engine, broken, data, neighborOverlap(5), { original })).estimate.value).toBeLessThan(0.3);
    await expect(evaluate(engine, original, few, neighborOverlap(5), { original })).rejects.toThrow("at least 20");
    expect(() => neighborOverlap(0)).toThrow("at least 1");
  });
});

describe("measureInvariance", () => {
  const tokens = memory("tokens", {
    input: float32([4, 3, 2], [1, 2, 3, 4, 0, 0, 5, 1, 0, 0, 0, 0, 1, 1, 2, 9, 7, 1, 2, 2, 8, 3, 0, 0]),
    attention_mask: integers([4, 3], [1, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1, 0]),
  });
  const header = "opset 21 graph (input: float32[n, t, 2], attention_mask: int64[n, t]) -> (y: float32[n, t, 2])";

  test("finds no difference for a model that treats samples independently", async () => {
    const model = parseModel(`${header} {
  h = Relu(input)
  m = Cast(attention_mask) {to=1}
  axes: int64[1] = [2]
  u = Unsqueeze(m, axes)
  y = Mul(h, u)
}`);
    const invariance = await measureInvariance(engine, model, tokens, { batch: 4 });
    expect(invariance).toMatchObject({ samples: 4 });
    expect(invariance instanceof Miss ? 0 : invariance.worst).toBeCloseTo(1, 6);
  });

  test("finds a model that subtracts the batch mean", async () => {
    const model = parseModel(`${header} {
  c = ReduceMean(input) {keepdims=1}
  h = Sub(input, c)
  m = Cast(attention_mask) {to=1}
  axes: int64[1] = [2]
  u = Unsqueeze(m, axes)
  y = Mul(h, u)
}`);
    const invariance = await measureInvariance(engine, model, tokens, { batch: 4 });
    expect(invariance instanceof Miss ? 1 : invariance.worst).toBeLessThan(0.9);
  });

  test("draws samples from all of the data by the seed", async () => {
    // Only the outlier at index 150, which a scan of the first hundred samples would miss, changes the outputs of its batch.
    const values = Float32Array.from({ length: 200 * 2 }, (_, index) => (index === 300 ? 50 : 1 + (index % 7)));
    const data = memory("far behind", { x: float32([200, 2], values) });
    const model = parseModel(`opset 21 graph (x: float32[n, 2]) -> (y: float32[n, 2]) {
  m = ReduceMax(x) {keepdims=1}
  ten: float32[] = 10
  far = Greater(m, ten)
  z = Sub(x, m)
  y = Where(far, z, x)
}`);
    const worstWith = async (options: object) => {
      const invariance = await measureInvariance(engine, model, data, options);
      return invariance instanceof Miss ? 1 : invariance.worst;
    };
    const all = await worstWith({ samples: 200 });
    expect(all).toBeLessThan(0.99);
    const worst = await Promise.all([0, 1, 2, 3, 4, 5].map((seed) => worstWith({ samples: 64, seed })));
    expect(Math.min(...worst)).toBeLessThan(0.99);
    expect(await worstWith({ samples: 64, seed: 3 })).toBe(worst[3]);
  });

  test("measures the same samples in the same batches as the note about the batch of an evaluation", async () => {
    const values = Float32Array.from({ length: 200 }, (_, index) => (index % 13) + 1);
    const data = memory("many", { x: float32([100, 2], values) });
    const model = parseModel(`opset 21 graph (x: float32[n, 2]) -> (y: float32[n, 2]) {
  m = ReduceMean(x) {keepdims=1}
  y = Sub(x, m)
}`);
    const invariance = await measureInvariance(engine, model, data);
    if (invariance instanceof Miss) return expect.fail(invariance.reason);
    const { note } = await chooseBatch(engine, [model], data, "accuracy");
    expect(note).toContain(
      `16 samples, alone and in a batch of ${invariance.batch}, differ by up to ${percent(invariance.apart)}`,
    );
  });

  test("does not round a cosine up to the limit", () => {
    expect([0.99989, 0.9999, 0.99998, -0.5, Number.NaN].map(cosineText)).toEqual([
      "0.9998",
      "0.9999",
      "1.0000",
      "-0.5000",
      "NaN",
    ]);
  });

  test("reports the batch size for a model that depends on its batch", async () => {
    const model = (nodes: string) => parseModel(`opset 21 graph (x: float32[n, 4]) -> (y: float32[n, 4]) { ${nodes} }`);
    const data = memory("x", {
      x: float32(
        [4, 4],
        Array.from({ length: 16 }, (_, index) => Math.sin(index)),
      ),
    });
    const mean = "a: int64[1] = [0]\n c = ReduceMean(x, a)\n y = Sub(x, c)";
    const judged = (nodes: string, batch?: number) => chooseBatch(engine, [model(nodes)], data, "accuracy", { batch });
    expect(await judged(mean)).toEqual({
      batch: 1,
      invariance: expect.objectContaining({ samples: 4, apart: 1 }),
      note: expect.stringMatching(
        /^The outputs of a sample depend on the others of its batch: 4 samples, alone and in a batch of 4, differ by up to [\d.]+ % of their size\. Accuracy is measured one sample at a time/,
      ),
      isWarning: true,
    });
    expect(await judged(mean, 4)).toEqual({
      batch: 4,
      invariance: expect.objectContaining({ samples: 4, apart: 1 }),
      note: expect.stringContaining("Accuracy is measured in batches of 4; to measure single samples: `batch: 1`."),
      isWarning: true,
    });
    expect(await judged(mean, 1)).toMatchObject({ batch: 1, note: undefined, isWarning: false });
    expect(await judged("y = Relu(x)")).toMatchObject({ batch: 64, note: undefined, isWarning: false });
    expect(await judged("y = Sqrt(x)")).toMatchObject({ batch: 64, note: undefined, isWarning: false });
    const mixed = "a: int64[1] = [0]\n c = ReduceMin(x, a)\n d = Sqrt(c)\n y = Add(x, d)";
    expect((await judged(mixed, 4)).note).toContain("4 samples, alone and in a batch of 4, of which one is NaN");
  });

  test("names the input if no axis counts samples and each sample has one value", async () => {
    const model = parseModel(`opset 21 graph (x: float32[n]) -> (y: float32[1]) { y = ReduceMean(x) {keepdims=1} }`);
    const [values, lists] = [[6], [3, 2]].map((dims) => memory("x", { x: float32(dims, [1, 2, 3, 4, 5, 6]) }));
    const noteOn = async (data: typeof values) => data && (await chooseBatch(engine, [model], data, "R²")).note;
    expect(await noteOn(values)).toMatch(/^No axis of "x" counts samples: each row of the data is run alone/);
    expect(await noteOn(lists)).toBeUndefined();
  });

  test("skips a model for one sample at a time", async () => {
    const model = parseModel("opset 21 graph (x: float32[1, 2]) -> (y: float32[1, 2]) { y = Relu(x) }");
    const invariance = await measureInvariance(engine, model, memory("x", { x: float32([2, 2], [1, 2, 3, 4]) }));
    expect(invariance).toBeInstanceOf(Miss);
  });
});
