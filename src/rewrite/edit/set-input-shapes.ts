import { infer, updateStatedTypes } from "#analysis";
import { type Dim, dimsText, dimValue, isSymbolic, type Model, shapeError } from "#ir";

/**
 * Sets input dimensions in place and infers the other types again. A fixed batch size can be changed if no constant in the model repeats it.
 * @throws PithError E_SHAPE_MISMATCH if an output gets another size than expected, because a constant fixes it.
 */
export function fixInputs(model: Model, shapes: Readonly<Record<string, readonly number[]>>): void {
  const { graph } = model;
  const sizes: Record<string, number> = {};
  const batches = new Map<number, number>();
  for (const input of graph.feeds) {
    const { type } = input;
    const dims = shapes[input.name];
    if (type === undefined || dims === undefined) continue;
    type.dims?.forEach((dim, axis) => {
      if (isSymbolic(dim)) sizes[dim.text] = dims[axis] ?? 0;
      else if (axis === 0 && dim !== dims[axis]) batches.set(dim, dims[axis] ?? 0);
    });
    input.type = { type: type.type, dims };
  }
  const expectedDims = graph.outputs.map(({ type }) =>
    type?.dims?.map((dim: Dim, axis) => (axis === 0 && !isSymbolic(dim) && batches.get(dim)) || dimValue(dim, sizes)),
  );
  for (const value of graph.values()) {
    if (value.producer !== undefined && value.type !== undefined)
      value.type = { type: value.type.type, dims: undefined };
  }
  infer(model);
  updateStatedTypes(model, true);
  graph.outputs.forEach((output, index) => {
    const dims = output.type?.dims;
    const sizes = expectedDims[index] ?? [];
    const isWrong = sizes.some(
      (size, axis) => size !== undefined && typeof dims?.[axis] === "number" && dims[axis] !== size,
    );
    if (!isWrong) return;
    throw shapeError(
      `With inputs of these sizes "${output.name}" has dimensions ${dimsText(dims)}, expected [${sizes.map((size) => size ?? "?").join(", ")}].`,
      {
        hint: [
          "A constant inside the model fixes a size (often the shape of a Reshape).",
          "Export it with dynamic sizes, or train with the sizes that the model has, such as `batch: 1`.",
        ],
      },
    );
  });
}
