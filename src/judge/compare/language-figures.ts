/** Compares the next tokens that two language models predict at each position of a text: share of equal tokens, divergence, and ratio of perplexities. */
import { type Batch, type Dense, fromNumbers } from "#ir";
import type { Estimate } from "../../core/estimate.ts";
import { meanInterval, moments, wilson } from "../../core/math/interval.ts";
import { agreement, meanKl } from "../../runtime/metrics/comparison-metrics.ts";
import { perplexity } from "../../runtime/metrics/metrics.ts";
import type { Pair } from "../../runtime/paired/paired-runs.ts";
import { type Decoder, tokenRows } from "../../runtime/run/decoding.ts";
import { groupTokens } from "./output-comparison.ts";

export interface LanguageFigures {
  /** Share of positions at which both models find the same next token most likely. */
  readonly agreement: Estimate;
  /** Mean Kullback-Leibler divergence of the probabilities of the next token, in nats. */
  readonly divergence: number;
  /** Perplexity of the result relative to the original's, on the same tokens. */
  readonly perplexityRatio: Estimate;
}

/** Returns the figures; undefined without scores of tokens, or if no sample has a token after another one. */
export function languageFigures({ tokens, logits }: Decoder, pairs: readonly Pair[]): LanguageFigures | undefined {
  if (tokens === undefined || pairs.some(({ expected, got }) => (expected[logits] ?? got[logits])?.dims.length !== 3))
    return undefined;
  const labeledPairs = pairs.map((pair, index) => ({ ...pair, label: nextTokens(tokens, pair, pairs[index + 1]) }));
  const same: number[] = [];
  const divergences: number[] = [];
  const changes: number[] = [];
  for (const { name, members } of groupTokens(labeledPairs, logits))
    for (const { expected, got, label } of members) {
      const options = { output: name };
      same.push(...agreement(options).rows(got, expected));
      divergences.push(...meanKl(options).rows(got, expected));
      const [before, after] = [expected, got].map((outputs: Batch) => perplexity(options).rows(outputs, { label }));
      for (let token = 0; token < (label.dims[0] ?? 0); token++)
        if (before?.[2 * token + 1] === 1) changes.push((after?.[2 * token] ?? 0) - (before[2 * token] ?? 0));
    }
  if (changes.length === 0) return undefined;
  const change = meanInterval(Float64Array.from(changes));
  return {
    agreement: wilson(
      same.reduce((sum, isSame) => sum + isSame, 0),
      same.length,
    ),
    divergence: moments(Float64Array.from(divergences)).mean,
    perplexityRatio: {
      ...change,
      value: Math.exp(change.value),
      low: Math.exp(change.low),
      high: Math.exp(change.high),
    },
  };
}

/** Returns the reason if significantly fewer than half of the next tokens are the original's. */
export function lostTokens({ agreement: { value, high, count } }: LanguageFigures): string | undefined {
  if (high >= 0.5) return undefined;
  return `the most likely next token is the original's at only ${Math.round(value * count)} of ${count} positions`;
}

/** Returns the next token of each position, in the order of `groupTokens`; −100 for the last one of a text. */
function nextTokens(tokens: string, { feeds }: Pair, next: Pair | undefined): Dense {
  const following = next?.cache?.isFirst === false ? tokenRows(next.feeds[tokens]) : [];
  const labels = tokenRows(feeds[tokens]).flatMap((row, sample) => [...row.slice(1), following[sample]?.[0] ?? -100]);
  return fromNumbers("int64", [labels.length], labels);
}
