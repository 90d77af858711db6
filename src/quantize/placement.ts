/**
 * Where integers go in the static scheme: one walk over the graph, asking each operator's entry. As ONNX Runtime's quantizer places them:
 *
 * - a layer: its data and its output get a range of their own;
 * - an operator on activations (Add, pooling, …), where numbers reach it quantized: its inputs and its output too;
 * - one that only moves or picks numbers: its output shares scale and zero point with its input, so that it runs on the codes;
 *   Pad, which ONNX Runtime does not move inside by itself, is written there;
 * - a clamp (Relu) after a quantized value that nobody else reads: the value takes the clamp's range. Where its codes end at the bounds of the
 *   clamp, saturation does its work (`saturated`).
 *
 * A value without a usable scale (`unfit`) stays in float, and so do the layers and operators that read or compute it. One exception: a matrix product that computes it
 * still runs on integers, with a float result.
 *
 * Unlike there, five kinds of operators on activations stay in float:
 *
 * - those of a stored operand that lead to no layer: codes save no time there, and lose what a detector makes of its answers (boxes around stored centres);
 * - those of which no input comes quantized: what normalizes an image, or a layer normalization written out, would only lose by it;
 * - a Sigmoid that is an output;
 * - Softmax, whose exponentials multiply the error of its input; what averages scores for it costs more in float than it loses on integers;
 * - those that would join numbers of very different ranges under one scale (`apart`).
 */
