/**
 * Merges two consecutive nodes by the rules of `src/core/ops/pairs/`.
 *      t = Transpose(x) {perm=[0, 2, 1]}          y = Transpose(x) {perm=[1, 0, 2]}
 *      y = Transpose(t) {perm=[2, 0, 1]}     →
 * Values with roles stay. So do values that are quantized later, if a rule changes the summation order (`codes.ts`).
 */
import { leadsToCodes } from "../../core/analysis/codes.ts";
import { type Inference, infer } from "../../core/analysis/infer.ts";
import { Miss } from "../../core/errors.ts";
import { emitInto } from "../../core/graph/emit.ts";
import { allNodes, describe, type Graph, type Node, subgraphs, type Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { isUsed } from "../../core/graph/remove-unused.ts";
import { canTakeName, replaceUses, substitute } from "../../core/graph/replace.ts";
import {
  biasAxesRules,
  nodeSavingRules,
  type PairResult,
  type PairRules,
  padWindowRules,
  trainingStepRules,
} from "../../core/ops/pairs/index.ts";
import type { Change } from "../../core/pass/pass.ts";
import { change, defineCleanUp } from "./clean-up.ts";
import { protectedValues } from "./protected.ts";

export const fusePairs = defineCleanUp("fuse-pairs", "Fuse pairs of nodes into one", (model) =>
  fuse(model, nodeSavingRules),
);

/** Moves zero padding into windows, in place: ONNX Runtime does so only for floats. */
export const movePadsIntoWindows = (model: Model): readonly Change[] => fuse(model, padWindowRules);

/** Moves axes that only the bias has after the sum, in place: ONNX Runtime's integer fusion loses them. */
export const moveAxesBehindSums = (model: Model): readonly Change[] => fuse(model, biasAxesRules);

function fuse(model: Model, rules: PairRules): readonly Change[] {
  const inference = infer(model);
  return walk(model, rules, inference, protectedValues(model, inference));
}

/** Fuses what is faster in a training step, in place, on a copy where parameters can be read in another form. */
export function fuseForStep(model: Model): void {
  for (const rules of trainingStepRules) walk(model, rules, infer(model), () => false);
}

function walk(
  model: Model,
  rules: PairRules,
  inference: Inference,
  isProtected: FusionContext["isProtected"],
): readonly Change[] {
  const context = { rules, inference, isProtected, isRounded: leadsToCodes(model, inference) };
  const changes: Change[] = [];
  for (const node of allNodes(model.graph)) {
    const { graph } = node;
    for (let rule = fuseAt(model, node, context); rule !== undefined; ) {
      changes.push(change(describe(node), rule));
      rule = graph.ownValue(node.outputs[0]?.name ?? "")?.producer === node ? fuseAt(model, node, context) : undefined;
    }
  }
  return changes;
}

interface FusionContext {
  readonly rules: PairRules;
  readonly inference: Inference;
  readonly isProtected: (value: Value) => boolean;
  readonly isRounded: (node: Node) => boolean;
}

/** Applies the first matching rule to a node and one of its producers; returns the rule's name. */
function fuseAt(
  model: Model,
  second: Node,
  { rules, inference, isProtected, isRounded }: FusionContext,
): string | undefined {
  if (inference.at(second) instanceof Miss || second.outputs.some((output) => output?.role !== undefined))
    return undefined;
  const { graph } = second;
  for (const [input, value] of second.inputs.entries()) {
    const first = value?.producer;
    if (value === undefined || first === undefined || first.graph !== graph || first.outputs[0] !== value) continue;
    if (value.role !== undefined || isProtected(value) || inference.at(first) instanceof Miss) continue;
    for (const rule of rules(first, second)) {
      if (rule.reorders === true && isRounded(second)) continue;
      const emit = emitInto(model, { before: second, by: "fuse-pairs", onNode: inference.visit });
      const result = rule.fuse({
        first,
        second,
        firstSite: inference.site(first),
        secondSite: inference.site(second),
        input,
        isOnlyReader: isAlone(first, value),
        emit,
        operand: inference.operand,
      });
      if (result === undefined || !take(second, result)) continue;
      if (!first.outputs.some((output) => output !== undefined && isUsed(output))) graph.removeNode(first);
      if (!("value" in result)) inference.visit(second);
      return rule.description;
    }
  }
  return undefined;
}

function isAlone(first: Node, value: Value): boolean {
  const { graph } = value;
  if (value.uses.size > 1 || graph.isOutput(value) || subgraphs(first).length > 0) return false;
  return first.outputs.slice(1).every((output) => output === undefined || !isUsed(output));
}

/** Returns whether the result can replace the output, whose name may have to be kept. */
function take(second: Node, result: NonNullable<PairResult>): boolean {
  const { graph, outputs } = second;
  const [output] = outputs;
  if (output === undefined) return false;
  if ("value" in result) {
    if (graph.isOutput(output)) {
      if (!canTakeName(result.value, graph)) return false;
      result.value.type = output.stated ?? result.value.type;
    }
    if (result.value.producer !== undefined && isNew(result.value)) substitute(output, result.value);
    else {
      replaceUses(output, result.value);
      graph.removeNode(second);
    }
    return true;
  }
  setInputs(graph, second, result.inputs);
  for (const [name, attribute] of Object.entries(result.attributes ?? {})) graph.setAttribute(second, name, attribute);
  return true;
}

const isNew = ({ uses }: Value): boolean => uses.size === 0;

function setInputs(graph: Graph, node: Node, inputs: readonly (Value | undefined)[]): void {
  const before = node.inputs.length;
  for (const [index, value] of inputs.entries()) graph.setInput(node, index, value);
  for (let index = inputs.length; index < before; index++) graph.setInput(node, index, undefined);
}
