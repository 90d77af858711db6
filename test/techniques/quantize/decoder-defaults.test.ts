/** The defaults of 4-bit weights of language models. */
import { expect, test } from "vitest";
import { storedBytes } from "../../../src/core/graph/graph-elements.ts";
import { replaceUses } from "../../../src/core/graph/replace.ts";
import { parseModel } from "../../../src/core/graph/text-parse.ts";
import { fromNumbers, toFloats } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/batches/indexed.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { difference, run } from "./networks.ts";

/** A language model whose last layer multiplies by its table. @param width of its hidden layer. */
const languageModel = (width = 256) =>
  parseModel(`opset 21
graph (input_ids: int64[batch, sequence]) -> (logits: float32[batch, sequence, 128]) {
  embed.weight: float32[128, 64] = random(seed 1)
  up.weight: float32[64, ${width}] = random(seed 2)
  down.weight: float32[${width}, 64] = random(seed 3)
  h = Gather(embed.weight, input_ids)
  a = MatMul(h, up.weight)
  r = Relu(a)
  d = MatMul(r, down.weight)
  s = Add(h, d)
  t = Transpose(embed.weight) {perm=[1, 0]}
  logits = MatMul(s, t)
}`);

const blockIndices = [0, 1, 2, 3, 4, 5];

/** A decoder with a cache. Block 1 makes massive activations: one weight of its last layer is 100 times as large as usual. */
async function decoder() {
  const cache = (suffix: string) =>
    blockIndices.flatMap((i) => ["key", "value"].map((part) => `${suffix}.${i}.${part}`));
  const typed = (axis: string) => (name: string) => `${name}: float32[batch, ${axis}, 64]`;
  const weights = (i: number) =>
    Object.entries({ q: "64, 64", k: "64, 64", v: "64, 64", o: "64, 64", up: "64, 256", down: "256, 64" }).map(
      ([name, dims], index) => `  ${name}${i}.weight: float32[${dims}] = random(seed ${10 * i + index + 2})`,
    );
  const block = (i: number) => `
  qx${i} = MatMul(h${i}, q${i}.weight)
  kx${i} = MatMul(h${i}, k${i}.weight)
  vx${i} = MatMul(h${i}, v${i}.weight)
  present.${i}.key = Concat(past_key_values.${i}.key, kx${i}) {axis=1}
  present.${i}.value = Concat(past_key_values.${i}.value, vx${i}) {axis=1}
  kt${i} = Transpose(present.${i}.key) {perm=[0, 2, 1]}
  s${i} = MatMul(qx${i}, kt${i})
  p${i} = Softmax(s${i}) {axis=-1}
  c${i} = MatMul(p${i}, present.${i}.value)
  ox${i} = MatMul(c${i}, o${i}.weight)
  m${i} = Add(h${i}, ox${i})
  ux${i} = MatMul(m${i}, up${i}.weight)
  r${i} = Relu(ux${i})
  dx${i} = MatMul(r${i}, down${i}.weight)
  h${i + 1} = Add(m${i}, dx${i})`;
  const model = parseModel(`opset 21
graph (input_ids: int64[batch, sequence], ${cache("past_key_values").map(typed("past")).join(", ")}) -> (logits: float32[batch, sequence, 128], ${cache("present").map(typed("total")).join(", ")}) {
  embed.weight: float32[128, 64] = random(seed 1)
${blockIndices.flatMap(weights).join("\n")}
  h0 = Gather(embed.weight, input_ids)${blockIndices.map(block).join("")}
  t = Transpose(embed.weight) {perm=[1, 0]}
  logits = MatMul(h${blockIndices.length}, t)
}`);
  const down = model.graph.value("down1.weight");
  const values = toFloats((await down?.tensor?.read()) ?? float32([0], []));
  values[0] = 100 * Math.max(...values);
  if (down !== undefined) down.tensor = inMemory(float32([256, 64], values));
  return model;
}

async function quantized(options: QuantizeOptions, model = languageModel()) {
  const { changes } = await quantize(model, options);
  return { model, layers: Object.fromEntries(changes.map(({ at, bits, what }) => [at, `${bits}: ${what}`])) };
}

test("8 bits that a language model has by default are not an override, and those of the options are", async () => {
  const overrides = { up: { bits: 8 as const } };
  const { changes } = await quantize(languageModel(), { dtype: "q4", overrides });
  const bits = changes.map(({ at, bits, decidedBy }) => [at, bits, decidedBy]);
  expect(bits).toContainEqual(["embed", 8, "global"]);
  expect(bits).toContainEqual(["up", 8, "layer"]);
  expect(bits).toContainEqual(["down", 4, "global"]);
});

