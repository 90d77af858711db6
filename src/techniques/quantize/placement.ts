/**
 * Places integer arithmetic for the static scheme, as ONNX Runtime's quantizer does, by the definition of each operator:
 *
 * - a layer: its data and its output get separate scales;
 * - an operator on activations (Add, pooling, …) with a quantized input: its inputs and its output get scales, too;
 * - an operator that only moves or selects values: its output shares the input's scale, so it runs on quantized values;
 * - a clamp (Relu) that is the only reader of a quantized value: the value takes the clamp's range, and if the quantized range
 *   ends at the clamp's bounds, saturation replaces the clamp (`withoutClamps`).
 *
 * A value without a usable scale (`unfit`) stays in float. Integers save no time in operators with a stored operand and no layer downstream,
 * and hurt detector boxes. Softmax stays in float, because its exponentials multiply the input error.
 */
import type { Inference, Layer } from "#analysis";
import { Miss, type Model, type Node, nodeText, type Value } from "#ir";
import type { QuantizeRule } from "../../core/ops/entry.ts";
import type { QuirkId } from "../../core/quirks.ts";
import { keepsFloatArithmetic } from "./plan.ts";
import { findTarget, type Target } from "./quantizable.ts";

type CodeMove = NonNullable<Extract<QuantizeRule, { readonly kind: "transparent" }>["onCodes"]>;

export interface Placement {
  readonly targets: readonly Target[];
  readonly operators: readonly Node[];
  /** Quantized activations in graph order, with the value whose scale each shares; undefined for a separate scale. */
  readonly activations: ReadonlyMap<Value, Value | undefined>;
  /** How activations are computed from the quantized value that they share a scale with. */
  readonly codeMoves: ReadonlyMap<Value, CodeMove>;
  readonly constants: ReadonlySet<Value>;
  /** Values read only by a clamp, with the clamp's output, whose range they use. */
  readonly clamps: ReadonlyMap<Value, Value>;
  /** Float operators that read the unrounded value although others read the rounded one: the runtime would fuse them (quirks "scales-of-rows", "dilated-average"). */
  readonly unrounded: ReadonlySet<Node>;
  readonly misses: readonly Miss[];
}

