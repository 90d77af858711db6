/** Distillation as a pass: trains a student to imitate a teacher. */
import * as v from "valibot";
import { allLayers, infer, learnedCount, learnedTensors, macsPerSample, mainOutput } from "#analysis";
import { firstBatch, haveSameElements } from "#batches";
import {
  bytes,
  count,
  counted,
  isFloat,
  Miss,
  type Model,
  optionError,
  percent,
  shapeError,
  unsupportedError,
} from "#ir";
import { type Change, type Context, checkWith, definePass, modelOption, type Outcome, option, withHelp } from "#pass";
import { preprocessingSpecText, readPreprocessing } from "../../data/sidecars/preprocessing-spec.ts";
import { trainPart } from "../../data/sources/open.ts";
import { fitBatchSize } from "../../learn/train/batch-size.ts";
import { lossNames } from "../../learn/train/losses/declared-losses.ts";
import { hasRunningStatistics } from "../../learn/train/roles.ts";
import { requireFittingTeacher } from "../../learn/train/teacher.ts";
import { betterTraining, train } from "../../learn/train/train.ts";
import { defaultBatch, unmetRequirement } from "../../learn/train/train-options.ts";
import { withStoredWeights } from "../../rewrite/clean-up/store-constants.ts";
import { keepLayers as keep, prune } from "../prune/index.ts";
import { type KeptLayers, keptLayers } from "../prune/keep-layers.ts";
import { chooseLoss, distillation, hintonText, settingsOfAnotherLoss } from "./distillation.ts";
import { sameClassesHint } from "./losses/create-loss.ts";
import { distillationLosses, temperatureSchema } from "./losses/losses.ts";

const { loss: _, ...training } = train.options.entries;

/** Minimum batch whose statistics are used for normalization; those of smaller batches are too noisy. */
const minBatchForStatistics = 16;

const alphaRange = "takes a number from 0 to 1";

type DistillSettings = Parameters<typeof unmetRequirement>[0] & {
  readonly teacher?: unknown;
  readonly shrink?: unknown;
  readonly keepLayers?: unknown;
  readonly loss?: unknown;
  readonly temperature?: unknown;
  readonly alpha?: unknown;
};

const makesStudent = ({ shrink, keepLayers }: Pick<DistillSettings, "shrink" | "keepLayers">): boolean =>
  shrink !== undefined || keepLayers !== undefined;

function describeLack({ teacher, ...rest }: DistillSettings): string | undefined {
  if (teacher === undefined && !makesStudent(rest))
    return "`teacher` is needed, or `shrink` or `keepLayers`, which make a smaller student of the model itself";
  if (rest.loss !== undefined && (rest.temperature ?? rest.alpha) !== undefined) return settingsOfAnotherLoss;
  return unmetRequirement(rest);
}

/**
 * Trains a student, in place, to imitate a teacher: `train` with the loss `distillation`, and the options of both.
 *
 * `shrink` and `keepLayers` first make the model smaller; it keeps the remaining weights. Without a teacher, it learns from the model before this.
 * @throws PithError as `train` and `distillation` do; E_OPTION if the teacher is the student, E_UNSUPPORTED if nothing can be removed.
 * @example
 * await distill(student, { teacher: "teacher.onnx", data, epochs: 10, temperature: 4, alpha: 0.7 });
 * await distill(net, { shrink: 0.5, data, epochs: 10 }); // half of the channels are removed; the whole network is the teacher
 * await distill(net, { keepLayers: 2, data });
 * await distill(student, { teacher: "teacher.onnx", data, loss: "hinton(temperature=2) + output-mse" });
 */
