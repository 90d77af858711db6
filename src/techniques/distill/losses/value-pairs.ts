/** Pairs of student and teacher values, and the graph functions that the distillation losses share. */
import { dimsText, type Emit, elementCount, fixedDims, type PithError, sameDims, shapeError, type Value } from "#ir";
import { directions } from "../../../learn/train/losses/numbers.ts";

export interface Pair<T = Value> {
  readonly student: T;
  readonly teacher: T;
}

const mapPair = ({ student, teacher }: Pair, transform: (value: Value) => Value): Pair => ({
  student: transform(student),
  teacher: transform(teacher),
});

export type Pairs = readonly [Pair, ...Pair[]];

/**
 * The values that a loss compares, unless its settings `student` and `teacher` name them:
 * - `scores`: class scores [rows, classes] of the outputs; a pair for each teacher.
 * - `labels`: logits [rows, labels] of independent labels; a pair for each teacher.
 * - `output`: the main output as it is.
 * - `outputs`: each output of floats as it is.
 */
export type OutputKind = "scores" | "labels" | "output" | "outputs";

/** The arguments with which a loss formula writes its nodes into the training graph. */
export interface LossEmit {
  readonly emit: Emit;
  /** 1 for tokens, 0 for padding. Shape: [rows] for `scores` and `labels`, [batch, tokens] for other values; undefined without tokens. */
  readonly mask: Value | undefined;
}

/** @throws PithError E_SHAPE_MISMATCH for a value without a fixed shape. */
export function dimsOf(value: Value): readonly number[] {
  const dims = fixedDims(value.type?.dims);
  if (dims === undefined) throw shapeError(`${shapeText(value)} has no fixed shape.`);
  return dims;
}

const shapeText = ({ name, type }: Value): string => `"${name}" ${dimsText(type?.dims)}`;

export function mismatch({ student, teacher }: Pair, problem: string, hint?: string): PithError {
  const shapesText = `The student's ${shapeText(student)} and the teacher's ${shapeText(teacher)}`;
  return shapeError(`${shapesText} ${problem}.`, hint === undefined ? {} : { hint });
}

/** @throws PithError E_SHAPE_MISMATCH if the shapes differ. */
export function requireSame(pair: Pair): Pair {
  if (sameDims(dimsOf(pair.student), dimsOf(pair.teacher))) return pair;
  throw mismatch(pair, "have different shapes", "Use another loss, or other values: student=…, teacher=….");
}

export const square = (emit: Emit, x: Value): Value => emit.Mul([x, x]);

const sumLast = (emit: Emit, x: Value, keepdims: 0 | 1 = 0): Value => emit.ReduceSum([x, [-1]], { keepdims });

export function average(emit: Emit, values: readonly Value[]): Value {
  const sum = values.reduce((total, value) => emit.Add([total, value]));
  return values.length === 1 ? sum : emit.Div([sum, values.length]);
}

/** The mean of all entries, or of those where the mask is 1. */
export function mean(emit: Emit, entries: Value, mask?: Value): Value {
  if (mask === undefined) return emit.ReduceMean([entries], { keepdims: 0 });
  const [sum, count] = [emit.Mul([entries, mask]), mask].map((terms) => emit.ReduceSum([terms], { keepdims: 0 }));
  return emit.Div([sum, emit.Max([count, 1])]);
}

/** Returns the mean of all entries, except those of padding tokens. */
function meanOfFeatures({ emit, mask }: LossEmit, entries: Value): Value {
  if (mask === undefined || dimsOf(entries).length !== 3) return mean(emit, entries);
  return mean(emit, emit.ReduceMean([entries, [-1]], { keepdims: 0 }), mask);
}

/** Writes the Kullback-Leibler divergence Σ p (log p − log q) over the last axis. The operands are log p and log q. */
export const divergenceOf = (emit: Emit, p: Value, q: Value): Value =>
  sumLast(emit, emit.Mul([emit.Exp([p]), emit.Sub([p, q])]));

/** Returns one vector per sample: the mean of its tokens, or all entries of its map in storage order. */
export function vectorPerSample(writing: LossEmit, pair: Pair): Pair {
  const [[, tokens], teacherDims] = [dimsOf(pair.student), dimsOf(pair.teacher)];
  if (writing.mask !== undefined && teacherDims.length === 3 && tokens !== teacherDims[1])
    throw mismatch(pair, "have different numbers of tokens", "Name what to compare: student=…, teacher=….");
  return mapPair(pair, (value) => sampleVectors(writing, value));
}

function sampleVectors({ emit, mask }: LossEmit, value: Value): Value {
  const dims = dimsOf(value);
  if (dims.length === 2) return value;
  const [batch = 1, ...rest] = dims;
  if (dims.length !== 3) return emit.Reshape([value, [batch, elementCount(rest)]]);
  if (mask === undefined) return emit.ReduceMean([value, [1]], { keepdims: 0 });
  const weights = emit.Unsqueeze([mask, [2]]);
  const [sum, count] = [emit.Mul([value, weights]), weights].map((terms) =>
    emit.ReduceSum([terms, [1]], { keepdims: 0 }),
  );
  return emit.Div([sum, emit.Max([count, 1])]);
}

export const difference = (emit: Emit, { student, teacher }: Pair): Value => emit.Sub([student, teacher]);

export function squaredError(writing: LossEmit, pair: Pair): Value {
  const { emit } = writing;
  requireSame(pair);
  return meanOfFeatures(writing, square(emit, difference(emit, pair)));
}

/** 1 - cos of each vector of the last axis. */
export const cosineDistances = (emit: Emit, { student, teacher }: Pair): Value =>
  emit.Sub([1, sumLast(emit, emit.Mul([directions(emit, student), directions(emit, teacher)]))]);
