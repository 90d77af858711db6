/**
 * Replaces several nodes by fewer, by the rules of `src/core/ops/rules/`. Values with roles stay.
 *   t = Transpose(x) {perm=[0, 2, 1]}         y = Transpose(x) {perm=[1, 0, 2]}
 *   y = Transpose(t) {perm=[2, 0, 1]}     →
 */
import * as v from "valibot";
import { createRoundingTest, type Inference, infer } from "#analysis";
import type { Graph, Match, Model, Node, Value } from "#ir";
import { allNodes, canTakeName, emitInto, isUsed, Miss, nodeText, replaceUses, subgraphs, substitute } from "#ir";
import { type Change, definePass, withHelp } from "#pass";
import {
  biasAxesRules,
  type PairResult,
  type PairRuleLookup,
  padWindowRules,
  type StructureRuleLookup,
  selectRules,
  trainingStepRules,
} from "../../core/ops/rules/index.ts";
import { cleanUpChange } from "./clean-up.ts";
import { protectedValues } from "./protected-values.ts";

interface Rules {
  readonly pairs: PairRuleLookup;
  readonly structures: StructureRuleLookup;
}

const onlyPairs = (pairs: PairRuleLookup): Rules => ({ pairs, structures: () => [] });

export const ruleOptions = {
  only: withHelp(v.optional(v.array(v.string())), "apply these rules alone", { value: "rule" }),
  skip: withHelp(v.optional(v.array(v.string()), []), "do not apply these rules", { value: "rule" }),
};

export const selectsRule =
  ({ only, skip }: { readonly only?: readonly string[] | undefined; readonly skip: readonly string[] }) =>
  (id: string): boolean =>
    (only?.includes(id) ?? true) && !skip.includes(id);

export const fuseNodes = definePass({
  id: "fuse-nodes",
  summary: "Replace several nodes by fewer",
  options: v.strictObject(ruleOptions),
  run: async (model, options) => ({ changes: fuse(model, selectRules(selectsRule(options))), misses: [] }),
});

/** Moves zero padding into the windows of convolutions and poolings, in place: ONNX Runtime does so only for floats. */
export const movePadsIntoWindows = (model: Model): readonly Change[] => fuse(model, onlyPairs(padWindowRules));

/** Moves axes that a bias has in addition to the product after the sum, in place: ONNX Runtime's integer fusion drops them. */
export const moveAxesBehindSums = (model: Model): readonly Change[] => fuse(model, onlyPairs(biasAxesRules));

function fuse(model: Model, rules: Rules): readonly Change[] {
  const inference = infer(model);
  return applyRules(model, rules, inference, protectedValues(model, inference));
}

/** Applies fusions that make a training step faster, on a copy in which parameters can be read in another form. */
export function fuseForStep(model: Model): void {
  for (const rules of trainingStepRules) applyRules(model, onlyPairs(rules), infer(model), () => false);
}

function applyRules(
  model: Model,
  rules: Rules,
  inference: Inference,
  isProtected: FusionContext["isProtected"],
): readonly Change[] {
  const context = { rules, inference, isProtected, isRounded: createRoundingTest(model, inference) };
  const changes: Change[] = [];
  for (const node of allNodes(model.graph)) {
    const { graph } = node;
    // The replacement takes the names of the outputs.
    const at = nodeText(node);
    for (let rule = fuseAt(model, node, context); rule !== undefined; ) {
      changes.push({ ...cleanUpChange(at, rule.description), rule: rule.id });
      rule = graph.ownValue(node.outputs[0]?.name ?? "")?.producer === node ? fuseAt(model, node, context) : undefined;
    }
  }
  return changes;
}

interface FusionContext {
  readonly rules: Rules;
  readonly inference: Inference;
  readonly isProtected: (value: Value) => boolean;
  readonly isRounded: (node: Node) => boolean;
}

interface AppliedRule {
  readonly id: string;
  readonly description: string;
}

/** Applies the first matching rule to a node and nodes before it. */
function fuseAt(model: Model, last: Node, context: FusionContext): AppliedRule | undefined {
  const { inference } = context;
  if (inference.at(last) instanceof Miss || last.outputs.some((output) => output?.role !== undefined)) return undefined;
  return fusePair(model, last, context) ?? fuseStructure(model, last, context);
}

