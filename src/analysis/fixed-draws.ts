/** Random numbers that do not depend on the run, so that two models can be compared in which the same ones are drawn. */
import { allNodes, type Node } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { random } from "../tensor/random.ts";
import { isRandom, seedKind } from "./infer.ts";

/** The nodes of a model that draw random numbers. */
function drawing({ graph }: Model): readonly Node[] {
  return [...allNodes(graph)].filter(isRandom);
}

export function drawsNumbers(model: Model): boolean {
  return drawing(model).length > 0;
}

/** Whether the same nodes draw random numbers in both, so that with fixed draws they draw the same ones. */
export function drawAlike(one: Model, other: Model): boolean {
  const [a, b] = [one, other].map((model) =>
    drawing(model)
      .map(({ op, outputs }) => `${op} ${outputs[0]?.name}`)
      .sort()
      .join(),
  );
  return a === b;
}

/** float32 holds all integers up to this one. */
const maxSeed = 2 ** 24;

/**
 * A copy in which every node that draws random numbers has a seed, which follows from the name of its first output. Every session then draws the same
 * numbers, run after run. The model itself if nothing is drawn.
 */
export function withFixedDraws(model: Model): Model {
  if (!drawsNumbers(model)) return model;
  const copy = model.clone();
  for (const node of drawing(copy)) {
    const kind = seedKind(node);
    if (kind === undefined || node.attributes.has("seed")) continue;
    const value = random(0, "draws", node.outputs[0]?.name ?? "").integer(maxSeed);
    node.graph.setAttribute(node, "seed", { kind, value });
  }
  return copy;
}
