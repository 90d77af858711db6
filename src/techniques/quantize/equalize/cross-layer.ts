/**
 * Cross-layer equalization (Nagel et al. 2019, arXiv 1906.04721). With one scale per weight, small channels use few quantized
 * values. Between two layers that share channels, each channel u is multiplied by
 *
 *     s_u = √(r2_u / r1_u)        r1_u = max |W1[u, :]|,  r2_u = max |W2[:, u]|
 *
 * where it is written and divided where it is read, so both reach √(r1_u r2_u). Layers belong to several groups, so the groups
 * are swept until the factors converge. If several layers write a channel, each counts relative to its largest value.
 */

import { infer } from "../../../core/analysis/infer.ts";
import { allLayers, type Layer } from "../../../core/analysis/layers.ts";
import { type ScaledSlice, type ScaleGroup, scaleGroups } from "../../../core/analysis/scale-groups.ts";
import { ownOptions, selectLayers } from "../../../core/analysis/selection.ts";
import { throwIfAborted } from "../../../core/errors.ts";
import type { Value } from "../../../core/graph/graph.ts";
import type { Model } from "../../../core/graph/model.ts";
import { type Change, type Context, movedFactors } from "../../../core/pass/pass.ts";
import { toNumbers } from "../../../core/tensor/convert.ts";
import { alongAxis } from "../../../core/tensor/dims.ts";
import { groupBy } from "../../../core/tensor/group-by.ts";
import { fuseBatchNorms } from "../../../rewrite/clean-up/fuse-batch-norm.ts";
import { migrate } from "../../../rewrite/edit/migrate.ts";
import { trialsOn } from "../../../runtime/noise/noise-trials.ts";
import { everySetting } from "../options.ts";
import { areIntegers, weightMiss } from "../weight.ts";
import { boundChannels } from "./channel-bounds.ts";
import type { EqualizeOptions, Transformation } from "./transformation.ts";

/** Maximum number of sweeps; chains of layers converge within ten. */
const mostSweeps = 20;
/** Factors nearer to 1 count as converged. */
const still = 0.01;
const leastGain = 0.1;

const counts = (own: Pick<EqualizeOptions, "weights"> & { readonly perChannel?: boolean | undefined }): boolean =>
  own.perChannel === false && areIntegers(own);

export const crossLayer: Transformation = {
  suits: (options) => everySetting(options).some(counts),
  async move(model, options, context, noise) {
    const isRounded = (layer: Layer): boolean =>
      weightMiss(layer) === undefined && counts(ownOptions(options, layer).own);
    let found: readonly Change[] = [];
    const trial = trialsOn(model, noise.rounded, leastGain);
    const gain = await trial(async () => {
      // Integer schemes fold batch normalization into layers before rounding.
      if (options.scheme !== "weights") {
        const chosen = selectLayers(allLayers(model, infer(model)), options).filter(isRounded);
        const nodes = new Set(chosen.map(({ node }) => node));
        await fuseBatchNorms(model, { trained: true, into: ({ node }) => nodes.has(node) });
      }
      found = await equalizeRanges(model, options, isRounded, context);
      return found.length > 0;
    });
    return gain === undefined ? [] : found.map((change) => ({ ...change, what: `${change.what}: ${gain}` }));
  },
};

async function equalizeRanges(
  model: Model,
  options: EqualizeOptions,
  isRounded: (layer: Layer) => boolean,
  context: Context,
): Promise<readonly Change[]> {
  const undo = boundChannels(model);
  const inference = infer(model);
  const chosen = selectLayers(allLayers(model, inference), options).filter(isRounded);
  const weights = new Set(chosen.map(({ effective }) => effective));
  const groups = scaleGroups(model, inference).filter(({ units, refused }) => refused.size < units);
  const factors = await equalizingFactors(groups, weights, context);
  const moved = new Set<Value>();
  for (const [at, group] of groups.entries()) {
    const own = factors[at];
    if (own === undefined || own.every((factor) => factor === 1)) continue;
    await migrate(model, group, own);
    for (const { value } of group.slices) moved.add(value);
  }
  undo((bounds) => !moved.has(bounds));
  return chosen
    .filter(({ effective }) => moved.has(effective))
    .map(({ name }) => ({
      at: name,
      what: "channel ranges equalized across layers",
      kind: movedFactors,
      decidedBy: "global",
    }));
}

