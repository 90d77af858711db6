/**
 * Knowledge distillation: a student is trained towards what a teacher makes of the same samples: its answers, or what lies inside of it.
 *
 * The teacher is put beside the student in the very graph that is differentiated. No parameter of the student influences it, so the
 * differentiator cuts it off again: it runs optimized, with its weights stored, once per batch.
 */
import * as v from "valibot";
import { infer } from "../analysis/infer.ts";
import { mainOutput, outputKind } from "../analysis/output-kind.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";
import { dimsText } from "../tensor/dims.ts";
import type { Loss } from "../train/loss.ts";
import { parseLoss } from "../train/losses/index.ts";
import { teacherName } from "../train/teacher.ts";
import { temperatureOf, temperatureRange } from "./losses/answers.ts";
import { lossesAgainst } from "./losses/table.ts";
import type { Matching } from "./match.ts";

export interface DistillationOptions {
  /** The model to learn from, or a reference that the context opens: a path. Of several, the mean. */
  readonly teacher: Model | string | readonly (Model | string)[];
  /** What is minimized, as text: `distillationLosses` and those of training, with weights. */
  readonly loss?: string | undefined;
  /** T of the usual loss, 0.01 to 1000 (default 4): larger values show more of the teacher's ranking of wrong classes. */
  readonly temperature?: number | undefined;
  /** α of the usual loss, 0 to 1 (default 0.7): the weight of the teacher's; the rest is the loss on labels. With 1 no labels are needed. */
  readonly alpha?: number | undefined;
  /** Which layers learn from which of the teacher, for losses about what lies inside. */
  readonly match?: Matching | undefined;
  /** The column with the labels. */
  readonly label?: string | undefined;
}

/**
 * What a model that answers so learns by from a teacher: by default the loss of `distillation`, where scores of classes lie along the last axis;
 * `embedding` of vectors of meaning, `output-mse` of all else.
 * @returns The text of the loss, undefined for the default one; and why.
 * @throws PithError E_UNSUPPORTED where there are outputs of integers alone, which have no gradient.
 */
export function usualLoss(model: Model): { readonly loss: string | undefined; readonly why: string } {
  infer(model);
  const { name, type } = mainOutput(model.graph.outputs) ?? {};
  const shown = `"${name}" ${dimsText(type?.dims)}`;
  if (type !== undefined && !isFloat(type.type))
    throw new PithError(
      "E_UNSUPPORTED",
      `The model's outputs are no floats (${shown} is ${type.type}): they have no gradient to learn by.`,
      { hint: "Take the model as it is before its last rounding or ArgMax, with scores as outputs." },
    );
  const kind = outputKind(model, undefined);
  if (kind === "vector") return { loss: "embedding", why: `${shown} is an embedding` };
  if (kind !== "classes") return { loss: "output-mse", why: `${shown} holds no scores of classes` };
  if ((type?.dims?.length ?? 0) > 3)
    return { loss: "output-mse", why: `${shown} does not hold classes along its last axis` };
  return { loss: undefined, why: `${shown} scores classes` };
}

/** "0.7 * hinton(temperature=4) + 0.3 * cross-entropy(label=label)" */
export function hintonText(temperature: number, alpha: number, label = "label"): string {
  const parts = [
    ...(alpha > 0 ? [`${alpha} * hinton(temperature=${temperature})`] : []),
    ...(alpha < 1 ? [`${Number((1 - alpha).toPrecision(12))} * cross-entropy(label=${label})`] : []),
  ];
  return parts.join(" + ");
}

/**
 * The loss of a student beside its teacher, for `train`. Unless `loss` is given it is that of Hinton, Vinyals and Dean (2015, arXiv 1503.02531):
 *
 *     α · T² · mean over rows of KL(softmax(t / T) ‖ softmax(s / T)) + (1 - α) · cross-entropy(labels, s),
 *
 * where s and t are the scores of student and teacher [batch, …, classes], or the logarithms of their probabilities, which differ from them by
 * a number a row. Of tokens, those count that the attention mask does, and whose label is not -100.
 * @throws PithError E_OPTION for a temperature or weight out of range, and for a text that says no loss; when training starts E_SHAPE_MISMATCH if
 * teacher and student have different classes or inputs, or what a loss compares does not fit.
 * @example
 * await train(student, { data, epochs: 10, loss: distillation({ teacher, temperature: 4, alpha: 0.7 }) });
 * const loss = "0.7 * hinton(temperature=4) + 0.3 * cross-entropy + 100 * fitnets";
 * await train(student, { data, epochs: 10, loss: distillation({ teacher, loss, match: "shape" }) });
 */
export function distillation(options: DistillationOptions): Loss {
  const { teacher, loss, match = "block", label = "label" } = options;
  const teachers = typeof teacher === "object" && "length" in teacher ? teacher : [teacher];
  const table = lossesAgainst({ teachers, match, label });
  const settings = { match, teacher: teachers.map(teacherName).join(", ") };
  if (loss !== undefined) {
    if (options.temperature !== undefined || options.alpha !== undefined)
      throw new PithError("E_OPTION", "temperature and alpha are of the usual loss, and another was given.", {
        hint: 'They are said in its text: "0.7 * hinton(temperature=4) + 0.3 * cross-entropy".',
      });
    return { ...parseLoss(loss, table), teachers, settings: { ...settings, loss } };
  }
  const { temperature = 4, alpha = 0.7 } = options;
  if (!v.is(temperatureOf, temperature))
    throw new PithError("E_OPTION", `The temperature ${temperatureRange}, got ${temperature}.`);
  if (!(alpha >= 0 && alpha <= 1)) throw new PithError("E_OPTION", `alpha must lie between 0 and 1, got ${alpha}.`);
  return {
    ...parseLoss(hintonText(temperature, alpha, label), table),
    name: "distillation",
    teachers,
    settings: { ...settings, temperature, alpha },
  };
}
