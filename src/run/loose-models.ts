/** A store for what is run once and written elsewhere: models stay as they are, and there are no records. */
import { joinPath } from "#platform";
import type { Model } from "../graph/model.ts";
import { encodedSource } from "../onnx/index.ts";
import type { Store } from "./store.ts";
import { storeComputed } from "./store-computed.ts";

/** @param folder for weights that are computed when they are read; undefined: they stay so. */
export function looseModels(original: Model, folder: string | undefined): Store {
  const models = [original];
  const modelOf = (name: string): Model => {
    const model = models[Number(name)];
    if (model === undefined) throw new Error(`There is no model ${name}.`);
    return model;
  };
  return {
    original: "0",
    keep: async (model) => `${models.push(model) - 1}`,
    async open(name) {
      const model = modelOf(name);
      if (model !== original && folder !== undefined)
        await storeComputed(model, joinPath(folder, `weights-${name}.onnx`));
      return model.clone();
    },
    file: async (name) => encodedSource(modelOf(name)),
    has: async (name) => models[Number(name)] !== undefined,
    records: undefined,
    trim: async () => {},
    release: async () => {},
  };
}
