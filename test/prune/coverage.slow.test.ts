/** How much of a network whole channels can be cut from: at least 95 % of the weights of real models, or the cause is one of those named here. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { channelGroups, type Group, removable } from "../../src/analysis/channels.ts";
import { infer } from "../../src/analysis/infer.ts";
import { type Layer, layers } from "../../src/analysis/layers.ts";
import { open } from "../../src/onnx/index.ts";
import { withFreeChannels } from "../../src/passes/free-channels.ts";
import { storeWeights } from "../../src/passes/store-constants.ts";
import { elementCount, fixedDims } from "../../src/tensor/dims.ts";
import { shared } from "../shared.ts";

const asOutput = "they are an output of the model";
/** Why these keep more. */
const causes: Readonly<Record<string, string>> = {
  dtln_1: asOutput,
  lstm_states: asOutput,
  hf_bert: asOutput,
  multi_output: asOutput,
  separable: "they are an input of the model",
  negative_axes: "Gather selects by position along this axis",
};

const files = ["data/zoo", "data/models"].flatMap((name) => {
  const folder = shared(name);
  return folder === undefined
    ? []
    : readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith(".onnx"))
        .map((file) => join(folder, file))
        .sort();
});

/** The share of an axis whose channels can go. */
function free(groups: readonly Group[], { effective }: Layer, axis: number, size: number): number {
  const going = new Set<number>();
  for (const group of groups) {
    const units = new Set(removable(group));
    for (const { value, axis: own, unitOf } of group.slices)
      if (value === effective && own === axis)
        for (const [index, unit] of unitOf.entries()) if (units.has(unit)) going.add(index);
  }
  return going.size / size;
}

describe.skipIf(files.length === 0)("weights in rows or columns that can go", () => {
  test.each(files.map((path) => [basename(path, ".onnx"), path] as const))("%s", async (name, path) => {
    const stored = await open(path);
    storeWeights(stored);
    const model = await withFreeChannels(stored);
    const inference = infer(model);
    const groups = channelGroups(model, inference, { throughNorms: true });
    let [all, covered] = [0, 0];
    for (const layer of layers(model, inference)) {
      const dims = fixedDims(layer.effective.type?.dims);
      if (layer.role.kind === "lookup" || dims === undefined) continue;
      const count = elementCount(dims);
      const [rows, columns] = [layer.role.out, layer.role.in].map((axis) => free(groups, layer, axis, dims[axis] ?? 1));
      all += count;
      covered += count * (1 - (1 - (rows ?? 0)) * (1 - (columns ?? 0)));
    }
    const reasons = groups.flatMap(({ refused }) => [...refused.values()].map(({ reason }) => reason));
    const cause = causes[name];
    if (cause !== undefined) expect(reasons).toContain(cause);
    // A model may have all its layers in graphs inside nodes.
    else if (all > 0) expect(covered / all).toBeGreaterThanOrEqual(0.95);
  });
});
