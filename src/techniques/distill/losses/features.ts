/** Losses between features of student and teacher: maps [batch, channels, height, width], tokens without padding, or vectors [batch, width]. */
import * as v from "valibot";
import { type Emit, elementCount, type Value } from "#ir";
import { contrastiveLoss, directions } from "../../../learn/train/losses/numbers.ts";
import { number, positive } from "../../../learn/train/losses/parse.ts";
import {
  cosineDistances,
  difference,
  isMap,
  mapPair,
  mean,
  mismatch,
  type Pair,
  poolToSameArea,
  projectStudent,
  projectToSameWidth,
  requireRank,
  requireSeveralSamples,
  sizeOf,
  square,
  squaredError,
  transpose,
  vectorPerSample,
  type Writing,
} from "./imitation.ts";
import { type DistillationLoss, distillationLoss } from "./read.ts";

function requireComparable(emit: Emit, pair: Pair): Pair {
  if (isMap(pair.student) !== isMap(pair.teacher)) throw mismatch(pair, "must both be maps, or neither");
  return isMap(pair.student) ? poolToSameArea(emit, pair) : pair;
}

const requireMaps = (pair: Pair): void => requireRank(pair, [4], "maps [batch, channels, height, width]");

const requireTokens = (pair: Pair): void => requireRank(pair, [2, 3], "tokens [batch, tokens, width]");

const gram = (emit: Emit, rows: Value): Value => emit.MatMul([rows, transpose(emit, rows)]);

type Relations = (emit: Emit, rows: Value) => Value;

const cosines: Relations = (emit, rows) => gram(emit, directions(emit, rows));

const similarities: Relations = (emit, rows) => directions(emit, gram(emit, rows));

const relationsOf = (writing: Writing, pair: Pair, relations: Relations): Pair =>
  mapPair(vectorPerSample(writing, pair), (rows) => relations(writing.emit, rows));

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
    name: "attention-transfer",
    meaning: "squared error of maps' energy over space",
    weight: 1000,
    write({ emit }, [pair]) {
      requireMaps(pair);
      const energy = (map: Value): Value => {
        const [batch = 1, , ...area] = sizeOf(map);
        const means = emit.ReduceMean([square(emit, map), [1]], { keepdims: 0 });
        return directions(emit, emit.Reshape([means, [batch, elementCount(area)]]));
      };
      return meanSquare(emit, mapPair(poolToSameArea(emit, pair), energy));
    },
  }),
  distillationLoss({
    name: "similarity-preserving",
    meaning: "squared error of products between samples",
    weight: 3000,
    write: (writing, [pair]) => meanSquare(writing.emit, relationsOf(writing, pair, similarities)),
  }),
  distillationLoss({
    name: "contrastive",
    meaning: "InfoNCE of vectors within the batch",
    reads: "output",
    settings: { temperature: positive, sides: v.optional(v.picklist(["both", "student"])) },
    write(writing, [pair], { temperature = 0.07, sides = "both" }) {
      const { student, teacher } = projectToSameWidth(writing, vectorPerSample(writing, requireSeveralSamples(pair)));
      const [count = 1] = sizeOf(student);
      return contrastiveLoss(writing.emit, student, teacher, count, temperature, sides === "both" ? [1, 0] : [1]);
    },
  }),
  distillationLoss({
    name: "pairwise-similarity",
    meaning: "squared error of cosines between samples",
    reads: "output",
    write: (writing, [pair]) => meanSquare(writing.emit, relationsOf(writing, requireSeveralSamples(pair), cosines)),
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
  distillationLoss({
    name: "hidden-cosine",
    meaning: "cosine distance of token states",
    write(writing, [tokens]) {
      requireTokens(tokens);
      const pair = projectToSameWidth(writing, tokens);
      const rows = cosineDistances(writing.emit, pair);
      return mean(writing.emit, rows, sizeOf(rows).length === 2 ? writing.mask : undefined);
    },
  }),
];
