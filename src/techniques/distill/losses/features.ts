/** Losses between features of student and teacher: maps [batch, channels, height, width], tokens without padding, or vectors [batch, width]. */
import * as v from "valibot";
import { type Emit, elementCount, type Value } from "#ir";
import { contrastiveLoss, directions, huberOf, identity } from "../../../learn/train/losses/numbers.ts";
import { number, positive } from "../../../learn/train/losses/parse.ts";
import {
  constantLike,
  cosineDistances,
  difference,
  isMap,
  mapPair,
  mean,
  meanOfFeatures,
  mismatch,
  type Pair,
  poolToSameArea,
  projectStudent,
  projectToSameWidth,
  requireRank,
  requireSame,
  requireSeveralSamples,
  sizeOf,
  square,
  squaredError,
  sumLast,
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

/** Returns the distances between samples, divided by their mean. Rows are centered first to reduce cancellation. */
function distances(emit: Emit, rows: Value): Value {
  const [count = 1] = sizeOf(rows);
  const centered = emit.Sub([rows, emit.ReduceMean([rows, [0]], { keepdims: 1 })]);
  const squaredNorms = sumLast(emit, square(emit, centered), 1);
  const products = emit.Mul([gram(emit, centered), 2]);
  const squares = emit.Sub([emit.Add([squaredNorms, transpose(emit, squaredNorms)]), products]);
  const offDiagonal = constantLike(
    emit,
    rows,
    [count, count],
    identity(count).map((entry) => 1 - entry),
  );
  const pairDistances = emit.Mul([emit.Sqrt([emit.Max([squares, 1e-12])]), offDiagonal]);
  const total = emit.ReduceSum([pairDistances], { keepdims: 1 });
  return emit.Mul([emit.Div([pairDistances, total]), count * (count - 1)]);
}

/** Returns [i, j, k]: the cosine of the angle at sample i between samples j and k. */
function angles(emit: Emit, rows: Value): Value {
  const directionVectors = directions(emit, emit.Sub([emit.Unsqueeze([rows, [0]]), emit.Unsqueeze([rows, [1]])]));
  return emit.MatMul([directionVectors, emit.Transpose([directionVectors], { perm: [0, 2, 1] })]);
}

const relational = (name: string, meaning: string, weight: number, relations: Relations): DistillationLoss =>
  distillationLoss({
    name,
    meaning,
    weight,
    write: (writing, [pair]) => {
      const errors = difference(writing.emit, relationsOf(writing, requireSeveralSamples(pair), relations));
      return mean(writing.emit, huberOf(writing.emit, errors, 1));
    },
  });

/** Keeps logarithms and quotients finite where rows are 0. */
const epsilon = 1e-7;

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
  relational("rkd-distance", "distances between samples", 25, distances),
  relational("rkd-angle", "angles between three samples", 50, angles),
  distillationLoss({
    name: "pkt",
    meaning: "KL of similarities between samples",
    weight: 30_000,
    write(writing, [pair]) {
      const { emit } = writing;
      const shares = mapPair(vectorPerSample(writing, pair), (rows) => {
        const halves = emit.Div([emit.Add([cosines(emit, rows), 1]), 2]);
        return emit.Div([halves, sumLast(emit, halves, 1)]);
      });
      const logs = mapPair(shares, (share) => emit.Log([emit.Add([share, epsilon])]));
      return mean(emit, emit.Mul([shares.teacher, emit.Sub([logs.teacher, logs.student])]));
    },
  }),
  distillationLoss({
    name: "correlation",
    meaning: "products of errors of neighbors in a batch",
    weight: 0.02,
    write(writing, [pair]) {
      const { emit } = writing;
      const rows = projectToSameWidth(writing, vectorPerSample(writing, requireSeveralSamples(pair)));
      const [count = 1] = sizeOf(rows.student);
      const errors = emit.Abs([difference(emit, rows)]);
      const [first, second] = [0, 1].map((from) => emit.Slice([errors, [from], [count - 1 + from], [0]]));
      return mean(emit, sumLast(emit, emit.Mul([first, second])));
    },
  }),
  distillationLoss({
    name: "correlation-congruence",
    meaning: "squared error of kernels between samples",
    settings: { gamma: positive, order: v.optional(v.pipe(v.string(), v.toNumber(), v.integer(), v.minValue(1))) },
    write(writing, [pair], { gamma = 0.4, order = 2 }) {
      // exp(-2γ) Σ (2γ)^p / p! · k^p, evaluated by Horner's method.
      const kernels: Relations = (emit, rows) => {
        const products = cosines(emit, rows);
        let sum: Value | undefined;
        for (let power = order; power > 0; power--) {
          const next = emit.Mul([products, (2 * gamma) / power]);
          sum = emit.Add([sum === undefined ? next : emit.Mul([next, sum]), 1]);
        }
        return emit.Mul([sum, Math.exp(-2 * gamma)]);
      };
      return meanSquare(writing.emit, relationsOf(writing, pair, kernels));
    },
  }),
  distillationLoss({
    name: "vid",
    meaning: "normal likelihood of the teacher's features",
    write(writing, [features]) {
      const { emit } = writing;
      const { student, teacher } = requireComparable(emit, features);
      const pair = { student: projectStudent(writing, { student, teacher }, false), teacher };
      requireSame(pair);
      const width = sizeOf(teacher).at(isMap(teacher) ? 1 : -1) ?? 1;
      // The initial variance is 5.
      const scale = writing.parameter("scale", [width], Math.log(Math.expm1(5 - 1e-5)));
      const variances = emit.Add([emit.Softplus([scale]), 1e-5]);
      const variance = isMap(teacher) ? emit.Reshape([variances, [1, width, 1, 1]]) : variances;
      const errors = emit.Div([square(emit, difference(emit, pair)), variance]);
      return emit.Div([meanOfFeatures(writing, emit.Add([errors, emit.Log([variance])])), 2]);
    },
  }),
  distillationLoss({
    name: "nst",
    meaning: "maximum mean discrepancy of channels over space",
    weight: 50,
    write({ emit }, [pair]) {
      requireMaps(pair);
      const { student, teacher } = mapPair(poolToSameArea(emit, pair), (map) => {
        const [batch = 1, channels = 1, ...area] = sizeOf(map);
        return directions(emit, emit.Reshape([map, [batch, channels, elementCount(area)]]));
      });
      const kernel = (a: Value, b: Value): Value =>
        mean(emit, square(emit, emit.MatMul([a, emit.Transpose([b], { perm: [0, 2, 1] })])));
      const across = emit.Mul([kernel(student, teacher), 2]);
      return emit.Sub([emit.Add([kernel(teacher, teacher), kernel(student, student)]), across]);
    },
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
  distillationLoss({
    name: "pkd",
    meaning: "squared distance of the first token's direction",
    write(writing, [tokens]) {
      const { emit } = writing;
      requireTokens(tokens);
      const first = (value: Value): Value =>
        sizeOf(value).length === 2
          ? value
          : emit.Gather([value, emit.constant({ type: "int64", dims: [], data: BigInt64Array.of(0n) })], { axis: 1 });
      const pair = projectToSameWidth(writing, mapPair(tokens, first));
      const { student, teacher } = mapPair(pair, (rows) => directions(emit, rows));
      const errors = emit.Sub([student, teacher]);
      return mean(emit, sumLast(emit, square(emit, errors)));
    },
  }),
];
