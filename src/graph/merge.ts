/** Bringing one model's graph into another: a teacher beside its student. */
import { PithError } from "../errors.ts";
import { subgraphs, type Value } from "./graph.ts";
import { inlineGraph } from "./inline.ts";
import type { Model } from "./model.ts";

export interface Merged {
  /** The guest's outputs by their own names, now values of the host. */
  readonly outputs: ReadonlyMap<string, Value>;
}

/**
 * Copies the nodes and tensors of `guest` into the graph of `host`. The guest's inputs are replaced by values of the host; everything else
 * gets a name that starts with `prefix`. Tensors are shared, roles are left behind: the guest is not trained.
 * @throws PithError E_NAME if an input of the guest is given no value, E_UNSUPPORTED for subgraphs or operator sets that differ.
 */
export function mergeGraph(host: Model, guest: Model, prefix: string, inputs: ReadonlyMap<string, Value>): Merged {
  for (const [domain, version] of guest.opsets) {
    const own = host.opsets.get(domain);
    if (own === undefined) host.header.opsets.set(domain, version);
    else if (own !== version) {
      throw new PithError(
        "E_UNSUPPORTED",
        `The models are written in different operator sets: ${domain || "ai.onnx"} ${own} and ${version}.`,
      );
    }
  }
  const given = new Map<Value, Value>();
  for (const input of guest.graph.feeds) {
    const own = inputs.get(input.name);
    if (own === undefined) throw new PithError("E_NAME", `The second model's input "${input.name}" is fed by nothing.`);
    given.set(input, own);
  }
  for (const node of guest.graph.nodes()) {
    if (subgraphs(node).length > 0)
      throw new PithError("E_UNSUPPORTED", `${node.op} "${node.name}" has subgraphs: models with them are not merged.`);
  }
  const inlined = inlineGraph(guest.graph, host.graph, { given, prefix });
  for (const copy of inlined.names.keys()) copy.role = undefined;
  const outputs = new Map<string, Value>();
  guest.graph.outputs.forEach(({ name }, index) => {
    const copy = inlined.outputs[index];
    if (copy !== undefined) outputs.set(name, copy);
  });
  return { outputs };
}
