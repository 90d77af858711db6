/**
 * What a training leaves as it is (masks, frozen layers) is not put back from its checkpoint: it is the model's, which has to be the one that the
 * training was begun with. Weights that learnt behind one mask are not continued behind another.
 */
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { dimsText } from "../tensor/dims.ts";
import type { Tensor } from "../tensor/types.ts";
import type { Identity } from "./identity.ts";

/** @throws PithError E_OPTION where the model that a checkpoint stores has something else that is not trained than the model to go on with. */
export async function requireSameFrozen(
  path: string,
  trained: Identity["trained"],
  stored: Model,
  model: Model,
): Promise<void> {
  for (const { name, tensor, role } of stored.graph.values()) {
    const moves = trained[name] !== undefined || role?.kind === "state" || role?.kind === "tied";
    if (tensor === undefined || moves) continue;
    const now = model.graph.value(name)?.tensor;
    if (now === undefined) throw otherModel(path, `it has "${name}", which this model does not have`);
    if (!(await isSame(tensor, now))) throw otherModel(path, `"${name}", which is not trained, has other numbers here`);
  }
}

async function isSame(a: Tensor, b: Tensor): Promise<boolean> {
  if (a.type !== b.type || dimsText(a.dims) !== dimsText(b.dims)) return false;
  const [{ data: one }, { data: other }] = [await a.read(), await b.read()];
  return one.every((entry: unknown, at: number) => Object.is(entry, other[at]));
}

function otherModel(path: string, why: string): PithError {
  return new PithError("E_OPTION", `"${path}" is a checkpoint of another model: ${why}.`, {
    hint: "A training is continued with the model that it was begun with; another folder begins anew.",
  });
}
