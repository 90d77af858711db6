import { describe, expect, it } from "vitest";
import type { Engine } from "../../core/engine/engine.ts";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { random } from "../../core/tensor/random.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { type Dataset, memory } from "../../data/index.ts";
import { compare } from "../../judge/compare/compare.ts";
import { latency } from "../run/latency.ts";
import { accuracy, crossEntropy, macroF1, matthews, perplexity } from "./class-metrics.ts";
import { agreement, determination, meanKl, signalToNoise } from "./comparison-metrics.ts";
import { evaluate, evaluateAll } from "./evaluate.ts";
import type { Metric } from "./metric.ts";
import { meanSquaredError, peakSignalToNoise, rankCorrelation } from "./regression.ts";

const engine = createEngine();

/** Returns a model that outputs its features as scores, so that it predicts the largest feature. */
function identity(input: string, output = input): Model {
  return parseModel(`opset 21 graph (x: float32[${input}]) -> (y: float32[${output}]) { y = Identity(x) }`);
}

/** Returns samples whose largest feature is at i % 3. Every fourth label is wrong. */
function points(count: number): ReturnType<typeof memory> {
  const x = new Float32Array(3 * count);
  const label = new BigInt64Array(count);
  for (let sample = 0; sample < count; sample++) {
    x[3 * sample + (sample % 3)] = 1;
    label[sample] = BigInt(sample % 4 === 3 ? (sample + 1) % 3 : sample % 3);
  }
  return memory("points", {
    x: { type: "float32", dims: [count, 3], data: x },
    label: { type: "int64", dims: [count], data: label },
  });
}

