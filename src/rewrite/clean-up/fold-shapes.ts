/**
 * Stores shape arithmetic whose result is known before the run, without running anything.
 *   s = Shape(x)                   x: float32[4, 3, 8]
 *   n = Gather(s, 0)                                  →   y = Reshape(x, [4, 24])
 *   y = Reshape(x, Concat(n, [24]))
 */
import { type Inference, infer } from "#analysis";
import type { Dense, Dim, Graph, Node, Value } from "#ir";
import { allGraphs, fromNumbers, inMemory, isUsed, nodeText, removeUnusedEverywhere } from "#ir";
import type { Change } from "#pass";
import { entryOf } from "../../core/ops/index.ts";
import { exactElements } from "../../core/ops/shared/elements.ts";
import { listFor } from "../../core/ops/shared/shapes.ts";
import { cleanUpChange, defineCleanUp } from "./clean-up.ts";
import { protectedValues } from "./protected-values.ts";
import { storeInPlace } from "./store-constants.ts";

export const foldShapes = defineCleanUp("fold-shapes", "Store shape arithmetic whose result is constant", (model) => {
  const inference = infer(model);
  const isProtected = protectedValues(model, inference);
  const changes: Change[] = [];
  for (const graph of allGraphs(model.graph)) {
    const paddingNodes = findComputedPadding(graph, inference);
    for (const node of graph.nodes()) {
      if (paddingNodes.has(node)) continue;
      if (node.inputs.length === 0 || node.inputs.some((input) => input !== undefined && isProtected(input))) continue;
      const knownOutputs = node.outputs.flatMap((output) => {
        const dense = output?.role === undefined ? output && knownContents(output, inference) : undefined;
        return output === undefined || dense === undefined || !isUsed(output) ? [] : [[output, dense] as const];
      });
      const at = nodeText(node);
      for (const [output, dense] of knownOutputs) storeInPlace(output, dense);
      if (knownOutputs.length > 0) changes.push(cleanUpChange(at, "shape stored"));
    }
    for (const node of graph.nodes()) {
      if (!paddingNodes.has(node) && storeShapeInputs(node, inference))
        changes.push(cleanUpChange(nodeText(node), "takes a stored shape"));
    }
  }
  if (changes.length > 0) removeUnusedEverywhere(model);
  return changes;
});

/** Returns nodes of paddings that must not be stored (quirk "stored-padding"). */
function findComputedPadding(graph: Graph, inference: Inference): ReadonlySet<Node> {
  const computedNodes = new Set<Node>();
  const addProducers = ({ producer }: Value): void => {
    if (producer === undefined || computedNodes.has(producer)) return;
    computedNodes.add(producer);
    for (const input of producer.inputs)
      if (input !== undefined && inference.operand(input)?.elements !== undefined) addProducers(input);
  };
  for (const node of graph.nodes()) {
    const input = entryOf(node)?.padding;
    const [output] = node.outputs;
    const pads = input === undefined ? undefined : node.inputs[input];
    if (output === undefined || pads?.producer === undefined) continue;
    const numbers = inference.operand(pads)?.elements ?? [];
    const isTooLarge = [...output.uses].some(({ node: reader }) => {
      const limits = entryOf(reader)?.maxPadding?.(inference.site(reader));
      return limits?.some((limit, index) => Number(spatialPadsOf(numbers)[index]) > limit) === true;
    });
    if (!isTooLarge) continue;
    computedNodes.add(node);
    addProducers(pads);
  }
  return computedNodes;
}

function spatialPadsOf<T>(pads: readonly T[]): readonly T[] {
  const rank = pads.length / 2;
  return pads.filter((_, index) => index % rank >= 2);
}

function knownContents(value: Value, inference: Inference): Dense | undefined {
  const operand = inference.operand(value);
  const elements = exactElements(operand);
  const { type, dims } = operand ?? {};
  if (elements === undefined || dims === undefined || dims.length > 1) return undefined;
  if (type !== "int64" && type !== "int32" && type !== "bool") return undefined;
  if (!elements.every((element) => typeof element === "number")) return undefined;
  const count = dims.length === 0 ? 1 : dims[0];
  if (count !== elements.length) return undefined;
  return fromNumbers(type, dims.length === 0 ? [] : [elements.length], elements as readonly number[]);
}

/** Stores shapes in the form that the facet `resize` returns: a named dimension can be written as 0 (copied) or -1 (inferred). */
function storeShapeInputs(node: Node, inference: Inference): boolean {
  if (node.inputs.every((input) => input === undefined || input.tensor !== undefined)) return false;
  const rule = inference.facet(node, "axes");
  if (rule?.resize === undefined) return false;
  const dimsAt = (port: string): readonly Dim[] => {
    const values = port.startsWith("in") ? node.inputs : node.outputs;
    return values[Number(port.replace(/^\D+/, ""))]?.type?.dims ?? [];
  };
  const { inputs = {} } = rule.resize({ dims: dimsAt, removed: () => [] });
  let isChanged = false;
  for (const [index, numbers] of Object.entries(inputs)) {
    const before = node.inputs[Number(index)];
    const operand = before === undefined ? undefined : inference.operand(before);
    if (operand?.stored !== false || !isShape(numbers, operand.elements)) continue;
    const list = listFor(node, Number(index), numbers);
    const storedShape = node.graph.addTensor(`${node.outputs[0]?.name ?? node.op}_shape`, inMemory(list));
    node.graph.setInput(node, Number(index), storedShape);
    isChanged = true;
  }
  return isChanged;
}

/** Returns whether a stored shape matches the known elements: equal numbers, and 0 or -1 for symbols. */
function isShape(numbers: readonly number[], elements: readonly Dim[] | undefined): boolean {
  if (numbers.length !== elements?.length) return false;
  return elements.every((element, index) => {
    const number = numbers[index];
    return typeof element === "number" ? number === element : number === 0 || number === -1;
  });
}
