/**
 * Joins layers with the same input, such as queries, keys and values. A factorization of their stacked weights shares the first
 * factor: rank r costs r · (inputs + Σ outputs) instead of Σ r · (inputs + outputs).
 *
 *     q = MatMul (x, Wq);  k = MatMul (x, Wk);  v = MatMul (x, Wv)
 * → q, k, v = Split (MatMul (x, [Wq Wk Wv]))
 */
import { commonName } from "../analysis/blocks.ts";
import { infer } from "../analysis/infer.ts";
import { type Layer, layers as layersOf } from "../analysis/layers.ts";
import { isNamed, selectLayers } from "../analysis/selection.ts";
import { requireWeight, weightMatrices, weightNeeds, weightNumbers } from "../analysis/weight.ts";
import { emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { substitute } from "../graph/replace.ts";
import { matrix } from "../math/index.ts";
import { raiseOpset } from "../passes/index.ts";
import { removeReplaced, usedTensors } from "../passes/remove-unused.ts";
import { fromNumbers, toFloat64 } from "../tensor/convert.ts";
import { inMemory } from "../tensor/dense.ts";
import { fixedDims } from "../tensor/dims.ts";
import { groupBy } from "../tensor/group-by.ts";
import { factorType } from "./chain.ts";
import type { Options } from "./options.ts";

export type JointNames = ReadonlyMap<string, readonly string[]>;

/** The first opset whose Split takes sizes as an input. */
const leastOpset = 13;

/** @param excluded Names of layers to leave unchanged. */
export async function joinLayers(
  model: Model,
  selection: Pick<Options, "layers" | "except">,
  excluded: ReadonlySet<string>,
): Promise<JointNames> {
  const chosen = selectLayers(layersOf(model, infer(model)), selection).filter(({ name }) => !excluded.has(name));
  const groups = [...groupBy(chosen.filter(canBeJoined), alike).values()].filter((group) => group.length > 1);
  const joined = new Map<string, readonly string[]>();
  if (groups.length === 0) return joined;
  const before = usedTensors(model);
  raiseOpset(model, Math.max(leastOpset, model.opsets.get("") ?? leastOpset));
  for (const group of groups) {
    const names = group.map((layer) => layer.name);
    const name = nameOf(names);
    await join(model, group, name);
    joined.set(name, names);
  }
  removeReplaced(model, before);
  return joined;
}

function canBeJoined(layer: Layer): boolean {
  const { node, role, weight, effective, bias, outputs } = layer;
  const biasDims = fixedDims(bias?.type?.dims);
  const isOneBias =
    role.biasInput === undefined || (bias?.tensor !== undefined && biasDims?.length === 1 && biasDims[0] === outputs);
  // Attributes with tensors or graphs are not compared.
  const isPlain = [...node.attributes.values()].every(({ kind }) => !/^(tensor|graph)/.test(kind));
  const fits = requireWeight(layer, { ...weightNeeds.solve, types: weightNeeds.factorize.types }) === undefined;
  return (
    fits &&
    isPlain &&
    isOneBias &&
    effective === weight &&
    role.chain !== undefined &&
    role.window === undefined &&
    role.groups === 1 &&
    role.kind === undefined
  );
}

/** Returns a key that is equal for layers that differ only in their weights. */
function alike({ node, role, effective }: Layer): string {
  const attributes = [...node.attributes].map(([name, attribute]) => [name, attribute.kind, String(attribute.value)]);
  const { type } = effective;
  const data = node.inputs[role.data]?.name;
  return JSON.stringify([
    node.domain,
    node.op,
    attributes.sort(),
    data,
    role.input,
    role.out,
    role.in,
    role.biasInput,
    role.outputAxis,
    type?.type,
    type?.dims?.length,
  ]);
}

async function join(model: Model, group: readonly [Layer, ...Layer[]], name: string): Promise<void> {
  const [first] = group;
  const { node, role } = first;
  const outputs = group.reduce((sum, layer) => sum + layer.outputs, 0);
  const stacked = matrix(outputs, first.inputs);
  const shifts: number[] = [];
  let at = 0;
  for (const layer of group) {
    const dense = await layer.weight.tensor?.read();
    const bias = await layer.bias?.tensor?.read();
    for (const { data } of dense === undefined ? [] : weightMatrices(role, dense.dims, toFloat64(dense))) {
      stacked.data.set(data, at);
      at += data.length;
    }
    if (bias !== undefined) shifts.push(...toFloat64(bias));
  }
  const type = factorType(first);
  const dims = (fixedDims(first.weight.type?.dims) ?? []).map((size, axis) => (axis === role.out ? outputs : size));
  const stored = (part: string, own: readonly number[], numbers: ArrayLike<number>, of: Value | undefined): Value =>
    model.graph.addTensor(`${name}.${part}`, inMemory(fromNumbers(type, own, numbers)), of?.role);
  const weight = stored("weight", dims, weightNumbers(role, dims, [stacked]), first.weight);
  const bias = role.biasInput === undefined ? undefined : stored("bias", [outputs], shifts, first.bias);
  const inputs = node.inputs.map((input, place) => (place === role.biasInput ? bias : input));
  const emit = emitInto(model, { before: node, by: "factorize" });
  const whole = role.chain?.(emit, inputs, [{ name, weight }]);
  if (whole === undefined) return;
  const sizes = group.map((layer) => layer.outputs);
  for (const [place, part] of emit.many("Split", [whole, sizes], { axis: role.outputAxis }, group.length).entries()) {
    const output = group[place]?.node.outputs[0];
    if (output === undefined) continue;
    part.type = output.type;
    substitute(output, part);
  }
}

/** Returns, for example, "encoder.0.attention.query-key-value". */
function nameOf(names: readonly string[]): string {
  const common = commonName(names)?.length ?? -1;
  return (names[0] ?? "").slice(0, common + 1) + names.map((name) => name.slice(common + 1)).join("-");
}

/** Returns options that select the same layers after joining. An override of one member applies to the joined layer. */
export function selectingJoined<O extends Options>(options: O, before: readonly Layer[], joined: JointNames): O {
  if (joined.size === 0) return options;
  const groupOf = new Map([...joined].flatMap(([name, group]) => group.map((one) => [one, name] as const)));
  const { overrides = {}, ...selection } = options;
  const names = selectLayers(before, selection).map(({ name }) => groupOf.get(name) ?? name);
  const isLeft = (pattern: string): boolean =>
    before.some(({ name, node }) => !groupOf.has(name) && (isNamed(pattern, name) || node.op === pattern));
  const own = Object.entries(overrides).filter(([pattern]) => isLeft(pattern));
  const ofJoined = [...joined].flatMap(([name, group]) =>
    Object.entries(overrides).flatMap(([pattern, said]) =>
      group.some((member) => isNamed(pattern, member)) ? [[name, said] as const] : [],
    ),
  );
  const all = options.layers === undefined && options.except === undefined;
  return {
    ...options,
    ...(all ? {} : { layers: [...new Set(names)], except: undefined }),
    overrides: Object.fromEntries([...own, ...ofJoined]),
  };
}
