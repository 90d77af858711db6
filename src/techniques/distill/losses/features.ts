import type { Emit, Value } from "#ir";
import { number } from "../../../learn/train/losses/parse.ts";
import {
  cosineDistances,
  difference,
  mean,
  type Pair,
  requireSame,
  square,
  squaredError,
  vectorPerSample,
} from "./imitation.ts";
import { type DistillationLoss, distillationLoss } from "./read.ts";

const meanSquare = (emit: Emit, pair: Pair): Value => mean(emit, square(emit, difference(emit, pair)));

export const featureLosses: readonly DistillationLoss[] = [
  distillationLoss({
    name: "output-mse",
    meaning: "squared error of each output of floats",
    reads: "outputs",
    write: (writing, [pair]) => squaredError(writing, pair),
  }),
  distillationLoss({
    name: "embedding",
    meaning: "squared error and cosine distance of vectors",
    reads: "output",
    settings: { mse: number, cosine: number },
    write(writing, [outputs], { mse = 0.2, cosine = 0.8 }) {
      const { emit } = writing;
      const pair = requireSame(vectorPerSample(writing, outputs));
      return emit.Add([
        emit.Mul([meanSquare(emit, pair), mse]),
        emit.Mul([mean(emit, cosineDistances(emit, pair)), cosine]),
      ]);
    },
  }),
];
