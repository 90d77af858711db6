import { describe, expect, test } from "vitest";
import { createEngine, type Engine } from "../../core/engine/index.ts";
import { Miss } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32, inMemory } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import { memory } from "../../data/index.ts";
import { prune } from "../../techniques/prune/index.ts";
import { quantize } from "../../techniques/quantize/index.ts";
import { loadExchange } from "./exchange.ts";
import { compareLayers, valuePairs } from "./layer-differences.ts";
import { blameText, type LayerErrors, layerErrors, restrictToChanged } from "./layer-errors.ts";

const engine = createEngine();
const draw = random(5, "network");
const matrix = (rows: number, columns: number): string =>
  `[${Array.from({ length: rows }, () => `[${Array.from({ length: columns }, () => (draw.normal() / Math.sqrt(rows)).toFixed(4)).join(", ")}]`).join(", ")}]`;
const names = ["a", "b", "c", "d", "e"];
/** A chain of five matrix products with a residual sum around the third. Sizes allow quantization blocks of 32. */
const network = `opset 21
graph (x: float32[n, 32]) -> (y: float32[n, 32]) {
${names.map((name) => `  ${name}.weight: float32[32, 32] = ${matrix(32, 32)}`).join("\n")}
  h1 = MatMul(x, a.weight)
  r1 = Relu(h1)
  h2 = MatMul(r1, b.weight)
  r2 = Relu(h2)
  h3 = MatMul(r2, c.weight)
  s3 = Add(h3, h2)
  h4 = MatMul(s3, d.weight)
  r4 = Relu(h4)
  y = MatMul(r4, e.weight)
}`;
const data = memory("rows", {
  x: float32(
    [24, 32],
    Float32Array.from({ length: 24 * 32 }, () => draw.normal()),
  ),
});

/** Returns the network with noise on the weight of one layer. @param share standard deviation of the noise, relative to the weight's. */
function spoiled(layer: string, share: number): Model {
  const model = parseModel(network);
  const weight = model.graph.value(`${layer}.weight`);
  if (weight?.tensor?.small?.type !== "float32") throw new Error(`There is no weight ${layer}.`);
  const { dims, data: numbers } = weight.tensor.small;
  const noise = random(9, layer);
  const noisy = numbers.map((value) => value + (share * noise.normal()) / Math.sqrt(32));
  weight.tensor = inMemory(float32(dims, noisy));
  return model;
}

async function errorsOf(candidate: Model, options = {}): Promise<LayerErrors> {
  const errors = await layerErrors(engine, parseModel(network), candidate, data, options);
  if (errors instanceof Miss) throw new Error(errors.reason);
  return errors;
}

test.each(names)("attributes the whole error to the only changed layer, %s", async (layer) => {
  const { layers, blamed, misses } = await errorsOf(spoiled(layer, 0.3));
  expect(misses).toEqual([]);
  expect(blamed).toMatchObject({ layers: [layer], kind: "layer", operator: "MatMul", share: expect.closeTo(1, 5) });
  for (const row of layers) {
    const isSpoiled = row.layer === layer;
    expect(row.own).toBeOneOf([isSpoiled ? expect.closeTo(20 * Math.log10(1 / 0.3), -1) : Number.POSITIVE_INFINITY]);
    // Layers before it have no error; layers after it carry the error on.
    expect(Number.isFinite(row.signalToNoise)).toBe(names.indexOf(row.layer) >= names.indexOf(layer));
  }
});

const schemes = [
  { scheme: "dynamic" },
  { scheme: "weights" },
  { scheme: "weights", bits: 4 },
  { scheme: "weights", bits: 2 },
  { scheme: "static", data },
  { dtype: "fp16" },
] as const;

test.each(schemes)("finds a broken layer among quantized ones: $scheme $bits", async (options) => {
  const candidate = spoiled("c", 1);
  await quantize(candidate, options);
  const { layers, blamed, misses } = await errorsOf(candidate);
  expect(misses).toEqual([]);
  expect(layers.filter(({ kind }) => kind === "layer").map(({ layer }) => layer)).toEqual(names);
  expect(blamed?.layers).toEqual(["c"]);
});