/** @param unfit values that no scale represents well, with the reason as the predicate of a sentence. @param inFloat operators that stay in float. */
export function placeQuantization(
  model: Model,
  inference: Inference,
  selectedLayers: readonly Layer[],
  {
    unfit = new Map(),
    inFloat = new Map(),
  }: { readonly unfit?: ReadonlyMap<Value, string>; readonly inFloat?: ReadonlyMap<Node, string> } = {},
): Placement {
  const layers = new Map(selectedLayers.map((layer) => [layer.node, layer]));
  const targets: Target[] = [];
  const operators: Node[] = [];
  const activations = new Map<Value, Value | undefined>();
  const codeMoves = new Map<Value, CodeMove>();
  const constants = new Set<Value>();
  const clamps = new Map<Value, Value>();
  const misses: Miss[] = [];

  const leadingNodes = leadingToLayers(model, layers);
  /** Returns why arithmetic without a downstream layer stays in float. A bias can be a separate Add after its layer. */
  const explainFloat = (node: Node, operands: readonly Value[]): string | undefined => {
    const isBias = operands.some(({ producer }) => producer !== undefined && layers.has(producer));
    return operands.some(isStored) && !isBias && !leadingNodes.has(node)
      ? "stays in float: no layer follows"
      : undefined;
  };
  const isOutput = (value: Value | undefined): boolean => value !== undefined && model.graph.isOutput(value);
  const isFloat = (value: Value | undefined): value is Value => value?.type?.type === "float32";
  const isStored = (value: Value): boolean => inference.operand(value)?.stored === true;
  const markQuantized = (value: Value): void => {
    if (!activations.has(value)) activations.set(value, undefined);
  };

  const unfitMiss = (values: readonly (Value | undefined)[], at: string): Miss | undefined => {
    const value = values.find((candidate) => candidate !== undefined && unfit.has(candidate));
    return value === undefined ? undefined : new Miss(`"${value.name}" ${unfit.get(value)}`, at);
  };

  for (const node of model.graph.nodes()) {
    const layer = layers.get(node);
    if (layer !== undefined && !keepsFloatArithmetic(layer)) {
      const layerTarget = findTarget(layer, inference);
      const staysFloat = (output: Value): boolean =>
        !(layerTarget instanceof Miss) && layerTarget.rule.floatResult === true && unfit.has(output);
      const results = node.outputs.filter(isFloat).filter((output) => !staysFloat(output));
      const target =
        layerTarget instanceof Miss
          ? layerTarget
          : (unfitMiss([layerTarget.data, layer.bias, ...results], layer.name) ?? layerTarget);
      if (target instanceof Miss) misses.push(target);
      else {
        targets.push(target);
        for (const value of [target.data, ...results]) markQuantized(value);
      }
      continue;
    }
    const bound = inference.at(node);
    const rule = bound instanceof Miss ? bound : bound.quantize();
    const readsQuantized = node.inputs.some((value) => value !== undefined && activations.has(value));
    if (!readsQuantized) continue;
    if (rule instanceof Miss) {
      if (layer === undefined && node.outputs.some(isFloat)) misses.push(new Miss(rule.reason, nodeText(node)));
      continue;
    }
    const floatReason = inFloat.get(node);
    if (floatReason !== undefined && rule.kind !== "weighted") {
      misses.push(new Miss(floatReason, nodeText(node)));
      continue;
    }
    const [input] = node.inputs;
    switch (rule.kind) {
      case "weighted":
        break;
      case "activation": {
        const operands = rule.inputs.flatMap((index) => node.inputs[index] ?? []);
        if (!operands.every(isFloat) || !node.outputs.every(isFloat)) break;
        const isOutputScore =
          !(bound instanceof Miss) && bound.saturates() !== undefined && node.outputs.some((value) => isOutput(value));
        const reason = isOutputScore ? "stays in float: it is an output of the model" : explainFloat(node, operands);
        const miss =
          reason === undefined
            ? unfitMiss([...operands, ...node.outputs], nodeText(node))
            : new Miss(reason, nodeText(node));
        if (miss !== undefined) {
          misses.push(miss);
          break;
        }
        for (const operand of operands) {
          if (isStored(operand)) constants.add(operand);
          else markQuantized(operand);
        }
        for (const output of node.outputs) markQuantized(output);
        operators.push(node);
        break;
      }
      case "transparent":
        if (input === undefined || !activations.has(input)) break;
        for (const output of node.outputs) {
          if (!isFloat(output)) continue;
          activations.set(output, input);
          if (rule.onCodes !== undefined) codeMoves.set(output, rule.onCodes);
        }
        break;
      case "clamp": {
        const [output] = node.outputs;
        if (input === undefined || !isFloat(output) || !activations.has(input) || unfit.has(output)) break;
        if (input.uses.size === 1 && input.producer !== undefined && !model.graph.isOutput(input))
          clamps.set(input, output);
        markQuantized(output);
        break;
      }
    }
  }
  const integerNodes = new Set([...targets.map(({ layer }) => layer.node), ...operators]);
  const isRounded = (value: Value | undefined): boolean => value !== undefined && activations.has(value);
  const comesFromCodes = (value: Value | undefined): boolean =>
    value !== undefined && isStored(value) && dependsOn(value, isParameterOrInteger);
  const unrounded = new Set<Node>();
  const kindOf = (node: Node): string | undefined => {
    const bound = inference.at(node);
    return bound instanceof Miss ? undefined : bound.quantize().kind;
  };
  for (const node of [...model.graph.nodes()].toReversed()) {
    if (integerNodes.has(node) || !node.inputs.some(isRounded)) continue;
    const readers = node.outputs.flatMap((output) => [...(output?.uses ?? [])].map(({ node }) => node));
    const isUnread = !node.outputs.some(isRounded) || readers.some((reader) => unrounded.has(reader));
    const kind = kindOf(node);
    const isBetween =
      node.outputs.some(isRounded) ||
      readers.some((reader) => !integerNodes.has(reader) && reader.outputs.some(isRounded));
    if (
      node.inputs.some(comesFromCodes) ||
      kind === ("dilated-average" satisfies QuirkId) ||
      (isUnread && kind === "transparent") ||
      (isBetween && (kind === "weighted" || inFloat.has(node)))
    )
      unrounded.add(node);
  }
  return { targets, operators, activations, codeMoves, constants, clamps, unrounded, misses };
}

function leadingToLayers({ graph }: Model, layers: ReadonlyMap<Node, Layer>): ReadonlySet<Node> {
  const leadingNodes = new Set<Node>();
  for (const node of graph.nodesBackwards()) {
    const readers = node.outputs.flatMap((output) => [...(output?.uses ?? [])]);
    if (readers.some(({ node: reader }) => layers.has(reader) || leadingNodes.has(reader) || reader.graph !== graph))
      leadingNodes.add(node);
  }
  return leadingNodes;
}

function dependsOn(value: Value, isSource: (value: Value) => boolean): boolean {
  const visited = new Set([value]);
  for (const { producer } of visited)
    for (const input of producer?.inputs ?? []) {
      if (input === undefined) continue;
      if (isSource(input)) return true;
      visited.add(input);
    }
  return false;
}

/** Returns whether a value is a stored parameter or an integer, which can be a quantized value. */
export function isParameterOrInteger(value: Value | undefined): boolean {
  return value !== undefined && (value.role !== undefined || /^u?int(2|4|8|16|32)$/.test(value.type?.type ?? ""));
}
