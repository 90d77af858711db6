/** Gives random operators (`RandomNormal`, …) fixed seeds, so that two models can be compared on the same random numbers. */
import { allNodes, type Model, type Node, random } from "#graph";
import { isRandom, seedKind } from "./infer.ts";

export function hasRandomNodes(model: Model): boolean {
  return randomNodes(model).length > 0;
}

/** Returns whether `withFixedSeeds` gives two models the same random numbers. */
export function haveSameFixedSeeds(first: Model, second: Model): boolean {
  const [a, b] = [first, second].map((model) =>
    randomNodes(model)
      .map(({ op, outputs, attributes }) => `${op} ${outputs[0]?.name} ${attributes.get("seed")?.value}`)
      .sort()
      .join(),
  );
  return a === b;
}

const maxSeed = 2 ** 24;

/** Returns the model, or a copy in which random nodes without a seed get one from their first output's name. */
export function withFixedSeeds(model: Model): Model {
  if (!hasRandomNodes(model)) return model;
  const copy = model.clone();
  for (const node of randomNodes(copy)) {
    const kind = seedKind(node);
    if (kind === undefined || node.attributes.has("seed")) continue;
    const value = random(0, "draws", node.outputs[0]?.name ?? "").integer(maxSeed);
    node.graph.setAttribute(node, "seed", { kind, value });
  }
  return copy;
}

function randomNodes({ graph }: Model): readonly Node[] {
  return [...allNodes(graph)].filter(isRandom);
}
