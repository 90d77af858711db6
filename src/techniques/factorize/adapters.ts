/** Inserts low-rank adapters (two factors in parallel to a layer, times a stored scale) into a graph, and finds them by the names of values. */
import { infer } from "../../core/analysis/infer.ts";
import { isInside, type Layer, layers as layersOf } from "../../core/analysis/layers.ts";
import { isStored } from "../../core/analysis/stored-root.ts";
import { requireProduct, requireWeight, weightNeeds, weightShape } from "../../core/analysis/weight.ts";
import { joinList, Miss } from "../../core/errors.ts";
import { emitInto } from "../../core/graph/emit.ts";
import { nodeName, type Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { pattern } from "../../core/graph/pattern.ts";
import { replaceUses } from "../../core/graph/replace.ts";
import { buffer, parameter } from "../../core/graph/role.ts";
import { counted, integer } from "../../core/numbers.ts";
import type { ChainPart } from "../../core/ops/entry.ts";
import { entryOf } from "../../core/ops/index.ts";
import type { Change, Context, Outcome } from "../../core/pass/pass.ts";
import { fromNumbers } from "../../core/tensor/convert.ts";
import { inMemory } from "../../core/tensor/dense.ts";
import { fixedDims } from "../../core/tensor/dims.ts";
import type { Dense } from "../../core/tensor/types.ts";
import { factorType, storeParts } from "./chain.ts";
import type { Part } from "./decomposition.ts";

export const scaleName = (layer: string): string => `${layer}.lora.scale`;
export const layerOf = (name: string): string | undefined =>
  name.endsWith(scaleName("")) ? name.slice(0, -scaleName("").length) : undefined;
export const partOf = (layer: string, part: "down" | "up"): string => `${layer}.lora.${part}`;
export const weightName = (layer: string, part: "down" | "up"): string => `${partOf(layer, part)}.weight`;

interface Branch {
  readonly parts: readonly ChainPart[];
  readonly scale: Value;
  readonly note?: string;
}

/** Returns whether two layers read the same weight along the same axes, so that they can share an adapter. */
export const areReadAlike = (a: Layer, b: Layer): boolean =>
  a.effective === b.effective &&
  a.role.out === b.role.out &&
  a.role.in === b.role.in &&
  a.role.groups === b.role.groups;

export const storeScale = (model: Model, layer: Layer, scale: Dense): Value =>
  model.graph.addTensor(scaleName(layer.name), inMemory(scale), buffer);

/** Stores the factors "down" and "up" of a layer's adapter, and its scale. */
export function storeBranch(model: Model, layer: Layer, factors: readonly Part[], scale: number): Branch {
  const named = factors.map((factor) => ({ ...factor, name: `lora.${factor.name}` }));
  const parts = storeParts(model, layer, dimsOf(layer), named);
  for (const { weight } of parts) weight.role = parameter;
  return { parts, scale: storeScale(model, layer, fromNumbers(factorType(layer), [], [scale])) };
}

export const adaptedLayers = (model: Model): ReadonlySet<string> =>
  new Set(findAdapters(model).flatMap(({ base, down, up }) => [base, down, up].map(({ name }) => name)));

export const dimsOf = ({ role: { packed }, effective }: Layer): readonly number[] =>
  packed === undefined ? (fixedDims(effective.type?.dims) ?? []) : [packed.outputs, packed.inputs];

export function explainRank(layer: Layer, rank: number): Miss | undefined {
  const { outputs, inputs, taps } = weightShape(layer.role, dimsOf(layer));
  const features = inputs * taps;
  return rank < Math.min(outputs, features)
    ? undefined
    : new Miss(`rank ${rank} is not below the full rank of its ${outputs} × ${features} weight`, layer.name);
}

export async function insertAdapters(
  model: Model,
  chosen: readonly Layer[],
  branchOf: (layer: Layer) => Promise<Branch | Miss>,
): Promise<Outcome> {
  const changes: Change[] = [];
  const misses: Miss[] = [];
  const nodes = [...model.graph.nodes()];
  const following = new Map(nodes.map((node, index) => [node, nodes[index + 1]]));
  const inserted = new Map<string, { readonly by: Layer; readonly branch: Branch }>();
  for (const layer of chosen) {
    const { node, name, role } = layer;
    const [output] = node.outputs;
    const unmergeable = explainMerge(layer, chosen.filter((other) => areReadAlike(layer, other)).length);
    const earlier = inserted.get(name);
    const otherReading =
      earlier === undefined || areReadAlike(earlier.by, layer)
        ? undefined
        : new Miss("another layer reads its weight in another form, and has an adapter", name);
    const branch = explainUnsupported(layer) ?? otherReading ?? earlier?.branch ?? (await branchOf(layer));
    if (branch instanceof Miss) misses.push(branch);
    if (branch instanceof Miss || output === undefined) continue;
    if (earlier === undefined) inserted.set(name, { by: layer, branch });
    const emit = emitInto(model, { before: following.get(node), by: "lora" });
    // The adapter gets no bias, because the layer itself adds it.
    const inputs = node.inputs.map((input, index) => (index === role.input || index === role.data ? input : undefined));
    // A node without a name is named after its output. The sum takes over the output's name, so the node must store this name first.
    node.name = nodeName(node);
    const chain = role.chain?.(emit, inputs, branch.parts);
    const scaled = emit.named(`${name}.lora.output`).Mul([chain, branch.scale]);
    const sum = emit.Add([output, scaled]);
    sum.type = output.type;
    replaceOutput(output, sum);
    const notes = [
      `adapter of rank ${branch.parts[1]?.weight.type?.dims?.[role.in]}`,
      ...(branch.note === undefined ? [] : [branch.note]),
      ...(unmergeable === undefined ? [] : [`which cannot be merged: ${unmergeable.reason}`]),
    ];
    changes.push({ at: name, what: notes.join(", "), decidedBy: "global" });
  }
  return { changes, misses };
}

/** Returns why a layer cannot get an adapter. Its weight does not change, so it can be stored in any form. */
function explainUnsupported(layer: Layer): Miss | undefined {
  const { packed, data } = layer.role;
  const type = (packed === undefined ? layer.effective : layer.node.inputs[data])?.type?.type;
  if (isInside(layer)) return new Miss("it is in a subgraph", layer.name);
  if (layer.role.chain === undefined) return new Miss("its operator cannot be written as two layers", layer.name);
  return type === "float32" || type === "float64" || type === "float16"
    ? requireProduct(layer)
    : new Miss(`it computes ${type}`, layer.name);
}

/** Returns why an adapter cannot be merged into a weight that `readers` layers share. */
export function explainMerge(layer: Layer, readers: number): Miss | undefined {
  const isMasked = layer.effective !== layer.weight;
  const masked = isMasked ? new Miss("its weight is masked, `remove` makes the mask permanent", layer.name) : undefined;
  return requireWeight(layer, { ...weightNeeds.solve, readers }) ?? masked;
}

/** Replaces an output by a sum: its readers read the sum, which also gets its name. */
function replaceOutput(output: Value, sum: Value): void {
  const { graph, name } = output;
  replaceUses(output, sum, sum.producer);
  if (sum.name === name) return;
  graph.rename(output, graph.freshName(`${name}.base`));
  graph.rename(sum, name);
}

export interface Adapter {
  readonly base: Layer;
  readonly down: Layer;
  readonly up: Layer;
  readonly scale: Value;
  readonly output: Value;
  readonly sum: Value;
}

const adapterPattern = pattern(["output", "branch", "scale"], (emit, { output, branch, scale }) =>
  emit.Add([output, emit.Mul([branch, scale])]),
);

export function findAdapters(model: Model): readonly Adapter[] {
  const all = layersOf(model, infer(model));
  const byName = new Map(all.map((layer) => [layer.name, layer]));
  const byOutput = new Map(all.map((layer) => [layer.node.outputs[0], layer]));
  return [...model.graph.nodes()].flatMap((node): Adapter | [] => {
    const [sum] = node.outputs;
    const match = sum === undefined ? undefined : adapterPattern(sum);
    if (match === undefined || sum === undefined) return [];
    const layer = layerOf(match.scale.name) ?? "";
    const [base, down, up] = [
      byOutput.get(match.output),
      byName.get(partOf(layer, "down")),
      byOutput.get(match.branch),
    ];
    const isAdapter = base?.name === layer && up?.name === partOf(layer, "up");
    return isAdapter && down !== undefined ? { base, down, up, sum, ...match } : [];
  });
}

/**
 * Warns of integer layers that an adapter slows down. ONNX Runtime fuses DequantizeLinear, layer and QuantizeLinear into one kernel;
 * an adapter adds a node before the rounding:
 *
 *     DequantizeLinear → layer → Add → QuantizeLinear
 *
 * A matrix product still runs on integers (an integer kernel with float output exists), a convolution in float.
 */
export function warnOfUnfused(model: Model, { changes }: Outcome, { log }: Pick<Context, "log">): void {
  const adaptedNames = new Set(changes.map(({ at }) => at));
  const inference = infer(model);
  const slowerLayers = layersOf(model, inference).filter((layer) => adaptedNames.has(layer.name) && readsCodes(layer));
  if (slowerLayers.length === 0) return;
  const inFloat = slowerLayers.filter(({ node }) => {
    const bound = inference.at(node);
    const rule = bound instanceof Miss ? bound : bound.quantize();
    return rule instanceof Miss || rule.kind !== "weighted" || rule.floatResult !== true;
  });
  const names = joinList(slowerLayers.map(({ name }) => name));
  const float =
    inFloat.length === 0
      ? ""
      : ` ${integer(inFloat.length)} of them now run in float, because no integer kernel with float output exists.`;
  const text = `Adapters slow down ${counted(slowerLayers.length, "layer")} in integer arithmetic (${names}): the runtime fuses a layer with the quantization of its input and output, and an adapter adds a node in between.${float} To keep adapters, quantize with the scheme "weights".`;
  log({ id: "unfused", text, level: "warning" });
}

function readsCodes({ node, role }: Layer): boolean {
  const producer = node.inputs[role.data]?.producer;
  return (
    producer !== undefined &&
    (entryOf(producer)?.codes ?? []).some(({ input }) => {
      const codes = producer.inputs[input];
      return codes !== undefined && !isStored(codes);
    })
  );
}
