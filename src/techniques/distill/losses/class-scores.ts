/** Distillation losses that compare scores [rows, classes] of classes or independent labels of student and teacher. Rows of padding tokens are masked. */
import * as v from "valibot";
import { type Emit, PithError, type Value } from "#ir";
import { requireClasses } from "../../../learn/train/losses/cross-entropy.ts";
import {
  average,
  divergenceOf,
  mapPair,
  mean,
  type Pair,
  type Pairs,
  sizeOf,
  square,
  sumLast,
  type Writing,
} from "./imitation.ts";
import { type DistillationLoss, distillationLoss } from "./read.ts";

const [minTemperature, maxTemperature] = [0.01, 100];
export const temperatureRange = `must lie between ${minTemperature} and ${maxTemperature}: beyond, the gradient is lost in float32`;
/** Schema of a temperature T: scores are divided by T, and losses multiplied by T². */
export const temperatureOf = v.pipe(
  v.number(),
  v.minValue(minTemperature, temperatureRange),
  v.maxValue(maxTemperature, temperatureRange),
);
const temperature = v.optional(v.pipe(v.string(), v.toNumber(), temperatureOf));

function soften(emit: Emit, scores: Value, temperature: number): Value {
  requireClasses(sizeOf(scores).at(-1));
  return emit.LogSoftmax([temperature === 1 ? scores : emit.Div([scores, temperature])], { axis: -1 });
}

const averageOverTeachers = (emit: Emit, pairs: Pairs, loss: (pair: Pair) => Value): Value =>
  average(emit, pairs.map(loss));

/** T² · mean over rows of KL(teacher ‖ student). T² keeps the size of the gradient as T grows. */
function softLoss({ emit, mask }: Writing, student: Value, teacher: Value, temperature: number): Value {
  const rows = divergenceOf(emit, teacher, soften(emit, student, temperature));
  return emit.Mul([mean(emit, rows, mask), temperature * temperature]);
}

/** Lower bound of probabilities, which keeps their logarithms finite. */
const minProbability = 1e-37;

/** Standardizes each row: (x - mean) / (standard deviation + 1e-7), with n - 1 in the deviation. Constant rows become 0. */
function standardize(emit: Emit, rows: Value): Value {
  const classes = sizeOf(rows).at(-1) ?? 1;
  const centered = emit.Sub([rows, emit.ReduceMean([rows, [-1]], { keepdims: 1 })]);
  const variance = emit.Div([sumLast(emit, square(emit, centered), 1), Math.max(1, classes - 1)]);
  return emit.Div([centered, emit.Add([emit.Sqrt([emit.Max([variance, 1e-20])]), 1e-7])]);
}

export const scoreLosses: readonly DistillationLoss[] = [
  distillationLoss({
    name: "hinton",
    meaning: "KL divergence of softened class distributions",
    reads: "scores",
    settings: { temperature },
    write(writing, pairs, { temperature = 4 }) {
      const { emit } = writing;
      const logs = pairs.map((pair) => soften(emit, pair.teacher, temperature));
      const [first] = logs;
      if (first === undefined) throw new PithError("E_OPTION", "There is no teacher.");
      const mean = (): Value =>
        average(
          emit,
          logs.map((log) => emit.Exp([log])),
        );
      const teacher = logs.length === 1 ? first : emit.Log([emit.Max([mean(), minProbability])]);
      return softLoss(writing, pairs[0].student, teacher, temperature);
    },
  }),
  /**
   * JSD_β = β KL(p ‖ m) + (1 - β) KL(q ‖ m), m = β p + (1 - β) q, for teacher p and student q. At 0 and 1 the paper takes the
   * limits of JSD_β / β and JSD_β / (1 - β), so the loss is discontinuous there.
   */
  distillationLoss({
    name: "gkd",
    meaning: "Jensen-Shannon divergence, or KL either way",
    reads: "scores",
    settings: { beta: v.optional(v.pipe(v.string(), v.toNumber(), v.minValue(0), v.maxValue(1))), temperature },
    write: ({ emit, mask }, pairs, { beta = 0.5, temperature = 1 }) =>
      averageOverTeachers(emit, pairs, (pair) => {
        const [p, q] = [soften(emit, pair.teacher, temperature), soften(emit, pair.student, temperature)];
        if (beta === 0 || beta === 1)
          return mean(emit, beta === 0 ? divergenceOf(emit, p, q) : divergenceOf(emit, q, p), mask);
        const shares = emit.Add([emit.Mul([emit.Exp([p]), beta]), emit.Mul([emit.Exp([q]), 1 - beta])]);
        const mixture = emit.Log([emit.Max([shares, minProbability])]);
        const [teacherTerm, studentTerm] = [divergenceOf(emit, p, mixture), divergenceOf(emit, q, mixture)];
        return mean(emit, emit.Add([emit.Mul([teacherTerm, beta]), emit.Mul([studentTerm, 1 - beta])]), mask);
      }),
  }),
  distillationLoss({
    name: "logit-mse",
    meaning: "squared error of scores before the softmax",
    reads: "scores",
    write: ({ emit, mask }, pairs) =>
      averageOverTeachers(emit, pairs, ({ student, teacher }) => {
        const errors = square(emit, emit.Sub([student, teacher]));
        return mean(emit, emit.ReduceMean([errors, [-1]], { keepdims: 0 }), mask);
      }),
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
    name: "logit-std",
    meaning: "hinton of scores standardized by row",
    weight: 9,
    reads: "scores",
    settings: { temperature },
    write: (writing, pairs, { temperature = 2 }) =>
      averageOverTeachers(writing.emit, pairs, (pair) => {
        const { student, teacher } = mapPair(pair, (rows) => standardize(writing.emit, rows));
        return softLoss(writing, student, soften(writing.emit, teacher, temperature), temperature);
      }),
  }),
];
