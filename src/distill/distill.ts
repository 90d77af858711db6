/** Distillation as a pass: training with another loss, the teacher's answers beside the labels. */
import * as v from "valibot";
import { trainPart } from "../data/open.ts";
import { firstBatch } from "../data/select.ts";
import type { Dataset } from "../data/types.ts";
import { Model } from "../graph/model.ts";
import { type Context, definePass } from "../passes/index.ts";
import { described, understood } from "../passes/options.ts";
import { keptLayers } from "../prune/index.ts";
import { meaningsOf } from "../train/losses/parse.ts";
import { requireFittingTeacher } from "../train/teacher.ts";
import { lowerRate, train } from "../train/train.ts";
import { unmet } from "../train/train-options.ts";
import { distillation } from "./distillation.ts";
import { lossesAgainst } from "./losses/table.ts";
import { makeStudent, requireOtherThan, studentText } from "./student.ts";

const { loss: _, ...training } = train.options.entries;

const model = v.union([v.string(), v.instance(Model)], "takes a model or the path of one");

type Given = Parameters<typeof unmet>[0] & {
  readonly teacher?: unknown;
  readonly shrink?: unknown;
  readonly keepLayers?: unknown;
};

function makesStudent({ shrink, keepLayers }: { readonly shrink?: unknown; readonly keepLayers?: unknown }): boolean {
  return shrink !== undefined || keepLayers !== undefined;
}

function lacking({ teacher, ...rest }: Given): string | undefined {
  if (teacher === undefined && !makesStudent(rest))
    return "teacher is needed, or shrink or keepLayers, which make a smaller student of the model itself";
  return unmet(rest);
}

/**
 * Trains a student, in place, to answer as a teacher does: `train` with the loss `distillation`. Options are those of both.
 *
 * With `shrink` or `keepLayers` the model is made smaller first, and begins with the weights that are left; without a teacher, it learns from
 * itself as it was.
 * @throws PithError as `train` and `distillation` do; E_OPTION where the teacher is the student, E_UNSUPPORTED where nothing can be cut.
 * @example
 * await distill(student, { teacher: "teacher.onnx", data, epochs: 10, temperature: 4, alpha: 0.7 });
 * await distill(net, { shrink: 0.5, data, epochs: 10 }); // half of its channels, taught by all of them
 * await distill(net, { keepLayers: 2, data });
 * await distill(student, { teacher: "teacher.onnx", data, loss: "hinton + 100 * fitnets", match: "shape" });
 */
export const distill = definePass({
  id: "distill",
  summary: "Train a small model to imitate a larger one",
  data: "train",
  learnsAnswers: true,
  reference: "teacher",
  async checkReference(student, teacher, options) {
    requireFittingTeacher(student, teacher);
    if (!makesStudent(options)) await requireOtherThan(teacher, student);
  },
  cutsFirst: makesStudent,
  gentler: lowerRate,
  command: {
    suffix: () => ".distilled",
    takes: "the student: the model that is trained (default: the teacher, made smaller)",
    takesStudent: true,
    examples: [
      "distill student.onnx --teacher teacher.onnx --data mnist/ --epochs 10 --temperature 4 --alpha 0.7",
      "distill --teacher resnet56.onnx --shrink 50% --data cifar10/ -o small.onnx",
      "distill --teacher bert.onnx --keep-layers 2 --data sst2.tsv -o small.onnx",
      'distill student.onnx --teacher teacher.onnx --data texts.txt --loss "hinton(temperature=2) + hidden-mse"',
    ],
  },
  options: v.pipe(
    v.strictObject({
      teacher: v.pipe(
        v.optional(model),
        v.description("the model to learn from"),
        v.metadata({ value: "teacher.onnx" }),
      ),
      otherTeachers: described(v.optional(v.array(model)), "further teachers: what all of them say counts alike"),
      shrink: v.pipe(
        v.optional(v.pipe(v.number(), v.gtValue(0, "must be above 0"), v.ltValue(1, "must be below 1"), v.maxValue(1))),
        v.description("make the student narrower first: share of the channels to cut from each layer"),
        v.metadata({ value: "share" }),
      ),
      keepLayers: v.pipe(
        v.optional(keptLayers),
        v.description(
          "make the student shallower first: how many of the repeated layers stay, or a list of names or positions",
        ),
        v.metadata({ value: "n" }),
      ),
      temperature: described(
        v.optional(v.pipe(v.number(), v.gtValue(0, "must be above 0"))),
        "softens the distributions of teacher and student (default: 4)",
      ),
      alpha: described(
        v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1))),
        "weight of the teacher's loss; the rest is the loss on labels (default: 0.7; 1 without labels)",
      ),
      loss: described(
        v.pipe(
          v.optional(
            v.pipe(
              v.string(),
              understood((loss: string) => distillation({ teacher: [], loss })),
            ),
          ),
          v.metadata({
            meanings: {
              title:
                "Losses (--loss), those of student and teacher with student=name and teacher=name of values, layers or blocks",
              rows: meaningsOf(lossesAgainst({ teachers: [], match: "block", label: "", told: new Set() })),
            },
          }),
        ),
        'loss in place of the usual one, with weights: "0.7 * hinton(temperature=4) + 0.3 * cross-entropy + 100 * fitnets"',
      ),
      match: described(
        v.optional(v.union([v.picklist(["block", "name", "shape"]), v.record(v.string(), v.string())]), "block"),
        'which layers learn from which: by their place, name or size, or pairs {"layer1": "layer3"}',
      ),
      ...training,
    }),
    v.check(
      (given) => lacking(given) === undefined,
      ({ input }) => lacking(input) ?? "",
    ),
  ),
  async run(
    model,
    { teacher: given, otherTeachers = [], temperature, alpha, loss, match, shrink, keepLayers, ...options },
    context,
  ) {
    const teacher = given === undefined ? model.clone() : typeof given === "string" ? await context.open(given) : given;
    const made = await makeStudent(model, { shrink, keepLayers }, context);
    await requireOtherThan(teacher, model);
    context.log({ id: "student", text: await studentText(model, teacher) });
    const teachers = [given ?? teacher, ...otherTeachers];
    const weight = loss === undefined && alpha === undefined ? await usualAlpha(options.data, context) : alpha;
    const minimized = distillation({ teacher: teachers, temperature, alpha: weight, loss, match });
    const trained = await train(model, { ...options, loss: minimized }, context);
    return { ...trained, changes: [...made, ...trained.changes] };
  },
});

/** 0.7, or 1 where there are no labels to learn from. */
async function usualAlpha(data: string | Dataset, { log }: Context): Promise<number> {
  const { label } = await firstBatch(await trainPart(data));
  if (label !== undefined) return 0.7;
  log({ id: "no-labels", text: "the samples have no labels: the student learns from the teacher alone" });
  return 1;
}
