import type { Group } from "../../core/analysis/channels.ts";
import { outputKind } from "../../core/analysis/output-kind.ts";
import { PithError, stripPeriod } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Context } from "../../core/pass/pass.ts";
import type { Loss } from "../../learn/train/loss.ts";
import { type ChannelScoring, type UnitScorer, unitScorerOf } from "./channel-scores.ts";
import { activation } from "./criteria/activation.ts";
import { magnitude } from "./criteria/index.ts";
import { taylor } from "./criteria/taylor.ts";

/**
 * The scorer of the given criterion; otherwise Taylor scores if the model scores classes, activations if it does not, and magnitudes without samples.
 * Taylor scores then need no labels: they measure how much a channel changes the predictions.
 */
export async function usualUnitScorer(
  model: Model,
  groups: readonly Group[],
  { importance, ...options }: ChannelScoring,
  context: Context,
): Promise<UnitScorer> {
  const { data, loss } = options;
  if (importance !== undefined) return unitScorerOf(model, groups, { ...options, importance }, context);
  if (data === undefined) return unitScorerOf(model, groups, { ...options, importance: magnitude }, context);
  const note = (text: string): void => context.log({ id: "criterion", text, level: "note" });
  let why = "the model does not score classes";
  if (loss !== undefined || outputKind(model, undefined) === "classes") {
    const byTaylor = { ...options, loss: loss ?? (await evenCrossEntropy()), importance: taylor };
    try {
      const scorer = await unitScorerOf(model, groups, byTaylor, context);
      note("channels are ranked by Taylor scores");
      return scorer;
    } catch (error) {
      // An explicit loss must fit.
      if (loss !== undefined || !(error instanceof PithError) || error.code === "E_STOPPED") throw error;
      why = stripPeriod(error.message);
    }
  }
  const scorer = await unitScorerOf(model, groups, { ...options, importance: activation }, context);
  note(`channels are ranked by activations: ${why}`);
  return scorer;
}

/**
 * Cross-entropy between the even distribution and the predictions. Its gradient at the scores is softmax − 1 / classes, so it does not vanish for samples that
 * the network was trained on, as that of the loss on labels does.
 */
async function evenCrossEntropy(): Promise<Loss> {
  // Training is loaded only if gradients are needed.
  const [{ outputOf }, { requireClasses, scoreRows }] = [
    await import("../../learn/train/loss.ts"),
    await import("../../learn/train/losses/cross-entropy.ts"),
  ];
  return {
    name: "cross-entropy with the even distribution",
    build(scope) {
      const { rows, classes } = scoreRows(scope, outputOf(scope));
      requireClasses(classes);
      const { emit } = scope;
      const value = emit.Neg([emit.ReduceMean([emit.LogSoftmax([rows], { axis: -1 })], { keepdims: 0 })]);
      return { value, feeds: () => ({}) };
    },
  };
}
