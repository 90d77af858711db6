/** Distillation losses, which compare class scores, label scores or other outputs of student and teacher. */
import * as v from "valibot";
import { type Emit, optionError, type Value } from "#ir";
import { requireClasses } from "../../../learn/train/losses/cross-entropy.ts";
import { numberSetting } from "../../../learn/train/losses/declared-losses.ts";
import { type DistillationLoss, distillationLoss } from "./create-loss.ts";
import {
  average,
  cosineDistances,
  difference,
  dimsOf,
  divergenceOf,
  type LossEmit,
  mean,
  type Pair,
  type Pairs,
  requireSame,
  square,
  squaredError,
  vectorPerSample,
} from "./value-pairs.ts";

const [minTemperature, maxTemperature] = [0.01, 100];
export const temperatureRangeText = `must lie between ${minTemperature} and ${maxTemperature}: beyond, the gradient is lost in float32`;
/** Schema of a temperature T: scores are divided by T, and losses multiplied by T². */
export const temperatureSchema = v.pipe(
  v.number(),
  v.minValue(minTemperature, temperatureRangeText),
  v.maxValue(maxTemperature, temperatureRangeText),
);
const temperature = v.optional(v.pipe(v.string(), v.toNumber(), temperatureSchema));

function soften(emit: Emit, scores: Value, temperature: number): Value {
  requireClasses(dimsOf(scores).at(-1));
  return emit.LogSoftmax([temperature === 1 ? scores : emit.Div([scores, temperature])], { axis: -1 });
}

const averageOverTeachers = (emit: Emit, pairs: Pairs, loss: (pair: Pair) => Value): Value =>
  average(emit, pairs.map(loss));

/** T² · mean over rows of KL(teacher ‖ student). T² keeps the size of the gradient as T grows. */
function softLoss({ emit, mask }: LossEmit, student: Value, teacher: Value, temperature: number): Value {
  const rows = divergenceOf(emit, teacher, soften(emit, student, temperature));
  return emit.Mul([mean(emit, rows, mask), temperature * temperature]);
}

/** Lower bound of probabilities, which keeps their logarithms finite. */
const minProbability = 1e-37;

const meanSquare = (emit: Emit, pair: Pair): Value => mean(emit, square(emit, difference(emit, pair)));

export const distillationLosses: readonly DistillationLoss[] = [
  distillationLoss({
    name: "hinton",
    meaning: "KL divergence of softened class distributions",
    reads: "scores",
    settings: { temperature },
    write(writing, pairs, { temperature = 4 }) {
      const { emit } = writing;
      const logs = pairs.map((pair) => soften(emit, pair.teacher, temperature));
      const [first] = logs;
      if (first === undefined) throw optionError("There is no teacher.");
      const mean = (): Value =>
        average(
          emit,
          logs.map((log) => emit.Exp([log])),
        );
      const teacher = logs.length === 1 ? first : emit.Log([emit.Max([mean(), minProbability])]);
      return softLoss(writing, pairs[0].student, teacher, temperature);
    },
  }),
  /** Mean over labels of KL(σ(t) ‖ σ(s)), which is the binary cross-entropy minus its minimum Softplus(t) - t σ(t). */
  distillationLoss({
    name: "label-bce",
    meaning: "binary cross-entropy of independent labels",
    reads: "labels",
    write: ({ emit, mask }, pairs) =>
      averageOverTeachers(emit, pairs, ({ student, teacher }) => {
        const shares = emit.Sigmoid([teacher]);
        const [loss, minimum] = [student, teacher].map((logits) =>
          emit.Sub([emit.Softplus([logits]), emit.Mul([logits, shares])]),
        );
        const rows = emit.ReduceMean([emit.Sub([loss, minimum]), [-1]], { keepdims: 0 });
        return mean(emit, rows, mask);
      }),
  }),
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
    settings: { mse: numberSetting, cosine: numberSetting },
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
