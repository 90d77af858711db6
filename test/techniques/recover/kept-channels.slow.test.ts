/** Dimensions of pruned values, in every topology. */
import { expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { Miss } from "../../../src/core/errors.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { dimsText } from "../../../src/core/tensor/dims.ts";
import { matchOriginal } from "../../../src/techniques/calibrate/match-original.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { keptIndicesOf } from "../../../src/techniques/recover/kept-channels.ts";
import { topologies } from "../../zoo/topologies.ts";
import { engine } from "./networks.ts";

test("predicts the dimensions of every pruned value in every topology", async () => {
  const counts = { cut: 0, told: 0 };
  const wrong: string[] = [];
  for (const { name, text } of topologies) {
    const original = parseModel(text);
    const changed = original.clone();
    const { changes } = await prune(changed, { amount: 0.3, structured: true });
    if (changes.length === 0) continue;
    const match = await matchOriginal(changed, original, engine);
    // If the remaining channels of a layer are unknown, no dimensions can be predicted.
    const isUnsure = match.misses.some((miss) => miss instanceof Miss && /cannot map|are grouped/.test(miss.reason));
    const keptIndices = await keptIndicesOf(match);
    infer(match.original);
    infer(changed);
    for (const value of changed.graph.values()) {
      const before = match.original.graph.value(value.name);
      if (value.producer === undefined || before?.producer === undefined) continue;
      const [originalDims, actualDims] = [before.type?.dims, value.type?.dims];
      if (originalDims === undefined || actualDims === undefined || dimsText(originalDims) === dimsText(actualDims))
        continue;
      counts.cut++;
      const axes = keptIndices.get(value.name);
      const predictedDims = originalDims.map((dim, axis) => axes?.get(axis)?.length ?? dim);
      if (dimsText(predictedDims) === dimsText(actualDims)) counts.told++;
      else if (!isUnsure)
        wrong.push(`${name}, ${value.name}: ${dimsText(predictedDims)}, it is ${dimsText(actualDims)}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(counts.cut).toBeGreaterThan(100);
  expect(counts.told).toBeGreaterThan(0.9 * counts.cut);
});