export const distill = definePass({
  id: "distill",
  summary: "Train a small model to imitate a larger one",
  data: "train",
  learnsAnswers: true,
  reference: "teacher",
  furtherReferences: "otherTeachers",
  async checkReference(student, teacher, options) {
    requireFittingTeacher(student, teacher);
    if (options.loss === undefined) requireSameClasses(student, teacher);
    if (!makesStudent(options)) await requireDifferentModels(teacher, student);
  },
  cutsFirst: makesStudent,
  moves: async (request) => (await import("./moves.ts")).distillMoves(request),
  gentler: (options, lostBefore) =>
    makesStudent(options)
      ? "Train longer (`epochs`), cut less, or try another `learningRate`"
      : betterTraining(options, lostBefore),
  removesNotes: true,
  reads: ["otherTeachers"],
  writes: ["log"],
  options: v.pipe(
    v.strictObject({
      teacher: option(modelOption(), "the model to learn from", { value: "teacher.onnx", common: true }),
      otherTeachers: option(v.array(modelOption()), "further teachers: all have the same weight", {
        value: "b.onnx,…",
      }),
      shrink: option(
        v.pipe(v.number(), v.gtValue(0, "must be above 0 %"), v.ltValue(1, "must be below 1 (100 %)"), v.maxValue(1)),
        "make the student narrower first: share of the channels to cut from each layer",
        { value: "share", common: true },
      ),
      keepLayers: option(keptLayers, "make the student shallower first: how many repeated layers stay, or which", {
        value: "n",
        common: true,
      }),
      temperature: option(temperatureSchema, "softens the distributions of teacher and student (default: 4)"),
      alpha: option(
        v.pipe(v.number(), v.minValue(0, alphaRange), v.maxValue(1, alphaRange)),
        "weight of the teacher's loss; the rest is the loss on labels (default: 0.7; 1 without labels)",
        { percent: false },
      ),
      loss: option(
        v.pipe(
          v.string(),
          checkWith((loss: string) => distillation({ teacher: [], loss })),
        ),
        'weighted sum of losses in place of the default: "hinton(temperature=2) + output-mse"',
        {
          common: true,
          meanings: {
            title: "Losses (--loss): formulas, settings and papers are in docs/distillation.md",
            rows: [
              ...distillationLosses.map(({ name, meaning }) => [name, meaning] as const),
              ["of labels", lossNames.join(", ")],
            ],
          },
        },
      ),
      ...training,
      batchStatistics: withHelp(
        v.optional(v.boolean(), true),
        `use batch statistics in batch normalization, with batches of ${minBatchForStatistics} samples or more`,
        { negated: "keep the statistics of the file in batch normalization", group: "Optimization:" },
      ),
    }),
    v.check(
      (settings) => describeLack(settings) === undefined,
      ({ input }) => describeLack(input) ?? "",
    ),
  ),
  async run(model, { teacher: givenTeacher, otherTeachers = [], shrink, keepLayers, ...others }, context) {
    const { temperature, alpha, loss: requestedLoss, ...options } = others;
    const { label } = await firstBatch(await trainPart(options.data), 64);
    const defaultLoss = requestedLoss === undefined ? chooseLoss(model, label) : undefined;
    if (defaultLoss?.loss !== undefined && (temperature ?? alpha) !== undefined) {
      const text = `\`temperature\` and \`alpha\` are settings of a loss over class scores, and ${defaultLoss.why}.`;
      throw optionError(text, { hint: `Its loss is "${defaultLoss.loss}"; \`loss\` sets another.` });
    }
    const teacher = givenTeacher ?? model.clone();
    const removals = await makeStudent(model, { shrink, keepLayers }, context);
    await requireDifferentModels(teacher, model);
    context.log({ id: "student", text: await studentText(model, teacher) });
    const preparation = describeOtherPreprocessing(model, teacher);
    if (preparation !== undefined) context.log({ id: "preprocessing", text: preparation, level: "warning" });
    const teachers = [teacher, ...otherTeachers];
    const loss = requestedLoss ?? defaultLoss?.loss;
    const batchStatistics =
      options.batchStatistics &&
      hasRunningStatistics(model, infer(model)) &&
      (options.batch ?? fitBatchSize(model, defaultBatch, {}, teachers).size) >= minBatchForStatistics;
    const settings = { temperature: temperature ?? 4, alpha: alpha ?? (label === undefined ? 1 : 0.7) };
    const reason = defaultLoss === undefined ? "" : `, because ${defaultLoss.why} (\`loss\` sets another)`;
    const noLabels =
      loss === undefined && label === undefined && alpha === undefined ? "; the training samples have no labels" : "";
    const text = loss ?? hintonText(settings.temperature, settings.alpha);
    context.log({ id: "loss", text: `loss: ${text}${reason}${noLabels}` });
    const imitation = distillation({ teacher: teachers, loss, ...(loss === undefined ? settings : {}) });
    if (removals.length > 0) await context.beforeTraining?.(model);
    const trainOutcome = await train(model, { ...options, batchStatistics, loss: imitation }, context);
    return { ...trainOutcome, changes: [...removals, ...trainOutcome.changes] };
  },
});

