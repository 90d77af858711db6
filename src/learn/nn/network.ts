import { infer } from "../../core/analysis/infer.ts";
import { PithError } from "../../core/errors.ts";
import { emitInto } from "../../core/graph/emit.ts";
import type { Value } from "../../core/graph/graph.ts";
import { Model } from "../../core/graph/model.ts";
import { type Dim, symbol } from "../../core/tensor/dims.ts";
import { random } from "../../core/tensor/random.ts";
import { applyAll, type ModuleScope, type Modules } from "./module.ts";

/** Dimensions of an input; a name is a symbolic dimension: ["batch", 784]. */
export type InputDims = readonly (number | string)[];

export interface NetworkInput {
  readonly type?: "float32" | "int64";
  readonly dims: InputDims;
}

export interface NetworkOptions {
  /** Dimensions of the only input, named "input"; or several by name, of which the first goes through the modules. */
  readonly input: InputDims | Readonly<Record<string, NetworkInput>>;
  /** Seed of the initial weights. */
  readonly seed: number;
}

/**
 * Creates a model from consecutive modules, like `nn.Sequential`. It is an ONNX graph with output "output" and parameters named
 * after their modules ("fc1.weight", "encoder.0.attention.query.weight").
 * @throws PithError E_SHAPE_MISMATCH if a module does not fit the one before it, E_OPTION for no input or modules.
 * @example
 * import { linear, network, relu } from "pith/nn";
 * const net = network({ fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) }, { input: ["batch", 784], seed: 1 });
 */
export function network(modules: Modules, options: NetworkOptions): Model {
  const model = new Model();
  model.graph.name = "network";
  const inputs = new Map<string, Value>();
  for (const [name, { type = "float32", dims }] of Object.entries(inputsOf(options.input))) {
    const sizes = dims.map((dim): Dim => (typeof dim === "string" ? symbol(dim) : dim));
    inputs.set(name, model.graph.addInput(name, { type, dims: sizes }));
  }
  const [x] = inputs.values();
  if (x === undefined) throw new PithError("E_OPTION", "A network takes at least one input, got none.");
  const inference = infer(model);
  const emit = emitInto(model, { onNode: inference.visit });
  const scope = (name: string): ModuleScope => ({
    emit,
    name,
    inputs,
    random: random(options.seed, name),
    inside: (inner) => scope(name === "" ? inner : `${name}.${inner}`),
  });
  const output = applyAll(modules, scope(""), x);
  if (output === x) throw new PithError("E_OPTION", "A network takes at least one module that computes, got none.");
  model.graph.addOutput(output);
  model.graph.rename(output, "output");
  return model;
}

function inputsOf(input: NetworkOptions["input"]): Readonly<Record<string, NetworkInput>> {
  return isDims(input) ? { input: { dims: input } } : input;
}

/** `Array.isArray` does not narrow readonly arrays. */
function isDims(input: NetworkOptions["input"]): input is InputDims {
  return Array.isArray(input);
}
