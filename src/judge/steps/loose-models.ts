/** A store for a single run whose results are written elsewhere: models stay in memory, without records. */
import { joinPath } from "#platform";
import type { Model } from "../../core/graph/model.ts";
import { encodedSource } from "../../core/onnx/encode.ts";
import type { Store } from "./store.ts";
import { storeComputed } from "./store-computed.ts";

/** @param folder For weights that are computed on reading; undefined: they stay computed. */
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
