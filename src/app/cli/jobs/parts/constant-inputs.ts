/** Converts the values of `--set` to inputs of models. */
import type { Batch, Model } from "#ir";
import type { Settings } from "../../../../judge/task/constant-inputs.ts";
import { contentOf, hasValue } from "../../../../rewrite/clean-up/set-inputs.ts";

export function constantInputsOf(model: Model, set: Settings): Batch {
  const settings = Object.entries(set).filter(([name]) => model.graph.feeds.some((feed) => feed.name === name));
  return Object.fromEntries(settings.map(([name, value]) => [name, contentOf(model, name, value)]));
}

/** Returns the constant inputs of each model. @throws PithError as `contentOf`, also for a name that no model has. */
export function constantInputsOfEach(models: readonly Model[], set: Settings): readonly Batch[] {
  const contents = models.map((model) => constantInputsOf(model, set));
  for (const [name, value] of Object.entries(set)) {
    const [first] = models.filter((model) => !hasValue(model, name, value));
    if (first !== undefined && !contents.some((batch) => name in batch)) contentOf(first, name, value);
  }
  return contents;
}
