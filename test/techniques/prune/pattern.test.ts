/** Tests patterns: which weights are removed together. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Model } from "pith";
import { toNumbers } from "pith";
import type { Solver } from "pith/extend";
import { parseModel } from "pith/extend";
import { type Pattern, prune } from "pith/prune";
import { afterAll, describe, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "pith-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function numbers(model: Model, name = "w"): Promise<number[]> {
  const tensor = model.graph.value(name)?.tensor ?? expect.fail(`there is no tensor ${name}`);
  return toNumbers(await tensor.read());
}

/** Outputs × inputs: three rows of six. */
const rowsOf = [
  [1, -5, 2, 8, 3, 4],
  [9, 7, -8, 6, 1, 2],
  [0.1, 0.2, -0.4, 0.3, 0.6, 0.5],
];
const dense = () =>
  parseModel(`opset 17
graph (x: float32[n, 6]) -> (y) {
  w: float32[3, 6] = ${JSON.stringify(rowsOf)}
  y = Gemm(x, w) {transB=1}
}`);

describe("a pattern in a matrix", () => {
  const pruneAndReadRows = async (options: object): Promise<number[][]> => {
    const net = dense();
    await prune(net, options);
    const all = await numbers(net);
    return [0, 6, 12].map((start) => all.slice(start, start + 6).map((value) => Math.abs(Math.round(value * 10) / 10)));
  };

  test("2:4 keeps the two largest of each four inputs, and both remaining inputs", async () => {
    expect(await pruneAndReadRows({ pattern: "2:4" })).toEqual([
      [0, 5, 0, 8, 3, 4],
      [9, 0, 8, 0, 1, 2],
      [0, 0, 0.4, 0.3, 0.6, 0.5],
    ]);
  });

  test("1:3 keeps one of three", async () => {
    expect(await pruneAndReadRows({ pattern: "1:3" })).toEqual([
      [0, 5, 0, 8, 0, 0],
      [9, 0, 0, 6, 0, 0],
      [0, 0, 0.4, 0, 0.6, 0],
    ]);
  });

  test("rows lose equal shares, while entries of the layer remove whole small rows", async () => {
    expect(await pruneAndReadRows({ pattern: "rows", amount: 0.5 })).toEqual([
      [0, 5, 0, 8, 0, 4],
      [9, 7, 8, 0, 0, 0],
      [0, 0, 0.4, 0, 0.6, 0.5],
    ]);
    const [, , last] = await pruneAndReadRows({ pattern: "entries", amount: 0.5 });
    expect(last).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test("removes the first of equal entries", async () => {
    const net = parseModel(`opset 17
graph (x: float32[n, 4]) -> (y) {
  w: float32[1, 4] = [[3, 2, -2, 2]]
  y = Gemm(x, w) {transB=1}
}`);
    await prune(net, { pattern: "2:4" });
    expect(await numbers(net)).toEqual([3, 0, 0, 2]);
  });

  test("restores nothing: 2:4 again removes nothing, and amounts count remaining weights", async () => {
    const net = dense();
    await prune(net, { pattern: "2:4", keepMasks: true });
    const before = await numbers(net, "w_mask");
    await prune(net, { pattern: "2:4", keepMasks: true });
    expect(await numbers(net, "w_mask")).toEqual(before);
    await prune(net, { pattern: "rows", amount: 0.5, keepMasks: true });
    // Half of the four remaining weights in each row are kept, so two in each of three rows.
    expect((await numbers(net, "w_mask")).filter((kept) => kept === 1)).toHaveLength(6);
  });
});

test("groups inputs that the layer reads, for any storage of its weight", async () => {
  const turned = parseModel(`opset 17
graph (x: float32[n, 6]) -> (y) {
  w: float32[6, 3] = ${JSON.stringify(rowsOf[0]?.map((_, column) => rowsOf.map((row) => row[column])))}
  y = MatMul(x, w)
}`);
  const straight = dense();
  await prune(turned, { pattern: "2:4" });
  await prune(straight, { pattern: "2:4" });
  const rows = await numbers(straight);
  expect(await numbers(turned)).toEqual(Array.from({ length: 18 }, (_, at) => rows[(at % 3) * 6 + Math.floor(at / 3)]));
});

test("treats the groups of a convolution as separate matrices", async () => {
  const net = parseModel(`opset 17
graph (x: float32[n, 4, 5]) -> (y) {
  w: float32[2, 2, 2] = [[[1, 2], [3, 4]], [[8, 7], [6, 5]]]
  y = Conv(x, w) {group=2}
}`);
  await prune(net, { pattern: "2:4" });
  expect(await numbers(net)).toEqual([0, 0, 3, 4, 8, 7, 0, 0]);
});

/** Removes every other input. */
const comb: Pattern = {
  id: "comb",
  share: 0.5,
  choose: (scores, kept) =>
    kept.map((mask, group) => mask.map((stays, at) => stays * ((at % (scores[group]?.columns ?? 1)) % 2))),
};

describe("a custom pattern", () => {
  test("can be an object", async () => {
    const net = dense();
    const { changes } = await prune(net, { pattern: comb });
    expect(await numbers(net)).toEqual(
      rowsOf.flatMap((row) => row.map((value, at) => (at % 2 === 0 ? 0 : Math.fround(value)))),
    );
    expect(changes[0]?.what).toBe("9 of 18 pruned, 9 of 18 left");
  });

  test("is named in its errors, also if a solver calls it", async () => {
    const pattern: Pattern = { id: "odd", share: 0.5, choose: () => [] };
    const solver: Solver = { id: "by it", prune: (w, kept, goal) => ({ kept: goal.pattern.choose(w, kept, 0.5) }) };
    await expect(prune(dense(), { pattern, solver })).rejects.toThrow(/pattern "odd": expected 0 or 1/);
  });

  test("can be a module, by path", async () => {
    const path = join(folder, "comb.mjs");
    writeFileSync(path, `export default { id: "comb", share: 0.5, choose: ${String(comb.choose)} };`);
    const [net, other] = [dense(), dense()];
    await prune(net, { pattern: path });
    await prune(other, { pattern: comb });
    expect(await numbers(net)).toEqual(await numbers(other));
  });

  test.each([
    ["returns too little", (): Uint8Array[] => [], /"odd": expected 0 or 1 for each entry of layer/],
    ["returns nothing", () => undefined as never, /"odd": expected 0 or 1 for each entry of layer/],
    ["returns other values", () => [new Uint8Array(18).fill(2)], /"odd": expected 0 or 1/],
  ])("is rejected if it %s, and changes nothing", async (_, choose, message) => {
    const net = dense();
    const before = await numbers(net);
    await expect(prune(net, { pattern: { id: "odd", share: 0.5, choose } })).rejects.toThrow(message);
    expect(await numbers(net)).toEqual(before);
  });
});

describe("prune rejects", () => {
  test.each<readonly [string, object, RegExp]>([
    ["4:4, which keeps all", { pattern: "4:4" }, /"pattern": .*n:m such as "2:4"/],
    ["an unknown word", { pattern: "diagonal" }, /"pattern": .*"entries", "rows"/],
    ["a missing amount", { pattern: "rows" }, /"amount": is required/],
    [
      "an amount in addition to the pattern's",
      { pattern: "2:4", amount: 0.9 },
      /"amount": is not for a pattern that sets/,
    ],
    [
      "an amount of one layer",
      { pattern: "2:4", overrides: { fc: { amount: 0.9 } } },
      /"overrides": is not for a pattern that sets/,
    ],
    ["a pattern with channels", { pattern: "2:4", structured: 0.5 }, /"pattern": is for individual weights/],
    [
      "a pattern with a scope over all layers",
      { pattern: "2:4", scope: "global" },
      /"scope": is not for a pattern that sets/,
    ],
    [
      "a share above 1",
      { pattern: { ...comb, share: 1.5 } },
      /"pattern": has a `share` that is not a number from 0 to 1/,
    ],
    ["a share that is a word", { pattern: { ...comb, share: "half" } }, /"pattern": has a `share`/],
    ["a missing module", { pattern: "./none.mjs" }, /"\.\/none\.mjs" does not exist/],
  ])("%s", async (_, options, message) => {
    await expect(prune(dense(), options as never)).rejects.toThrow(message);
  });

  test("a module without a default export, and a module without a pattern", async () => {
    const [empty, other] = [join(folder, "empty.mjs"), join(folder, "other.mjs")];
    writeFileSync(empty, "export const pattern = 3;");
    writeFileSync(other, "export default { id: 'x' };");
    await expect(prune(dense(), { pattern: empty })).rejects.toThrow(/has no default export/);
    await expect(prune(dense(), { pattern: other })).rejects.toThrow(/"pattern": is "entries"/);
  });
});
