/** Bringing one model's graph into another: a teacher beside its student. */
import { PithError } from "../errors.ts";
import { subgraphs, type Value } from "./graph.ts";
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
  const copies = new Map<Value, Value>();
  const { graph } = host;
  for (const value of guest.graph.values()) {
    if (value.tensor !== undefined) copies.set(value, graph.addTensor(`${prefix}${value.name}`, value.tensor));
  }
  for (const input of guest.graph.feeds) {
    const given = inputs.get(input.name);
    if (given === undefined)
      throw new PithError("E_NAME", `The second model's input "${input.name}" is fed by nothing.`);
    copies.set(input, given);
  }
  for (const node of guest.graph.nodes()) {
    if (subgraphs(node).next().done !== true) {
      throw new PithError("E_UNSUPPORTED", `${node.op} "${node.name}" has subgraphs: models with them are not merged.`);
    }
    const copy = graph.addNode({
      op: node.op,
      domain: node.domain,
      overload: node.overload,
      name: node.name === "" ? "" : `${prefix}${node.name}`,
      inputs: node.inputs.map((input) => (input === undefined ? undefined : copies.get(input))),
      outputs: node.outputs.map((output) =>
        output === undefined ? undefined : graph.freshName(`${prefix}${output.name}`),
      ),
      attributes: node.attributes,
    });
    node.outputs.forEach((output, index) => {
      const made = copy.outputs[index];
      if (output === undefined || made === undefined) return;
      made.type = output.stated;
      made.inferred = output.inferred;
      copies.set(output, made);
    });
  }
  const outputs = new Map<string, Value>();
  for (const output of guest.graph.outputs) {
    const copy = copies.get(output);
    if (copy !== undefined) outputs.set(output.name, copy);
  }
  return { outputs };
}
