/** The losses of distillation, and the choice of one for a model. */
import * as v from "valibot";
import { distributionOf, infer, mainOutput, outputKind } from "#analysis";
import { capitalize, type Dense, dimsText, isFloat, type Model, optionError, unsupportedError } from "#ir";
import type { Loss } from "../../learn/train/loss.ts";
import { losses } from "../../learn/train/losses/declared-losses.ts";
import { parseLossOf } from "../../learn/train/losses/parse.ts";
import { teacherName } from "../../learn/train/teacher.ts";
import { areLabelSets } from "../../runtime/metrics/label-sets.ts";
import { distillationLosses, temperatureRangeText, temperatureSchema } from "./losses/losses.ts";

export interface DistillationOptions {
  /** The model to learn from. Of several teachers, `hinton` averages the distributions; other losses are averaged. */
  readonly teacher: Model | readonly Model[];
  /** A weighted sum of losses as text: those of distillation and of training. */
  readonly loss?: string | undefined;
  /** T of the default loss, 0.01 to 100 (default 4): larger values show more of the teacher's ranking of wrong classes. */
  readonly temperature?: number | undefined;
  /** α of the default loss, 0 to 1 (default 0.7): weight of the teacher's loss. The loss on labels has 1 - α; with α = 1 none are needed. */
  readonly alpha?: number | undefined;
  readonly label?: string | undefined;
}

/**
 * Chooses the loss for a model's main output: the default of `distillation` for class scores along the last axis, `label-bce` for
 * independent labels, `embedding` for embeddings, `output-mse` for other outputs.
 * @param label Labels of samples. Rows of 0 and 1 are independent labels.
 * @returns The text of the loss (undefined for the default), and the reason of the choice.
 * @throws PithError E_UNSUPPORTED if the main output is not of floats: it has no gradient.
 */
export function chooseLoss(
  model: Model,
  label?: Dense | undefined,
): { readonly loss: string | undefined; readonly why: string } {
  const inference = infer(model);
  const output = mainOutput(model.graph.outputs);
  const { name, type } = output ?? {};
  const outputText = `"${name}" ${dimsText(type?.dims)}`;
  if (type !== undefined && !isFloat(type.type))
    throw unsupportedError(`The model's output ${outputText} is ${type.type}: only floats have a gradient.`, {
      hint: "Use the model without its last rounding or ArgMax, so that scores are its output.",
    });
  const kind = outputKind(model, undefined);
  const isDistribution = output !== undefined && distributionOf(output, inference) !== undefined;
  const hasLabelSets = label !== undefined && areLabelSets(label, Number(type?.dims?.at(-1)));
  if ((kind === "labels" && label === undefined) || (type?.dims?.length === 2 && hasLabelSets && !isDistribution))
    return {
      loss: hasLabelSets ? "0.7 * label-bce + 0.3 * binary" : "label-bce",
      why: `${outputText} scores independent labels`,
    };
  if (kind === "vector") return { loss: "embedding", why: `${outputText} is an embedding` };
  if (kind === "boxes") return { loss: "output-mse", why: "the outputs are boxes and their scores" };
  if (kind !== "classes" && kind !== "labels")
    return { loss: "output-mse", why: `${outputText} does not hold class scores` };
  if ((type?.dims?.length ?? 0) > 3)
    return { loss: "output-mse", why: `${outputText} does not hold classes along its last axis` };
  return { loss: undefined, why: `${outputText} scores classes` };
}

export const settingsOfAnotherLoss =
  "`temperature` and `alpha` are settings of the default, which `loss` replaces: write them in its text";

/** Writes the default loss as text, for example "0.7 * hinton(temperature=4) + 0.3 * cross-entropy(label=label)". */
export function hintonText(temperature: number, alpha: number, label = "label"): string {
  const parts = [
    ...(alpha > 0 ? [`${alpha} * hinton(temperature=${temperature})`] : []),
    ...(alpha < 1 ? [`${Number((1 - alpha).toPrecision(12))} * cross-entropy(label=${label})`] : []),
  ];
  return parts.join(" + ");
}

/**
 * Creates the loss of a student with its teacher, for `train`. Default: Hinton, Vinyals and Dean (2015, arXiv 1503.02531):
 *
 *     α · T² · mean over rows of KL(softmax(t / T) ‖ softmax(s / T)) + (1 - α) · cross-entropy(labels, s),
 *
 * where s and t are the logits or log-probabilities of student and teacher [batch, …, classes]. Tokens with an attention mask of
 * 0 or label -100 are excluded.
 * @throws PithError E_OPTION for a temperature or weight out of range, or an invalid text; when training starts E_SHAPE_MISMATCH
 * if teacher and student differ in classes or inputs, or compared values in shape.
 * @example
 * await train(student, { data, epochs: 10, loss: distillation({ teacher, temperature: 4, alpha: 0.7 }) });
 * const loss = "0.7 * hinton(temperature=4) + 0.3 * cross-entropy + output-mse";
 * await train(student, { data, epochs: 10, loss: distillation({ teacher, loss }) });
 */
export function distillation(options: DistillationOptions): Loss {
  const { teacher, loss, label = "label" } = options;
  const teachers = "length" in teacher ? teacher : [teacher];
  const parseText = (text: string) => parseLossOf([...losses, ...distillationLosses], text, { teachers, label });
  const settings = { teacher: teachers.map(teacherName).join(", ") };
  if (loss !== undefined) {
    if (options.temperature !== undefined || options.alpha !== undefined)
      throw optionError(`${capitalize(settingsOfAnotherLoss)}.`);
    return { ...parseText(loss), teachers, settings: { ...settings, loss } };
  }
  const { temperature = 4, alpha = 0.7 } = options;
  if (!v.is(temperatureSchema, temperature))
    throw optionError(`The temperature ${temperatureRangeText}, got ${temperature}.`);
  if (!(alpha >= 0 && alpha <= 1)) throw optionError(`alpha must lie between 0 and 1, got ${alpha}.`);
  return {
    ...parseText(hintonText(temperature, alpha, label)),
    name: "distillation",
    teachers,
    settings: { ...settings, temperature, alpha },
  };
}
