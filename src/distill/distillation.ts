/**
 * Knowledge distillation: a student is trained towards what a teacher makes of the same samples: its answers, or what lies inside of it.
 *
 * The teacher is put beside the student in the very graph that is differentiated. No parameter of the student influences it, so the
 * differentiator cuts it off again: it runs optimized, with its weights stored, once per batch.
 */
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { Loss } from "../train/loss.ts";
import { parseLoss } from "../train/losses/index.ts";
import { lossesAgainst } from "./losses/table.ts";
import type { Matching } from "./match.ts";

export interface DistillationOptions {
  /** The model to learn from, or a reference that the context opens: a path. Of several, the mean. */
  readonly teacher: Model | string | readonly (Model | string)[];
  /** What is minimized, as text: `distillationLosses` and those of training, with weights. */
  readonly loss?: string | undefined;
  /** T of the usual loss, above 0 (default 4): larger values show more of the teacher's ranking of wrong classes. */
  readonly temperature?: number | undefined;
  /** α of the usual loss, 0 to 1 (default 0.7): the weight of the teacher's; the rest is the loss on labels. With 1 no labels are needed. */
  readonly alpha?: number | undefined;
  /** Which layers learn from which of the teacher, for losses about what lies inside. */
  readonly match?: Matching | undefined;
  /** The column with the labels. */
  readonly label?: string | undefined;
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
  const table = lossesAgainst({ teachers, match, label, told: new Set() });
  // By its file, wherever that is called from.
  const names = teachers.map((each) => (typeof each === "string" ? each.slice(each.search(/[^\\/]*$/)) : "a model"));
  const settings = { match, teacher: names.join(", ") };
  if (loss !== undefined) {
    if (options.temperature !== undefined || options.alpha !== undefined)
      throw new PithError("E_OPTION", "temperature and alpha are of the usual loss, and another was given.", {
        hint: 'They are said in its text: "0.7 * hinton(temperature=4) + 0.3 * cross-entropy".',
      });
    return { ...parseLoss(loss, table), settings: { ...settings, loss } };
  }
  const { temperature = 4, alpha = 0.7 } = options;
  if (!(temperature > 0)) throw new PithError("E_OPTION", `The temperature must be above 0, got ${temperature}.`);
  if (!(alpha >= 0 && alpha <= 1)) throw new PithError("E_OPTION", `alpha must lie between 0 and 1, got ${alpha}.`);
  const parts = [
    ...(alpha > 0 ? [`${alpha} * hinton(temperature=${temperature})`] : []),
    ...(alpha < 1 ? [`${1 - alpha} * cross-entropy(label=${label})`] : []),
  ];
  return {
    ...parseLoss(parts.join(" + "), table),
    name: "distillation",
    settings: { ...settings, temperature, alpha },
  };
}
