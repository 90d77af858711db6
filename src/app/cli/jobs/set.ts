import type { Model } from "../../../core/graph/model.ts";
import type { Batch } from "../../../core/tensor/types.ts";
import type { Settings } from "../../../judge/task/contents.ts";
import { contentOf } from "../../../rewrite/clean-up/set-inputs.ts";

/** Skips names that this model lacks, because several models may have different inputs. @throws PithError as `contentOf` */
export function contentsFor(model: Model, set: Settings): Batch {
  const own = Object.entries(set).filter(([name]) => model.graph.feeds.some((feed) => feed.name === name));
  return Object.fromEntries(own.map(([name, given]) => [name, contentOf(model, name, given)]));
}

export function contentsOfEach(models: readonly Model[], set: Settings): readonly Batch[] {
  const contents = models.map((model) => contentsFor(model, set));
  const [first] = models;
  for (const [name, given] of Object.entries(set))
    if (first !== undefined && !contents.some((batch) => name in batch)) contentOf(first, name, given);
  return contents;
}