test.each(schemes)(
  "adds shares to 1, and equals the candidate with all layers exchanged: $scheme $bits",
  async (options) => {
    const candidate = parseModel(network);
    await quantize(candidate, options);
    const { layers } = await errorsOf(candidate);
    const carried = await compareLayers(engine, parseModel(network), candidate, data);
    for (const { layer, signalToNoise } of carried.layers)
      expect(layers.find((row) => row.layer === layer)?.signalToNoise).toBe(signalToNoise);
    const sum = layers.reduce((total, { share = 0 }) => total + share, 0);
    expect(sum).toBeGreaterThan(0.5);
    expect(sum).toBeLessThan(2);
    for (const { own = 0, signalToNoise } of layers) expect(own).toBeGreaterThan(signalToNoise - 3);
  },
);

describe("after channel pruning", () => {
  const blameAfter = async (options: Parameters<typeof prune>[1], prepared?: (model: Model) => Promise<unknown>) => {
    const candidate = parseModel(network);
    await prune(candidate, options);
    await prepared?.(candidate);
    return errorsOf(candidate);
  };

  test("attributes the error to the pruned layers jointly", async () => {
    const { layers, blamed } = await blameAfter({ structured: 0.5 });
    expect(layers.map(({ layer, hidden }) => [layer, hidden])).toEqual([["e", ["a", "b", "c", "d"]]]);
    expect(blamed).toMatchObject({ layers: ["a", "b", "c", "d"], kind: "layer" });
    expect(blamed && blameText(blamed)).toBe(
      "The largest error comes from 4 layers that lost channels: a, b and 2 more. Their errors can only be measured jointly; prune one alone to see its own",
    );
  });

  test("attributes the error to a single pruned layer", async () => {
    const { layers, blamed } = await blameAfter({ structured: 0.5, layers: "a" });
    expect(layers.map(({ layer, hidden }) => [layer, hidden])).toEqual([
      ["b", ["a"]],
      ["c", []],
      ["d", []],
      ["e", []],
    ]);
    expect(blamed).toMatchObject({ layers: ["a"], share: expect.closeTo(1, 5) });
    expect(blamed && blameText(blamed)).toBe(
      'The largest error comes from layer "a" (100 % of the error, if only it is changed)',
    );
  });

  test("finds a later layer that was changed in another way", async () => {
    const { blamed } = await blameAfter({ structured: 0.1, layers: "a" }, (model) =>
      quantize(model, { scheme: "weights", bits: 2, layers: "d" }),
    );
    expect(blamed?.layers).toEqual(["d"]);
  });
});

test("blameAmong does not blame an unchanged layer", () => {
  const blame = { layers: ["a"], kind: "layer", operator: "Conv", share: 1 } as const;
  expect(restrictToChanged(blame, new Set(["a", "b"]))).toEqual(blame);
  const before = restrictToChanged(blame, new Set(["b"]));
  expect(before && blameText(before)).toBe(
    'The largest error comes from operations before layer "a" (100 % of the error, if only it is changed)',
  );
  expect(restrictToChanged({ ...blame, share: undefined }, new Set(["b"]))).toBeUndefined();
});

test("reports a spread error if no layer has a quarter", () => {
  const blame = { layers: ["a"], kind: "layer", operator: "Conv" } as const;
  expect(blameText({ ...blame, share: 0.24 })).toBe(
    'The error is spread over many layers: the largest share, of layer "a", is 24 %',
  );
  expect(blameText({ ...blame, share: 0.3 })).toBe(
    'The largest error comes from layer "a" (30 % of the error, if only it is changed)',
  );
  expect(blameText({ ...blame, share: Number.POSITIVE_INFINITY })).toContain("not finite");
  expect(blameText({ ...blame, share: undefined })).toBe('The largest error comes from layer "a"');
});

test("finds no error between a model and itself", async () => {
  const { blamed, layers } = await errorsOf(parseModel(network));
  expect(blamed).toBeUndefined();
  expect(new Set(layers.map(({ own }) => own))).toEqual(new Set([Number.POSITIVE_INFINITY]));
});

