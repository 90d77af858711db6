/** Distillation as a pass: training with another loss, the teacher's answers beside the labels. */
import * as v from "valibot";
import { Model } from "../graph/model.ts";
import { definePass } from "../passes/index.ts";
import { lowerRate, train } from "../train/train.ts";
import { unmet } from "../train/train-options.ts";
import { distillation } from "./distillation.ts";

const { loss: _, ...training } = train.options.entries;

/**
 * Trains a student, in place, to answer as a teacher does: `train` with the loss `distillation`. Options are those of both.
 * @throws PithError as `train` and `distillation` do.
 * @example
 * await distill(student, { teacher: "teacher.onnx", data, epochs: 10, temperature: 4, alpha: 0.7 });
 */
export const distill = definePass({
  id: "distill",
  summary: "Train a small model to imitate a larger one",
  data: "train",
  reference: "teacher",
  gentler: lowerRate,
  command: {
    suffix: () => ".distilled",
    takes: "the student: the model that is trained",
    examples: ["distill student.onnx --teacher teacher.onnx --data mnist/ --epochs 10 --temperature 4 --alpha 0.7"],
  },
  options: v.pipe(
    v.strictObject({
      teacher: v.pipe(
        v.union([v.string(), v.instance(Model)], "takes a model or the path of one"),
        v.description("the model to learn from"),
        v.metadata({ value: "teacher.onnx" }),
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
      (given) => unmet(given) === undefined,
      ({ input }) => unmet(input) ?? "",
    ),
  ),
  run(model, { teacher, temperature, alpha, ...options }, context) {
    return train(model, { ...options, loss: distillation({ teacher, temperature, alpha }) }, context);
  },
});
