/**
 * A model beside what was made of it, layer by layer: what each layer weighs, how many of its entries are 0, what was done to it.
 *
 * Layers keep their names through every technique. Where one became several ("fc1" → "fc1.down", "fc1.up"), these are added up.
 */
import { infer } from "../analysis/infer.ts";
import { type Layer, layers as layersOf } from "../analysis/layers.ts";
import { maskedAt } from "../analysis/masks.ts";
import { storedRoot } from "../analysis/stored-root.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Change } from "../passes/index.ts";
import { isFloat, toFloat64, toNumbers } from "../tensor/convert.ts";
import { dimsText, elementCount } from "../tensor/dims.ts";
import type { LayerFacts, LayerRow } from "./data.ts";

/**
 * The rows of a report's table of layers, in the order of the original. Every weight of both models is read once.
 * @param changes what the steps reported; each goes to the layer that it names.
 * @example
 * const rows = await layerRows(original, result, outcome.changes);
 */
export async function layerRows(
  original: Model,
  result: Model,
  changes: readonly Change[] = [],
): Promise<readonly LayerRow[]> {
  const before = await factsByName(original);
  const after = await factsByName(result);
  const owner = (name: string): string => ownerOf(name, before, after);
  const rows = new Map<string, { readonly after: LayerFacts[]; readonly done: string[] }>();
  for (const name of [...before.keys(), ...[...after.keys()].map(owner)])
    if (!rows.has(name)) rows.set(name, { after: [], done: [] });
  for (const [name, facts] of after) rows.get(owner(name))?.after.push(facts);
  for (const { at, what } of changes) {
    const name = longestPrefix(at, rows.keys());
    if (name !== undefined) rows.get(name)?.done.push(what);
  }
  return [...rows].map(([name, { after: parts, done }]) => ({
    name,
    before: before.get(name),
    after: parts.length === 0 ? undefined : together(parts),
    done,
  }));
}

async function factsByName(model: Model): Promise<ReadonlyMap<string, LayerFacts>> {
  // Inference fills in types: a copy, so that looking changes nothing.
  const copy = model.clone();
  const found = new Map<string, LayerFacts>();
  for (const layer of layersOf(copy, infer(copy))) {
    // One weight that several nodes share is one layer.
    if (!found.has(layer.name)) found.set(layer.name, await factsOf(layer));
  }
  return found;
}

async function factsOf(layer: Layer): Promise<LayerFacts> {
  const { weight, bias, node, effective } = layer;
  const root = bias === undefined ? undefined : storedRoot(bias);
  const sizes = [weight, ...(root === undefined ? [] : [root])].map((value) => elementCount(value.tensor?.dims ?? []));
  const reached = new Set<Value>();
  for (const value of [effective, bias]) if (value !== undefined) storedBehind(value, reached);
  return {
    operator: node.op,
    weight: `${weight.tensor?.type ?? "?"} ${dimsText(weight.tensor?.dims)}`,
    parameters: sizes.reduce((sum, size) => sum + size, 0),
    bytes: [...reached].reduce((sum, { tensor }) => sum + (tensor?.bytes ?? 0), 0),
    zeros: await zerosOf(layer),
  };
}

function storedBehind(value: Value, reached: Set<Value>): void {
  if (reached.has(value)) return;
  reached.add(value);
  for (const input of value.producer?.inputs ?? []) if (input !== undefined) storedBehind(input, reached);
}

async function zerosOf(layer: Layer): Promise<number | undefined> {
  const { weight } = layer;
  const { tensor } = weight;
  if (tensor === undefined) return undefined;
  const zero = isFloat(tensor.type) ? 0 : zeroPoint(layer);
  if (zero === undefined) return undefined;
  const values = toFloat64(await tensor.read());
  const mask = maskedAt(weight)?.mask.tensor;
  const kept = mask === undefined ? undefined : toFloat64(await mask.read());
  let zeros = 0;
  for (let index = 0; index < values.length; index++) {
    if (values[index] === zero || kept?.[index] === 0) zeros++;
  }
  return values.length === 0 ? undefined : zeros / values.length;
}

/** The integer that stands for 0 in a weight that is dequantized, rows of a table once they are picked; undefined where channels differ in it, or it is not known. */
function zeroPoint({ weight, effective, role, node }: Layer): number | undefined {
  const codes = role.kind === "lookup" ? node.outputs[0] : weight === effective ? undefined : weight;
  const [use] = codes?.uses ?? [];
  if (use === undefined) return undefined;
  const point = use.node.inputs.find((input) => input !== codes && input?.tensor?.type === weight.tensor?.type);
  if (point === undefined) return 0;
  if (point.tensor?.small === undefined) return undefined;
  const [first, ...rest] = toNumbers(point.tensor.small);
  return rest.every((other) => other === first) ? first : undefined;
}

function ownerOf(name: string, before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): string {
  if (before.has(name)) return name;
  const gone = [...before.keys()].filter((candidate) => !after.has(candidate));
  return longestPrefix(name, gone) ?? name;
}

/** Of some names the longest that is `name` or that `name` continues: "fc1" for "fc1.down" and for "fc1.weight". */
function longestPrefix(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  for (const candidate of candidates) {
    const fits = name === candidate || (name.startsWith(candidate) && /^[./:_]/.test(name.slice(candidate.length)));
    if (fits && candidate.length > (best?.length ?? -1)) best = candidate;
  }
  return best;
}

function together(parts: readonly LayerFacts[]): LayerFacts {
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first;
  const sum = (of: (facts: LayerFacts) => number): number => parts.reduce((total, facts) => total + of(facts), 0);
  const known = parts.every(({ zeros }) => zeros !== undefined);
  const parameters = sum((facts) => facts.parameters);
  return {
    operator: parts.map(({ operator }) => operator).join(", "),
    weight: parts.map(({ weight }) => weight).join(" · "),
    parameters,
    bytes: sum(({ bytes }) => bytes),
    zeros: known && parameters > 0 ? sum((facts) => (facts.zeros ?? 0) * facts.parameters) / parameters : undefined,
  };
}
