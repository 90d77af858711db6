/** Stores weights that are computed on reading (quantized weights), so that they are computed once instead of per session and file. */
import { PithError } from "../../core/errors.ts";
import { allValues } from "../../core/graph/graph.ts";
import { Model } from "../../core/graph/model.ts";
import { open, save } from "../../core/onnx/index.ts";

/** Below this size computing again is faster than writing and reading. */
const leastStored = 2 ** 26;

/** Writes computed tensors beside a path, from where the model reads them. Without room there, they stay computed. */
export async function storeComputed(model: Model, path: string, least = leastStored): Promise<void> {
  const loose = [...allValues(model.graph)].flatMap((value) => {
    const { tensor } = value;
    return tensor === undefined || tensor.stored !== undefined || tensor.small !== undefined ? [] : [{ value, tensor }];
  });
  if (loose.reduce((sum, { tensor }) => sum + tensor.bytes, 0) < least) return;
  const beside = new Model();
  const tensors = new Set(loose.map(({ tensor }) => tensor));
  const names = new Map([...tensors].map((tensor, at) => [tensor, beside.graph.addTensor(`${at}`, tensor).name]));
  try {
    await save(beside, path, { externalData: true });
  } catch (error) {
    if (error instanceof PithError && error.code === "E_FILE") return;
    throw error;
  }
  const { graph } = await open(path);
  for (const { value, tensor } of loose) value.tensor = graph.value(names.get(tensor) ?? "")?.tensor;
}