describe("evaluate", () => {
  it("counts exactly for every batch size", async () => {
    for (const batch of [1, 4, 7, 64]) {
      const { estimate, rows } = await evaluate(engine, identity("batch, 3"), points(10), accuracy(), { batch });
      expect([estimate.value, estimate.count]).toEqual([0.8, 10]);
      expect(Array.from(rows)).toEqual([1, 1, 1, 0, 1, 1, 1, 0, 1, 1]);
    }
  });

  it("runs models with a fixed batch size and without a batch axis", async () => {
    const expected = await evaluate(engine, identity("batch, 3"), points(10), crossEntropy());
    for (const dims of ["1, 3", "4, 3", "7, 3", "16, 3", "3", "1, 3, 1", "1, 1, 3"]) {
      const evaluation = await evaluate(engine, identity(dims), points(10), crossEntropy(), { batch: 6 });
      expect(Array.from(evaluation.rows)).toEqual(Array.from(expected.rows));
    }
  });

  it("rejects one output value for all samples of a fixed batch", async () => {
    const model = parseModel(`opset 21
graph (x: float32[4, 3]) -> (scale: float32[], y: float32[4, 3]) {
  scale = ReduceMax (x) {keepdims=0}
  y = Identity (x)
}`);
    const { estimate } = await evaluate(engine, model, points(10), accuracy());
    expect([estimate.value, estimate.count]).toEqual([0.8, 10]);
    const alone = parseModel(`opset 21
graph (x: float32[4, 3]) -> (scale: float32[]) { scale = ReduceMax (x) {keepdims=0} }`);
    await expect(evaluate(engine, alone, points(10), accuracy())).rejects.toMatchObject({ code: "E_DATA" });
  });

  it("measures several metrics in one pass, and reports progress", async () => {
    const done: [number, number | undefined][] = [];
    const [right, loss] = await evaluateAll(
      engine,
      identity("batch, 3"),
      points(10),
      [accuracy(), crossEntropy({ from: "logits" })],
      { batch: 4, progress: (...args) => done.push([args[0], args[1]]) },
    );
    expect(right?.estimate.value).toBe(0.8);
    // The loss is log(e + 2) − 1 for a correct label and log(e + 2) for a wrong one.
    expect(loss?.estimate.value).toBeCloseTo(Math.log(Math.E + 2) - 0.8, 6);
    expect(done).toEqual([
      [4, 10],
      [8, 10],
      [10, 10],
    ]);
  });

  it("yields the same result on a stream with other batch sizes", async () => {
    const source = points(10);
    const stream: Dataset = {
      name: "stream",
      count: undefined,
      async *batches() {
        for (const [start, end] of [
          [0, 3],
          [3, 4],
          [4, 10],
        ] as const) {
          yield await source.gather(Uint32Array.from({ length: end - start }, (_, index) => start + index));
        }
      },
    };
    expect((await evaluate(engine, identity("2, 3"), stream, accuracy())).estimate.value).toBe(0.8);
  });

  it("does not use a model input as ground truth", async () => {
    const evaluateWith = (input: string) =>
      parseModel(`opset 21
graph (x: float32[batch, 3], ${input}: int64[batch]) -> (y: float32[batch, 3]) {
  y = Identity(x)
}
`);
    const { label, ...inputs } = await points(8).gather(Uint32Array.from({ length: 8 }, (_, sample) => sample));
    const data = memory("points", { ...inputs, label: label as Dense, class: label as Dense });
    await expect(evaluate(engine, evaluateWith("label"), data, accuracy())).rejects.toThrow(
      'The data has no column "label"',
    );
    const { estimate } = await evaluate(engine, evaluateWith("class"), data, accuracy());
    expect(estimate).toMatchObject({ value: 0.75, count: 8 });
  });

  it("requires an original for agreement, which is 1 for the same model", async () => {
    const model = identity("batch, 3");
    await expect(evaluate(engine, model, points(10), agreement())).rejects.toMatchObject({ code: "E_OPTION" });
    const { estimate } = await evaluate(engine, model, points(10), agreement(), { original: identity("1, 3") });
    expect([estimate.value, estimate.high]).toEqual([1, 1]);
    expect((await evaluate(engine, model, points(10), signalToNoise(), { original: model })).estimate.value).toBe(
      Number.POSITIVE_INFINITY,
    );
  });

  it("stops on the signal and rejects an empty data set", async () => {
    await expect(
      evaluate(engine, identity("batch, 3"), points(10), accuracy(), { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: "E_STOPPED" });
    const empty: Dataset = { name: "empty", count: 0, async *batches() {} };
    await expect(evaluate(engine, identity("batch, 3"), empty, accuracy())).rejects.toThrow("empty has no samples");
  });

  it("releases its sessions if it fails", async () => {
    let open = 0;
    const counting: Engine = {
      async load(model, options) {
        const session = await engine.load(model, options);
        open++;
        return {
          run: (...args) => session.run(...args),
          release: async () => {
            open--;
            await session.release();
          },
        };
      },
    };
    const failing: Metric = {
      ...accuracy(),
      rows: () => {
        throw new Error("no");
      },
    };
    await expect(evaluate(counting, identity("batch, 3"), points(4), failing)).rejects.toThrow("no");
    await evaluate(counting, identity("batch, 3"), points(4), accuracy());
    await expect(latency(counting, [identity("batch, 3")], {}, { rounds: 1 })).rejects.toMatchObject({
      code: "E_ENGINE",
    });
    expect(open).toBe(0);
  });
});

describe("metrics", () => {
  const scores = (dims: readonly number[], data: readonly number[]): Batch => ({
    y: { type: "float32", dims, data: Float32Array.from(data) },
  });
  const truth = (dims: readonly number[], ...values: number[]): Batch => ({
    label: { type: "int64", dims, data: BigInt64Array.from(values, BigInt) },
  });

  it("count a NaN among the scores as wrong, even for class 0", () => {
    expect(Array.from(accuracy().rows(scores([2, 2], [Number.NaN, Number.NaN, 1, 0]), truth([2], 0, 0)))).toEqual([
      0, 1,
    ]);
  });

  it("do not increase if wrong predictions become NaN", () => {
    const [right, wrong, lost] = [
      [1, 0],
      [0, 1],
      [Number.NaN, Number.NaN],
    ];
    const label = truth([4], 0, 0, 1, 1);
    for (const metric of [macroF1(), matthews()]) {
      const measure = (first: readonly number[] = [], second: readonly number[] = []): number =>
        metric.reduce(metric.rows(scores([4, 2], [right, first, second, wrong].flat() as number[]), label));
      expect(measure(lost, lost)).toBe(measure(wrong, right));
    }
  });

  it("name the fix for one-hot labels", () => {
    const oneHot = truth([2, 3], 1, 0, 0, 0, 0, 1);
    const measure = () => accuracy().rows(scores([2, 3], [1, 0, 0, 0, 0, 1]), oneHot);
    expect(measure).toThrow(expect.objectContaining({ hint: expect.stringContaining("label.argmax(axis=1)") }));
  });

  it("read class scores along the last axis, and along axis 1 of images", () => {
    // The scores have two positions and three classes.
    expect(Array.from(accuracy().rows(scores([1, 2, 3], [9, 0, 0, 0, 0, 9]), truth([1, 2], 0, 1)))).toEqual([0.5]);
    // N×C×H×W with two classes and 1×3 pixels: the planes (1 0 0) and (0 1 1) predict 0 1 1.
    expect(
      Array.from(accuracy().rows(scores([1, 2, 1, 3], [1, 0, 0, 0, 1, 1]), truth([1, 1, 3], 0, 1, 0)))[0],
    ).toBeCloseTo(2 / 3);
  });

  it("ignore labels below 0 and reject a sample without valid labels", () => {
    expect(Array.from(accuracy().rows(scores([1, 2, 3], [9, 0, 0, 0, 0, 9]), truth([1, 2], 0, -100)))).toEqual([1]);
    expect(() => accuracy().rows(scores([1, 3], [1, 0, 0]), truth([1], -100))).toThrow("no valid label");
    expect(Array.from(perplexity().rows(scores([1, 3], [1, 0, 0]), truth([1], -100)))).toEqual([0, 0]);
  });

  it("read one value with labels 0 and 1 as two classes", () => {
    const labels = truth([4], 0, 1, 0, 1);
    expect([...accuracy().rows(scores([4, 1], [-3, 2, 0.4, -0.1]), labels)]).toEqual([1, 1, 0, 0]);
    const shares = scores([4, 1], [0.1, 0.9, 0.4, 0.2]);
    expect([...accuracy({ from: "probabilities" }).rows(shares, labels)]).toEqual([1, 1, 1, 0]);
    const [first] = crossEntropy({ from: "probabilities" }).rows(shares, labels);
    expect(first).toBeCloseTo(-Math.log(0.9));
    expect([...crossEntropy().rows(scores([1, 1], [2]), truth([1], 1))][0]).toBeCloseTo(Math.log(1 + Math.exp(-2)));
  });

  it("reject invalid labels, missing labels and outputs of another size", () => {
    expect(() => accuracy().rows(scores([1, 3], [1, 0, 0]), truth([1], 3))).toThrow(
      "A label is 3, and the model has 3 classes (0 to 2).",
    );
    const numbers = expect.objectContaining({ hint: expect.stringContaining('`metric: "mean-squared-error"`') });
    expect(() =>
      accuracy().rows(scores([1, 3], [1, 0, 0]), { label: { type: "float32", dims: [1], data: Float32Array.of(2.5) } }),
    ).toThrow(numbers);
    expect(() => accuracy().rows(scores([1, 1], [1]), truth([1], 2))).toThrow("only the labels 0 and 1 are valid then");
    expect(() => accuracy().rows(scores([1, 1], [1]), truth([1, 2], 1, 2))).toThrow(numbers);
    expect(() => accuracy().rows(scores([1, 3], [1, 0, 0]), truth([1], 3))).not.toThrow(numbers);
    expect(() => accuracy().rows(scores([1, 3], [1, 0, 0]), { x: scores([1, 3], [1, 0, 0]).y as Dense })).toThrow(
      'no column "label", only x',
    );
    expect(() => accuracy().rows(scores([3, 2], [1, 0, 0, 0, 0, 0]), truth([2], 0, 0))).toThrow(
      "does not have 2 samples",
    );
    expect(() => accuracy({ output: "z" }).rows(scores([1, 3], [1, 0, 0]), truth([1], 0))).toThrow(
      'no output "z", only y',
    );
    expect(() => accuracy().rows({}, truth([1], 0))).toThrow("no output that is a tensor");
  });

  it("select the output `logits` first", () => {
    const outputs: Batch = { hidden: scores([1, 2], [1, 0]).y as Dense, logits: scores([1, 2], [0, 1]).y as Dense };
    expect(Array.from(accuracy().rows(outputs, truth([1], 1)))).toEqual([1]);
    expect(Array.from(accuracy({ output: "hidden" }).rows(outputs, truth([1], 1)))).toEqual([0]);
  });

  it("metrics in nats take the logarithm of probabilities", () => {
    const shares = [0.5, 0.25, 0.25, 0.1, 0.1, 0.8];
    const expected = [-Math.log(0.5), -Math.log(0.8)];
    const close = (actual: Float64Array, expected: readonly number[]): void => {
      expect(actual).toHaveLength(expected.length);
      for (const [index, value] of expected.entries()) expect(actual[index]).toBeCloseTo(value, 5);
    };
    const logs = shares.map(Math.log);
    for (const values of [shares, logs, logs.map((log) => log + 7)]) {
      close(crossEntropy().rows(scores([2, 3], values), truth([2], 0, 2)), expected);
      close(perplexity().rows(scores([2, 3], values), truth([2], 0, 2)), [expected[0] ?? 0, 1, expected[1] ?? 0, 1]);
    }
    // The scores are two class planes of 1×2 pixels. The probability of one class was rounded to 0.
    const planes = scores([1, 2, 1, 2], [0.2345, 1, 0.7655, 0]);
    close(crossEntropy().rows(planes, truth([1, 1, 2], 0, 0)), [-Math.log(0.2345) / 2]);
    close(crossEntropy().rows(planes, truth([1, 1, 2], 0, 1)), [(-Math.log(1e-7) - Math.log(0.2345)) / 2]);
    const other = [0.4, 0.4, 0.2, 0.3, 0.3, 0.4];
    const divergences = [0, 3].map((row) =>
      [0, 1, 2].reduce((sum, index) => {
        const [p = 0, q = 0] = [shares[row + index], other[row + index]];
        return sum + p * Math.log(p / q);
      }, 0),
    );
    close(meanKl().rows(scores([2, 3], other), scores([2, 3], shares)), divergences);
    // Probabilities rounded to 8 bits do not sum to 1; the form of the original's outputs applies.
    close(
      meanKl().rows(
        scores(
          [2, 3],
          other.map((share) => 0.9 * share),
        ),
        scores([2, 3], shares),
      ),
      divergences,
    );
  });

  it("replace a probability of 0 by 1e-7", () => {
    const codes = [250, 6, 0, 3, 3, 250].map((code) => code / 256);
    const rows = crossEntropy({ from: "probabilities" }).rows(scores([2, 3], codes), truth([2], 2, 2));
    expect(rows[0]).toBeCloseTo(-Math.log(1e-7), 4);
    expect(rows[1]).toBeCloseTo(-Math.log(250 / 256), 4);
  });

  it("treat outputs as scores if not all rows are distributions", () => {
    const nats = (row: readonly number[]): number => Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
    for (const second of [
      [0.5, 0.25, 0.26],
      [1.5, -0.25, -0.25],
      [3, 1, 0],
    ]) {
      const [first, other] = crossEntropy().rows(scores([2, 3], [0.5, 0.25, 0.25, ...second]), truth([2], 0, 0));
      expect(first).toBeCloseTo(nats([0.5, 0.25, 0.25]) - 0.5, 5);
      expect(other).toBeCloseTo(nats(second) - (second[0] ?? 0), 5);
    }
    const [asLogits] = crossEntropy({ from: "logits" }).rows(scores([1, 3], [0.5, 0.25, 0.25]), truth([1], 0));
    expect(asLogits).toBeCloseTo(nats([0.5, 0.25, 0.25]) - 0.5, 5);
    const [rounded] = crossEntropy({ from: "probabilities" }).rows(scores([1, 3], [0.4, 0.2, 0.2]), truth([1], 0));
    expect(rounded).toBeCloseTo(-Math.log(0.5), 5);
    const [lost, kept] = crossEntropy().rows(scores([2, 2], [Number.NaN, 1, 0.25, 0.75]), truth([2], 0, 0));
    expect(lost).toBeNaN();
    expect(kept).toBeCloseTo(-Math.log(0.25), 6);
  });

  it("compute cross-entropy without overflow, and mean squared error", () => {
    expect(crossEntropy().rows(scores([1, 2], [1000, 0]), truth([1], 1))[0]).toBe(1000);
    const label: Dense = { type: "float32", dims: [2, 2], data: Float32Array.of(1, 2, 3, 4) };
    expect(Array.from(meanSquaredError().rows(scores([2, 2], [1, 4, 3, 5]), { label }))).toEqual([2, 0.5]);
    expect(() => meanSquaredError().rows(scores([2, 1], [1, 4]), { label })).toThrow("their sizes differ");
  });

  it("compute R² over all samples", () => {
    const measure = (ours: readonly number[], theirs: readonly number[], samples = 2): number => {
      const dims = [samples, theirs.length / samples];
      return determination().reduce(determination().rows(scores(dims, ours), scores(dims, theirs)));
    };
    expect(measure([1, 2, 3, 4], [1, 2, 3, 4])).toBe(1);
    // With the mean 2.5, Σ (x − 2.5)² = 5 and Σ (x − y)² = 1.
    expect(measure([1, 2, 3, 5], [1, 2, 3, 4])).toBeCloseTo(0.8);
    expect(measure([2.5, 2.5, 2.5, 2.5], [1, 2, 3, 4], 4)).toBeCloseTo(0);
    expect(measure([4, 3, 2, 1], [1, 2, 3, 4])).toBeCloseTo(-3);
    expect([measure([7, 7], [7, 7]), measure([7, 8], [7, 7])]).toEqual([1, 0]);
    // With two outputs per sample, variance is relative to the mean of each, so a constant offset of 300 explains nothing.
    const two = determination({ width: 2 });
    const ofTwo = (ours: readonly number[], theirs: readonly number[]): number =>
      two.reduce(two.rows(scores([2, 2], ours), scores([2, 2], theirs)));
    expect(ofTwo([2, 303, 2, 303], [1, 302, 3, 304])).toBeCloseTo(0);
    expect(ofTwo([1, 303, 3, 303], [1, 302, 3, 304])).toBeCloseTo(0.5);
    expect([ofTwo([1, 7, 3, 7], [1, 7, 3, 7]), ofTwo([7, 8, 7, 8], [7, 7, 7, 7])]).toEqual([1, 0]);
    // A single sample has one mean for all outputs.
    const four = determination({ width: 4 });
    expect(four.reduce(four.rows(scores([1, 4], [1, 2, 3, 5]), scores([1, 4], [1, 2, 3, 4])))).toBeCloseTo(0.8);
    expect([measure([Number.NaN, 2], [1, 2]), measure([1, 2], [Number.NaN, 2])]).toEqual([Number.NaN, Number.NaN]);
  });

  it("gives R² 0 to the mean of each of many outputs, however the samples are divided into batches", async () => {
    const [samples, width, draw] = [24, 96, random(1, "outputs")];
    const offsets = Array.from({ length: width }, () => 10 * draw.normal());
    const values = Array.from({ length: samples * width }, (_, index) => (offsets[index % width] ?? 0) + draw.normal());
    const means = offsets.map((_, position) => {
      const column = values.filter((_value, index) => index % width === position);
      return column.reduce((sum, value) => sum + value, 0) / samples;
    });
    const data = memory("x", { x: { type: "float32", dims: [samples, width], data: Float32Array.from(values) } });
    const network = (y: string, stored = "") =>
      parseModel(`opset 21 graph (x: float32[n, ${width}]) -> (y: float32[n, ${width}]) {${stored}
      y = ${y}
    }`);
    const constant = network("Add(z, means)", `\nmeans: float32[${width}] = ${JSON.stringify(means)}\nz = Sub(x, x)`);
    for (const batch of [1, 5, 64]) {
      const options = { original: network("Identity(x)"), batch };
      const { estimate } = await evaluate(engine, constant, data, determination({ width }), options);
      expect(estimate.value).toBeCloseTo(0, 4);
    }
  });

  it("counts measurements below −9000 that are not close to a mask's constant", () => {
    const energies = [-15_100, 1, -13_800, 2, -16_200, 1];
    const metric = determination({ width: 2 });
    const rows = metric.rows(scores([3, 2], [-15_000, 1, -15_000, 2, -15_000, 1]), scores([3, 2], energies));
    expect(metric.reduce(rows)).toBeCloseTo(0, 1);
    expect(metric.detail?.(rows)).toBeUndefined();
    const masked = energies.map((value) => (value < -9000 ? value + Math.abs(value) - 1e4 : value));
    const maskedRows = metric.rows(scores([3, 2], masked), scores([3, 2], masked));
    expect(metric.detail?.(maskedRows)).toMatch(/^3 of 6 values are set by masks/);
  });

  it.each([Number.NEGATIVE_INFINITY, -3e38, -65_504, -1e9, -5e4, -1e4])(
    "sums of squares leave out scores that a mask sets to %d",
    (fill) => {
      const figures = (ours: readonly number[], theirs: readonly number[]): readonly number[] =>
        [determination(), signalToNoise()].map((metric) => {
          const dims = [2, theirs.length / 2];
          return metric.reduce(metric.rows(scores(dims, ours), scores(dims, theirs)));
        });
      const figuresWithWidth = figures([1, 2, 3, 5], [1, 2, 3, 4]);
      // Quantization also changes values that masks fill in.
      expect(figures([1, 2, fill, fill * 0.99, 3, 5], [1, 2, fill, fill, 3, 4])).toEqual(figuresWithWidth);
      expect(figures([1, 2, fill - 3, 3, 5, fill + 2], [1, 2, fill - 2, 3, 4, fill + 1])).toEqual(figuresWithWidth);
    },
  );

  it("count a changed fill, and every value of a wide distribution", () => {
    const r2 = (ours: readonly number[], theirs: readonly number[]): number =>
      determination().reduce(
        determination().rows(scores([1, theirs.length], ours), scores([1, theirs.length], theirs)),
      );
    expect(r2([1, 2, 0], [1, 2, -1e4])).toBeLessThan(0);
    expect(r2([-9000, -1000, 10], [-10_000, -1000, 10])).toBeLessThan(0.99);
  });

  it("compute the peak signal-to-noise ratio of clipped pixels", () => {
    const label: Dense = { type: "float32", dims: [2, 2], data: Float32Array.of(1, 0, 0.5, 0.5) };
    const rows = peakSignalToNoise().rows(scores([2, 2], [3, -1, 0.6, 0.4]), { label });
    expect(rows[0]).toBe(100);
    expect(rows[1]).toBeCloseTo(20, 5);
    const bytes: Dense = { type: "float32", dims: [1, 2], data: Float32Array.of(255, 0) };
    expect(peakSignalToNoise({ peak: 255 }).rows(scores([1, 2], [229.5, 25.5]), { label: bytes })[0]).toBeCloseTo(
      20,
      5,
    );
  });

  it("compute the rank correlation of one value per sample", () => {
    const label: Dense = { type: "float32", dims: [4], data: Float32Array.of(1, 2, 3, 4) };
    const figure = (answers: number[]): number => {
      const metric = rankCorrelation();
      return metric.reduce(metric.rows(scores([4, 1], answers), { label }));
    };
    expect(figure([0.1, 0.2, 30, 31])).toBeCloseTo(1, 12);
    expect(figure([4, 3, 2, 1])).toBeCloseTo(-1, 12);
    expect(figure([7, 7, 7, 7])).toBe(0);
    expect(figure([Number.NaN, Number.NaN, Number.NaN, Number.NaN])).toBe(0);
    const wide: Dense = { type: "float32", dims: [2, 2], data: Float32Array.of(1, 2, 3, 4) };
    expect(() => rankCorrelation().rows(scores([2, 2], [1, 2, 3, 4]), { label: wide })).toThrow(
      "one number per sample",
    );
  });
});

describe("compare", () => {
  it("pairs the models by sample", async () => {
    const swapped = parseModel(`opset 21 graph (x: float32[n, 3]) -> (y: float32[n, 3]) {
      order: int64[3] = [1, 0, 2]
      y = Gather(x, order) {axis=1}
    }`);
    const result = await compare(engine, identity("1, 3"), swapped, points(12), accuracy());
    expect(result.original.value).toBe(9 / 12);
    expect(result.pairs).toMatchObject({ bothRight: 3, onlyOriginal: 6, onlyCandidate: 1, bothWrong: 2 });
    expect(result.difference.value).toBeCloseTo(-5 / 12, 12);
    expect(result.candidate.value).toBe(4 / 12);
  });
});

describe("latency", () => {
  it("rejects an empty list of models and stops on the signal", async () => {
    await expect(latency(engine, [], {})).rejects.toMatchObject({ code: "E_OPTION" });
    await expect(latency(engine, [identity("1, 3")], {}, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "E_STOPPED",
    });
  });
});
