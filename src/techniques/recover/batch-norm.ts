/**
 * Recovery stage: recomputes the statistics of batch normalizations, whose inputs compression has changed:
 *
 *     y = (x - mean) / √(variance + ε) · scale + bias,    mean ← E[x],  variance ← E[(x - E[x])²]
 */
import { type Inference, infer } from "#analysis";
import { counted, fromNumbers, inMemory, isFloat, Miss, type Model, type Node, nodeText, type Value } from "#ir";
import type { Calibration } from "../calibrate/calibration.ts";
import { channelMoments } from "../calibrate/column-statistics.ts";
import { type Stage, startCalibration } from "./stage.ts";

export const recalibrateNorms: Stage = {
  name: "batch-norm",
  async run(model, scope) {
    let changed = 0;
    const misses: Miss[] = [];
    const norms = normsOf(model, infer(model));
    if (norms.length === 0) return { changed, misses, what: "" };
    const calibration = await startCalibration(model, scope);
    for (const [index, norm] of norms.entries()) {
      if (scope.overdue()) break;
      scope.context.progress(index, norms.length);
      if (norm instanceof Miss) {
        misses.push(norm);
        continue;
      }
      await recalibrate(norm, calibration);
      changed++;
    }
    return { changed, misses, what: `statistics of ${counted(changed, "normalization")} measured again` };
  },
};

export async function recalibrate({ node, data, axis, mean, variance }: Norm, calibration: Calibration): Promise<void> {
  await calibration.reach(node);
  const moments = await calibration.observe({ name: data.name, axis }, channelMoments);
  for (const [value, numbers] of [
    [mean, moments.mean],
    [variance, moments.variance],
  ] as const) {
    if (value.tensor !== undefined && isFloat(value.tensor.type))
      value.tensor = inMemory(fromNumbers(value.tensor.type, value.tensor.dims, numbers));
  }
}

export interface Norm {
  readonly node: Node;
  readonly data: Value;
  readonly axis: number;
  readonly mean: Value;
  readonly variance: Value;
}

export function normsOf(model: Model, inference: Inference): readonly (Norm | Miss)[] {
  return [...model.graph.nodes()].flatMap((node): (Norm | Miss)[] => {
    const bound = inference.at(node);
    const affine = bound instanceof Miss ? bound : bound.affine();
    if (affine instanceof Miss || affine.statistics === undefined || affine.axis === undefined) return [];
    const [data, mean, variance] = [affine.dataInput, affine.statistics.mean, affine.statistics.variance].map(
      (input) => node.inputs[input],
    );
    if (data === undefined || !isReadOnlyBy(mean, node) || !isReadOnlyBy(variance, node))
      return [new Miss("its statistics are computed, or shared with another layer", nodeText(node))];
    return [{ node, data, axis: affine.axis, mean, variance }];
  });
}

function isReadOnlyBy(value: Value | undefined, node: Node): value is Value {
  return value?.tensor !== undefined && isFloat(value.tensor.type) && [...value.uses].every((use) => use.node === node);
}
