/** Masks on every topology: the file with masks, read back, computes what it computes once they are folded in. */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/analysis/infer.ts";
import { layers } from "../../src/analysis/layers.ts";
import { createEngine } from "../../src/engine/index.ts";
import type { Model } from "../../src/graph/model.ts";
import { parseModel } from "../../src/graph/text.ts";
import { verify } from "../../src/graph/verify.ts";
import { encodeToBytes, open } from "../../src/onnx/index.ts";
import { isPruned, prune, remove } from "../../src/prune/index.ts";
import { toFloat64 } from "../../src/tensor/convert.ts";
import type { Batch } from "../../src/tensor/types.ts";
import { topologies } from "../zoo/topologies.ts";
import { feedsOf } from "./silenced.ts";

const engine = createEngine();

async function run(model: Model, feeds: Batch): Promise<number[][]> {
  const session = await engine.load(model);
  const outputs = await session.run(feeds);
  await session.release();
  return Object.values(outputs).map((dense) => [...toFloat64(dense)]);
}

describe.each(topologies.map((topology) => [topology.name, topology] as const))("%s", (_, topology) => {
  test.each(["uniform", "global"] as const)("masks (%s) are saved, read back, run, and folded in", async (scope) => {
    const model = parseModel(topology.text);
    const feeds = feedsOf(topology, 1);
    const before = await run(model, feeds);
    const { changes } = await prune(model, { amount: 0.6, scope, keepMasks: true });
    // Behind an operator without entry no layer is found: then nothing changes.
    expect(changes.length > 0).toBe(layers(model, infer(model)).length > 0);
    if (changes.length === 0) return;
    expect(verify(model)).toEqual([]);
    const read = await open(await encodeToBytes(model));
    expect(isPruned(read)).toBe(true);
    const masked = await run(read, feeds);
    expect(masked).not.toEqual(before);
    await remove(read);
    expect(verify(read)).toEqual([]);
    expect(isPruned(read)).toBe(false);
    expect(read.graph.nodeCount).toBe(parseModel(topology.text).graph.nodeCount);
    const folded = await run(read, feeds);
    folded.forEach((output, index) => {
      output.forEach((value, place) => {
        expect(Math.abs(value - (masked[index]?.[place] ?? Number.NaN))).toBeLessThanOrEqual(
          1e-5 * (1 + Math.abs(value)),
        );
      });
    });
  });
});