import type { Inference } from "../analysis/infer.ts";
import type { Layer } from "../analysis/layers.ts";
import { Miss } from "../errors.ts";
import { describe, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { mistakenForIntegers, type QuantizeRule } from "../ops/index.ts";
import { keepsFloatArithmetic } from "./plan.ts";
import { type Target, targetAt } from "./target.ts";

type OnCodes = NonNullable<Extract<QuantizeRule, { readonly kind: "transparent" }>["onCodes"]>;

export interface Placement {
  readonly targets: readonly Target[];
  /** Operators on activations that compute on integers. */
  readonly operators: readonly Node[];
  /** Quantized activations in the order of the graph; the value with which one shares its scale, or undefined if it has its own. */
  readonly activations: ReadonlyMap<Value, Value | undefined>;
  /** Of activations that are made of the codes of what they share with: how. */
  readonly onCodes: ReadonlyMap<Value, OnCodes>;
  /** Stored operands of operators on activations. */
  readonly constants: ReadonlySet<Value>;
  /** What only a clamp reads, and the output of the clamp, over whose range it is rounded. */
  readonly limited: ReadonlyMap<Value, Value>;
  /**
   * Operators in float that read what others read rounded as it is, because ONNX Runtime (1.30) would make something else of them between
   * DequantizeLinear nodes:
   *
   * - those of which an operand is made of stored integers: it would take them for an integer kernel, which may not know the form of these
   *   integers, and where numbers of integers are transposed it forgets the axis of their scales;
   * - those whose entry says so (`mistakenForIntegers`);
   * - layers whose result is rounded, at once or behind one more operator: it would round their weights too, with one scale for each, when it loads the model;
   * - those that move numbers, to these or without being rounded again: it would round again behind them, to int8 in a way that it then refuses.
   */
  readonly unrounded: ReadonlySet<Node>;
  readonly misses: readonly Miss[];
}

/**
 * @param unfit values that no scale suits, with the reason: a predicate.
 * @param apart operators that stay in float, with the reason.
 */
export function place(
  model: Model,
  inference: Inference,
  chosen: readonly Layer[],
  {
    unfit = new Map(),
    apart = new Map(),
  }: {
    readonly unfit?: ReadonlyMap<Value, string>;
    readonly apart?: ReadonlyMap<Node, string>;
  } = {},
): Placement {
  const layers = new Map(chosen.map((layer) => [layer.node, layer]));
  const targets: Target[] = [];
  const operators: Node[] = [];
  const activations = new Map<Value, Value | undefined>();
  const onCodes = new Map<Value, OnCodes>();
  const constants = new Set<Value>();
  const limited = new Map<Value, Value>();
  const misses: Miss[] = [];

  const leading = leadingToLayers(model, layers);
  /** Why arithmetic stays in float that leads to no layer. A bias may be written apart from its layer. */
  const whyFloat = (node: Node, operands: readonly Value[]): string | undefined => {
    const isBias = operands.some(({ producer }) => producer !== undefined && layers.has(producer));
    return operands.some(isStored) && !isBias && !leading.has(node) ? "stays in float: no layer follows" : undefined;
  };
  const isOutput = (value: Value | undefined): boolean => value !== undefined && model.graph.isOutput(value);
  const isFloat = (value: Value | undefined): value is Value => value?.type?.type === "float32";
  const isStored = (value: Value): boolean => inference.operand(value)?.stored === true;
  const mark = (value: Value): void => {
    if (!activations.has(value)) activations.set(value, undefined);
  };

  const unfitMiss = (values: readonly (Value | undefined)[], at: string): Miss | undefined => {
    const value = values.find((one) => one !== undefined && unfit.has(one));
    return value === undefined ? undefined : new Miss(`"${value.name}" ${unfit.get(value)}`, at);
  };

  for (const node of model.graph.nodes()) {
    const layer = layers.get(node);
    if (layer !== undefined && !keepsFloatArithmetic(layer)) {
      const able = targetAt(layer, inference);
      const staysFloat = (output: Value): boolean =>
        !(able instanceof Miss) && able.rule.floatResult === true && unfit.has(output);
      const results = node.outputs.filter(isFloat).filter((output) => !staysFloat(output));
      const target = able instanceof Miss ? able : (unfitMiss([able.data, layer.bias, ...results], layer.name) ?? able);
      if (target instanceof Miss) misses.push(target);
      else {
        targets.push(target);
        for (const value of [target.data, ...results]) mark(value);
      }
      continue;
    }
    const bound = inference.at(node);
    const rule = bound instanceof Miss ? bound : bound.quantize();
    const arrives = node.inputs.some((value) => value !== undefined && activations.has(value));
    if (!arrives) continue;
    if (rule instanceof Miss) {
      if (node.outputs.some(isFloat)) misses.push(new Miss(rule.reason, describe(node)));
      continue;
    }
    const [input] = node.inputs;
    switch (rule.kind) {
      case "weighted":
        break;
      case "activation": {
        const operands = rule.inputs.flatMap((index) => node.inputs[index] ?? []);
        if (!operands.every(isFloat) || !node.outputs.every(isFloat)) break;
        const isAnswer =
          !(bound instanceof Miss) && bound.saturates() !== undefined && node.outputs.some((value) => isOutput(value));
        const unread = whyFloat(node, operands);
        const reason = apart.get(node) ?? (isAnswer ? "stays in float: it is an output of the model" : unread);
        const miss =
          reason === undefined
            ? unfitMiss([...operands, ...node.outputs], describe(node))
            : new Miss(reason, describe(node));
        if (miss !== undefined) {
          misses.push(miss);
          break;
        }
        for (const operand of operands) {
          if (isStored(operand)) constants.add(operand);
          else mark(operand);
        }
        for (const output of node.outputs) mark(output);
        operators.push(node);
        break;
      }
      case "transparent":
        if (input === undefined || !activations.has(input)) break;
        for (const output of node.outputs) {
          if (!isFloat(output)) continue;
          activations.set(output, input);
          if (rule.onCodes !== undefined) onCodes.set(output, rule.onCodes);
        }
        break;
      case "clamp": {
        const [output] = node.outputs;
        if (input === undefined || !isFloat(output) || !activations.has(input) || unfit.has(output)) break;
        if (input.uses.size === 1 && input.producer !== undefined && !model.graph.isOutput(input))
          limited.set(input, output);
        mark(output);
        break;
      }
    }
  }
  const computing = new Set([...targets.map(({ layer }) => layer.node), ...operators]);
  const isRounded = (value: Value | undefined): boolean => value !== undefined && activations.has(value);
  const isMadeOfCodes = (value: Value | undefined): boolean =>
    value !== undefined && isStored(value) && isMadeOf(value, isHeldOrInteger);
  const unrounded = new Set<Node>();
  const kindOf = (node: Node): string | undefined => {
    const bound = inference.at(node);
    return bound instanceof Miss ? undefined : bound.quantize().kind;
  };
  for (const node of [...model.graph.nodes()].toReversed()) {
    if (computing.has(node) || !node.inputs.some(isRounded)) continue;
    const readers = node.outputs.flatMap((output) => [...(output?.uses ?? [])].map(({ node }) => node));
    const isLeft = !node.outputs.some(isRounded) || readers.some((reader) => unrounded.has(reader));
    const kind = kindOf(node);
    const isBetween =
      node.outputs.some(isRounded) ||
      readers.some((reader) => !computing.has(reader) && reader.outputs.some(isRounded));
    if (
      node.inputs.some(isMadeOfCodes) ||
      kind === mistakenForIntegers ||
      (isLeft && kind === "transparent") ||
      (isBetween && kind === "weighted")
    )
      unrounded.add(node);
  }
  return { targets, operators, activations, onCodes, constants, limited, unrounded, misses };
}

/** The nodes of the main graph whose results reach a layer, or a graph inside a node. */
function leadingToLayers({ graph }: Model, layers: ReadonlyMap<Node, Layer>): ReadonlySet<Node> {
  const leading = new Set<Node>();
  for (const node of graph.nodesBackwards()) {
    const readers = node.outputs.flatMap((output) => [...(output?.uses ?? [])]);
    if (readers.some(({ node: reader }) => layers.has(reader) || leading.has(reader) || reader.graph !== graph))
      leading.add(node);
  }
  return leading;
}

/** Whether some value that another is computed from is such. */
function isMadeOf(value: Value, such: (value: Value) => boolean): boolean {
  const seen = new Set([value]);
  for (const { producer } of seen)
    for (const input of producer?.inputs ?? []) {
      if (input === undefined) continue;
      if (such(input)) return true;
      seen.add(input);
    }
  return false;
}

/** Whether a value is stored with a role (a weight, quantized or not) or is of integers, which may stand for other numbers. */
export function isHeldOrInteger(value: Value | undefined): boolean {
  return value !== undefined && (value.role !== undefined || /^u?int(2|4|8|16|32)$/.test(value.type?.type ?? ""));
}
