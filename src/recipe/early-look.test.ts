import { describe, expect, test } from "vitest";
import { memory } from "../data/index.ts";
import { accuracy } from "../evaluate/index.ts";
import { parseModel } from "../graph/text.ts";
import { completeContext } from "../passes/index.ts";
import { float32, int64 } from "../tensor/dense.ts";
import { EarlyLook } from "./early-look.ts";
import { PairedMetrics } from "./paired-metrics.ts";

const model = (nodes: string) =>
  parseModel(`opset 21\ngraph (x: float32[n, 2]) -> (logits: float32[n, 2]) {\n  ${nodes}\n}`);
const original = model("logits = Identity(x)");
const equal = model("logits = Abs(x)");
/** Names the other class for all samples. */
const broken = model("logits = Neg(x)");
const goal = { maxDrop: 0.01 };

async function looking(count: number, firstLook: number | undefined) {
  const named = Array.from({ length: count }, (_, sample) => (sample * 7) % 3 > 0);
  const x = float32([count, 2], Float32Array.from(named.flatMap((one) => (one ? [2, 1] : [1, 2]))));
  const label = int64(
    [count],
    BigInt64Array.from(named, (one) => (one ? 0n : 1n)),
  );
  const task = { test: memory("samples", { x, label }), metric: accuracy() };
  const [options, context] = [{ batch: 64 }, completeContext({})];
  const all = await PairedMetrics.create(original, task, options, context);
  return EarlyLook.create(original, task, options, context, all, firstLook);
}

describe("a first look at a result", () => {
  test("ends what misses the goal for certain", async () => {
    const look = await looking(1000, 100);
    const { rows, compared } = await look.measure(broken, undefined, goal);
    expect(rows.said.given).toHaveLength(100);
    expect(compared.comparison).toMatchObject({ original: { value: 1, count: 100 }, candidate: { value: 0 } });
  });

  test("goes on to all samples with what may keep the goal, as without a first look", async () => {
    const found = await (await looking(1000, 100)).measure(equal, undefined, goal);
    expect(found.rows.said.given).toHaveLength(1000);
    expect(found).toEqual(await (await looking(1000, undefined)).measure(equal, undefined, goal));
  });

  test("goes on from what is known, where another goal does not end it", async () => {
    const look = await looking(1000, 100);
    const { rows } = await look.measure(broken, undefined, goal);
    expect((await look.measure(broken, rows, goal)).rows).toBe(rows);
    const whole = await look.measure(broken, rows, { maxDrop: 1 });
    expect(whole.rows.said.given).toHaveLength(1000);
  });

  test("comes to the same where all samples are known already", async () => {
    const look = await looking(1000, 100);
    const { rows } = await look.measure(broken, undefined, undefined);
    const again = await look.measure(broken, rows, goal);
    expect(again.compared).toEqual((await look.measure(broken, undefined, goal)).compared);
    expect(again.rows).toBe(rows);
  });

  test("is at all samples where there is no goal, or as many samples as there are", async () => {
    const found = await (await looking(1000, 100)).measure(broken, undefined, undefined);
    expect(found.rows.said.given).toHaveLength(1000);
    expect((await (await looking(100, 100)).measure(broken, undefined, goal)).rows.said.given).toHaveLength(100);
  });
});
