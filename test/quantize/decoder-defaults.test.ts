/** The defaults of 4-bit weights of language models. */
import { expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text-parse.ts";
import { fromNumbers } from "../../src/core/tensor/convert.ts";
import { type QuantizeOptions, quantize } from "../../src/techniques/quantize/index.ts";
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

async function quantized(options: QuantizeOptions, model = languageModel()) {
  const { changes } = await quantize(model, options);
  return { model, layers: Object.fromEntries(changes.map(({ at, bits, what }) => [at, `${bits}: ${what}`])) };
}

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

test("the last layer of a language model keeps 4 bits if 8 bits would add more than 15 % of the weights", async () => {
  const { layers } = await quantized({ dtype: "q4" }, languageModel(128));
  expect(layers.embed).toMatch(/^4: /);
});
