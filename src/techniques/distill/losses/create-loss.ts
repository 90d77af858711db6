/** Creates distillation losses from their formulas: finds the values of student and teacher to compare, and masks padding. */
import * as v from "valibot";
import { valueNamed } from "#analysis";
import { type Batch, dimsText, isFloat, Miss, type Model, optionError, PithError, shapeError, type Value } from "#ir";
import {
  addTokenMask,
  type Loss,
  type LossScope,
  type NamedValues,
  outputOf,
  type Target,
} from "../../../learn/train/loss.ts";
import { labelRows, scoreRows } from "../../../learn/train/losses/cross-entropy.ts";
import { type DeclaredLoss, declareLoss } from "../../../learn/train/losses/declared-losses.ts";
import { scaleParts } from "../../../learn/train/losses/imitation.ts";
import { average, dimsOf, type LossEmit, mismatch, type OutputKind, type Pair, type Pairs } from "./value-pairs.ts";

/** Arguments of a distillation loss. `student` and `teacher`, settings of the loss, are the names of the values to compare. */
export interface LossInputs extends Partial<Pair<string | undefined>> {
  readonly teachers: readonly Model[];
  readonly label: string;
}

export type DistillationLoss = DeclaredLoss<[LossInputs]>;

const valueSettings = { student: v.optional(v.string()), teacher: v.optional(v.string()) };

interface LossDefinition<Entries extends v.ObjectEntries>
  extends Pick<DistillationLoss, "name" | "meaning" | "weight"> {
  readonly reads: OutputKind;
  readonly settings?: Entries;
  write(
    writing: LossEmit,
    pairs: Pairs,
    settings: v.InferOutput<v.StrictObjectSchema<Entries & typeof valueSettings, undefined>>,
  ): Value;
}

export function distillationLoss<const Entries extends v.ObjectEntries>(
  definition: LossDefinition<Entries>,
): DistillationLoss {
  const { reads, settings = {} as Entries, write, ...rest } = definition;
  return declareLoss({
    ...rest,
    settings: { ...settings, ...valueSettings },
    make(settings, inputs: LossInputs) {
      const formula = (writing: LossEmit, pairs: Pairs) => write(writing, pairs, settings);
      return buildLoss(rest.name, reads, formula, { ...inputs, ...v.parse(v.object(valueSettings), settings) });
    },
  });
}

function buildLoss(
  name: string,
  reads: OutputKind,
  write: (writing: LossEmit, pairs: Pairs) => Value,
  inputs: LossInputs,
): Loss {
  const isScores = reads === "scores" || reads === "labels";
  return {
    name,
    build(scope) {
      const { emit } = scope;
      const masks = new Map<string, Target>();
      const feeders: ((batch: Batch) => Batch)[] = [];
      const maskOf = (dims: readonly [number, number]): Value => {
        const key = dims.join();
        const unit = isScores ? "prediction" : "token";
        const mask = masks.get(key) ?? addTokenMask(scope, dims, inputs.label, unit);
        if (!masks.has(key)) feeders.push(mask.feeds);
        masks.set(key, mask);
        return mask.value;
      };
      const values: Value[] = [];
      for (const { pairs, tokens } of comparisons(scope, reads, inputs)) {
        const mask = tokens && maskOf(tokens);
        const writing: LossEmit = { emit, mask: mask && isScores ? emit.Reshape([mask, [-1]]) : mask };
        values.push(write(writing, pairs));
        if (!isScores) scope.log({ id: "matched", text: `${name}: ${pairs.map(pairText).join(", ")}` });
      }
      if (values.length === 0) throw optionError("There is no teacher.");
      return {
        value: average(emit, values),
        feeds: (batch) => Object.assign({}, ...feeders.map((feeds) => feeds(batch))),
      };
    },
  };
}

const pairText = ({ student, teacher }: Pair): string =>
  `${student.name} ${dimsText(student.type?.dims)} ← ${teacher.name} ${dimsText(teacher.type?.dims)}`;

interface ComparedValues {
  readonly pairs: Pairs;
  /** Numbers of samples and of tokens per sample, if tokens are compared. */
  readonly tokens: readonly [number, number] | undefined;
}

