/** Store in memory without records, for a single step whose result the caller writes to a file. */

import { allValues, encodedSource, Model, open, PithError, save } from "#ir";
import { joinPath } from "#platform";
import type { Store } from "./store.ts";

/** Returns the store. @param folder for files of weights that would be computed at each reading; undefined: no files are written. */
export function memoryModels(original: Model, folder: string | undefined): Store {
  const models = [original];
  const modelOf = (name: string): Model => {
    const model = models[Number(name)];
    if (model === undefined) throw new Error(`There is no model ${name}.`);
    return model;
  };
  const read = async (name: string): Promise<Model> => {
    const model = modelOf(name);
    if (model !== original && folder !== undefined)
      await storeComputed(model, joinPath(folder, `weights-${name}.onnx`));
    return model;
  };
  return {
    original: "0",
    keep: async (model) => `${models.push(model) - 1}`,
    open: async (name) => (await read(name)).clone(),
    read,
    file: async (name) => encodedSource(modelOf(name)),
    has: async (name) => models[Number(name)] !== undefined,
    records: undefined,
    trim: async () => {},
    release: async () => {},
  };
}

/** Minimum bytes of computed weights that are written to a file. Fewer bytes are faster to compute again than to write and read. */
const minStored = 2 ** 26;

/** Writes tensors that would be computed at each reading to a file, and lets the model read the file. If the disk has no space, changes nothing. */
export async function storeComputed(model: Model, path: string, minBytes = minStored): Promise<void> {
  const computedValues = [...allValues(model.graph)].flatMap((value) => {
    const { tensor } = value;
    return tensor === undefined || tensor.stored !== undefined || tensor.small !== undefined ? [] : [{ value, tensor }];
  });
  if (computedValues.reduce((sum, { tensor }) => sum + tensor.bytes, 0) < minBytes) return;
  const storage = new Model();
  const tensors = new Set(computedValues.map(({ tensor }) => tensor));
  const names = new Map(
    [...tensors].map((tensor, index) => [tensor, storage.graph.addTensor(`${index}`, tensor).name]),
  );
  try {
    await save(storage, path, { externalData: true });
  } catch (error) {
    if (error instanceof PithError && error.code === "E_FILE") return;
    throw error;
  }
  const { graph } = await open(path);
  for (const { value, tensor } of computedValues) value.tensor = graph.value(names.get(tensor) ?? "")?.tensor;
}