test("ignores non-finite values that occur only without the other changes", async () => {
  // The divisor is 0 if only b is exchanged, and 4 x if c is exchanged, too.
  const sum = (b: number, c: number) =>
    parseModel(`opset 17
graph (x: float32[n, 1]) -> (y: float32[n, 1]) {
  a.weight: float32[1, 1] = [[1]]
  b.weight: float32[1, 1] = [[${b}]]
  c.weight: float32[1, 1] = [[${c}]]
  h1 = MatMul(x, a.weight)
  h2 = MatMul(x, b.weight)
  h3 = MatMul(x, c.weight)
  s = Add(h2, h3)
  y = Div(h1, s)
}`);
  const rows = memory("rows", { x: float32([4, 1], [1, 2, 3, 4]) });
  const errors = await layerErrors(engine, sum(1, 1), sum(-1, 5), rows);
  if (errors instanceof Miss) throw new Error(errors.reason);
  expect(errors.blamed).toMatchObject({ layers: ["c"], share: expect.closeTo(16 / 9, 1) });
  expect(errors.layers.find(({ layer }) => layer === "b")).toMatchObject({ own: undefined, share: undefined });
});

test("computes a finite error for an output of zeros", async () => {
  const twice = (weight: number) =>
    parseModel(`opset 17
graph (x: float32[n, 2]) -> (y: float32[n, 2], z: float32[n, 2]) {
  a.weight: float32[2, 2] = [[1, 0], [0, 1]]
  b.weight: float32[2, 2] = [[${weight}, 0], [0, ${weight}]]
  y = MatMul(x, a.weight)
  z = MatMul(x, b.weight)
}`);
  const rows = memory("rows", { x: float32([2, 2], [1, 2, 3, 4]) });
  const errors = await layerErrors(engine, twice(0), twice(0.5), rows);
  if (errors instanceof Miss) throw new Error(errors.reason);
  expect(errors.blamed).toMatchObject({ layers: ["b"], share: expect.closeTo(1, 5) });
});

test("attributes the error to a layer that outputs infinities", async () => {
  const candidate = spoiled("b", 2);
  const broken = parseModel(
    network
      .replace("r4 = Relu(h4)", "big: float32[] = 1e30\n  h5 = Mul(h4, big)\n  h6 = Mul(h5, big)\n  r4 = Relu(h6)")
      .replace(/b\.weight: .*/, `b.weight: float32[32, 32] = ${matrix(32, 32)}`),
  );
  expect((await errorsOf(candidate)).blamed?.layers).toEqual(["b"]);
  const { blamed } = await errorsOf(broken);
  expect(blamed).toMatchObject({ layers: ["e"], share: Number.POSITIVE_INFINITY });
});

test("finds the same layer on random inputs", async () => {
  const errors = await layerErrors(engine, parseModel(network), spoiled("d", 0.5), undefined);
  expect(errors).toMatchObject({ blamed: { layers: ["d"], share: expect.closeTo(1, 5) } });
});

test("runs on no more samples than the command did before, and reports progress by layers", async () => {
  const names = Array.from({ length: 4 }, (_, at) => `w${at}`);
  const steps = names.map((name, at) => `  h${at + 1} = MatMul(h${at}, ${name})`).join("\n");
  const wide = `opset 21
graph (h0: float32[n, 256, 256]) -> (h4: float32[n, 256, 256]) {
${names.map((name, at) => `  ${name}: float32[256, 256] = random(seed ${at})`).join("\n")}
${steps}
}`;
  const original = parseModel(wide);
  const candidate = parseModel(wide.replaceAll("random(seed ", "random(seed 5"));
  let rows = 0;
  const counting: Engine = {
    async load(model, options) {
      const session = await engine.load(model, options);
      // The joined model computes both models.
      const models = model.graph.feeds.length;
      return {
        ...session,
        release: () => session.release(),
        run(feeds, fetch) {
          rows += models * (feeds.h0?.dims[0] ?? 0);
          return session.run(feeds, fetch);
        },
      };
    },
  };
  const samples = memory("images", { h0: float32([16, 256, 256], new Float32Array(16 * 256 * 256).fill(0.01)) });
  const evaluated = 24;
  const reported: string[] = [];
  const progress = (done: number, total?: number) => void reported.push(`${done}/${total}`);
  const options = { samples: 16, evaluated, progress };
  const errors = await layerErrors(counting, original, candidate, samples, options);
  const measured = errors instanceof Miss ? [] : errors.layers.filter(({ share }) => share !== undefined);
  expect(measured).toHaveLength(2);
  expect(rows).toBeLessThanOrEqual(2 * evaluated);
  expect(reported.slice(-2)).toEqual(["0/2", "1/2"]);
});

