/** How much of a network whole channels can be cut from, and why the rest stays. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type ChannelOptions, channelGroups, type Group } from "../../../src/core/analysis/channels.ts";
import { infer } from "../../../src/core/analysis/infer.ts";
import { allLayers, isInSubgraph, type Layer } from "../../../src/core/analysis/layers.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { elementCount, fixedDims } from "../../../src/core/tensor/dims.ts";
import { withFreeChannels } from "../../../src/rewrite/clean-up/free-channels.ts";
import { storeWeights } from "../../../src/rewrite/clean-up/store-constants.ts";
import { shared } from "../../shared.ts";

const asOutput = "they are an output of the model";
/** Models of which less than 95 % is in rows or columns that can go, and why. */
export const causes: Readonly<Record<string, string>> = {
  dtln_1: asOutput,
  lstm_states: asOutput,
  hf_bert: asOutput,
  multi_output: asOutput,
  separable: "they are an input of the model",
  negative_axes: "Gather selects by position along this axis",
  silero_vad: "they are in a graph inside a node",
};

/** The models in a folder of the shared folder; none where it is not there. */
export function modelFiles(folder: string): readonly string[] {
  const path = shared(folder);
  return path === undefined
    ? []
    : readdirSync(path, { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith(".onnx"))
        .map((file) => join(path, file))
        .sort();
}

/** The model in the form from which `prune` cuts. */
export async function freed(path: string): Promise<Model> {
  const stored = await open(path);
  storeWeights(stored);
  return withFreeChannels(stored);
}

export interface Coverage {
  /** Entries of weights that something is multiplied with. */
  readonly weights: number;
  /** Those of them in a row or a column that can go. */
  readonly covered: number;
  readonly rest: readonly Uncovered[];
}

/** A layer of which entries stay. */
export interface Uncovered {
  readonly layer: string;
  readonly entries: number;
  /** Why rows stay, and columns: each reason once, with its place. */
  readonly rows: readonly string[];
  readonly columns: readonly string[];
}

export function coverageOf(model: Model, options: ChannelOptions): Coverage {
  const inference = infer(model);
  const groups = channelGroups(model, inference, options);
  const rest: Uncovered[] = [];
  let [weights, covered] = [0, 0];
  for (const layer of allLayers(model, inference)) {
    const dims = fixedDims(layer.effective.type?.dims);
    if (layer.role.kind === "lookup" || dims === undefined) continue;
    const count = elementCount(dims);
    const [rows, columns] = [layer.role.out, layer.role.in].map((axis) =>
      alongAxis(groups, layer, axis, dims[axis] ?? 1),
    );
    const uncoveredCount = count * (1 - (rows?.free ?? 0)) * (1 - (columns?.free ?? 0));
    weights += count;
    covered += count - uncoveredCount;
    if (uncoveredCount > 0)
      rest.push({
        layer: layer.name,
        entries: uncoveredCount,
        rows: rows?.reasons ?? [],
        columns: columns?.reasons ?? [],
      });
  }
  return { weights, covered, rest };
}

/** The share of an axis whose channels can go, and why others cannot. */
function alongAxis(
  groups: readonly Group[],
  layer: Layer,
  axis: number,
  size: number,
): { readonly free: number; readonly reasons: readonly string[] } {
  if (isInSubgraph(layer)) return { free: 0, reasons: ["they are in a graph inside a node"] };
  const reasons = new Set<string>();
  const [met, going] = [new Set<number>(), new Set<number>()];
  for (const { slices, refused } of groups)
    for (const { value, axis: sliceAxis, unitOf } of slices)
      if (value === layer.effective && sliceAxis === axis)
        for (const [index, unit] of unitOf.entries()) {
          if (unit < 0) continue;
          met.add(index);
          const miss = refused.get(unit);
          if (miss === undefined) going.add(index);
          else reasons.add(`${miss.reason} (${miss.at})`);
        }
  if (met.size < size) reasons.add("they are no channels of a layer");
  return { free: going.size / size, reasons: [...reasons] };
}