/** Returns a factor per unit of each group. @param weights the tensors that are rounded: only their ranges count. */
export async function equalizingFactors(
  groups: readonly ScaleGroup[],
  weights: ReadonlySet<Value>,
  { signal }: Pick<Context, "signal">,
): Promise<readonly Float64Array[]> {
  const factors = groups.map(({ units }) => new Float64Array(units).fill(1));
  const all = groups.flatMap(({ slices }, group) => slices.map((slice) => ({ ...slice, group })));
  const slicesOf = groupBy(all, ({ value }) => value);
  const reachOf = async ({ value, axis, unitOf }: ScaledSlice, units: number) => {
    const reach = new Float64Array(units);
    if (value.tensor === undefined) return { reach, largest: 0 };
    const numbers = toNumbers(await value.tensor.read());
    const { dims } = value.tensor;
    const scalings = (slicesOf.get(value) ?? []).map((slice) => ({
      ...alongAxis(dims, slice.axis),
      scale: Float64Array.from(slice.unitOf, (unit) => (factors[slice.group]?.[unit] ?? 1) ** slice.power),
    }));
    const { count, inner } = alongAxis(dims, axis);
    let largest = 0;
    for (let at = 0; at < numbers.length; at++) {
      let size = Math.abs(numbers[at] ?? 0);
      for (const own of scalings) size *= own.scale[Math.floor(at / own.inner) % own.count] ?? 1;
      const unit = unitOf[Math.floor(at / inner) % count] ?? -1;
      if (size > largest) largest = size;
      if (unit >= 0 && size > (reach[unit] ?? 0)) reach[unit] = size;
    }
    return { reach, largest };
  };
  /** Combines several tensors by their reach relative to their largest value; a single tensor keeps its reach. */
  const together = async (slices: readonly ScaledSlice[], units: number): Promise<Float64Array> => {
    const found = [];
    for (const slice of slices) found.push(await reachOf(slice, units));
    const known = found.filter(({ largest }) => largest > 0);
    const middle = Math.exp(known.reduce((sum, { largest }) => sum + Math.log(largest), 0) / Math.max(1, known.length));
    const reach = new Float64Array(units);
    for (const one of known)
      one.reach.forEach((own, unit) => {
        reach[unit] = Math.max(reach[unit] ?? 0, (own / one.largest) * middle);
      });
    return reach;
  };
  for (let sweep = 0; sweep < mostSweeps; sweep++) {
    let farthest = 0;
    for (const [at, { units, slices, refused }] of groups.entries()) {
      throwIfAborted(signal);
      const [own, counted] = [factors[at], slices.filter(({ value }) => weights.has(value))];
      const [written, read] = [counted.filter(({ power }) => power === 1), counted.filter(({ power }) => power === -1)];
      if (own === undefined || written.length === 0 || read.length === 0) continue;
      const [r1, r2] = [await together(written, units), await together(read, units)];
      const most = r1.reduce((far, first, unit) => Math.max(far, Math.sqrt(first * (r2[unit] ?? 0))), 0);
      for (let unit = 0; unit < units; unit++) {
        const [first = 0, second = 0] = [r1[unit], r2[unit]];
        if (first === second || most === 0 || refused.has(unit)) continue;
        // A channel with only zeros on one side adapts to the others.
        const factor =
          first === 0
            ? Math.max(1, second / most)
            : second === 0
              ? Math.min(1, most / first)
              : Math.sqrt(second / first);
        farthest = Math.max(farthest, Math.abs(Math.log(factor)));
        own[unit] = (own[unit] ?? 1) * factor;
      }
    }
    if (farthest < still) break;
  }
  return factors;
}
