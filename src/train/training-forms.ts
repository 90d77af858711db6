/**
 * Nodes that compute something else while they are trained: batch normalization takes the statistics of the batch and lets them flow into its
 * running ones, dropout drops. A file is for inference; what makes such nodes differ in training is the role `state` of a stored tensor that
 * they read (running statistics, the switch of a dropout), or that they say so themselves (training_mode = 1). So an exported network
 * trains with its statistics frozen, and one that is built here, or is given that role, does not.
 *
 * Where the parameters of such a node are not trained, it stays as it is in inference: a frozen layer is frozen whole.
 */
import { infer } from "../analysis/infer.ts";
import { storedRoot } from "../analysis/stored-root.ts";
import { Miss, PithError } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import { describe, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { replaceNode } from "../graph/replace.ts";
import { isFloat } from "../tensor/convert.ts";

export interface TrainingForms {
  /** Stored tensor → the value that is stored in its place for the next step. */
  readonly states: ReadonlyMap<string, string>;
  /** The input with a random odd number below 2³¹ for each step, where something is drawn. */
  readonly draw: string | undefined;
}

/**
 * Writes those of the given nodes that have one in their training form, in place.
 * @param wanted Names of the stored tensors that are trained.
 * @throws PithError E_NOT_DIFFERENTIABLE for a node whose form cannot be written.
 */
export function writeTrainingForms(model: Model, nodes: ReadonlySet<Node>, wanted: ReadonlySet<string>): TrainingForms {
  const inference = infer(model);
  const { graph } = model;
  const states = new Map<string, Value>();
  let drawn: Value | undefined;
  const draw = (): Value => {
    drawn ??= graph.addInput(graph.freshName("draw"), { type: "int64", dims: [] });
    return drawn;
  };
  for (const node of [...graph.nodes()].filter((node) => nodes.has(node))) {
    const bound = inference.at(node);
    const form = bound instanceof Miss ? undefined : bound.training();
    if (bound instanceof Miss || form === undefined) continue;
    const held = form.states.map((input) => node.inputs[input]);
    const asked = held.length > 0 && held.every((value) => value?.tensor !== undefined && value.role?.kind === "state");
    const parameters = bound.parameters().map((input) => node.inputs[input]);
    const trained = parameters.some((value) => value !== undefined && wanted.has(storedRoot(value)?.name ?? ""));
    if (!form.declared && !(asked && (trained || parameters.length === 0))) continue;
    // Two nodes of one state take turns.
    const now = node.inputs.map((value) => (value === undefined ? value : (states.get(value.name) ?? value)));
    const emit = emitInto(model, { before: node, by: "train", onNode: inference.visit });
    const written = form.write(emit, now, draw);
    if (written instanceof Miss)
      throw new PithError("E_NOT_DIFFERENTIABLE", `${describe(node)} has no training form: ${written.reason}.`);
    for (const [input, next] of written.next) {
      const state = node.inputs[input];
      if (state?.tensor !== undefined && isFloat(state.tensor.type)) states.set(state.name, next);
    }
    replaceNode(node, written.outputs);
  }
  return {
    states: new Map([...states].map(([name, next]) => [name, next.name])),
    draw: drawn?.name,
  };
}
