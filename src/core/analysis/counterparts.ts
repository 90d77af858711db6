/** Finds layers and values of two models that correspond by name. */
import { groupBy, Miss, type Model, type Value } from "#graph";
import { findBlocks } from "./blocks.ts";
import { infer } from "./infer.ts";
import { type Layer, layers } from "./layers.ts";

/** Returns a function that finds the layers with the same name or output as a layer. */
export function counterpartsAmong(all: readonly Layer[]): (layer: Layer) => readonly Layer[] {
  const outputName = ({ node }: Layer): string | undefined => node.outputs[0]?.name;
  const [byName, byOutput] = [groupBy(all, ({ name }) => name), groupBy(all, outputName)];
  return (layer) => [...new Set([...(byName.get(layer.name) ?? []), ...(byOutput.get(outputName(layer)) ?? [])])];
}

/** Returns the value with a name, or the output of the layer or block with this name. */
export function valueNamed(model: Model, name: string, modelRole: "student" | "teacher"): Value | Miss {
  const value = model.graph.value(name);
  if (value !== undefined) return value;
  const inference = infer(model);
  const all = layers(model, inference);
  const output =
    all.find((layer) => layer.name === name)?.node.outputs[0] ??
    findBlocks(model, inference)
      .blocks.find((block) => block.name === name)
      ?.outputs.at(-1);
  const names = all.map((layer) => layer.name).slice(0, 8);
  return output ?? new Miss(`the ${modelRole} has no value, layer or block "${name}"; layers are ${names.join(", ")}`);
}
