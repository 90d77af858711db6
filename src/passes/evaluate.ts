/**
 * Evaluates values that depend on stored tensors alone, wherever in the model they are: what they need is written as a model of its own,
 * which the engine runs once. The model itself is not changed.
 */
import type { Engine } from "../engine/index.ts";
import { PithError } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import { Model } from "../graph/model.ts";
import type { Dense } from "../tensor/types.ts";

/**
 * The elements of values whose producers lead back to stored tensors.
 * @throws PithError E_MODEL if one depends on something else, E_ENGINE if the runtime cannot do it.
 */
export async function evaluate(
  model: Model,
  values: readonly Value[],
  engine: Engine,
): Promise<ReadonlyMap<Value, Dense>> {
  if (values.length === 0) return new Map();
  const { header } = model;
  const work = new Model(undefined, { irVersion: Math.max(header.irVersion, 8), opsets: new Map(header.opsets) });
  const copies = new Map<Value, Value>();
  for (const node of producersOf(values)) {
    const inputs = node.inputs.map((input) => (input === undefined ? undefined : copied(input)));
    const { op, domain, overload, attributes } = node;
    const outputs = node.outputs.map((output) =>
      output === undefined ? undefined : work.graph.freshName(output.name),
    );
    const made = work.graph.addNode({ op, domain, overload, inputs, outputs, attributes });
    node.outputs.forEach((output, index) => {
      const copy = made.outputs[index];
      if (output === undefined || copy === undefined) return;
      copy.type = output.type;
      copies.set(output, copy);
    });
  }
  function copied(value: Value): Value {
    const known = copies.get(value);
    if (known !== undefined) return known;
    if (value.tensor === undefined)
      throw new PithError("E_MODEL", `"${value.name}" does not depend on stored tensors alone.`);
    const copy = work.graph.addTensor(value.name, value.tensor);
    copies.set(value, copy);
    return copy;
  }
  const targets = values.map((value) => [value, copied(value)] as const);
  work.graph.setOutputs(targets.map(([, copy]) => copy));
  const session = await engine.load(work, { optimize: false });
  try {
    const results = await session.run({});
    return new Map(
      targets.map(([value, { name }]) => {
        const result = results[name];
        if (result === undefined) throw new PithError("E_MODEL", `"${value.name}" could not be evaluated.`);
        return [value, result];
      }),
    );
  } finally {
    await session.release();
  }
}

/** The nodes that values need, each after those that it needs itself. */
function producersOf(values: readonly Value[]): ReadonlySet<Node> {
  const found = new Set<Node>();
  const started = new Set<Node>();
  // Chains may be as long as the model: a list of what is to be done in place of recursion.
  const work: { readonly node: Node; readonly done: boolean }[] = [];
  const want = (value: Value | undefined): void => {
    const node = value?.tensor === undefined ? value?.producer : undefined;
    if (node !== undefined && !started.has(node)) work.push({ node, done: false });
  };
  for (const value of values) {
    want(value);
    for (let next = work.pop(); next !== undefined; next = work.pop()) {
      const { node, done } = next;
      if (done) {
        found.add(node);
        continue;
      }
      if (started.has(node)) continue;
      started.add(node);
      work.push({ node, done: true });
      for (const input of node.inputs) want(input);
    }
  }
  return found;
}
