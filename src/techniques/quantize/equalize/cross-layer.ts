/**
 * Cross-layer equalization (Nagel et al. 2019, arXiv 1906.04721). With one scale per weight, small channels use few quantized
 * values. Between two layers that share channels, each channel u is multiplied by
 *
 *     s_u = √(r2_u / r1_u)        r1_u = max |W1[u, :]|,  r2_u = max |W2[:, u]|
 *
 * where it is written and divided where it is read, so both maxima become √(r1_u r2_u). Groups are swept until the factors converge.
 */
import type { Layer, ScaledSlice, ScaleGroup } from "#analysis";
import { allLayers, biasedOutput, infer, layers, optionsOfLayer, scaleGroups, selectLayers } from "#analysis";
import type { Model, NodeSpec, Value } from "#ir";
import {
  axisLayout,
  buffer,
  emitInto,
  fromNumbers,
  groupBy,
  isFloat,
  Miss,
  removeUnused,
  substitute,
  throwIfAborted,
  toNumbers,
} from "#ir";
import { type Change, type Context, scaledKind } from "#pass";
import { fuseBatchNorms } from "../../../rewrite/clean-up/fuse-batch-norm.ts";
import { migrate } from "../../../rewrite/edit/move-factors.ts";
import { createTrials } from "../../shared/noise-trials.ts";
import { ruleOf, weightMiss } from "../quantizable.ts";
import { areIntegers, everySetting, type RoundedSettings } from "../settings.ts";
import type { Equalization } from "./index.ts";

const maxSweeps = 20;
/** Largest |log factor| at which the sweeps end. */
const tolerance = 0.01;
const minGain = 0.1;

const hasTensorScale = (options: Pick<RoundedSettings, "weights" | "perChannel">): boolean =>
  !options.perChannel && areIntegers(options);

export const crossLayer: Equalization = {
  suits: (options) => everySetting(options).some(hasTensorScale),
  async apply(model, options, context, noise) {
    const isRounded = (layer: Layer): boolean =>
      weightMiss(layer) === undefined && hasTensorScale(optionsOfLayer(options, layer).options);
    let changes: readonly Change[] = [];
    const trial = createTrials(model, noise, minGain);
    const gain = await trial(async () => {
      // Integer schemes fold batch normalization into layers before rounding.
      if (options.scheme !== "weights") {
        const selectedLayers = selectLayers(allLayers(model, infer(model)), options).filter(isRounded);
        const nodes = new Set(selectedLayers.map(({ node }) => node));
        await fuseBatchNorms(model, { trained: true, into: ({ node }) => nodes.has(node) });
      }
      changes = await equalizeRanges(model, options, isRounded, context);
      return changes.length > 0;
    });
    return gain === undefined ? [] : changes.map((change) => ({ ...change, what: `${change.what}: ${gain}` }));
  },
};

async function equalizeRanges(
  model: Model,
  options: RoundedSettings,
  isRounded: (layer: Layer) => boolean,
  context: Context,
): Promise<readonly Change[]> {
  const restoreClamps = replaceClamps(model);
  const inference = infer(model);
  const selectedLayers = selectLayers(allLayers(model, inference), options).filter(isRounded);
  const weights = new Set(selectedLayers.map(({ effective }) => effective));
  const groups = scaleGroups(model, inference).filter(({ units, refused }) => refused.size < units);
  const factors = await equalizingFactors(groups, weights, context);
  const changedValues = new Set<Value>();
  for (const [index, group] of groups.entries()) {
    const groupFactors = factors[index];
    if (groupFactors === undefined || groupFactors.every((factor) => factor === 1)) continue;
    await migrate(model, group, groupFactors);
    for (const { value } of group.slices) changedValues.add(value);
  }
  restoreClamps((limits) => !changedValues.has(limits));
  return selectedLayers
    .filter(({ effective }) => changedValues.has(effective))
    .map(({ name }) => ({
      at: name,
      what: "channel ranges equalized across layers",
      kind: scaledKind,
      decidedBy: "global",
    }));
}

