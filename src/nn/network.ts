import { infer } from "../analysis/infer.ts";
import { emitInto } from "../graph/emit.ts";
import { Model } from "../graph/model.ts";
import { type Dim, symbol } from "../tensor/dims.ts";
import { random } from "../tensor/random.ts";
import type { Module } from "./module.ts";

export interface NetworkOptions {
  /** Dimensions of the input; a name stands for a dimension that may vary: ["batch", 784]. */
  readonly input: readonly (number | string)[];
  /** Same seed, same initial weights. */
  readonly seed: number;
}

/**
 * A model from modules, applied one after the other, that reads like `nn.Sequential`. It is an ONNX graph from the start: input "input",
 * output "output", parameters named after their module ("fc1.weight").
 * @throws PithError E_SHAPE_MISMATCH where a module does not fit the one before it.
 * @example
 * import { linear, network, relu } from "pith/nn";
 * const net = network({ fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) }, { input: ["batch", 784], seed: 1 });
 */
export function network(modules: Readonly<Record<string, Module>>, options: NetworkOptions): Model {
  const model = new Model();
  model.graph.name = "network";
  const dims = options.input.map((dim): Dim => (typeof dim === "string" ? symbol(dim) : dim));
  let x = model.graph.addInput("input", { type: "float32", dims });
  const inference = infer(model);
  const emit = emitInto(model, {
    onNode: inference.visit,
  });
  for (const [name, module] of Object.entries(modules)) {
    x = module({ emit, name, random: random(options.seed, name) }, x);
    if (x.producer !== undefined) x.producer.name = name;
  }
  model.graph.addOutput(x);
  model.graph.rename(x, "output");
  return model;
}
