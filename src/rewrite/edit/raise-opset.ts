/**
 * Raises the opset of a model. A node stays if its definition reads the same settings under both versions and the new schema accepts it.
 * Attributes that became inputs are moved: `Squeeze(x) {axes=[1]}` → `Squeeze(x, [1])`. Other nodes are lowered to primitives, if possible.
 */
import { type Inference, infer } from "#analysis";
import type { Attribute, DataType, Dense, FloatType, Model, Node, PithError } from "#ir";
import {
  allNodes,
  asPithError,
  checkForm,
  emitInto,
  float32,
  fromNumbers,
  inMemory,
  inputsFor,
  int64,
  isFloat,
  isScalarInput,
  Miss,
  nodeText,
  replaceNode,
  schemaAt,
  schemasOf,
  snapshot,
  stripPeriod,
  toInteger,
  unknownDim,
  unsupportedError,
} from "#ir";
import type { BoundOp, Op } from "../../core/ops/define.ts";
import type { Site } from "../../core/ops/entry.ts";
import { entryOf } from "../../core/ops/index.ts";

/** Returns the IR version of the ONNX release that introduced an opset, at least 8 (`OP_SET_ID_VERSION_MAP` of onnx.helper). */
const irVersionFor = (opset: number): number =>
  opset >= 28 ? 14 : opset >= 25 ? 13 : opset >= 24 ? 12 : opset >= 23 ? 11 : opset >= 21 ? 10 : opset >= 19 ? 9 : 8;

/** Raises the default opset to at least `version`, in place. @throws PithError E_UNSUPPORTED if a node would change: nothing changes then. */
export function raiseOpset(model: Model, version: number): void {
  const from = model.opsets.get("") ?? 1;
  if (from >= version) return;
  const plan = planConversion(model, from, version);
  const restore = plan.lowered.length > 0 ? snapshot(model) : () => {};
  try {
    applyPlan(model, from, version, plan);
  } catch (error) {
    restore();
    throw error;
  }
}

interface Plan {
  readonly conversions: readonly (() => void)[];
  readonly lowered: readonly { readonly node: Node; readonly bound: BoundOp; readonly reason: string }[];
}

function planConversion(model: Model, from: number, version: number): Plan {
  const inference = infer(model);
  const conversions: (() => void)[] = [];
  const lowered: Plan["lowered"][number][] = [];
  for (const node of allNodes(model.graph)) {
    if (node.domain !== "") continue;
    const conversion = planNode(node, from, version, inference);
    if (!(conversion instanceof Miss)) conversions.push(conversion);
    else {
      const bound = inference.at(node);
      if (bound instanceof Miss) throw conversionError(node, from, version, conversion.reason);
      lowered.push({ node, bound, reason: conversion.reason });
    }
  }
  return { conversions, lowered };
}

function applyPlan(model: Model, from: number, version: number, { conversions, lowered }: Plan): void {
  for (const conversion of conversions) conversion();
  const { opsets } = model.header;
  opsets.set("", version);
  const onNode = lowered.length > 0 ? infer(model).visit : (): void => {};
  for (const { node, bound, reason } of lowered) {
    const emit = emitInto(model, { before: node, by: "raise-opset", onNode });
    const primitives = bound.lower(emit, node.inputs);
    if (primitives instanceof Miss) throw conversionError(node, from, version, reason);
    replaceNode(node, primitives);
  }
  // Files up to IR 3 list weights as inputs; from IR 4 on callers could override them.
  if (model.header.irVersion < 4) model.graph.setInputs(model.graph.feeds);
  model.header.irVersion = Math.max(model.header.irVersion, irVersionFor(version));
  model.graph.touch();
}

function conversionError(node: Node, from: number, version: number, reason: string): PithError {
  return unsupportedError(`${nodeText(node)} cannot be converted from opset ${from} to ${version}: ${reason}`, {
    hint: `Export the model with opset ${version} or newer.`,
  });
}

