/** Values that `--set` gives to inputs of models that are timed. */
import type { Model } from "../../graph/model.ts";
import { contentOf } from "../../passes/set-inputs.ts";
import type { Settings } from "../../task/index.ts";
import type { Batch } from "../../tensor/types.ts";

/** The values set for inputs of this model; other names are skipped, since several models need not have the same inputs. @throws PithError as `contentOf` */
export function contentsFor(model: Model, set: Settings): Batch {
  const own = Object.entries(set).filter(([name]) => model.graph.feeds.some((feed) => feed.name === name));
  return Object.fromEntries(own.map(([name, given]) => [name, contentOf(model, name, given)]));
}

/** The same of each model. @throws PithError E_NAME for an input that none has. */
export function contentsOfEach(models: readonly Model[], set: Settings): readonly Batch[] {
  const contents = models.map((model) => contentsFor(model, set));
  const [first] = models;
  for (const [name, given] of Object.entries(set))
    if (first !== undefined && !contents.some((batch) => name in batch)) contentOf(first, name, given);
  return contents;
}
