import { dimsText, sameDims } from "../../core/tensor/dims.ts";
import { applyAll, applyInside, type Module, type Modules, mismatch } from "./module.ts";

/**
 * Combines consecutive modules. Parameters are nested: "encoder.fc1.weight", or by number "encoder.0.weight".
 * @example
 * const net = network({ body: sequential([linear(8, 8), relu()]), head: linear(8, 2) }, { input: ["batch", 8], seed: 1 });
 */
export function sequential(modules: Modules): Module {
  return (scope, x) => applyAll(modules, scope, x);
}

/**
 * y = x + block(x) (He et al. 2016). Parameters of named or numbered modules are directly under the residual's name, as in
 * PyTorch: "layer1.0.conv1.weight".
 * @param options.shortcut Module applied to x if the block changes its shape; its parameters are named "shortcut".
 * @throws PithError E_SHAPE_MISMATCH if block and shortcut differ in shape.
 * @example
 * const block = residual({ norm: layerNorm(64), fc: linear(64, 64), relu: relu() });
 */
export function residual(block: Modules | Module, options: { readonly shortcut?: Module } = {}): Module {
  return (scope, x) => {
    const { emit, name } = scope;
    const way = typeof block === "function" ? block(scope, x) : applyAll(block, scope, x);
    const straight = options.shortcut === undefined ? x : applyInside(scope, "shortcut", options.shortcut, x);
    const [expected, got] = [straight.type?.dims, way.type?.dims];
    if (expected !== undefined && got !== undefined && !sameDims(expected, got)) {
      const hint = "Give it a shortcut that maps its input to the shape of the block's output.";
      throw mismatch("residual", name, dimsText(expected), dimsText(got), hint);
    }
    return emit.named(`${name}.output`).Add([way, straight]);
  };
}
