/** The same network as other exporters write it: formats, operator sets, and types that weights are stored in. */
import type { Model } from "../../src/core/graph/model.ts";

/** As files were up to IR 3: every stored tensor is listed among the inputs of the graph. */
export function oldestFormat(model: Model): Model {
  const { graph } = model;
  model.header.irVersion = 3;
  const listed = new Set(graph.inputs);
  const stored = [...graph.values()].filter((value) => value.tensor !== undefined && !listed.has(value));
  graph.setInputs([...graph.inputs, ...stored]);
  return model;
}
