/** Small language models whose next token depends on all tokens before. */
import type { Model } from "../src/core/graph/model.ts";
import { parseModel } from "../src/core/graph/text.ts";

interface Variation {
  readonly seed?: number;
  /** Factors of the values that the cache stores, and of those that are read from it. */
  readonly stored?: number;
  readonly read?: number;
}

const stored = ({ seed = 2, stored: store = 1, read = 1 }: Variation): string => `embed: float32[80, 8] = random(seed 1)
  head: float32[8, 80] = random(seed ${seed})
  axes: int64[1] = [1]
  store: float32[1] = [${store}]
  read: float32[1] = [${read}]`;

/** A decoder whose cache holds the embeddings of the tokens before. */
export const cachedDecoder = (variation: Variation = {}): Model =>
  parseModel(`opset 17
graph (input_ids: int64[batch, seq], past_key_values.0.key: float32[batch, past, 8])
    -> (logits: float32[batch, seq, 80], present.0.key: float32[batch, total, 8]) {
  ${stored(variation)}
  h = Gather(embed, input_ids)
  kept = Mul(h, store)
  present.0.key = Concat(past_key_values.0.key, kept) {axis=1}
  past = Mul(past_key_values.0.key, read)
  before = ReduceSum(past, axes) {keepdims=1}
  sums = CumSum(h, axes)
  all = Add(sums, before)
  logits = MatMul(all, head)
}`);

/** The same in two branches, of which one reads no cache. */
export const mergedDecoder = (variation: Variation = {}): Model =>
  parseModel(`opset 17
graph (input_ids: int64[batch, seq], past_key_values.0.key: float32[batch, past, 8], use_cache_branch: bool[1])
    -> (logits: float32[batch, seq, 80], present.0.key: float32[batch, total, 8]) {
  ${stored(variation)}
  h = Gather(embed, input_ids)
  kept = Mul(h, store)
  sums = CumSum(h, axes)
  all, present.0.key = If(use_cache_branch) {then_branch=graph () -> (both, longer) {
    past = Mul(past_key_values.0.key, read)
    before = ReduceSum(past, axes) {keepdims=1}
    both = Add(sums, before)
    longer = Concat(past_key_values.0.key, kept) {axis=1}
  }, else_branch=graph () -> (alone, first) {
    alone = Identity(sums)
    first = Identity(kept)
  }}
  logits = MatMul(all, head)
}`);

/** A model without a cache. @param sum node that sums embeddings over positions. */
export const plainModel = (sum = "CumSum(h, axes)"): Model =>
  parseModel(`opset 17
graph (input_ids: int64[batch, seq]) -> (logits: float32[batch, seq, 80]) {
  ${stored({})}
  h = Gather(embed, input_ids)
  sums = ${sum}
  logits = MatMul(sums, head)
}`);
