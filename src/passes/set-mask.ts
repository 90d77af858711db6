/**
 * Masks in the graph. Before and after masking `fc1.weight`:
 *
 *     fc1.weight: float32[128, 784] parameter            fc1.weight_orig: float32[128, 784] parameter
 *                                                        fc1.weight_mask: float32[128, 784] mask
 *                                                        fc1.weight = Mul(fc1.weight_orig, fc1.weight_mask)
 *     h = Gemm(x, fc1.weight, …)                         h = Gemm(x, fc1.weight, …)
 *
 * The product has the old name, so whatever read the weight reads the masked one, and training sees gradients through the mask.
 */
import { type Masked, maskedAt } from "../analysis/masks.ts";
import { PithError } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { mask as maskRole, parameter as parameterRole } from "../graph/role.ts";
import type { Mask } from "../math/smallest.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { deferred } from "../tensor/deferred.ts";
import { floatOf, stored } from "./fold-mask.ts";
import { raiseOpset } from "./raise-opset.ts";

/** Puts a mask on a parameter, or replaces the one it has. Its floats are made when they are read: it is held in a byte an entry. */
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

/** Products run from operator set 7 on. In a model that cannot be raised, masks can only be folded in. */
function raiseWherePossible(model: Model): void {
  try {
    raiseOpset(model, 7);
  } catch (error) {
    if (!(error instanceof PithError) || error.code !== "E_UNSUPPORTED") throw error;
  }
}
