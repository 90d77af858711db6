/** What no trained parameter influences (a teacher, a frozen backbone), as a graph of its own that runs optimized. */
import { downstream } from "../analysis/downstream.ts";
import type { Inference } from "../analysis/infer.ts";
import { Miss } from "../errors.ts";
import { extract } from "../graph/extract.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { replaceUses } from "../graph/replace.ts";
import { removeUnused } from "../passes/remove-unused.ts";

/** Splits off the nodes of the forward pass that no parameter or state (`trained`) reaches but some input does. */
export function cutFrozen(
  step: Model,
  forward: ReadonlySet<Node>,
  trained: readonly Value[],
  inference: Inference,
): Model | undefined {
  const { graph } = step;
  const varying = downstream(graph, trained, inference);
  const fed = downstream(graph, graph.feeds, inference);
  const isFrozen = (node: Node): boolean =>
    forward.has(node) &&
    node.outputs.every((output) => output === undefined || (!varying.has(output) && fed.has(output)));
  const nodes = [...graph.nodes()].filter(isFrozen);
  const multiplies = nodes.some((node) => {
    const bound = inference.at(node);
    const cost = bound instanceof Miss ? bound : bound.cost();
    return !(cost instanceof Miss) && cost.macs !== 0;
  });
  if (!multiplies) return undefined;
  const frozenNodes = new Set(nodes);
  const boundary = nodes
    .flatMap((node) => node.outputs)
    .filter(
      (value): value is Value => value !== undefined && [...value.uses].some((use) => !frozenNodes.has(use.node)),
    );

  const frozen = extract(step, boundary);

  const outputs = graph.outputs;
  for (const value of boundary) {
    const input = graph.addInput(graph.freshName(`${value.name}.frozen`), value.type);
    const { name } = value;
    replaceUses(value, input);
    graph.rename(value, graph.freshName(`${name}.replaced`));
    graph.rename(input, name);
  }
  graph.setOutputs(outputs);
  removeUnused(graph);
  graph.setInputs(graph.inputs.filter((input) => input.uses.size > 0));
  return frozen;
}
