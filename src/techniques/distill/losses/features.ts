import type { Emit, Value } from "#ir";
import { number } from "../../../learn/train/losses/parse.ts";
import {
  cosineDistances,
  difference,
  isMap,
  mean,
  mismatch,
  type Pair,
  poolToSameArea,
  projectStudent,
  projectToSameWidth,
  requireRank,
  square,
  squaredError,
  vectorPerSample,
} from "./imitation.ts";
import { type DistillationLoss, distillationLoss } from "./read.ts";

function requireComparable(emit: Emit, pair: Pair): Pair {
  if (isMap(pair.student) !== isMap(pair.teacher)) throw mismatch(pair, "must both be maps, or neither");
  return isMap(pair.student) ? poolToSameArea(emit, pair) : pair;
}

const requireTokens = (pair: Pair): void => requireRank(pair, [2, 3], "tokens [batch, tokens, width]");

const meanSquare = (emit: Emit, pair: Pair): Value => mean(emit, square(emit, difference(emit, pair)));

export const featureLosses: readonly DistillationLoss[] = [
  distillationLoss({
    name: "output-mse",
    meaning: "squared error of each output of floats",
    reads: "outputs",
    write: (writing, [pair]) => squaredError(writing, pair),
  }),
  distillationLoss({
    name: "fitnets",
    meaning: "squared error of features, projected",
    weight: 100,
    write(writing, [features]) {
      const pair = requireComparable(writing.emit, features);
      return squaredError(writing, { ...pair, student: projectStudent(writing, pair) });
    },
  }),
  distillationLoss({
    name: "embedding",
    meaning: "squared error and cosine distance of vectors",
    reads: "output",
    settings: { mse: number, cosine: number },
    write(writing, [outputs], { mse = 0.2, cosine = 0.8 }) {
      const { emit } = writing;
      const pair = projectToSameWidth(writing, vectorPerSample(writing, outputs));
      return emit.Add([
        emit.Mul([meanSquare(emit, pair), mse]),
        emit.Mul([mean(emit, cosineDistances(emit, pair)), cosine]),
      ]);
    },
  }),
  distillationLoss({
    name: "hidden-mse",
    meaning: "squared error of token states",
    write(writing, [pair]) {
      requireTokens(pair);
      return squaredError(writing, projectToSameWidth(writing, pair));
    },
  }),
];
