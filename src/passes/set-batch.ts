/** One size for the batch: the first dimension of every fed input. */
import { infer } from "../analysis/infer.ts";
import { restate } from "../analysis/restate.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { dimsText } from "../tensor/dims.ts";

/**
 * Fixes the first dimension of every input to `size`, whatever it was, in place, and drops the types that followed from the old one.
 * @throws PithError E_SHAPE_MISMATCH if an output does not follow: the model holds its batch size in a constant inside.
 */
export function setBatch(model: Model, size: number): void {
  const { graph } = model;
  const declared = graph.outputs.map((output) => output.type?.dims);
  for (const input of graph.feeds) {
    const { type } = input;
    if (type?.dims === undefined || type.dims.length === 0) continue;
    input.type = { type: type.type, dims: [size, ...type.dims.slice(1)] };
  }
  for (const value of graph.values()) {
    if (value.producer !== undefined && value.type !== undefined)
      value.type = { type: value.type.type, dims: undefined };
  }
  infer(model);
  restate(model, true);
  graph.outputs.forEach((output, index) => {
    const before = declared[index];
    const now = output.type?.dims;
    if (before === undefined || before.length === 0 || now === undefined || now[0] === size || now.length === 0) return;
    throw new PithError(
      "E_SHAPE_MISMATCH",
      `With a batch of ${size}, "${output.name}" has dimensions ${dimsText(now)}, expected ${size} first.`,
      {
        hint: "A constant inside the model fixes its batch size (often the shape of a Reshape). Export it with a dynamic batch, or train with the batch size that the model has: --batch 1, for instance.",
      },
    );
  });
}
