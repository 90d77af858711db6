import { describe, expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { toNumbers } from "../../core/tensor/convert.ts";
import { prune } from "../../techniques/prune/index.ts";
import { explain } from "./explain.ts";

/** Norms of the outputs of "first" rise: 1, 2, 3, 4. */
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
  test.each([0, 1, 2])(
    "says with how many channels number %i goes: prune cuts it then, and not with one fewer",
    async (channel) => {
      const { channels } = await explain(chain(), "first", channel);
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
    },
  );

  test("a channel that nothing can take the place of stays whatever the amount", async () => {
    const { channels } = await explain(chain(), "first", 3);
    expect(channels?.one).toEqual({ channel: 3, reason: "its layer keeps at least one channel" });
  });

  test("names what refuses, what goes together, and what would free it", async () => {
    const { channels, techniques } = await explain(normalized(), "first", 0);
    expect(channels).toMatchObject({ count: 4, free: 0, freeThroughNorms: 4, together: ["skip"] });
    expect(channels?.reasons).toEqual([{ channels: 4, reason: expect.stringContaining('"norm"') }]);
    expect(channels?.one?.reason).toBe(channels?.reasons[0]?.reason);
    expect(techniques.find(({ kind }) => kind === "channels")).toMatchObject({
      setting: undefined,
      text: expect.stringContaining('"norm"'),
    });
    expect(techniques.find(({ kind }) => kind === "prune")).toMatchObject({ setting: 0.2 });
  });

  test("outputs of the model stay, and the model is as it was", async () => {
    const model = chain();
    const before = [...model.graph.nodes()];
    const { channels } = await explain(model, "second");
    expect(channels).toMatchObject({ free: 0, reasons: [{ channels: 3, reason: expect.stringContaining("output") }] });
    expect([...model.graph.nodes()]).toEqual(before);
  });

  test("a table of embeddings has no output channels of its own", async () => {
    const table = parseModel(`opset 17
graph (i: int64[n]) -> (y) {
  table.weight: float32[5, 3] = random(seed 1)
  y = Gather "table" (table.weight, i)
}`);
    expect((await explain(table, "table")).channels).toBeUndefined();
    await expect(explain(table, "table", 0)).rejects.toMatchObject({ code: "E_OPTION" });
  });

  test.each([
    ["nope", undefined, "E_NAME"],
    ["first", 4, "E_OPTION"],
  ] as const)("%s, channel %s: %s", async (layer, channel, code) => {
    await expect(explain(chain(), layer, channel)).rejects.toMatchObject({ code });
  });
});