function comparisons(scope: LossScope, reads: OutputKind, inputs: LossInputs): readonly ComparedValues[] {
  const teachers = inputs.teachers.map((teacher) => scope.teacher(teacher));
  if (reads === "scores" || reads === "labels") {
    const rowsOf = reads === "labels" ? labelRows : scoreRows;
    const output =
      inputs.student === undefined ? outputOf(scope) : scope.value(requireValue(scope, inputs.student, "student").name);
    const scores = rowsOf(scope, output);
    const [first, ...more] = teachers.map((teacher): Pair => {
      const targetName = inputs.teacher;
      const target = rowsOf(
        scope,
        targetName === undefined
          ? counterpartOf(output, teacher)
          : teacher.value(requireValue(teacher, targetName, "teacher").name),
      );
      if (scores.classes === target.classes && scores.count === target.count)
        return { student: scores.rows, teacher: target.rows };
      const sizes = `${scores.count} × ${scores.classes} logits for a batch, the teacher ${target.count} × ${target.classes}`;
      throw shapeError(`The student has ${sizes}.`, { hint: sameClassesHint });
    });
    return first === undefined ? [] : [{ pairs: [first, ...more], tokens: tokensOf(output) }];
  }
  return teachers.flatMap((teacher) =>
    pairsOf(scope, teacher, reads, inputs).map((pair): ComparedValues => {
      if (dimsOf(pair.student)[0] !== dimsOf(pair.teacher)[0])
        throw mismatch(pair, "differ along their first axis, the samples");
      const [student, target] = scaleParts(scope.emit, teacher, pair.teacher, [pair.student, pair.teacher]);
      return { pairs: [{ student, teacher: target }], tokens: tokensOf(pair.student) };
    }),
  );
}

export const sameClassesHint =
  "Use a teacher of the same classes, or name the outputs to compare: hinton(student=…, teacher=…).";

const counterpartOf = ({ name }: Value, teacher: NamedValues): Value => teacher.outputs.get(name) ?? outputOf(teacher);

function tokensOf(value: Value): readonly [number, number] | undefined {
  const [samples = 1, tokens = 1, ...rest] = dimsOf(value);
  return rest.length === 1 ? [samples, tokens] : undefined;
}

function pairsOf(scope: LossScope, teacher: NamedValues, reads: OutputKind, inputs: LossInputs): readonly Pair[] {
  const name = inputs.student ?? inputs.teacher;
  if (name !== undefined) {
    const read = (network: NamedValues, valueName: string, side: "student" | "teacher"): Value =>
      network.value(requireValue(network, valueName, side).name);
    return [{ student: read(scope, name, "student"), teacher: read(teacher, inputs.teacher ?? name, "teacher") }];
  }
  if (reads === "outputs") return outputPairs(scope, teacher);
  const student = outputOf(scope);
  return [{ student, teacher: counterpartOf(student, teacher) }];
}

/** Outputs of floats, paired by name, or by position if both models have the same number. */
function outputPairs(scope: LossScope, teacher: NamedValues): readonly Pair[] {
  const floatOutputs = ({ outputs }: NamedValues): readonly Value[] =>
    [...outputs.values()].filter(({ type }) => isFloat(type?.type ?? "string"));
  const [outputs, targets] = [floatOutputs(scope), floatOutputs(teacher)];
  const pairs = outputs.flatMap((student, index): readonly Pair[] => {
    const positional = outputs.length === targets.length ? targets[index] : undefined;
    const target = teacher.outputs.get(student.name) ?? positional;
    return target === undefined ? [] : [{ student, teacher: target }];
  });
  if (pairs.length > 0) return pairs;
  const names = [outputs, targets].map((values) => values.map(({ name }) => `"${name}"`).join(", ") || "none");
  throw new PithError("E_NAME", `Outputs of floats differ in name and number: ${names.join("; the teacher's are ")}.`, {
    hint: "Name those to compare: output-mse(student=…, teacher=…).",
  });
}

function requireValue(values: NamedValues, name: string, side: "student" | "teacher"): Value {
  const value = valueNamed(values.network(), name, side);
  if (value instanceof Miss) throw new PithError("E_NAME", `Nothing to compare: ${value.reason}.`);
  return value;
}
