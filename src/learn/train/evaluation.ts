/** Evaluates the weights of a training on validation samples, and decides when to do so and when to stop. */
import { counted, type Model } from "#ir";
import type { Context } from "#pass";
import { evaluate } from "../../runtime/metrics/evaluate.ts";
import type { Plan, Validation } from "./plan.ts";
import type { Counters, Epoch, TrainingSummary } from "./training-state.ts";
import { validationLoss } from "./validation-loss.ts";

/** @param moment "step" before each step, "epoch" after one, "end" of a training inside an epoch. */
export function isEvaluationDue(counters: Counters, plan: Plan, moment: "step" | "epoch" | "end"): boolean {
  const { steps, epoch, evaluations, history } = counters;
  if (plan.validation === undefined) return false;
  const last = evaluations.at(-1) ?? history.at(-1)?.evaluations.at(-1);
  if (last?.step === steps) return false;
  // The first evaluation is of the initial weights.
  if (steps === 0) return true;
  const { every } = plan.validation;
  if (every === undefined) return moment !== "step";
  return steps % every === 0 || moment === "end" || (moment === "epoch" && epoch === plan.epochs);
}

export async function evaluateWeights(
  model: Model,
  { data, metric }: Validation,
  { loss, size }: Plan,
  context: Context,
): Promise<number> {
  if (metric === undefined) return validationLoss(model, data, loss, size, context);
  const { engine, signal } = context;
  return (await evaluate(engine, model, data, metric, { signal })).estimate.value;
}

/** Returns "after 40 steps: validation accuracy 93.00 %". */
export function evaluationText({ metric }: Validation, step: number, figure: number): string {
  const figureText = metric?.unit === "share" ? `${(100 * figure).toFixed(2)} %` : figure.toPrecision(4);
  return `${momentText(step)}: validation ${metric?.name ?? "loss"} ${figureText}`;
}

/** Returns whether the evaluation is the best so far; any number is better than NaN. */
export function recordEvaluation(counters: Counters, { metric }: Validation, figure: number): boolean {
  const evaluation = { step: counters.steps, figure };
  counters.evaluations.push(evaluation);
  const sign = metric?.better === "higher" ? 1 : -1;
  const { figure: best = Number.NaN } = counters.best ?? {};
  const isBest =
    counters.best === undefined || (Number.isNaN(best) && !Number.isNaN(figure)) || sign * (figure - best) > 0;
  if (isBest) counters.best = evaluation;
  counters.worse = isBest ? 0 : counters.worse + 1;
  return isBest;
}

export function isPatienceOver({ worse }: Counters, { validation }: Plan): boolean {
  return validation?.patience !== undefined && worse >= validation.patience;
}

export function patienceText({ steps, worse, best }: Counters): string {
  const worseText = worse === 1 ? "the last evaluation was not" : `none of the last ${worse} evaluations was`;
  return `ended after ${counted(steps, "step")}: ${worseText} better than the one ${momentText(best?.step ?? 0)}`;
}

const momentText = (step: number): string => (step === 0 ? "before the first step" : `after ${counted(step, "step")}`);

/** Returns why the result is the initial weights. A smaller learning rate can help only if the evaluations changed. */
export function explainUnchanged({ chosen }: TrainingSummary, history: readonly Epoch[]): string {
  const { evaluations = 0, samples, best, by, unit } = chosen ?? {};
  const [first, ...later] = history.flatMap((epoch) => epoch.evaluations.map(({ figure }) => figure));
  if (best !== undefined && Number.isNaN(best.figure))
    return `all ${evaluations} evaluations are NaN: check the validation samples. The weights are not changed`;
  const otherMetric =
    by === "loss" || by === "cross-entropy" ? "" : ', or `metric: "cross-entropy"`, which resolves smaller differences';
  const initial = "that of the initial weights, which are kept";
  const noBetter = `${later.length === 1 ? "the evaluation was no" : `none of ${later.length} evaluations was`} better than ${initial}`;
  if (unit === "share" && best?.figure === 1)
    return `${noBetter}. The initial weights are right on all ${samples ?? ""} validation samples, which the model may have been trained on: use others${otherMetric}`;
  if (later.every((figure) => figure === first))
    return `the evaluations show no difference to ${initial}. Try more steps, or more validation samples${otherMetric}`;
  return `${noBetter}. Try a smaller learning rate`;
}
