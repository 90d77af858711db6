/** Distillation as a pass: training with another loss, the teacher's answers beside the labels. */
import * as v from "valibot";
import { Model } from "../graph/model.ts";
import { definePass } from "../passes/index.ts";
import { keptLayers } from "../prune/index.ts";
import { requireFittingTeacher } from "../train/teacher.ts";
import { lowerRate, train } from "../train/train.ts";
import { unmet } from "../train/train-options.ts";
import { distillation } from "./distillation.ts";
import { makeStudent, requireOtherThan, studentText } from "./student.ts";

const { loss: _, ...training } = train.options.entries;

type Given = Parameters<typeof unmet>[0] & {
  readonly teacher?: unknown;
  readonly shrink?: unknown;
  readonly keepLayers?: unknown;
};

function lacking({ teacher, shrink, keepLayers, ...rest }: Given): string | undefined {
  if (teacher === undefined && shrink === undefined && keepLayers === undefined)
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
 */
export const distill = definePass({
  id: "distill",
  summary: "Train a small model to imitate a larger one",
  data: "train",
  reference: "teacher",
  async checkReference(student, teacher, { shrink, keepLayers }) {
    requireFittingTeacher(student, teacher);
    if (shrink === undefined && keepLayers === undefined) await requireOtherThan(teacher, student);
  },
  gentler: lowerRate,
  command: {
    suffix: () => ".distilled",
    takes: "the student: the model that is trained (default: the teacher, made smaller)",
    takesStudent: true,
    examples: [
      "distill student.onnx --teacher teacher.onnx --data mnist/ --epochs 10 --temperature 4 --alpha 0.7",
      "distill --teacher resnet56.onnx --shrink 50% --data cifar10/ -o small.onnx",
      "distill --teacher bert.onnx --keep-layers 2 --data sst2.tsv -o small.onnx",
    ],
  },
  options: v.pipe(
    v.strictObject({
      teacher: v.pipe(
        v.optional(v.union([v.string(), v.instance(Model)], "takes a model or the path of one")),
        v.description("the model to learn from"),
        v.metadata({ value: "teacher.onnx" }),
      ),
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
      temperature: v.pipe(
        v.optional(v.pipe(v.number(), v.gtValue(0, "must be above 0")), 4),
        v.description("softens the distributions of teacher and student"),
      ),
      alpha: v.pipe(
        v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), 0.7),
        v.description("weight of the teacher's loss; the rest is the loss on labels"),
      ),
      ...training,
    }),
    v.check(
      (given) => lacking(given) === undefined,
      ({ input }) => lacking(input) ?? "",
    ),
  ),
  async run(model, { teacher: given, temperature, alpha, shrink, keepLayers, ...options }, context) {
    const teacher = given === undefined ? model.clone() : typeof given === "string" ? await context.open(given) : given;
    const made = await makeStudent(model, { shrink, keepLayers }, context);
    await requireOtherThan(teacher, model);
    context.log({ id: "student", text: await studentText(model, teacher) });
    const loss = distillation({ teacher: given ?? teacher, temperature, alpha });
    const trained = await train(model, { ...options, loss }, context);
    return { ...trained, changes: [...made, ...trained.changes] };
  },
});