/** Returns a factor per unit of each group. @param weights the tensors that are quantized. */
export async function equalizingFactors(
  groups: readonly ScaleGroup[],
  weights: ReadonlySet<Value>,
  { signal }: Pick<Context, "signal">,
): Promise<readonly Float64Array[]> {
  const factors = groups.map(({ units }) => new Float64Array(units).fill(1));
  const all = groups.flatMap(({ slices }, group) => slices.map((slice) => ({ ...slice, group })));
  const slicesOf = groupBy(all, ({ value }) => value);
  /** Returns the largest magnitude of each unit in a tensor (its reach) and of the whole tensor. */
  const reachOf = async ({ value, axis, unitOf }: ScaledSlice, units: number) => {
    const reach = new Float64Array(units);
    if (value.tensor === undefined) return { reach, largest: 0 };
    const numbers = toNumbers(await value.tensor.read());
    const { dims } = value.tensor;
    const scalings = (slicesOf.get(value) ?? []).map((slice) => ({
      ...axisLayout(dims, slice.axis),
      scale: Float64Array.from(slice.unitOf, (unit) => (factors[slice.group]?.[unit] ?? 1) ** slice.power),
    }));
    const { count, inner } = axisLayout(dims, axis);
    let largest = 0;
    for (let index = 0; index < numbers.length; index++) {
      let size = Math.abs(numbers[index] ?? 0);
      for (const slice of scalings) size *= slice.scale[Math.floor(index / slice.inner) % slice.count] ?? 1;
      const unit = unitOf[Math.floor(index / inner) % count] ?? -1;
      if (size > largest) largest = size;
      if (unit >= 0 && size > (reach[unit] ?? 0)) reach[unit] = size;
    }
    return { reach, largest };
  };
  /** Combines several tensors by their reach relative to their largest value; a single tensor keeps its reach. */
  const combinedReach = async (slices: readonly ScaledSlice[], units: number): Promise<Float64Array> => {
    const reaches = [];
    for (const slice of slices) reaches.push(await reachOf(slice, units));
    const nonzero = reaches.filter(({ largest }) => largest > 0);
    const logs = nonzero.reduce((sum, { largest }) => sum + Math.log(largest), 0);
    const middle = Math.exp(logs / Math.max(1, nonzero.length));
    const jointReach = new Float64Array(units);
    for (const { reach, largest } of nonzero)
      reach.forEach((value, unit) => {
        jointReach[unit] = Math.max(jointReach[unit] ?? 0, (value / largest) * middle);
      });
    return jointReach;
  };
  for (let sweep = 0; sweep < maxSweeps; sweep++) {
    let maxChange = 0;
    for (const [index, { units, slices, refused }] of groups.entries()) {
      throwIfAborted(signal);
      const [groupFactors, roundedSlices] = [factors[index], slices.filter(({ value }) => weights.has(value))];
      const [written, readSlices] = [
        roundedSlices.filter(({ power }) => power === 1),
        roundedSlices.filter(({ power }) => power === -1),
      ];
      if (groupFactors === undefined || written.length === 0 || readSlices.length === 0) continue;
      const [r1, r2] = [await combinedReach(written, units), await combinedReach(readSlices, units)];
      const largest = r1.reduce((maximum, first, unit) => Math.max(maximum, Math.sqrt(first * (r2[unit] ?? 0))), 0);
      for (let unit = 0; unit < units; unit++) {
        const [first = 0, second = 0] = [r1[unit], r2[unit]];
        if (first === second || largest === 0 || refused.has(unit)) continue;
        // If a channel is zero on one side, its other side is reduced to the largest of the others.
        const factor =
          first === 0
            ? Math.max(1, second / largest)
            : second === 0
              ? Math.min(1, largest / first)
              : Math.sqrt(second / first);
        maxChange = Math.max(maxChange, Math.abs(Math.log(factor)));
        groupFactors[unit] = (groupFactors[unit] ?? 1) * factor;
      }
    }
    if (maxChange < tolerance) break;
  }
  return factors;
}

/**
 * Rewrites clamps to [0, high] after layers, so that factors can move through: a stored bound per channel can be scaled.
 *
 *     y = Clip(h, 0, 6)        y = Min(Relu(h), b)    b = 6 for each channel
 *
 * @returns a function that restores the clamps for which `isUnscaled` returns true.
 */
function replaceClamps(model: Model): (isUnscaled: (limits: Value) => boolean) => void {
  const inference = infer(model);
  const replacements: { readonly clamp: NodeSpec; readonly bounded: Value; readonly limits: Value }[] = [];
  for (const layer of layers(model, inference)) {
    const result = biasedOutput(layer, inference)?.output;
    const [use] = result?.uses ?? [];
    const type = result?.type?.type;
    if (use === undefined || result?.uses.size !== 1 || type === undefined || !isFloat(type)) continue;
    const { node: clamp } = use;
    const [output] = clamp.outputs;
    const bound = inference.at(clamp);
    const rule = bound instanceof Miss || bound.homogeneous() !== undefined ? undefined : ruleOf(clamp, inference);
    if (rule?.kind !== "clamp" || output === undefined) continue;
    if (rule.low !== 0 || rule.high === undefined || rule.high <= 0 || clamp.graph !== model.graph) continue;
    const rank = result.type?.dims?.length ?? 0;
    const dims = Array.from({ length: rank - layer.role.outputAxis }, (_, axis) => (axis === 0 ? layer.outputs : 1));
    const emit = emitInto(model, { before: clamp, by: "quantize", onNode: inference.visit });
    const high = new Array<number>(layer.outputs).fill(rule.high);
    const limits = emit.constant(fromNumbers(type, dims, high), `${layer.name}.bounds`, buffer);
    const bounded = emit.named(`${output.name}_bounded`).Min([emit.Relu([result]), limits]);
    const { op, domain, name, attributes, inputs } = clamp;
    const spec = { op, domain, name, attributes: new Map(attributes), inputs: [...inputs], outputs: 1 };
    substitute(output, bounded);
    replacements.push({ clamp: spec, bounded, limits });
  }
  return (isUnscaled) => {
    for (const { clamp, bounded, limits } of replacements) {
      if (!isUnscaled(limits) || bounded.producer === undefined) continue;
      const [output] = model.graph.addNode(clamp, { before: bounded.producer }).outputs;
      if (output === undefined) continue;
      output.type = bounded.type;
      substitute(bounded, output);
    }
    removeUnused(model.graph);
  };
}
