/** Runs a decoder on a text as generation does: most tokens at once (prefill), and the last ones one at a time with the cache of those before. */

import { attentionMaskOf, range, selectColumns } from "#batches";
import type { Batch, Model } from "#ir";
import { Decoding, decoderOf, type TokenRows, tokenFeeds, tokenRows } from "../run/decoding.ts";
import type { ModelRun } from "./original-runs.ts";

/** Maximum number of tokens that are fed one at a time. */
const cachedTokens = 8;

/** Runs the original on a text. Returns no runs if the model has no cache or the text is too short. @param names outputs that both models have. */
export async function runCachedSteps(
  model: Model,
  feeds: Batch,
  names: readonly string[],
  run: (feeds: Batch, names: readonly string[]) => Promise<Batch>,
): Promise<readonly Omit<ModelRun, "samples">[]> {
  const decoder = decoderOf(model);
  const { tokens, caches, logits } = decoder ?? { caches: [], logits: "" };
  const cacheNames = new Set(caches.map(({ input }) => input));
  const isEmpty = caches.every(({ input, output }) => feeds[input]?.data.length === 0 && names.includes(output));
  const ids = tokenRows(feeds[tokens ?? ""]);
  const mask = tokenRows(attentionMaskOf(feeds));
  const length = ids[0]?.length ?? 0;
  if (caches.length === 0 || !isEmpty || length < 2) return [];
  const providedFeeds = tokenFeeds(model, [], [], {}, true);
  const otherNames = Object.keys(feeds).filter((name) => providedFeeds[name] === undefined && !cacheNames.has(name));
  const { use_cache_branch: _, ...tensors } = selectColumns(feeds, otherNames);
  const decoding = new Decoding(model);
  const runs: Omit<ModelRun, "samples">[] = [];
  const prefill = Math.max(Math.ceil(length / 2), length - cachedTokens);
  for (const start of [0, ...range(length - prefill, prefill)]) {
    const isFirst = start === 0;
    const select = (rows: TokenRows) => rows.map((row) => row.slice(start, isFirst ? prefill : start + 1));
    const next = decoding.next(select(ids), mask.length === 0 ? undefined : select(mask), tensors);
    const outputs = await run(next, names);
    decoding.carry(outputs);
    runs.push({
      feeds: isFirst
        ? next
        : selectColumns(
            next,
            Object.keys(next).filter((name) => !cacheNames.has(name)),
          ),
      expected: isFirst ? outputs : selectColumns(outputs, [logits]),
      cache: { states: caches, isFirst },
    });
  }
  return runs;
}
