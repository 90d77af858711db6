/** Tests pruning of channels until the model meets a cost. */
import { expect, test } from "vitest";
import { cost } from "../../../src/core/analysis/cost.ts";
import { infer } from "../../../src/core/analysis/infer.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { structureHash } from "../../../src/core/graph/structure-hash.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { encodedSize } from "../../../src/core/onnx/encode.ts";
import type { Context } from "../../../src/core/pass/pass.ts";
import { type PruneOptions, prune } from "../../../src/techniques/prune/index.ts";

const network = (): Model =>
  parseModel(`opset 17
graph (x: float32[1, 3, 16, 16]) -> (y: float32[1, 10, 16, 16]) {
  a.weight: float32[64, 3, 3, 3] = random(seed 1)
  b.weight: float32[96, 64, 3, 3] = random(seed 2)
  c.weight: float32[10, 96, 1, 1] = random(seed 3)
  p = Conv "a" (x, a.weight) {pads=[1, 1, 1, 1]}
  q = Relu(p)
  r = Conv "b" (q, b.weight) {pads=[1, 1, 1, 1]}
  s = Relu(r)
  y = Conv "c" (s, c.weight)
}`);

const macs = (model: Model): number => Number(cost(model, infer(model)).macs);
const outputs = (model: Model): readonly (number | undefined)[] =>
  ["a.weight", "b.weight"].map((name) => model.graph.value(name)?.tensor?.dims[0]);

test.each([0.5, 0.2])("leaves at most a share of %s of the MACs, and little less", async (share) => {
  const model = network();
  const messages: string[] = [];
  await prune(model, { structured: true, macs: share }, { log: ({ id, text }) => messages.push(`${id}: ${text}`) });
  const remainingShare = macs(model) / macs(network());
  expect(remainingShare).toBeLessThanOrEqual(share);
  expect(remainingShare).toBeGreaterThan(0.85 * share);
  expect(messages[0]).toMatch(/^target: the amount \d+\.\d % leaves \d+\.\d % of the multiply-accumulates/);
});

test("keeps the file within the target size, including its records", async () => {
  const model = network();
  await prune(model, { structured: true, targetSize: "100kB" });
  const size = await encodedSize(model);
  expect(size).toBeLessThanOrEqual(100_000);
  expect(size).toBeGreaterThan(85_000);
});

test("keeps multiples of 16, 8 or 4 channels, or of the given number", async () => {
  const [wide, asked] = [network(), network()];
  await prune(wide, { structured: true, macs: 0.5 });
  expect(outputs(wide).map((count) => Number(count) % 8)).toEqual([0, 0]);
  await prune(asked, { structured: true, amount: 0.3, roundTo: 24 });
  expect(outputs(asked)).toEqual([48, 72]);
});

test("warns if multiples remove far more than the target, without its topic twice", async () => {
  const warnings: string[] = [];
  const log: Context["log"] = ({ id, text, level }) =>
    void (id === "target" && level === "warning" && warnings.push(text));
  await prune(network(), { structured: true, macs: 0.9, roundTo: 48 }, { log });
  expect(warnings).toEqual([
    "whole multiples of channels remove more than that. `roundTo` 1 comes closer, but is often no faster",
  ]);
});

test("names the block if an amount is too small for it", async () => {
  const reasons = async (options: PruneOptions) => {
    const { misses } = await prune(network(), { structured: true, layers: "a", ...options });
    return misses.map(({ reason }) => reason);
  };
  expect(await reasons({ amount: 0.2, roundTo: 32 })).toEqual([
    "20 % of its 64 channels is less than half of a block of 32 channels",
  ]);
  expect(await reasons({ amount: 0.1, roundTo: 32, scope: "global", layers: ["a", "b"] })).toContain(
    "channels are removed in blocks of 32, and less than half of a block is among the lowest-scoring 10 % of all layers",
  );
  expect(await reasons({ amount: 0.005 })).toEqual(["0.5 % of its 64 channels rounds to 0"]);
  const warnings: string[] = [];
  const log: Context["log"] = ({ id, text }) => void (id === "amount" && warnings.push(text));
  await prune(network(), { structured: true, layers: "a", amount: 0.2, roundTo: 32 }, { log });
  expect(warnings).toEqual(["the amount removes no channel: a larger one, or `roundTo` 1, can remove some"]);
  await prune(network(), { structured: true, layers: "a", amount: 0.2, roundTo: 1 }, { log });
  expect(warnings).toHaveLength(1);
});

test("states how much would be left if a target cannot be reached", async () => {
  const pruned = prune(network(), { structured: true, targetSize: 500 });
  await expect(pruned).rejects.toMatchObject({
    code: "E_OPTION",
    message: expect.stringMatching(
      /^`targetSize` cannot be reached: 0\.\d % of the bytes are left if all removable channels are removed, expected 0\.\d %\.$/,
    ),
  });
});

test.each([
  [{ macs: 0.5 }, "`macs: 0.5`"],
  [{ structured: true, macs: 0.5, amount: 0.5 }, "`macs: 0.5`"],
  [{ targetSize: "1MB" }, "`targetSize: 1000000`"],
  [{ structured: 0.5, faster: 2 }, "`faster: 2`"],
] as const)("rejects %j, and shows how to use the bound", async (options, use) => {
  await expect(prune(network(), options)).rejects.toMatchObject({
    code: "E_OPTION",
    message: expect.stringContaining(`is for \`structured\` without an amount: use \`structured\` ${use}`),
  });
});

test("rejects two bounds", async () => {
  await expect(prune(network(), { structured: true, macs: 0.5, faster: 2 })).rejects.toMatchObject({
    code: "E_OPTION",
    message: expect.stringContaining("give only one of `macs`, `targetSize` and `faster`"),
  });
});

test.each([
  ["roundTo", { amount: 0.5, roundTo: 8 }],
  ["throughNorms", { amount: 0.5, throughNorms: true }],
] as const)("rejects %s without structured, and changes nothing", async (name, options) => {
  const net = network();
  const before = structureHash(net);
  await expect(prune(net, options)).rejects.toMatchObject({
    code: "E_OPTION",
    message: `prune: "${name}": is for \`structured\`.`,
  });
  expect(structureHash(net)).toBe(before);
});