test("4-bit weights of a language model have zero points, scales of least error, and a last layer in 8 bits that shares the table", async () => {
  const { model, layers } = await quantized({ dtype: "q4" });
  expect(layers).toMatchObject({
    up: "4: weight in 4 bits, blocks of 32 with zero points, rounded by mse",
    down: "4: weight in 4 bits, blocks of 32 with zero points, rounded by mse",
    embed: "8: weight in 8 bits, blocks of 64 with zero points, rounded by mse",
  });
  const tables = [...model.graph.values()].filter(
    ({ name, tensor }) => /^embed.*_quantized/.test(name) && tensor !== undefined,
  );
  expect(tables).toHaveLength(1);
  const feeds = { input_ids: fromNumbers("int64", [1, 3], [0, 5, 127]) };
  const float = await run(languageModel(), feeds);
  expect(difference(float, await run(model, feeds))).toBeLessThan(
    difference(float, await run((await quantized({ dtype: "q4", rounder: "nearest" })).model, feeds)),
  );
});

test("an override and a rounding method replace the defaults of a language model", async () => {
  const options = {
    scheme: "weights",
    bits: 4,
    rounder: "nearest",
    overrides: { embed: { bits: 4, block: 32 } },
  } as const;
  expect((await quantized(options)).layers).toMatchObject({
    up: "4: weight in 4 bits, blocks of 32",
    embed: "4: weight in 4 bits, blocks of 32 with zero points",
  });
});

test("zero points that the options switch off are not a default of a language model", async () => {
  const { layers } = await quantized({ dtype: "q4", zeroPoints: false });
  expect(layers.up).toBe("4: weight in 4 bits, blocks of 32, rounded by mse");
});

test("the last layer of a language model keeps 4 bits if 8 bits would add more than 15 % of the weights", async () => {
  const { layers } = await quantized({ dtype: "q4" }, languageModel(128));
  expect(layers.embed).toMatch(/^4: /);
});

test("a decoder has 8 bits where 4 cost most: in the layer of massive activations, then in keys and values", async () => {
  const { layers } = await quantized({ dtype: "q4" }, await decoder());
  const wide = Object.keys(layers).filter((name) => layers[name]?.startsWith("8: ") === true && name !== "embed");
  expect(wide).toContain("down1");
  expect(wide.filter((name) => /^[kv]/.test(name)).length).toBeGreaterThan(2);
  expect(wide.filter((name) => /^[qo]/.test(name))).toEqual([]);
});

test("keys or values of attention in one node have 8 bits, and not its queries", async () => {
  const model = parseModel(`opset 21
graph (input_ids: int64[batch, sequence], past_key_values.0.key: float32[batch, 1, past, 64], past_key_values.0.value: float32[batch, 1, past, 64], last: int32[batch], total: int32[]) -> (logits: float32[batch, sequence, 128], present.0.key: float32[batch, 1, all, 64], present.0.value: float32[batch, 1, all, 64]) {
  embed.weight: float32[128, 256] = random(seed 1)
  q.weight: float32[256, 256] = random(seed 2)
  k.weight: float32[256, 64] = random(seed 3)
  v.weight: float32[256, 64] = random(seed 4)
  o.weight: float32[256, 256] = random(seed 5)
  h = Gather(embed.weight, input_ids)
  q = MatMul(h, q.weight)
  k = MatMul(h, k.weight)
  v = MatMul(h, v.weight)
  c, present.0.key, present.0.value = com.microsoft.GroupQueryAttention(q, k, v, past_key_values.0.key, past_key_values.0.value, last, total) {num_heads=4, kv_num_heads=1}
  o = MatMul(c, o.weight)
  t = Transpose(embed.weight) {perm=[1, 0]}
  logits = MatMul(o, t)
}`);
  const { layers } = await quantized({ dtype: "q4" }, model);
  const bits = (names: readonly string[]) => names.map((name) => layers[name]?.slice(0, 2));
  expect(bits(["q", "o"])).toEqual(["4:", "4:"]);
  expect(bits(["k", "v"])).toContain("8:");
});

test("a decoder's weights in 4 bits are at most as large as without 8 bits and with scales in float32", async () => {
  const bytesWith = async (options: QuantizeOptions) => {
    const { model } = await quantized(options, await decoder());
    const tensors = [...model.graph.values()].filter(({ name }) => /^(q|k|v|o|up|down)\d/.test(name));
    return tensors.reduce((sum, { tensor }) => sum + (tensor?.bytes ?? 0), 0);
  };
  const bytes = await bytesWith({ dtype: "q4" });
  const count = blockIndices.length * (4 * 64 * 64 + 2 * 64 * 256);
  const reference = (count * (4 + (32 + 4) / 32)) / 8;
  expect(bytes).toBeLessThanOrEqual(reference);
  expect(bytes).toBeGreaterThan(0.97 * reference);
});