function planNode(node: Node, from: number, to: number, inference: Inference): (() => void) | Miss {
  const [before, after] = [schemaAt("", node.op, from), schemaAt("", node.op, to)];
  if (before !== undefined && before.since === after?.since) return () => {};
  // Operators outside the specification do not change with its versions.
  if (schemasOf("", node.op).length === 0) return () => {};
  const movedInputs = [...node.attributes].flatMap(([name, attribute]) => {
    const input = after?.attributes.has(name) === false ? inputsFor(node.op).get(name) : undefined;
    const type = inference.site(node).inputs[0]?.type;
    const constant = input === undefined ? undefined : asConstant(attribute, type, isScalarInput(node.op, name));
    return input === undefined || constant === undefined ? [] : [{ name, input, constant }];
  });
  const inputs: unknown[] = [...node.inputs];
  for (const { input, constant } of movedInputs) inputs[input] = constant;
  const remainingNames = [...node.attributes.keys()].filter(
    (name) => !movedInputs.some((attribute) => attribute.name === name),
  );
  const keptNames = remainingNames.filter((name) => after?.attributes.has(name) !== false);
  const droppedNames = remainingNames.filter((name) => !keptNames.includes(name));
  const checkAttributes = (attributes: readonly string[]): unknown =>
    checkForm("", node.op, to, { inputs, outputs: node.outputs, attributes });
  const keptCheck = checkAttributes(keptNames);
  if (keptCheck instanceof Miss) return keptCheck;

  const op = entryOf(node);
  if (op === undefined) return new Miss("Pith does not know this operator.");
  const site = inference.site(node);
  const newInputs = [...site.inputs];
  for (const { input, constant } of movedInputs) {
    const elements = constant.type === "int64" ? { elements: Array.from(constant.data, Number) } : {};
    newInputs[input] = { type: constant.type, dims: constant.dims, small: constant, stored: true, ...elements };
  }
  const newAttributes = renamedAttributes(op, node, from, to);
  const attribute = (name: string): Attribute | undefined =>
    newAttributes?.get(name) ?? (keptNames.includes(name) ? node.attributes.get(name) : undefined);
  const areSame = sameSettings(op, site, { ...site, version: to, inputs: newInputs, attribute });
  if (areSame instanceof Miss) return new Miss(`${areSame.reason}.`);
  if (!areSame) {
    const remainingCheck = checkAttributes(remainingNames);
    return remainingCheck instanceof Miss ? remainingCheck : new Miss("its defaults changed between the opsets.");
  }
  // Since the version in which Split accepts uneven parts, equal parts require `num_outputs`.
  const needsCount = after?.attributes.has("num_outputs") === true && before?.attributes.has("num_outputs") !== true;
  return () => {
    const { graph } = node;
    if (needsCount && inputs[1] === undefined)
      graph.setAttribute(node, "num_outputs", { kind: "int", value: node.outputs.length });
    for (const [name, value] of newAttributes ?? []) graph.setAttribute(node, name, value);
    for (const name of droppedNames) graph.setAttribute(node, name, undefined);
    for (const { name, input, constant } of movedInputs) {
      graph.setAttribute(node, name, undefined);
      graph.setInput(node, input, graph.addTensor(`${node.outputs[0]?.name ?? node.op}.${name}`, inMemory(constant)));
    }
  };
}

/** Returns the attribute whose values were renamed, or whose default changed, as the newer version writes it. */
function renamedAttributes(
  { renamed }: Op,
  node: Node,
  from: number,
  to: number,
): ReadonlyMap<string, Attribute> | undefined {
  if (renamed === undefined || from >= renamed.since || renamed.since > to) return undefined;
  const old = node.attributes.get(renamed.attribute)?.value;
  const value = old === undefined ? renamed.absent : renamed.values?.[String(old)];
  return value === undefined ? undefined : new Map([[renamed.attribute, { kind: "string", value }]]);
}

function asConstant(
  attribute: Attribute,
  type: DataType | undefined,
  isScalar: boolean,
): Dense<"int64" | FloatType> | undefined {
  switch (attribute.kind) {
    case "ints":
      return int64([attribute.value.length], attribute.value.map(toInteger));
    case "int":
      return int64(isScalar ? [] : [1], [attribute.value]);
    case "float":
      return fromNumbers(type !== undefined && isFloat(type) ? type : "float32", [], [attribute.value]);
    case "floats":
      return float32([attribute.value.length], attribute.value);
    default:
      return undefined;
  }
}

const ranks = [0, 1, 2, 3, 4, 5, 6, 7, 8];

/** Compares settings for ranks of 0 to 8 if a definition needs unknown ranks. */
function sameSettings(op: Op, before: Site, after: Site): boolean | Miss {
  const comparison = compareSettings(op, before, after);
  if (!(comparison instanceof Miss)) return comparison;
  const results = ranks
    .map((rank) => compareSettings(op, assumeRank(before, rank), assumeRank(after, rank)))
    .filter((result) => !(result instanceof Miss));
  return results.length === 0 ? comparison : results.every(Boolean);
}

/** Assumes this rank for tensors of unknown rank, and 0, 1, 2, … for lists of computed integers (axes, sizes). */
function assumeRank(site: Site, rank: number): Site {
  const inputs = site.inputs.map((operand) => {
    if (operand === undefined || operand.container !== undefined) return operand;
    const dims = operand.dims ?? Array.from({ length: rank }, (_, axis) => unknownDim("rank", axis));
    const [count = 1] = dims;
    const isList = operand.type === "int64" && dims.length <= 1 && operand.elements === undefined;
    const elements = Array.from({ length: typeof count === "number" ? count : 1 }, (_, index) => index);
    return isList ? { ...operand, dims, elements } : { ...operand, dims };
  });
  return { ...site, inputs };
}

/** Returns a Miss if the definition cannot read the settings. */
function compareSettings(op: Op, before: Site, after: Site): boolean | Miss {
  try {
    const [first, second] = [op.settings(before), op.settings(after)];
    if (first instanceof Miss) return first;
    return second instanceof Miss
      ? second
      : JSON.stringify(first, normalizeSetting) === JSON.stringify(second, normalizeSetting);
  } catch (error) {
    return new Miss(stripPeriod(asPithError(error).sentence));
  }
}

function normalizeSetting(_: string, value: unknown): unknown {
  if (typeof value === "bigint") return `${value}n`;
  // JSON has neither NaN nor infinities.
  if (typeof value === "number") return String(value);
  return ArrayBuffer.isView(value) ? Array.from(value as Uint8Array, String) : value;
}