/** @throws PithError E_SHAPE_MISMATCH if the default loss would compare different numbers of classes, E_UNSUPPORTED if the teacher's output is not of floats. */
function requireSameClasses(student: Model, teacher: Model): void {
  if (chooseLoss(student).loss !== undefined) return;
  const [classes, teacherClasses] = [student, teacher].map((model) => {
    infer(model);
    const { name, type } = mainOutput(model.graph.outputs) ?? {};
    if (model === teacher && type !== undefined && !isFloat(type.type))
      throw unsupportedError(`The teacher's output "${name}" is ${type.type}: it contains no scores to learn.`, {
        hint: "Use the teacher without its last rounding or ArgMax, so that scores are its output.",
      });
    return type?.dims?.at(-1);
  });
  if (typeof classes !== "number" || typeof teacherClasses !== "number" || classes === teacherClasses) return;
  const text = `The student scores ${counted(classes, "class")}, the teacher ${teacherClasses}.`;
  throw shapeError(text, { hint: sameClassesHint });
}

function describeOtherPreprocessing(student: Model, teacher: Model): string | undefined {
  const [studentText, teacherText] = [student, teacher].map(
    (model) => preprocessingSpecText(readPreprocessing(model)) ?? "",
  );
  if (studentText === "" || teacherText === "" || studentText === teacherText) return undefined;
  return `the teacher's file states the preprocessing "${teacherText}", the student's "${studentText}": both get the student's samples`;
}

/** Removes layers, then channels of the remaining ones, in place. @throws PithError E_UNSUPPORTED if nothing can be removed. */
async function makeStudent(
  model: Model,
  { shrink, keepLayers }: { readonly shrink?: number | undefined; readonly keepLayers?: KeptLayers | undefined },
  context: Context,
): Promise<readonly Change[]> {
  const changes: Change[] = [];
  if (keepLayers !== undefined) {
    const outcome = await keep(model, { keep: keepLayers }, context);
    changes.push(...requireChanges(outcome, "`keepLayers`: no layer can be removed"));
  }
  if (shrink !== undefined) {
    const outcome = await prune(model, { structured: shrink }, context);
    changes.push(...requireChanges(outcome, "`shrink`: no channels can be removed"));
  }
  return changes;
}

function requireChanges({ changes, misses }: Outcome, message: string): readonly Change[] {
  if (changes.length > 0) return changes;
  const reasons = [...new Set(misses.map(({ at, reason }) => (at === undefined ? reason : `${at}: ${reason}`)))];
  const moreText = reasons.length > 3 ? `; and ${reasons.length - 3} more` : "";
  throw unsupportedError(`${message}: ${reasons.slice(0, 3).join("; ")}${moreText}.`);
}

/** @throws PithError E_OPTION if both models run the same operators and store the same numbers under the same names. */
async function requireDifferentModels(teacher: Model, student: Model): Promise<void> {
  const operators = ({ graph }: Model): string => [...graph.nodes()].map(({ op }) => op).join();
  if (operators(student) !== operators(teacher)) return;
  const storedValues = ({ graph }: Model) => [...graph.values()].filter(({ tensor }) => tensor !== undefined);
  if (storedValues(student).length !== storedValues(teacher).length) return;
  for (const { name, tensor } of storedValues(student)) {
    const other = teacher.graph.value(name)?.tensor;
    if (tensor === other) continue;
    if (tensor === undefined || other === undefined || tensor.bytes !== other.bytes) return;
    if (!haveSameElements(await tensor.read(), await other.read())) return;
  }
  throw optionError("The teacher and the student are the same model: there is nothing to learn.", {
    hint: "Set `shrink` or `keepLayers` to derive a smaller student from the teacher; training on labels needs no teacher.",
  });
}

export async function studentText(student: Model, teacher: Model): Promise<string> {
  const [studentSizes, teacherSizes] = [await sizesOf(student), await sizesOf(teacher)];
  const macs =
    studentSizes.macs === undefined || teacherSizes.macs === undefined
      ? ""
      : `, ${percent(studentSizes.macs / teacherSizes.macs)} of the teacher's MACs`;
  const share = percent(studentSizes.parameters / teacherSizes.parameters);
  return `student: ${studentSizes.layers} layers (teacher: ${teacherSizes.layers}), ${count(studentSizes.parameters)} of ${count(teacherSizes.parameters)} parameters (${share}), ${bytes(studentSizes.bytes)} of weights (teacher: ${bytes(teacherSizes.bytes)})${macs}`;
}

async function sizesOf(model: Model) {
  const copy = withStoredWeights(model);
  const inference = infer(copy);
  const macs = macsPerSample(copy);
  const learnedValues = await learnedTensors(copy, inference);
  return {
    layers: allLayers(copy, inference).length,
    parameters: learnedCount(learnedValues),
    bytes: [...learnedValues.keys()].reduce((sum, { tensor }) => sum + (tensor?.bytes ?? 0), 0),
    macs: macs instanceof Miss ? undefined : macs,
  };
}