test("explains the error of the requested output", async () => {
  const outputs = (text: string): Model =>
    parseModel(text.replace("-> (y: float32[n, 32])", "-> (h2: float32[n, 32], y: float32[n, 32])"));
  const changed = network
    .replace("h4 = MatMul(s3, d.weight)", "half: float32[] = 0.5\n  s4 = Mul(s3, half)\n  h4 = MatMul(s4, d.weight)")
    .replace("h1 = MatMul(x, a.weight)", "little: float32[] = 0.9\n  x1 = Mul(x, little)\n  h1 = MatMul(x1, a.weight)");
  const blameOnOutput = async (output: string | undefined) => {
    const errors = await layerErrors(engine, outputs(network), outputs(changed), data, { output });
    return errors instanceof Miss ? errors.reason : errors.blamed?.layers;
  };
  expect(await blameOnOutput("y")).toEqual(["d"]);
  expect(await blameOnOutput("h2")).toEqual(["a"]);
});

test("the isolated error of an output is that of its worst part", async () => {
  const text = (rating: number) => `opset 17
graph (x: float32[N, 2]) -> (regression: float32[N, 2]) {
  w: float32[2, 2] = [[100, 0], [0, ${rating}]]
  regression = MatMul(x, w)
}`;
  const rows = memory("rows", { x: float32([16, 2], Array.from({ length: 32 }, draw.normal)) });
  const errors = await layerErrors(engine, parseModel(text(0.1)), parseModel(text(0)), rows);
  expect(errors).toMatchObject({ layers: [{ own: expect.closeTo(0, 3), signalToNoise: expect.closeTo(0, 3) }] });
});

test("names an operation without a weight that is quantized", async () => {
  const rounded = parseModel(
    network.replace(
      "h4 = MatMul(s3, d.weight)",
      `step: float32[] = 4
  zero: uint8[] = 128
  q3 = QuantizeLinear(s3, step, zero)
  t3 = DequantizeLinear(q3, step, zero)
  h4 = MatMul(t3, d.weight)`,
    ),
  );
  const { blamed } = await errorsOf(rounded);
  expect(blamed).toMatchObject({ layers: ["s3"], kind: "operation", operator: "Add" });
});

test.each(schemes)(
  "equals the candidate with all layers exchanged and the original with none: $scheme $bits",
  async (options) => {
    const [original, candidate] = [parseModel(network), parseModel(network)];
    await quantize(candidate, options);
    const places = valuePairs(original, candidate, []);
    const feeds = {
      x: float32(
        [4, 32],
        Float32Array.from({ length: 128 }, () => draw.normal()),
      ),
    };
    const swap = await loadExchange(engine, original, candidate, places, [feeds]);
    if (swap instanceof Miss) throw new Error(swap.reason);
    for (const [selected, model] of [
      [new Set<number>(), original],
      [new Set(places.keys()), candidate],
    ] as const) {
      const session = await engine.load(model, { optimize: false });
      const runner = await swap.runner(selected, []);
      expect((await runner.run(feeds)).y).toEqual((await session.run(feeds)).y);
      await session.release();
    }
    await swap.release();
  },
);

test("returns a Miss if the models cannot be joined", async () => {
  const other = (from: string, to: string): Model => parseModel(network.replace(from, to));
  const more = other("(x: float32[n, 32])", "(x: float32[n, 32], more: float32[n, 32])");
  const swap = await loadExchange(engine, parseModel(network), more, [], []);
  expect(swap).toMatchObject({ reason: 'the original has no input "more"' });
});
