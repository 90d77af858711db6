/** Networks of modules: creates a model from consecutive modules, and combines modules. */
import { infer } from "#analysis";
import { type Dim, dimsText, emitInto, Model, optionError, random, sameDims, symbol, type Value } from "#ir";
import { applyAll, applyInside, type Module, type ModuleScope, type Modules, mismatch } from "./module.ts";

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
 * Creates a model from consecutive modules, like `nn.Sequential`: an ONNX graph with output "output" and parameters named after their modules.
 * @throws PithError E_SHAPE_MISMATCH if a module does not fit the one before it, E_OPTION for no input or modules.
 * @example
 * import { linear, network, relu } from "pith/nn";
 * const net = network({ fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) }, { input: ["batch", 784], seed: 1 });
 */
export function network(modules: Modules, options: NetworkOptions): Model {
  const model = new Model();
  model.graph.name = "network";
  const declaredInputs = isDims(options.input) ? { input: { dims: options.input } } : options.input;
  const inputs = new Map<string, Value>();
  for (const [name, { type = "float32", dims }] of Object.entries(declaredInputs)) {
    const sizes = dims.map((dim): Dim => (typeof dim === "string" ? symbol(dim) : dim));
    inputs.set(name, model.graph.addInput(name, { type, dims: sizes }));
  }
  const [x] = inputs.values();
  if (x === undefined) throw optionError("A network takes at least one input, got none.");
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
  if (output === x) throw optionError("A network takes at least one module that computes, got none.");
  model.graph.addOutput(output);
  model.graph.rename(output, "output");
  return model;
}

/** `Array.isArray` does not narrow readonly arrays. */
function isDims(input: NetworkOptions["input"]): input is InputDims {
  return Array.isArray(input);
}

/**
 * Combines consecutive modules. Parameters are nested: "encoder.fc1.weight", or by number "encoder.0.weight".
 * @example
 * const net = network({ body: sequential([linear(8, 8), relu()]), head: linear(8, 2) }, { input: ["batch", 8], seed: 1 });
 */
export function sequential(modules: Modules): Module {
  return (scope, x) => applyAll(modules, scope, x);
}

/**
 * y = x + block(x) (He et al. 2016). Parameters of the block are directly under the residual's name, as in PyTorch: "layer1.0.conv1.weight".
 * @param options.shortcut Module applied to x if the block changes its shape; its parameters are named "shortcut".
 * @throws PithError E_SHAPE_MISMATCH if block and shortcut differ in shape.
 * @example
 * const block = residual({ norm: layerNorm(64), fc: linear(64, 64), relu: relu() });
 */
export function residual(block: Modules | Module, options: { readonly shortcut?: Module } = {}): Module {
  return (scope, x) => {
    const { emit, name } = scope;
    const blockOutput = typeof block === "function" ? block(scope, x) : applyAll(block, scope, x);
    const shortcutOutput = options.shortcut === undefined ? x : applyInside(scope, "shortcut", options.shortcut, x);
    const [expected, got] = [shortcutOutput.type?.dims, blockOutput.type?.dims];
    if (expected !== undefined && got !== undefined && !sameDims(expected, got)) {
      const hint = "Give it a shortcut that maps its input to the shape of the block's output.";
      throw mismatch("residual", name, dimsText(expected), dimsText(got), hint);
    }
    return emit.named(`${name}.output`).Add([blockOutput, shortcutOutput]);
  };
}