test("scales of a language model are stored in float16, and float16 arithmetic reads them without casts", async () => {
  const feeds = { input_ids: fromNumbers("int64", [1, 3], [0, 5, 127]) };
  const float = await run(languageModel(), feeds);
  const { model: single } = await quantized({ dtype: "q4" });
  const { model: half } = await quantized({ dtype: "q4f16" });
  for (const model of [single, half]) {
    const scales = [...model.graph.values()].filter(({ name, tensor }) => /^(up|down).*_scale$/.test(name) && tensor);
    expect(scales.map(({ tensor }) => tensor?.type)).toEqual(["float16", "float16"]);
  }
  const products = [...half.graph.nodes()].filter(({ op }) => op === "MatMulNBits");
  expect(products.every(({ inputs }) => inputs[2]?.tensor !== undefined)).toBe(true);
  const error = difference(float, await run(single, feeds));
  const halfError = difference(float, await run(half, feeds));
  expect(halfError).toBeLessThan(1.5 * error);
});

/** A language model whose last layer has a transposed copy of the table. */
async function untiedModel() {
  const model = languageModel();
  const [embed] = [...model.graph.nodes()].flatMap(({ op, inputs }) => (op === "Gather" ? [inputs[0]] : []));
  const transposed = [...model.graph.nodes()].find(({ op }) => op === "Transpose");
  const [copy] = transposed?.outputs ?? [];
  const table = await embed?.tensor?.read();
  if (copy === undefined || transposed === undefined || table === undefined) throw new Error("The table is not tied.");
  const [rows = 0, columns = 0] = table.dims;
  const values = Array.from(
    { length: rows * columns },
    (_, index) => toFloats(table)[(index % rows) * columns + Math.floor(index / rows)] ?? 0,
  );
  replaceUses(copy, model.graph.addTensor("head.weight", inMemory(float32([columns, rows], values))));
  model.graph.removeNode(transposed);
  return model;
}

test("a last layer with a transposed copy of the table shares the bytes of the table", async () => {
  const { model: untied, layers } = await quantized({ dtype: "q4" }, await untiedModel());
  expect(layers.embed).toMatch(/^8: weight in 8 bits, blocks of 64/);
  const tied = (await quantized({ dtype: "q4" })).model;
  expect(storedBytes(untied.graph)).toBe(storedBytes(tied.graph));
});

test("a last layer with a transposed copy of the table keeps its name and copy for options that name it", async () => {
  const excluded = await quantized({ dtype: "q4", except: ["he*"] }, await untiedModel());
  expect(excluded.model.graph.value("head.weight")?.tensor?.type).toBe("float32");
  expect(Object.keys(excluded.layers)).toEqual(["embed", "up", "down"]);
  const selected = await quantized({ dtype: "q4", layers: "head" }, await untiedModel());
  expect(Object.keys(selected.layers)).toEqual(["head"]);
  const chosen = await quantized({ dtype: "q4", overrides: { head: { bits: 4 } } }, await untiedModel());
  expect(chosen.layers.head).toMatch(/^4: /);
});

test("a layer of a decoder that was quantized before keeps its values", async () => {
  const model = await decoder();
  const up = model.graph.value("up2.weight");
  const values = Array.from({ length: 64 * 256 }, (_, index) => {
    const [row, column] = [Math.floor(index / 256), index % 256];
    return 0.05 * (((7 * row + 5 * column) % 16) - 7.3);
  });
  if (up !== undefined) up.tensor = inMemory(float32([64, 256], values));
  const { layers } = await quantized({ dtype: "q4" }, model);
  expect(layers).toMatchObject({
    up2: "4: weight in 4 bits, blocks of 32 with offsets, which keep its values",
    up3: "4: weight in 4 bits, blocks of 32 with zero points, rounded by mse",
  });
});

test("with samples, the blocks of a language model keep the weights that read its largest inputs", async () => {
  const model = languageModel();
  const table = model.graph.value("embed.weight");
  const values = toFloats((await table?.tensor?.read()) ?? float32([0], []));
  if (table !== undefined)
    table.tensor = inMemory(
      float32(
        [128, 64],
        values.map((value, at) => (at % 64 < 2 ? 30 * value : value)),
      ),
    );
  const input_ids = fromNumbers(
    "int64",
    [16, 8],
    Array.from({ length: 128 }, (_, index) => index),
  );
  const errorOf = async (options: QuantizeOptions) =>
    difference(
      await run(model, { input_ids }),
      await run((await quantized(options, model.clone())).model, { input_ids }),
    );
  const blind = await errorOf({ dtype: "q4" });
  expect(await errorOf({ dtype: "q4", data: memory("tokens", { input_ids }) })).toBeLessThan(0.9 * blind);
});
