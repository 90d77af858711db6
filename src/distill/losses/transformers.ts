/** Losses of hidden states and attention of transformers. Padding is masked. */
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { directions } from "../../train/losses/numbers.ts";
import {
  cosineDistances,
  divergenceOf,
  inOneWidth,
  mapPair,
  mean,
  type Pair,
  requireRank,
  requireSame,
  sizeOf,
  square,
  squaredError,
  sumLast,
  type Writing,
} from "./imitation.ts";
import { type Imitation, imitation } from "./read.ts";

const requireTokens = (pair: Pair): void => requireRank(pair, [2, 3], "tokens [batch, tokens, width]");

/** Returns heads, queries and keys. @throws PithError E_SHAPE_MISMATCH if they differ. */
function requireScores(pair: Pair): readonly number[] {
  requireRank(pair, [4], "scores [batch, heads, queries, keys]");
  return requireSame(pair, "Heads are compared one by one: name attention of the same number of heads.");
}

/** The mask along an axis of scores: [batch, 1, queries, 1] or [batch, 1, 1, keys]. */
const along = (emit: Emit, mask: Value, axis: "queries" | "keys"): Value =>
  emit.Unsqueeze([mask, axis === "queries" ? [1, 3] : [1, 2]]);

/** Scores at or below this are masked in the model. */
const maskedScore = -1e3;

/** Logarithm of the distribution over unmasked keys. -∞ becomes a large negative number, which gives the same distribution. */
function attending(emit: Emit, scores: Value, mask: Value | undefined): Value {
  const finite = emit.Max([scores, -1e9]);
  const hidden = mask && emit.Mul([emit.Sub([along(emit, mask, "keys"), 1]), 1e9]);
  return emit.LogSoftmax([hidden === undefined ? finite : emit.Add([finite, hidden])], { axis: -1 });
}

/** The mean over heads and queries of KL(teacher ‖ student), or of the cross-entropy, of distributions over keys. */
function attentionLoss(
  { emit, mask }: Writing,
  pair: Pair,
  what: "divergence" | "cross-entropy" = "divergence",
): Value {
  const [, heads = 1] = requireScores(pair);
  const { teacher: p, student: q } = mapPair(pair, (scores) => attending(emit, scores, mask));
  const rows =
    what === "divergence" ? divergenceOf(emit, p, q) : emit.Neg([sumLast(emit, emit.Mul([emit.Exp([p]), q]))]);
  return mean(emit, rows, mask && emit.Unsqueeze([mask, [1]]), heads);
}

export const ofTransformers: readonly Imitation[] = [
  imitation({
    name: "hidden-mse",
    meaning: "squared error of token states",
    write(writing, [pair]) {
      requireTokens(pair);
      return squaredError(writing, inOneWidth(writing, pair));
    },
  }),
  imitation({
    name: "hidden-cosine",
    meaning: "cosine distance of token states",
    write(writing, [given]) {
      requireTokens(given);
      const pair = inOneWidth(writing, given);
      const rows = cosineDistances(writing.emit, pair);
      return mean(writing.emit, rows, sizeOf(rows).length === 2 ? writing.mask : undefined);
    },
  }),
  imitation({
    name: "pkd",
    meaning: "squared distance of the first token's direction",
    write(writing, [given]) {
      const { emit } = writing;
      requireTokens(given);
      const first = (value: Value): Value =>
        sizeOf(value).length === 2
          ? value
          : emit.Gather([value, emit.constant({ type: "int64", dims: [], data: BigInt64Array.of(0n) })], { axis: 1 });
      const pair = inOneWidth(writing, mapPair(given, first));
      const { student, teacher } = mapPair(pair, (rows) => directions(emit, rows));
      const errors = emit.Sub([student, teacher]);
      return mean(emit, sumLast(emit, square(emit, errors)));
    },
  }),
  imitation({
    name: "attention-mse",
    meaning: "squared error of attention scores",
    reads: "attention",
    write({ emit, mask }, [pair]) {
      const [, heads = 1] = requireScores(pair);
      const seen = (scores: Value): Value => emit.Where([emit.Greater([scores, maskedScore]), scores, 0]);
      const { student, teacher } = mapPair(pair, seen);
      const errors = square(emit, emit.Sub([student, teacher]));
      if (mask === undefined) return mean(emit, errors);
      return mean(emit, errors, emit.Mul([along(emit, mask, "queries"), along(emit, mask, "keys")]), heads);
    },
  }),
  imitation({
    name: "attention-kl",
    meaning: "KL of attention distributions",
    reads: "attention",
    write: (writing, [pair]) => attentionLoss(writing, pair),
  }),
  imitation({
    name: "attention-ce",
    meaning: "cross-entropy of attention distributions",
    reads: "attention",
    write: (writing, [pair]) => attentionLoss(writing, pair, "cross-entropy"),
  }),
];
