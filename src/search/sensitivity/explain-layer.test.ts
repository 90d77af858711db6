import { describe, expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { toNumbers } from "../../core/tensor/convert.ts";
import { prune } from "../../techniques/prune/index.ts";
import { explainLayer } from "./explain-layer.ts";

/** The outputs of "first" have the norms 1, 2, 3 and 4. */
const chain = () =>
  parseModel(`opset 17
graph (x: float32[n, 2]) -> (y) {
  first.weight: float32[2, 4] = [[1, 2, 3, 4], [0, 0, 0, 0]]
  second.weight: float32[4, 3] = random(seed 1)
  a = MatMul "first" (x, first.weight)
  b = Relu (a)
  y = MatMul "second" (b, second.weight)
}`);

const normalized = () =>
  parseModel(`opset 17
graph (x: float32[n, 2]) -> (y) {
  first.weight: float32[2, 4] = random(seed 1)
  skip.weight: float32[2, 4] = random(seed 2)
  scale: float32[4] = ones
  second.weight: float32[4, 3] = random(seed 3)
  a = MatMul "first" (x, first.weight)
  b = MatMul "skip" (x, skip.weight)
  c = Add (a, b)
  d = LayerNormalization "norm" (c, scale)
  y = MatMul "second" (d, second.weight)
}`);

describe("explain", () => {
  test.each([0, 1, 2])("states the amount from which prune removes channel %i", async (channel) => {
    const { channels } = await explainLayer(chain(), "first", channel);
    expect(channels).toMatchObject({ count: 4, free: 4, together: [], reasons: [] });
    const from = channels?.one?.from ?? Number.NaN;
    const kept = async (amount: number): Promise<boolean> => {
      const model = chain();
      if (amount > 0) await prune(model, { structured: amount, layers: "first" });
      const weight = await model.graph.value("first.weight")?.tensor?.read();
      return weight !== undefined && toNumbers(weight).includes(channel + 1);
    };
    expect(await kept(from)).toBe(false);
    expect(await kept(from - 0.25)).toBe(true);
  });

  test("states that the last channel of a layer is never removed", async () => {
    const { channels } = await explainLayer(chain(), "first", 3);
    expect(channels?.one).toEqual({ channel: 3, reason: "its layer keeps at least one channel" });
  });

  test("names the node that blocks pruning, coupled layers, and what would free channels", async () => {
    const { channels, techniques } = await explainLayer(normalized(), "first", 0);
    expect(channels).toMatchObject({ count: 4, free: 0, freeThroughNorms: 4, together: ["skip"] });
    expect(channels?.reasons).toEqual([{ channels: 4, reason: expect.stringContaining('"norm"') }]);
    expect(channels?.one?.reason).toBe(channels?.reasons[0]?.reason);
    expect(techniques.find(({ kind }) => kind === "channels")).toMatchObject({
      setting: undefined,
      text: expect.stringContaining('"norm"'),
    });
    expect(techniques.find(({ kind }) => kind === "prune")).toMatchObject({ setting: 0.2 });
  });

  test("keeps the outputs of the model, and does not change the model", async () => {
    const model = chain();
    const before = [...model.graph.nodes()];
    const { channels } = await explainLayer(model, "second");
    expect(channels).toMatchObject({ free: 0, reasons: [{ channels: 3, reason: expect.stringContaining("output") }] });
    expect([...model.graph.nodes()]).toEqual(before);
  });

  test("finds no output channels in an embedding table", async () => {
    const table = parseModel(`opset 17
graph (i: int64[n]) -> (y) {
  table.weight: float32[5, 3] = random(seed 1)
  y = Gather "table" (table.weight, i)
}`);
    expect((await explainLayer(table, "table")).channels).toBeUndefined();
    await expect(explainLayer(table, "table", 0)).rejects.toMatchObject({ code: "E_OPTION" });
  });

  test.each([
    ["nope", undefined, "E_NAME"],
    ["first", 4, "E_OPTION"],
  ] as const)("for layer %s and channel %s, fails with %s", async (layer, channel, code) => {
    await expect(explainLayer(chain(), layer, channel)).rejects.toMatchObject({ code });
  });
});
