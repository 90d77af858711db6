/** A language model with rotary embeddings, shared key heads and a cache, whose operator set is raised so that each layer has one operator for attention. */
import { beforeAll, describe, expect, test } from "vitest";
import { createEngine, type Session } from "../../src/core/engine/index.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { open } from "../../src/core/onnx/index.ts";
import { fromNumbers } from "../../src/core/tensor/convert.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { simplify } from "../../src/rewrite/clean-up/simplify.ts";
import { largestDifference } from "../../src/runtime/run/difference.ts";
import { fusionOptionsFor } from "../../src/techniques/quantize/fuse-decoder.ts";
import { shared } from "../shared.ts";

const engine = createEngine();
const file = shared("data/models/llama_shakespeare/onnx/model.onnx");
const layers = 4;

const countOperators = async (target: Parameters<typeof fusionOptionsFor>[0]) => {
  const model = await open(file ?? "");
  await simplify(model, fusionOptionsFor(target), { engine });
  const counts: Record<string, number> = {};
  for (const { op } of model.graph.nodes()) counts[op] = (counts[op] ?? 0) + 1;
  return { model, counts };
};

/** Feeds `count` tokens to each of `pads.length` samples. The first `pads[n]` positions of sample n are padding. */
function feedsOf(pads: readonly number[], count: number, past: Batch | undefined): Batch {
  const batch = pads.length;
  const length = past?.["present.0.key"]?.dims[2] ?? 0;
  const at = (width: number, of: (sample: number, position: number) => number) =>
    fromNumbers(
      "int64",
      [batch, width],
      pads.flatMap((_, sample) => Array.from({ length: width }, (_unused, position) => of(sample, position))),
    );
  const caches = Array.from({ length: layers }, (_, layer) =>
    ["key", "value"].map((part) => [
      `past_key_values.${layer}.${part}`,
      past?.[`present.${layer}.${part}`] ?? fromNumbers("float32", [batch, 2, 0, 32], []),
    ]),
  ).flat();
  return {
    input_ids: at(count, (sample, position) => (7 + 31 * sample + 17 * (position + length)) % 1024),
    attention_mask: at(length + count, (sample, position) => (position < (pads[sample] ?? 0) ? 0 : 1)),
    position_ids: at(count, (sample, position) => Math.max(1, length + position - (pads[sample] ?? 0))),
    ...Object.fromEntries(caches),
  };
}

describe.skipIf(file === undefined)("simplify for ONNX Runtime", () => {
  const sessions: Session[] = [];

  beforeAll(async () => {
    const original = await open(file ?? "");
    const { model, counts } = await countOperators(["node", "wasm"]);
    const primitives = await countOperators(["webgpu"]);
    sessions.push(await engine.load(original, { threads: 1 }));
    for (const each of [model, primitives.model])
      for (const runtime of [engine, createEngine({ runtime: "wasm" })])
        sessions.push(await runtime.load(each, { threads: 1 }));
    expect(counts).toMatchObject({ Attention: 4, RotaryEmbedding: 8, RMSNormalization: 9 });
    expect(counts).not.toHaveProperty("Softmax");
    expect(counts).not.toHaveProperty("Expand");
    expect(model.graph.nodeCount).toBeLessThan(100);
    const interfaceOf = ({ graph }: typeof model) =>
      [...graph.inputs, ...graph.outputs].map(({ name, type }) => [name, type]);
    expect(interfaceOf(model)).toEqual(interfaceOf(original));
  });

  test.each([
    ["one token, then one", [0], 1, 1],
    ["700 tokens, then one", [0], 700, 1],
    ["three samples with padding at the left, then one token", [0, 3, 8], 9, 1],
    ["three samples with padding at the left, then five tokens", [4, 0, 2], 9, 5],
    ["a sample that is all padding", [0, 4], 4, 1],
  ])("keeps logits and cache at all positions, also in WebAssembly, for %s", async (_, pads, count, more) => {
    let caches: readonly (Batch | undefined)[] = [];
    for (const length of [count, more]) {
      caches = await Promise.all(sessions.map((session, index) => session.run(feedsOf(pads, length, caches[index]))));
      const [expected = {}, ...fused] = caches;
      for (const outputs of fused) {
        expect(Object.keys(outputs ?? {})).toEqual(Object.keys(expected));
        for (const [name, value] of Object.entries(expected))
          expect(largestDifference(value, outputs?.[name] ?? value), name).toBeLessThan(1e-5);
      }
    }
  });

  test("keeps attention as primitives for WebGPU, which has no kernel of the operator, without copies of shared heads", async () => {
    const { counts } = await countOperators(["wasm", "webgpu"]);
    expect(counts).toMatchObject({ Softmax: 4, RotaryEmbedding: 8, RMSNormalization: 9 });
    expect(counts).not.toHaveProperty("Attention");
    expect(counts).not.toHaveProperty("Expand");
  });
});

test("the operator set stays if no rule needs a newer one", async () => {
  const model = parseModel("opset 18\ngraph (x: float32[n, 4]) -> (y) {\n  h = Neg(x)\n  y = Exp(h)\n}");
  await simplify(model, { raise: true }, { engine });
  expect(model.opsets.get("")).toBe(18);
});