function fusePair(
  model: Model,
  second: Node,
  { rules, inference, isProtected, isRounded }: FusionContext,
): AppliedRule | undefined {
  const { graph } = second;
  for (const [input, value] of second.inputs.entries()) {
    const first = value?.producer;
    if (value === undefined || first === undefined || first.graph !== graph || first.outputs[0] !== value) continue;
    if (value.role !== undefined || isProtected(value) || inference.at(first) instanceof Miss) continue;
    for (const rule of rules.pairs(first, second)) {
      if (rule.reorders === true && isRounded(second)) continue;
      const emit = emitInto(model, { before: second, by: "fuse-nodes", onNode: inference.visit });
      const result = rule.fuse({
        first,
        second,
        firstSite: inference.site(first),
        secondSite: inference.site(second),
        input,
        isOnlyReader: isOnlyReader(first, value),
        emit,
        site: inference.site,
        canChange: (other) => canChangeIn(graph, other, inference, isProtected),
        operand: inference.operand,
      });
      if (result === undefined || !applyResult(second, result)) continue;
      if (!first.outputs.some((output) => output !== undefined && isUsed(output))) graph.removeNode(first);
      if (!("value" in result)) inference.visit(second);
      return rule;
    }
  }
  return undefined;
}

function fuseStructure(
  model: Model,
  last: Node,
  { rules, inference, isProtected, isRounded }: FusionContext,
): AppliedRule | undefined {
  const [output] = last.outputs;
  for (const rule of rules.structures(last)) {
    if (output === undefined || (rule.reorders === true && isRounded(last))) continue;
    let matchedNodes: ReadonlySet<Node> = new Set();
    const canChange = (value: Value): boolean => canChangeIn(last.graph, value, inference, isProtected);
    const result = rule.fuse({
      last,
      emit: emitInto(model, { before: last, by: "fuse-nodes", onNode: inference.visit }),
      visit: inference.visit,
      canChange,
      site: inference.site,
      operand: inference.operand,
      match(find) {
        const match = find(output);
        if (match === undefined || !isPrivate(match, last, inference, canChange)) return undefined;
        matchedNodes = match.nodes;
        return match;
      },
    });
    if (result === undefined || !applyResult(last, result)) continue;
    removeUnusedNodes(matchedNodes, last);
    if (!("value" in result)) inference.visit(last);
    return rule;
  }
  return undefined;
}

/** Removes the nodes of a structure whose outputs are unused, readers first. */
function removeUnusedNodes(nodes: ReadonlySet<Node>, last: Node): void {
  const remaining = new Set([...nodes].filter((node) => node !== last));
  let count: number;
  do {
    count = remaining.size;
    for (const node of remaining) {
      if (node.outputs.some((value) => value !== undefined && isUsed(value))) continue;
      node.graph.removeNode(node);
      remaining.delete(node);
    }
  } while (remaining.size < count);
}

function isPrivate(
  { nodes }: Match<string, string>,
  last: Node,
  inference: Inference,
  canChange: (value: Value) => boolean,
): boolean {
  return [...nodes].every((node) => {
    if (node.graph !== last.graph || inference.at(node) instanceof Miss) return false;
    if (node === last) return true;
    return node.outputs.every(
      (value) =>
        value === undefined || (canChange(value) && [...value.uses].every(({ node: reader }) => nodes.has(reader))),
    );
  });
}

/** Returns whether a value is stored in a graph, or computed there by a known operator, and is neither protected nor an output. */
function canChangeIn(
  graph: Graph,
  value: Value,
  inference: Inference,
  isProtected: FusionContext["isProtected"],
): boolean {
  const { producer, role, tensor } = value;
  if (value.graph !== graph || (producer === undefined && tensor === undefined)) return false;
  if (producer !== undefined && inference.at(producer) instanceof Miss) return false;
  return role === undefined && !isProtected(value) && !graph.isOutput(value);
}

function isOnlyReader(first: Node, value: Value): boolean {
  const { graph } = value;
  if (value.uses.size > 1 || graph.isOutput(value) || subgraphs(first).length > 0) return false;
  return first.outputs.slice(1).every((output) => output === undefined || !isUsed(output));
}

/** Returns false if the result cannot replace the output, whose name may have to be kept. */
function applyResult(second: Node, result: NonNullable<PairResult>): boolean {
  const { graph, outputs } = second;
  const [output] = outputs;
  if (output === undefined) return false;
  if ("value" in result) {
    if (graph.isOutput(output)) {
      if (!canTakeName(result.value, graph)) return false;
      result.value.type = output.stated ?? result.value.type;
    }
    if (result.value.producer !== undefined && result.value.uses.size === 0) substitute(output, result.value);
    else {
      replaceUses(output, result.value);
      graph.removeNode(second);
    }
    return true;
  }
  const { inputs } = result;
  const count = Math.max(second.inputs.length, inputs.length);
  for (let index = 0; index < count; index++) graph.setInput(second, index, inputs[index]);
  for (const [name, attribute] of Object.entries(result.attributes ?? {})) graph.setAttribute(second, name, attribute);
  return true;
}
