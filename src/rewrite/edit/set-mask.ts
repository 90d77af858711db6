/**
 * Adds masks to the graph:
 *      fc1.weight: float32[128, 784] parameter            fc1.weight_orig: float32[128, 784] parameter
 *                                                         fc1.weight_mask: float32[128, 784] mask
 *                                                         fc1.weight = Mul(fc1.weight_orig, fc1.weight_mask)
 *      h = Gemm(x, fc1.weight, …)                         h = Gemm(x, fc1.weight, …)
 * The product has the old name, so all readers see the masked weight, and gradients pass through the mask.
 */
import { type Masked, maskedAt } from "../../core/analysis/masks.ts";
import { PithError } from "../../core/errors.ts";
import { emitInto } from "../../core/graph/emit.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { mask as maskRole, parameter as parameterRole } from "../../core/graph/role.ts";
import type { Mask } from "../../core/math/smallest.ts";
import { fromNumbers } from "../../core/tensor/convert.ts";
import { deferred } from "../../core/tensor/deferred.ts";
import { floatOf, stored } from "./fold-mask.ts";
import { raiseOpset } from "./raise-opset.ts";

/** Adds or replaces a parameter's mask. It is held as one byte per entry; floats are made on reading. */
export async function setMask(model: Model, parameter: Value, mask: Mask): Promise<Masked> {
  const { dims } = stored(parameter);
  const type = floatOf(parameter);
  const tensor = await deferred(type, dims, async () => fromNumbers(type, dims, mask));
  const present = maskedAt(parameter);
  if (present !== undefined) {
    present.mask.tensor = tensor;
    return present;
  }
  raiseWherePossible(model);
  const { graph } = model;
  const name = parameter.name;
  const readers = [...parameter.uses];
  const isOutput = graph.isOutput(parameter);
  graph.rename(parameter, graph.freshName(`${name}_orig`));
  parameter.role = parameterRole;
  const value = graph.addTensor(`${name}_mask`, tensor, maskRole);
  const [before] = graph.nodes();
  const emit = emitInto(model, before === undefined ? { by: "prune" } : { before, by: "prune" });
  const product = emit.named(name).Mul([parameter, value]);
  product.type = { type, dims };
  for (const { node, input } of readers) node.graph.setInput(node, input, product);
  if (isOutput) graph.setOutputs(graph.outputs.map((output) => (output === parameter ? product : output)));
  const masked = maskedAt(parameter);
  if (masked === undefined) throw new Error("internal: the mask was not found again");
  return masked;
}

/** ONNX Runtime runs Mul from opset 7 on. If a model cannot be raised, masks can only be folded. */
function raiseWherePossible(model: Model): void {
  try {
    raiseOpset(model, 7);
  } catch (error) {
    if (!(error instanceof PithError) || error.code !== "E_UNSUPPORTED") throw error;
  }
}
